//! Is it Ready? By the rules of kstatus, for every kind we render: what the object's own controller says about the
//! generation we see. Nothing is polled: a status change is a watch event, and a watch event wakes the tool.

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

/// Of kinds without a status: being there is being Ready.
#[must_use]
pub fn exists(_: &Value) -> Readiness {
    Readiness::Ready
}

/// A Namespace is Ready while it is Active.
#[must_use]
pub fn namespace(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        Some("Active") => Readiness::Ready,
        Some(phase) => Readiness::InProgress(format!("phase {phase}")),
        None => Readiness::InProgress("no phase yet".to_owned()),
    }
}

/// A quota is Ready when its controller has taken over every limit: until then the server refuses pods.
#[must_use]
pub fn quota(object: &Value) -> Readiness {
    let keys = |pointer| object.pointer(pointer).and_then(Value::as_object).map(|map| map.keys().collect::<Vec<_>>());
    match (keys("/spec/hard"), keys("/status/hard")) {
        (None, _) => Readiness::Ready,
        (Some(wanted), Some(known)) if wanted.iter().all(|key| known.contains(key)) => Readiness::Ready,
        _ => Readiness::InProgress("not yet counted".to_owned()),
    }
}

/// A CRD is Ready when it is Established.
#[must_use]
pub fn established(object: &Value) -> Readiness {
    match condition(object, "Established") {
        Some(found) if found.is("True") => Readiness::Ready,
        _ => Readiness::InProgress("not yet established".to_owned()),
    }
}

/// A Deployment is Ready when its newest generation has all its pods updated and available, and no older pod is left.
#[must_use]
pub fn deployment(object: &Value) -> Readiness {
    if let Some(stale) = not_observed(object) {
        return stale;
    }
    if let Some(progressing) = condition(object, "Progressing")
        && progressing.reason == "ProgressDeadlineExceeded"
    {
        return Readiness::Failed(progressing.words());
    }
    if let Some(failure) = condition(object, "ReplicaFailure")
        && failure.is("True")
    {
        return Readiness::InProgress(failure.words());
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let count = |name: &str| number(object, &format!("/status/{name}")).unwrap_or(0);
    let (updated, available, total) = (count("updatedReplicas"), count("availableReplicas"), count("replicas"));
    if updated < wanted {
        Readiness::InProgress(format!("{updated} of {wanted} updated"))
    } else if total > updated {
        Readiness::InProgress(format!("{} old to go", total - updated))
    } else if available < wanted {
        Readiness::InProgress(format!("{available} of {wanted} available"))
    } else {
        Readiness::Ready
    }
}

/// A one-off's Job is Ready when it is Complete; Failed is final.
#[must_use]
pub fn job(object: &Value) -> Readiness {
    for (name, done) in [("Complete", true), ("Failed", false)] {
        if let Some(found) = condition(object, name)
            && found.is("True")
        {
            return if done { Readiness::Ready } else { Readiness::Failed(found.words()) };
        }
    }
    let active = number(object, "/status/active").unwrap_or(0);
    Readiness::InProgress(if active > 0 { "running".to_owned() } else { "not started".to_owned() })
}

/// A Service of ours is a ClusterIP: Ready when it has one.
#[must_use]
pub fn service(object: &Value) -> Readiness {
    match text(object, "/spec/clusterIP") {
        Some(address) if !address.is_empty() => Readiness::Ready,
        _ => Readiness::InProgress("no cluster address yet".to_owned()),
    }
}

/// A budget is Ready when its controller has seen this generation; that it allows no disruption now is no failure.
#[must_use]
pub fn disruption_budget(object: &Value) -> Readiness {
    not_observed(object).unwrap_or(Readiness::Ready)
}

/// A route is Ready when every Gateway it names has accepted it.
#[must_use]
pub fn http_route(object: &Value) -> Readiness {
    let generation = number(object, "/metadata/generation").unwrap_or(0);
    let parents = object.pointer("/status/parents").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if parents.is_empty() {
        return Readiness::InProgress("no Gateway has answered yet".to_owned());
    }
    for parent in parents {
        match condition_in(parent.get("conditions"), "Accepted") {
            Some(found) if found.observed.is_some_and(|seen| seen < generation) => {
                return Readiness::InProgress("the Gateway has not seen this generation".to_owned());
            }
            Some(found) if found.is("True") => {}
            Some(found) => return Readiness::Failed(found.words()),
            None => return Readiness::InProgress("no Gateway has answered yet".to_owned()),
        }
    }
    Readiness::Ready
}

/// One entry of `status.conditions`.
struct Condition<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
    observed: Option<i64>,
}

