//! What runs pods: Ready when the newest generation is served by new pods alone.

use super::Readiness::{self, Failed, InProgress, Ready};
use super::condition::{at, condition, not_observed, number, text};
use super::pod::pod_trouble;
use serde_json::Value;

/// A count of the status; 0 where it is left out, as zero counts are.
fn count(object: &Value, name: &str) -> i64 {
    number(object, &format!("/status/{name}")).unwrap_or(0)
}

fn wanted(object: &Value) -> i64 {
    number(object, "/spec/replicas").unwrap_or(1)
}

/// All of these hold, or the first that doesn't says how far it is.
fn all(steps: &[(bool, String)]) -> Readiness {
    let open = steps.iter().find(|(done, _)| !done);
    open.map_or(Ready, |(_, why)| InProgress(why.clone()))
}

/// The server refuses its pods: a quota, a policy. It is tried again, and may come.
fn refused(object: &Value) -> Option<Readiness> {
    let failure = condition(object, "ReplicaFailure").filter(|failure| failure.is("True"))?;
    Some(InProgress(failure.words()))
}

/// A Deployment is Ready when its newest generation has all its pods updated and available, and no older pod is left.
pub(super) fn deployment(object: &Value) -> Readiness {
    if let Some(stale) = not_observed(object) {
        return stale;
    }
    if let Some(progressing) = condition(object, "Progressing")
        && progressing.reason == "ProgressDeadlineExceeded"
    {
        return Failed(progressing.words());
    }
    if let Some(refused) = refused(object) {
        return refused;
    }
    let wanted = wanted(object);
    let [updated, available, total] =
        ["updatedReplicas", "availableReplicas", "replicas"].map(|name| count(object, name));
    let paused = if at(object, "/spec/paused") == Some(&Value::Bool(true)) { ", paused" } else { "" };
    all(&[
        (updated >= wanted, format!("{updated} of {wanted} updated{paused}")),
        (total <= updated, format!("{} old to go", total - updated)),
        (available >= wanted, format!("{available} of {wanted} available")),
    ])
}

/// A StatefulSet is Ready when all its pods are, at the newest revision unless they are left to be deleted by hand or
/// held back by a partition.
pub(super) fn stateful_set(object: &Value) -> Readiness {
    if let Some(stale) = not_observed(object) {
        return stale;
    }
    let wanted = wanted(object);
    let [ready, total] = ["readyReplicas", "replicas"].map(|name| count(object, name));
    let on_delete = text(object, "/spec/updateStrategy/type") == Some("OnDelete");
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let to_update = if on_delete { 0 } else { (wanted - partition).max(0) };
    let revision = |name: &str| text(object, &format!("/status/{name}"));
    let is_rolled_out = revision("currentRevision") == revision("updateRevision");
    let updated = if is_rolled_out { wanted } else { count(object, "updatedReplicas") };
    all(&[
        (total >= wanted, format!("{total} of {wanted} made")),
        (updated >= to_update, format!("{updated} of {to_update} updated")),
        (total <= wanted, format!("{} to go", total - wanted)),
        (ready >= wanted, format!("{ready} of {wanted} ready")),
        (
            on_delete || partition > 0 || is_rolled_out || wanted == 0,
            "the old revision is still the current one".to_owned(),
        ),
    ])
}

/// A DaemonSet is Ready when each node that should has a pod of the newest generation, and it is available.
pub(super) fn daemon_set(object: &Value) -> Readiness {
    if let Some(stale) = not_observed(object) {
        return stale;
    }
    let wanted = count(object, "desiredNumberScheduled");
    let on_delete = text(object, "/spec/updateStrategy/type") == Some("OnDelete");
    let [scheduled, updated, available] =
        ["currentNumberScheduled", "updatedNumberScheduled", "numberAvailable"].map(|name| count(object, name));
    all(&[
        (scheduled >= wanted, format!("{scheduled} of {wanted} scheduled")),
        (on_delete || updated >= wanted, format!("{updated} of {wanted} updated")),
        (available >= wanted, format!("{available} of {wanted} available")),
    ])
}

/// A ReplicaSet is Ready when it has exactly its pods, and all are available.
pub(super) fn replica_set(object: &Value) -> Readiness {
    if let Some(stale) = not_observed(object).or_else(|| refused(object)) {
        return stale;
    }
    let wanted = wanted(object);
    let [total, labelled, available] =
        ["replicas", "fullyLabeledReplicas", "availableReplicas"].map(|name| count(object, name));
    all(&[
        (labelled >= wanted, format!("{labelled} of {wanted} made")),
        (total <= wanted, format!("{} to go", total - wanted)),
        (available >= wanted, format!("{available} of {wanted} available")),
    ])
}

