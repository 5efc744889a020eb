//! What the API server has to allow: generated from the table of kinds, so that a new row is a new right and nothing else
//! is. No wildcard, and nothing that could be dropped (adr/0029).
//!
//! - `toolforge-deployer`, a ClusterRole that a RoleBinding of each tool's namespace gives to that tool's deployer there.
//!   What bounds a tool (quota, default limits, network policies, accounts, bindings) is not in it.
//! - `toolforge`, the platform's own: it reads every kind, makes what bounds tools, may give the first role to somebody
//!   and speak as an account of that name. What a tool runs it can't make itself.
//! - Roles of the same name where the platform has objects of its own: its namespace, that of the builds, and `default`,
//!   where events about cluster-scoped objects stand.

use crate::kinds::{Identity, KINDS, Kind, Scope};
use renderer::object::{Gvk, Head};
use renderer::render::{DEPLOYER, platform_labels};
use renderer::{Object, Platform};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the platform's roles, of the bindings to them, and of its account in its namespace.
pub const TOOLFORGE: &str = "toolforge";
/// Where events about cluster-scoped objects stand.
const EVENTS_NAMESPACE: &str = "default";
const RBAC: &str = "rbac.authorization.k8s.io";
const READ: &[&str] = &["get", "list", "watch"];
const MAKE: &[&str] = &["create", "patch"];

/// What a tool's deployer may do in its tool's namespace.
#[must_use]
pub fn deployer_rules() -> Vec<Value> {
    let rows = KINDS.iter().filter(|row| row.identity == Identity::Deployer && row.scope == Scope::Tool);
    rules(rows.filter(|row| is_written(row)).map(|row| (row.group, row.plural, writes(row))))
}

/// What the platform may do everywhere.
#[must_use]
pub fn platform_rules() -> Vec<Value> {
    let all = KINDS.iter().map(|row| {
        let everywhere = row.identity == Identity::Platform && matches!(row.scope, Scope::Cluster | Scope::Tool);
        let more = if everywhere && is_written(row) { writes(row) } else { Vec::new() };
        (row.group, row.plural, [READ, &more].concat())
    });
    let mut rules = rules(all.chain([("toolforge.org", "tools/status", vec!["patch"])]));
    rules.push(named(RBAC, "clusterroles", "bind"));
    rules.push(named("", "serviceaccounts", "impersonate"));
    rules
}

/// A right over what is called [`DEPLOYER`], and over nothing else.
fn named(group: &str, plural: &str, verb: &str) -> Value {
    json!({"apiGroups": [group], "resources": [plural], "resourceNames": [DEPLOYER], "verbs": [verb]})
}

/// All roles, and who has them: the platform's account in its namespace.
#[must_use]
pub fn roles(platform: &Platform) -> Vec<Object> {
    let mut made = vec![
        role(None, DEPLOYER, deployer_rules()),
        role(None, TOOLFORGE, platform_rules()),
        binding(platform, None),
        role(Some(&platform.namespace), TOOLFORGE, own_rules()),
        binding(platform, Some(&platform.namespace)),
        role(Some(EVENTS_NAMESPACE), TOOLFORGE, rules([("", "events", MAKE.to_vec())])),
        binding(platform, Some(EVENTS_NAMESPACE)),
    ];
    if let Some(builds) = &platform.builds {
        let namespace = builds.namespace(platform);
        made.push(role(Some(&namespace), TOOLFORGE, build_rules()));
        made.push(binding(platform, Some(&namespace)));
    }
    made
}

/// In the platform's namespace: its settings, what is stored of tools, and the lease.
fn own_rules() -> Vec<Value> {
    let stored =
        KINDS.iter().filter(|row| row.scope == Scope::Platform).map(|row| (row.group, row.plural, writes(row)));
    let more = [("", "configmaps", MAKE.to_vec()), ("coordination.k8s.io", "leases", vec!["get", "create", "update"])];
    rules(stored.chain(more))
}

/// In the builds' namespace: whatever a build is.
fn build_rules() -> Vec<Value> {
    let builds = KINDS.iter().filter(|row| row.scope == Scope::Builds || (row.group, row.kind) == ("batch", "Job"));
    rules(builds.map(|row| (row.group, row.plural, writes(row))))
}

