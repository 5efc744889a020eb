//! gix's transports, over our dialer: http on the pooled client, git on a checked TCP connection, ssh by the ssh
//! program. Each obeys a [`Watch`]: a deadline, a byte limit, and a way to be cut off from outside.

use super::SourceError;
use super::ls_refs;
use super::url::{RepositoryUrl, Scheme};
use crate::dialer::{self, Ask, Credentials, DialError, Dialer};
use gix::error::ErrorExt as _;
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::blocking_io::http::{
    self as gix_http, GetResponse, PostBodyDataKind, PostResponse,
};
use gix::protocol::transport::client::git;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// Limits of one blocking exchange, shared with whoever waits for it.
pub(super) struct Watch {
    pub interrupt: AtomicBool,
    deadline: Instant,
    limit_bytes: u64,
    received_bytes: AtomicU64,
    verdict: Mutex<Option<SourceError>>,
    cut: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Watch {
    pub(super) fn new(timeout: Duration, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            interrupt: AtomicBool::new(false),
            deadline: Instant::now() + timeout,
            limit_bytes,
            received_bytes: AtomicU64::new(0),
            verdict: Mutex::new(None),
            cut: Mutex::new(Vec::new()),
        })
    }

    /// Ends the exchange: closes its connections, so that the thread in it comes back.
    pub(super) fn abort(&self) {
        self.interrupt.store(true, Ordering::Relaxed);
        for cut in lock(&self.cut).drain(..) {
            cut();
        }
    }

    fn on_abort(&self, cut: impl FnOnce() + Send + 'static) {
        lock(&self.cut).push(Box::new(cut));
    }

    /// The reason that gix would bury under its own errors.
    pub(super) fn verdict(&self) -> Option<SourceError> {
        lock(&self.verdict).clone()
    }

    fn fail(&self, error: SourceError) -> io::Error {
        let said = io::Error::other(error.to_string());
        lock(&self.verdict).get_or_insert(error);
        said
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn received(&self, bytes: usize) -> io::Result<()> {
        let total = self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if total > self.limit_bytes {
            return Err(self.fail(SourceError::TooLarge {
                what: "the repository's pack".to_owned(),
                limit_bytes: self.limit_bytes,
            }));
        }
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom to connect to, and how.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub dialer: Dialer,
    pub url: RepositoryUrl,
    /// http only: where the repository is after redirects.
    pub base: Option<Url>,
    pub credentials: Option<Credentials>,
    pub ssh_program: String,
    pub runtime: tokio::runtime::Handle,
}

/// Connects. Blocks.
pub(super) fn connect(endpoint: Endpoint, watch: &Arc<Watch>) -> Result<Box<dyn Transport + Send>, SourceError> {
    match endpoint.url.scheme() {
        Scheme::Http | Scheme::Https => connect_http(endpoint, watch),
        Scheme::Git => connect_git(&endpoint, watch),
        Scheme::Ssh => connect_ssh(&endpoint, watch),
        Scheme::File => Err(SourceError::Corrupt { why: "a local repository needs no transport".to_owned() }),
    }
}

fn connect_http(endpoint: Endpoint, watch: &Arc<Watch>) -> Result<Box<dyn Transport + Send>, SourceError> {
    let Some(base) = &endpoint.base else {
        return Err(SourceError::Corrupt { why: format!("{} is no http address", endpoint.url) });
    };
    let url = gix::url::parse(base.as_str())
        .map_err(|_| SourceError::Corrupt { why: format!("{} is no address that git understands", endpoint.url) })?;
    let http = Http { endpoint, watch: watch.clone() };
    Ok(Box::new(gix_http::Transport::new_http(http, url, Protocol::V2, false)))
}

fn connect_git(endpoint: &Endpoint, watch: &Arc<Watch>) -> Result<Box<dyn Transport + Send>, SourceError> {
    let url = &endpoint.url;
    let port = url.port().unwrap_or(9418);
    let stream = endpoint.dialer.connect(url.host(), port, watch.left())?;
    let unreachable =
        |error: io::Error| SourceError::Unreachable { why: format!("{} is unreachable: {error}", url.host()) };
    let (writer, cut) = (stream.try_clone().map_err(unreachable)?, stream.try_clone().map_err(unreachable)?);
    // Closing twice is no failure, and there is nobody to tell.
    watch.on_abort(move || drop(cut.shutdown(std::net::Shutdown::Both)));
    Ok(Box::new(git::blocking_io::Connection::new(
        Counted { inner: stream, watch: watch.clone() },
        writer,
        Protocol::V2,
        url.path(),
        Some((url.host(), Some(port))),
        git::ConnectMode::Daemon,
        false,
    )))
}

/// The name is resolved and checked here, and ssh is told the address; the host key is still looked up by name.
fn connect_ssh(endpoint: &Endpoint, watch: &Arc<Watch>) -> Result<Box<dyn Transport + Send>, SourceError> {
    let url = &endpoint.url;
    let port = url.port().unwrap_or(22);
    let addresses = endpoint.dialer.resolve(url.host(), port)?;
    let mut command = Command::new(&endpoint.ssh_program);
    command
        .args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"])
        .args(["-o", "SendEnv=GIT_PROTOCOL"])
        .args(["-o", &format!("HostKeyAlias={}", url.host())])
        .args(["-p", &port.to_string()]);
    if let Some(address) = addresses.first() {
        command.args(["-o", &format!("HostName={}", address.ip())]);
    }
    if let Some(user) = url.user() {
        command.args(["-l", user]);
    }
    let mut child = command
        .args(["--", url.host()])
        .arg(format!("git-upload-pack {}", quoted(url.path())))
        .env("GIT_PROTOCOL", "version=2")
        .env("SSH_ASKPASS_REQUIRE", "never")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| SourceError::Unreachable {
            why: format!("{} could not be started: {error}", endpoint.ssh_program),
        })?;
    let (reader, writer) = (child.stdout.take(), child.stdin.take());
    let child = Arc::new(Reaped(Mutex::new(child)));
    let cut = child.clone();
    watch.on_abort(move || cut.kill());
    let (Some(reader), Some(writer)) = (reader, writer) else {
        return Err(SourceError::Unreachable { why: "ssh has no input or output".to_owned() });
    };
    let reader = Piped { inner: reader, _child: child };
    Ok(Box::new(git::blocking_io::Connection::new(
        Counted { inner: reader, watch: watch.clone() },
        writer,
        Protocol::V2,
        url.path(),
        None::<(&str, _)>,
        git::ConnectMode::Process,
        false,
    )))
}

