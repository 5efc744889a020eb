//! Who wrote what to the cluster, and why: an entry for each write that was tried. Paths of fields, never their values.

mod told;

use crate::outcome::{Failure, Outcome, Row, RowResult};
use crate::pin::Pin;
use crate::plan::{Action, Cause, Plan, Step};
use renderer::{CommitId, ObjectId, ToolName};
use std::fmt;
pub use told::{Told, Written};

/// Paths told of one write; a note in an Event has no room for more.
const MAX_FIELDS: usize = 8;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose object.
    pub tool: ToolName,
    /// The object.
    pub object: ObjectId,
    /// What was done.
    pub action: Action,
    /// Why.
    pub cause: Cause,
    /// At whose word.
    pub who: Who,
    /// Which fields differed, the first few; empty where the object was made or deleted.
    pub fields: Vec<String>,
    /// How many there are besides.
    pub more_fields: usize,
    /// How it failed; none where the server took it.
    pub failed: Option<Failure>,
}

/// At whose word something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Whoever made this commit of the tool's repository.
    Commit {
        /// Which.
        id: CommitId,
        /// Who that is by the commit's own word; none where nobody has read it.
        author: Option<String>,
    },
    /// The platform: its settings, its version, or its duty to keep things as they should be.
    Platform,
    /// Whoever pinned the tool.
    Pin(String),
}

/// What came of a plan's steps. `pin` is the one in force when the plan was made. No later plan can tell why these were
/// made, so they are told with this one or kept as they are.
#[must_use]
pub fn entries(plan: &Plan, outcome: &Outcome, pin: &Pin) -> Vec<Entry> {
    outcome.rows.iter().filter_map(|row| entry(plan, row, pin)).collect()
}

fn entry(plan: &Plan, row: &Row, pin: &Pin) -> Option<Entry> {
    let step = plan.steps.iter().find(|step| step.id == row.id && step.action == row.action)?;
    let failed = match &row.result {
        RowResult::Done { .. } => None,
        RowResult::Failed(failure) => Some(failure.clone()),
    };
    Some(Entry {
        tool: plan.tool.clone(),
        object: row.id.clone(),
        action: row.action,
        cause: step.cause.clone(),
        who: who(plan, step, pin),
        fields: step.changes.iter().take(MAX_FIELDS).map(|change| change.path.clone()).collect(),
        more_fields: step.changes.len().saturating_sub(MAX_FIELDS),
        failed,
    })
}

fn who(plan: &Plan, step: &Step, pin: &Pin) -> Who {
    match &step.cause {
        Cause::Drift { .. } | Cause::PlatformChange => Who::Platform,
        Cause::NewRevision | Cause::ImageReady | Cause::NewRunImage => {
            let pinned = plan.deployment.as_ref().and_then(|deployment| deployment.by.clone());
            let asked = pin.commit.is_some() || pin.delete || step.cause == Cause::NewRunImage;
            let by = pinned.or_else(|| pin.by.clone().filter(|_| asked));
            let author = || plan.target.author.clone();
            let commit = || Some(Who::Commit { id: plan.target.commit.clone()?, author: author() });
            by.map(Who::Pin).or_else(commit).unwrap_or(Who::Platform)
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { id, author: None } => write!(f, "commit {}", id.short()),
            Self::Commit { id, author: Some(author) } => write!(f, "commit {} of \"{author}\"", id.short()),
            Self::Platform => f.write_str("platform"),
            Self::Pin(by) => write!(f, "pin of {by}"),
        }
    }
}

impl Entry {
    /// `by commit 35b594f, new revision`.
    #[must_use]
    pub fn why(&self) -> String {
        format!("by {}, {}", self.who, self.cause)
    }

    /// `deployment/tool-x/web [spec.replicas and 3 more]`.
    #[must_use]
    pub fn what(&self) -> String {
        Written::of(self).what()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::{ChangeKind, FieldChange};
    use serde_json::json;

    fn plan(cause: Cause, changes: usize) -> (Plan, Row) {
        let commit = CommitId::new("3".repeat(40)).expect("a commit");
        let id = ObjectId {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: Some("tool-x".into()),
            name: "web".into(),
        };
        let mut plan: Plan = serde_json::from_value(json!({
            "tool": "x", "cluster": "c", "target": {"branch": "main", "commit": commit}, "steps": [], "held": [],
            "unchanged": 0, "notReady": [], "unconfirmed": [], "remarks": [],
        }))
        .expect("a plan");
        let path = |n| format!("spec.field{n}");
        let change = |n| FieldChange { path: path(n), kind: ChangeKind::Reverted, from: None, to: None, by: None };
        let changes = (0..changes).map(change).collect();
        let (action, identity) = (Action::Configure, crate::identity::of(&id));
        plan.steps = vec![Step { id: id.clone(), action, cause, identity, changes, requests: Vec::new() }];
        let row = Row { id, action: Action::Configure, result: RowResult::Done { uid: None } };
        (plan, row)
    }

    fn told(cause: Cause, changes: usize, pin: &Pin) -> (String, String) {
        let (plan, row) = plan(cause, changes);
        let entry = entry(&plan, &row, pin).expect("an entry");
        (entry.why(), entry.what())
    }

    #[test]
    fn a_write_is_told_with_who_asked_for_it_why_and_which_fields() {
        let drift = Cause::Drift { manager: Some("kubectl-scale".to_owned()), time: None };
        let (why, what) = told(drift.clone(), 1, &Pin::default());
        assert_eq!(
            (why.as_str(), what.as_str()),
            ("by platform, drift by kubectl-scale", "deployment/tool-x/web [spec.field0]")
        );
        let (why, what) = told(Cause::NewRevision, 10, &Pin::default());
        assert_eq!(why, "by commit 3333333, new revision");
        let (mut plan, row) = plan(Cause::NewRevision, 0);
        plan.target.author = Some("Ada Lovelace".to_owned());
        let entry = entry(&plan, &row, &Pin::default()).expect("an entry");
        assert_eq!(entry.why(), "by commit 3333333 of \"Ada Lovelace\", new revision");
        assert!(what.ends_with(", spec.field7 and 2 more]"), "{what}");
        assert_eq!(told(Cause::PlatformChange, 0, &Pin::default()).0, "by platform, platform change");
        let rolled_back = Pin { commit: Some("2".repeat(40)), by: Some("an operator".to_owned()), ..Pin::default() };
        assert_eq!(told(Cause::NewRevision, 0, &rolled_back).0, "by pin of an operator, new revision");
        assert_eq!(
            told(drift, 0, &rolled_back).0,
            "by platform, drift by kubectl-scale",
            "a pin corrects nothing by itself"
        );
    }

    #[test]
    fn what_the_plan_did_not_plan_is_no_entry() {
        let (mut plan, row) = plan(Cause::NewRevision, 0);
        let outcome = Outcome { rows: vec![row], settled: Vec::new() };
        assert_eq!(entries(&plan, &outcome, &Pin::default()).len(), 1);
        plan.steps.clear();
        assert_eq!(entries(&plan, &outcome, &Pin::default()), []);
    }
}
