//! From a commit to a [`Revision`]: the files at the tool's path, and what its builds elsewhere resolve to.

use super::SourceError;
use super::fetch::Filter;
use super::git::{Git, object_id};
use super::refs::Refs;
use super::tree;
use super::url::{RepositoryUrl, Scheme};
use renderer::revision::{Facts, ResolvedSource, SourceRef};
use renderer::{CommitId, Revision, Tool};
use std::collections::BTreeMap;

impl Git {
    /// What `tool` says at `tip`, a commit of its followed branch. Sources elsewhere are not resolved yet: which are
    /// needed is known once the files are parsed; see [`Git::resolve_sources`].
    ///
    /// # Errors
    /// Where the commit could not be read. That it has no `toolforge.yaml` is no error.
    pub async fn revision(&self, tool: &Tool, tip: &CommitId) -> Result<Revision, SourceError> {
        let url = RepositoryUrl::of(tool)?;
        let snapshot = self.snapshot(&url, tip, &tool.path).await?;
        Ok(Revision {
            commit: Some(tip.clone()),
            branch: tool.branch.clone(),
            tree: snapshot.subtree.clone(),
            files: snapshot.files.clone(),
            resolved: BTreeMap::new(),
            facts: snapshot.commit.clone(),
        })
    }

    /// What is known of `commit` besides its files, of which none is fetched.
    ///
    /// # Errors
    /// Where it could not be read.
    pub async fn facts(&self, url: &RepositoryUrl, commit: &CommitId) -> Result<Facts, SourceError> {
        let id = object_id(commit)?;
        self.read(url, id, Filter::Trees, move |objects| tree::commit_facts(objects, id)).await
    }

    /// Resolves the sources that a tool's `toolforge.yaml` names, for [`Revision::resolved`]. Each gets a row.
    /// `polled` answers from the cycle's refs where that repository was polled anyway.
    pub async fn resolve_sources(
        &self,
        tool: &Tool,
        needed: &[SourceRef],
        polled: impl Fn(&RepositoryUrl) -> Option<Refs>,
    ) -> BTreeMap<String, ResolvedSource> {
        let mut resolved = BTreeMap::new();
        for source in needed {
            let found = match self.admit(tool, source) {
                Ok(url) => self.resolve_source(&url, source, polled(&url)).await,
                Err(error) => Err(error),
            };
            let found = found.unwrap_or_else(|error| match error {
                SourceError::NoSuchRef { nearest, .. } => ResolvedSource::NoSuchRef { nearest },
                error => ResolvedSource::Unavailable { why: error.to_string() },
            });
            resolved.insert(source.key(), found);
        }
        resolved
    }

    /// The address of a source that a `toolforge.yaml` names: https, http or git, on a host that the config
    /// repository names too, without credentials; or the tool's own repository, wherever that is.
    ///
    /// # Errors
    /// Where it is none of these.
    pub fn admit(&self, tool: &Tool, source: &SourceRef) -> Result<RepositoryUrl, SourceError> {
        let own = RepositoryUrl::of(tool)?;
        let url = RepositoryUrl::parse(&source.repository)?;
        if url.is_same_repository(&own) {
            return Ok(own);
        }
        let refused = |why: &str| SourceError::HostNotAllowed {
            host: match url.scheme() {
                Scheme::File => url.to_string(),
                _ => url.host().to_owned(),
            },
            why: why.to_owned(),
        };
        match url.scheme() {
            Scheme::File | Scheme::Ssh => {
                Err(refused("file and ssh repositories come only from the config repository"))
            }
            // Asked with our credentials, it would tell a stranger what only we may see.
            _ if self.holds_credentials_for(&url) => Err(refused("the repository is the platform's own")),
            _ if !self.dialer().rules().names(url.host(), url.named_port()) => {
                Err(refused("neither the config repository nor allowed_hosts of the platform names it on this port"))
            }
            _ => Ok(url.without_userinfo()),
        }
    }

    async fn resolve_source(
        &self,
        url: &RepositoryUrl,
        source: &SourceRef,
        polled: Option<Refs>,
    ) -> Result<ResolvedSource, SourceError> {
        let name = source.reference.as_str();
        let polled = polled.filter(|refs| refs.find(name).is_some());
        let (commit, tree) = self.commit_and_tree(url, name, polled).await?;
        Ok(ResolvedSource::Found { commit, tree })
    }
}
