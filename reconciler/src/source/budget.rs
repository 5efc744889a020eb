//! How much may be under way at once, so that no host and no repository can take it all.
//!
//! Requests are bounded per host. Blocking work is bounded in all and, more tightly, per host; a thread that overstays
//! its deadline is cut off from its connection, and keeps its place in the budget until it is really gone.

use super::SourceError;
use super::fetch::pack::Room;
use super::git::Settings;
use super::transport::Watch;
use super::url::RepositoryUrl;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What packs that are being resolved may hold in memory, all together; the worst one fits alone.
const ROOM_BYTES: u64 = 512 << 20;

/// The places there are.
pub(super) struct Budget {
    room: Arc<Room>,
    threads: Arc<Semaphore>,
    per_host: usize,
    threads_per_host: usize,
    hosts: Mutex<HashMap<String, Host>>,
}

#[derive(Clone)]
struct Host {
    requests: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

/// What a piece of blocking work may cost.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub timeout: Duration,
    pub limit_bytes: u64,
    /// What a pack may unpack to.
    pub unpacked_bytes: u64,
}

impl Budget {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            room: Room::new(ROOM_BYTES),
            threads: Arc::new(Semaphore::new(settings.threads)),
            per_host: settings.per_host,
            // Eight hosts have to hang before a ninth one waits.
            threads_per_host: (settings.threads / 8).max(1),
            hosts: Mutex::default(),
        }
    }

    /// A request's turn at its host.
    pub(super) async fn turn(&self, url: &RepositoryUrl) -> Option<OwnedSemaphorePermit> {
        self.host(url).requests.acquire_owned().await.ok()
    }

    /// Runs `work` on a thread, no longer than its timeout; waiting for the thread does not count.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        url: &RepositoryUrl,
        cost: Cost,
        work: impl FnOnce(&Arc<Watch>) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let of_host = self.host(url).threads.acquire_owned().await;
        let of_all = self.threads.clone().acquire_owned().await;
        let watch = Watch::new(cost, &self.room);
        let theirs = watch.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let _places = (of_host, of_all);
            work(&theirs)
        });
        match tokio::time::timeout(cost.timeout, thread).await {
            // The socket's own limit ends at the same moment, and may be the first to say so.
            Ok(Ok(Err(_))) if watch.is_over() => Err(timed_out(url, cost.timeout)),
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(SourceError::Corrupt { why: format!("{url} sent something that git cannot read") }),
            Err(_) => {
                watch.abort();
                Err(timed_out(url, cost.timeout))
            }
        }
    }

    fn host(&self, url: &RepositoryUrl) -> Host {
        let fresh = || Host {
            requests: Arc::new(Semaphore::new(self.per_host)),
            threads: Arc::new(Semaphore::new(self.threads_per_host)),
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(url.host().to_owned()).or_insert_with(fresh).clone()
    }
}

pub(super) fn timed_out(url: &RepositoryUrl, timeout: Duration) -> SourceError {
    SourceError::TimedOut {
        host: if url.host().is_empty() { url.to_string() } else { url.host().to_owned() },
        secs: timeout.as_secs(),
    }
}
