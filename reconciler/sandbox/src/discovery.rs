//! Which groups, versions and resources are served, in the older form and in the aggregated one.

use crate::resource::{Parts, RESOURCES, Resource, group_version};
use serde_json::{Value, json};

/// The content type of aggregated discovery.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const PART_VERBS: &[&str] = &["get", "patch", "update"];

/// `/version`.
#[must_use]
pub fn version() -> Value {
    let version = format!("v1.36.3+toolforge-sandbox-{}", env!("CARGO_PKG_VERSION"));
    json!({
        "major": "1", "minor": "36", "gitVersion": version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// `/api`.
#[must_use]
pub fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
#[must_use]
pub fn groups() -> Value {
    let groups: Vec<Value> = named_groups().into_iter().map(|row| group(row, false)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`; none for a group that is not served.
#[must_use]
pub fn one_group(name: &str) -> Option<Value> {
    let mut groups = named_groups().into_iter();
    groups.find(|row| row.group == name).map(|row| group(row, true))
}

fn group(row: &Resource, alone: bool) -> Value {
    let version = json!({"groupVersion": row.api_version(), "version": row.version});
    let mut group = json!({
        "name": row.group, "versions": [version], "preferredVersion": version,
    });
    if alone {
        group["kind"] = json!("APIGroup");
        group["apiVersion"] = json!("v1");
    }
    group
}

/// The first row of every group but the core one: each group has one version here.
fn named_groups() -> Vec<&'static Resource> {
    let mut rows: Vec<&'static Resource> = Vec::new();
    for row in RESOURCES.iter().filter(|row| !row.group.is_empty()) {
        if !rows.iter().any(|known| known.group == row.group) {
            rows.push(row);
        }
    }
    rows
}

/// `/api/v1` or `/apis/{group}/{version}`; none if it is not served.
#[must_use]
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let rows = RESOURCES.iter().filter(|row| row.group == group && row.version == version);
    let resources: Vec<Value> = rows.flat_map(listed).collect();
    (!resources.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": group_version(group, version), "resources": resources,
        })
    })
}

fn listed(row: &Resource) -> Vec<Value> {
    let mut whole = json!({
        "name": row.plural, "singularName": row.singular(), "namespaced": row.namespaced,
        "kind": row.kind, "verbs": VERBS,
    });
    if !row.short.is_empty() {
        whole["shortNames"] = json!(row.short);
    }
    if row.in_all {
        whole["categories"] = json!(["all"]);
    }
    let part = |(part, group, version, kind): (&str, &str, &str, &str)| {
        json!({
            "name": format!("{}/{part}", row.plural), "singularName": "", "namespaced": row.namespaced,
            "group": group, "version": version, "kind": kind, "verbs": PART_VERBS,
        })
    };
    let mut all = vec![whole];
    all.extend(parts(row).into_iter().map(part));
    all
}

/// Subresources as (name, group, version, kind).
fn parts(row: &Resource) -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    let status = ("status", row.group, row.version, row.kind);
    let scale = ("scale", "autoscaling", "v1", "Scale");
    match row.parts {
        Parts::Whole => vec![],
        Parts::Status => vec![status],
        Parts::Scale => vec![scale, status],
    }
}

/// Aggregated discovery of the core group (`/api`) or of all others (`/apis`).
#[must_use]
pub fn aggregated(core: bool) -> Value {
    let core_row = RESOURCES.iter().find(|row| row.group.is_empty());
    let groups = if core { core_row.into_iter().collect() } else { named_groups() };
    let items: Vec<Value> = groups.into_iter().map(aggregated_group).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items,
    })
}

fn aggregated_group(first: &Resource) -> Value {
    let rows = RESOURCES.iter().filter(|row| row.group == first.group);
    let resources: Vec<Value> = rows.map(aggregated_resource).collect();
    json!({
        "metadata": {"name": first.group, "creationTimestamp": null},
        "versions": [{"version": first.version, "freshness": "Current", "resources": resources}],
    })
}

fn aggregated_resource(row: &Resource) -> Value {
    let subresources: Vec<Value> = parts(row)
        .into_iter()
        .map(|(part, group, version, kind)| {
            json!({
                "subresource": part, "verbs": PART_VERBS,
                "responseKind": {"group": group, "version": version, "kind": kind},
            })
        })
        .collect();
    let mut resource = json!({
        "resource": row.plural, "singularResource": row.singular(), "verbs": VERBS,
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" },
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
    });
    if !row.short.is_empty() {
        resource["shortNames"] = json!(row.short);
    }
    if row.in_all {
        resource["categories"] = json!(["all"]);
    }
    if !subresources.is_empty() {
        resource["subresources"] = json!(subresources);
    }
    resource
}
