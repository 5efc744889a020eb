//! Plays the gateway: it accepts every HTTPRoute it sees, as a gateway's controller would.

use futures::TryStreamExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

/// Runs until it is aborted. Several at once do no harm: they say the same.
pub(super) async fn accept_all(client: kube::Client) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"));
    let routes: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut touched = std::pin::pin!(watcher(routes, watcher::Config::default()).default_backoff().touched_objects());
    loop {
        // An error is a watch that begins again.
        if let Ok(Some(route)) = touched.try_next().await {
            accept(&client, &resource, &route).await;
        }
    }
}

async fn accept(client: &kube::Client, resource: &ApiResource, route: &DynamicObject) {
    let (Some(name), Some(namespace)) = (&route.metadata.name, &route.metadata.namespace) else { return };
    let generation = route.metadata.generation;
    if route.data.pointer("/status/parents/0/conditions/0/observedGeneration").and_then(|n| n.as_i64()) == generation {
        return;
    }
    let condition = json!({
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": generation,
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    });
    let parent = json!({
        "parentRef": route.data.pointer("/spec/parentRefs/0").cloned().unwrap_or_default(),
        "controllerName": "example.org/gateway", "conditions": [condition],
    });
    let status = json!({"status": {"parents": [parent]}});
    let routes: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    // A route that has gone meanwhile needs no status; one that has changed comes again.
    drop(routes.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await);
}
