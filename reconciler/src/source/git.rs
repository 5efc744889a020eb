//! [`Git`]: the two questions the rest of the program asks of a repository, under budgets.
//!
//! *What are your refs?* ([`Git::ls_refs`]) and *what is in this commit?* ([`Git::snapshot`]). Blocking work runs on
//! a bounded number of threads and under a deadline; a thread that overstays is cut off from its connection and keeps
//! its place in the budget until it is really gone. Packs land in `<cache>/<repository>/<commit>/`, a folder at a
//! time, renamed into place when complete: what is there is whole, or is found corrupt, removed, and fetched again.

use super::fetch::{Filter, Session};
use super::ls_refs::{HttpRemote, Servers};
use super::refs::{Refs, prefixes};
use super::transport::{Endpoint, Watch};
use super::tree::{self, ReadError, Snapshot};
use super::url::{RepositoryKey, RepositoryUrl, Scheme};
use super::{SourceError, worktree};
use crate::dialer::{Credentials, Dialer};
use gix::ObjectId;
use renderer::{CommitId, TreeId};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Commits of one repository kept on disk: beta and main and a few more, each with the one before.
const KEPT_ON_DISK: usize = 8;
/// Paths and commits of one repository kept in memory: a repository shared by many tools has a path for each.
const KEPT_IN_MEMORY: usize = 64;

/// Budgets and places.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the cache; may be deleted at any time.
    pub cache: PathBuf,
    /// Threads that may block in git at once.
    pub threads: usize,
    /// Requests to one host at once.
    pub per_host: usize,
    /// Seconds for one ls-refs.
    pub ls_refs_timeout_secs: u64,
    /// Seconds for one fetch.
    pub fetch_timeout_secs: u64,
    /// Largest pack, in bytes.
    pub max_pack_bytes: u64,
    /// The ssh program.
    pub ssh_program: String,
}

impl Settings {
    /// The defaults, with the cache in `cache`.
    #[must_use]
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            threads: 8,
            per_host: 8,
            ls_refs_timeout_secs: 15,
            fetch_timeout_secs: 60,
            max_pack_bytes: 512 << 20,
            ssh_program: "ssh".to_owned(),
        }
    }
}

/// How often each question went out, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// ls-refs, local ones included.
    pub ls_refs: u64,
    /// Fetches; a local repository needs none.
    pub fetches: u64,
}

/// Reads repositories. Cheap to clone; all clones share budgets, caches and connections.
#[derive(Clone)]
pub struct Git(Arc<Inner>);

struct Inner {
    dialer: Dialer,
    settings: Settings,
    credentials: BTreeMap<RepositoryKey, Credentials>,
    servers: Servers,
    threads: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    repositories: Mutex<HashMap<RepositoryKey, Arc<tokio::sync::Mutex<Known>>>>,
    ls_refs: AtomicU64,
    fetches: AtomicU64,
}

/// What is known of one repository's commits; its lock makes fetches of one repository take turns.
#[derive(Default)]
struct Known {
    snapshots: Recent<(CommitId, String, Arc<Snapshot>)>,
    trees: Recent<(CommitId, TreeId)>,
}

impl Git {
    /// A reader of repositories. `credentials` are for those repositories alone: the config repository, usually.
    #[must_use]
    pub fn new(dialer: Dialer, settings: Settings, credentials: BTreeMap<RepositoryKey, Credentials>) -> Self {
        Self(Arc::new(Inner {
            dialer,
            credentials,
            servers: Servers::default(),
            threads: Arc::new(Semaphore::new(settings.threads)),
            hosts: Mutex::default(),
            repositories: Mutex::default(),
            ls_refs: AtomicU64::new(0),
            fetches: AtomicU64::new(0),
            settings,
        }))
    }

    /// The way out that it uses.
    #[must_use]
    pub fn dialer(&self) -> &Dialer {
        &self.0.dialer
    }

