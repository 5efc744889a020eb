//! A proxy that fails one request in so many: between us and the API server, a git host or a registry.
//!
//! Which requests fail, and how, is a function of a seed, the request's method and path, and how often that was asked
//! before. So one seed fails the same first write of the same object in every run, whatever else goes on beside it; a
//! failing test prints its seed. What passes is the real server's answer, byte for byte.
//!
//! ```text
//! let faults = Faults::start(server, client, Odds { seed: 7, one_in: 5, of: API }).await?;
//! faults.begin(Some(version));     // from now on; lists may be as old as that version
//! faults.end();
//! ```
//! Silence ends after some seconds with a closed connection: that our own time limits end it earlier is tested where
//! they are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Error as Cut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http::request::Parts;
use http::{Method, Uri, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

type Response = http::Response<UnsyncBoxBody<Bytes, Cut>>;

/// A silent server hangs up after this.
const SILENCE: Duration = Duration::from_secs(3);
/// Between the half that is sent and the cut, so that it does arrive.
const BEFORE_THE_CUT: Duration = Duration::from_millis(20);

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 429, asking for a second.
    Throttled,
    /// 500.
    Broken,
    /// 503.
    Away,
    /// No answer, and the request goes nowhere.
    Silent,
    /// The request is done and nobody is told, as when a process dies in the middle of an apply.
    AnswerLost,
    /// The request is done; half of the answer comes.
    HalfSent,
    /// The answer comes a second or two late.
    Slow,
    /// A watch ends within a line.
    CutInALine,
    /// A list as it was when the faults began. A server of today cannot be brought to stream one, so this one cannot
    /// stream lists, as older ones: it is asked page by page.
    Stale,
}

/// What may happen between us and an API server.
pub const API: &[Fault] = &[
    Fault::Throttled,
    Fault::Broken,
    Fault::Away,
    Fault::Silent,
    Fault::AnswerLost,
    Fault::HalfSent,
    Fault::Slow,
    Fault::CutInALine,
    Fault::Stale,
];
/// What may happen between us and a git host or a registry.
pub const HOST: &[Fault] = &[Fault::Throttled, Fault::Broken, Fault::Away, Fault::Silent, Fault::HalfSent, Fault::Slow];

/// Which requests fail.
#[derive(Debug, Clone, Copy)]
pub struct Odds {
    /// Another seed, other requests.
    pub seed: u64,
    /// One request in so many.
    pub one_in: u64,
    /// In one of these ways, as far as it fits the request.
    pub of: &'static [Fault],
}

/// A proxy. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Faults {
    url: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    client: reqwest::Client,
    odds: Odds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    on: bool,
    /// How often each request was made while faults were on.
    asked: BTreeMap<String, u64>,
    counts: BTreeMap<Fault, usize>,
    past: Option<String>,
    /// The paths that are listed page by page and as they were.
    stale: BTreeSet<String>,
}

/// A number by chance, the same for the same seed and words.
pub fn chance(seed: u64, words: &str) -> u64 {
    let hash = Sha256::digest(format!("{seed} {words}"));
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Faults {
    /// A proxy in front of a server such as `https://127.0.0.1:6443`, which is reached by this client. Nothing fails yet.
    pub async fn start(server: &str, client: reqwest::Client, odds: Odds) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { server: server.into(), client, odds, state: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, shared.clone()));
        Ok(Self { url, shared, _serving: serving })
    }

    /// Where it is: `http://ADDRESS:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `ADDRESS:PORT`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The same place of the server, by way of this proxy.
    pub fn way_to(&self, url: &str) -> String {
        url.replacen(&self.shared.server, &self.url, 1)
    }

    /// From now on requests fail; lists may be as old as this version.
    pub fn begin(&self, past: Option<String>) {
        let mut state = self.shared.state();
        (state.on, state.past) = (true, past);
    }

    /// No further request fails; what hangs, hangs on.
    pub fn end(&self) {
        let mut state = self.shared.state();
        state.on = false;
        state.stale.clear();
    }

    /// How many requests failed so far, by kind.
    pub fn counts(&self) -> BTreeMap<Fault, usize> {
        self.shared.state().counts.clone()
    }
}

impl Fault {
    fn fits(self, head: &Parts) -> bool {
        match self {
            Self::CutInALine => asks(&head.uri, "watch=1"),
            Self::Stale => asks(&head.uri, "sendInitialEvents=true"),
            // Such an answer has no end, and no body, respectively.
            Self::AnswerLost | Self::HalfSent => !asks(&head.uri, "watch=1") && head.method != Method::HEAD,
            _ => true,
        }
    }
}

