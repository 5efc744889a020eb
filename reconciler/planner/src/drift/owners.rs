//! Who owns a live field, and what that says.

use super::By;
use crate::fields::{FieldSet, ManagedFieldsEntry, Operation, PathElement, UnreadableEntry, entries};
use crate::merge::BEFORE_FIRST_APPLY;
use crate::observed::metadata;
use crate::schema::TypeRef;
use serde_json::Value;
use std::cell::OnceCell;

/// The owners of one object, read when somebody first asks: nobody does while everything is as it should be, and reading
/// them is most of the work.
pub(super) struct OwnersOf<'a> {
    desired: &'a Value,
    live: &'a Value,
    at: TypeRef,
    field_manager: &'a str,
    read: OnceCell<Owners>,
}

impl<'a> OwnersOf<'a> {
    pub(super) fn new(desired: &'a Value, live: &'a Value, at: TypeRef, field_manager: &'a str) -> Self {
        Self { desired, live, at, field_manager, read: OnceCell::new() }
    }

    pub(super) fn read(&self) -> &Owners {
        self.read.get_or_init(|| Owners::of(self.desired, self.live, self.at, self.field_manager))
    }

    /// We have applied to this object, and the server remembers it.
    pub(super) fn applied_by_us(&self) -> bool {
        let entries = metadata(self.live, "managedFields").and_then(Value::as_array);
        let ours = |entry: &Value| {
            entry["manager"] == self.field_manager
                && entry["operation"] == Operation::Apply.word()
                && entry["subresource"].as_str().is_none_or(str::is_empty)
        };
        entries.is_some_and(|entries| entries.iter().any(ours))
    }

    /// The last hand but ours on this field. Where the server names nobody else, no entry has to be read.
    pub(super) fn hand(&self, path: &[PathElement]) -> Option<By> {
        let entries = metadata(self.live, "managedFields").and_then(Value::as_array);
        let ours = |entry: &Value| entry.get("manager").and_then(Value::as_str) == Some(self.field_manager);
        if entries.is_some_and(|entries| entries.iter().all(ours)) {
            return None;
        }
        self.read().hand(path)
    }

    /// Somebody else wrote to the object itself, not only to its status: a field of ours may be theirs now.
    pub(super) fn has_others(&self) -> bool {
        let entries = metadata(self.live, "managedFields").and_then(Value::as_array);
        let other = |entry: &Value| entry["manager"] != self.field_manager && entry["subresource"] != "status";
        entries.is_some_and(|entries| entries.iter().any(other))
    }

    /// Entries that turned out unreadable.
    pub(super) fn unreadable(self) -> Vec<UnreadableEntry> {
        self.read.into_inner().map(|owners| owners.unreadable).unwrap_or_default()
    }
}

/// The entries of one object, sorted by what they say.
#[derive(Debug)]
pub(super) struct Owners {
    ours_applied: FieldSet,
    ours_updated: FieldSet,
    foreign: Vec<ManagedFieldsEntry>,
    /// Entries that own fields only because they were there first, so that these may well be defaults: the server's own
    /// stand-in, the Update that created the object, and entries in another version, whose paths may not be ours. A
    /// creating Update is told by its time and by owning what we want: an edit within the object's first second owns the
    /// edited fields alone.
    first_writers: Vec<ManagedFieldsEntry>,
    unreadable: Vec<UnreadableEntry>,
}

/// Whose a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// Nobody's: the server put it there.
    Nobodys,
    /// Ours alone, by apply: the next apply that leaves it out removes it.
    Applied,
    /// Ours, by apply or update, but not ours alone or not by apply: only a patch removes it.
    Patched,
    /// Another manager's.
    Foreign(By),
    /// Only of those who wrote the object before anybody applied.
    FirstWriters,
}

impl Owners {
    fn of(desired: &Value, live: &Value, at: TypeRef, field_manager: &str) -> Self {
        let (entries, unreadable) = entries(live);
        let mut owners = Self {
            ours_applied: FieldSet::new(),
            ours_updated: FieldSet::new(),
            foreign: Vec::new(),
            first_writers: Vec::new(),
            unreadable,
        };
        let created = live.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        // Most objects have no such entry, and need not be asked what they would own.
        let creating = |entry: &ManagedFieldsEntry| {
            let first = entry.operation == Operation::Update && entry.subresource.is_empty();
            let at_once = first && entry.time.as_deref() == created;
            at_once && !entry.fields.intersection(&FieldSet::of(desired, at)).is_empty()
        };
        let version = desired.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        for entry in entries {
            match entry.operation {
                Operation::Apply if entry.manager == field_manager => owners.ours_applied.extend(&entry.fields),
                Operation::Update if entry.manager == field_manager => owners.ours_updated.extend(&entry.fields),
                _ if entry.manager == BEFORE_FIRST_APPLY || entry.api_version != version || creating(&entry) => {
                    owners.first_writers.push(entry);
                }
                _ => owners.foreign.push(entry),
            }
        }
        owners
    }

    /// Whose the field at this path is, itself or what hangs below it.
    pub(super) fn whose(&self, path: &[PathElement]) -> Whose {
        let (applied, updated) = (self.ours_applied.touches(path), self.ours_updated.touches(path));
        let first = self.first_writers.iter().any(|entry| entry.fields.touches(path));
        match self.foreign(path) {
            Some(by) => Whose::Foreign(by),
            None if applied && !updated && !first => Whose::Applied,
            None if applied || updated => Whose::Patched,
            None if first => Whose::FirstWriters,
            None => Whose::Nobodys,
        }
    }

    /// Somebody owns this field, and we don't by apply: dropping it would not remove it.
    pub(super) fn is_lost(&self, path: &[PathElement]) -> bool {
        !self.ours_applied.contains(path) && self.hand(path).is_some()
    }

    /// Somebody else owns this field, and we don't: its value is theirs.
    pub(super) fn is_theirs(&self, path: &[PathElement]) -> bool {
        !self.is_ours(path) && self.foreign(path).is_some()
    }

    /// We own this very field.
    pub(super) fn is_ours(&self, path: &[PathElement]) -> bool {
        self.ours_applied.contains(path) || self.ours_updated.contains(path)
    }

    /// The whole at this path was put there by this hand, or by us where there is none.
    pub(super) fn made(&self, path: &[PathElement], by: Option<&By>) -> bool {
        let Some(by) = by else {
            return self.is_ours(path);
        };
        self.foreign.iter().any(|entry| hand_of(entry) == *by && entry.fields.contains(path))
    }

    /// The last hand but ours on this field.
    pub(super) fn hand(&self, path: &[PathElement]) -> Option<By> {
        self.foreign(path).or_else(|| latest(self.first_writers.iter(), path))
    }

    fn foreign(&self, path: &[PathElement]) -> Option<By> {
        latest(self.foreign.iter(), path)
    }
}

pub(super) fn latest<'a>(entries: impl Iterator<Item = &'a ManagedFieldsEntry>, path: &[PathElement]) -> Option<By> {
    let touching = entries.filter(|entry| entry.fields.touches(path));
    let last = touching.max_by(|a, b| (&a.time, &a.manager).cmp(&(&b.time, &b.manager)))?;
    Some(hand_of(last))
}

/// `kubectl scale` writes as `kubectl` through the subresource `scale`; the name says both.
fn hand_of(entry: &ManagedFieldsEntry) -> By {
    let manager = match entry.subresource.as_str() {
        "" => entry.manager.clone(),
        subresource => format!("{}-{subresource}", entry.manager),
    };
    By { manager, time: entry.time.clone() }
}
