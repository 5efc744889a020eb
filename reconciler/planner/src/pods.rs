//! What pods say about the workload that is not Ready: its controller only says that they are missing.

use crate::deployments::{self, Deployment};
use crate::moment::Moment;
use crate::observed::{COMPONENT, Observed, Seen, is_terminating, label};
use crate::plan::NotReady;
use crate::readiness::pod_trouble;
use renderer::ObjectId;
use serde_json::Value;

/// When the deployment began; now, where it is only beginning: pods from before are not its pods.
pub(crate) fn since(deployment: &Deployment, status: Option<&Value>) -> Option<Moment> {
    let list = deployments::listed(status);
    let first = list.into_iter().next()?;
    (first.deployment.id == deployment.id).then_some(first.started_at).flatten()
}

/// Adds to a workload's row what its pods say; a pod from before `since` speaks of the revision before.
pub(crate) fn explain(row: &mut NotReady, since: Option<Moment>, observed: &Observed) {
    if row.id.kind != "Deployment" {
        return;
    }
    let pods = observed.objects.iter().filter_map(|(id, seen)| match seen {
        Seen::Live(pod) if is_of(id, pod, &row.id) => Some(pod),
        _ => None,
    });
    let pods = pods.filter(|pod| !is_terminating(pod) && since.is_none_or(|since| created(pod) >= Some(since)));
    // The same words from each of its pods are said once; one that gave up speaks for all.
    let mut troubles: Vec<_> = pods.filter_map(pod_trouble).collect();
    troubles.sort_by(|a, b| (b.failed, &a.why).cmp(&(a.failed, &b.why)));
    if let Some(worst) = troubles.first() {
        row.why = format!("{}: {}", row.why, worst.why);
        row.failed |= worst.failed;
    }
}

fn is_of(id: &ObjectId, pod: &Value, workload: &ObjectId) -> bool {
    id.kind == "Pod" && id.namespace == workload.namespace && label(pod, COMPONENT) == Some(workload.name.as_str())
}

fn created(pod: &Value) -> Option<Moment> {
    Moment::parse(pod.pointer("/metadata/creationTimestamp")?.as_str()?)
}
