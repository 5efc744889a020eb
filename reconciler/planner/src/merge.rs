//! Server-side apply and field tracking, as the API server does them.
//!
//! Two doors. [`apply`] lays what a manager wants over what is there: it takes over what others own only by force,
//! removes what the manager once applied and no longer wants (unless somebody else owns it too), and writes down who
//! owns what. [`update`] is every other write (PUT, PATCH, a controller): the result is given, and the manager owns what
//! it changed. Both take the object with its `metadata.managedFields` and return it with the new list.
//!
//! The rules are those of the server's own merge: parts by type ([`crate::schema`]), sets by path ([`crate::fields`]).
//! Left out, because nobody here needs it: conversion between versions (entries of another version are taken at their
//! word), and the special treatment of kubectl's last-applied annotation.

mod compare;
mod remove;
mod value;

use crate::fields::{FieldSet, ManagedFieldsEntry, Operation, Path, UnreadableEntry, entries, write_entries};
use crate::schema::check::{Mismatch, check};
use crate::schema::{Schema, TypeRef};
use compare::Comparison;
pub(crate) use remove::{Remains, without};
use serde_json::{Map, Value};

/// Who owns what was there before anybody applied.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Who writes, and how the write is recorded.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    /// Field manager, `toolforge`.
    pub manager: &'a str,
    /// The version in which the object is written, `apps/v1`.
    pub api_version: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
    /// Now, in RFC 3339 with seconds.
    pub time: &'a str,
    /// Fields that this write cannot change and so never owns, with everything below them: `status` for a write to the
    /// object itself.
    pub resets: &'a FieldSet,
}

/// What an apply came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object with its new `metadata.managedFields`.
    pub object: Value,
    /// Fields taken from others by force.
    pub taken: Vec<Conflict>,
}

/// A field that another manager owns and that would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The entry of its owner.
    pub owner: ManagedFieldsEntry,
    /// Which fields.
    pub fields: FieldSet,
}

/// Why an apply was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// What is applied does not fit its type.
    #[error("the applied object does not fit its type in {} place(s)", .0.len())]
    Mismatched(Vec<Mismatch>),
    /// Others own fields that would change, and force was not asked for.
    #[error("{} other manager(s) own fields that would change", .0.len())]
    Conflicts(Vec<Conflict>),
    /// Who owns what cannot be read, so nothing may be taken.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEntry),
}

/// Server-side apply of `applied` over `live`; `Null` where nothing is live yet.
///
/// # Errors
/// See [`Refused`].
pub fn apply(live: &Value, applied: &Value, by: &Writer<'_>, force: bool) -> Result<Applied, Refused> {
    let at = Schema::of_object(applied);
    let structural: Vec<_> = check(applied, at).into_iter().filter(|one| one.wrong.is_structural()).collect();
    if !structural.is_empty() {
        return Err(Refused::Mismatched(structural));
    }
    let (mut managers, unreadable) = entries(live);
    if let Some(first) = unreadable.into_iter().next() {
        return Err(first.into());
    }
    let (live, applied) = (without_managers(live), without_managers(applied));
    if managers.is_empty() && !live.is_null() {
        let first = Writer { manager: BEFORE_FIRST_APPLY, ..by.clone() };
        managers = track(&Value::Null, &live, &first, managers, at);
    }

    let wanted = FieldSet::of(&applied, at);
    let entry = by.entry(Operation::Apply, by.owned(&wanted));
    let last = take_same(&mut managers, &entry);
    let merged = value::merged(&live, &applied, at);
    let object = match &last {
        Some(last) => prune(&merged, &last.fields, &owned_by_all(&managers).union(&wanted), at),
        None => merged,
    };
    let comparison = Comparison::of(&live, &object, at, by.resets);
    let taken = conflicts(&managers, &comparison);
    if !force && !taken.is_empty() {
        return Err(Refused::Conflicts(taken));
    }
    disown(&mut managers, &comparison);
    managers.push(entry.dated(last, !comparison.is_empty()));
    Ok(Applied { object: with_managers(object, &managers), taken })
}

/// Records who owns what after `manager` wrote `new` where `old` was; `Null` for a create. `metadata.managedFields` in
/// `new` may edit the list; an empty list, or one with an empty entry, clears it.
#[must_use]
pub fn update(old: &Value, new: &Value, by: &Writer<'_>) -> Value {
    let at = Schema::of_object(new);
    let managers =
        if by.subresource.is_empty() { edited_managers(old, new) } else { readable(old).unwrap_or_default() };
    let (old, new) = (without_managers(old), without_managers(new));
    // An object whose owners were cleared stays untracked until somebody applies to it.
    if managers.is_empty() && !old.is_null() {
        return new;
    }
    let managers = track(&old, &new, by, managers, at);
    with_managers(new, &managers)
}

/// Records who owns what after `new` was created. `zero` is an object of the kind as the server's own types have it before
/// anybody set a field: structs that can't be left out are there, and nobody's.
#[must_use]
pub fn create(zero: &Value, new: &Value, by: &Writer<'_>) -> Value {
    let managers = edited_managers(&Value::Null, new);
    let new = without_managers(new);
    let managers = track(zero, &new, by, managers, Schema::of_object(&new));
    with_managers(new, &managers)
}

