//! Deployments: one ReplicaSet per template. The new one gets all its replicas at once; the old ones give theirs up when
//! the new one is available, or first if the strategy is `Recreate`.

use super::conditions::{Condition, current};
use super::{CONTROLLER_MANAGER, controlled_by, writer};
use crate::cluster::Cluster;
use crate::ids::hashed;
use crate::store::Entry;
use crate::value::{self, Object};
use crate::write::Writer;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

const REVISION: &str = "deployment.kubernetes.io/revision";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// A Deployment's ReplicaSets.
struct Sets {
    current: Option<Arc<Entry>>,
    old: Vec<Arc<Entry>>,
}

/// What they come to.
#[derive(Clone, Copy)]
struct Counts {
    wanted: i64,
    all: i64,
    updated: i64,
    ready: i64,
}

impl Cluster {
    pub(super) fn tend_deployment(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let hash = template_hash(&object);
        let sets = self.sets(entry, &hash);
        let wanted = value::number(&object, "spec.replicas").unwrap_or(1);
        if value::at(&object, "spec.paused") != Some(&json!(true)) {
            self.roll(entry, &object, &sets, &hash, now);
        }
        let sets = self.sets(entry, &hash);
        let counts = count(&sets, wanted);
        self.forget_old(&object, &sets.old, now);
        let name = sets.current.as_ref().map_or_else(String::new, |set| set.key.name.clone());
        let status = self.deployment_status(entry, &object, counts, &name, now);
        // The revision may have been written just now, so the entry is read again.
        if let Some(entry) = self.store.get(&entry.key).cloned() {
            self.set_status(&entry, CONTROLLER_MANAGER, status, now);
        }
    }

    fn sets(&self, deployment: &Entry, hash: &str) -> Sets {
        let all = self.controlled(deployment, "ReplicaSet");
        let is_current = |set: &Arc<Entry>| set.labels.get(TEMPLATE_HASH).is_some_and(|have| have == hash);
        let (mut current, old): (Vec<_>, Vec<_>) = all.into_iter().partition(is_current);
        Sets { current: current.pop(), old }
    }

    fn roll(&mut self, entry: &Arc<Entry>, object: &Object, sets: &Sets, hash: &str, now: Timestamp) {
        let wanted = value::number(object, "spec.replicas").unwrap_or(1);
        let runs = |set: &Arc<Entry>| number(set, "status.replicas") > 0 || !self.controlled(set, "Pod").is_empty();
        let old_run = sets.old.iter().any(runs);
        let recreate = value::text(object, "spec.strategy.type") == "Recreate";
        let target = if recreate && old_run { 0 } else { wanted };
        let newest = sets.old.iter().chain(&sets.current).map(|set| revision(&set.object())).max();
        let newest = newest.unwrap_or(0);
        let current = match &sets.current {
            Some(current) => {
                self.scale_set(current, target, now);
                let behind = sets.old.iter().any(|set| revision(&set.object()) >= revision(&current.object()));
                if behind { newest + 1 } else { revision(&current.object()) }
            }
            None => {
                let set = new_set(entry, object, hash, target, newest + 1);
                self.make("ReplicaSet", &entry.key.namespace, set, now);
                newest + 1
            }
        };
        self.set_revisions(entry, sets.current.as_ref(), current, now);
        let available = sets.current.as_ref().is_some_and(|set| number(set, "status.availableReplicas") >= wanted);
        if recreate || available {
            for set in &sets.old {
                self.scale_set(set, 0, now);
            }
        }
    }

    fn scale_set(&mut self, set: &Arc<Entry>, replicas: i64, now: Timestamp) {
        if number(set, "spec.replicas") == replicas {
            return;
        }
        let by = writer(set, CONTROLLER_MANAGER, now);
        self.edit(by, set, |object| {
            value::child(object, "spec").insert("replicas".to_owned(), json!(replicas));
        });
    }

    fn set_revisions(&mut self, entry: &Arc<Entry>, set: Option<&Arc<Entry>>, revision: i64, now: Timestamp) {
        let live = set.and_then(|set| self.store.get(&set.key).cloned());
        for entry in [Some(entry.clone()), live].into_iter().flatten() {
            if self::revision(&entry.object()) == revision {
                continue;
            }
            // With the status, as the real controller does: it is no change of what is wanted.
            let by = writer(&entry, CONTROLLER_MANAGER, now).map(Writer::on_status);
            self.edit(by, &entry, |object| {
                let annotations = value::child(value::metadata(object), "annotations");
                annotations.insert(REVISION.to_owned(), json!(revision.to_string()));
            });
        }
    }

    fn forget_old(&mut self, object: &Object, old: &[Arc<Entry>], now: Timestamp) {
        let limit = value::number(object, "spec.revisionHistoryLimit").unwrap_or(10);
        let mut idle: Vec<_> = old.iter().filter(|set| number(set, "spec.replicas") == 0).collect();
        idle.sort_by_key(|set| revision(&set.object()));
        let excess = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for set in idle.into_iter().take(excess) {
            self.delete_as_controller(set, now);
        }
    }

