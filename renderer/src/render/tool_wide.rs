//! What every tool has before its first component: its Tool object, its namespace and the limits in it.
//!
//! The default NetworkPolicy closes the namespace to everyone but itself; a component that is published or names
//! `allow_from` opens its own port (`network`). What goes out is bounded where the platform says by what (`egress`): which
//! addresses its databases have only operators know.

use super::meta::{
    APPLYSET_ID, DEPLOYER, LIMIT_RANGE, NAMESPACE, NETWORK_POLICY, PART_OF, PLATFORM_MARK, RESOURCE_QUOTA,
    ROLE_BINDING, SERVICE_ACCOUNT, TOOL, USER, applyset_id, member_kinds,
};
use super::{Frame, egress};
use crate::object::{Gvk, Head, Object};
use crate::tool::Tool;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Name of the tool-wide NetworkPolicy. It has a dot, so no component's policy has this name.
const DEFAULT_POLICY: &str = "toolforge.default";

/// All of them, in apply order.
pub(crate) fn objects(frame: &Frame<'_>) -> Vec<Object> {
    let account = json!({"automountServiceAccountToken": false});
    // No ingress rule but this one: whoever it does not name is refused.
    let mut policy = json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}});
    if let Some(network) = &frame.platform.network {
        policy["spec"]["egress"] = egress::rules(network).into();
        // The server adds the second only to a policy that is new.
        policy["spec"]["policyTypes"] = json!(["Ingress", "Egress"]);
    }
    let mut objects = vec![tool(frame), namespace(frame)];
    objects.push(inside(frame, SERVICE_ACCOUNT, frame.tool.name.as_str(), account));
    objects.push(inside(frame, ROLE_BINDING, DEPLOYER, deployer(frame)));
    objects.extend(quota(frame));
    objects.extend(limit_range(frame));
    objects.push(inside(frame, NETWORK_POLICY, DEFAULT_POLICY, policy));
    objects
}

/// The Tool as operators declared it. `spec.pin` belongs to people and is never rendered; status is the reconciler's.
/// It says whose it is: several platforms may share a cluster, and none looks after another's tools.
fn tool(frame: &Frame<'_>) -> Object {
    let tool = frame.tool;
    let mut labels = frame.labels.clone();
    labels.insert(PLATFORM_MARK.to_owned(), frame.platform.name.clone());
    // The parent names its set; it is no member of it.
    labels.remove(PART_OF);
    labels.insert(APPLYSET_ID.to_owned(), applyset_id(&tool.name));
    let annotations = BTreeMap::from([
        ("applyset.kubernetes.io/tooling".to_owned(), "toolforge/v1alpha1".to_owned()),
        ("applyset.kubernetes.io/contains-group-kinds".to_owned(), member_kinds()),
        ("applyset.kubernetes.io/additional-namespaces".to_owned(), tool.name.namespace()),
    ]);
    let head = Head { kind: TOOL, namespace: None, name: tool.name.to_string(), labels, annotations };
    Object::with(head, Map::from_iter([("spec".to_owned(), tool_spec(tool))]))
}

fn tool_spec(tool: &Tool) -> Value {
    let mut spec = Map::new();
    spec.insert("repository".into(), without_credentials(&tool.repository).into());
    spec.insert("branch".into(), tool.branch.clone().into());
    if !tool.path.is_empty() {
        spec.insert("path".into(), tool.path.clone().into());
    }
    if let Some(uid) = tool.uid {
        spec.insert("uid".into(), uid.into());
    }
    let patch = &tool.limits;
    let limits = given([
        ("quota", &patch.quota),
        ("max", &patch.max),
        ("min", &patch.min),
        ("default", &patch.default),
        ("defaultRequest", &patch.default_request),
    ]);
    if !limits.is_empty() {
        spec.insert("limits".into(), limits.into());
    }
    if let Some(promotion) = &tool.promotion {
        spec.insert("promotion".into(), json!({"from": promotion.from, "soak": duration(promotion.soak_secs)}));
    }
    if !tool.commits.is_default() {
        spec.insert("commits".into(), json!(tool.commits));
    }
    if tool.suspend {
        spec.insert("suspend".into(), true.into());
    }
    Value::Object(spec)
}

