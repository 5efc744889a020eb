//! What the cluster itself keeps: namespaces, quotas, volumes, kinds and APIs; and runs of Tekton.

use super::Readiness::{self, Failed, InProgress, Ready};
use super::condition::{at, condition, text};
use serde_json::Value;

/// A Namespace is Ready while it is Active.
pub(super) fn namespace(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        Some("Active") => Ready,
        Some(phase) => InProgress(format!("phase {phase}")),
        None => InProgress("no phase yet".to_owned()),
    }
}

/// A quota is Ready when its controller has taken over every limit: until then the server refuses pods.
pub(super) fn quota(object: &Value) -> Readiness {
    let keys = |path| at(object, path).and_then(Value::as_object).map(|map| map.keys().collect::<Vec<_>>());
    match (keys("/spec/hard"), keys("/status/hard")) {
        (None, _) => Ready,
        (Some(wanted), Some(known)) if wanted.iter().all(|key| known.contains(key)) => Ready,
        _ => InProgress("not yet counted".to_owned()),
    }
}

/// A claim is Ready when it is Bound. One whose class waits for the first pod stays Pending until that pod is there.
pub(super) fn volume_claim(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        Some("Bound") => Ready,
        Some("Lost") => Failed("its volume is gone".to_owned()),
        Some(phase) => InProgress(format!("phase {phase}")),
        None => InProgress("no phase yet".to_owned()),
    }
}

/// A CRD is Ready when it is Established; names that others have are never given up by themselves.
pub(super) fn custom_kind(object: &Value) -> Readiness {
    if let Some(names) = condition(object, "NamesAccepted")
        && names.is("False")
    {
        return Failed(names.words());
    }
    match condition(object, "Established") {
        Some(found) if found.is("True") => Ready,
        _ => InProgress("not yet established".to_owned()),
    }
}

/// An APIService is Ready when the server behind it answers.
pub(super) fn api_service(object: &Value) -> Readiness {
    match condition(object, "Available") {
        Some(found) if found.is("True") => Ready,
        Some(found) => InProgress(found.words()),
        None => InProgress("its server has not answered yet".to_owned()),
    }
}

/// A run of Tekton is Ready when it has succeeded; False is final, and so is a cancelled one.
pub(super) fn run(object: &Value) -> Readiness {
    match condition(object, "Succeeded") {
        Some(found) if found.is("True") => Ready,
        Some(found) if found.is("False") => Failed(found.words()),
        Some(found) => InProgress(found.words()),
        None => InProgress("not started".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use serde_json::{Value, json};

    #[test]
    fn a_namespace_is_ready_while_active() {
        let with = |status: Value| json!({"apiVersion": "v1", "kind": "Namespace", "status": status});
        check(&with(json!({"phase": "Active"})), "ready");
        check(&with(json!({"phase": "Terminating"})), "in progress: phase Terminating");
        check(&with(json!({})), "in progress: no phase yet");
    }

    #[test]
    fn a_quota_is_ready_only_when_the_server_counts_every_limit() {
        let with = |status: Value| json!({"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "10"}}, "status": status});
        check(&with(json!({})), "in progress: not yet counted");
        check(&with(json!({"hard": {"services": "10"}})), "in progress: not yet counted");
        check(&with(json!({"hard": {"pods": "10"}})), "ready");
    }

    #[test]
    fn a_claim_is_ready_when_bound_and_fails_when_its_volume_is_gone() {
        let with =
            |phase: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": phase}});
        check(&with("Bound"), "ready");
        check(&with("Pending"), "in progress: phase Pending");
        check(&with("Lost"), "failed: its volume is gone");
    }

    #[test]
    fn a_custom_kind_is_ready_when_established_and_fails_over_its_names() {
        let with = |conditions: Value| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "status": {"conditions": conditions}});
        check(&with(json!([])), "in progress: not yet established");
        check(&with(json!([{"type": "Established", "status": "True"}])), "ready");
        let taken =
            json!([{"type": "NamesAccepted", "status": "False", "reason": "ListKindConflict", "message": "taken"}]);
        check(&with(taken), "failed: ListKindConflict: taken");
    }

    #[test]
    fn an_api_service_is_ready_when_its_server_answers() {
        let with = |conditions: Value| json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "status": {"conditions": conditions}});
        check(&with(json!([{"type": "Available", "status": "True"}])), "ready");
        check(
            &with(json!([{"type": "Available", "status": "False", "reason": "MissingEndpoints"}])),
            "in progress: MissingEndpoints",
        );
        check(&with(json!([])), "in progress: its server has not answered yet");
    }

    #[test]
    fn a_run_of_tekton_succeeds_fails_or_runs() {
        for kind in ["PipelineRun", "TaskRun"] {
            let with = |conditions: Value| json!({"apiVersion": "tekton.dev/v1", "kind": kind, "status": {"conditions": conditions}});
            check(&with(json!([])), "in progress: not started");
            check(
                &with(json!([{"type": "Succeeded", "status": "Unknown", "reason": "Running"}])),
                "in progress: Running",
            );
            check(&with(json!([{"type": "Succeeded", "status": "True", "reason": "Completed"}])), "ready");
            check(
                &with(json!([{"type": "Succeeded", "status": "False", "reason": "CouldntGetTask"}])),
                "failed: CouldntGetTask",
            );
        }
    }
}