impl Condition<'_> {
    fn is(&self, status: &str) -> bool {
        self.status == status
    }

    /// The controller's own words: they say more than ours would.
    fn words(&self) -> String {
        if self.message.is_empty() { self.reason.to_owned() } else { format!("{}: {}", self.reason, self.message) }
    }
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<Condition<'a>> {
    condition_in(object.pointer("/status/conditions"), name)
}

fn condition_in<'a>(conditions: Option<&'a Value>, name: &str) -> Option<Condition<'a>> {
    let found = conditions?.as_array()?.iter().find(|entry| entry.get("type").and_then(Value::as_str) == Some(name))?;
    let part = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or("");
    Some(Condition {
        status: part("status"),
        reason: part("reason"),
        message: part("message"),
        observed: found.get("observedGeneration").and_then(Value::as_i64),
    })
}

fn not_observed(object: &Value) -> Option<Readiness> {
    let generation = number(object, "/metadata/generation").unwrap_or(0);
    let seen = number(object, "/status/observedGeneration").unwrap_or(0);
    (seen < generation).then(|| Readiness::InProgress("its controller has not seen this generation".to_owned()))
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(readiness: &Readiness) -> &'static str {
        match readiness {
            Readiness::Ready => "ready",
            Readiness::InProgress(_) => "in progress",
            Readiness::Failed(_) => "failed",
        }
    }

    #[test]
    fn a_deployment_is_ready_only_when_its_newest_generation_is_served_by_new_pods_alone() {
        let full = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        let cases = [
            (full.clone(), "ready"),
            (json!({}), "in progress"),
            (
                json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
                "in progress",
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}),
                "in progress",
            ),
            (
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
                "in progress",
            ),
            (
                json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}),
                "failed",
            ),
        ];
        for (status, expected) in cases {
            let object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
            assert_eq!(state(&deployment(&object)), expected, "{object}");
        }
        let stopped =
            json!({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}});
        assert_eq!(state(&deployment(&stopped)), "ready", "a stopped component is Ready");
    }

    #[test]
    fn a_job_is_ready_only_when_complete_and_a_failed_one_is_final() {
        let with = |conditions: Value| job(&json!({"status": {"conditions": conditions}}));
        assert_eq!(state(&with(json!([]))), "in progress");
        assert_eq!(state(&with(json!([{"type": "SuccessCriteriaMet", "status": "True"}]))), "in progress");
        assert_eq!(state(&with(json!([{"type": "Complete", "status": "True"}]))), "ready");
        assert_eq!(
            with(json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "gone"}])),
            Readiness::Failed("BackoffLimitExceeded: gone".to_owned())
        );
    }

    #[test]
    fn a_quota_is_ready_only_when_the_server_counts_every_limit() {
        assert_eq!(state(&quota(&json!({"spec": {"hard": {"pods": "10"}}}))), "in progress");
        assert_eq!(
            state(&quota(&json!({"spec": {"hard": {"pods": "10"}}, "status": {"hard": {"pods": "10"}}}))),
            "ready"
        );
    }

    #[test]
    fn a_route_waits_for_its_gateway_and_fails_when_refused() {
        let route = |conditions: Value| {
            http_route(&json!({"metadata": {"generation": 3}, "status": {"parents": [{"conditions": conditions}]}}))
        };
        assert_eq!(state(&http_route(&json!({}))), "in progress");
        assert_eq!(
            state(&route(json!([{"type": "Accepted", "status": "True", "observedGeneration": 2}]))),
            "in progress"
        );
        assert_eq!(state(&route(json!([{"type": "Accepted", "status": "True", "observedGeneration": 3}]))), "ready");
        assert_eq!(state(&route(json!([{"type": "Accepted", "status": "False", "reason": "NotAllowed"}]))), "failed");
    }
}
