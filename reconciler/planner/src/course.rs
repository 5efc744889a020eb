//! Which revision a tool is led to: the newest of its branch, unless a person pinned another one, or the newest has been
//! tried and failed. Then it is a stored one, and what is kept back is said.
//!
//! A rollout's memory is the list of deployments in the Tool's status: it survives restarts and lost caches, and a
//! person can read it.

use crate::decide::{Input, Newest};
use crate::deployments::{self, Deployment, State};
use crate::licensed::unlicensed;
use crate::moment::Moment;
use crate::pin::Pin;
use crate::plan::Why;
use crate::promotion::soaking;
use crate::rebased;
use crate::signed::unsigned;
use crate::stored::StoredRevision;
use crate::target::{images_of, images_unknown};
use renderer::{CommitId, Rendered, Revision};
use serde_json::Value;

/// Where a tool is going.
#[derive(Debug, Clone)]
pub(crate) struct Course<'a> {
    /// The revision it is led to.
    pub to: Newest<'a>,
    /// Why that is not the newest, if it is not.
    pub kept_back: Option<Why>,
    /// How the deployment stands before this pass; none where there is nothing to tell.
    pub deployment: Option<Deployment>,
}

/// Decides where the tool is going.
pub(crate) fn course<'a>(input: &Input<'a>, pin: &Pin) -> Course<'a> {
    if let Some(commit) = &pin.commit {
        return match position(commit, &input.observed.stored) {
            Some(at) => pinned(input, at, pin, None),
            None => pinned(input, 0, pin, Some(commit)),
        };
    }
    if pin.hold {
        return pinned(input, 0, pin, None);
    }
    let Newest::Revision(revision, rendered) = input.newest else { return Course::only(input.newest) };
    let Some(commit) = revision.commit.as_ref().filter(|_| !rendered.unusable) else {
        return Course::only(input.newest);
    };
    let brings = unsigned(input, revision).or_else(|| unlicensed(input, revision));
    if let Some(why) = brings.or_else(|| soaking(input, revision)) {
        let to = stored(input, 0).unwrap_or(Newest::Nothing);
        return Course { to, kept_back: Some(why), deployment: None };
    }
    let last_good = input.observed.stored.first().filter(|stored| stored.revision.commit.as_ref() != Some(commit));
    match (last_good, failed_before(input, rendered, commit, pin)) {
        (Some(_), Some(why)) => Course {
            to: stored(input, 0).unwrap_or(Newest::Nothing),
            kept_back: Some(Why::RolledBack { commit: commit.clone(), why }),
            deployment: None,
        },
        _ => Course { deployment: deployment(input, revision, rendered, pin), ..Course::only(input.newest) },
    }
}

impl<'a> Course<'a> {
    fn only(to: Newest<'a>) -> Self {
        Self { to, kept_back: None, deployment: None }
    }
}

/// The stored revision that a pin names, where it is not the last good one: the shell renders it for [`Input::pinned`].
#[must_use]
pub fn pinned_revision<'a>(
    tool: Option<&Value>,
    stored: &'a [StoredRevision],
    now: Moment,
) -> Option<&'a StoredRevision> {
    let at = position(Pin::of(tool, now).commit.as_deref()?, stored)?;
    stored.get(at).filter(|_| at > 0)
}

/// The newest stored revision of a commit, or of one that begins so.
fn position(commit: &str, stored: &[StoredRevision]) -> Option<usize> {
    let is_it = |stored: &StoredRevision| {
        stored.revision.commit.as_ref().is_some_and(|known| !commit.is_empty() && known.as_str().starts_with(commit))
    };
    stored.iter().position(is_it)
}

fn stored<'a>(input: &Input<'a>, at: usize) -> Option<Newest<'a>> {
    let rendered = if at == 0 { input.last_good } else { input.pinned };
    Some(Newest::Revision(&input.observed.stored.get(at)?.revision, rendered?))
}

fn pinned<'a>(input: &Input<'a>, at: usize, pin: &Pin, unknown: Option<&str>) -> Course<'a> {
    let to = stored(input, at).unwrap_or(Newest::Nothing);
    let commit_of = |newest: &Newest<'a>| match newest {
        Newest::Revision(revision, _) => revision.commit.clone(),
        _ => None,
    };
    let commit = commit_of(&to);
    let differs = commit != commit_of(&input.newest) || unknown.is_some();
    let kept_back = differs.then(|| Why::Pinned {
        commit: commit.clone(),
        unknown: unknown.map(str::to_owned),
        terms: pin.terms(),
    });
    let deployment = match to {
        Newest::Revision(revision, rendered) => deployment(input, revision, rendered, pin),
        _ => None,
    };
    Course { to, kept_back, deployment }
}

/// The words with which this very try failed before, if it did. Which try it is follows from its images: while a registry
/// does not say one, it is taken for the try of this commit that failed, and not made again by mistake.
fn failed_before(input: &Input, rendered: &Rendered, commit: &CommitId, pin: &Pin) -> Option<String> {
    let status = input.status();
    if deployments::is_empty(status) {
        return None;
    }
    if images_unknown(rendered, Some(commit), input.observed) {
        return deployments::failed_commit(status, commit);
    }
    let id = deployments::id(rendered, &images_of(rendered, Some(commit), input.observed), pin.retry.as_deref());
    deployments::failed(status, &id)
}

/// What the list of deployments should say of this revision, where it does not say so already.
fn deployment(input: &Input, revision: &Revision, rendered: &Rendered, pin: &Pin) -> Option<Deployment> {
    let commit = revision.commit.clone()?;
    let recorded = input.observed.stored.first().is_some_and(|s| s.revision.commit.as_ref() == Some(&commit));
    let recorded = recorded && !rebased::is_pending(input);
    let list = deployments::listed(input.status());
    let first = list.first().map(|entry| &entry.deployment);
    if recorded && first.is_some_and(|first| first.commit == commit && first.state == State::Ready) {
        return None;
    }
    let id = deployments::id(rendered, &images_of(rendered, Some(&commit), input.observed), pin.retry.as_deref());
    let failed = first.filter(|first| first.id == id && first.state == State::Failed && !recorded);
    Some(Deployment {
        why: failed.and_then(|first| first.why.clone()),
        state: match failed {
            _ if recorded => State::Ready,
            Some(_) => State::Failed,
            None => State::Progressing,
        },
        id,
        commit,
        branch: revision.branch.clone(),
        by: (pin.hold || pin.commit.is_some()).then(|| pin.terms()).filter(|terms| !terms.is_empty()),
    })
}
