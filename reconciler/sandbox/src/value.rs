//! Reading and writing the few places of an object that the server itself looks at.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A JSON object; in the store, one without `apiVersion` and `kind`.
pub type Object = Map<String, Value>;

/// The map inside a value; an empty one for anything else.
#[must_use]
pub fn object(value: Value) -> Object {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A text of the metadata; empty if it is not there.
#[must_use]
pub fn meta<'a>(object: &'a Object, field: &str) -> &'a str {
    let text = object.get("metadata").and_then(|meta| meta.get(field));
    text.and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`.
#[must_use]
pub fn name(object: &Object) -> &str {
    meta(object, "name")
}

/// `metadata.uid`.
#[must_use]
pub fn uid(object: &Object) -> &str {
    meta(object, "uid")
}

/// `metadata`, made if it is missing.
pub fn metadata(object: &mut Object) -> &mut Object {
    child(object, "metadata")
}

/// A map inside a map, made if it is missing or no map.
pub fn child<'a>(object: &'a mut Object, field: &str) -> &'a mut Object {
    let slot = object.entry(field).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("it was made a map just above")
}

/// Sets `metadata.resourceVersion`.
pub fn set_revision(object: &mut Object, revision: u64) {
    metadata(object).insert("resourceVersion".to_owned(), json!(revision.to_string()));
}

/// `metadata.labels`, or those of a pod template.
#[must_use]
pub fn labels(object: &Object) -> BTreeMap<String, String> {
    let labels = object.get("metadata").and_then(|meta| meta.get("labels"));
    text_map(labels)
}

/// A map of texts; what is no text is left out.
#[must_use]
pub fn text_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The uids in `metadata.ownerReferences`.
#[must_use]
pub fn owner_uids(object: &Object) -> Vec<String> {
    owner_references(object).filter_map(|owner| owner.get("uid")?.as_str().map(str::to_owned)).collect()
}

/// `metadata.ownerReferences`.
pub fn owner_references(object: &Object) -> impl Iterator<Item = &Value> {
    let owners = object.get("metadata").and_then(|meta| meta.get("ownerReferences"));
    owners.and_then(Value::as_array).into_iter().flatten()
}

/// `metadata.finalizers`.
#[must_use]
pub fn finalizers(object: &Object) -> Vec<String> {
    let list = object.get("metadata").and_then(|meta| meta.get("finalizers")).and_then(Value::as_array);
    let texts = list.into_iter().flatten();
    texts.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// Sets `metadata.finalizers`; an empty list is removed.
pub fn set_finalizers(object: &mut Object, finalizers: &[String]) {
    let meta = metadata(object);
    if finalizers.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".to_owned(), json!(finalizers));
    }
}

/// Its deletion was asked for.
#[must_use]
pub fn is_terminating(object: &Object) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

/// A time as the API writes it, to the second.
#[must_use]
pub fn time_text(at: Timestamp) -> String {
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A `MicroTime`, as Leases and Events have it.
#[must_use]
pub fn micro_time_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The value at a dotted path of plain field names.
#[must_use]
pub fn at<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    let mut fields = path.split('.');
    let mut value = object.get(fields.next()?)?;
    for field in fields {
        value = value.get(field)?;
    }
    Some(value)
}

/// The text at a dotted path; empty if there is none.
#[must_use]
pub fn text<'a>(object: &'a Object, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a dotted path.
#[must_use]
pub fn number(object: &Object, path: &str) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}
