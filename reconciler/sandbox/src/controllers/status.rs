//! Kinds whose controllers only say something: budgets, quotas, routes, definitions, claims.

use super::CONTROLLER_MANAGER;
use super::conditions::{Condition, holds};
use crate::cluster::Cluster;
use crate::quantity::{self, Quantity};
use crate::resource::RESOURCES;
use crate::select::LabelSelector;
use crate::store::Entry;
use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

impl Cluster {
    pub(super) fn tend_budget(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let selector = value::at(&object, "spec.selector").map(LabelSelector::of).unwrap_or_default();
        let pods = self.store.range("Pod", Some(&entry.key.namespace));
        let pods: Vec<_> = pods.filter(|pod| selector.matches(&pod.labels)).cloned().collect();
        let expected = as_i64(pods.len());
        let healthy = as_i64(pods.iter().filter(|pod| holds(&pod.object(), "Ready")).count());
        let desired = match (value::at(&object, "spec.minAvailable"), value::at(&object, "spec.maxUnavailable")) {
            (Some(least), _) => share(least, expected),
            (None, Some(most)) => (expected - share(most, expected)).max(0),
            (None, None) => expected,
        };
        let allowed = (healthy - desired).max(0);
        let (status, reason) = if allowed > 0 { (true, "SufficientPods") } else { (false, "InsufficientPods") };
        let condition = Condition { kind: "DisruptionAllowed", status, reason, message: String::new() };
        let status = json!({
            "observedGeneration": value::number(&object, "metadata.generation"),
            "expectedPods": expected, "currentHealthy": healthy, "desiredHealthy": desired,
            "disruptionsAllowed": allowed, "conditions": [condition.after(&object, now)],
        });
        self.set_status(entry, CONTROLLER_MANAGER, status, now);
    }

    pub(super) fn tend_quota(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let Some(hard) = value::at(&object, "spec.hard").and_then(Value::as_object) else {
            return;
        };
        let used: Map<String, Value> =
            hard.keys().map(|name| (name.clone(), json!(self.used(&entry.key.namespace, name)))).collect();
        let status = json!({"hard": hard, "used": used});
        self.set_status(entry, CONTROLLER_MANAGER, status, now);
    }

    /// How much of a quota's resource a namespace uses.
    fn used(&self, namespace: &str, name: &str) -> String {
        let counted = name.strip_prefix("count/").map_or(name, |rest| rest.split('.').next().unwrap_or(rest));
        if let Some(row) = RESOURCES.iter().find(|row| row.plural == counted) {
            return self.store.range(row.kind, Some(namespace)).filter(|entry| counts(entry)).count().to_string();
        }
        let (list, resource) = match name.split_once('.') {
            Some(("limits", resource)) => ("limits", resource),
            Some(("requests", resource)) => ("requests", resource),
            _ => ("requests", name),
        };
        let pods = self.store.range("Pod", Some(namespace)).filter(|entry| counts(entry));
        let amounts = pods.flat_map(|pod| amounts(&pod.object(), list, resource));
        quantity::sum(amounts).to_string()
    }

    pub(super) fn tend_route(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let refs = value::at(&object, "spec.parentRefs").and_then(Value::as_array);
        let old = value::at(&object, "status.parents").and_then(Value::as_array);
        let parents: Vec<Value> = refs
            .into_iter()
            .flatten()
            .map(|parent| {
                let before = old.into_iter().flatten().find(|one| one["parentRef"] == *parent);
                route_parent(parent, before, &object, now)
            })
            .collect();
        self.set_status(entry, "toolforge-sandbox", json!({"parents": parents}), now);
    }

    pub(super) fn tend_definition(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let condition = |kind, reason, message: &str| {
            Condition { kind, status: true, reason, message: message.to_owned() }.after(&object, now)
        };
        let versions = value::at(&object, "spec.versions").and_then(Value::as_array);
        let stored = versions.into_iter().flatten().filter(|one| one["storage"] == true);
        let stored: Vec<&Value> = stored.map(|one| &one["name"]).collect();
        let status = json!({
            "acceptedNames": value::at(&object, "spec.names"), "storedVersions": stored,
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
        });
        self.set_status(entry, "kube-apiserver", status, now);
    }

    pub(super) fn tend_claim(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let status = json!({
            "phase": "Bound", "accessModes": value::at(&object, "spec.accessModes"),
            "capacity": value::at(&object, "spec.resources.requests"),
        });
        self.set_status(entry, CONTROLLER_MANAGER, status, now);
    }
}

fn route_parent(parent: &Value, before: Option<&Value>, route: &Object, now: Timestamp) -> Value {
    let generation = value::number(route, "metadata.generation");
    let old = value::object(json!({"status": before}));
    let condition = |kind, reason| {
        let condition = Condition { kind, status: true, reason, message: "the sandbox routes nothing".to_owned() };
        let mut condition = condition.after(&old, now);
        condition["observedGeneration"] = json!(generation);
        condition
    };
    json!({
        "parentRef": parent, "controllerName": "toolforge.org/sandbox",
        "conditions": [condition("Accepted", "Accepted"), condition("ResolvedRefs", "ResolvedRefs")],
    })
}

/// Pods that ended use nothing.
fn counts(entry: &Entry) -> bool {
    entry.key.kind != "Pod" || !matches!(value::text(&entry.object(), "status.phase"), "Succeeded" | "Failed")
}

fn amounts(pod: &Object, list: &str, resource: &str) -> Vec<Quantity> {
    let containers = value::at(pod, "spec.containers").and_then(Value::as_array);
    let values = containers.into_iter().flatten().filter_map(|one| one.get("resources")?.get(list)?.get(resource));
    values.filter_map(Quantity::of).collect()
}

fn share(value: &Value, whole: i64) -> i64 {
    match value {
        Value::String(text) => {
            let share: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            (whole * share + 99) / 100
        }
        number => number.as_i64().unwrap_or(0),
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
