//! The walk over desired and live at once, and over what only live has.

use super::meaning::{covers, is_nothing, same_meaning};
use super::order::{are_paired, disorder};
use super::owners::{OwnersOf, Whose};
use super::{By, ChangeKind, FieldChange, Shown, left_alone};
use crate::fields::{FieldSet, Path, PathElement, item_element};
use crate::kinds::Kind;
use crate::schema::defaults::{self, Beside};
use crate::schema::{Form, TypeRef};
use renderer::{Object, ObjectId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Everything the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) changes: Vec<FieldChange>,
    /// What only a patch removes; whole subtrees.
    pub(super) intruders: FieldSet,
    pub(super) apply: bool,
    pub(super) needs_dry_run: Vec<Path>,
}

/// Walks both objects.
pub(super) fn walk(desired: &Object, live: &Value, at: TypeRef, owners: &OwnersOf<'_>, autoscaled: bool) -> Found {
    let secret = Kind::of_id(&desired.id).map_or(&[][..], |kind| kind.secret_paths);
    let mut walk = Walk { id: &desired.id, owners, autoscaled, secret, path: Path::default(), found: Found::default() };
    if !owners.applied_by_us() {
        walk.claim();
    }
    walk.both(&desired.value, live, at);
    walk.found.changes.sort_by(|a, b| a.path.cmp(&b.path));
    walk.found
}

/// What becomes of a field that only live has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It has a right to be there.
    Stays,
    /// It is a default: it goes unnoticed with what it is in.
    Default,
    /// Our apply removes it.
    Applied,
    /// A patch must remove it.
    Patched,
}

struct Walk<'a> {
    id: &'a ObjectId,
    owners: &'a OwnersOf<'a>,
    autoscaled: bool,
    secret: &'a [&'a str],
    path: Path,
    found: Found,
}