/// The remote shell's quoting: in single quotes everything but a single quote stands for itself.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// A process that is ended and waited for, whatever happens.
struct Reaped(Mutex<Child>);

impl Reaped {
    fn kill(&self) {
        // It may have ended by itself.
        drop(lock(&self.0).kill());
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        self.kill();
        drop(lock(&self.0).wait());
    }
}

struct Piped<R> {
    inner: R,
    _child: Arc<Reaped>,
}

impl<R: Read> Read for Piped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

struct Counted<R> {
    inner: R,
    watch: Arc<Watch>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.watch.received(bytes)?;
        Ok(bytes)
    }
}

#[derive(Clone)]
struct Http {
    endpoint: Endpoint,
    watch: Arc<Watch>,
}

impl Http {
    fn exchange(
        &self,
        method: http::Method,
        url: &str,
        headers: Vec<(&'static str, String)>,
        body: Option<Vec<u8>>,
    ) -> io::Result<reqwest::Response> {
        let url = Url::parse(url).map_err(io::Error::other)?;
        let plain = self.endpoint.url.http_url();
        let same_host = plain.is_some_and(|plain| plain.origin() == url.origin());
        let ask = Ask {
            headers,
            credentials: self.endpoint.credentials.as_ref().filter(|_| same_host),
            body,
            timeout: Some(self.watch.left()),
            ..Ask::default()
        };
        let response = self
            .endpoint
            .runtime
            .block_on(self.endpoint.dialer.send(method, &url, ask))
            .map_err(|error| self.watch.fail(error.into()))?;
        if !response.status().is_success() {
            let refused = ls_refs::refusal(&self.endpoint.url, response.status());
            return Err(self.watch.fail(refused));
        }
        Ok(response)
    }

    fn answer(&self, response: reqwest::Response) -> (Vec<u8>, Body) {
        let mut headers = Vec::new();
        for (name, value) in response.headers() {
            headers.extend_from_slice(name.as_str().as_bytes());
            headers.extend_from_slice(b": ");
            headers.extend_from_slice(value.as_bytes());
            headers.push(b'\n');
        }
        let body = Body {
            runtime: self.endpoint.runtime.clone(),
            watch: self.watch.clone(),
            response: Some(response),
            chunk: bytes::Bytes::new(),
        };
        (headers, body)
    }
}

/// gix gives header lines; names must be static for [`Ask`], and only these matter to a git server.
fn header_lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    for line in lines {
        let Some((name, value)) = line.as_ref().split_once(':') else {
            continue;
        };
        let known =
            ["git-protocol", "content-type", "accept"].into_iter().find(|known| name.eq_ignore_ascii_case(known));
        if let Some(name) = known {
            headers.push((name, value.trim().to_owned()));
        }
    }
    headers
}