    fn deployment_status(
        &mut self,
        entry: &Entry,
        object: &Object,
        counts: Counts,
        set: &str,
        now: Timestamp,
    ) -> Value {
        let Counts { wanted, all, updated, ready } = counts;
        let complete = updated == wanted && all == wanted && ready == wanted;
        let minimum = wanted - max_unavailable(object, wanted);
        let available = if ready >= minimum && (ready > 0 || wanted == 0) {
            available(true, "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            available(false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        let progressing = progressing(object, complete, set, now);
        if !complete && let Some(at) = deadline(object, now) {
            self.dirty.wake_at(at, &entry.key);
        }
        let mut status = json!({
            "observedGeneration": value::number(object, "metadata.generation"),
            "conditions": [available.updated_after(object, now), progressing.updated_after(object, now)],
        });
        for (field, count) in [
            ("replicas", all),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("unavailableReplicas", (wanted.max(all) - ready).max(0)),
        ] {
            if count != 0 {
                status[field] = json!(count);
            }
        }
        status
    }
}

fn available(status: bool, reason: &'static str, message: &str) -> Condition<'static> {
    Condition { kind: "Available", status, reason, message: message.to_owned() }
}

fn progressing(object: &Object, complete: bool, set: &str, now: Timestamp) -> Condition<'static> {
    let (status, reason, message) = if complete {
        (true, "NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed."))
    } else if deadline(object, now).is_some_and(|at| at <= now) {
        (false, "ProgressDeadlineExceeded", format!("ReplicaSet \"{set}\" has timed out progressing."))
    } else {
        (true, "ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing."))
    };
    Condition { kind: "Progressing", status, reason, message }
}

/// When a rollout that is under way counts as stuck. A new generation starts anew.
fn deadline(object: &Object, now: Timestamp) -> Option<Timestamp> {
    let secs = value::number(object, "spec.progressDeadlineSeconds").unwrap_or(600);
    let seen = value::number(object, "status.observedGeneration") == value::number(object, "metadata.generation");
    let going = current(object, "Progressing").filter(|one| seen && one["reason"] != "NewReplicaSetAvailable");
    let since = going.and_then(|one| one["lastUpdateTime"].as_str()?.parse().ok()).unwrap_or(now);
    let stuck = going.is_some_and(|one| one["reason"] == "ProgressDeadlineExceeded");
    if stuck { Some(since) } else { since.checked_add(SignedDuration::from_secs(secs)).ok() }
}

fn count(sets: &Sets, wanted: i64) -> Counts {
    let sum = |path: &str| {
        let all = sets.old.iter().chain(&sets.current);
        all.map(|set| number(set, path)).sum()
    };
    let updated = sets.current.as_ref().map_or(0, |set| number(set, "status.replicas"));
    Counts { wanted, all: sum("status.replicas"), updated, ready: sum("status.availableReplicas") }
}

/// `maxUnavailable`, rounded down; `Recreate` may have none running.
fn max_unavailable(object: &Object, wanted: i64) -> i64 {
    if value::text(object, "spec.strategy.type") == "Recreate" {
        return 0;
    }
    let limit = value::at(object, "spec.strategy.rollingUpdate.maxUnavailable");
    match limit {
        Some(Value::String(text)) => text.trim_end_matches('%').parse().map_or(0, |share: i64| wanted * share / 100),
        Some(number) => number.as_i64().unwrap_or(0),
        None => wanted / 4,
    }
}

fn number(entry: &Entry, path: &str) -> i64 {
    value::number(&entry.object(), path).unwrap_or(0)
}

fn revision(object: &Object) -> i64 {
    let annotations = value::at(object, "metadata.annotations");
    let text = annotations.and_then(|annotations| annotations.get(REVISION)?.as_str());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn template_hash(object: &Object) -> String {
    let template = value::at(object, "spec.template").map(ToString::to_string);
    hashed(template.unwrap_or_default().as_bytes())
}

fn new_set(entry: &Entry, object: &Object, hash: &str, replicas: i64, revision: i64) -> Value {
    let mut template = value::at(object, "spec.template").cloned().unwrap_or_default();
    let mut selector = value::at(object, "spec.selector").cloned().unwrap_or_default();
    template["metadata"]["labels"][TEMPLATE_HASH] = json!(hash);
    selector["matchLabels"][TEMPLATE_HASH] = json!(hash);
    json!({
        "metadata": {
            "name": format!("{}-{hash}", entry.key.name),
            "labels": template["metadata"]["labels"],
            "annotations": {(REVISION): revision.to_string()},
            "ownerReferences": controlled_by(entry),
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    })
}
