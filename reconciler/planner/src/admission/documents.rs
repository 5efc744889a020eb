//! The rules as one platform has them on its cluster. Several platforms may share one: each has rules and parameters of
//! its own, under names of its own, for the namespaces of its own tools alone.

use renderer::Platform;
use renderer::render::PLATFORM_MARK;
use serde_json::{Value, json};

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
    if document["kind"] == "ValidatingAdmissionPolicyBinding" {
        let spec = &mut document["spec"];
        append(&mut spec["policyName"], &suffix);
        if let Some(reference) = spec.get_mut("paramRef") {
            reference["namespace"] = json!(platform.namespace);
        }
        spec["matchResources"]["namespaceSelector"]["matchLabels"][PLATFORM_MARK] = json!(platform.name);
    }
    document
}

fn append(name: &mut Value, suffix: &str) {
    *name = format!("{}{suffix}", name.as_str().unwrap_or_default()).into();
}
