//! The whole: a server, and where it keeps its state.

use crate::cluster::Cluster;
use crate::journal::{Journal, Unreadable};
use crate::lock::{Lock, Taken};
use crate::server::Shared;
use crate::service::SandboxService;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a sandbox can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// Its state can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// A Kubernetes API in this process. Its methods need a tokio runtime around them.
#[derive(Debug)]
pub struct Sandbox {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dir: Option<PathBuf>,
    lock: Option<Lock>,
}

impl Sandbox {
    /// A sandbox that forgets everything with its last user. Ids are random and the time is the system's.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_memory_at(Timestamp::now(), rand::random())
    }

    /// A sandbox whose clock starts here and follows the runtime's, and whose ids follow from the seed: the same requests
    /// give the same bytes.
    #[must_use]
    pub fn in_memory_at(start: Timestamp, seed: u64) -> Self {
        let mut cluster = Cluster::new(seed);
        cluster.bootstrap(start);
        Self::around(cluster, None, start)
    }

    /// A sandbox that keeps its state in a directory, made if it is missing.
    ///
    /// # Errors
    /// Where another process has the directory, or its state can't be read.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let lock = Lock::take(dir)?;
        let mut cluster = Cluster::new(rand::random());
        let journal = Journal::open(dir, &mut cluster.store)?;
        cluster.wake_everything();
        let now = Timestamp::now();
        cluster.bootstrap(now);
        let mut sandbox = Self::around(cluster, Some(journal), now);
        sandbox.dir = Some(dir.to_owned());
        sandbox.lock = Some(lock);
        Ok(sandbox)
    }

    fn around(cluster: Cluster, journal: Option<Journal>, start: Timestamp) -> Self {
        let shared = Shared::new(cluster, journal, start);
        shared.settle_soon();
        Self { shared, dir: None, lock: None }
    }

    /// The API as a tower service, for `kube::Client::new(sandbox.service(), "default")`. It answers for as long as this
    /// sandbox is there and not stopped.
    #[must_use]
    pub fn service(&self) -> SandboxService {
        SandboxService(self.shared.clone())
    }

    /// From now on a node runs the pods: they are bound to [`NODE`](crate::NODE) and are as the node says, are deleted
    /// after their grace period, and CronJobs make Jobs. `logs` is where the node keeps what containers say, each run of
    /// a container in `<namespace>_<pod>_<uid>/<container>/<restarts>.log` in the form of a kubelet's files; what was
    /// rotated away last is beside it as `<restarts>.log.1`.
    pub fn attach_node(&self, logs: &Path) {
        self.shared.attach_node(logs);
    }

    /// Forgets the history that watches read, as a real server does after a while: open watches get 410 and list again.
    pub fn compact(&self) {
        self.shared.compact();
    }

    /// Ends all watches and refuses all requests from now on; the directory is free for the next process.
    pub fn stop(&mut self) {
        self.shared.stop();
        self.lock = None;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop();
    }
}
