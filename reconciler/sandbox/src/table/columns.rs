//! The columns of each resource.

use super::{Column, age};
use crate::resource::Resource;
use crate::select::LabelSelector;
use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::{Value, json};

type Cell = fn(&Object, Timestamp) -> Value;

const fn text(name: &'static str, cell: Cell) -> Column {
    Column { name, kind: "string", wide: false, cell }
}

const fn number(name: &'static str, cell: Cell) -> Column {
    Column { kind: "integer", ..text(name, cell) }
}

const fn wide(name: &'static str, cell: Cell) -> Column {
    Column { wide: true, ..text(name, cell) }
}

const NAME: Column = text("Name", |o, _| value::name(o).into());
const AGE: Column = text("Age", age::of);
const CREATED: Column = text("Created At", |o, _| value::meta(o, "creationTimestamp").into());
const CONTAINERS: Column = wide("Containers", |o, _| joined(containers(o), |c| text_in(c, "name")));
const IMAGES: Column = wide("Images", |o, _| joined(containers(o), |c| text_in(c, "image")));
const SELECTOR: Column = wide("Selector", |o, _| {
    let selector = value::at(o, "spec.selector").map(LabelSelector::of);
    or_none(selector.unwrap_or_default().to_text())
});

/// The columns of a resource.
pub(super) fn of(resource: &'static Resource) -> &'static [Column] {
    match resource.kind {
        "Deployment" => DEPLOYMENT,
        "ReplicaSet" => REPLICA_SET,
        "Pod" => POD,
        "Job" => JOB,
        "CronJob" => CRON_JOB,
        "Service" => SERVICE,
        "Ingress" => INGRESS,
        "HTTPRoute" => HTTP_ROUTE,
        "Namespace" => PHASED,
        "PersistentVolumeClaim" => CLAIM,
        "ValidatingAdmissionPolicy" => POLICY,
        "ValidatingAdmissionPolicyBinding" => POLICY_BINDING,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "ResourceQuota" => QUOTA,
        "NetworkPolicy" => NETWORK_POLICY,
        "PodDisruptionBudget" => BUDGET,
        "Event" => EVENT,
        "Lease" => LEASE,
        "ControllerRevision" => REVISION,
        "HorizontalPodAutoscaler" => AUTOSCALER,
        "Tool" => TOOL,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "LimitRange" | "CustomResourceDefinition" | "Role" | "ClusterRole" => DATED,
        _ => PLAIN,
    }
}

const PLAIN: &[Column] = &[NAME, AGE];
const DATED: &[Column] = &[NAME, CREATED];
const PHASED: &[Column] = &[NAME, text("Status", |o, _| value::text(o, "status.phase").into()), AGE];
const DEPLOYMENT: &[Column] = &[
    NAME,
    text("Ready", |o, _| {
        let (ready, want) = (count(o, "status.readyReplicas"), count(o, "spec.replicas"));
        format!("{ready}/{want}").into()
    }),
    number("Up-to-date", |o, _| count(o, "status.updatedReplicas").into()),
    number("Available", |o, _| count(o, "status.availableReplicas").into()),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const REPLICA_SET: &[Column] = &[
    NAME,
    number("Desired", |o, _| count(o, "spec.replicas").into()),
    number("Current", |o, _| count(o, "status.replicas").into()),
    number("Ready", |o, _| count(o, "status.readyReplicas").into()),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const POD: &[Column] = &[
    NAME,
    text("Ready", |o, _| {
        let states = list(o, "status.containerStatuses");
        let ready = states.iter().filter(|s| s["ready"] == json!(true)).count();
        format!("{ready}/{}", list(o, "spec.containers").len()).into()
    }),
    text("Status", |o, _| pod_status(o).into()),
    text("Restarts", |o, _| {
        let states = list(o, "status.containerStatuses").iter();
        let restarts: i64 = states.filter_map(|s| s["restartCount"].as_i64()).sum();
        restarts.to_string().into()
    }),
    AGE,
    wide("IP", |o, _| or_none(value::text(o, "status.podIP").to_owned())),
    wide("Node", |o, _| or_none(value::text(o, "spec.nodeName").to_owned())),
];
const JOB: &[Column] = &[
    NAME,
    text("Status", |o, _| job_status(o).into()),
    text("Completions", |o, _| {
        let want = value::number(o, "spec.completions").unwrap_or(1);
        format!("{}/{want}", count(o, "status.succeeded")).into()
    }),
    text("Duration", |o, now| {
        let end = value::text(o, "status.completionTime").parse();
        let start = value::text(o, "status.startTime");
        super::between(start, end.unwrap_or(now)).unwrap_or_default().into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const CRON_JOB: &[Column] = &[
    NAME,
    text("Schedule", |o, _| value::text(o, "spec.schedule").into()),
    text("Timezone", |o, _| or_none(value::text(o, "spec.timeZone").to_owned())),
    text("Suspend", |o, _| {
        let suspend = value::at(o, "spec.suspend") == Some(&json!(true));
        if suspend { "True" } else { "False" }.into()
    }),
    number("Active", |o, _| list(o, "status.active").len().into()),
    text("Last Schedule", |o, now| match value::text(o, "status.lastScheduleTime") {
        "" => "<none>".into(),
        at => super::since(at, now).into(),
    }),
    AGE,
    CONTAINERS,
    IMAGES,
];
const SERVICE: &[Column] = &[
    NAME,
    text("Type", |o, _| value::text(o, "spec.type").into()),
    text("Cluster-IP", |o, _| or_none(value::text(o, "spec.clusterIP").to_owned())),
    text("External-IP", |o, _| or_none(value::text(o, "spec.externalName").to_owned())),
    text("Port(s)", |o, _| {
        let port = |port: &Value| format!("{}/{}", port["port"], text_in(port, "protocol"));
        joined(list(o, "spec.ports"), port)
    }),
    AGE,
    wide("Selector", |o, _| {
        let labels = value::text_map(value::at(o, "spec.selector"));
        let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        or_none(pairs.join(","))
    }),
];
const INGRESS: &[Column] = &[
    NAME,
    text("Class", |o, _| or_none(value::text(o, "spec.ingressClassName").to_owned())),
    text("Hosts", |o, _| {
        let hosts: Vec<String> = list(o, "spec.rules").iter().map(|r| text_in(r, "host")).collect();
        match hosts.join(",") {
            none if none.is_empty() => "*".into(),
            hosts => hosts.into(),
        }
    }),
    text("Address", |_, _| "".into()),
    text("Ports", |o, _| {
        let tls = !list(o, "spec.tls").is_empty();
        if tls { "80, 443" } else { "80" }.into()
    }),
    AGE,
];
const HTTP_ROUTE: &[Column] = &[
    NAME,
    text("Hostnames", |o, _| {
        value::at(o, "spec.hostnames").map_or_else(|| "".into(), |hosts| hosts.to_string().into())
    }),
    AGE,
];
const CONFIG_MAP: &[Column] = &[NAME, number("Data", |o, _| (size(o, "data") + size(o, "binaryData")).into()), AGE];
const SECRET: &[Column] =
    &[NAME, text("Type", |o, _| value::text(o, "type").into()), number("Data", |o, _| size(o, "data").into()), AGE];
const QUOTA: &[Column] =
    &[NAME, text("Request", |o, _| quota(o, false).into()), text("Limit", |o, _| quota(o, true).into()), AGE];
const NETWORK_POLICY: &[Column] = &[
    NAME,
    text("Pod-Selector", |o, _| {
        let selector = value::at(o, "spec.podSelector").map(LabelSelector::of);
        or_none(selector.unwrap_or_default().to_text())
    }),
    AGE,
];
const BUDGET: &[Column] = &[
    NAME,
    text("Min Available", |o, _| or_na(o, "spec.minAvailable")),
    text("Max Unavailable", |o, _| or_na(o, "spec.maxUnavailable")),
    number("Allowed Disruptions", |o, _| count(o, "status.disruptionsAllowed").into()),
    AGE,
];
const EVENT: &[Column] = &[
    text("Last Seen", |o, now| {
        let times = ["series.lastObservedTime", "lastTimestamp", "eventTime"];
        let mut given = times.iter().map(|path| value::text(o, path));
        let last = given.find(|at| !at.is_empty());
        super::since(last.unwrap_or(value::meta(o, "creationTimestamp")), now).into()
    }),
    text("Type", |o, _| value::text(o, "type").into()),
    text("Reason", |o, _| value::text(o, "reason").into()),
    text("Object", |o, _| {
        let kind = value::text(o, "involvedObject.kind").to_ascii_lowercase();
        format!("{kind}/{}", value::text(o, "involvedObject.name")).into()
    }),
    text("Message", |o, _| value::text(o, "message").into()),
    wide("Name", |o, _| value::name(o).into()),
];
const LEASE: &[Column] = &[NAME, text("Holder", |o, _| value::text(o, "spec.holderIdentity").into()), AGE];
const REVISION: &[Column] = &[
    NAME,
    text("Controller", |o, _| {
        let owner = value::owner_references(o).next();
        or_none(owner.map_or_else(String::new, |owner| text_in(owner, "name")))
    }),
    number("Revision", |o, _| count(o, "revision").into()),
    AGE,
];
const AUTOSCALER: &[Column] = &[
    NAME,
    text("Reference", |o, _| {
        let part = |field| value::text(o, field);
        let kind = part("spec.scaleTargetRef.kind");
        format!("{kind}/{}", part("spec.scaleTargetRef.name")).into()
    }),
    text("Targets", |_, _| "<unknown>".into()),
    number("MinPods", |o, _| count(o, "spec.minReplicas").into()),
    number("MaxPods", |o, _| count(o, "spec.maxReplicas").into()),
    number("Replicas", |o, _| count(o, "status.currentReplicas").into()),
    AGE,
];
const TOOL: &[Column] = &[
    NAME,
    text("Ready", |o, _| condition(o, "status").into()),
    text("Reason", |o, _| condition(o, "reason").into()),
    text("Branch", |o, _| value::text(o, "spec.branch").into()),
    text("Commit", |o, _| value::text(o, "status.commit").into()),
    AGE,
];
const CLAIM: &[Column] = &[
    NAME,
    text("Status", |o, _| value::text(o, "status.phase").into()),
    text("Volume", |o, _| value::text(o, "spec.volumeName").into()),
    text("Capacity", |o, _| value::text(o, "status.capacity.storage").into()),
    text("Access Modes", |o, _| {
        joined(list(o, "status.accessModes"), |mode| mode.as_str().unwrap_or_default().to_owned())
    }),
    text("StorageClass", |o, _| value::text(o, "spec.storageClassName").into()),
    text("VolumeAttributesClass", |o, _| or_unset(value::text(o, "spec.volumeAttributesClassName"))),
    AGE,
];
const POLICY: &[Column] = &[
    NAME,
    number("Validations", |o, _| list(o, "spec.validations").len().into()),
    text("ParamKind", |o, _| or_unset(value::text(o, "spec.paramKind.kind"))),
    AGE,
];
const POLICY_BINDING: &[Column] = &[
    NAME,
    text("PolicyName", |o, _| value::text(o, "spec.policyName").into()),
    text("ParamRef", |o, _| or_unset(value::text(o, "spec.paramRef.name"))),
    AGE,
];
const BINDING: &[Column] = &[
    NAME,
    text("Role", |o, _| {
        let part = |field| value::text(o, field);
        format!("{}/{}", part("roleRef.kind"), part("roleRef.name")).into()
    }),
    AGE,
];

fn list<'a>(object: &'a Object, path: &str) -> &'a [Value] {
    let list = value::at(object, path).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn containers(object: &Object) -> &[Value] {
    let nested = list(object, "spec.template.spec.containers");
    if nested.is_empty() {
        return list(object, "spec.jobTemplate.spec.template.spec.containers");
    }
    nested
}

fn count(object: &Object, path: &str) -> i64 {
    value::number(object, path).unwrap_or(0)
}

fn size(object: &Object, field: &str) -> usize {
    let map = object.get(field).and_then(Value::as_object);
    map.map_or(0, serde_json::Map::len)
}

fn text_in(value: &Value, field: &str) -> String {
    let text = value.get(field).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn joined(values: &[Value], text: impl Fn(&Value) -> String) -> Value {
    let texts: Vec<String> = values.iter().map(text).collect();
    or_none(texts.join(","))
}

fn or_none(text: String) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

fn or_unset(text: &str) -> Value {
    if text.is_empty() { "<unset>".into() } else { text.into() }
}

fn or_na(object: &Object, path: &str) -> Value {
    match value::at(object, path) {
        Some(Value::String(text)) => text.clone().into(),
        Some(other) => other.to_string().into(),
        None => "N/A".into(),
    }
}

fn pod_status(object: &Object) -> String {
    if value::is_terminating(object) {
        return "Terminating".to_owned();
    }
    let states = list(object, "status.containerStatuses");
    let waiting = states.iter().find_map(|state| state.pointer("/state/waiting/reason")?.as_str());
    match (waiting, value::text(object, "status.phase")) {
        (Some(reason), _) => reason.to_owned(),
        (None, "Succeeded") => "Completed".to_owned(),
        (None, phase) => phase.to_owned(),
    }
}

fn job_status(object: &Object) -> &'static str {
    let conditions = list(object, "status.conditions");
    let holds = |kind: &str| conditions.iter().any(|c| c["type"] == kind && c["status"] == "True");
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if holds("Suspended") => "Suspended",
        () => "Running",
    }
}

fn condition(object: &Object, field: &str) -> String {
    let conditions = list(object, "status.conditions");
    let ready = conditions.iter().find(|c| c["type"] == "Ready");
    ready.map_or_else(String::new, |ready| text_in(ready, field))
}

fn quota(object: &Object, limits: bool) -> String {
    let hard = value::text_map(value::at(object, "status.hard"));
    let used = value::text_map(value::at(object, "status.used"));
    let rows = hard.iter().filter(|(name, _)| name.starts_with("limits.") == limits);
    let row =
        |(name, hard): (&String, &String)| format!("{name}: {}/{hard}", used.get(name).map_or("0", String::as_str));
    rows.map(row).collect::<Vec<_>>().join(", ")
}
