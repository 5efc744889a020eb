//! The requests, in order: later ones meet what earlier ones left.

use super::kinds::{created, kinds, template};
use super::more::{corners, tools};
use serde_json::{Value, json};

/// One request.
pub struct Step {
    pub name: &'static str,
    pub method: &'static str,
    pub path: String,
    pub content_type: &'static str,
    pub accept: &'static str,
    pub body: Option<Value>,
}

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const JSON: &str = "application/json";

/// A request as it is; `NS` stands for the namespace.
pub fn step(name: &'static str, method: &'static str, content_type: &'static str, path: &str, body: Value) -> Step {
    let path = path.replace("NS", "/namespaces/twins");
    let body = (!body.is_null()).then_some(body);
    Step { name, method, path, content_type, accept: JSON, body }
}

pub fn apply(name: &'static str, path: &str, body: Value) -> Step {
    let sign = if path.contains('?') { '&' } else { '?' };
    step(name, "PATCH", APPLY, &format!("{path}{sign}fieldManager=twin"), body)
}

pub fn post(name: &'static str, path: &str, body: Value) -> Step {
    step(name, "POST", JSON, path, body)
}

fn put(name: &'static str, path: &str, body: Value) -> Step {
    step(name, "PUT", JSON, path, body)
}

pub fn get(name: &'static str, path: &str) -> Step {
    step(name, "GET", JSON, path, Value::Null)
}

fn delete(name: &'static str, path: &str) -> Step {
    step(name, "DELETE", JSON, path, Value::Null)
}

/// All of them.
pub fn steps() -> Vec<Step> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "twins"}});
    let mut all = vec![post("a namespace", "/api/v1/namespaces", namespace)];
    all.extend(kinds());
    all.extend(created());
    all.extend(mistakes());
    all.extend(changes());
    all.extend(corners());
    all.extend(tools());
    all.extend(deletions());
    all
}

/// Refusals.
fn mistakes() -> Vec<Step> {
    let web = "/apis/apps/v1NS/deployments/web";
    let map = |body: Value| {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
        if let (Some(map), Value::Object(more)) = (map.as_object_mut(), body) {
            map.extend(more);
        }
        map
    };
    vec![
        get("a missing object", "/api/v1NS/configmaps/missing"),
        get("an unknown resource", "/apis/apps/v1NS/nonsense"),
        get("an unknown group", "/apis/nonsense.example/v1/things"),
        post("a taken name", "/api/v1NS/configmaps", map(json!({}))),
        post("a missing namespace", "/api/v1/namespaces/nowhere/configmaps", map(json!({}))),
        post("no name", "/api/v1NS/configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})),
        post(
            "a bad name",
            "/api/v1NS/configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A_b"}}),
        ),
        post(
            "another namespace",
            "/api/v1NS/configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "other"}}),
        ),
        put(
            "another name",
            "/api/v1NS/configmaps/c",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}),
        ),
        put(
            "a stale version",
            "/api/v1NS/configmaps/c",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "resourceVersion": "1"}}),
        ),
        put(
            "a missing object updated",
            "/api/v1NS/configmaps/missing",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "missing"}}),
        ),
        step(
            "a failed test",
            "PATCH",
            PATCH,
            "/api/v1NS/configmaps/c",
            json!([{"op": "test", "path": "/data/a", "value": "z"}]),
        ),
        step(
            "a path that is not there",
            "PATCH",
            PATCH,
            "/api/v1NS/configmaps/c",
            json!([{"op": "remove", "path": "/data/z"}]),
        ),
        step("an unknown patch type", "PATCH", "application/nonsense", "/api/v1NS/configmaps/c", json!({})),
        step(
            "a strategic patch of a route",
            "PATCH",
            STRATEGIC,
            "/apis/gateway.networking.k8s.io/v1NS/httproutes/web",
            json!({"metadata": {"labels": {"a": "b"}}}),
        ),
        step("an apply without a manager", "PATCH", APPLY, "/api/v1NS/configmaps/c", map(json!({}))),
        step(
            "an apply of another manager",
            "PATCH",
            APPLY,
            "/api/v1NS/configmaps/c?fieldManager=other",
            map(json!({"data": {"a": "other"}})),
        ),
        apply(
            "an unknown field applied",
            web,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replica": 1}}),
        ),
        apply(
            "a label that is none",
            "/api/v1NS/configmaps/c",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": {"a b": "c d"}}, "data": {"a": "b"}, "binaryData": {"c": "AAAA"}}),
        ),
        step(
            "a selector that changes",
            "PATCH",
            MERGE,
            web,
            json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}),
        ),
        step("replicas below nothing", "PATCH", MERGE, web, json!({"spec": {"replicas": -1}})),
        step(
            "a strategy that does not exist",
            "PATCH",
            MERGE,
            web,
            json!({"spec": {"strategy": {"type": "Sometimes"}}}),
        ),
        step("no containers", "PATCH", MERGE, web, json!({"spec": {"template": {"spec": {"containers": []}}}})),
        step(
            "a port out of range",
            "PATCH",
            MERGE,
            "/api/v1NS/services/web",
            json!({"spec": {"ports": [{"name": "http", "port": 70000, "targetPort": 80, "protocol": "TCP"}]}}),
        ),
        step(
            "two ports of one number",
            "PATCH",
            MERGE,
            "/api/v1NS/services/web",
            json!({"spec": {"ports": [{"name": "a", "port": 80, "targetPort": 80, "protocol": "TCP"}, {"name": "b", "port": 80, "targetPort": 81, "protocol": "TCP"}]}}),
        ),
        step(
            "a schedule with four fields",
            "PATCH",
            MERGE,
            "/apis/batch/v1NS/cronjobs/c",
            json!({"spec": {"schedule": "0 0 1 *"}}),
        ),
        step("a selector that is nonsense", "GET", JSON, "/api/v1NS/configmaps?labelSelector=a%20b", Value::Null),
        step("a field that can't select", "GET", JSON, "/api/v1NS/configmaps?fieldSelector=data.a%3Db", Value::Null),
        step("a collection that is patched", "PATCH", MERGE, "/api/v1NS/configmaps", json!({})),
        step("a dry run of nothing known", "POST", JSON, "/api/v1NS/configmaps?dryRun=Some", map(json!({}))),
    ]
}

