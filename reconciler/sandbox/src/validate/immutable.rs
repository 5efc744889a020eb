//! Fields that may not change: the table of the planner, and what depends on a value.

use crate::resource::Resource;
use crate::status::Cause;
use crate::value::{self, Object};
use planner::schema::immutable::IMMUTABLE;
use serde_json::{Value, json};

pub(super) fn check(resource: &Resource, old: &Object, new: &Object, causes: &mut Vec<Cause>) {
    let rows = IMMUTABLE.iter().filter(|row| row.group == resource.group && row.kind == resource.kind);
    for row in rows {
        let (before, after) = (value::at(old, row.path), value::at(new, row.path));
        if before != after {
            let shown = after.cloned().unwrap_or(Value::Null);
            let why = if row.path == "roleRef" { "cannot change roleRef" } else { "field is immutable" };
            causes.push(Cause::invalid(row.path, &shown, why));
        }
    }
    match resource.kind {
        "Service" => cluster_ip(old, new, causes),
        "ConfigMap" | "Secret" => sealed(old, new, causes),
        "Pod" => pod_spec(old, new, causes),
        _ => {}
    }
    added_finalizers(old, new, causes);
}

fn cluster_ip(old: &Object, new: &Object, causes: &mut Vec<Cause>) {
    let is_named = value::text(new, "spec.type") == "ExternalName" || value::text(old, "spec.type") == "ExternalName";
    let (before, after) = (value::at(old, "spec.clusterIP"), value::at(new, "spec.clusterIP"));
    if !is_named && before.is_some() && before != after {
        let shown = json!([after]);
        causes.push(Cause::invalid("spec.clusterIPs[0]", &shown, "may not change once set"));
    }
}

/// `immutable: true`.
fn sealed(old: &Object, new: &Object, causes: &mut Vec<Cause>) {
    if old.get("immutable") != Some(&json!(true)) {
        return;
    }
    for field in ["data", "binaryData", "immutable"] {
        if old.get(field) != new.get(field) {
            causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
        }
    }
}

/// Of a pod's spec only images, deadlines and tolerations may change, and it may be bound to a node once.
fn pod_spec(old: &Object, new: &Object, causes: &mut Vec<Cause>) {
    let fixed = |pod: &Object| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            spec[field] = Value::Null;
        }
        if value::text(old, "spec.nodeName").is_empty() {
            spec["nodeName"] = Value::Null;
        }
        spec
    };
    if fixed(old) != fixed(new) {
        let allowed = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.push(Cause::forbidden("spec", allowed));
    }
}

fn added_finalizers(old: &Object, new: &Object, causes: &mut Vec<Cause>) {
    if !value::is_terminating(old) {
        return;
    }
    let had = value::finalizers(old);
    let added: Vec<String> = value::finalizers(new).into_iter().filter(|one| !had.contains(one)).collect();
    if !added.is_empty() {
        let listed: Vec<String> = added.iter().map(|one| format!("{one:?}")).collect();
        let text = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            listed.join(", ")
        );
        causes.push(Cause::forbidden("metadata.finalizers", &text));
    }
}
