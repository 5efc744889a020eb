//! [`Git`]: the two questions the rest of the program asks of a repository, under budgets.
//!
//! *What are your refs?* ([`Git::ls_refs`]) and *what is in this commit?* ([`Git::snapshot`]). What was read of a
//! commit is kept in memory, because a commit does not change; refs are not kept here, because they do.

mod recent;
mod settings;

use self::recent::Recent;
pub use self::settings::Settings;
use super::budget::{Budget, Cost, timed_out};
use super::fetch::{Filter, Session};
use super::ls_refs::{HttpRemote, Servers};
use super::refs::{Refs, prefixes};
use super::ssh_keys::{KeyLookup, KeyRing};
use super::store::{Cache, Store, unreadable};
use super::transport::Endpoint;
use super::tree::{self, ReadError, Snapshot};
use super::url::{Address, RepositoryKey, RepositoryUrl, Scheme};
use super::{SourceError, licence, worktree};
use crate::dialer::{Credentials, Dialer};
use gix::ObjectId;
use renderer::platform::KnownHost;
use renderer::{CommitId, TreeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One listing of refs; 500,000 of them fit.
const MAX_LISTING_BYTES: u64 = 64 << 20;

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
    credentials: BTreeMap<RepositoryKey, (Scheme, Credentials)>,
    servers: Servers,
    keys: KeyRing,
    known_hosts: Arc<[KnownHost]>,
    budget: Budget,
    cache: Arc<Cache>,
    repositories: Mutex<HashMap<Address, Arc<tokio::sync::Mutex<Known>>>>,
    elsewhere: Mutex<HashMap<Elsewhere, (Instant, Answer)>>,
    licences: Arc<licence::Known>,
    ls_refs: AtomicU64,
    fetches: AtomicU64,
}

/// A ref that somebody builds from.
type Elsewhere = (Address, String);
type Answer = Result<(CommitId, TreeId), SourceError>;

/// What is known of one repository's commits; its lock makes fetches of one repository take turns.
#[derive(Default)]
struct Known {
    snapshots: Recent<(CommitId, String, Arc<Snapshot>)>,
    trees: Recent<(CommitId, TreeId)>,
}

impl Git {
    /// A reader of repositories. `credentials` are for those repositories alone: the config repository, usually. However
    /// the repository is spelt elsewhere, they leave by the scheme they were given for, or by https.
    #[must_use]
    pub fn new(dialer: Dialer, settings: Settings, credentials: Vec<(RepositoryUrl, Credentials)>) -> Self {
        let credentials = credentials.into_iter().map(|(url, found)| (url.key(), (url.scheme(), found))).collect();
        Self(Arc::new(Inner {
            dialer,
            credentials,
            servers: Servers::default(),
            keys: KeyRing::new(&settings.ssh),
            known_hosts: settings.ssh.known_hosts.as_slice().into(),
            budget: Budget::new(&settings),
            cache: Cache::new(settings.cache.clone(), settings.max_cache_bytes),
            repositories: Mutex::default(),
            elsewhere: Mutex::default(),
            licences: Arc::default(),
            ls_refs: AtomicU64::new(0),
            fetches: AtomicU64::new(0),
            settings,
        }))
    }

    /// Where the keys of tools' own repositories are found, from now on.
    pub fn look_keys_up_with(&self, lookup: KeyLookup) {
        self.0.keys.look_up_with(lookup);
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
        let cost = Cost { timeout, limit_bytes: MAX_LISTING_BYTES, unpacked_bytes: 0 };
        if let Some(path) = url.local_path() {
            return self.0.budget.blocking(url, cost, move |_| worktree::refs(&path, &prefixes)).await;
        }
        if matches!(url.scheme(), Scheme::Http | Scheme::Https) {
            let _turn = self.0.budget.turn(url).await;
            let remote = HttpRemote { dialer: &self.0.dialer, url, credentials: self.credentials(url), timeout };
            // The discovery of an unknown server and its answer share one deadline.
            let listed = self.0.servers.ls_refs(&remote, &prefixes);
            return tokio::time::timeout(timeout, listed).await.unwrap_or_else(|_| Err(timed_out(url, timeout)));
        }
        self.asking(url, |endpoint| {
            let prefixes = prefixes.clone();
            self.0.budget.blocking(url, cost, move |watch| Session::open(endpoint, watch)?.ls_refs(&prefixes))
        })
        .await
    }

