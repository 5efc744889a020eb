//! The form in which the server keeps an object: empty values dropped, defaults filled in.

use crate::quantity;
use crate::resource::Resource;
use crate::value::{self, Object};
use planner::schema::{Scalar, TypeRef, defaults};
use serde_json::{Map, Value, json};

/// Brings an object into the form in which it is stored.
pub fn normalize(resource: &Resource, object: &mut Object) {
    let place = crate::validate::place(resource);
    crate::validate::drop_unknown(object, place);
    if !resource.is_custom() {
        for (field, value) in object.iter_mut() {
            write_back(value, place.field(field));
            drop_blanks(value, place.field(field));
        }
        object.retain(|field, value| !is_blank(value, place.field(field)));
    }
    drop_empty_metadata(object);
    match resource.kind {
        "Secret" => encode_string_data(object),
        "Namespace" => name_namespace(object),
        "Event" => complete_event(object),
        _ => {}
    }
    fill_defaults(resource, object, place);
}

fn fill_defaults(resource: &Resource, object: &mut Object, place: TypeRef) {
    // Status has no defaults of its own: controllers write it whole.
    let status = object.remove("status");
    let mut value = crate::managed::with_type(crate::managed::stored_as(resource), std::mem::take(object));
    defaults::fill(&mut value, place);
    fill_structs(resource, &mut value);
    *object = value::object(value);
    object.remove("apiVersion");
    object.remove("kind");
    if let Some(status) = status {
        object.insert("status".to_owned(), status);
    }
}

/// Structs that the server's own types can't leave out, and a default that only one kind has.
fn fill_structs(resource: &Resource, object: &mut Value) {
    let paths: &[&str] = match resource.kind {
        "Deployment" | "ReplicaSet" | "Job" => &["spec.template.metadata"],
        "CronJob" => &["spec.jobTemplate.metadata", "spec.jobTemplate.spec.template.metadata"],
        _ => &[],
    };
    let Value::Object(object) = object else { return };
    for path in paths {
        let mut place = &mut *object;
        for field in path.split('.') {
            place = value::child(place, field);
        }
    }
    if resource.kind == "HorizontalPodAutoscaler" {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let metric = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        value::child(object, "spec").entry("metrics").or_insert(metric);
    }
}

/// Events have fields that are always there.
pub(crate) fn complete_event(object: &mut Object) {
    for (field, value) in [
        ("eventTime", Value::Null),
        ("firstTimestamp", Value::Null),
        ("lastTimestamp", Value::Null),
        ("source", json!({})),
        ("reportingComponent", json!("")),
        ("reportingInstance", json!("")),
    ] {
        object.entry(field).or_insert(value);
    }
}

/// Quantities as the server writes them.
fn write_back(value: &mut Value, place: TypeRef) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(field, value)| write_back(value, place.field(field))),
        Value::Array(items) => items.iter_mut().for_each(|item| write_back(item, place.items())),
        Value::String(_) | Value::Number(_) if place.scalar() == Some(Scalar::Quantity) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if let Some(text) = quantity::canonical(&text) {
                *value = json!(text);
            }
        }
        _ => {}
    }
}

/// Drops what the server's own types can't hold: nulls, and empty maps and lists that need not be there. An empty struct
/// is a value (`emptyDir: {}`).
fn drop_blanks(value: &mut Value, place: TypeRef) {
    match value {
        // Raw data is kept as it is.
        _ if place.is_any() => {}
        Value::Object(map) => {
            let required = place.required();
            for (field, value) in map.iter_mut() {
                drop_blanks(value, place.field(field));
            }
            map.retain(|field, value| required.iter().any(|one| one == field) || !is_blank(value, place.field(field)));
        }
        Value::Array(items) => {
            for item in items {
                drop_blanks(item, place.items());
            }
        }
        _ => {}
    }
}

fn is_blank(value: &Value, place: TypeRef) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty() && !place.is_any(),
        // A map has values; a struct has fields. What is neither is not looked into.
        Value::Object(map) => {
            map.is_empty() && place.values().is_some() && !place.is_any() && place.fields().next().is_none()
        }
        _ => false,
    }
}

fn drop_empty_metadata(object: &mut Object) {
    let meta = value::metadata(object);
    meta.retain(|field, value| {
        // An empty list of managers is a wish: to forget them all.
        let empty = value.is_null()
            || value.as_object().is_some_and(Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty);
        !empty || field == "managedFields" && !value.is_null()
    });
}

/// `stringData` is write-only: it becomes `data`.
fn encode_string_data(object: &mut Object) {
    let plain = match object.remove("stringData") {
        Some(Value::Object(plain)) => plain,
        _ => Map::new(),
    };
    for (key, text) in plain {
        let text = text.as_str().unwrap_or_default();
        let data = value::child(object, "data");
        data.insert(key, json!(base64(text.as_bytes())));
    }
    object.entry("type").or_insert_with(|| json!("Opaque"));
}

fn name_namespace(object: &mut Object) {
    let name = value::name(object).to_owned();
    let meta = value::metadata(object);
    value::child(meta, "labels").insert("kubernetes.io/metadata.name".to_owned(), json!(name));
}

/// What a Job says about the pods it makes, where the client left it to the server.
pub fn select_own_pods(object: &mut Object) {
    if value::at(object, "spec.manualSelector") == Some(&json!(true)) {
        return;
    }
    let (uid, name) = (value::uid(object).to_owned(), value::name(object).to_owned());
    let spec = value::child(object, "spec");
    spec.insert("selector".to_owned(), json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    let labels = value::child(value::child(value::child(spec, "template"), "metadata"), "labels");
    for (key, text) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        labels.insert(key.to_owned(), json!(text));
    }
    let labels = labels.clone();
    let meta = value::metadata(object);
    meta.entry("labels").or_insert(Value::Object(labels));
}

/// What an update may leave out and the server keeps.
pub fn carry_over(resource: &Resource, old: &Object, new: &mut Object) {
    if resource.kind != "Service" || value::text(new, "spec.type") == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let kept = value::at(old, "spec").and_then(|spec| spec.get(field)).cloned();
        if let Some(kept) = kept {
            value::child(new, "spec").entry(field).or_insert(kept);
        }
    }
}

/// base64 of RFC 4648, with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let get = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = get(0) << 16 | get(1) << 8 | get(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads_as_the_rfc_says() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