    /// Requests so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { ls_refs: self.0.ls_refs.load(Ordering::Relaxed), fetches: self.0.fetches.load(Ordering::Relaxed) }
    }

    /// HEAD and the refs that `names` may mean (`main`, `v1`, `refs/heads/x`). One request.
    ///
    /// # Errors
    /// Where the repository could not be asked.
    pub async fn ls_refs<'a>(
        &self,
        url: &RepositoryUrl,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Refs, SourceError> {
        self.list(url, names.into_iter().flat_map(prefixes).collect()).await
    }

    /// Every branch and tag, for a suggestion: not for every cycle.
    ///
    /// # Errors
    /// Where the repository could not be asked.
    pub async fn all_refs(&self, url: &RepositoryUrl) -> Result<Refs, SourceError> {
        self.list(url, vec!["refs/heads/".to_owned(), "refs/tags/".to_owned()]).await
    }

    async fn list(&self, url: &RepositoryUrl, prefixes: Vec<String>) -> Result<Refs, SourceError> {
        self.0.ls_refs.fetch_add(1, Ordering::Relaxed);
        let timeout = Duration::from_secs(self.0.settings.ls_refs_timeout_secs);
        if let Some(path) = url.local_path() {
            let watch = Watch::new(timeout, u64::MAX);
            return self.blocking(url, timeout, watch, move |_| worktree::refs(&path, &prefixes)).await;
        }
        let host = self.host(url);
        let _turn = host.acquire().await;
        if matches!(url.scheme(), Scheme::Http | Scheme::Https) {
            let remote = HttpRemote { dialer: &self.0.dialer, url, credentials: self.credentials(url), timeout };
            // The discovery of an unknown server and its answer share one deadline.
            let listed = self.0.servers.ls_refs(&remote, &prefixes);
            return tokio::time::timeout(timeout, listed).await.unwrap_or_else(|_| Err(timed_out(url, timeout)));
        }
        let endpoint = self.endpoint(url);
        let watch = Watch::new(timeout, 64 << 20);
        self.blocking(url, timeout, watch, move |watch| Session::open(endpoint, watch)?.ls_refs(&prefixes)).await
    }

    /// The commit that `name` means in `refs`; where it means none, the nearest that exists is looked for.
    ///
    /// # Errors
    /// [`SourceError::NoSuchRef`] or [`SourceError::Empty`], or what the second look-up ran into.
    pub async fn resolve(&self, url: &RepositoryUrl, refs: &Refs, name: &str) -> Result<CommitId, SourceError> {
        if let Some(commit) = refs.find(name) {
            return Ok(commit);
        }
        let all = self.all_refs(url).await?;
        if all.is_empty() {
            return Err(SourceError::Empty);
        }
        let plain = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name);
        Err(SourceError::NoSuchRef {
            reference: name.to_owned(),
            nearest: all.nearest(plain).filter(|nearest| nearest != name),
        })
    }

    /// The describing files of `commit` at `path`. From memory where they were read before; fetched at most once.
    ///
    /// # Errors
    /// Where they could not be read; that a file is absent is no error.
    pub async fn snapshot(
        &self,
        url: &RepositoryUrl,
        commit: &CommitId,
        path: &str,
    ) -> Result<Arc<Snapshot>, SourceError> {
        let known = self.known(url);
        let mut known = known.lock().await;
        let found = known.snapshots.get(|(c, p, _)| c == commit && p == path);
        if let Some((.., snapshot)) = found {
            return Ok(snapshot.clone());
        }
        let (id, at) = (object_id(commit)?, path.to_owned());
        let snapshot = self.read(url, id, Filter::Blobs, move |objects| tree::snapshot(objects, id, &at)).await?;
        let snapshot = Arc::new(snapshot);
        let entry = (commit.clone(), path.to_owned(), snapshot.clone());
        known.snapshots.put(entry);
        Ok(snapshot)
    }

    /// The root tree of `commit`: of a remote repository only the commit is fetched, where the server can do that.
    ///
    /// # Errors
    /// Where it could not be read.
    pub async fn tree(&self, url: &RepositoryUrl, commit: &CommitId) -> Result<TreeId, SourceError> {
        let known = self.known(url);
        let mut known = known.lock().await;
        if let Some((.., snapshot)) = known.snapshots.get(|(c, ..)| c == commit) {
            return Ok(snapshot.tree.clone());
        }
        if let Some((_, tree)) = known.trees.get(|(c, _)| c == commit) {
            return Ok(tree.clone());
        }
        let id = object_id(commit)?;
        let root = self.read(url, id, Filter::Trees, move |objects| tree::root_tree(objects, id)).await?;
        let tree = TreeId::new(root.to_string()).map_err(|error| SourceError::Corrupt { why: error.to_string() })?;
        known.trees.put((commit.clone(), tree.clone()));
        Ok(tree)
    }

    /// Like [`Git::read`], and no other reads this repository meanwhile.
    pub(super) async fn read_in_turn<T, F>(
        &self,
        url: &RepositoryUrl,
        commit: ObjectId,
        filter: Filter,
        what: F,
    ) -> Result<T, SourceError>
    where
        T: Send + 'static,
        F: Fn(&gix::odb::Handle) -> Result<T, ReadError> + Send + 'static,
    {
        let known = self.known(url);
        let _turn = known.lock().await;
        self.read(url, commit, filter, what).await
    }

    /// Runs `what` on the objects of `commit`, fetched where they are not in the cache.
    pub(super) async fn read<T, F>(
        &self,
        url: &RepositoryUrl,
        commit: ObjectId,
        filter: Filter,
        what: F,
    ) -> Result<T, SourceError>
    where
        T: Send + 'static,
        F: Fn(&gix::odb::Handle) -> Result<T, ReadError> + Send + 'static,
    {
        let timeout = Duration::from_secs(self.0.settings.fetch_timeout_secs);
        let watch = Watch::new(timeout, self.0.settings.max_pack_bytes);
        if let Some(path) = url.local_path() {
            return self
                .blocking(url, timeout, watch, move |_| what(&worktree::objects(&path)?).map_err(unreadable))
                .await;
        }
        let host = self.host(url);
        let _turn = host.acquire().await;
        let store = Store { folder: self.0.settings.cache.join(folder_name(&url.key())), commit, filter };
        let (endpoint, inner) = (self.endpoint(url), self.0.clone());
        self.blocking(url, timeout, watch, move |watch| {
            store.read(&what, || {
                inner.fetches.fetch_add(1, Ordering::Relaxed);
                Session::open(endpoint.clone(), watch)
            })
        })
        .await
    }

    /// Runs `work` on a thread of the budget, no longer than `timeout`.
    async fn blocking<T: Send + 'static>(
        &self,
        url: &RepositoryUrl,
        timeout: Duration,
        watch: Arc<Watch>,
        work: impl FnOnce(&Arc<Watch>) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let permit = self.0.threads.clone().acquire_owned().await;
        let theirs = watch.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&theirs)
        });
        match tokio::time::timeout(timeout, thread).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(SourceError::Corrupt { why: format!("{url} sent something that git cannot read") }),
            Err(_) => {
                watch.abort();
                Err(timed_out(url, timeout))
            }
        }
    }

    fn endpoint(&self, url: &RepositoryUrl) -> Endpoint {
        Endpoint {
            dialer: self.0.dialer.clone(),
            base: self.0.servers.base(url),
            credentials: self.credentials(url),
            ssh_program: self.0.settings.ssh_program.clone(),
            runtime: tokio::runtime::Handle::current(),
            url: url.clone(),
        }
    }

    fn credentials(&self, url: &RepositoryUrl) -> Option<Credentials> {
        let configured = || self.0.credentials.get(&url.key()).cloned();
        url.credentials().or_else(configured)
    }

    fn host(&self, url: &RepositoryUrl) -> Arc<Semaphore> {
        let permits = self.0.settings.per_host;
        let fresh = || Arc::new(Semaphore::new(permits));
        lock(&self.0.hosts).entry(url.host().to_owned()).or_insert_with(fresh).clone()
    }

    fn known(&self, url: &RepositoryUrl) -> Arc<tokio::sync::Mutex<Known>> {
        lock(&self.0.repositories).entry(url.key()).or_default().clone()
    }
}

