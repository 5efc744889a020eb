//! Has a revision proved itself where it is promoted from?

use super::Forerunner;
use crate::decide::Input;
use crate::deployments::{Entry, State, listed};
use crate::moment::Moment;
use crate::plan::Why;
use renderer::{CommitId, Revision};
use serde_json::Value;

/// Since when, and until when at least, the forerunner has to be Ready with a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Soak {
    /// Long enough.
    Over,
    /// It is, and has to be for a while yet.
    Since(Moment),
    /// It is not.
    Not,
}

/// Why a revision waits; none where nothing has to soak, it has soaked, or it is what runs already.
pub(crate) fn soaking(input: &Input, revision: &Revision) -> Option<Why> {
    let promotion = input.tool.promotion.as_ref().filter(|promotion| promotion.soak_secs > 0)?;
    let commit = revision.commit.clone()?;
    let last_good = input.observed.stored.first().map(|stored| &stored.revision);
    if last_good.is_some_and(|known| is_same(known, revision)) {
        return None;
    }
    let from = &promotion.from;
    let Some(forerunner) = input.observed.forerunner.as_ref().filter(|known| known.name == *from) else {
        return Some(Why::NotObserved(format!("tool {from}, which it is promoted from: not looked at")));
    };
    if let Some(why) = &forerunner.unseen {
        return Some(Why::NotObserved(format!("tool {from}, which it is promoted from: {why}")));
    }
    let secs = promotion.soak_secs;
    let since = match forerunner.soak(revision, secs, input.circumstances.now) {
        Soak::Over => return None,
        Soak::Since(since) => Some(since),
        Soak::Not => None,
    };
    let until = since.map(|since| since.plus_secs(secs));
    let meanwhile = last_good.and_then(|known| known.commit.clone());
    Some(Why::Soaking { from: from.clone(), commit, since, until, meanwhile })
}

/// The same commit, or another with the same tree: a merge, or what was taken back and done again.
fn is_same(known: &Revision, revision: &Revision) -> bool {
    let same_tree = known.tree.is_some() && known.tree == revision.tree && known.files == revision.files;
    known.commit == revision.commit || same_tree
}

impl Forerunner {
    fn soak(&self, revision: &Revision, secs: u64, now: Moment) -> Soak {
        let list = listed(self.status.as_ref());
        let long_enough = |since: Moment, until: Moment| since.plus_secs(secs) <= until;
        let mut newer: Option<&Entry> = None;
        let mut found = Soak::Not;
        for entry in &list {
            let is_it = entry.deployment.state == State::Ready && self.ran(&entry.deployment.commit, revision);
            let span = match newer {
                _ if !is_it => None,
                None => self.ready_since(entry).map(|since| (since, now)),
                Some(newer) => entry.ended_at.zip(newer.started_at),
            };
            match span {
                Some((since, until)) if long_enough(since, until) => return Soak::Over,
                Some((since, _)) if newer.is_none() => found = Soak::Since(since),
                _ => {}
            }
            newer = Some(entry);
        }
        found
    }

    /// Whether a commit of its list is this revision.
    fn ran(&self, commit: &CommitId, revision: &Revision) -> bool {
        let known = || self.stored.iter().map(|stored| &stored.revision);
        revision.commit.as_ref() == Some(commit)
            || known().any(|known| known.commit.as_ref() == Some(commit) && is_same(known, revision))
    }

