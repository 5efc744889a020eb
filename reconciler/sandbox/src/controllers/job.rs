//! Jobs: pods until enough have ended well, or too many have not. Without a node pods end at once, and the first that
//! fails is the last.

use super::conditions::{Condition, current, holds};
use super::replica_set::pod_of;
use super::{CONTROLLER_MANAGER, FAIL};
use crate::cluster::Cluster;
use crate::store::Entry;
use crate::value::{self, Object};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// Failures that are tried again where a Job says nothing.
const BACKOFF_LIMIT: usize = 6;
/// Pause after the first failed pod; it doubles with each.
const RETRY_SECS: i64 = 10;
const MAX_RETRY_SECS: i64 = 600;

/// What the pods of a Job come to.
#[derive(Debug, Default)]
struct Seen {
    active: usize,
    ready: usize,
    terminating: usize,
    succeeded: usize,
    failed: usize,
    /// Of containers, in pods that are still there.
    restarts: usize,
    last_failure: Option<Timestamp>,
}

/// What is to become of a Job.
enum Course {
    Goes,
    Suspended,
    Complete,
    Failed(&'static str, String),
}

impl Cluster {
    pub(super) fn tend_job(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        if holds(&object, "Complete") || holds(&object, "Failed") {
            return self.expire_job(entry, &object, now);
        }
        let pods = self.controlled(entry, "Pod");
        let seen = Seen::of(&pods, &object);
        let course = self.course(entry, &object, &seen, now);
        if matches!(course, Course::Goes) {
            self.make_pods(entry, &object, &seen, now);
        } else {
            for pod in pods.iter().filter(|pod| is_active(&pod.object())) {
                self.delete_as_controller(pod, now);
            }
        }
        let conditions = conditions(&object, &course, &seen, now);
        let status = job_status(&object, &conditions, &seen, now);
        self.set_status(entry, CONTROLLER_MANAGER, status, now);
    }

    fn course(&mut self, entry: &Entry, object: &Object, seen: &Seen, now: Timestamp) -> Course {
        let decided = current(object, "FailureTarget").filter(|one| one["status"] == "True");
        if let Some(decided) = decided {
            let reason = if decided["reason"] == "DeadlineExceeded" { "DeadlineExceeded" } else { BACKOFF };
            return Course::Failed(reason, decided["message"].as_str().unwrap_or_default().to_owned());
        }
        let limit = if self.has_node { number(object, "spec.backoffLimit").unwrap_or(BACKOFF_LIMIT) } else { 0 };
        let why = if self.has_node { String::new() } else { format!(" (asked for by {FAIL})") };
        // Where containers are started again in their pod, each start is a try.
        let worn_out = seen.restarts > 0 && seen.restarts >= limit;
        let late = self.deadline(entry, object, now);
        match () {
            () if seen.succeeded >= number(object, "spec.completions").unwrap_or(1) => Course::Complete,
            () if seen.failed > limit || worn_out => {
                Course::Failed(BACKOFF, format!("Job has reached the specified backoff limit{why}"))
            }
            () if late => {
                Course::Failed("DeadlineExceeded", "Job was active longer than specified deadline".to_owned())
            }
            () if value::at(object, "spec.suspend") == Some(&json!(true)) => Course::Suspended,
            () => Course::Goes,
        }
    }

    /// `activeDeadlineSeconds` is over; if it is yet to come, it will be looked again then.
    fn deadline(&mut self, entry: &Entry, object: &Object, now: Timestamp) -> bool {
        let secs = value::number(object, "spec.activeDeadlineSeconds");
        let began = value::text(object, "status.startTime").parse::<Timestamp>().ok();
        let at = secs.zip(began).and_then(|(secs, began)| began.checked_add(SignedDuration::from_secs(secs)).ok());
        let Some(at) = at else { return false };
        if at > now {
            self.dirty.wake_at(at, &entry.key);
        }
        at <= now
    }

    fn make_pods(&mut self, entry: &Arc<Entry>, object: &Object, seen: &Seen, now: Timestamp) {
        if let Some(at) = seen.retry_at().filter(|at| *at > now) {
            return self.dirty.wake_at(at, &entry.key);
        }
        let wanted = number(object, "spec.completions").unwrap_or(1);
        let parallel = number(object, "spec.parallelism").unwrap_or(1);
        let busy = seen.active + seen.terminating;
        let missing = wanted.saturating_sub(seen.succeeded + busy).min(parallel.saturating_sub(busy));
        for _ in 0..missing {
            self.make("Pod", &entry.key.namespace, pod_of(entry, object), now);
        }
    }

