//! The `scale` subresource: replicas as seen and changed through `autoscaling/v1` Scale.

use crate::resource::{Parts, Resource};
use crate::select::LabelSelector;
use crate::status::{ApiError, Cause};
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

/// How refusals name a scale.
static SCALE: Resource = Resource {
    group: "autoscaling",
    version: "v1",
    kind: "Scale",
    plural: "scales",
    short: &[],
    namespaced: true,
    parts: Parts::Whole,
    in_all: false,
};

/// Refuses less than nothing.
///
/// # Errors
/// 422 that names the scale, not the workload.
pub fn check(scale: &Value, name: &str) -> Result<(), ApiError> {
    let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let cause = Cause::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
    Err(ApiError::invalid(&SCALE, name, vec![cause]))
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
