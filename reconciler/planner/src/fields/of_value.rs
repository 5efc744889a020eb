//! Which fields a value has, as the server counts them when the value is applied.

use super::{FieldSet, Key, Path, PathElement};
use crate::schema::{Form, TypeRef};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

impl FieldSet {
    /// The fields of a value of this type. Leaves are members: scalars, atomic lists and maps, `null`, and empty maps.
    /// So is each item of a set or keyed list, and each key of a map. A struct with content is no member, its fields are.
    /// Items that share a key are one member as a whole, for nobody can tell them apart.
    #[must_use]
    pub fn of(value: &Value, at: TypeRef) -> Self {
        let mut set = Self::new();
        collect(value, at, &mut Path::default(), &mut set);
        set
    }
}

fn collect(value: &Value, at: TypeRef, path: &mut Path, set: &mut FieldSet) {
    match (at.form(value), value) {
        (Form::Map, Value::Object(object)) => collect_map(object, at, path, set),
        (Form::Set | Form::Keyed(_), Value::Array(items)) => collect_items(items, at, path, set),
        (Form::Leaf, _) => set.insert(path),
        // The parent counts `null` itself.
        _ => {}
    }
}

fn collect_map(object: &Map<String, Value>, at: TypeRef, path: &mut Path, set: &mut FieldSet) {
    for (name, value) in object {
        path.push(PathElement::field(name));
        collect(value, at.field(name), path, set);
        let blank = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if blank || at.declared(name).is_none() {
            set.insert(path);
        }
        path.pop();
    }
}

fn collect_items(items: &[Value], at: TypeRef, path: &mut Path, set: &mut FieldSet) {
    let mut found: BTreeMap<PathElement, Vec<&Value>> = BTreeMap::new();
    for item in items {
        if let Some(element) = item_element(item, at) {
            found.entry(element).or_default().push(item);
        }
    }
    for (element, same) in found {
        path.push(element);
        set.insert(path);
        if let [only] = same.as_slice() {
            collect(only, at.items(), path, set);
        }
        path.pop();
    }
}

/// How a set or keyed list names one of its items. A missing key takes its default (`protocol: TCP`); none where no key
/// is known, or where the item cannot be in such a list.
#[must_use]
pub fn item_element(item: &Value, list: TypeRef) -> Option<PathElement> {
    let keys = list.keys();
    if keys.is_empty() {
        let scalar = !(item.is_null() || item.is_object() || item.is_array());
        return scalar.then(|| PathElement::Value(Key(item.clone())));
    }
    let item = item.as_object()?;
    let key = |name: &String| {
        let default = || list.items().field(name).facets().default.as_ref();
        let value = item.get(name).or_else(default)?;
        Some((name.clone(), Key(value.clone())))
    };
    let keys: Vec<_> = keys.iter().filter_map(key).collect();
    (!keys.is_empty()).then(|| PathElement::key(keys))
}
