//! ReplicaSets: as many pods as wanted.

use super::{CONTROLLER_MANAGER, controlled_by};
use crate::cluster::Cluster;
use crate::store::Entry;
use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// The sandbox holds no more pods of one set: it is no place for load.
const MAX_PODS: i64 = 200;

impl Cluster {
    pub(super) fn tend_replica_set(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let wanted = value::number(&object, "spec.replicas").unwrap_or(1).clamp(0, MAX_PODS);
        let pods = self.controlled(entry, "Pod");
        let (finished, running): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| is_finished(&pod.object()));
        // One that is being stopped counts no more.
        let running: Vec<_> = running.into_iter().filter(|pod| !value::is_terminating(&pod.object())).collect();
        // Of those that a node gave up, one is left to be read; who collects garbage takes longer on a cluster.
        let newest = finished.iter().map(|pod| pod.revision).max();
        for pod in finished.iter().filter(|pod| Some(pod.revision) != newest) {
            self.delete_as_controller(pod, now);
        }
        let have = i64::try_from(running.len()).unwrap_or(i64::MAX);
        for _ in have..wanted {
            let pod = pod_of(entry, &object);
            self.make("Pod", &entry.key.namespace, pod, now);
        }
        let surplus = usize::try_from(have - wanted).unwrap_or(0);
        for pod in running.iter().rev().take(surplus) {
            self.delete_as_controller(pod, now);
        }
        let status = self.replica_set_status(entry, &object);
        self.set_status(entry, CONTROLLER_MANAGER, status, now);
    }

    fn replica_set_status(&self, entry: &Entry, object: &Object) -> Value {
        let mut pods = self.controlled(entry, "Pod");
        pods.retain(|pod| !value::is_terminating(&pod.object()));
        let ready = pods.iter().filter(|pod| super::conditions::holds(&pod.object(), "Ready")).count();
        let mut status = json!({
            "replicas": pods.len(),
            "observedGeneration": value::number(object, "metadata.generation"),
        });
        for (field, count) in
            [("fullyLabeledReplicas", pods.len()), ("readyReplicas", ready), ("availableReplicas", ready)]
        {
            if count != 0 {
                status[field] = json!(count);
            }
        }
        status
    }
}

fn is_finished(pod: &Object) -> bool {
    matches!(value::text(pod, "status.phase"), "Succeeded" | "Failed")
}

/// A pod of a workload's template.
pub(super) fn pod_of(owner: &Entry, object: &Object) -> Value {
    let template = |part: &str| value::at(object, "spec.template").and_then(|one| one.get(part)).cloned();
    let mut metadata = template("metadata").unwrap_or_else(|| json!({}));
    metadata["generateName"] = json!(format!("{}-", owner.key.name));
    metadata["ownerReferences"] = controlled_by(owner);
    json!({"metadata": metadata, "spec": template("spec")})
}