    /// Since when its newest deployment is Ready without a break; none where it is not now.
    fn ready_since(&self, newest: &Entry) -> Option<Moment> {
        let status = self.status.as_ref()?;
        let conditions = status.get("conditions").and_then(Value::as_array)?;
        let ready =
            conditions.iter().find(|condition| condition["type"] == "Ready" && condition["status"] == "True")?;
        let leads_there = status.get("commit").and_then(Value::as_str) == Some(newest.deployment.commit.as_str());
        let turned = Moment::parse(ready.get("lastTransitionTime")?.as_str()?)?;
        // A list that was lost with a status knows no times: then only the condition's counts.
        leads_there.then(|| newest.ended_at.map_or(turned, |ended| ended.max(turned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use renderer::{Files, ToolName, TreeId};
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    const HOUR: u64 = 3600;
    const BEGIN: Moment = Moment::from_unix_secs(1_767_225_600);

    fn at(secs: u64) -> Moment {
        BEGIN.plus_secs(secs)
    }

    fn revision(commit: char, tree: char) -> Revision {
        Revision {
            commit: CommitId::new(commit.to_string().repeat(40)).ok(),
            branch: "main".to_owned(),
            tree: TreeId::new(tree.to_string().repeat(40)).ok(),
            files: Files::default(),
            resolved: BTreeMap::new(),
            facts: Default::default(),
        }
    }

    /// A deployment of beta's list: commit, state, from, to.
    fn entry(commit: char, state: &str, from: u64, to: u64) -> Value {
        json!({"id": commit.to_string(), "commit": commit.to_string().repeat(40), "branch": "beta", "state": state,
            "startedAt": at(from), "endedAt": at(to)})
    }

    /// Beta with these deployments, newest first; `ready` is what its condition says, and since when.
    fn beta(ready: (&str, u64), deployments: &[Value]) -> Forerunner {
        let condition = json!({"type": "Ready", "status": ready.0, "lastTransitionTime": at(ready.1)});
        let commit = deployments.first().map(|first| first["commit"].clone());
        let stored = |digit: char, tree: char| crate::stored::StoredRevision {
            number: 1,
            revision: revision(digit, tree),
            path: None,
            images: BTreeMap::new(),
            platform: String::new(),
            one_offs: BTreeSet::new(),
            rendered: None,
        };
        Forerunner {
            name: ToolName::new("wordcount-beta").expect("a name"),
            status: Some(json!({"commit": commit, "conditions": [condition], "deployments": deployments})),
            stored: vec![stored('b', 'b'), stored('a', 'a')],
            building: BTreeSet::new(),
            built: BTreeSet::new(),
            unseen: None,
        }
    }

    #[test]
    fn a_revision_soaks_from_the_moment_it_is_ready_until_its_time_is_over() {
        let beta = beta(("True", 100), &[entry('a', "ready", 0, 100)]);
        let of = |now: u64| beta.soak(&revision('a', 'a'), HOUR, at(now));
        assert_eq!(of(200), Soak::Since(at(100)));
        assert_eq!(of(100 + HOUR - 1), Soak::Since(at(100)));
        assert_eq!(of(100 + HOUR), Soak::Over);
    }

    #[test]
    fn another_commit_of_the_same_tree_has_soaked_with_it_and_one_of_another_tree_has_not() {
        let beta = beta(("True", 100), &[entry('a', "ready", 0, 100)]);
        assert_eq!(beta.soak(&revision('c', 'a'), HOUR, at(2 * HOUR)), Soak::Over, "a merge");
        assert_eq!(beta.soak(&revision('c', 'c'), HOUR, at(2 * HOUR)), Soak::Not);
    }

    #[test]
    fn who_breaks_in_between_begins_anew_and_who_is_broken_now_proves_nothing() {
        let list = [entry('a', "ready", 0, 100)];
        let of = |ready: (&str, u64)| beta(ready, &list).soak(&revision('a', 'a'), HOUR, at(2 * HOUR));
        assert_eq!(of(("True", 6000)), Soak::Since(at(6000)));
        assert_eq!(of(("False", 6000)), Soak::Not);
        for state in ["progressing", "failed", "superseded"] {
            let beta = beta(("True", 0), &[entry('a', state, 0, 100)]);
            assert_eq!(beta.soak(&revision('a', 'a'), HOUR, at(9 * HOUR)), Soak::Not, "{state}");
        }
    }

    #[test]
    fn what_soaked_before_the_next_deployment_has_soaked_whatever_came_after() {
        let list = |until: u64| [entry('b', "failed", until, until + 50), entry('a', "ready", 0, 100)];
        let of = |until: u64| beta(("False", 0), &list(until)).soak(&revision('a', 'a'), HOUR, at(9 * HOUR));
        assert_eq!(of(100 + HOUR), Soak::Over);
        assert_eq!(of(99 + HOUR), Soak::Not, "a second short, and it runs no more");
    }

    #[test]
    fn a_list_without_times_counts_from_the_condition_alone() {
        let bare = json!({"id": "", "commit": "a".repeat(40), "branch": "beta", "state": "ready"});
        let beta = beta(("True", 500), &[bare]);
        assert_eq!(beta.soak(&revision('a', 'a'), HOUR, at(600)), Soak::Since(at(500)));
    }

    #[test]
    fn without_a_status_nothing_has_soaked() {
        let beta = Forerunner { status: None, ..beta(("True", 0), &[]) };
        assert_eq!(beta.soak(&revision('a', 'a'), HOUR, at(9 * HOUR)), Soak::Not);
    }
}
