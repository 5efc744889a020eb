//! What changed between two values of one type, as sets of fields.

use super::value::{grouped, is_blank};
use crate::fields::{FieldSet, Key, Path, PathElement};
use crate::schema::{Form, TypeRef};
use serde_json::{Map, Value};

/// The fields that differ. No field is in two of the sets.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Comparison {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// What differs, but for the trees in `ignored`.
    pub(super) fn of(old: &Value, new: &Value, at: TypeRef, ignored: &FieldSet) -> Self {
        let mut walk = Walk::default();
        walk.pair(Some(old), Some(new), at);
        Self {
            added: walk.found.added.without_trees(ignored),
            modified: walk.found.modified.without_trees(ignored),
            removed: walk.found.removed.without_trees(ignored),
        }
    }

    pub(super) fn changed(&self) -> FieldSet {
        self.modified.union(&self.added)
    }
}

/// Equal as JSON, but numbers by value: `1` is `1.0`.
pub(super) fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => Key(a.clone()) == Key(b.clone()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_equal(a, b)))
        }
        _ => a == b,
    }
}

#[derive(Default)]
struct Walk {
    path: Path,
    found: Comparison,
}

impl Walk {
    fn pair(&mut self, old: Option<&Value>, new: Option<&Value>, at: TypeRef) {
        let form_of = |value: Option<&Value>| value.map(|value| at.form(value));
        let (old_form, new_form) = (form_of(old), form_of(new));
        if let (Some(old_form), Some(new_form)) = (old_form, new_form)
            && old_form != new_form
        {
            // Its parts are gone and a leaf came, or the other way round.
            self.parts(old, None, old_form, at);
            self.parts(None, new, new_form, at);
            return self.found.modified.insert(&self.path);
        }
        let Some(form) = new_form.or(old_form) else {
            return;
        };
        let both_blank = old.is_none_or(is_blank) && new.is_none_or(is_blank);
        if form == Form::Leaf || both_blank {
            return self.leaf(old, new);
        }
        self.parts(old, new, form, at);
        if old.is_none() || new.is_none() {
            self.leaf(old, new);
        }
    }

    /// Records this very path.
    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            (Some(old), Some(new)) if !is_equal(old, new) => self.found.modified.insert(&self.path),
            _ => {}
        }
    }

    fn parts(&mut self, old: Option<&Value>, new: Option<&Value>, form: Form, at: TypeRef) {
        match form {
            Form::Leaf => {}
            Form::Map => self.fields(old.and_then(Value::as_object), new.and_then(Value::as_object), at),
            Form::Set | Form::Keyed(_) => {
                self.items(old.and_then(Value::as_array), new.and_then(Value::as_array), at);
            }
        }
    }

    fn fields(&mut self, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, at: TypeRef) {
        for (name, value) in old.into_iter().flatten() {
            self.path.push(PathElement::field(name));
            self.pair(Some(value), new.and_then(|new| new.get(name)), at.field(name));
            self.path.pop();
        }
        let only_new = new.into_iter().flatten().filter(|(name, _)| old.is_none_or(|old| !old.contains_key(*name)));
        for (name, value) in only_new {
            self.path.push(PathElement::field(name));
            self.pair(None, Some(value), at.field(name));
            self.path.pop();
        }
    }

    fn items(&mut self, old: Option<&Vec<Value>>, new: Option<&Vec<Value>>, at: TypeRef) {
        let old = grouped(old.map_or(&[], Vec::as_slice), at);
        let new = grouped(new.map_or(&[], Vec::as_slice), at);
        for (name, old) in &old {
            self.path.push(name.clone());
            self.same_name(old, new.get(name).map_or(&[], Vec::as_slice), at.items());
            self.path.pop();
        }
        for (name, new) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            self.path.push(name.clone());
            self.same_name(&[], new, at.items());
            self.path.pop();
        }
    }

    /// Items of one name. Where there are several, nobody can tell them apart: together they are one leaf.
    fn same_name(&mut self, old: &[&Value], new: &[&Value], at: TypeRef) {
        match (old, new) {
            ([] | [_], [] | [_]) => self.pair(old.first().copied(), new.first().copied(), at),
            ([_, _, ..], [_, _, ..]) => {
                let equal = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| is_equal(a, b));
                if !equal {
                    self.found.modified.insert(&self.path);
                }
            }
            ([_, _, ..], _) => {
                self.pair(None, new.first().copied(), at);
                self.found.removed.insert(&self.path);
            }
            (_, _) => {
                self.pair(old.first().copied(), None, at);
                self.found.added.insert(&self.path);
            }
        }
    }
}
