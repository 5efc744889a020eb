//! As whom a request is sent: with the platform's own rights, or as the deployer of one tool, who has none beyond its
//! namespace and none over what bounds it there (adr/0029). The API server then judges what our code may have got wrong.
//!
//! What follows from the config repository alone, a tool's frame, is the platform's to make, as the table of kinds says.
//! What a tool's own file makes is sent as its deployer, whatever its kind: a quota or a binding that came out of a
//! component is not the platform's word, and the server refuses it. The one exception is known by its shape: a policy
//! that opens a component's own port. The deployer may not make it, for it could as well open all others.

use crate::kinds::{Identity, Kind};
use renderer::render::{COMPONENT, DEPLOYER};
use renderer::{Object, ObjectId, ToolName};
use serde_json::{Map, Value};

/// The user name of a tool's deployer, as the API server takes it in `Impersonate-User`.
#[must_use]
pub fn deployer(tool: &ToolName) -> String {
    format!("system:serviceaccount:{}:{DEPLOYER}", tool.namespace())
}

/// As whom a part of a tool's frame is sent, and what is to go: as the row of its kind says.
#[must_use]
pub fn of(id: &ObjectId) -> Identity {
    Kind::of_id(id).map_or(Identity::Deployer, |row| row.identity)
}

/// As whom an object is sent that a component made.
#[must_use]
pub fn of_component(object: &Object) -> Identity {
    if is_opening(object) { Identity::Platform } else { Identity::Deployer }
}

/// A policy that lets somebody reach ports of one component, and does nothing else: nothing of what goes out, and not
/// the default policy, whose name has a dot.
fn is_opening(object: &Object) -> bool {
    let spec = object.value.get("spec").and_then(Value::as_object);
    let known = |spec: &Map<String, Value>| spec.keys().all(|key| ["podSelector", "ingress"].contains(&key.as_str()));
    let rules = |spec: &Map<String, Value>| {
        spec.get("ingress").and_then(Value::as_array).is_some_and(|r| r.iter().all(is_bounded))
    };
    object.id.kind == "NetworkPolicy"
        && object.id.group == "networking.k8s.io"
        && !object.id.name.contains('.')
        && spec.is_some_and(|spec| known(spec) && rules(spec) && selects_component(spec, &object.id.name))
}

fn selects_component(spec: &Map<String, Value>, name: &str) -> bool {
    let labels = spec.get("podSelector").and_then(|selector| selector.get("matchLabels"));
    labels.and_then(|labels| labels.get(COMPONENT)).and_then(Value::as_str) == Some(name)
}

/// Without sources or ports a rule would mean all of them.
fn is_bounded(rule: &Value) -> bool {
    ["from", "ports"].iter().all(|key| rule.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn opening() -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web", "namespace": "tool-a"},
            "spec": {
                "podSelector": {"matchLabels": {COMPONENT: "web", "app.kubernetes.io/component": "continuous"}},
                "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 8000, "protocol": "TCP"}]}],
            },
        })
    }

    fn identity(value: Value) -> Identity {
        of_component(&Object::new(value).expect("an object"))
    }

    #[test]
    fn the_platform_speaks_for_an_opening_and_for_nothing_else_that_a_component_makes() {
        assert_eq!(identity(opening()), Identity::Platform);
        let spoils: [(&str, Value); 9] = [
            ("/spec/egress", json!([{}])),
            ("/spec/policyTypes", json!(["Egress"])),
            ("/spec/ingress", json!([{}])),
            ("/spec/ingress", Value::Null),
            ("/spec/ingress/0/from", json!([])),
            ("/spec/ingress/0/ports", Value::Null),
            ("/spec/podSelector", json!({})),
            ("/spec/podSelector/matchLabels", json!({COMPONENT: "other"})),
            ("/metadata/name", json!("toolforge.default")),
        ];
        for (path, value) in spoils {
            let mut spoilt = opening();
            let (parent, key) = path.rsplit_once('/').expect("a path");
            spoilt.pointer_mut(parent).expect("it is there")[key] = value;
            assert_eq!(identity(spoilt.clone()), Identity::Deployer, "{spoilt}");
        }
        for kind in ["ResourceQuota", "LimitRange", "ServiceAccount", "Namespace"] {
            let made = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": "tool-a"}});
            assert_eq!(identity(made), Identity::Deployer, "{kind}");
        }
    }

    #[test]
    fn a_frame_is_the_platforms() {
        let id = |group: &str, kind: &str| ObjectId {
            group: group.into(),
            kind: kind.into(),
            namespace: Some("tool-a".into()),
            name: "a".into(),
        };
        assert_eq!(of(&id("", "ResourceQuota")), Identity::Platform);
        assert_eq!(of(&id("rbac.authorization.k8s.io", "RoleBinding")), Identity::Platform);
        assert_eq!(of(&id("apps", "Deployment")), Identity::Deployer);
        assert_eq!(of(&id("example.org", "Unknown")), Identity::Deployer);
    }
}
