//! Jobs: pods that end at once, until enough have.

use super::conditions::{Condition, holds};
use super::replica_set::pod_of;
use super::{CONTROLLER_MANAGER, FAIL};
use crate::cluster::Cluster;
use crate::store::Entry;
use crate::value::{self, Object};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

impl Cluster {
    pub(super) fn tend_job(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        if holds(&object, "Complete") || holds(&object, "Failed") {
            return self.expire_job(entry, &object, now);
        }
        let pods = self.controlled(entry, "Pod");
        let phases: Vec<String> =
            pods.iter().map(|pod| value::text(&pod.object(), "status.phase").to_owned()).collect();
        let count = |phase: &str| phases.iter().filter(|one| *one == phase).count();
        let (succeeded, failed) = (count("Succeeded"), count("Failed"));
        let active = phases.len() - succeeded - failed;
        let wanted = number(&object, "spec.completions").unwrap_or(1);
        let suspended = value::at(&object, "spec.suspend") == Some(&json!(true));
        if !suspended && failed == 0 {
            let parallel = number(&object, "spec.parallelism").unwrap_or(1);
            let missing = wanted.saturating_sub(succeeded + active).min(parallel.saturating_sub(active));
            for _ in 0..missing {
                self.make("Pod", &entry.key.namespace, pod_of(entry, &object), now);
            }
        }
        let conditions = conditions(&object, succeeded >= wanted, failed > 0, suspended, now);
        let status = job_status(&object, &conditions, [active, succeeded, failed], now);
        self.set_status(entry, CONTROLLER_MANAGER, status, now);
    }

    /// `ttlSecondsAfterFinished`.
    fn expire_job(&mut self, entry: &Arc<Entry>, object: &Object, now: Timestamp) {
        let Some(secs) = value::number(object, "spec.ttlSecondsAfterFinished") else {
            return;
        };
        let conditions = value::at(object, "status.conditions").and_then(Value::as_array);
        let times = conditions.into_iter().flatten().filter_map(|one| one["lastTransitionTime"].as_str());
        let Some(finished) = times.max().and_then(|at| at.parse::<Timestamp>().ok()) else {
            return;
        };
        match finished.checked_add(SignedDuration::from_secs(secs)) {
            Ok(at) if at <= now => self.delete_as_controller(entry, now),
            Ok(at) => self.dirty.wake_at(at, &entry.key),
            Err(_) => {}
        }
    }
}

fn number(object: &Object, path: &str) -> Option<usize> {
    value::number(object, path).and_then(|number| usize::try_from(number).ok())
}

fn conditions(object: &Object, complete: bool, failed: bool, suspended: bool, now: Timestamp) -> Vec<Value> {
    let one = |kind: &'static str, reason: &'static str, message: &str| {
        Condition { kind, status: true, reason, message: message.to_owned() }.after(object, now)
    };
    let failure = format!("Job has reached the specified backoff limit (asked for by {FAIL})");
    match () {
        () if complete => {
            let why = ("CompletionsReached", "Reached expected number of succeeded pods");
            vec![one("SuccessCriteriaMet", why.0, why.1), one("Complete", why.0, why.1)]
        }
        () if failed => {
            vec![
                one("FailureTarget", "BackoffLimitExceeded", &failure),
                one("Failed", "BackoffLimitExceeded", &failure),
            ]
        }
        () if suspended => vec![one("Suspended", "JobSuspended", "Job suspended")],
        () => vec![],
    }
}

fn job_status(object: &Object, conditions: &[Value], counts: [usize; 3], now: Timestamp) -> Value {
    let [active, succeeded, failed] = counts;
    let suspended = conditions.iter().any(|one| one["type"] == "Suspended");
    let mut status = json!({"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
    if !suspended {
        let started = value::at(object, "status.startTime").cloned();
        status["startTime"] = started.unwrap_or_else(|| json!(value::time_text(now)));
    }
    if !conditions.is_empty() {
        status["conditions"] = json!(conditions);
    }
    if conditions.iter().any(|one| one["type"] == "Complete") {
        status["completionTime"] = json!(value::time_text(now));
    }
    for (field, count) in [("active", active), ("succeeded", succeeded), ("failed", failed)] {
        if count != 0 {
            status[field] = json!(count);
        }
    }
    status
}
