//! The `scale` subresource: replicas as seen and changed through `autoscaling/v1` Scale.

use crate::select::LabelSelector;
use crate::value::{self, Object};
use serde_json::{Value, json};

/// The scale of a workload.
#[must_use]
pub fn of(object: &Object) -> Value {
    let meta = |field| value::meta(object, field);
    let selector = value::at(object, "spec.selector").map(LabelSelector::of);
    let replicas = |path| value::number(object, path).unwrap_or(0);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"),
            "resourceVersion": meta("resourceVersion"), "creationTimestamp": meta("creationTimestamp"),
        },
        "spec": if replicas("spec.replicas") == 0 { json!({}) } else { json!({"replicas": replicas("spec.replicas")}) },
        "status": {
            "replicas": replicas("status.replicas"),
            "selector": selector.unwrap_or_default().to_text(),
        },
    })
}

/// The workload with the replicas of a changed scale.
#[must_use]
pub fn put_into(mut object: Object, scale: &Value) -> Object {
    let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64);
    let spec = value::child(&mut object, "spec");
    spec.insert("replicas".to_owned(), json!(replicas.unwrap_or(0)));
    let revision = scale.pointer("/metadata/resourceVersion");
    if let Some(revision) = revision.and_then(Value::as_str) {
        value::metadata(&mut object).insert("resourceVersion".to_owned(), json!(revision));
    }
    object
}
