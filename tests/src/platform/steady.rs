//! When two states of one object count as the same.

use serde_json::Value;

/// What must be the same after an object was healed: all of it, but for what the server counts and what controllers
/// write down.
pub fn steady(object: &Value) -> Value {
    let mut object = object.clone();
    for (at, keys) in [
        ("", &["status"][..]),
        ("/metadata", &["resourceVersion", "uid", "managedFields", "generation", "creationTimestamp"]),
        ("/metadata/annotations", &["deployment.kubernetes.io/revision"]),
        // The server's choice for each new Service.
        ("/spec", &["clusterIP", "clusterIPs"]),
    ] {
        if let Some(fields) = object.pointer_mut(at).and_then(Value::as_object_mut) {
            fields.retain(|key, _| !keys.contains(&key.as_str()));
        }
    }
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, value| key != "annotations" || value.as_object().is_some_and(|map| !map.is_empty()));
    }
    object
}