impl gix_http::Http for Http {
    type Headers = LateHeaders;
    type ResponseBody = LateBody;
    type PostBody = Upload;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<LateHeaders, LateBody>> {
        let response =
            self.exchange(http::Method::GET, url, header_lines(headers), None).map_err(|error| error.raise())?;
        let (headers, body) = self.answer(response);
        Ok(GetResponse { headers: LateHeaders::Here(Cursor::new(headers)), body: LateBody::Here(body) })
    }

    /// gix writes the request after this returned, and reads the headers when it is done writing: so the request is
    /// sent at the first read.
    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<LateHeaders, LateBody, Upload>> {
        let exchange = Arc::new(Mutex::new(Exchange {
            http: self.clone(),
            url: url.to_owned(),
            headers: header_lines(headers),
            upload: Vec::new(),
            body: None,
        }));
        Ok(PostResponse {
            post_body: Upload(exchange.clone()),
            headers: LateHeaders::Late(exchange.clone()),
            body: LateBody::Late(exchange),
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result {
        Ok(())
    }
}

/// A POST between its first written byte and its first read one.
pub(super) struct Exchange {
    http: Http,
    url: String,
    headers: Vec<(&'static str, String)>,
    upload: Vec<u8>,
    body: Option<Body>,
}

impl Exchange {
    fn send(&mut self) -> io::Result<Vec<u8>> {
        let response = self.http.exchange(
            http::Method::POST,
            &self.url,
            std::mem::take(&mut self.headers),
            Some(std::mem::take(&mut self.upload)),
        )?;
        let (headers, body) = self.http.answer(response);
        self.body = Some(body);
        Ok(headers)
    }
}

pub(super) struct Upload(Arc<Mutex<Exchange>>);

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).upload.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) enum LateHeaders {
    Late(Arc<Mutex<Exchange>>),
    Here(Cursor<Vec<u8>>),
}

impl LateHeaders {
    fn here(&mut self) -> io::Result<&mut Cursor<Vec<u8>>> {
        if let Self::Late(exchange) = self {
            let headers = lock(exchange).send()?;
            *self = Self::Here(Cursor::new(headers));
        }
        match self {
            Self::Here(headers) => Ok(headers),
            Self::Late(_) => Err(io::Error::other("headers before their request")),
        }
    }
}

impl Read for LateHeaders {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.here()?.read(buffer)
    }
}

impl BufRead for LateHeaders {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.here()?.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if let Self::Here(headers) = self {
            headers.consume(bytes);
        }
    }
}

pub(super) enum LateBody {
    Late(Arc<Mutex<Exchange>>),
    Here(Body),
}

impl LateBody {
    fn here(&mut self) -> io::Result<&mut Body> {
        if let Self::Late(exchange) = self {
            let body = lock(exchange).body.take();
            *self = Self::Here(body.ok_or_else(|| io::Error::other("a body before its headers"))?);
        }
        match self {
            Self::Here(body) => Ok(body),
            Self::Late(_) => Err(io::Error::other("a body before its headers")),
        }
    }
}

impl Read for LateBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.here()?.read(buffer)
    }
}

impl BufRead for LateBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.here()?.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if let Self::Here(body) = self {
            body.consume(bytes);
        }
    }
}

pub(super) struct Body {
    runtime: tokio::runtime::Handle,
    watch: Arc<Watch>,
    response: Option<reqwest::Response>,
    chunk: bytes::Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let bytes = available.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() {
            let Some(response) = &mut self.response else {
                break;
            };
            match self.runtime.block_on(response.chunk()) {
                Ok(Some(chunk)) => {
                    self.watch.received(chunk.len())?;
                    self.chunk = chunk;
                }
                Ok(None) => self.response = None,
                Err(error) => {
                    let why: DialError = dialer::explain(&error, response.url(), self.watch.left());
                    return Err(self.watch.fail(why.into()));
                }
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, bytes: usize) {
        bytes::Buf::advance(&mut self.chunk, bytes);
    }
}
