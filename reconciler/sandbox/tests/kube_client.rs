//! The kube client in-process.
#![expect(clippy::unwrap_used, reason = "tests")]

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use sandbox::Sandbox;
use serde_json::json;

#[tokio::test]
async fn smoke() {
    let sandbox = Sandbox::in_memory();
    let client = kube::Client::new(sandbox.service(), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    let params = PatchParams::apply("toolforge");
    let made = maps.patch("a", &params, &Patch::Apply(&map)).await.unwrap();
    assert_eq!(made.data.unwrap()["x"], "1");
    let again = maps.patch("a", &params, &Patch::Apply(&map)).await.unwrap();
    assert_eq!(made.metadata.resource_version, again.metadata.resource_version);
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let resource = ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&());
    let deployments: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "x"}]}}}});
    let made = deployments.patch("web", &params, &Patch::Apply(&deployment)).await.unwrap();
    println!("{}", serde_json::to_string_pretty(&made).unwrap());
}
