//! The shell around the core: one lock, the clock, the journal, and the controllers that run behind every write.

use crate::call::{Answer, Call};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::journal::{Journal, Synced};
use crate::status::ApiError;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How long controllers wait before they look: long enough that a client sees the state between a write and its effect,
/// as it does on a real cluster, and short enough that nobody waits for it.
const SETTLE_AFTER: Duration = Duration::from_millis(10);

/// What all requests and watches share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    clock: Clock,
    revisions: watch::Sender<u64>,
    controllers_run: AtomicBool,
    wake: Arc<Notify>,
    stopped: AtomicBool,
    /// Where the node keeps logs; set when one is attached.
    logs: OnceLock<PathBuf>,
}

#[derive(Debug)]
struct State {
    cluster: Cluster,
    journal: Option<Journal>,
}

impl Shared {
    /// A server around a cluster, and the journal that keeps it.
    pub(crate) fn new(cluster: Cluster, journal: Option<Journal>, start: Timestamp) -> Arc<Self> {
        let revision = cluster.store.revision();
        Arc::new(Self {
            state: Mutex::new(State { cluster, journal }),
            clock: Clock::starting_at(start),
            revisions: watch::channel(revision).0,
            controllers_run: AtomicBool::new(false),
            wake: Arc::new(Notify::new()),
            stopped: AtomicBool::new(false),
            logs: OnceLock::new(),
        })
    }

    /// Reads the cluster.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Cluster) -> T) -> T {
        read(&self.lock().cluster)
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells of every new revision, and of the end.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.subscribe()
    }

    /// Answers a request; a write is on disk before its answer is given.
    pub(crate) async fn answer(self: &Arc<Self>, call: &Call) -> Answer {
        if self.is_stopped() {
            return ApiError::internal("the sandbox was stopped").into();
        }
        let (answer, synced) = self.transact(|cluster| cluster.answer(call));
        let Some(synced) = synced else {
            return answer;
        };
        self.settle_soon();
        match synced.wait().await {
            Ok(()) => answer,
            Err(error) => self.fail(&error).into(),
        }
    }

    /// Leaves pods to a node, which keeps its logs in this folder.
    pub(crate) fn attach_node(self: &Arc<Self>, logs: &Path) {
        if self.logs.set(logs.to_owned()).is_err() {
            return tracing::warn!("the sandbox has one node, and it is attached already");
        }
        let mut state = self.lock();
        state.cluster.has_node = true;
        state.cluster.wake_everything();
        drop(state);
        self.settle_soon();
    }

    /// Where the node keeps its logs, if there is one.
    pub(crate) fn logs(&self) -> Option<&Path> {
        self.logs.get().map(PathBuf::as_path)
    }

    /// Forgets the history that watches read.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        state.cluster.store.forget_history();
        self.revisions.send_replace(state.cluster.store.revision());
    }

    /// Ends all watches and refuses all requests from now on.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.revisions.send_modify(|_| {});
        self.wake.notify_one();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Wakes the controllers.
    pub(crate) fn settle_soon(self: &Arc<Self>) {
        if !self.controllers_run.swap(true, Ordering::AcqRel) {
            tokio::spawn(controllers(Arc::downgrade(self), self.wake.clone()));
        }
        self.wake.notify_one();
    }

    /// One round of the controllers; returns when the next one is due.
    fn settle(&self) -> Option<Instant> {
        let now = self.now();
        // What controllers do follows from what is stored already, so nobody waits until it is on disk.
        let ((next, settled), _synced) = self.transact(|cluster| {
            let next = cluster.settle(now);
            (next, cluster.is_settled())
        });
        if !settled {
            return Some(Instant::now());
        }
        let wait = Duration::try_from(next?.duration_since(now)).unwrap_or_default();
        Some(Instant::now() + wait)
    }

    /// Runs a change and writes it down. None where nothing changed.
    fn transact<T>(&self, run: impl FnOnce(&mut Cluster) -> T) -> (T, Option<Synced>) {
        let mut state = self.lock();
        let out = run(&mut state.cluster);
        let changes = state.cluster.take_changes();
        if changes.is_empty() {
            return (out, None);
        }
        let State { cluster, journal } = &mut *state;
        let synced = match journal {
            Some(journal) => journal.append(&changes, &cluster.store),
            None => Synced::nothing(),
        };
        // Under the lock, so that readers of the history never see revisions go back.
        self.revisions.send_replace(cluster.store.revision());
        (out, Some(synced))
    }

    /// The disk refused: memory is ahead of it, so nothing more is answered.
    fn fail(&self, error: &std::io::Error) -> ApiError {
        tracing::error!(%error, "the sandbox can't write its state and stops");
        self.stop();
        ApiError::internal(format!("can't write the sandbox's state: {error}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// The controllers, for as long as somebody holds the server.
async fn controllers(shared: Weak<Shared>, wake: Arc<Notify>) {
    let mut due = None;
    loop {
        match due {
            Some(at) => tokio::select! {
                () = wake.notified() => {}
                () = tokio::time::sleep_until(at) => {}
            },
            None => wake.notified().await,
        }
        tokio::time::sleep(SETTLE_AFTER).await;
        let Some(shared) = shared.upgrade().filter(|shared| !shared.is_stopped()) else {
            return;
        };
        due = shared.settle();
    }
}