impl Walk<'_> {
    /// The server does not know that the object is ours; an apply tells it.
    fn claim(&mut self) {
        self.found.apply = true;
        self.found.changes.push(FieldChange {
            path: "metadata.managedFields".to_owned(),
            kind: ChangeKind::Added,
            from: None,
            to: Some(Shown::of(&Value::from("ours"), &[], &[])),
            by: None,
        });
    }

    fn record(&mut self, kind: ChangeKind, from: Option<&Value>, to: Option<&Value>, by: Option<By>) {
        let names: Vec<&str> = self.path.iter().map(PathElement::name).collect();
        let shown = |value: &Value| Shown::of(value, &names, self.secret);
        let (path, from, to) = (self.path.to_string(), from.map(shown), to.map(shown));
        self.found.changes.push(FieldChange { path, kind, from, to, by });
    }

    fn below<T>(&mut self, element: PathElement, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(element);
        let result = walk(self);
        self.path.pop();
        result
    }

    /// Wanted, and there.
    fn both(&mut self, desired: &Value, live: &Value, at: TypeRef) {
        match (at.form(desired), desired, live) {
            (Form::Map, Value::Object(desired), Value::Object(live)) => self.fields(desired, live, at),
            (Form::Set | Form::Keyed(_), Value::Array(desired), Value::Array(live)) => self.items(desired, live, at),
            _ => self.leaf(desired, live, at),
        }
    }

    fn leaf(&mut self, desired: &Value, live: &Value, at: TypeRef) {
        let same = if at.is_atomic() {
            covers(desired, live, at, false)
                || (self.owners.read().is_ours(&self.path) && covers(desired, live, at, true))
        } else {
            same_meaning(desired, live, at) || (is_nothing(desired) && is_nothing(live))
        };
        if !same {
            self.found.apply = true;
            let by = self.owners.read().hand(&self.path);
            self.record(ChangeKind::Reverted, Some(live), Some(desired), by);
        }
    }

    /// Both maps are in name order, so they are read side by side; what is plainly equal is not walked.
    fn fields(&mut self, desired: &Map<String, Value>, live: &Map<String, Value>, at: TypeRef) {
        let mut extras = Vec::new();
        let mut standing = live.iter().peekable();
        for (name, value) in desired {
            extras.extend(std::iter::from_fn(|| standing.next_if(|(other, _)| *other < name)));
            match standing.next_if(|(other, _)| *other == name) {
                Some((_, live)) if live == value => {}
                Some((_, live)) => self.below(PathElement::field(name), |walk| walk.both(value, live, at.field(name))),
                None => self.below(PathElement::field(name), |walk| walk.missing(value, at.field(name))),
            }
        }
        extras.extend(standing);
        self.extras(&extras, desired, live, at);
    }

    /// The fields that only live has. Defaults depend on what stands beside them once everything is right, so those that
    /// seemed right beside a field that goes are looked at again.
    fn extras(
        &mut self,
        extras: &[(&String, &Value)],
        desired: &Map<String, Value>,
        live: &Map<String, Value>,
        at: TypeRef,
    ) {
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for (name, value) in extras {
            let default = || defaults::of(at, name, Beside::over(desired, live, &gone));
            let fate = self.below(PathElement::field(name), |walk| match walk.settled(value) {
                Some(fate) => (fate, None),
                None => {
                    let default = default();
                    (walk.unsettled(value, at.field(name), &default), Some(default))
                }
            });
            match fate {
                (Fate::Default, default) => kept.push((*name, *value, default)),
                (Fate::Stays, _) => {}
                (Fate::Applied | Fate::Patched, _) => gone.push(name.as_str()),
            }
        }
        if gone.is_empty() {
            return;
        }
        for (name, value, before) in kept {
            let default = defaults::of(at, name, Beside::over(desired, live, &gone));
            if before.is_some_and(|before| before != default) {
                self.below(PathElement::field(name), |walk| walk.extra(value, at.field(name), &default));
            }
        }
    }

    fn items(&mut self, desired: &[Value], live: &[Value], at: TypeRef) {
        if are_paired(desired, live, at) {
            for (item, live) in desired.iter().zip(live).filter(|(item, live)| item != live) {
                let Some(name) = item_element(item, at) else { continue };
                self.below(name, |walk| walk.both(item, live, at.items()));
            }
            return;
        }
        let wanted = named(desired, at);
        let standing = named(live, at);
        for (name, item) in &wanted {
            let standing = standing.get(name).map_or(&[][..], Vec::as_slice);
            let [item, ..] = item.as_slice() else { continue };
            self.below(name.clone(), |walk| match standing {
                [] => walk.missing(item, at.items()),
                [live] => walk.both(item, live, at.items()),
                // Twice the same name: nobody can tell which one counts.
                several => walk.leaf(item, &Value::from_iter(several.iter().map(|live| (*live).clone())), TypeRef::ANY),
            });
        }
        for (name, items) in standing.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
            let several = Value::from_iter(items.iter().map(|item| (*item).clone()));
            let (item, place) = match items.as_slice() {
                [only] => (*only, at.items()),
                _ => (&several, TypeRef::ANY),
            };
            self.below(name.clone(), |walk| walk.extra(item, place, &defaults::Default::Unknown));
        }
        if let Some((wanted, standing)) = disorder(desired, live, at) {
            self.found.apply = true;
            self.record(ChangeKind::Reverted, Some(&standing.into()), Some(&wanted.into()), None);
        }
    }

    /// Wanted, and not there.
    fn missing(&mut self, desired: &Value, at: TypeRef) {
        if let (Value::Object(keys), true) = (desired, is_free_map(at)) {
            for (name, value) in keys {
                self.below(PathElement::field(name), |walk| walk.missing(value, at.field(name)));
            }
        } else if self.is_missed(desired) {
            self.found.apply = true;
            self.record(ChangeKind::Added, None, Some(desired), None);
        }
    }

    /// A value that says nothing is not missed while we own it: the server keeps no empty fields.
    fn is_missed(&mut self, desired: &Value) -> bool {
        match desired {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) if !fields.is_empty() => {
                fields.iter().any(|(name, value)| self.below(PathElement::field(name), |walk| walk.is_missed(value)))
            }
            Value::String(text) if !text.is_empty() => true,
            Value::Bool(true) => true,
            Value::Number(number) if number.as_f64() != Some(0.0) => true,
            _ => !self.owners.read().is_ours(&self.path),
        }
    }

    /// The fate of what is not wanted, where neither its type nor its default matters.
    fn settled(&self, live: &Value) -> Option<Fate> {
        let hand = || self.owners.read().hand(&self.path).map(|by| by.manager);
        let autoscaled = self.autoscaled && left_alone::is_replicas(&self.path);
        if autoscaled || left_alone::reason(self.id, &self.path, hand).is_some() {
            return Some(Fate::Stays);
        }
        is_nothing(live).then_some(Fate::Default)
    }

    /// Not wanted, and there.
    fn extra(&mut self, live: &Value, at: TypeRef, default: &defaults::Default) -> Fate {
        self.settled(live).unwrap_or_else(|| self.unsettled(live, at, default))
    }

    fn unsettled(&mut self, live: &Value, at: TypeRef, default: &defaults::Default) -> Fate {
        let before = (self.found.changes.len(), self.found.intruders.clone());
        let fates = match (at.form(live), live) {
            (Form::Map, Value::Object(object)) => self.extra_fields(object, at, default),
            (Form::Set | Form::Keyed(_), Value::Array(items)) => self.extra_items(items, at),
            _ => return self.extra_leaf(live, at, default),
        };
        self.joined(live, at, &fates, before)
    }

    fn extra_fields(&mut self, object: &Map<String, Value>, at: TypeRef, default: &defaults::Default) -> Vec<Fate> {
        let part = |name: &str| match default {
            // Where the whole has no place, neither has a default in it.
            defaults::Default::NotHere => defaults::Default::NotHere,
            defaults::Default::Is(Value::Object(keys)) if keys.contains_key(name) => {
                defaults::Default::Is(keys[name].clone())
            }
            _ => defaults::of(at, name, Beside::of(object)),
        };
        let fates = object.iter().map(|(name, value)| {
            let default = part(name);
            self.below(PathElement::field(name), |walk| walk.extra(value, at.field(name), &default))
        });
        fates.collect()
    }

    fn extra_items(&mut self, items: &[Value], at: TypeRef) -> Vec<Fate> {
        let mut fates = Vec::new();
        for (name, items) in named(items, at) {
            let Some(item) = items.first() else { continue };
            fates.push(self.below(name, |walk| walk.extra(item, at.items(), &defaults::Default::Unknown)));
        }
        fates
    }

    /// One fate for a whole, from those of its parts. `before` is what was found before the parts were looked at.
    fn joined(&mut self, live: &Value, at: TypeRef, fates: &[Fate], before: (usize, FieldSet)) -> Fate {
        let any = |fate| fates.contains(&fate);
        if any(Fate::Stays) {
            return Fate::Stays;
        }
        let (changes, intruders) = before;
        let fate = match (any(Fate::Patched), any(Fate::Applied)) {
            (true, _) => Fate::Patched,
            (false, true) => Fate::Applied,
            (false, false) => return Fate::Default,
        };
        if fate == Fate::Patched {
            // Without its other parts a default has nothing to be a default of: the whole goes at once.
            self.found.intruders = intruders;
            self.found.intruders.insert(&self.path);
        }
        if !is_free_map(at) {
            self.merge_changes(live, changes, any(Fate::Default));
        }
        fate
    }

    /// Shows the whole in one line, where all its parts share one hand; with defaults among them only where that hand made
    /// the whole.
    fn merge_changes(&mut self, live: &Value, since: usize, has_defaults: bool) {
        let parts = &self.found.changes[since..];
        let Some(first) = parts.first() else { return };
        let (kind, by) = (first.kind, first.by.clone());
        let one_hand = parts.iter().all(|part| part.kind == kind && part.by == by);
        if one_hand && (!has_defaults || self.owners.read().made(&self.path, by.as_ref())) {
            self.found.changes.truncate(since);
            self.record(kind, Some(live), None, by);
        }
    }

    fn extra_leaf(&mut self, live: &Value, at: TypeRef, default: &defaults::Default) -> Fate {
        if let defaults::Default::Is(default) = default
            && covers(default, live, at, false)
        {
            return Fate::Default;
        }
        let misplaced = *default == defaults::Default::NotHere;
        let (fate, kind, by) = match self.owners.read().whose(&self.path) {
            Whose::Nobodys if !misplaced && !self.owners.read().untracked => return Fate::Default,
            Whose::FirstWriters if !misplaced => {
                self.found.needs_dry_run.push(self.path.clone());
                return Fate::Stays;
            }
            Whose::Nobodys if self.owners.read().untracked && !misplaced => (Fate::Patched, ChangeKind::Intruder, None),
            Whose::Nobodys | Whose::FirstWriters | Whose::Patched => (Fate::Patched, ChangeKind::Removed, None),
            Whose::Applied => (Fate::Applied, ChangeKind::Removed, None),
            Whose::Foreign(by) => (Fate::Patched, ChangeKind::Intruder, Some(by)),
        };
        self.found.apply |= fate == Fate::Applied;
        if fate == Fate::Patched {
            self.found.intruders.insert(&self.path);
        }
        self.record(kind, Some(live), None, by);
        fate
    }
}

/// Labels, annotations, data, limits: each key is a fact of its own.
fn is_free_map(at: TypeRef) -> bool {
    at.is_map() && !at.is_atomic() && at.fields().next().is_none()
}

fn named(items: &[Value], at: TypeRef) -> BTreeMap<PathElement, Vec<&Value>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for item in items {
        if let Some(name) = item_element(item, at) {
            groups.entry(name).or_default().push(item);
        }
    }
    groups
}
