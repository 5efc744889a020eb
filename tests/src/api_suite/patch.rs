//! The three other patches.

use super::{Place, deployment, map, refused, version};
use anyhow::ensure;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

fn operations(operations: Value) -> anyhow::Result<Patch<Value>> {
    Ok(Patch::Json(serde_json::from_value(operations)?))
}

/// The way to write only if nobody else did.
pub async fn a_failed_test_is_unprocessable_and_changes_nothing(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let made = place.apply("one", &map("a", json!({"x": "1", "y": "1"}))).await?;
    let params = PatchParams::default();
    let stale = operations(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "remove", "path": "/data/y"},
    ]))?;
    refused(place.maps().patch("a", &params, &stale).await, 422, "Invalid")?;
    let missing = operations(json!([{"op": "remove", "path": "/data/z"}]))?;
    refused(place.maps().patch("a", &params, &missing).await, 422, "Invalid")?;
    ensure!(version(&place.maps().get("a").await?) == version(&made));
    let fitting = operations(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": version(&made)},
        {"op": "remove", "path": "/data/y"},
    ]))?;
    let patched = place.maps().patch("a", &params, &fitting).await?;
    ensure!(patched.data["data"] == json!({"x": "1"}));
    Ok(())
}

/// RFC 7396.
pub async fn a_merge_patch_removes_by_null(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &map("a", json!({"x": "1", "y": "1"}))).await?;
    let patch = json!({"data": {"x": null, "z": "1"}, "metadata": {"labels": {"a": "b"}}});
    let patched = place.maps().patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await?;
    ensure!(patched.data["data"] == json!({"y": "1", "z": "1"}));
    ensure!(patched.metadata.labels.is_some_and(|labels| labels.get("a").is_some_and(|b| b == "b")));
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"y": "2"}});
    refused(place.maps().patch("a", &PatchParams::default(), &Patch::Merge(&stale)).await, 409, "Conflict")?;
    Ok(())
}

/// What `kubectl edit`, `set image` and plain `patch` send.
pub async fn a_strategic_patch_merges_containers_by_name(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &deployment("web", 1)).await?;
    let containers = json!([{"name": "web", "image": "registry.example/web:2"}, {"name": "side", "image": "side:1"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let params = PatchParams { field_manager: Some("hand".into()), ..Default::default() };
    let patched = place.deployments().patch("web", &params, &Patch::Strategic(&patch)).await?;
    let containers = patched.data["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let images: Vec<&Value> = containers.iter().map(|one| &one["image"]).collect();
    ensure!(
        images == ["registry.example/web:2", "side:1"] || images == ["side:1", "registry.example/web:2"],
        "{images:?}"
    );
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}});
    let patched = place.deployments().patch("web", &params, &Patch::Strategic(&patch)).await?;
    let containers = &patched.data["spec"]["template"]["spec"]["containers"];
    ensure!(containers.as_array().map(Vec::len) == Some(1), "{containers}");
    ensure!(containers[0]["imagePullPolicy"] == "IfNotPresent", "{containers}");
    Ok(())
}

/// Only an apply makes what is missing.
pub async fn a_patch_of_a_missing_object_is_not_found(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let patch = Patch::Merge(json!({"data": {"x": "1"}}));
    refused(place.maps().patch("a", &PatchParams::default(), &patch).await, 404, "NotFound")?;
    let status = Patch::Apply(deployment("web", 1));
    refused(place.deployments().patch_status("web", &PatchParams::apply("one"), &status).await, 404, "NotFound")?;
    Ok(())
}
