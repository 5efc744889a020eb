//! What pods say about the workload that is not Ready: its controller only says that they are missing.

use crate::decide::Input;
use crate::deployments::{self, Deployment};
use crate::moment::Moment;
use crate::observed::{COMPONENT, Observed, Seen, is_terminating, label};
use crate::plan::NotReady;
use crate::readiness::{Trouble, pod_trouble};
use renderer::ObjectId;
use renderer::request::BUILD_OF;
use serde_json::{Value, json};

/// Labels that say what a pod belongs to: a component, or a build.
const LABELS: [&str; 4] = [COMPONENT, BUILD_OF, "batch.kubernetes.io/job-name", "tekton.dev/pipelineRun"];

/// A pod as it is kept: whose it is, since when, and its trouble. There are more pods than anything else, and they change
/// all the time; what they are made of is nobody's business here, and a change that is none of trouble is no news.
#[must_use]
pub fn distilled(pod: &Value) -> Value {
    let metadata = |key: &str| pod.get("metadata").and_then(|metadata| metadata.get(key)).cloned();
    let keys = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"];
    let mut kept: serde_json::Map<_, _> =
        keys.into_iter().filter_map(|key| Some((key.to_owned(), metadata(key)?))).collect();
    let names = |name: &&str| Some(((*name).to_owned(), json!(label(pod, name)?)));
    let labels: serde_json::Map<_, _> = LABELS.iter().filter_map(names).collect();
    if !labels.is_empty() {
        kept.insert("labels".to_owned(), labels.into());
    }
    let mut distilled = json!({"metadata": kept});
    if let Some(trouble) = pod_trouble(pod) {
        distilled["trouble"] = json!({"why": trouble.why, "failed": trouble.failed});
    }
    distilled
}

/// Of a pod as it is kept, or whole as a file has it.
fn trouble(pod: &Value) -> Option<Trouble> {
    let Some(kept) = pod.get("trouble") else { return pod_trouble(pod) };
    let why = kept.get("why").and_then(Value::as_str)?.to_owned();
    Some(Trouble { why, failed: kept.get("failed").and_then(Value::as_bool) == Some(true) })
}

/// From when on pods are the deployment's, where others may be there from before: its beginning is written down before
/// anything is looked at again. There is nothing before the first, whose beginning may be written down late.
pub(crate) fn since(deployment: &Deployment, input: &Input) -> Option<Moment> {
    let list = deployments::listed(input.status());
    let alone = list.len() == 1 && deployments::unreadable(input.status()).next().is_none();
    if alone && input.observed.stored.is_empty() {
        return None;
    }
    let first = list.into_iter().next()?;
    (first.deployment.id == deployment.id).then_some(first.started_at).flatten()
}

/// What the pods of a build say; they carry its name.
pub(crate) fn last_words(build: &ObjectId, observed: &Observed) -> Option<String> {
    let pods = observed.objects.iter().filter_map(|(id, seen)| match seen {
        Seen::Live(pod) if is_of_build(id, pod, build) => Some(&**pod),
        _ => None,
    });
    pods.filter_map(trouble).map(|trouble| trouble.why).max()
}

fn is_of_build(id: &ObjectId, pod: &Value, build: &ObjectId) -> bool {
    let owners = ["batch.kubernetes.io/job-name", "tekton.dev/pipelineRun"];
    id.kind == "Pod"
        && id.namespace == build.namespace
        && owners.iter().any(|owner| label(pod, owner) == Some(build.name.as_str()))
}

/// Adds to a workload's row what its pods say; a pod from before `since` speaks of the revision before.
pub(crate) fn explain(row: &mut NotReady, since: Option<Moment>, observed: &Observed) {
    if row.id.kind != "Deployment" {
        return;
    }
    let pods = observed.objects.iter().filter_map(|(id, seen)| match seen {
        Seen::Live(pod) if is_of(id, pod, &row.id) => Some(&**pod),
        _ => None,
    });
    let pods = pods.filter(|pod| !is_terminating(pod) && since.is_none_or(|since| created(pod) >= Some(since)));
    // The same words from each of its pods are said once; one that gave up speaks for all.
    let mut troubles: Vec<_> = pods.filter_map(trouble).collect();
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
