//! One ls-refs per distinct repository and cycle, shared by all tools that name it.
//!
//! A thousand tools in one repository, under three spellings of its address, cost one request. Requests run side by
//! side, bounded per host, so that a host that hangs delays only its own repositories.

use super::SourceError;
use super::git::Git;
use super::refs::Refs;
use super::url::{RepositoryKey, RepositoryUrl};
use futures::Stream;
use futures::stream::FuturesUnordered;
use rand::seq::SliceRandom as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Semaphore;

/// Questions to one host at once.
const AT_HOST: usize = 8;
/// A host that answered nothing in this cycle, and let so many questions time out, is taken for silent.
const SILENT_AFTER: usize = 3;

/// One repository somebody follows, and the refs they need of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is.
    pub repository: RepositoryUrl,
    /// Branches, tags or commits as written.
    pub names: BTreeSet<String>,
}

impl Wanted {
    /// One ref of one repository.
    #[must_use]
    pub fn new(repository: RepositoryUrl, name: impl Into<String>) -> Self {
        Self { repository, names: BTreeSet::from([name.into()]) }
    }
}

/// Asks repositories for their refs, cycle by cycle. It keeps nothing between cycles: who remembers is who is woken.
#[derive(Clone)]
pub struct Poller {
    git: Git,
}

impl Poller {
    /// A poller that asks with `git`.
    #[must_use]
    pub fn new(git: Git) -> Self {
        Self { git }
    }

    /// One cycle. Each distinct repository has one row, which comes as soon as it is there: a host that hangs keeps
    /// nobody else waiting. Of a host that has only let questions time out, the rest is not asked in this cycle; it
    /// times out with them.
    pub fn poll(
        &self,
        wanted: &[Wanted],
    ) -> impl Stream<Item = (RepositoryKey, Result<Refs, SourceError>)> + Send + use<> {
        let mut distinct: BTreeMap<RepositoryKey, Wanted> = BTreeMap::new();
        for one in wanted {
            let entry = distinct.entry(one.repository.key());
            entry.or_insert_with(|| one.clone()).names.extend(one.names.iter().cloned());
        }
        let mut hosts: HashMap<String, Arc<Host>> = HashMap::new();
        let mut rows: Vec<_> = distinct
            .into_iter()
            .map(|(key, one)| {
                let host = hosts.entry(one.repository.host().to_owned()).or_default().clone();
                let git = self.git.clone();
                async move { (key, host.ask(&git, &one).await) }
            })
            .collect();
        // So that it is not the same repositories every time that come first, and may be the hanging ones.
        rows.shuffle(&mut rand::rng());
        // Bounded per host alone: a bound over all could be filled by one host.
        rows.into_iter().collect::<FuturesUnordered<_>>()
    }
}

/// One host in one cycle.
struct Host {
    turns: Semaphore,
    answers: AtomicUsize,
    timeouts: AtomicUsize,
}

impl Default for Host {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_HOST), answers: AtomicUsize::new(0), timeouts: AtomicUsize::new(0) }
    }
}

impl Host {
    async fn ask(&self, git: &Git, wanted: &Wanted) -> Result<Refs, SourceError> {
        let _turn = self.turns.acquire().await;
        let silent = self.answers.load(Relaxed) == 0 && self.timeouts.load(Relaxed) >= SILENT_AFTER;
        if silent {
            return Err(git.unanswered(&wanted.repository));
        }
        let refs = git.ls_refs(&wanted.repository, wanted.names.iter().map(String::as_str)).await;
        match &refs {
            Err(SourceError::TimedOut { .. }) => self.timeouts.fetch_add(1, Relaxed),
            _ => self.answers.fetch_add(1, Relaxed),
        };
        refs
    }
}
