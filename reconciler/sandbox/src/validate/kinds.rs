//! Rules of single kinds.

use super::template;
use crate::resource::Resource;
use crate::status::Cause;
use crate::value::{self, Object};
use serde_json::{Value, json};

pub(super) fn check(resource: &Resource, object: &Object, causes: &mut Vec<Cause>) {
    match resource.kind {
        "Deployment" | "ReplicaSet" => workload(object, causes),
        "Job" => job(object, "spec", causes),
        "CronJob" => {
            schedule(object, causes);
            job(object, "spec.jobTemplate.spec", causes);
        }
        "Pod" => template::pod_spec("spec", value::at(object, "spec"), causes),
        "Service" => service(object, causes),
        "PodDisruptionBudget" => budget(object, causes),
        _ => {}
    }
}

fn workload(object: &Object, causes: &mut Vec<Cause>) {
    if let Some(replicas) = value::number(object, "spec.replicas").filter(|replicas| *replicas < 0) {
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.replicas", &json!(replicas), why));
    }
    let labels = value::at(object, "spec.template.metadata.labels");
    let selector = value::at(object, "spec.selector").cloned().unwrap_or_default();
    let selector = crate::select::LabelSelector::of(&selector);
    if selector.is_empty() {
        causes.push(Cause::invalid("spec.selector", &json!({}), "empty selector is invalid for deployment"));
    } else if !selector.matches(&value::text_map(labels)) {
        let shown = labels.cloned().unwrap_or_default();
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", &shown, why));
    }
    template::check(object, "spec.template", causes);
    let leftover = value::at(object, "spec.strategy.rollingUpdate");
    if value::text(object, "spec.strategy.type") == "Recreate" && leftover.is_some() {
        let why = "may not be specified when strategy `type` is 'Recreate'";
        causes.push(Cause::forbidden("spec.strategy.rollingUpdate", why));
    }
    let policy = value::text(object, "spec.template.spec.restartPolicy");
    if !matches!(policy, "" | "Always") {
        let field = "spec.template.spec.restartPolicy";
        causes.push(Cause::unsupported(field, &json!(policy), &["Always"]));
    }
}

fn job(object: &Object, spec: &str, causes: &mut Vec<Cause>) {
    let template = format!("{spec}.template");
    template::check(object, &template, causes);
    let field = format!("{template}.spec.restartPolicy");
    match value::text(object, &field) {
        "OnFailure" | "Never" => {}
        "" | "Always" => causes.push(Cause::required(field, "valid values: \"OnFailure\", \"Never\"")),
        other => causes.push(Cause::unsupported(field.as_str(), &json!(other), &["OnFailure", "Never"])),
    }
}

/// Five fields or a macro; what a field may hold is checked by its letters only.
fn schedule(object: &Object, causes: &mut Vec<Cause>) {
    let text = value::text(object, "spec.schedule");
    if text.is_empty() {
        return causes.push(Cause::required("spec.schedule", ""));
    }
    let is_macro =
        matches!(text, "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly")
            || text.starts_with("@every ");
    let good = |letter: char| letter.is_ascii_alphanumeric() || "*/,-?".contains(letter);
    let fields: Vec<&str> = text.split_whitespace().collect();
    let is_cron = fields.len() == 5 && fields.iter().all(|field| field.chars().all(good));
    if !is_macro && !is_cron {
        let why = format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" "));
        causes.push(Cause::invalid("spec.schedule", &json!(text), &why));
    }
}

fn service(object: &Object, causes: &mut Vec<Cause>) {
    let ports = value::at(object, "spec.ports").and_then(Value::as_array);
    let ports = ports.map_or(&[][..], Vec::as_slice);
    let is_named = value::text(object, "spec.type") == "ExternalName";
    if ports.is_empty() && !is_named && value::text(object, "spec.clusterIP") != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (at, port) in ports.iter().enumerate() {
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65_535).contains(&number) {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("spec.ports[{at}].port"), &port["port"], why));
        }
        if ports.len() > 1 && port["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("spec.ports[{at}].name"), ""));
        }
        let same = |other: &&Value| other["port"] == port["port"] && other["protocol"] == port["protocol"];
        if ports[..at].iter().any(|other| same(&other)) {
            let shown = json!({"port": port["port"], "protocol": port["protocol"]});
            causes.push(Cause::duplicate(format!("spec.ports[{at}]"), &shown));
        }
    }
}

fn budget(object: &Object, causes: &mut Vec<Cause>) {
    let both = ["spec.minAvailable", "spec.maxUnavailable"].iter().all(|field| value::at(object, field).is_some());
    if both {
        let why = "minAvailable and maxUnavailable cannot be both set";
        causes.push(Cause::invalid("spec", &json!({}), why));
    }
}
