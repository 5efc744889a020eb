//! The deployments of a tool, newest first, as its status lists them: which revision was tried, and how it ended. The
//! list is also what a rollout remembers across passes and restarts: a revision that failed is not tried again until
//! something changes.

use crate::moment::Moment;
use crate::stored::{StoredImage, StoredRevision};
use renderer::length_prefixed::hex;
use renderer::{CommitId, ComponentName, Rendered};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// How many are listed.
pub const LISTED: usize = 10;

/// One revision on its way, or at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// What was tried, hashed: every object and image. Another commit that means the same is the same try.
    pub id: String,
    /// The commit.
    pub commit: CommitId,
    /// The branch it was on.
    #[serde(default)]
    pub branch: String,
    /// How it stands.
    pub state: State,
    /// Why it failed, in the words of whoever failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who asked for it by a pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// On the way.
    Progressing,
    /// It became Ready.
    Ready,
    /// It did not; the last good revision was applied again, if there was one.
    Failed,
    /// A newer one came before it was Ready.
    Superseded,
}

/// A deployment with its times, as it stands in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What.
    #[serde(flatten)]
    pub deployment: Deployment,
    /// When it began, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Moment>,
    /// When it became Ready, failed or was superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Moment>,
}

/// The list in a Tool's status, as far as it can be read.
#[must_use]
pub fn listed(status: Option<&Value>) -> Vec<Entry> {
    entries(status).filter_map(|entry| Entry::deserialize(entry).ok()).collect()
}

/// Entries that can't be read: another version wrote them, or a hand. They stay in the list, because a try that failed
/// may be among them.
pub(crate) fn unreadable(status: Option<&Value>) -> impl Iterator<Item = &Value> {
    entries(status).filter(|entry| Entry::deserialize(*entry).is_err())
}

/// The words with which this very try failed before, if it did. One of which only the id can be read counts as failed: it
/// is tried again when somebody says so.
pub(crate) fn failed(status: Option<&Value>, id: &str) -> Option<String> {
    let list = listed(status);
    let known = list.into_iter().map(|entry| entry.deployment).find(|d| d.id == id && d.state == State::Failed);
    let unread = || unreadable(status).any(|entry| entry.get("id").and_then(Value::as_str) == Some(id));
    known.map(|deployment| deployment.why.unwrap_or_default()).or_else(|| {
        unread().then(|| "it was tried before, and how that ended can't be read in the Tool's status".to_owned())
    })
}

/// Whether nothing was ever tried.
pub(crate) fn is_empty(status: Option<&Value>) -> bool {
    entries(status).next().is_none()
}

/// The words with which any try of this commit failed before.
pub(crate) fn failed_commit(status: Option<&Value>, commit: &CommitId) -> Option<String> {
    let failed = |d: &Deployment| d.commit == *commit && d.state == State::Failed;
    listed(status).into_iter().map(|entry| entry.deployment).find(failed).map(|d| d.why.unwrap_or_default())
}

fn entries(status: Option<&Value>) -> impl Iterator<Item = &Value> {
    status.and_then(|status| status.get("deployments")).and_then(Value::as_array).into_iter().flatten()
}

/// Nothing is listed, readable or not.
pub(crate) fn none(status: Option<&Value>) -> bool {
    entries(status).next().is_none()
}

/// The list after a pass that saw `seen`. Without a list (a lost status) the stored revisions tell what was Ready.
#[must_use]
pub fn after(mut list: Vec<Entry>, seen: Option<&Deployment>, stored: &[StoredRevision], now: Moment) -> Vec<Entry> {
    if list.is_empty() {
        let is_seen = |one: &&StoredRevision| one.revision.commit.as_ref() == seen.map(|seen| &seen.commit);
        let told_below = usize::from(stored.first().filter(is_seen).is_some());
        list.extend(stored.iter().skip(told_below).filter_map(of_stored));
    }
    let Some(seen) = seen else { return list };
    match list.first_mut() {
        Some(first) if first.is_about(seen) => first.turn(seen, now),
        first => {
            if let Some(first) = first.filter(|first| first.deployment.state == State::Progressing) {
                first.deployment.state = State::Superseded;
                first.ended_at = Some(now);
            }
            let ended_at = (seen.state != State::Progressing).then_some(now);
            list.insert(0, Entry { deployment: seen.clone(), started_at: Some(now), ended_at });
        }
    }
    list.truncate(LISTED);
    list
}

