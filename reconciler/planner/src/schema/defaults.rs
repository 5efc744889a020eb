//! What the server fills in where a field is missing.
//!
//! OpenAPI states only some defaults ([`super::Facets::default`]: `protocol: TCP`, and all of a custom resource's). The
//! rest is code in the server, and stands here as a table: one row per field, keyed by the type that has it, so that a
//! pod template has the same defaults in a Deployment, a Job and a CronJob. A row may look at the fields beside it: a
//! `rollingUpdate` is a default of the strategy RollingUpdate, and a leftover under Recreate.
//!
//! `tests/live/applied--*.json` are answers of the real server; `every_live_default_is_in_the_table` holds that nothing
//! in them is missing here.

use super::TypeRef;
use serde_json::{Map, Value, json};

/// The fields beside the one in question: of one struct, or of a struct laid over another.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    over: Option<&'a Map<String, Value>>,
    under: &'a Map<String, Value>,
    /// Fields of `under` that count as absent.
    gone: &'a [&'a str],
}

impl<'a> Beside<'a> {
    /// The fields of one struct.
    #[must_use]
    pub const fn of(fields: &'a Map<String, Value>) -> Self {
        Self { over: None, under: fields, gone: &[] }
    }

    /// The fields of one struct, and those of another that it lacks, but for some.
    #[must_use]
    pub const fn over(over: &'a Map<String, Value>, under: &'a Map<String, Value>, gone: &'a [&'a str]) -> Self {
        Self { over: Some(over), under, gone }
    }

    fn get(self, field: &str) -> Option<&'a Value> {
        let under = || self.under.get(field).filter(|_| !self.gone.contains(&field));
        self.over.and_then(|over| over.get(field)).or_else(under)
    }

    fn has_only(self, fields: &[&str]) -> bool {
        let known = |name: &String| fields.contains(&name.as_str());
        let under = self.under.keys().filter(|name| !self.gone.contains(&name.as_str()));
        self.over.is_none_or(|over| over.keys().all(known)) && { under }.all(known)
    }

    fn is(self, field: &str, any_of: &[&str]) -> bool {
        self.get(field).and_then(Value::as_str).is_some_and(|text| any_of.contains(&text))
    }
}

