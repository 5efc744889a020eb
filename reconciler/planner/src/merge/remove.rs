//! Taking fields out of a value.

use super::value::is_blank;
use crate::fields::{FieldSet, PathElement, item_element};
use crate::schema::{Form, TypeRef};
use serde_json::{Map, Value};

/// What remains of a map or list that loses its last part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// `null`: it still counts as a field.
    Null,
    /// It stays, empty.
    Empty,
}

/// `value` without the fields in `gone`, and without what hangs below them. Nothing inside an atomic value is ever taken
/// out.
pub(crate) fn without(value: &Value, gone: &FieldSet, at: TypeRef, remains: Remains) -> Value {
    let kept: Value = match (at.form(value), value) {
        (Form::Map, Value::Object(object)) if !gone.is_empty() => kept_fields(object, gone, at, remains).into(),
        (Form::Set | Form::Keyed(_), Value::Array(items)) if !gone.is_empty() => {
            kept_items(items, gone, at, remains).into()
        }
        _ => return value.clone(),
    };
    let emptied = is_blank(&kept) && !is_blank(value);
    if emptied && remains == Remains::Null { Value::Null } else { kept }
}

fn kept_fields(object: &Map<String, Value>, gone: &FieldSet, at: TypeRef, remains: Remains) -> Map<String, Value> {
    let kept = object.iter().filter_map(|(name, value)| {
        let element = PathElement::field(name);
        let kept = || without(value, gone.below(&element), at.field(name), remains);
        (!gone.has(&element)).then(|| (name.clone(), kept()))
    });
    kept.collect()
}

fn kept_items(items: &[Value], gone: &FieldSet, at: TypeRef, remains: Remains) -> Vec<Value> {
    let kept = items.iter().filter_map(|item| match item_element(item, at) {
        Some(element) if gone.has(&element) => None,
        Some(element) => Some(without(item, gone.below(&element), at.items(), remains)),
        None => Some(item.clone()),
    });
    kept.collect()
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
