//! The rules as one platform has them on its cluster. Several platforms may share one: each has rules and parameters of
//! its own, under names of its own, for the namespaces of its own tools alone.

use policy::PARAMS;
use renderer::render::{MARK, PLATFORM_MARK};
use renderer::{Object, Platform};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What stands behind the name of a rule of this platform.
pub(super) fn suffix(platform: &Platform) -> String {
    format!(".{}", platform.name)
}

/// A policy or a binding, as it is written, for this platform.
pub(super) fn of_platform(document: &Value, platform: &Platform) -> Value {
    let mut document = document.clone();
    let suffix = suffix(platform);
    append(&mut document["metadata"]["name"], &suffix);
    document["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "toolforge".into();
    document["metadata"]["labels"][PLATFORM_MARK] = platform.name.clone().into();
    document["metadata"]["labels"][MARK] = "".into();
    if document["kind"] == "ValidatingAdmissionPolicyBinding" {
        let spec = &mut document["spec"];
        append(&mut spec["policyName"], &suffix);
        if let Some(reference) = spec.get_mut("paramRef") {
            reference["namespace"] = json!(platform.namespace);
        }
        let about_marked = spec["matchResources"]["objectSelector"]["matchLabels"].get(PLATFORM_MARK).is_some();
        // By the mark of the object where it goes by that, else by that of the namespace.
        let selector = if about_marked { "objectSelector" } else { "namespaceSelector" };
        spec["matchResources"][selector]["matchLabels"][PLATFORM_MARK] = json!(platform.name);
    }
    document
}

/// Parameters, policies and bindings, in the order in which each finds what it names.
pub(super) fn objects(documents: &[Value], data: &BTreeMap<String, String>, platform: &Platform) -> Vec<Object> {
    let labels = json!({"app.kubernetes.io/managed-by": "toolforge", PLATFORM_MARK: platform.name, MARK: ""});
    let metadata = json!({"name": PARAMS, "namespace": platform.namespace, "labels": labels});
    let parameters = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    let is_binding = |document: &&Value| document["kind"] == "ValidatingAdmissionPolicyBinding";
    let policies = documents.iter().filter(|document| !is_binding(document));
    let all = policies.chain(documents.iter().filter(is_binding)).cloned();
    // What was read as a policy has a kind and a name.
    std::iter::once(parameters).chain(all).filter_map(|value| Object::new(value).ok()).collect()
}

fn append(name: &mut Value, suffix: &str) {
    *name = format!("{}{suffix}", name.as_str().unwrap_or_default()).into();
}