/// One commit's folder in the cache.
struct Store {
    folder: PathBuf,
    commit: ObjectId,
    filter: Filter,
}

impl Store {
    fn read<T>(
        &self,
        what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>,
        connect: impl Fn() -> Result<Session, SourceError>,
    ) -> Result<T, SourceError> {
        let place = self.folder.join(self.commit.to_string());
        if place.exists() {
            match look(&place, what) {
                Ok(done) => return Ok(done),
                // Left out by the filter, and wanted now: asked for by name, into the same folder.
                Err(ReadError::Missing(ids)) => {
                    let mut session = connect()?;
                    if session.can_filter()
                        && let Ok(done) = complete(&place, &ids, what, &mut session)
                    {
                        return Ok(done);
                    }
                    remove(&place)?;
                    return self.fetch(&place, what, &mut session);
                }
                // The cache is no authority: what looks corrupt in it is fetched again.
                Err(ReadError::Source(SourceError::Corrupt { .. })) => {}
                Err(verdict) => return Err(unreadable(verdict)),
            }
            remove(&place)?;
        }
        self.fetch(&place, what, &mut connect()?)
    }

    fn fetch<T>(
        &self,
        place: &Path,
        what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>,
        session: &mut Session,
    ) -> Result<T, SourceError> {
        let fresh = Fresh::below(&self.folder)?;
        session.fetch(&[self.commit], self.filter, &fresh.0)?;
        let done = match look(&fresh.0, what) {
            Err(ReadError::Missing(ids)) if session.can_filter() => complete(&fresh.0, &ids, what, session)?,
            done => done.map_err(unreadable)?,
        };
        // A commit alone is not worth a folder.
        if self.filter != Filter::Trees {
            match std::fs::rename(&fresh.0, place) {
                Err(error) if !place.exists() => return Err(disk(place, &error)),
                _ => self.evict()?,
            }
        }
        Ok(done)
    }

