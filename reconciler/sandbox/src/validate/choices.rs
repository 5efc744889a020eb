//! Fields with a closed set of values. The server's OpenAPI does not state them for its own types; custom resources do,
//! and are checked by their schema.

use crate::status::Cause;
use planner::schema::TypeRef;
use serde_json::{Map, Value};

/// Type, field, and the values it may have.
const CHOICES: &[(&str, &str, &[&str])] = &[
    ("apps.v1.DeploymentStrategy", "type", &["Recreate", "RollingUpdate"]),
    ("batch.v1.CronJobSpec", "concurrencyPolicy", &["Allow", "Forbid", "Replace"]),
    ("core.v1.Container", "imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("core.v1.Container", "terminationMessagePolicy", &["FallbackToLogsOnError", "File"]),
    ("core.v1.ContainerPort", "protocol", &["SCTP", "TCP", "UDP"]),
    ("core.v1.HTTPGetAction", "scheme", &["HTTP", "HTTPS"]),
    ("core.v1.PodSpec", "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]),
    ("core.v1.SeccompProfile", "type", &["Localhost", "RuntimeDefault", "Unconfined"]),
    ("core.v1.ServicePort", "protocol", &["SCTP", "TCP", "UDP"]),
    ("core.v1.ServiceSpec", "sessionAffinity", &["ClientIP", "None"]),
    ("core.v1.ServiceSpec", "type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]),
    ("networking.v1.HTTPIngressPath", "pathType", &["Exact", "ImplementationSpecific", "Prefix"]),
    ("networking.v1.NetworkPolicyPort", "protocol", &["SCTP", "TCP", "UDP"]),
    ("policy.v1.PodDisruptionBudgetSpec", "unhealthyPodEvictionPolicy", &["AlwaysAllow", "IfHealthyBudget"]),
];

/// Every field of a value whose text is none of its choices.
pub(super) fn check(value: &Value, place: TypeRef, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(map) => {
            check_fields(map, place, path, causes);
            for (field, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                check(value, place.field(field), &format!("{path}{dot}{field}"), causes);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                check(item, place.items(), &format!("{path}[{at}]"), causes);
            }
        }
        _ => {}
    }
}

fn check_fields(map: &Map<String, Value>, place: TypeRef, path: &str, causes: &mut Vec<Cause>) {
    let Some(name) = place.name() else { return };
    for (_, field, choices) in CHOICES.iter().filter(|(of, _, _)| *of == name) {
        let Some(value) = map.get(*field) else { continue };
        if !value.as_str().is_some_and(|text| choices.contains(&text)) {
            causes.push(Cause::unsupported(format!("{path}.{field}"), value, choices));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::schema::Schema;

    #[test]
    fn every_choice_stands_at_a_field_of_the_schema() {
        let mut missing: Vec<(&str, &str)> = CHOICES.iter().map(|(of, field, _)| (*of, *field)).collect();
        for (_, place) in Schema::kinds() {
            visit(place, 0, &mut missing);
        }
        assert_eq!(missing, []);
    }

    fn visit(place: TypeRef, depth: usize, missing: &mut Vec<(&str, &str)>) {
        // Deeper than any of them; a schema of schemas has no end.
        if depth > 12 || missing.is_empty() {
            return;
        }
        let name = place.name();
        missing.retain(|(of, field)| Some(*of) != name || place.declared(field).is_none());
        for (field, place) in place.fields().filter(|(field, _)| *field != "openAPIV3Schema") {
            if field != "status" && field != "managedFields" {
                visit(place, depth + 1, missing);
            }
        }
        if place.told_apart().is_some() {
            visit(place.items(), depth + 1, missing);
        }
    }
}
