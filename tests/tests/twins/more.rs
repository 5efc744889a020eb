//! Corners: owners and finalizers, subresources, the Tool, odd bodies.

use super::kinds::template;
use super::steps::{Step, apply, get, post, step};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn map(name: &str, more: Value) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    if let (Some(map), Value::Object(more)) = (map.as_object_mut(), more) {
        map.extend(more);
    }
    map
}

/// The name of the step after which Tools are served.
pub const DEFINITION: &str = "the definition of Tool";

/// What a platform's definition makes of a Tool.
pub fn tools() -> Vec<Step> {
    let platform =
        renderer::platform::parse(include_bytes!("../../../examples/platform/platform.yaml"), "platform.yaml");
    let objects = platform.0.iter().flat_map(renderer::render_platform);
    let definition = objects.map(|object| object.value).find(|value| value["kind"] == "CustomResourceDefinition");
    let definition = definition.expect("a platform has the definition of Tool");
    let tools = "/apis/toolforge.org/v1alpha1/tools";
    let tool = |spec: Value| json!({"apiVersion": "toolforge.org/v1alpha1", "kind": "Tool", "metadata": {"name": "twin"}, "spec": spec});
    let spec = json!({"repository": "https://git.example/twin", "branch": "main"});
    let condition = json!({"type": "Ready", "status": "True", "reason": "Applied", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1});
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tools.toolforge.org";
    vec![
        apply(DEFINITION, path, definition),
        apply("a tool", &format!("{tools}/twin"), tool(spec.clone())),
        step(
            "a tool's status",
            "PATCH",
            APPLY,
            &format!("{tools}/twin/status?fieldManager=twin-status&force=true"),
            json!({"apiVersion": "toolforge.org/v1alpha1", "kind": "Tool", "metadata": {"name": "twin"}, "status": {"conditions": [condition]}}),
        ),
        step(
            "a tool's status by hand",
            "PATCH",
            MERGE,
            &format!("{tools}/twin/status?fieldManager=hand"),
            json!({"metadata": {"labels": {"no": "way"}}, "spec": {"branch": "other"}, "status": {"observedGeneration": 1}}),
        ),
        step(
            "a pin",
            "PATCH",
            MERGE,
            &format!("{tools}/twin?fieldManager=toolforge-cli"),
            json!({"spec": {"pin": {"suspend": true, "by": "me"}}}),
        ),
        apply("a tool applied over its pin", &format!("{tools}/twin"), tool(spec)),
        get("the tool", &format!("{tools}/twin")),
        step(
            "a tool updated without a version",
            "PUT",
            JSON,
            &format!("{tools}/twin"),
            tool(json!({"repository": "https://git.example/other"})),
        ),
        step("the tool deleted", "DELETE", JSON, &format!("{tools}/twin"), Value::Null),
    ]
}

