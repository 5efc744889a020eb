//! Taking fields out of a value.

use super::value::is_blank;
use crate::fields::{FieldSet, PathElement, item_element};
use crate::schema::{Form, TypeRef};
use serde_json::{Map, Value};

/// What remains of a map or list that loses its last part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// It goes with it.
    Nothing,
    /// `null`: it still counts as a field.
    Null,
    /// It stays, empty.
    Empty,
}

/// `value` without the fields in `gone`, and without what hangs below them. Nothing inside an atomic value is ever taken
/// out.
pub(crate) fn without(value: &Value, gone: &FieldSet, at: TypeRef, remains: Remains) -> Value {
    remains.of(value, gone, at).unwrap_or(Value::Null)
}

impl Remains {
    fn of(self, value: &Value, gone: &FieldSet, at: TypeRef) -> Option<Value> {
        match (at.form(value), value) {
            _ if gone.is_empty() => Some(value.clone()),
            (Form::Map, Value::Object(object)) => self.unless_emptied(value, self.of_fields(object, gone, at).into()),
            (Form::Set | Form::Keyed(_), Value::Array(items)) => {
                self.unless_emptied(value, self.of_items(items, gone, at).into())
            }
            _ => Some(value.clone()),
        }
    }

    fn unless_emptied(self, before: &Value, after: Value) -> Option<Value> {
        if is_blank(before) || !is_blank(&after) {
            return Some(after);
        }
        match self {
            Self::Nothing => None,
            Self::Null => Some(Value::Null),
            Self::Empty => Some(after),
        }
    }

    fn of_fields(self, object: &Map<String, Value>, gone: &FieldSet, at: TypeRef) -> Map<String, Value> {
        let mut out = Map::new();
        for (name, value) in object {
            let element = PathElement::field(name);
            if !gone.has(&element)
                && let Some(value) = self.of(value, gone.below(&element), at.field(name))
            {
                out.insert(name.clone(), value);
            }
        }
        out
    }

    fn of_items(self, items: &[Value], gone: &FieldSet, at: TypeRef) -> Vec<Value> {
        let keep = |item: &Value| match item_element(item, at) {
            Some(element) if gone.has(&element) => None,
            Some(element) => self.of(item, gone.below(&element), at.items()),
            None => Some(item.clone()),
        };
        items.iter().filter_map(keep).collect()
    }
}

/// `set` and the struct fields on the way to its members. A struct field stands or falls with what is in it; a key of a
/// map and an item of a list stand for themselves.
pub(super) fn with_struct_fields(set: &FieldSet, at: TypeRef) -> FieldSet {
    let mut out = FieldSet::new();
    for path in set.paths() {
        let mut place = at;
        for (depth, element) in path.iter().enumerate() {
            place = match element {
                PathElement::Field(name) => {
                    if place.declared(name).is_some() {
                        out.insert(&path[..=depth]);
                    }
                    place.field(name)
                }
                _ => place.items(),
            };
        }
        out.insert(&path);
    }
    out
}