/// A Pod is Ready when it is Ready, or has succeeded.
pub(super) fn pod(object: &Value) -> Readiness {
    let ready = condition(object, "Ready").is_some_and(|ready| ready.is("True"));
    match (text(object, "/status/phase"), pod_trouble(object)) {
        (Some("Succeeded"), _) => Ready,
        (_, Some(trouble)) if trouble.failed => Failed(trouble.why),
        (_, Some(trouble)) => InProgress(trouble.why),
        (Some("Running"), None) if ready => Ready,
        (phase, None) => InProgress(format!("phase {}", phase.unwrap_or("unknown"))),
    }
}

/// A Job is Ready when it is Complete; Failed is final.
#[must_use]
pub fn job(object: &Value) -> Readiness {
    for (name, done) in [("Complete", true), ("Failed", false)] {
        if let Some(found) = condition(object, name)
            && found.is("True")
        {
            return if done { Ready } else { Failed(found.words()) };
        }
    }
    let suspended = condition(object, "Suspended").is_some_and(|found| found.is("True"));
    let why = match count(object, "active") {
        _ if suspended => "suspended",
        0 => "not started",
        _ => "running",
    };
    InProgress(why.to_owned())
}

/// A budget is Ready when its controller has seen this generation; that it allows no disruption now is no failure.
pub(super) fn disruption_budget(object: &Value) -> Readiness {
    let unsynced = condition(object, "DisruptionAllowed").filter(|found| found.reason == "SyncFailed");
    not_observed(object).or(unsynced.map(|found| InProgress(found.words()))).unwrap_or(Ready)
}

/// An autoscaler is Ready when it can scale and knows its numbers. Of a target that is scaled to zero it needs none.
pub(super) fn autoscaler(object: &Value) -> Readiness {
    let seen = number(object, "/status/observedGeneration");
    if seen.is_some_and(|seen| seen < super::condition::generation(object)) {
        return super::condition::unseen();
    }
    for name in ["AbleToScale", "ScalingActive"] {
        match condition(object, name) {
            None => return InProgress("its controller has not answered yet".to_owned()),
            Some(found) if found.is("True") || found.reason == "ScalingDisabled" => {}
            Some(found) if found.reason.starts_with("Invalid") => return Failed(found.words()),
            // Only back-off after a scaling is neither a failure nor a wait: it is how it works.
            Some(found) if found.reason.starts_with("Backoff") => {}
            Some(found) => return InProgress(found.words()),
        }
    }
    Ready
}

#[cfg(test)]
mod tests {
    use super::super::{check, of};
    use serde_json::{Value, json};