    /// `ttlSecondsAfterFinished`.
    fn expire_job(&mut self, entry: &Arc<Entry>, object: &Object, now: Timestamp) {
        let Some(secs) = value::number(object, "spec.ttlSecondsAfterFinished") else {
            return;
        };
        match finished_at(object).and_then(|at| at.checked_add(SignedDuration::from_secs(secs)).ok()) {
            Some(at) if at <= now => self.delete_as_controller(entry, now),
            Some(at) => self.dirty.wake_at(at, &entry.key),
            None => {}
        }
    }
}

const BACKOFF: &str = "BackoffLimitExceeded";

/// When a Job came to its end, well or not.
pub(super) fn finished_at(object: &Object) -> Option<Timestamp> {
    let conditions = value::at(object, "status.conditions").and_then(Value::as_array);
    let times = conditions.into_iter().flatten().filter_map(|one| one["lastTransitionTime"].as_str());
    times.max().and_then(|at| at.parse().ok())
}

impl Seen {
    fn of(pods: &[Arc<Entry>], job: &Object) -> Self {
        let mut seen = Self::default();
        for pod in pods {
            seen.add(&pod.object());
        }
        // A pod that somebody deleted has failed all the same.
        let counted = number(job, "status.failed").unwrap_or(0);
        Self { failed: seen.failed.max(counted), ..seen }
    }

    fn add(&mut self, pod: &Object) {
        match value::text(pod, "status.phase") {
            "Succeeded" => self.succeeded += 1,
            "Failed" => {
                self.failed += 1;
                self.last_failure = self.last_failure.max(ended_at(pod));
            }
            _ if value::is_terminating(pod) => self.terminating += 1,
            _ => {
                self.active += 1;
                self.ready += usize::from(holds(pod, "Ready"));
                self.restarts += restarts(pod);
            }
        }
    }

    fn retry_at(&self) -> Option<Timestamp> {
        let doublings = u32::try_from(self.failed).unwrap_or(u32::MAX).saturating_sub(1).min(10);
        let pause = SignedDuration::from_secs((RETRY_SECS << doublings).min(MAX_RETRY_SECS));
        self.last_failure?.checked_add(pause).ok()
    }
}

fn is_active(pod: &Object) -> bool {
    !matches!(value::text(pod, "status.phase"), "Succeeded" | "Failed") && !value::is_terminating(pod)
}

fn statuses(pod: &Object) -> impl Iterator<Item = &Value> {
    let lists = ["status.initContainerStatuses", "status.containerStatuses"].into_iter();
    lists.filter_map(|path| value::at(pod, path)?.as_array()).flatten()
}

fn restarts(pod: &Object) -> usize {
    statuses(pod).filter_map(|one| one["restartCount"].as_u64()).filter_map(|count| usize::try_from(count).ok()).sum()
}

fn ended_at(pod: &Object) -> Option<Timestamp> {
    statuses(pod).filter_map(|one| one.pointer("/state/terminated/finishedAt")?.as_str()?.parse().ok()).max()
}

fn number(object: &Object, path: &str) -> Option<usize> {
    value::number(object, path).and_then(|number| usize::try_from(number).ok())
}

fn conditions(object: &Object, course: &Course, seen: &Seen, now: Timestamp) -> Vec<Value> {
    let one = |kind: &'static str, reason: &'static str, message: &str| {
        Condition { kind, status: true, reason, message: message.to_owned() }.after(object, now)
    };
    // A Job is over when its last pod is.
    let over = seen.active + seen.terminating == 0;
    let both = |first, then, reason, message: &str| {
        let kinds = [Some(first), Some(then).filter(|_| over)];
        kinds.into_iter().flatten().map(|kind| one(kind, reason, message)).collect()
    };
    match course {
        Course::Goes => vec![],
        Course::Suspended => vec![one("Suspended", "JobSuspended", "Job suspended")],
        Course::Complete => {
            both("SuccessCriteriaMet", "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        }
        Course::Failed(reason, message) => both("FailureTarget", "Failed", reason, message),
    }
}

fn job_status(object: &Object, conditions: &[Value], seen: &Seen, now: Timestamp) -> Value {
    let is = |kind: &str| conditions.iter().any(|one| one["type"] == kind);
    let mut status = json!({"ready": seen.ready, "terminating": seen.terminating, "uncountedTerminatedPods": {}});
    if !is("Suspended") {
        let started = value::at(object, "status.startTime").cloned();
        status["startTime"] = started.unwrap_or_else(|| json!(value::time_text(now)));
    }
    if !conditions.is_empty() {
        status["conditions"] = json!(conditions);
    }
    if is("Complete") {
        status["completionTime"] = json!(value::time_text(now));
    }
    for (field, count) in [("active", seen.active), ("succeeded", seen.succeeded), ("failed", seen.failed)] {
        if count != 0 {
            status[field] = json!(count);
        }
    }
    status
}