/// The owners after an update from `old` to `new`.
fn track(
    old: &Value,
    new: &Value,
    by: &Writer<'_>,
    mut managers: Vec<ManagedFieldsEntry>,
    at: TypeRef,
) -> Vec<ManagedFieldsEntry> {
    let comparison = Comparison::of(old, new, at, by.resets);
    disown(&mut managers, &comparison);
    let changed = by.owned(&comparison.changed());
    if changed.is_empty() {
        return managers;
    }
    let mut entry = by.entry(Operation::Update, changed);
    if let Some(before) = take_same(&mut managers, &entry) {
        entry.fields.extend(&before.fields);
    }
    managers.push(entry);
    managers
}

/// `merged` without what the manager once applied, no longer wants, and nobody else owns.
fn prune(merged: &Value, last: &FieldSet, owned: &FieldSet, at: TypeRef) -> Value {
    let whole = |set: &FieldSet| remove::with_struct_fields(set, at);
    let fields_of = |value: &Value| whole(&FieldSet::of(value, at));
    let (last, owned, all) = (whole(last), whole(owned), fields_of(merged));
    // Taking an item takes all that is in it; what somebody owns there comes back, ...
    let bare = without(merged, &last, at, Remains::Null);
    let unowned = all.difference(&fields_of(&bare).union(&owned));
    let pruned = without(merged, &unowned, at, Remains::Null);
    // ... and so does what nobody owns, unless the manager itself once put it there.
    let dropped = all.difference(&fields_of(&pruned)).intersection(&last);
    // What somebody owns as a whole stays, though nothing is left in it.
    without(merged, &dropped.difference(&owned), at, Remains::Empty)
}

fn conflicts(managers: &[ManagedFieldsEntry], comparison: &Comparison) -> Vec<Conflict> {
    let changed = comparison.changed();
    let conflicts =
        managers.iter().map(|owner| Conflict { fields: owner.fields.intersection(&changed), owner: owner.clone() });
    conflicts.filter(|conflict| !conflict.fields.is_empty()).collect()
}

/// Takes from every manager what changed or went.
fn disown(managers: &mut Vec<ManagedFieldsEntry>, comparison: &Comparison) {
    let changed = comparison.changed().union(&comparison.removed);
    for entry in managers.iter_mut() {
        entry.fields = entry.fields.difference(&changed);
    }
    managers.retain(|entry| !entry.fields.is_empty());
}

fn owned_by_all(managers: &[ManagedFieldsEntry]) -> FieldSet {
    managers.iter().fold(FieldSet::new(), |all, entry| all.union(&entry.fields))
}

fn take_same(managers: &mut Vec<ManagedFieldsEntry>, entry: &ManagedFieldsEntry) -> Option<ManagedFieldsEntry> {
    let place = managers.iter().position(|other| other.is_same_writer(entry))?;
    Some(managers.swap_remove(place))
}

impl Writer<'_> {
    /// The part of a set that this writer can own: not the identity of the object, nor what the write resets.
    fn owned(&self, set: &FieldSet) -> FieldSet {
        set.difference(&identity()).without_trees(self.resets)
    }

    fn entry(&self, operation: Operation, fields: FieldSet) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: self.manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            time: Some(self.time.to_owned()),
            subresource: self.subresource.to_owned(),
            fields,
        }
    }
}

impl ManagedFieldsEntry {
    /// An apply that changed nothing keeps the time of the last one; a new owner of what is there already has none.
    fn dated(mut self, last: Option<Self>, changed: bool) -> Self {
        if !changed {
            self.time = last.and_then(|last| last.time);
        }
        self
    }
}

/// What nobody owns, because the server itself sets it.
fn identity() -> FieldSet {
    const OF_METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let top = ["apiVersion", "kind", "metadata"].map(|name| Path::of_fields([name]));
    let of_metadata = OF_METADATA.map(|name| Path::of_fields(["metadata", name]));
    top.into_iter().chain(of_metadata).collect()
}

fn readable(object: &Value) -> Option<Vec<ManagedFieldsEntry>> {
    let (good, bad) = entries(object);
    bad.is_empty().then_some(good)
}

/// The list a write starts from: its own where it sends one, else the live one. Clients that know nothing of
/// `managedFields` must not delete it by accident.
fn edited_managers(old: &Value, new: &Value) -> Vec<ManagedFieldsEntry> {
    let cleared = match new.pointer("/metadata/managedFields") {
        Some(Value::Array(list)) => match list.as_slice() {
            [] => true,
            [Value::Object(only)] => only.is_empty(),
            _ => false,
        },
        _ => false,
    };
    if cleared {
        return Vec::new();
    }
    let sent = readable(new).filter(|sent| !sent.is_empty());
    sent.or_else(|| readable(old)).unwrap_or_default()
}

fn without_managers(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
    object
}

fn with_managers(mut object: Value, managers: &[ManagedFieldsEntry]) -> Value {
    let list = write_entries(managers);
    if let Some(object) = object.as_object_mut()
        && list.as_array().is_some_and(|list| !list.is_empty())
    {
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("managedFields".to_owned(), list);
        }
    }
    object
}

#[cfg(test)]
mod tests;