/// Finalizers, owners, subresources, bodies.
pub fn corners() -> Vec<Step> {
    let maps = "/api/v1NS/configmaps";
    let web = "/apis/apps/v1NS/deployments/web";
    let owner =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "no-such-uid", "controller": true}]);
    vec![
        post(
            "a held map",
            maps,
            map("held", json!({"metadata": {"name": "held", "finalizers": ["example.org/hold"]}})),
        ),
        step("the held map deleted", "DELETE", JSON, &format!("{maps}/held"), Value::Null),
        step("deleted again", "DELETE", JSON, &format!("{maps}/held"), Value::Null),
        step(
            "a finalizer added too late",
            "PATCH",
            MERGE,
            &format!("{maps}/held"),
            json!({"metadata": {"finalizers": ["example.org/hold", "example.org/more"]}}),
        ),
        step("data changed meanwhile", "PATCH", MERGE, &format!("{maps}/held"), json!({"data": {"a": "b"}})),
        step(
            "the finalizer taken away",
            "PATCH",
            PATCH,
            &format!("{maps}/held"),
            json!([{"op": "remove", "path": "/metadata/finalizers"}]),
        ),
        step(
            "an owner without a uid",
            "PATCH",
            MERGE,
            &format!("{maps}/c?dryRun=All"),
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c"}]}}),
        ),
        step(
            "an owner in a dry run",
            "PATCH",
            MERGE,
            &format!("{maps}/c?dryRun=All"),
            json!({"metadata": {"ownerReferences": owner}}),
        ),
        post("a body of another kind", maps, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}})),
        post("a body without a kind", &format!("{maps}?dryRun=All"), json!({"metadata": {"name": "kindless"}})),
        post("a number where text should be", maps, map("number", json!({"data": {"a": 1}}))),
        post(
            "text where a number should be",
            "/apis/apps/v1NS/deployments",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": "two", "selector": {"matchLabels": {"app": "web"}}, "template": template()}}),
        ),
        post(
            "an unknown field, strictly",
            &format!("{maps}?fieldValidation=Strict"),
            map("strict", json!({"dat": {}})),
        ),
        post(
            "an unknown field, in silence",
            &format!("{maps}?fieldValidation=Ignore&dryRun=All"),
            map("ignored", json!({"dat": {}, "data": {"a": "b"}})),
        ),
        step(
            "an unknown field patched, strictly",
            "PATCH",
            MERGE,
            &format!("{web}?fieldValidation=Strict&dryRun=All"),
            json!({"spec": {"replica": 1}}),
        ),
        step(
            "an unknown field of a route, strictly",
            "PATCH",
            APPLY,
            "/apis/gateway.networking.k8s.io/v1NS/httproutes/made?fieldManager=x&fieldValidation=Strict&dryRun=All",
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "made"}, "spec": {"nonsense": 1}}),
        ),
        step(
            "a version nobody serves",
            "PATCH",
            APPLY,
            &format!("{maps}/c?fieldManager=x&dryRun=All"),
            json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "c"}}),
        ),
        step(
            "managed fields applied",
            "PATCH",
            APPLY,
            &format!("{maps}/c?fieldManager=x&dryRun=All"),
            map("c", json!({"metadata": {"name": "c", "managedFields": [{"manager": "x"}]}})),
        ),
        step(
            "an item twice",
            "PATCH",
            APPLY,
            &format!("{web}?fieldManager=x&dryRun=All"),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]}}}}),
        ),
        step(
            "an item without its key",
            "PATCH",
            STRATEGIC,
            &format!("{web}?dryRun=All"),
            json!({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}),
        ),
        step(
            "a list of values shrunk",
            "PATCH",
            STRATEGIC,
            "/api/v1NS/serviceaccounts/tool?dryRun=All",
            json!({"metadata": {"finalizers": ["example.org/a", "example.org/b"]}}),
        ),
        step(
            "the strategy replaced",
            "PATCH",
            STRATEGIC,
            &format!("{web}?dryRun=All"),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        ),
        step(
            "the strategy half replaced",
            "PATCH",
            MERGE,
            &format!("{web}?dryRun=All"),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        ),
        step(
            "a scale without replicas",
            "PUT",
            JSON,
            &format!("{web}/scale?dryRun=All"),
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": "twins"}, "spec": {"replicas": 2}}),
        ),
        step("a scale below nothing", "PATCH", MERGE, &format!("{web}/scale"), json!({"spec": {"replicas": -2}})),
        step(
            "a namespace's spec",
            "PATCH",
            MERGE,
            "/api/v1/namespaces/twins?dryRun=All",
            json!({"spec": {"finalizers": []}, "metadata": {"labels": {"a": "b"}}}),
        ),
        step("a type of Secret that changes", "PATCH", MERGE, "/api/v1NS/secrets/s", json!({"type": "other"})),
        step("data that is no base64", "PATCH", MERGE, "/api/v1NS/secrets/s", json!({"data": {"x": "%"}})),
        step("a sealed map", "PATCH", MERGE, &format!("{maps}/c"), json!({"immutable": true})),
        step("a seal broken", "PATCH", MERGE, &format!("{maps}/c"), json!({"data": {"a": "z"}})),
        step(
            "a role of a binding",
            "PATCH",
            MERGE,
            "/apis/rbac.authorization.k8s.io/v1NS/rolebindings/r",
            json!({"roleRef": {"name": "other"}}),
        ),
        step(
            "a revision's data",
            "PATCH",
            MERGE,
            "/apis/apps/v1NS/controllerrevisions/r",
            json!({"data": {"config": "y"}}),
        ),
        step(
            "a revision's number",
            "PATCH",
            MERGE,
            "/apis/apps/v1NS/controllerrevisions/r?fieldManager=hand",
            json!({"revision": 4}),
        ),
        step(
            "a quantity that is none",
            "PATCH",
            MERGE,
            "/api/v1NS/resourcequotas/q",
            json!({"spec": {"hard": {"pods": "many"}}}),
        ),
        step(
            "two budgets in one",
            "PATCH",
            MERGE,
            "/apis/policy/v1NS/poddisruptionbudgets/web",
            json!({"spec": {"minAvailable": 1}}),
        ),
        step(
            "everything selected but nothing there",
            "DELETE",
            JSON,
            &format!("{maps}?labelSelector=no%3Dthing"),
            Value::Null,
        ),
    ]
}