/// Anyone may read a Tool, and an https URL may carry a token. The user of an ssh URL is no secret.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| *scheme != "file") else {
        return url.to_owned();
    };
    // A password may hold a `/`, so not the first one ends it but the last `@`; unless it begins a folder, `/@user`, on
    // what can only be a host.
    let authority = rest.split('/').next().unwrap_or_default();
    let is_host = authority.contains('.') && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let Some((user, host)) = rest.rsplit_once('@').filter(|(before, _)| !(is_host && before.ends_with('/'))) else {
        return url.to_owned();
    };
    match user.split(':').next() {
        Some(user) if scheme == "ssh" => format!("{scheme}://{user}@{host}"),
        _ => format!("{scheme}://{host}"),
    }
}

/// In the largest unit that divides it: `1h`, `90s`.
fn duration(secs: u64) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    match units.iter().find(|(unit, _)| secs > 0 && secs.is_multiple_of(*unit)) {
        Some((unit, letter)) => format!("{}{letter}", secs / unit),
        None => format!("{secs}s"),
    }
}

/// Admission rules go by its labels: they say whose it is, and as which user its pods run.
fn namespace(frame: &Frame<'_>) -> Object {
    let mut labels = frame.labels.clone();
    labels.extend(frame.tool.uid.map(|uid| (USER.to_owned(), uid.to_string())));
    for (key, value) in [
        ("name", frame.namespace.as_str()),
        ("tenancy", "tool"),
        (PLATFORM_MARK, frame.platform.name.as_str()),
        ("pod-security.kubernetes.io/enforce", "restricted"),
        // Enforcing speaks only when a pod is made; this tells whoever applies a template by hand.
        ("pod-security.kubernetes.io/warn", "restricted"),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let head =
        Head { kind: NAMESPACE, namespace: None, name: frame.namespace.clone(), labels, annotations: BTreeMap::new() };
    Object::with(head, Map::new())
}

/// The account is a name and no object, so that no token of it is ever made and no pod can run as it.
fn deployer(frame: &Frame<'_>) -> Value {
    json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": DEPLOYER},
        "subjects": [{"kind": "ServiceAccount", "name": DEPLOYER, "namespace": frame.namespace}],
    })
}

fn quota(frame: &Frame<'_>) -> Option<Object> {
    let hard = &frame.limits.quota;
    (!hard.is_empty()).then(|| inside(frame, RESOURCE_QUOTA, frame.tool.name.as_str(), json!({"spec": {"hard": hard}})))
}

fn limit_range(frame: &Frame<'_>) -> Option<Object> {
    let limits = &frame.limits;
    let mut item = given([
        ("max", &limits.max),
        ("min", &limits.min),
        ("default", &limits.default),
        ("defaultRequest", &limits.default_request),
    ]);
    if item.is_empty() {
        return None;
    }
    item.insert("type".into(), "Container".into());
    Some(inside(frame, LIMIT_RANGE, frame.tool.name.as_str(), json!({"spec": {"limits": [item]}})))
}

/// The maps that hold something: an empty one would vanish in the server.
fn given<const N: usize>(maps: [(&str, &BTreeMap<String, String>); N]) -> Map<String, Value> {
    maps.into_iter().filter(|(_, map)| !map.is_empty()).map(|(key, map)| (key.to_owned(), json!(map))).collect()
}

fn inside(frame: &Frame<'_>, kind: Gvk, name: &str, content: Value) -> Object {
    let head = Head {
        kind,
        namespace: Some(frame.namespace.clone()),
        name: name.to_owned(),
        labels: frame.labels.clone(),
        annotations: BTreeMap::new(),
    };
    Object::with(head, super::fields(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_repository_carries_no_credentials() {
        for (url, published) in [
            ("https://user:token@git.example/a", "https://git.example/a"),
            ("https://user:tok/en@git.example/a", "https://git.example/a"),
            ("https://tok/en@git.example/a", "https://git.example/a"),
            ("https://user:to@k/en@git.example/a", "https://git.example/a"),
            ("https://git.example/@group/a", "https://git.example/@group/a"),
            ("https://git.example/a", "https://git.example/a"),
            ("ssh://git:x@git.example:22/a", "ssh://git@git.example:22/a"),
            ("ssh://git:x/y@git.example:22/a", "ssh://git@git.example:22/a"),
            ("git@git.example:a", "git@git.example:a"),
            ("file:///srv/a@b", "file:///srv/a@b"),
            ("/srv/a", "/srv/a"),
        ] {
            assert_eq!(without_credentials(url), published);
        }
    }

    #[test]
    fn a_duration_is_written_in_its_largest_unit() {
        assert_eq!([0, 90, 120, 3600, 86_400, 90_000].map(duration), ["0s", "90s", "2m", "1h", "1d", "25h"]);
    }
}
