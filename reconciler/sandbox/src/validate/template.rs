//! Pod templates.

use super::names;
use crate::quantity::Quantity;
use crate::status::Cause;
use crate::value::{self, Object};
use renderer::names::is_dns_label;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The template at a dotted path.
pub(super) fn check(object: &Object, path: &str, causes: &mut Vec<Cause>) {
    let labels = format!("{path}.metadata.labels");
    names::check_labels(&labels, value::at(object, &labels), causes);
    let spec = format!("{path}.spec");
    pod_spec(&spec, value::at(object, &spec), causes);
}

pub(super) fn pod_spec(path: &str, spec: Option<&Value>, causes: &mut Vec<Cause>) {
    let list = |name: &str| spec.and_then(|spec| spec.get(name)).and_then(Value::as_array);
    let volumes: Vec<&str> = list("volumes").into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    if list("containers").is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    for name in ["initContainers", "containers"] {
        for (at, one) in list(name).into_iter().flatten().enumerate() {
            container(&format!("{path}.{name}[{at}]"), one, &volumes, causes);
        }
    }
}

fn container(path: &str, container: &Value, volumes: &[&str], causes: &mut Vec<Cause>) {
    let text = |field: &str| container[field].as_str().unwrap_or_default();
    if !text("name").is_empty() && !is_dns_label(text("name"), 63) {
        let why = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        causes.push(Cause::invalid(format!("{path}.name"), &container["name"], why));
    }
    if text("image").trim().is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    }
    let ports = container["ports"].as_array().into_iter().flatten().enumerate();
    for (at, port) in ports {
        if !port["containerPort"].as_i64().is_some_and(|number| (1..=65_535).contains(&number)) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("{path}.ports[{at}].containerPort"), &port["containerPort"], why));
        }
    }
    let mounts = container["volumeMounts"].as_array().into_iter().flatten().enumerate();
    for (at, mount) in mounts {
        let name = mount["name"].as_str().unwrap_or_default();
        if !volumes.contains(&name) {
            let message = format!("Not found: \"{name}\"");
            let field = format!("{path}.volumeMounts[{at}].name");
            causes.push(Cause { reason: "FieldValueNotFound", message, field });
        }
    }
    resources(&format!("{path}.resources"), &container["resources"], causes);
}

fn resources(path: &str, resources: &Value, causes: &mut Vec<Cause>) {
    let requests = resources["requests"].as_object().into_iter().flatten();
    for (name, request) in requests {
        let (Some(asked), Some(limit)) = (Quantity::of(request), Quantity::of(&resources["limits"][name])) else {
            continue;
        };
        if asked.compare(limit) == Ordering::Greater {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            causes.push(Cause::invalid(format!("{path}.requests"), &json!(asked.to_string()), &why));
        }
    }
}
