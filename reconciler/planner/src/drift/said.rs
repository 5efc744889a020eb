//! What only the server can tell: which values it makes of our object by itself, and on which it insists.
//!
//! Two answers of its own carry the proof, and nothing else does. A dry-run create of the desired object alone shows what
//! defaults and admission make of it, with no trace of what is live ([`Said::makes`]). And what our own write asked for and
//! the answer does not show is admission's ([`still`]): asking again would be answered again.

use super::meaning::covers;
use super::{ChangeKind, FieldChange, Ownership, Settlement, drift};
use crate::fields::{FieldSet, Path, PathElement, item_element};
use crate::schema::{Schema, TypeRef};
use renderer::Object;
use renderer::length_prefixed::hex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What the server has said about one object.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// Its answer to a dry-run create of the desired object.
    pub made: Option<&'a Value>,
    /// Fields on which it is known to insist.
    pub settled: &'a [Settlement],
}

impl Said<'_> {
    /// Nothing.
    pub const NOTHING: Self = Self { made: None, settled: &[] };

    pub(super) fn is_settled(&self, path: &Path, wanted: bool) -> bool {
        // Most objects have no settlement, and need no path in print.
        !self.settled.is_empty() && {
            let path = path.to_string();
            self.settled.iter().any(|known| known.wanted == wanted && known.path == path)
        }
    }

    /// Whether the server makes this very value of what we want; none where it was not asked.
    pub(super) fn makes(&self, path: &Path, live: &Value, at: TypeRef, root: TypeRef) -> Option<bool> {
        let made = self.made?;
        Some(find(made, path, root).is_some_and(|made| covers(made, live, at, false)))
    }
}

/// The value at a path.
fn find<'a>(value: &'a Value, path: &[PathElement], at: TypeRef) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    match first {
        PathElement::Field(name) => find(value.get(name)?, rest, at.field(name)),
        PathElement::Index(index) => find(value.get(index)?, rest, at.items()),
        item => {
            let found = value.as_array()?.iter().find(|one| item_element(one, at).as_ref() == Some(item))?;
            find(found, rest, at.items())
        }
    }
}

/// sha256 of a desired object, in hexadecimal: what was found out about one desired object says nothing of another.
#[must_use]
pub fn digest(desired: &Value) -> String {
    // Serialising JSON fails only for non-text map keys, and there are none.
    let bytes = serde_json::to_vec(desired).unwrap_or_default();
    hex(&Sha256::digest(&bytes))
}

/// Which of the `changes` that our own write asked for its answer does not show: the server insists. `desired` is what
/// was applied, where the write held an apply. Of a create everything was asked for.
#[must_use]
pub fn still(
    changes: Option<&[FieldChange]>,
    desired: Option<&Object>,
    answer: &Value,
    manager: &str,
) -> Vec<Settlement> {
    let asked = |path: &str| changes.is_none_or(|changes| changes.iter().any(|change| is_within(path, &change.path)));
    let mut found: Vec<Settlement> = match (desired, changes) {
        (Some(desired), _) => differing(desired, answer, manager).filter(|one| asked(&one.path)).collect(),
        (None, Some(changes)) => still_there(changes, answer),
        (None, None) => Vec::new(),
    };
    found.sort();
    found.dedup();
    found
}

/// The path, or something below it.
fn is_within(path: &str, whole: &str) -> bool {
    path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Everything in the answer that is not as we want it and that nobody else owns.
fn differing(desired: &Object, answer: &Value, manager: &str) -> impl Iterator<Item = Settlement> {
    let ownership = Ownership { autoscaled: true, ..Ownership::of(manager) };
    let drift = drift(desired, answer, &ownership);
    let own = |change: &FieldChange| match change.kind {
        ChangeKind::Reverted | ChangeKind::Added => true,
        // Another hand came between: that is drift of the next pass, not the server's word.
        ChangeKind::Intruder | ChangeKind::TakenBack => false,
        ChangeKind::Removed => change.by.is_none(),
    };
    let settlement = |change: FieldChange| Settlement { wanted: change.kind != ChangeKind::Removed, path: change.path };
    let unknown = drift.needs_dry_run.into_iter().map(|path| Settlement { path, wanted: false });
    drift.changes.into_iter().filter(own).map(settlement).chain(unknown)
}

/// What a patch removed and is there again, with all that is in it.
fn still_there(changes: &[FieldChange], answer: &Value) -> Vec<Settlement> {
    let paths = FieldSet::of(answer, Schema::of_object(answer)).paths();
    let paths = paths.iter().map(ToString::to_string);
    let removed = |path: &String| changes.iter().any(|change| change.to.is_none() && is_within(path, &change.path));
    paths.filter(removed).map(|path| Settlement { path, wanted: false }).collect()
}
