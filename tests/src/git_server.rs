//! Real git over http on loopback, which counts, and fails on request.
//!
//! Every answer is git's own: `git http-backend` runs for each request, so that protocol versions, ref prefixes, shallow
//! and filtered fetches are what a real host does. Around it we see each request ([`GitServer::requests`]) and can
//! break a repository ([`Fault`]): a server error, silence, a closed connection, an answer that is not git, a login.
//!
//! Repositories are bare and have no work tree: a commit is one `git fast-import` (about 5 ms), with fixed people and
//! dates, so that the same steps give the same commit ids. Entries may be what a hostile tool commits: links out of the
//! tree, submodules, names with odd bytes.

mod repository;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

pub use repository::{Entry, Repository};

type Response = http::Response<Full<Bytes>>;

/// A git host. It ends, with its repositories, when it is dropped.
#[derive(Debug)]
pub struct GitServer {
    address: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    root: TempDir,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    faults: BTreeMap<String, Fault>,
}

/// How a repository answers while it is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// With this status and no body of use.
    Status(u16),
    /// Never; the connection stays open.
    Hang,
    /// Never to a fetch; refs are listed.
    HangPacks,
    /// By closing the connection instead.
    Close,
    /// With 200 and a page for people.
    Garbage,
    /// With 401, unless this user and password came along (basic auth).
    Login(String, String),
}

/// What a request was for, as far as one can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// `GET info/refs`: capabilities in protocol version 2, all refs before.
    Advertisement,
    /// `ls-refs`, version 2.
    LsRefs,
    /// A fetch: `fetch` of version 2, or any upload-pack request before.
    Fetch,
    /// A push.
    Push,
    /// A version 2 command in a compressed body; git compresses above 1 KiB.
    Unreadable,
    /// Anything else.
    Other,
}

/// One request that arrived, answered or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name the repository was made with.
    pub repository: String,
    /// What it was for.
    pub service: Service,
    /// `Git-Protocol`, such as `version=2`; empty when absent.
    pub protocol: String,
    /// The client's User-Agent.
    pub agent: String,
}

impl GitServer {
    /// Starts one on a free port, without repositories.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at("127.0.0.1").await
    }

    /// The same at another loopback address: another host.
    pub async fn start_at(address: &str) -> anyhow::Result<Self> {
        let root = tempfile::Builder::new().prefix("git-server-").tempdir()?;
        let shared = Arc::new(Shared { root, state: Mutex::default() });
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _serving: serving })
    }

    /// Makes an empty repository whose HEAD is `main`; the name may have slashes.
    pub fn repository(&self, name: &str) -> anyhow::Result<Repository> {
        Repository::create(self.shared.root.path(), name, self.url(name))
    }

    /// `http://ADDRESS:PORT/<name>.git`, also of a repository that does not exist.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// Breaks a repository, or repairs it; a request that hangs goes on hanging.
    pub fn set_fault(&self, name: &str, fault: Option<Fault>) {
        let mut state = self.shared.state();
        match fault {
            Some(fault) => state.faults.insert(name.into(), fault),
            None => state.faults.remove(name),
        };
    }

    /// All requests so far, oldest first; take the length before and look at the rest.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// How many requests of a kind a repository had so far.
    pub fn count(&self, name: &str, service: Service) -> usize {
        let wanted = |request: &&Request| request.repository == name && request.service == service;
        self.shared.state().requests.iter().filter(wanted).count()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while it held the lock leaves the state as good as it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with the server, and all connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    // An error is a client that left, or a fault that closes.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// An error closes the connection without an answer.
async fn answer(request: http::Request<Incoming>, shared: Arc<Shared>) -> anyhow::Result<Response> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let name = head.uri.path().trim_start_matches('/').split_once(".git/").map_or("", |(name, _)| name).to_owned();
    let service = service_of(&head, &body);
    let fault = {
        let mut state = shared.state();
        state.requests.push(Request {
            repository: name.clone(),
            service,
            protocol: text(&head, "git-protocol"),
            agent: text(&head, "user-agent"),
        });
        state.faults.get(&name).cloned()
    };
    if let Some(fault) = fault
        && let Some(response) = faulty(&fault, service, &head).await?
    {
        return Ok(response);
    }
    backend(shared.root.path(), &head, &body).await
}

/// Nothing when the fault lets this request pass.
async fn faulty(fault: &Fault, service: Service, head: &http::request::Parts) -> anyhow::Result<Option<Response>> {
    let response = http::Response::builder();
    let response = match fault {
        Fault::Status(status) => response.status(*status).body("broken by a test\n".into()),
        Fault::HangPacks if service != Service::Fetch => return Ok(None),
        Fault::Hang | Fault::HangPacks => match std::future::pending::<Infallible>().await {},
        Fault::Close => anyhow::bail!("closed by a test"),
        Fault::Garbage => response
            .header(header::CONTENT_TYPE, "text/html")
            .body("<!doctype html><title>Welcome</title><p>Please sign in.\n".into()),
        Fault::Login(user, password) if text(head, "authorization") == basic(user, password) => return Ok(None),
        Fault::Login(..) => response
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"tests\"")
            .body("who are you?\n".into()),
    };
    Ok(Some(response?))
}

fn service_of(head: &http::request::Parts, body: &[u8]) -> Service {
    let path = head.uri.path();
    if head.method == Method::GET && path.ends_with("/info/refs") {
        return Service::Advertisement;
    }
    if path.ends_with("/git-receive-pack") {
        return Service::Push;
    }
    if !path.ends_with("/git-upload-pack") {
        return Service::Other;
    }
    let asks = |command: &[u8]| body.windows(command.len()).any(|window| window == command);
    if !text(head, "git-protocol").contains("version=2") {
        Service::Fetch
    } else if head.headers.contains_key(header::CONTENT_ENCODING) {
        Service::Unreadable
    } else if asks(b"command=ls-refs") {
        Service::LsRefs
    } else if asks(b"command=fetch") {
        Service::Fetch
    } else {
        Service::Other
    }
}

fn text(head: &http::request::Parts, name: &str) -> String {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Runs `git http-backend`, which speaks CGI.
async fn backend(root: &Path, head: &http::request::Parts, body: &[u8]) -> anyhow::Result<Response> {
    let mut command = Command::from(repository::git(root));
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(head, "content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(head, "content-encoding"))
        .env("HTTP_GIT_PROTOCOL", text(head, "git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null()) // "not a repository" is part of the answer already
        .kill_on_drop(true);
    let mut child = command.spawn().context("run git http-backend")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    // It may answer without reading all of it.
    let (_, output) = tokio::join!(
        async {
            drop(stdin.write_all(body).await);
            drop(stdin);
        },
        child.wait_with_output()
    );
    from_cgi(&output?.stdout)
}

/// Headers, an empty line, the body; `Status` is the status.
fn from_cgi(output: &[u8]) -> anyhow::Result<Response> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").context("no end of headers from git")?;
    let mut response = http::Response::builder();
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("no header from git")?;
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or_default()),
            _ => response.header(name, value),
        };
    }
    Ok(response.body(Bytes::copy_from_slice(&output[end + 4..]).into())?)
}
