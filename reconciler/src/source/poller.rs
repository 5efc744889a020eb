//! One ls-refs per distinct repository and cycle, shared by all tools that name it.
//!
//! A thousand tools in one repository, under three spellings of its address, cost one request. Requests run side by
//! side, bounded in all and per host, so that a host that hangs delays only its own repositories.

use super::SourceError;
use super::git::Git;
use super::refs::Refs;
use super::url::{RepositoryKey, RepositoryUrl};
use futures::{Stream, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};

/// Repositories asked at once, over all hosts.
const AT_ONCE: usize = 64;

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
    /// nobody else waiting.
    pub fn poll(
        &self,
        wanted: &[Wanted],
    ) -> impl Stream<Item = (RepositoryKey, Result<Refs, SourceError>)> + Send + use<> {
        let mut distinct: BTreeMap<RepositoryKey, Wanted> = BTreeMap::new();
        for one in wanted {
            let entry = distinct.entry(one.repository.key());
            entry.or_insert_with(|| one.clone()).names.extend(one.names.iter().cloned());
        }
        let git = self.git.clone();
        futures::stream::iter(distinct)
            .map(move |(key, one)| {
                let git = git.clone();
                async move { (key, git.ls_refs(&one.repository, one.names.iter().map(String::as_str)).await) }
            })
            .buffer_unordered(AT_ONCE)
    }
}