/// Writes by all means.
fn changes() -> Vec<Step> {
    let web = "/apis/apps/v1NS/deployments/web?fieldManager=hand";
    vec![
        step(
            "replicas scaled",
            "PATCH",
            MERGE,
            "/apis/apps/v1NS/deployments/web/scale?fieldManager=scaler",
            json!({"spec": {"replicas": 1}}),
        ),
        step(
            "replicas scaled back",
            "PATCH",
            MERGE,
            "/apis/apps/v1NS/deployments/web/scale?fieldManager=scaler",
            json!({"spec": {"replicas": 0}}),
        ),
        step(
            "an env variable by hand",
            "PATCH",
            STRATEGIC,
            web,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "C", "value": "1"}]}]}}}}),
        ),
        step(
            "a sidecar by hand",
            "PATCH",
            STRATEGIC,
            web,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side"}], "$setElementOrder/containers": [{"name": "web"}, {"name": "side"}]}}}}),
        ),
        step(
            "a label and an annotation",
            "PATCH",
            MERGE,
            web,
            json!({"metadata": {"labels": {"x": "y"}, "annotations": {"x": "y"}}}),
        ),
        step(
            "a value removed",
            "PATCH",
            PATCH,
            web,
            json!([{"op": "remove", "path": "/spec/template/spec/containers/0/livenessProbe"}]),
        ),
        step("a default changed", "PATCH", MERGE, web, json!({"spec": {"revisionHistoryLimit": 2}})),
        get("after all that", "/apis/apps/v1NS/deployments/web"),
        step(
            "force",
            "PATCH",
            APPLY,
            "/apis/apps/v1NS/deployments/web?fieldManager=twin&force=true",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 0, "revisionHistoryLimit": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template()}}),
        ),
        step(
            "ports in another order",
            "PATCH",
            STRATEGIC,
            "/api/v1NS/services/web?fieldManager=hand",
            json!({"spec": {"ports": [{"name": "more", "port": 81, "targetPort": 81}]}}),
        ),
        step(
            "managers cleared",
            "PATCH",
            MERGE,
            "/api/v1NS/configmaps/c?fieldManager=hand",
            json!({"metadata": {"managedFields": [{}]}}),
        ),
        apply(
            "an apply after that",
            "/api/v1NS/configmaps/c",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b", "n": "m"}}),
        ),
        put(
            "a map replaced",
            "/api/v1NS/configmaps/e?fieldManager=hand",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "e", "labels": {"a": "b"}}, "data": {"x": "y"}}),
        ),
        step(
            "a status written",
            "PATCH",
            MERGE,
            "/apis/networking.k8s.io/v1NS/ingresses/web/status?fieldManager=hand",
            json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, "metadata": {"labels": {"no": "way"}}}),
        ),
        step(
            "a dry run",
            "PATCH",
            MERGE,
            "/api/v1NS/configmaps/e?dryRun=All&fieldManager=hand",
            json!({"data": {"x": "z"}}),
        ),
        get("the map after it", "/api/v1NS/configmaps/e"),
        get("a list", "/api/v1NS/configmaps?fieldSelector=metadata.name%3De"),
        get("a list that is empty", "/api/v1NS/configmaps?labelSelector=no%3Dthing"),
        get("a list of routes", "/apis/gateway.networking.k8s.io/v1NS/httproutes"),
        get("a scale", "/apis/apps/v1NS/deployments/web/scale"),
    ]
}

fn deletions() -> Vec<Step> {
    vec![
        step("another uid", "DELETE", JSON, "/api/v1NS/configmaps/e", json!({"preconditions": {"uid": "0"}})),
        step("a dry deletion", "DELETE", JSON, "/api/v1NS/configmaps/e?dryRun=All", Value::Null),
        delete("a map", "/api/v1NS/configmaps/e"),
        delete("a map that is gone", "/api/v1NS/configmaps/e"),
        delete("a lease", "/apis/coordination.k8s.io/v1NS/leases/l"),
        delete("a route", "/apis/gateway.networking.k8s.io/v1NS/httproutes/web"),
        step(
            "a policy nobody knows",
            "DELETE",
            JSON,
            "/api/v1NS/services/web",
            json!({"propagationPolicy": "Sometimes"}),
        ),
        delete("a service", "/api/v1NS/services/web"),
        delete("a namespace", "/api/v1/namespaces/twins"),
    ]
}
