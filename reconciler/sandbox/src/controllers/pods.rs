//! Pods: bound to the one node there is. Where a node is attached, it says all else; otherwise a word is put in for the
//! kubelet, and no container runs.

use super::FAIL;
use super::conditions::Condition;
use crate::cluster::Cluster;
use crate::ids::fnv1a;
use crate::store::Entry;
use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// The name of the one node.
pub const NODE: &str = "sandbox";
const KUBELET: &str = "kubelet";

impl Cluster {
    /// A pending pod is bound to the node. Without one it then runs, ends or fails at once.
    pub(super) fn tend_pod(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        if value::text(&object, "spec.nodeName").is_empty() {
            let by = super::writer(entry, "kube-scheduler", now);
            return self.edit(by, entry, |object| {
                value::child(object, "spec").insert("nodeName".to_owned(), json!(NODE));
            });
        }
        if self.has_node {
            return;
        }
        if value::text(&object, "status.phase") != "Pending" || value::at(&object, "status.startTime").is_some() {
            return;
        }
        let status = pod_status(entry, &object, now);
        self.set_status(entry, KUBELET, status, now);
    }
}

/// How a pod stands, once it stands.
enum Fate {
    Runs,
    Succeeds,
    Fails(String),
}

fn fate(object: &Object) -> Fate {
    let annotations = value::at(object, "metadata.annotations");
    let reason = annotations.and_then(|annotations| annotations.get(FAIL)?.as_str());
    let of_job = value::owner_references(object).any(|owner| owner["kind"] == "Job");
    match reason {
        Some(reason) => Fate::Fails(reason.to_owned()),
        None if of_job => Fate::Succeeds,
        None => Fate::Runs,
    }
}

fn pod_status(entry: &Entry, object: &Object, now: Timestamp) -> Value {
    let fate = fate(object);
    let of_job = value::owner_references(object).any(|owner| owner["kind"] == "Job");
    let phase = match &fate {
        Fate::Runs => "Running",
        Fate::Succeeds => "Succeeded",
        Fate::Fails(_) if of_job => "Failed",
        Fate::Fails(reason) if reason == "CrashLoopBackOff" => "Running",
        Fate::Fails(_) => "Pending",
    };
    let ready = matches!(fate, Fate::Runs);
    let condition = |kind: &'static str, status: bool| {
        let reason = match (&fate, status) {
            (Fate::Succeeds, false) => "PodCompleted",
            (_, false) => "ContainersNotReady",
            _ => "",
        };
        Condition { kind, status, reason, message: String::new() }.after(object, now)
    };
    let containers = value::at(object, "spec.containers").and_then(Value::as_array);
    let containers: Vec<Value> =
        containers.into_iter().flatten().map(|one| container_status(one, &fate, of_job, now)).collect();
    let address = pod_address(&entry.uid);
    json!({
        "phase": phase, "startTime": value::time_text(now), "qosClass": "Burstable",
        "hostIP": "10.0.0.1", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [
            condition("Initialized", true), condition("Ready", ready),
            condition("ContainersReady", ready), condition("PodScheduled", true),
        ],
        "containerStatuses": containers,
    })
}

fn container_status(container: &Value, fate: &Fate, of_job: bool, now: Timestamp) -> Value {
    let at = value::time_text(now);
    let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": at, "finishedAt": at}});
    let state = match fate {
        Fate::Runs => json!({"running": {"startedAt": at}}),
        Fate::Succeeds => ended(0, "Completed"),
        Fate::Fails(_) if of_job => ended(1, "Error"),
        Fate::Fails(reason) => {
            let message = format!("the sandbox was asked to fail this pod ({FAIL})");
            json!({"waiting": {"reason": reason, "message": message}})
        }
    };
    let crashed = matches!(fate, Fate::Fails(reason) if reason == "CrashLoopBackOff");
    json!({
        "name": container["name"], "image": container["image"], "imageID": "",
        "ready": matches!(fate, Fate::Runs), "started": matches!(fate, Fate::Runs),
        "restartCount": i32::from(crashed && !of_job) * 3, "state": state, "lastState": {},
    })
}

fn pod_address(uid: &str) -> String {
    let [a, b, ..] = fnv1a(uid.as_bytes()).to_be_bytes();
    format!("10.244.{a}.{b}")
}