struct Row {
    of: &'static str,
    field: &'static str,
    /// Only where the type itself is a field of this one; empty for everywhere.
    within: &'static str,
    value: fn(Beside<'_>) -> Option<Value>,
}

const fn row(of: &'static str, field: &'static str, value: fn(Beside<'_>) -> Option<Value>) -> Row {
    Row { of, field, within: "", value }
}

const fn row_within(
    within: &'static str,
    of: &'static str,
    field: &'static str,
    value: fn(Beside<'_>) -> Option<Value>,
) -> Row {
    Row { of, field, within, value }
}

/// What is known about the default of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Default {
    /// The server fills this in.
    Is(Value),
    /// The field has a default, but not beside these other fields.
    NotHere,
    /// No default is known.
    Unknown,
}

/// The default of a struct's field, given the fields beside it.
#[must_use]
pub fn of(at: TypeRef, field: &str, beside: Beside<'_>) -> Default {
    if let Some(value) = at.declared(field).and_then(|at| at.facets().default.clone()) {
        return Default::Is(value);
    }
    let Some(name) = at.name() else {
        return Default::Unknown;
    };
    match rows(at, name).find(|row| row.field == field) {
        Some(row) => (row.value)(beside).map_or(Default::NotHere, Default::Is),
        None => Default::Unknown,
    }
}

fn rows(at: TypeRef, name: &'static str) -> impl Iterator<Item = &'static Row> {
    let owner = at.owner_name().unwrap_or_default();
    // Sorted by type: `the_table_is_sorted_by_type`.
    let (start, end) = (ROWS.partition_point(|row| row.of < name), ROWS.partition_point(|row| row.of <= name));
    ROWS.get(start..end).into_iter().flatten().filter(move |row| row.within.is_empty() || row.within == owner)
}

/// Fills in every default that is known and missing, all the way down, as the server does before it stores an object.
pub fn fill(value: &mut Value, at: TypeRef) {
    match value {
        Value::Object(object) => {
            fill_fields(object, at);
            for (name, value) in object.iter_mut() {
                fill(value, at.field(name));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, at.items())),
        _ => {}
    }
}

fn fill_fields(object: &mut Map<String, Value>, at: TypeRef) {
    let stated = at.fields().filter_map(|(name, at)| Some((name, at.facets().default.clone()?)));
    for (name, default) in stated {
        object.entry(name).or_insert(default);
    }
    // In the order of the table: a later row may look at what an earlier one filled in.
    for row in at.name().into_iter().flat_map(|name| rows(at, name)) {
        if let Some(default) = (row.value)(Beside::of(object)) {
            complete(object.entry(row.field).or_insert(Value::Null), default);
        }
    }
}

/// A map takes the keys it lacks; anything else is filled in only where nothing is.
fn complete(value: &mut Value, default: Value) {
    match (value, default) {
        (Value::Object(value), Value::Object(default)) => {
            for (name, default) in default {
                value.entry(name).or_insert(default);
            }
        }
        (value @ Value::Null, default) => *value = default,
        _ => {}
    }
}

fn copy(beside: Beside<'_>, field: &str) -> Option<Value> {
    beside.get(field).cloned()
}

/// Without a tag or digest an image means its latest, which must be asked for each time.
fn pull_policy(container: Beside<'_>) -> Option<Value> {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let latest = tag == Some("latest") || (tag.is_none() && digest.is_none());
    Some(json!(if latest { "Always" } else { "IfNotPresent" }))
}

/// Limits of a container that are not stated follow from its maximum.
fn limit_default(item: Beside<'_>) -> Option<Value> {
    item.is("type", &["Container"]).then(|| copy(item, "max").unwrap_or(json!({})))
}

/// Requests follow from the limits, and from the minimum where there is none.
fn limit_default_request(item: Beside<'_>) -> Option<Value> {
    let amounts = |field: &str| item.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut request = amounts("min");
    request.extend(amounts("default"));
    item.is("type", &["Container"]).then(|| request.into())
}

fn policy_types(spec: Beside<'_>) -> Option<Value> {
    let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    Some(if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) })
}

fn lower(beside: Beside<'_>, field: &str) -> Option<Value> {
    Some(beside.get(field)?.as_str()?.to_lowercase().into())
}

/// A Job completes once unless it says how many run at once.
fn completions(job: Beside<'_>) -> Option<Value> {
    job.get("parallelism").is_none_or(|count| *count == 1).then(|| json!(1))
}

// One line a row, whatever its length: columns are read downwards.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("admissionregistration.v1.MatchResources", "matchPolicy", |_| Some(json!("Equivalent"))),
    row("admissionregistration.v1.MatchResources", "namespaceSelector", |_| Some(json!({}))),
    row("admissionregistration.v1.MatchResources", "objectSelector", |_| Some(json!({}))),
    row("admissionregistration.v1.NamedRuleWithOperations", "scope", |_| Some(json!("*"))),
    row("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy", |_| Some(json!("Fail"))),
    row("apiextensions.v1.CustomResourceDefinitionNames", "listKind", |names| Some(format!("{}List", names.get("kind")?.as_str()?).into())),
    row("apiextensions.v1.CustomResourceDefinitionNames", "singular", |names| lower(names, "kind")),
    row("apiextensions.v1.CustomResourceDefinitionSpec", "conversion", |_| Some(json!({"strategy": "None"}))),
    row("apps.v1.DeploymentSpec", "progressDeadlineSeconds", |_| Some(json!(600))),
    row("apps.v1.DeploymentSpec", "replicas", |_| Some(json!(1))),
    row("apps.v1.DeploymentSpec", "revisionHistoryLimit", |_| Some(json!(10))),
    row("apps.v1.DeploymentSpec", "strategy", |_| Some(json!({}))),
    row("apps.v1.DeploymentStrategy", "type", |_| Some(json!("RollingUpdate"))),
    row("apps.v1.DeploymentStrategy", "rollingUpdate", |strategy| strategy.is("type", &["RollingUpdate"]).then(|| json!({}))),
    row("apps.v1.ReplicaSetSpec", "replicas", |_| Some(json!(1))),
    row("apps.v1.RollingUpdateDeployment", "maxSurge", |_| Some(json!("25%"))),
    row("apps.v1.RollingUpdateDeployment", "maxUnavailable", |_| Some(json!("25%"))),
    row("autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas", |_| Some(json!(1))),
    row("batch.v1.CronJobSpec", "concurrencyPolicy", |_| Some(json!("Allow"))),
    row("batch.v1.CronJobSpec", "failedJobsHistoryLimit", |_| Some(json!(1))),
    row("batch.v1.CronJobSpec", "successfulJobsHistoryLimit", |_| Some(json!(3))),
    row("batch.v1.CronJobSpec", "suspend", |_| Some(json!(false))),
    // The server defaults a Job, but not the template of a CronJob.
    row_within("batch.v1.Job", "batch.v1.JobSpec", "backoffLimit", |_| Some(json!(6))),
    row_within("batch.v1.Job", "batch.v1.JobSpec", "completionMode", |_| Some(json!("NonIndexed"))),
    row_within("batch.v1.Job", "batch.v1.JobSpec", "completions", completions),
    row_within("batch.v1.Job", "batch.v1.JobSpec", "manualSelector", |_| Some(json!(false))),
    row_within("batch.v1.Job", "batch.v1.JobSpec", "parallelism", |_| Some(json!(1))),
    row_within("batch.v1.Job", "batch.v1.JobSpec", "podReplacementPolicy", |job| Some(json!(if job.get("podFailurePolicy").is_some() { "Failed" } else { "TerminatingOrFailed" }))),
    row_within("batch.v1.Job", "batch.v1.JobSpec", "suspend", |_| Some(json!(false))),
    row("core.v1.ConfigMapVolumeSource", "defaultMode", |_| Some(json!(420))),
    row("core.v1.Container", "imagePullPolicy", pull_policy),
    row("core.v1.Container", "resources", |_| Some(json!({}))),
    row("core.v1.Container", "terminationMessagePath", |_| Some(json!("/dev/termination-log"))),
    row("core.v1.Container", "terminationMessagePolicy", |_| Some(json!("File"))),
    row("core.v1.DownwardAPIVolumeSource", "defaultMode", |_| Some(json!(420))),
    row("core.v1.GRPCAction", "service", |_| Some(json!(""))),
    row("core.v1.HTTPGetAction", "path", |_| Some(json!("/"))),
    row("core.v1.HTTPGetAction", "scheme", |_| Some(json!("HTTP"))),
    row("core.v1.HostPathVolumeSource", "type", |_| Some(json!(""))),
    row("core.v1.LimitRangeItem", "default", limit_default),
    row("core.v1.LimitRangeItem", "defaultRequest", limit_default_request),
    row("core.v1.ObjectFieldSelector", "apiVersion", |_| Some(json!("v1"))),
    row("core.v1.PersistentVolumeClaimSpec", "volumeMode", |_| Some(json!("Filesystem"))),
    row("core.v1.PodSpec", "dnsPolicy", |_| Some(json!("ClusterFirst"))),
    row_within("core.v1.Pod", "core.v1.PodSpec", "enableServiceLinks", |_| Some(json!(true))),
    row("core.v1.PodSpec", "restartPolicy", |_| Some(json!("Always"))),
    row("core.v1.PodSpec", "schedulerName", |_| Some(json!("default-scheduler"))),
    row("core.v1.PodSpec", "securityContext", |_| Some(json!({}))),
    row("core.v1.PodSpec", "serviceAccount", |pod| copy(pod, "serviceAccountName")),
    row("core.v1.PodSpec", "terminationGracePeriodSeconds", |_| Some(json!(30))),
    row("core.v1.Probe", "failureThreshold", |_| Some(json!(3))),
    row("core.v1.Probe", "periodSeconds", |_| Some(json!(10))),
    row("core.v1.Probe", "successThreshold", |_| Some(json!(1))),
    row("core.v1.Probe", "timeoutSeconds", |_| Some(json!(1))),
    row("core.v1.ProjectedVolumeSource", "defaultMode", |_| Some(json!(420))),
    row("core.v1.Secret", "type", |_| Some(json!("Opaque"))),
    row("core.v1.SecretVolumeSource", "defaultMode", |_| Some(json!(420))),
    row("core.v1.ServiceAccountTokenProjection", "expirationSeconds", |_| Some(json!(3600))),
    row("core.v1.ServicePort", "targetPort", |port| copy(port, "port")),
    row("core.v1.ServiceSpec", "type", |_| Some(json!("ClusterIP"))),
    row("core.v1.ServiceSpec", "allocateLoadBalancerNodePorts", |service| service.is("type", &["LoadBalancer"]).then_some(Value::Bool(true))),
    row("core.v1.ServiceSpec", "externalTrafficPolicy", |service| service.is("type", &["NodePort", "LoadBalancer"]).then(|| json!("Cluster"))),
    row("core.v1.ServiceSpec", "internalTrafficPolicy", |service| (!service.is("type", &["ExternalName"])).then(|| json!("Cluster"))),
    row("core.v1.ServiceSpec", "sessionAffinity", |_| Some(json!("None"))),
    row("core.v1.ServiceSpec", "sessionAffinityConfig", |service| service.is("sessionAffinity", &["ClientIP"]).then(|| json!({"clientIP": {"timeoutSeconds": 10800}}))),
    row("core.v1.Volume", "emptyDir", |volume| volume.has_only(&["name", "emptyDir"]).then(|| json!({}))),
    row("networking.v1.NetworkPolicyPort", "protocol", |_| Some(json!("TCP"))),
    row("networking.v1.NetworkPolicySpec", "policyTypes", policy_types),
    row("rbac.v1.RoleRef", "apiGroup", |_| Some(json!("rbac.authorization.k8s.io"))),
    row("rbac.v1.Subject", "apiGroup", |subject| subject.is("kind", &["User", "Group"]).then(|| json!("rbac.authorization.k8s.io"))),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn the_table_is_sorted_by_type() {
        assert!(ROWS.is_sorted_by_key(|row| row.of));
    }