impl Entry {
    /// Another commit that means the same goes on with what is on its way: its pods are there already.
    fn is_about(&self, seen: &Deployment) -> bool {
        let goes_on = self.deployment.state == State::Progressing;
        self.deployment.id == seen.id && (goes_on || self.deployment.commit == seen.commit)
    }

    fn turn(&mut self, seen: &Deployment, now: Moment) {
        if self.deployment.state != seen.state {
            self.ended_at = (seen.state != State::Progressing).then_some(now);
        }
        self.deployment = seen.clone();
    }
}

fn of_stored(stored: &StoredRevision) -> Option<Entry> {
    let deployment = Deployment {
        id: String::new(),
        commit: stored.revision.commit.clone()?,
        branch: stored.revision.branch.clone(),
        state: State::Ready,
        why: None,
        by: None,
    };
    Some(Entry { deployment, started_at: None, ended_at: None })
}

/// sha256 over what a revision would have run: its objects, the images known for them, and the try. In hexadecimal.
pub(crate) fn id(rendered: &Rendered, images: &BTreeMap<ComponentName, StoredImage>, retry: Option<&str>) -> String {
    let mut hash = Sha256::new();
    for component in &rendered.components {
        let objects: Vec<_> = component.objects.iter().map(|object| &object.value).collect();
        // Values of ours have text keys only, so serialising them does not fail.
        let parts = (&component.name, images.get(&component.name), &component.one_off_key, objects);
        hash.update(serde_json::to_vec(&parts).unwrap_or_default());
    }
    hash.update(retry.unwrap_or_default());
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(id: &str, digit: char, state: State) -> Deployment {
        let commit = CommitId::new(digit.to_string().repeat(40)).expect("a commit");
        Deployment { id: id.to_owned(), commit, branch: "main".to_owned(), state, why: None, by: None }
    }

    const fn at(secs: i64) -> Moment {
        Moment::from_unix_secs(secs)
    }

    #[test]
    fn a_deployment_begins_ends_once_and_is_superseded_by_the_next() {
        let list = after(Vec::new(), Some(&deployment("x", 'a', State::Progressing)), &[], at(1));
        let list = after(list, Some(&deployment("x", 'a', State::Progressing)), &[], at(2));
        assert_eq!((list.len(), list[0].started_at, list[0].ended_at), (1, Some(at(1)), None));
        let list = after(list, Some(&deployment("y", 'b', State::Progressing)), &[], at(3));
        assert_eq!((list[1].deployment.state, list[1].ended_at), (State::Superseded, Some(at(3))));
        let list = after(list, Some(&deployment("y", 'b', State::Ready)), &[], at(4));
        let list = after(list, Some(&deployment("y", 'b', State::Ready)), &[], at(5));
        assert_eq!((list.len(), list[0].deployment.state, list[0].ended_at), (2, State::Ready, Some(at(4))));
        let again = listed(Some(&serde_json::json!({"deployments": list})));
        assert_eq!(again, list, "it comes back from a status as it was");
    }

    #[test]
    fn a_commit_that_means_the_same_goes_on_with_what_is_on_its_way_and_is_another_one_afterwards() {
        let list = after(Vec::new(), Some(&deployment("x", 'a', State::Progressing)), &[], at(1));
        let list = after(list, Some(&deployment("x", 'b', State::Progressing)), &[], at(2));
        assert_eq!((list.len(), list[0].started_at), (1, Some(at(1))));
        let list = after(list, Some(&deployment("x", 'b', State::Ready)), &[], at(3));
        let list = after(list, Some(&deployment("x", 'c', State::Ready)), &[], at(4));
        assert_eq!((list.len(), list[0].started_at), (2, Some(at(4))));
    }

    #[test]
    fn only_the_last_ten_are_listed() {
        let list = (0..30)
            .fold(Vec::new(), |list, n| after(list, Some(&deployment(&n.to_string(), 'a', State::Ready)), &[], at(n)));
        assert_eq!((list.len(), list[0].deployment.id.as_str()), (LISTED, "29"));
    }
}