fn asks(uri: &Uri, pair: &str) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|found| found == pair))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a request, with a further number by chance.
    fn draw(&self, head: &Parts) -> Option<(Fault, u64)> {
        let mut state = self.state();
        if !state.on {
            return None;
        }
        let key = format!("{} {} {}", head.method, head.uri.path(), asks(&head.uri, "watch=1"));
        let times = state.asked.entry(key.clone()).or_default();
        *times += 1;
        let chance = chance(self.odds.seed, &format!("{key} {times}"));
        let fitting: Vec<_> = self.odds.of.iter().filter(|fault| fault.fits(head)).collect();
        if !chance.is_multiple_of(self.odds.one_in) || fitting.is_empty() {
            return None;
        }
        let chance = chance / self.odds.one_in;
        let fault = *fitting[usize::try_from(chance % fitting.len() as u64).unwrap_or(0)];
        *state.counts.entry(fault).or_default() += 1;
        Some((fault, chance / fitting.len() as u64))
    }

    /// The path and query to ask the server for: a list that is to be stale names its version.
    fn target(&self, uri: &Uri) -> String {
        let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
        let state = self.state();
        let list = asked.contains("limit=") && !asked.contains("continue=") && !asked.contains("resourceVersion=");
        match &state.past {
            Some(past) if list && state.stale.contains(uri.path()) => {
                format!("{asked}&resourceVersion={past}&resourceVersionMatch=Exact")
            }
            _ => asked.to_owned(),
        }
    }

    async fn ask(&self, head: &Parts, body: Bytes) -> anyhow::Result<reqwest::Response> {
        let mut headers = head.headers.clone();
        // A registry names itself in its answers, and clients should come back by way of us.
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.insert("x-forwarded-host", host);
        }
        for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
            headers.remove(name);
        }
        let url = format!("{}{}", self.server, self.target(&head.uri));
        let mut request = self.client.request(head.method.clone(), url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        request.send().await.context("ask the server itself")
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_connection(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, shared.clone()));
    // An error is a client that left, or a fault.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// An error closes the connection without an answer.
async fn answer(request: http::Request<Incoming>, shared: Arc<Shared>) -> anyhow::Result<Response> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let Some((fault, chance)) = shared.draw(&head) else {
        return passed(shared.ask(&head, body).await?);
    };
    match fault {
        Fault::Throttled => refusal(429, "TooManyRequests"),
        Fault::Broken => refusal(500, "InternalError"),
        Fault::Away => refusal(503, "ServiceUnavailable"),
        Fault::Silent => {
            sleep(SILENCE).await;
            bail!("silent by chance")
        }
        Fault::AnswerLost => {
            shared.ask(&head, body).await?.bytes().await?;
            bail!("the answer is lost by chance")
        }
        Fault::HalfSent => half(shared.ask(&head, body).await?).await,
        Fault::Slow => {
            sleep(Duration::from_millis(1000 + chance % 1000)).await;
            passed(shared.ask(&head, body).await?)
        }
        Fault::CutInALine => cut(shared.ask(&head, body).await?, usize::try_from(chance % 4)?),
        Fault::Stale => {
            shared.state().stale.insert(head.uri.path().to_owned());
            refusal(400, "BadRequest")
        }
    }
}

/// As an API server says it, which is good enough for others.
fn refusal(code: u16, reason: &str) -> anyhow::Result<Response> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by chance", "reason": reason, "code": code,
    });
    let mut response = http::Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    if code == 429 {
        response = response.header(header::RETRY_AFTER, "1");
    }
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {});
    Ok(response.body(body.boxed_unsync())?)
}

fn passed(answer: reqwest::Response) -> anyhow::Result<Response> {
    let head = head_of(&answer);
    with_body(head, answer.bytes_stream().map_err(Cut::other))
}

/// The length says more than comes.
async fn half(answer: reqwest::Response) -> anyhow::Result<Response> {
    let head = head_of(&answer);
    let whole = answer.bytes().await?;
    let half = stream::iter([Ok(whole.slice(..whole.len() / 2))]);
    with_body(head, half.chain(stream::once(ended())))
}

/// So many pieces come whole and the next one in half. A line is one piece, or ends within one.
fn cut(answer: reqwest::Response, whole: usize) -> anyhow::Result<Response> {
    let head = head_of(&answer);
    let pieces = answer.bytes_stream().map_err(Cut::other).enumerate().map(move |(place, piece)| {
        piece.map(|piece| if place < whole { piece } else { piece.slice(..piece.len() / 2) })
    });
    with_body(head, pieces.take(whole + 1).chain(stream::once(ended())))
}

async fn ended() -> Result<Bytes, Cut> {
    sleep(BEFORE_THE_CUT).await;
    Err(Cut::other("cut by chance"))
}

fn head_of(answer: &reqwest::Response) -> http::response::Builder {
    let mut response = http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != header::CONNECTION && name != header::TRANSFER_ENCODING {
            response = response.header(name, value);
        }
    }
    response
}

fn with_body(
    head: http::response::Builder,
    body: impl Stream<Item = Result<Bytes, Cut>> + Send + 'static,
) -> anyhow::Result<Response> {
    Ok(head.body(StreamBody::new(body.map_ok(Frame::data)).boxed_unsync())?)
}