    /// Keeps the newest commits of this repository; also sweeps up what a killed process left.
    fn evict(&self) -> Result<(), SourceError> {
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(|e| disk(&self.folder, &e))? {
            let entry = entry.map_err(|error| disk(&self.folder, &error))?;
            let modified = entry.metadata().and_then(|m| m.modified());
            kept.push((modified.map_err(|e| disk(&self.folder, &e))?, entry.path()));
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(KEPT_ON_DISK);
        for (_, old) in kept.drain(..surplus) {
            remove(&old)?;
        }
        Ok(())
    }
}

/// Asks for the objects that a filter left out, and reads again.
fn complete<T>(
    place: &Path,
    ids: &[ObjectId],
    what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>,
    session: &mut Session,
) -> Result<T, SourceError> {
    session.fetch(ids, Filter::Nothing, place)?;
    look(place, what).map_err(unreadable)
}

fn look<T>(place: &Path, what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>) -> Result<T, ReadError> {
    let objects = place.join("objects");
    let handle = gix::odb::at(&objects, gix::hash::Kind::Sha1).map_err(|e| disk(&objects, &e))?;
    what(&handle)
}

/// A folder for one fetch, gone again unless it was renamed.
struct Fresh(PathBuf);

impl Fresh {
    fn below(folder: &Path) -> Result<Self, SourceError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = folder.join(format!(".fresh-{}-{next}", std::process::id()));
        remove(&fresh)?;
        let packs = fresh.join("objects").join("pack");
        std::fs::create_dir_all(&packs).map_err(|error| disk(&packs, &error))?;
        Ok(Self(fresh))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Renamed, or removed; a rest is swept up by the next fetch.
        drop(remove(&self.0));
    }
}

fn remove(folder: &Path) -> Result<(), SourceError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(folder, &error)),
        _ => Ok(()),
    }
}

fn disk(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::Corrupt { why: format!("{}: {error}", path.display()) }
}

pub(super) fn unreadable(error: ReadError) -> SourceError {
    match error {
        ReadError::Source(error) => error,
        ReadError::Missing(ids) => SourceError::Corrupt {
            why: match ids.first() {
                Some(id) => format!("object {id} is missing in the repository"),
                None => "an object is missing in the repository".to_owned(),
            },
        },
    }
}

fn timed_out(url: &RepositoryUrl, timeout: Duration) -> SourceError {
    SourceError::TimedOut {
        host: if url.host().is_empty() { url.to_string() } else { url.host().to_owned() },
        secs: timeout.as_secs(),
    }
}

fn folder_name(key: &RepositoryKey) -> String {
    let hash = Sha256::digest(key.as_str().as_bytes());
    hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

pub(super) fn object_id(commit: &CommitId) -> Result<ObjectId, SourceError> {
    ObjectId::from_hex(commit.as_str().as_bytes()).map_err(|error| SourceError::Corrupt { why: error.to_string() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entries used last, newest at the back.
struct Recent<T>(VecDeque<T>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    fn get(&mut self, wanted: impl Fn(&T) -> bool) -> Option<&T> {
        let at = self.0.iter().position(wanted)?;
        let found = self.0.remove(at)?;
        self.0.push_back(found);
        self.0.back()
    }

    fn put(&mut self, fresh: T) {
        if self.0.len() >= KEPT_IN_MEMORY {
            self.0.pop_front();
        }
        self.0.push_back(fresh);
    }
}