/// Kinds that hold data or are somebody else's are only looked at, but for those that the platform makes.
fn is_written(row: &Kind) -> bool {
    row.identity == Identity::Platform || !row.protected
}

fn writes(row: &Kind) -> Vec<&'static str> {
    let mut verbs = MAKE.to_vec();
    verbs.extend((!row.protected).then_some("delete"));
    verbs
}

/// One rule for all resources of a group that have the same verbs.
fn rules(wanted: impl IntoIterator<Item = (&'static str, &'static str, Vec<&'static str>)>) -> Vec<Value> {
    let mut together: BTreeMap<(&str, Vec<&str>), BTreeSet<&str>> = BTreeMap::new();
    for (group, plural, verbs) in wanted {
        together.entry((group, verbs)).or_default().insert(plural);
    }
    let rule = |((group, verbs), resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    together.into_iter().map(rule).collect()
}

const fn gvk(kind: &'static str) -> Gvk {
    Gvk { group: RBAC, version: "v1", kind }
}

/// All platforms of a cluster share the roles, which say nothing of any of them.
fn role(namespace: Option<&str>, name: &str, rules: Vec<Value>) -> Object {
    let kind = if namespace.is_some() { gvk("Role") } else { gvk("ClusterRole") };
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "toolforge".to_owned())]);
    object(kind, namespace, name.to_owned(), labels, json!({"rules": rules}))
}

fn binding(platform: &Platform, namespace: Option<&str>) -> Object {
    let (kind, role) = match namespace {
        Some(_) => (gvk("RoleBinding"), "Role"),
        None => (gvk("ClusterRoleBinding"), "ClusterRole"),
    };
    let content = json!({
        "roleRef": {"apiGroup": RBAC, "kind": role, "name": TOOLFORGE},
        "subjects": [{"kind": "ServiceAccount", "name": TOOLFORGE, "namespace": platform.namespace}],
    });
    object(kind, namespace, format!("{TOOLFORGE}-{}", platform.name), platform_labels(&platform.name), content)
}

pub(crate) fn object(
    kind: Gvk,
    namespace: Option<&str>,
    name: String,
    labels: BTreeMap<String, String>,
    content: Value,
) -> Object {
    let head = Head { kind, namespace: namespace.map(str::to_owned), name, labels, annotations: BTreeMap::new() };
    let content = match content {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Object::with(head, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(rules: &[Value], verb: &str) -> BTreeSet<String> {
        let with =
            rules.iter().filter(|rule| rule["verbs"].as_array().is_some_and(|verbs| verbs.contains(&json!(verb))));
        let names = with.flat_map(|rule| rule["resources"].as_array().cloned().unwrap_or_default());
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    #[test]
    fn a_deployer_may_not_touch_what_bounds_it_and_the_platform_may_not_run_anything() {
        let (deployer, platform) = (deployer_rules(), platform_rules());
        let bounds = [
            "resourcequotas",
            "limitranges",
            "networkpolicies",
            "rolebindings",
            "serviceaccounts",
            "namespaces",
            "pods",
        ];
        let runs = ["deployments", "jobs", "cronjobs", "services", "ingresses", "httproutes", "configmaps", "pods"];
        for verb in ["create", "patch", "delete"] {
            let (of_deployer, of_platform) = (resources(&deployer, verb), resources(&platform, verb));
            assert!(bounds.iter().all(|name| !of_deployer.contains(*name)), "{verb}: {of_deployer:?}");
            assert!(runs.iter().all(|name| !of_platform.contains(*name)), "{verb}: {of_platform:?}");
        }
        assert!(resources(&deployer, "create").contains("deployments"));
        assert!(resources(&platform, "create").contains("resourcequotas"));
    }

    #[test]
    fn no_rule_has_a_wildcard_and_nobody_may_give_more_than_they_have() {
        for role in roles(&Platform::builtin()) {
            let text = role.value.to_string();
            for word in ["\"*\"", "\"escalate\"", "\"deletecollection\""] {
                assert!(!text.contains(word), "{}: {word}", role.id);
            }
        }
        assert_eq!(resources(&platform_rules(), "bind"), BTreeSet::from(["clusterroles".to_owned()]));
        assert_eq!(resources(&platform_rules(), "impersonate"), BTreeSet::from(["serviceaccounts".to_owned()]));
    }
}
