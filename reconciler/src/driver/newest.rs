//! A tool's newest revision, out of git: its own files first, and then what it builds from other repositories.

use super::book::Place;
use crate::source::signature;
use crate::source::{Git, Refs, RepositoryUrl, SourceError};
use renderer::build::Siblings;
use renderer::config::{ParseContext, parse};
use renderer::revision::SourceRef;
use renderer::{CommitId, Platform, Revision, Tool, sources_needed};

/// What a tool's repository is asked, once its refs are known.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub platform: Platform,
    pub tool: Tool,
    pub siblings: Siblings,
    pub url: RepositoryUrl,
    pub refs: Refs,
}

/// A tool's own files, and the sources elsewhere that they name.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub revision: Revision,
    pub elsewhere: Vec<SourceRef>,
}

impl Question {
    pub(super) fn place(&self) -> Place {
        let Tool { branch, path, .. } = &self.tool;
        Place { repository: self.url.key(), branch: branch.clone(), path: path.clone() }
    }

    /// What stands in the tool's own repository: fetched only where nobody knows its commit. Where the branch is missing,
    /// the nearest that exists is looked for.
    pub(super) async fn own(
        &self,
        git: &Git,
        known: impl Fn(&CommitId) -> Option<Revision>,
    ) -> Result<Own, SourceError> {
        let tip = git.resolve(&self.url, &self.refs, &self.tool.branch).await?;
        let Platform { licence, .. } = self.platform;
        let tells = |known: &Revision| licence.is_ignored() || known.facts.licences.is_some();
        let mut revision = match known(&tip).filter(tells) {
            Some(revision) => revision,
            None => signature::verified(git.revision(&self.tool, &tip).await?, &self.platform, &self.tool),
        };
        if !tells(&revision) {
            revision.facts.licences = Some(git.licences(&self.url, &tip).await?);
        }
        let parsed = parse(&revision.files, &ParseContext::new(&self.platform, &self.tool));
        let elsewhere = sources_needed(&parsed.config, &self.tool, &self.siblings).into_iter().collect();
        Ok(Own { revision, elsewhere })
    }
}

impl Own {
    /// Complete, with what it builds elsewhere.
    pub(super) async fn resolve(mut self, tool: &Tool, git: &Git) -> Revision {
        self.revision.resolved = git.resolve_sources(tool, &self.elsewhere, |_| None).await;
        self.revision
    }
}

/// The newest revision of a tool: fetched only where its commit is new, and complete with what it builds elsewhere.
///
/// # Errors
/// Where the branch is gone or the repository could not be read.
pub async fn newest(
    platform: &Platform,
    tool: &Tool,
    siblings: &Siblings,
    refs: Result<Refs, SourceError>,
    git: &Git,
) -> Result<Revision, SourceError> {
    let question = Question {
        platform: platform.clone(),
        tool: tool.clone(),
        siblings: siblings.clone(),
        url: RepositoryUrl::of(tool)?,
        refs: refs?,
    };
    Ok(question.own(git, |_| None).await?.resolve(tool, git).await)
}
