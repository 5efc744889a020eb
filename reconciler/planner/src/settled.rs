//! What the API server insists on, whatever we ask for: noted once, and not asked for again until something else is
//! desired. A webhook that overrides a field would else be a fight without end.
//!
//! It is remembered in the Tool's status, beside the inventory (invariant 2: no state of our own): a restart, another
//! process and `diff` know it too. A lost or unreadable note costs one more write or dry run, and is made again.

use crate::drift::{Settlement, digest, still};
use crate::observed::{Observed, uid_of};
use crate::outcome::Outcome;
use crate::plan::{Action, Plan, Request, Step};
use renderer::{Object, ObjectId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field, as the status lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Settled {
    /// API group; empty for core.
    #[serde(default)]
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: what another object of that name is like is not known.
    pub uid: String,
    /// The field, as paths print.
    pub path: String,
    /// sha256 of the desired object, where we want another value: with another wish it is asked for again. Not for what
    /// we never asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
}

impl Settled {
    fn new(id: &ObjectId, uid: &str, settlement: Settlement, desired: impl FnOnce() -> String) -> Self {
        Self {
            group: id.group.clone(),
            kind: id.kind.clone(),
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            uid: uid.to_owned(),
            path: settlement.path,
            desired: settlement.wanted.then(desired),
        }
    }

    fn id(&self) -> ObjectId {
        ObjectId {
            group: self.group.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// It is about this object.
    #[must_use]
    pub fn is_of(&self, id: &ObjectId) -> bool {
        self.name == id.name && self.kind == id.kind && self.namespace == id.namespace && self.group == id.group
    }

    /// In words, where it is worth some: we want another value and don't get it.
    #[must_use]
    pub fn remark(&self, id: &ObjectId) -> Option<String> {
        let path = &self.path;
        self.desired.as_ref().map(|_| format!("{id} {path}: the API server insists on another value than ours"))
    }
}

/// What is known of this live object, for what is desired now.
pub(crate) fn known(settled: &[Settled], desired: &Object, live: &Value) -> Vec<Settlement> {
    let uid = uid_of(live);
    let of_it = settled.iter().filter(|row| row.is_of(&desired.id) && Some(row.uid.as_str()) == uid);
    let mut rows = of_it.peekable();
    if rows.peek().is_none() {
        return Vec::new();
    }
    let digest = digest(&desired.value);
    let holds = rows.filter(|row| row.desired.as_ref().is_none_or(|desired| *desired == digest));
    holds.map(|row| Settlement { path: row.path.clone(), wanted: row.desired.is_some() }).collect()
}

/// What drift found settled, as rows.
pub(crate) fn rows(desired: &Object, live: &Value, settled: Vec<Settlement>) -> Vec<Settled> {
    let Some(uid) = uid_of(live) else { return Vec::new() };
    let row = |one| Settled::new(&desired.id, uid, one, || digest(&desired.value));
    settled.into_iter().map(row).collect()
}

/// What the server's answer to the last request of a step shows it to insist on.
#[must_use]
pub fn learnt(step: &Step, answer: &Value, field_manager: &str) -> Vec<Settled> {
    let Some(uid) = uid_of(answer) else { return Vec::new() };
    let applied = step.requests.iter().find_map(|request| match request {
        Request::Create { body } | Request::Apply { body } => Object::new(body.clone()).ok(),
        Request::Patch { .. } | Request::Delete { .. } | Request::Promote { .. } => None,
    });
    let changes = (step.action != Action::Create).then_some(step.changes.as_slice());
    let still = still(changes, applied.as_ref(), answer, field_manager);
    let desired = || applied.as_ref().map(|applied| digest(&applied.value)).unwrap_or_default();
    still.into_iter().map(|one| Settled::new(&step.id, uid, one, desired)).collect()
}

/// What the status should list after a pass: nothing about what is gone.
pub(crate) fn after(observed: &Observed, plan: &Plan, outcome: &Outcome) -> Vec<Settled> {
    let stands = |row: &&Settled| {
        let id = row.id();
        let live = observed.live(&id).and_then(uid_of);
        live.map_or_else(|| observed.gap(&id).is_some(), |uid| uid == row.uid)
    };
    let mut rows: Vec<_> = plan.settled.iter().filter(stands).chain(&outcome.settled).cloned().collect();
    rows.sort();
    rows.dedup();
    rows
}
