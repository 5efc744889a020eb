//! gix's transports, over our dialer: http on the pooled client, git and ssh on a checked TCP connection. Each obeys a
//! [`Watch`]: a deadline, a byte limit, and a way to be cut off from outside.

mod http;
mod ssh;

use super::SourceError;
use super::budget::Cost;
use super::fetch::pack::{Limits, Room, Taken};
use super::ssh_keys::SshKeys;
use super::url::{RepositoryUrl, Scheme};
use crate::dialer::{Credentials, Dialer};
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::git;
use renderer::platform::KnownHost;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// Limits of one blocking exchange, shared with whoever waits for it.
pub(super) struct Watch {
    pub interrupt: AtomicBool,
    pub limits: Limits,
    room: Arc<Room>,
    deadline: Instant,
    limit_bytes: u64,
    received_bytes: AtomicU64,
    verdict: Mutex<Option<SourceError>>,
    cut: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Watch {
    pub(super) fn new(cost: Cost, room: &Arc<Room>) -> Arc<Self> {
        Arc::new(Self {
            interrupt: AtomicBool::new(false),
            limits: Limits::new(cost.unpacked_bytes),
            room: room.clone(),
            deadline: Instant::now() + cost.timeout,
            limit_bytes: cost.limit_bytes,
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

    /// Waits until there is room for a pack that holds so many bytes.
    pub(super) fn room_for(&self, bytes: u64) -> io::Result<Taken> {
        self.room.take(bytes, self.left()).ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
    }

    pub(super) fn fail(&self, error: SourceError) -> io::Error {
        let said = io::Error::other(error.to_string());
        lock(&self.verdict).get_or_insert(error);
        said
    }

    /// Whether the time for the exchange is up.
    pub(super) fn is_over(&self) -> bool {
        self.left().is_zero()
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
    /// ssh only: what the host is told.
    pub ssh_keys: Option<SshKeys>,
    /// ssh only: keys of hosts, beside those of the rules.
    pub known_hosts: Arc<[KnownHost]>,
    pub runtime: tokio::runtime::Handle,
}

/// Connects. Blocks.
pub(super) fn connect(endpoint: Endpoint, watch: &Arc<Watch>) -> Result<Box<dyn Transport + Send>, SourceError> {
    match endpoint.url.scheme() {
        Scheme::Http | Scheme::Https => http::connect(endpoint, watch),
        Scheme::Git => connect_git(&endpoint, watch),
        Scheme::Ssh => ssh::connect(&endpoint, watch),
        Scheme::File => Err(SourceError::Corrupt { why: "a local repository needs no transport".to_owned() }),
    }
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
