//! What differs between a desired object and the live one, who did it, and what it takes to set it right.
//!
//! Three things are laid over each other, field by field and by type: what we want, what is there, and who owns what
//! (`metadata.managedFields`). No request is made. A field can be
//!
//! - **wanted**: then its value must mean the same ([`same_meaning`]); else it is reverted, or added where it is missing;
//! - **ours, and no longer wanted**: removed by the same apply;
//! - **somebody else's**: left alone where a controller is entitled to it ([`left_alone`](self) is data, with reasons) or
//!   where it equals what the server fills in; else an *intruder*, removed whoever wrote it, and named with its hand;
//! - **nobody's**: a default where the tables know it as one; no default where they know better (the `rollingUpdate` of a
//!   strategy that became Recreate). Where they know nothing only the server can tell, by a dry run ([`Said`]): admission
//!   makes it, and it stays, or it is an intruder whose hand was wiped out. The same goes for what is owned only by
//!   whoever wrote the object before we did.
//!
//! What the server insists on, whatever we ask for, is *settled*: noted, and not asked for again.
//!
//! An atomic value is one field: while our entry owns it, more leaves in it than we want are the server's defaults; else
//! it must be what we want and its defaults, or it is reverted whole.
//!
//! What remains is two requests at most. [`Drift::apply`]: a server-side apply of the desired object. [`Drift::patch`]: a
//! JSON patch, where apply alone cannot do it, because apply never removes what others own. The patch leads to the final
//! object in one step, not only to the removals, for the server validates each step: a Service whose port was changed
//! has neither a valid form without the intruding port nor one with both.

mod left_alone;
mod meaning;
mod order;
mod owners;
mod patch;
mod said;
mod shown;
mod unseen;
mod verdict;
mod walk;

pub use meaning::same_meaning;
pub use said::{Said, digest, still};
pub use shown::{Shown, masked};
pub use verdict::{FieldVerdict, Verdict, verdicts};

use crate::fields::{FieldSet, Path, PathElement, UnreadableEntry};
use crate::merge::{self, Remains, Writer};
use crate::schema::Schema;
use crate::schema::immutable::{self, Immutable};
use owners::OwnersOf;
use renderer::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What drift must know beside the two objects.
#[derive(Debug, Clone, Copy)]
pub struct Ownership<'a> {
    /// Our field manager.
    pub field_manager: &'a str,
    /// An autoscaler is declared for this object: `spec.replicas` is its business.
    pub autoscaled: bool,
    /// What the server itself has said about it.
    pub said: Said<'a>,
}

impl<'a> Ownership<'a> {
    /// Of an object that nobody else has a say in.
    #[must_use]
    pub const fn of(field_manager: &'a str) -> Self {
        Self { field_manager, autoscaled: false, said: Said::NOTHING }
    }
}

/// How one live object differs from what is desired.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drift {
    /// Every difference, by path.
    pub changes: Vec<FieldChange>,
    /// RFC 6902 operations that set everything right at once; the first tests `resourceVersion`. Only where an apply alone
    /// would not do.
    pub patch: Option<Value>,
    /// A server-side apply of the desired object is needed, after the patch.
    pub apply: bool,
    /// Fields that nobody, or nobody but the object's first writer, owns, and that no table knows: intruders only if a
    /// dry-run create of the desired object does not produce them.
    pub needs_dry_run: Vec<String>,
    /// Fields that differ by the server's own will.
    pub settled: Vec<Settlement>,
    /// Entries of `managedFields` that had to be read and cannot be: what they own is unknown.
    pub unreadable: Vec<UnreadableEntry>,
    /// Changed fields that the server will refuse to change.
    pub immutable: Vec<Immutable>,
}

impl Drift {
    /// Nothing has to be done.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A field that differs, and is left as it is because the server insists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settlement {
    /// Where, as paths print.
    pub path: String,
    /// We want another value there; else we only did not ask for any.
    pub wanted: bool,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where, as paths print: `spec.template.spec.containers[web].image`.
    pub path: String,
    /// How it differs.
    pub kind: ChangeKind,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Shown>,
    /// What will be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Shown>,
    /// Who else owns the field, where the server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// How a field differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// We want another value.
    Reverted,
    /// We want it, and it is not there.
    Added,
    /// It was ours, and we no longer want it; or it is a default no longer.
    Removed,
    /// Somebody else put it there.
    Intruder,
    /// Its value is right, but it is somebody else's now.
    TakenBack,
}

/// A hand: who wrote, and when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct By {
    /// Field manager.
    pub manager: String,
    /// RFC 3339, where the server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// Compares a desired object with the live one.
#[must_use]
pub fn drift(desired: &Object, live: &Value, ownership: &Ownership<'_>) -> Drift {
    let hidden = crate::kinds::Kind::of_id(&desired.id).map_or(&[][..], |kind| kind.secret_paths);
    let live = &*unseen::completed(&desired.value, live, hidden, ownership.field_manager);
    let at = Schema::of_object(&desired.value);
    let owners = OwnersOf::new(&desired.value, live, at, ownership.field_manager);
    let found = walk::walk(desired, live, at, &owners, ownership, None);
    let patch = (!found.intruders.is_empty()).then(|| patch(&desired.value, live, &found.intruders, ownership));
    let refused = |change: &FieldChange| immutable::of(&desired.id, &change.path).copied();
    Drift {
        immutable: found.changes.iter().filter_map(refused).collect(),
        changes: found.changes,
        patch,
        apply: found.apply,
        needs_dry_run: found.needs_dry_run.iter().map(ToString::to_string).collect(),
        settled: found.settled,
        unreadable: owners.unreadable(),
    }
}

/// The way from the live object to the corrected one: what our apply makes of it, without the intruders.
fn patch(desired: &Value, live: &Value, intruders: &FieldSet, ownership: &Ownership<'_>) -> Value {
    static NOTHING: FieldSet = FieldSet::new();
    let by = Writer {
        manager: ownership.field_manager,
        api_version: desired.get("apiVersion").and_then(Value::as_str).unwrap_or_default(),
        subresource: "",
        time: "",
        resets: &NOTHING,
    };
    // What cannot be applied here, the server will refuse too, and say why: the removals stand for themselves.
    let applied = merge::apply(live, desired, &by, true).map_or_else(|_| live.clone(), |applied| applied.object);
    let at = Schema::of_object(desired);
    patch::between(live, &merge::without(&applied, intruders, at, Remains::Empty), at)
}

/// Whether what stands at this path is nobody's wish, whoever wrote it: a status, a count, what only a controller reads.
pub(crate) fn is_bookkeeping(id: &renderer::ObjectId, path: &Path) -> bool {
    // A person's hand is entitled to the least.
    left_alone::reason(id, path, || Some("kubectl".to_owned())).is_some()
}

/// The managers that own a field given by plain names, `spec.replicas`; the unreadable are not among them.
#[must_use]
pub fn owners_of(live: &Value, path: &str) -> Vec<String> {
    let path: Path = Path(path.split('.').map(PathElement::field).collect());
    let (entries, _) = crate::fields::entries(live);
    let owning = entries.into_iter().filter(|entry| entry.fields.contains(&path));
    owning.map(|entry| entry.manager).collect()
}

#[cfg(test)]
mod tests;
