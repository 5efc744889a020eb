//! What only live has: who has a right to it, and what becomes of the rest.

use super::{Walk, is_free_map, named};
use crate::drift::meaning::{covers, is_nothing};
use crate::drift::owners::Whose;
use crate::drift::verdict::Verdict;
use crate::drift::{By, ChangeKind, left_alone};
use crate::fields::{FieldSet, PathElement};
use crate::schema::defaults::{self, Beside};
use crate::schema::{Form, TypeRef};
use serde_json::{Map, Value};

/// What becomes of a field that only live has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has a right to be there.
    Stays,
    /// It is a default: it goes unnoticed with what it is in.
    Default,
    /// Our apply removes it.
    Applied,
    /// A patch must remove it.
    Patched,
}

impl Walk<'_> {
    /// The fields that only live has. Defaults depend on what stands beside them once everything is right, so those that
    /// seemed right beside a field that goes are looked at again.
    pub(super) fn extras(
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
            let fate = self.below(PathElement::field(name), |walk| match walk.entitled(value) {
                Some(fate) => (fate, None),
                None => {
                    let default = default();
                    (walk.unentitled(value, at.field(name), &default), Some(default))
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
                if let Some(judged) = &mut self.judged {
                    judged.forget(&self.path.with(PathElement::field(name)));
                }
                self.below(PathElement::field(name), |walk| walk.extra(value, at.field(name), &default));
            }
        }
    }

    /// The fate of what is not wanted, where neither its type nor its default matters.
    fn entitled(&mut self, live: &Value) -> Option<Fate> {
        let hand = || self.owners.read().hand(&self.path).map(|by| by.manager);
        if self.ownership.autoscaled && left_alone::is_replicas(&self.path) {
            self.judge(Verdict::Controllers, "an autoscaler decides about it");
            return Some(Fate::Stays);
        }
        if let Some(reason) = left_alone::reason(self.id, &self.path, hand) {
            self.judge(if reason.by_server { Verdict::Defaulted } else { Verdict::Controllers }, reason.why);
            return Some(Fate::Stays);
        }
        is_nothing(live).then(|| {
            self.judge(Verdict::Defaulted, "it says nothing");
            Fate::Default
        })
    }

    /// Not wanted, and there.
    pub(super) fn extra(&mut self, live: &Value, at: TypeRef, default: &defaults::Default) -> Fate {
        self.entitled(live).unwrap_or_else(|| self.unentitled(live, at, default))
    }

    fn unentitled(&mut self, live: &Value, at: TypeRef, default: &defaults::Default) -> Fate {
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
        // Of what nobody owns the whole is as good as its parts.
        let whole =
            || (kind == ChangeKind::Intruder && by.is_none()) || self.owners.read().made(&self.path, by.as_ref());
        if one_hand && (!has_defaults || whole()) {
            self.found.changes.truncate(since);
            self.record(kind, Some(live), None, by);
        }
    }

    fn extra_leaf(&mut self, live: &Value, at: TypeRef, default: &defaults::Default) -> Fate {
        if let defaults::Default::Is(default) = default
            && covers(default, live, at, false)
        {
            self.judge(Verdict::Defaulted, "the server's default");
            return Fate::Default;
        }
        let misplaced = *default == defaults::Default::NotHere;
        let whose = self.owners.read().whose(&self.path);
        let unclaimed = matches!(whose, Whose::Nobodys | Whose::FirstWriters);
        if unclaimed && self.is_settled(false) {
            return Fate::Default;
        }
        if unclaimed && !misplaced {
            return self.undecided(live, at);
        }
        let (fate, kind, by) = match whose {
            Whose::Nobodys | Whose::FirstWriters | Whose::Patched => (Fate::Patched, ChangeKind::Removed, None),
            Whose::Applied => (Fate::Applied, ChangeKind::Removed, None),
            Whose::Foreign(by) => (Fate::Patched, ChangeKind::Intruder, Some(by)),
        };
        let why = match kind {
            _ if misplaced => "it has no place beside what we want",
            ChangeKind::Intruder => "somebody else put it there",
            _ => "we put it there, and want it no longer",
        };
        self.judge(Verdict::Intruder, why);
        self.goes(live, fate, kind, by)
    }

    /// No table knows it, and nobody's name stands on it, or only the first writer's: the server must say.
    fn undecided(&mut self, live: &Value, at: TypeRef) -> Fate {
        match self.ownership.said.makes(&self.path, live, at, self.root) {
            Some(true) => {
                self.settle(false, "the server makes it of what we want");
                Fate::Default
            }
            Some(false) => {
                self.judge(Verdict::Intruder, "it is not what the server makes of what we want");
                let by = self.owners.read().hand(&self.path);
                self.goes(live, Fate::Patched, ChangeKind::Intruder, by)
            }
            None => {
                self.judge(Verdict::Undecided, "only a dry run can tell whether the server made it");
                self.found.needs_dry_run.push(self.path.clone());
                Fate::Stays
            }
        }
    }

    fn goes(&mut self, live: &Value, fate: Fate, kind: ChangeKind, by: Option<By>) -> Fate {
        self.found.apply |= fate == Fate::Applied;
        if fate == Fate::Patched {
            self.found.intruders.insert(&self.path);
        }
        self.record(kind, Some(live), None, by);
        fate
    }
}
