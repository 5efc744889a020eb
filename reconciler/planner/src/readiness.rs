//! Is it Ready? By the rules of kstatus: what the object's own controller says about the generation we see. Nothing is
//! polled: a status change is a watch event, and a watch event wakes the tool.
//!
//! [`of`] answers for every object: by the table [`ROWS`] where the kind has rules of its own, by the conventions on
//! conditions (`generic.rs`) everywhere else. *In progress* is what time or another object can end; *failed* is what
//! neither will. [`pod_trouble`] adds a pod's own words, which no Deployment repeats.

mod cluster;
mod condition;
mod generic;
mod network;
mod pod;
mod workload;

pub use pod::{Trouble, pod_trouble};
pub use workload::job;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far an object has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Readiness {
    /// It does what its spec says.
    Ready,
    /// Its controller is still at work.
    InProgress(String),
    /// Its controller has given up, or it will not come by itself.
    Failed(String),
}

impl Readiness {
    /// Ready, and nothing else.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// The rule of one kind, whatever its version.
struct Row {
    group: &'static str,
    kind: &'static str,
    rule: fn(&Value) -> Readiness,
}

const fn row(group: &'static str, kind: &'static str, rule: fn(&Value) -> Readiness) -> Row {
    Row { group, kind, rule }
}

/// Of kinds without a status that means anything to us: being there is being Ready.
const fn exists(_: &Value) -> Readiness {
    Readiness::Ready
}

/// Kinds with rules of their own.
const ROWS: &[Row] = &[
    row("", "Namespace", cluster::namespace),
    row("", "PersistentVolumeClaim", cluster::volume_claim),
    row("", "Pod", workload::pod),
    row("", "ResourceQuota", cluster::quota),
    row("", "Service", network::service),
    row("apiextensions.k8s.io", "CustomResourceDefinition", cluster::custom_kind),
    row("apiregistration.k8s.io", "APIService", cluster::api_service),
    row("apps", "DaemonSet", workload::daemon_set),
    row("apps", "Deployment", workload::deployment),
    row("apps", "ReplicaSet", workload::replica_set),
    row("apps", "StatefulSet", workload::stateful_set),
    row("autoscaling", "HorizontalPodAutoscaler", workload::autoscaler),
    // It does what its spec says by making Jobs when it is time; that one of them failed is not its failure.
    row("batch", "CronJob", exists),
    row("batch", "Job", workload::job),
    row("gateway.networking.k8s.io", "GRPCRoute", network::route),
    row("gateway.networking.k8s.io", "Gateway", network::gateway),
    row("gateway.networking.k8s.io", "HTTPRoute", network::route),
    row("gateway.networking.k8s.io", "TCPRoute", network::route),
    row("gateway.networking.k8s.io", "TLSRoute", network::route),
    row("gateway.networking.k8s.io", "UDPRoute", network::route),
    // Some controllers never write its status.
    row("networking.k8s.io", "Ingress", exists),
    row("policy", "PodDisruptionBudget", workload::disruption_budget),
    row("tekton.dev", "PipelineRun", cluster::run),
    row("tekton.dev", "TaskRun", cluster::run),
    // Its status is what we make of everything else: it must not wait for itself.
    row("toolforge.org", "Tool", exists),
];

/// How far any object has come. One that is being deleted is never Ready.
#[must_use]
pub fn of(object: &Value) -> Readiness {
    if crate::observed::is_terminating(object) {
        return Readiness::InProgress("being deleted".to_owned());
    }
    let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let row = ROWS.iter().find(|row| row.group == group && row.kind == text("kind"));
    row.map_or_else(|| generic::by_conditions(object), |row| (row.rule)(object))
}

/// What is said of an object: `ready`, `in progress: …`, `failed: …`.
#[cfg(test)]
#[track_caller]
fn check(object: &Value, expected: &str) {
    let said = match of(object) {
        Readiness::Ready => "ready".to_owned(),
        Readiness::InProgress(why) => format!("in progress: {why}"),
        Readiness::Failed(why) => format!("failed: {why}"),
    };
    assert_eq!(said, expected, "{object}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_row_and_they_are_sorted() {
        assert!(ROWS.is_sorted_by(|a, b| (a.group, a.kind) < (b.group, b.kind)));
    }

    #[test]
    fn every_kind_we_render_is_judged_by_the_name_it_has_here() {
        let watched = crate::kinds::KINDS.iter();
        let misspelt = ROWS.iter().filter(|row| {
            let mut same = watched.clone().filter(|kind| kind.kind == row.kind);
            same.clone().next().is_some() && !same.any(|kind| kind.group == row.group)
        });
        assert_eq!(misspelt.map(|row| row.kind).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
