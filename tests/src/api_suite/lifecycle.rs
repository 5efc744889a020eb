//! Deletion: finalizers, owners, namespaces.

use super::{Place, eventually, gone, map, refused, resource, until};
use anyhow::{Context as _, ensure};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};
use serde_json::{Value, json};

fn owned(name: &str, owner: &DynamicObject) -> Value {
    let mut object = map(name, json!({}));
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    object
}

/// And only then it goes.
pub async fn a_finalizer_holds_an_object_until_it_is_gone(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let mut object = map("a", json!({}));
    object["metadata"]["finalizers"] = json!(["example.org/hold"]);
    place.create(object).await?;
    let maps = place.maps();
    let deleted = maps.delete("a", &DeleteParams::default()).await?;
    ensure!(deleted.left().is_some_and(|object| object.metadata.deletion_timestamp.is_some()));
    ensure!(maps.get("a").await?.metadata.deletion_timestamp.is_some());
    let more = json!({"metadata": {"finalizers": ["example.org/hold", "example.org/more"]}});
    refused(maps.patch("a", &PatchParams::default(), &Patch::Merge(&more)).await, 422, "Invalid")?;
    let none = json!({"metadata": {"finalizers": null}});
    maps.patch("a", &PatchParams::default(), &Patch::Merge(&none)).await?;
    gone(&maps, "a").await
}

/// The object of that name is another one.
pub async fn a_deletion_with_another_uid_is_a_conflict(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let made = place.create(map("a", json!({}))).await?;
    let with = |uid: &str| {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        DeleteParams { preconditions: Some(preconditions), ..Default::default() }
    };
    refused(place.maps().delete("a", &with("00000000-0000-4000-8000-000000000000")).await, 409, "Conflict")?;
    let uid = made.metadata.uid.context("a uid")?;
    place.maps().delete("a", &with(&uid)).await?;
    gone(&place.maps(), "a").await
}

/// In the background.
pub async fn what_an_owner_leaves_behind_is_collected(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let owner = place.create(map("owner", json!({}))).await?;
    place.create(owned("child", &owner)).await?;
    place.create(map("other", json!({}))).await?;
    place.maps().delete("owner", &DeleteParams::background()).await?;
    gone(&place.maps(), "child").await?;
    ensure!(place.maps().get_opt("other").await?.is_some());
    Ok(())
}

/// Children first.
pub async fn an_owner_waits_in_the_foreground_for_what_it_owns(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let owner = place.create(map("owner", json!({}))).await?;
    let mut child = owned("child", &owner);
    child["metadata"]["finalizers"] = json!(["example.org/hold"]);
    place.create(child).await?;
    let maps = place.maps();
    maps.delete("owner", &DeleteParams::foreground()).await?;
    until(&maps, "child", |child| child.metadata.deletion_timestamp.is_some()).await?;
    let waiting = maps.get("owner").await?;
    ensure!(waiting.metadata.finalizers.is_some_and(|all| all.contains(&"foregroundDeletion".to_owned())));
    let none = json!({"metadata": {"finalizers": null}});
    maps.patch("child", &PatchParams::default(), &Patch::Merge(&none)).await?;
    gone(&maps, "owner").await?;
    gone(&maps, "child").await
}

/// They lose the reference.
pub async fn orphans_live_on_without_their_owner(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let owner = place.create(map("owner", json!({}))).await?;
    place.create(owned("child", &owner)).await?;
    let maps = place.maps();
    // The collector of a real cluster must have seen the child, or it would find nothing to set free.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..Default::default() };
    maps.delete("owner", &orphan).await?;
    gone(&maps, "owner").await?;
    until(&maps, "child", |child| child.metadata.owner_references.clone().unwrap_or_default().is_empty()).await?;
    Ok(())
}

/// And nothing else is.
pub async fn a_collection_is_deleted_by_label(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    for (name, label) in [("a", "go"), ("b", "go"), ("c", "stay")] {
        let mut object = map(name, json!({}));
        object["metadata"]["labels"] = json!({"will": label});
        place.create(object).await?;
    }
    let maps = place.maps();
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("will=go")).await?;
    gone(&maps, "a").await?;
    gone(&maps, "b").await?;
    ensure!(maps.get_opt("c").await?.is_some());
    Ok(())
}

/// Nothing new is let in meanwhile.
pub async fn a_namespace_takes_its_content_with_it(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client.clone()).await?;
    let namespaces: Api<DynamicObject> = Api::all_with(client, &resource("v1", "Namespace"));
    let live = namespaces.get(&place.namespace).await?;
    ensure!(live.data["status"]["phase"] == "Active" && live.data["spec"]["finalizers"] == json!(["kubernetes"]));
    let labels = live.metadata.labels.unwrap_or_default();
    ensure!(labels.get("kubernetes.io/metadata.name") == Some(&place.namespace));
    let mut held = map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    place.create(held).await?;
    place.create(map("a", json!({}))).await?;
    namespaces.delete(&place.namespace, &DeleteParams::default()).await?;
    let going = until(&namespaces, &place.namespace, |one| one.metadata.deletion_timestamp.is_some()).await?;
    ensure!(going.data["status"]["phase"] == "Terminating");
    let late = place.apply("one", &map("late", json!({}))).await;
    let status = refused(late, 403, "Forbidden")?;
    ensure!(status.message.contains("because it is being terminated"), "{}", status.message);
    gone(&place.maps(), "a").await?;
    let none = json!({"metadata": {"finalizers": null}});
    place.maps().patch("held", &PatchParams::default(), &Patch::Merge(&none)).await?;
    eventually(|| async { Ok(namespaces.get_opt(&place.namespace).await?.is_none().then_some(())) }).await
}