    #[test]
    fn every_row_names_a_type_and_a_field_of_the_schema() {
        for row in ROWS {
            let found = Schema::named(row.of).expect(row.of);
            assert!(found.declared(row.field).is_some(), "{}.{}", row.of, row.field);
            assert!(row.within.is_empty() || Schema::named(row.within).is_some(), "{}", row.within);
        }
    }

    #[test]
    fn an_image_without_tag_is_pulled_always() {
        for (image, policy) in [
            ("a", "Always"),
            ("a:latest", "Always"),
            ("a:1", "IfNotPresent"),
            ("r:5000/a", "Always"),
            ("r:5000/a@sha256:0", "IfNotPresent"),
            ("a:latest@sha256:0", "Always"),
        ] {
            let container = json!({"image": image});
            assert_eq!(
                pull_policy(Beside::of(container.as_object().expect("an object"))),
                Some(json!(policy)),
                "{image}"
            );
        }
    }

    #[test]
    fn a_bare_deployment_is_filled_in_as_the_server_does() {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {
            "strategy": {"type": "Recreate"},
            "template": {"spec": {"containers": [{"name": "a", "image": "a:1", "readinessProbe": {"httpGet": {"port": 80}}}]}},
        }});
        fill(&mut object, Schema::of("apps", "v1", "Deployment").expect("a known kind"));
        assert_eq!(
            object["spec"],
            json!({
                "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10, "strategy": {"type": "Recreate"},
                "template": {"spec": {
                    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                    "securityContext": {}, "terminationGracePeriodSeconds": 30,
                    "containers": [{
                        "name": "a", "image": "a:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                        "readinessProbe": {
                            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                            "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1
                        }
                    }]
                }}
            })
        );
    }
}
