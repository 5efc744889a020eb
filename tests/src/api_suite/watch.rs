//! Watches.

use super::{Place, SOON, map};
use anyhow::{Context as _, bail, ensure};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;

type Events = std::pin::Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send>>;

async fn next(events: &mut Events) -> anyhow::Result<(&'static str, String)> {
    loop {
        let event = tokio::time::timeout(SOON, events.try_next()).await.context("an event in time")??;
        let (kind, object) = match event.context("the watch goes on")? {
            WatchEvent::Added(object) => ("added", object),
            WatchEvent::Modified(object) => ("modified", object),
            WatchEvent::Deleted(object) => ("deleted", object),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => bail!("{status:?}"),
        };
        return Ok((kind, object.metadata.name.unwrap_or_default()));
    }
}

fn named(kind: &'static str, name: &str) -> (&'static str, String) {
    (kind, name.to_owned())
}

/// In order, and nothing from before.
pub async fn a_watch_tells_what_happened_after_a_version(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &map("before", json!({}))).await?;
    let since = place.maps().list(&ListParams::default()).await?.metadata.resource_version.context("a version")?;
    place.apply("one", &map("a", json!({"x": "1"}))).await?;
    let params = WatchParams::default().fields("metadata.name=a");
    let mut events: Events = place.maps().watch(&params, &since).await?.boxed();
    place.apply("one", &map("a", json!({"x": "2"}))).await?;
    place.maps().delete("a", &DeleteParams::default()).await?;
    for wanted in ["added", "modified", "deleted"] {
        let event = next(&mut events).await?;
        ensure!(event == named(wanted, "a"), "{event:?} instead of {wanted}");
    }
    Ok(())
}

/// The selector sees it come and go.
pub async fn a_label_moves_an_object_into_and_out_of_a_watch(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let since = place.maps().list(&ListParams::default()).await?.metadata.resource_version.context("a version")?;
    let mut events: Events = place.maps().watch(&WatchParams::default().labels("seen=yes"), &since).await?.boxed();
    place.apply("one", &map("a", json!({}))).await?;
    for seen in [json!("yes"), json!(null)] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"seen": seen}}}));
        place.maps().patch("a", &PatchParams::default(), &patch).await?;
    }
    let seen = (next(&mut events).await?, next(&mut events).await?);
    ensure!(seen == (named("added", "a"), named("deleted", "a")), "{seen:?}");
    Ok(())
}

/// What is there, then a mark, then what happens.
pub async fn a_streaming_list_ends_with_a_bookmark(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    for name in ["a", "b"] {
        let mut object = map(name, json!({}));
        object["metadata"]["labels"] = json!({"listed": "yes"});
        place.apply("one", &object).await?;
    }
    let params = WatchParams::default().labels("listed=yes").initial_events();
    let mut events: Events = place.maps().watch(&params, "0").await?.boxed();
    let mut names = Vec::new();
    loop {
        let event = tokio::time::timeout(SOON, events.try_next()).await.context("an event in time")??;
        match event.context("the watch goes on")? {
            WatchEvent::Added(object) => names.extend(object.metadata.name),
            WatchEvent::Bookmark(mark) => {
                let end = mark.metadata.annotations.get("k8s.io/initial-events-end");
                ensure!(end.is_some_and(|end| end == "true"));
                ensure!(!mark.metadata.resource_version.is_empty());
                break;
            }
            other => bail!("{other:?}"),
        }
    }
    names.sort();
    ensure!(names == ["a", "b"], "{names:?}");
    place.maps().delete("a", &DeleteParams::default()).await?;
    ensure!(next(&mut events).await? == named("deleted", "a"));
    Ok(())
}