    /// What a question to this repository's host would come to, where the host answers nothing.
    pub(super) fn unanswered(&self, url: &RepositoryUrl) -> SourceError {
        timed_out(url, Duration::from_secs(self.0.settings.ls_refs_timeout_secs))
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
        known.snapshots.put(entry, path.len() + snapshot.size_bytes());
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
        known.trees.put((commit.clone(), tree.clone()), 0);
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
        F: Fn(&gix::odb::Handle) -> Result<T, ReadError> + Send + Sync + 'static,
    {
        let known = self.known(url);
        let _turn = known.lock().await;
        self.read(url, commit, filter, what).await
    }

    /// The commit and tree that `name` means now, or meant up to a cycle ago: refs that only builds look at are asked
    /// for once a cycle, however many passes and tools look.
    pub(super) async fn commit_and_tree(&self, url: &RepositoryUrl, name: &str, polled: Option<Refs>) -> Answer {
        let key = (url.address(), name.to_owned());
        let fresh = Duration::from_secs(self.0.settings.fresh_secs);
        let known = lock(&self.0.elsewhere).get(&key).filter(|(at, _)| at.elapsed() < fresh).cloned();
        if let Some((_, answer)) = known.filter(|_| polled.is_none()) {
            return answer;
        }
        let answer = self.ask_commit_and_tree(url, name, polled).await;
        let mut elsewhere = lock(&self.0.elsewhere);
        elsewhere.retain(|_, (at, _)| at.elapsed() < fresh);
        elsewhere.insert(key, (Instant::now(), answer.clone()));
        answer
    }

    async fn ask_commit_and_tree(&self, url: &RepositoryUrl, name: &str, polled: Option<Refs>) -> Answer {
        let refs = match polled {
            Some(refs) => refs,
            None => self.ls_refs(url, [name]).await?,
        };
        let commit = self.resolve(url, &refs, name).await?;
        let tree = self.tree(url, &commit).await?;
        Ok((commit, tree))
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
        F: Fn(&gix::odb::Handle) -> Result<T, ReadError> + Send + Sync + 'static,
    {
        let settings = &self.0.settings;
        let timeout = Duration::from_secs(settings.fetch_timeout_secs);
        let (limit_bytes, unpacked_bytes) = (settings.max_pack_bytes, settings.max_unpacked_bytes);
        let cost = Cost { timeout, limit_bytes, unpacked_bytes };
        if let Some(path) = url.local_path() {
            let read = move |_: &_| what(&worktree::objects(&path)?).map_err(unreadable);
            return self.0.budget.blocking(url, cost, read).await;
        }
        let what = Arc::new(what);
        self.asking(url, |endpoint| {
            let store = Store { cache: self.0.cache.clone(), address: url.address(), commit, filter };
            let (inner, what) = (self.0.clone(), what.clone());
            let read = move |watch: &_| {
                store.read(&*what, || {
                    inner.fetches.fetch_add(1, Ordering::Relaxed);
                    Session::open(endpoint.clone(), watch)
                })
            };
            self.0.budget.blocking(url, cost, read)
        })
        .await
    }

    pub(super) fn known_licences(&self) -> Arc<licence::Known> {
        Arc::clone(&self.0.licences)
    }

    /// Asks a repository; once more where it refused a key that has been replaced meanwhile.
    async fn asking<T, A>(&self, url: &RepositoryUrl, ask: impl Fn(Endpoint) -> A) -> Result<T, SourceError>
    where
        A: Future<Output = Result<T, SourceError>>,
    {
        let endpoint = self.endpoint(url).await?;
        let answer = ask(endpoint.clone()).await;
        let (Err(SourceError::Denied { .. }), Some(refused)) = (&answer, &endpoint.ssh_keys) else { return answer };
        match self.0.keys.instead_of(refused, url).await {
            Some(keys) => ask(Endpoint { ssh_keys: Some(keys), ..endpoint }).await,
            None => answer,
        }
    }

    async fn endpoint(&self, url: &RepositoryUrl) -> Result<Endpoint, SourceError> {
        let ssh_keys = match url.scheme() {
            Scheme::Ssh => Some(self.0.keys.of(url).await?),
            _ => None,
        };
        Ok(Endpoint {
            dialer: self.0.dialer.clone(),
            base: self.0.servers.base(url),
            credentials: self.credentials(url),
            ssh_keys,
            known_hosts: self.0.known_hosts.clone(),
            runtime: tokio::runtime::Handle::current(),
            url: url.clone(),
        })
    }

    pub(super) fn holds_credentials_for(&self, url: &RepositoryUrl) -> bool {
        self.0.credentials.contains_key(&url.key())
    }

    fn credentials(&self, url: &RepositoryUrl) -> Option<Credentials> {
        let configured = || {
            let (given_for, found) = self.0.credentials.get(&url.key())?;
            let safe = url.scheme() == *given_for || url.scheme() == Scheme::Https;
            safe.then(|| found.clone())
        };
        url.credentials().or_else(configured)
    }

    fn known(&self, url: &RepositoryUrl) -> Arc<tokio::sync::Mutex<Known>> {
        lock(&self.0.repositories).entry(url.address()).or_default().clone()
    }
}

pub(super) fn object_id(commit: &CommitId) -> Result<ObjectId, SourceError> {
    ObjectId::from_hex(commit.as_str().as_bytes()).map_err(|error| SourceError::Corrupt { why: error.to_string() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
