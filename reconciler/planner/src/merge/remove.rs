//! Taking fields out of a value.

use crate::fields::{FieldSet, PathElement, item_element};
use crate::schema::{Form, TypeRef};
use serde_json::{Map, Value};

/// `value` without the fields in `gone`, and without what hangs below them. A map or list that loses its last part goes
/// with it. Nothing inside an atomic value is ever taken out.
pub(super) fn without(value: &Value, gone: &FieldSet, at: TypeRef) -> Value {
    kept(value, gone, at).unwrap_or(Value::Null)
}

/// None where nothing is left of something.
fn kept(value: &Value, gone: &FieldSet, at: TypeRef) -> Option<Value> {
    match (at.form(value), value) {
        _ if gone.is_empty() => Some(value.clone()),
        (Form::Map, Value::Object(object)) => kept_fields(object, gone, at).map(Value::Object),
        (Form::Set | Form::Keyed(_), Value::Array(items)) => kept_items(items, gone, at).map(Value::Array),
        _ => Some(value.clone()),
    }
}

fn kept_fields(object: &Map<String, Value>, gone: &FieldSet, at: TypeRef) -> Option<Map<String, Value>> {
    let mut out = Map::new();
    for (name, value) in object {
        let element = PathElement::field(name);
        if !gone.has(&element)
            && let Some(value) = kept(value, gone.below(&element), at.field(name))
        {
            out.insert(name.clone(), value);
        }
    }
    (object.is_empty() || !out.is_empty()).then_some(out)
}

fn kept_items(items: &[Value], gone: &FieldSet, at: TypeRef) -> Option<Vec<Value>> {
    let keep = |item: &Value| match item_element(item, at) {
        Some(element) if gone.has(&element) => None,
        Some(element) => kept(item, gone.below(&element), at.items()),
        None => Some(item.clone()),
    };
    let out: Vec<_> = items.iter().filter_map(keep).collect();
    (items.is_empty() || !out.is_empty()).then_some(out)
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