    fn rollout(kind: &str, spec: Value, status: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"generation": 2}, "spec": spec, "status": status})
    }

    #[test]
    fn a_deployment_is_ready_only_when_its_newest_generation_is_served_by_new_pods_alone() {
        let is =
            |status: Value, expected: &str| check(&rollout("Deployment", json!({"replicas": 2}), status), expected);
        is(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}), "ready");
        is(json!({}), "in progress: its controller has not seen this generation");
        let old = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        is(old, "in progress: its controller has not seen this generation");
        let old_left = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2});
        is(old_left, "in progress: 1 old to go");
        let coming = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1});
        is(coming, "in progress: 1 of 2 available");
        let late = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}]);
        is(json!({"observedGeneration": 2, "conditions": late}), "failed: ProgressDeadlineExceeded: late");
        let quota = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]);
        is(json!({"observedGeneration": 2, "conditions": quota}), "in progress: FailedCreate: exceeded quota");
    }

    #[test]
    fn a_stopped_deployment_is_ready_and_a_paused_one_says_so() {
        check(&rollout("Deployment", json!({"replicas": 0}), json!({"observedGeneration": 2})), "ready");
        let paused = rollout("Deployment", json!({"paused": true}), json!({"observedGeneration": 2, "replicas": 1}));
        check(&paused, "in progress: 0 of 1 updated, paused");
    }

    #[test]
    fn a_stateful_set_waits_for_its_newest_revision_unless_told_otherwise() {
        let status = |updated: i64, update: &str| {
            json!({
                "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": updated,
                "currentRevision": "a", "updateRevision": update,
            })
        };
        let spec = |strategy: Value| json!({"replicas": 3, "updateStrategy": strategy});
        let is = |strategy: Value, status: Value, expected: &str| {
            check(&rollout("StatefulSet", spec(strategy), status), expected);
        };
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}});
        is(rolling.clone(), status(3, "a"), "ready");
        // Without any update the server counts no pod as updated.
        is(rolling.clone(), status(0, "a"), "ready");
        is(rolling.clone(), status(1, "b"), "in progress: 1 of 3 updated");
        is(rolling, status(3, "b"), "in progress: the old revision is still the current one");
        is(json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}), status(1, "b"), "ready");
        is(json!({"type": "OnDelete"}), status(0, "b"), "ready");
        check(
            &rollout("StatefulSet", json!({"replicas": 3}), json!({"observedGeneration": 1})),
            "in progress: its controller has not seen this generation",
        );
    }

    #[test]
    fn a_daemon_set_counts_nodes() {
        let is = |spec: Value, counts: [i64; 4], expected: &str| {
            let [wanted, scheduled, updated, available] = counts;
            let status = json!({
                "observedGeneration": 2, "desiredNumberScheduled": wanted, "currentNumberScheduled": scheduled,
                "updatedNumberScheduled": updated, "numberAvailable": available,
            });
            check(&rollout("DaemonSet", spec, status), expected);
        };
        is(json!({}), [2, 2, 2, 2], "ready");
        is(json!({}), [0, 0, 0, 0], "ready");
        is(json!({}), [2, 1, 1, 1], "in progress: 1 of 2 scheduled");
        is(json!({}), [2, 2, 1, 2], "in progress: 1 of 2 updated");
        is(json!({"updateStrategy": {"type": "OnDelete"}}), [2, 2, 1, 2], "ready");
        is(json!({}), [2, 2, 2, 1], "in progress: 1 of 2 available");
    }

    #[test]
    fn a_replica_set_has_exactly_its_pods() {
        let is = |counts: [i64; 3], expected: &str| {
            let [total, labelled, available] = counts;
            let status = json!({"observedGeneration": 2, "replicas": total, "fullyLabeledReplicas": labelled, "availableReplicas": available});
            check(&rollout("ReplicaSet", json!({"replicas": 2}), status), expected);
        };
        is([2, 2, 2], "ready");
        is([1, 1, 1], "in progress: 1 of 2 made");
        is([3, 3, 3], "in progress: 1 to go");
        is([2, 2, 0], "in progress: 0 of 2 available");
    }

    #[test]
    fn a_job_is_ready_only_when_complete_and_a_failed_one_is_final() {
        let with = |status: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "status": status});
        check(&with(json!({})), "in progress: not started");
        check(&with(json!({"active": 1})), "in progress: running");
        check(&with(json!({"conditions": [{"type": "Suspended", "status": "True"}]})), "in progress: suspended");
        check(
            &with(json!({"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]})),
            "in progress: not started",
        );
        check(&with(json!({"conditions": [{"type": "Complete", "status": "True"}]})), "ready");
        let failed = json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "gone"}]);
        check(&with(json!({"conditions": failed})), "failed: BackoffLimitExceeded: gone");
        check(&json!({"apiVersion": "batch/v1", "kind": "CronJob", "status": {}}), "ready");
    }

    #[test]
    fn a_pod_is_ready_when_it_serves_or_is_done() {
        let with = |status: Value| json!({"apiVersion": "v1", "kind": "Pod", "status": status});
        check(&with(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})), "ready");
        check(&with(json!({"phase": "Succeeded"})), "ready");
        check(&with(json!({"phase": "Pending"})), "in progress: phase Pending");
        check(
            &with(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"})),
            "failed: Evicted: low on memory",
        );
    }

    #[test]
    fn an_autoscaler_without_numbers_is_in_progress_and_a_wrong_one_fails() {
        let with = |able: Value, active: Value| {
            let mut conditions = [able, active];
            conditions[0]["type"] = json!("AbleToScale");
            conditions[1]["type"] = json!("ScalingActive");
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"generation": 1}, "status": {"conditions": conditions}})
        };
        let yes = json!({"status": "True"});
        let no = |reason: &str| json!({"status": "False", "reason": reason, "message": "m"});
        check(&with(yes.clone(), yes.clone()), "ready");
        check(&with(yes.clone(), no("ScalingDisabled")), "ready");
        check(&with(yes.clone(), no("FailedGetResourceMetric")), "in progress: FailedGetResourceMetric: m");
        check(&with(yes, no("InvalidSelector")), "failed: InvalidSelector: m");
        let none = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "status": {}});
        check(&none, "in progress: its controller has not answered yet");
    }

    #[test]
    fn a_budget_is_ready_when_it_was_seen_whatever_it_allows() {
        let with = |status: Value| json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"generation": 3}, "status": status});
        check(&with(json!({"observedGeneration": 3, "disruptionsAllowed": 0})), "ready");
        check(&with(json!({"observedGeneration": 2})), "in progress: its controller has not seen this generation");
        let failed = json!([{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "two controllers"}]);
        check(
            &with(json!({"observedGeneration": 3, "conditions": failed})),
            "in progress: SyncFailed: two controllers",
        );
    }

    #[test]
    fn what_is_being_deleted_is_never_ready() {
        let going =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert!(!of(&going).is_ready());
    }
}
