//! What operators apply, applied by them: with kubectl, and again.

use anyhow::{Context as _, ensure};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use planner::install::{Process, install};
use planner::readiness;
use renderer::{Object, to_yaml};
use serde_json::Value;
use std::collections::BTreeMap;
use tests::platform::{Platform, Route};

use crate::{prebuilt, web};

/// Every object as the server has it, by its id.
async fn live(client: &kube::Client, objects: &[Object]) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for Object { id, value } in objects {
        let version =
            value["apiVersion"].as_str().and_then(|version| version.rsplit('/').next()).context("a version")?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&id.group, version, &id.kind));
        let api: Api<DynamicObject> = match &id.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let object = api.get(&id.name).await.with_context(|| format!("{id} was not made"))?;
        found.insert(id.to_string(), serde_json::to_value(object)?);
    }
    Ok(found)
}

/// All platforms of a cluster share some objects, and other tests apply those meanwhile: of them only the content counts.
fn what_counts(mut object: Value) -> Value {
    let own = object["metadata"]["labels"]["toolforge.org/platform"].is_string();
    if own {
        return object["metadata"]["resourceVersion"].take();
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_apply_makes_everything_once_and_is_enough() -> anyhow::Result<()> {
    let platform = Platform::not_installed("install", Route::Ingress).await?;
    let image = prebuilt(&platform, "web").await?;
    let process = Process { image: &image.by_digest, config: platform.config().url(), platform: None };
    let objects = install(&platform.settings()?, &process);
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), to_yaml(&objects))?;
    let path = file.path().to_str().context("a path")?;
    let apply = async || platform.kubectl(&["apply", "--server-side", "-f", path]).await;
    let own = platform.namespace();
    ensure!(platform.object("Namespace", None, &own).await?.is_none(), "somebody was here before");

    apply().await?;
    let deployed = async || {
        let deployment = platform.object("Deployment", Some(&own), "toolforge").await?;
        Ok(deployment.filter(|live| readiness::of(live).is_ready()))
    };
    platform.until("the platform's own process runs", deployed).await?;
    let made = live(platform.client(), &objects).await?;
    apply().await?;
    let again = live(platform.client(), &objects).await?;
    ensure!(made.len() == objects.len() && objects.len() > 10, "{} of {}", made.len(), objects.len());
    for (id, before) in made {
        let after = again.get(&id).with_context(|| format!("{id} is gone"))?;
        ensure!(what_counts(before.clone()) == what_counts(after.clone()), "{id} was changed: {before} {after}");
    }

    let mark = platform.plane().mark()?;
    platform.run().await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    platform.quiet().await?;
    platform.stop().await?;
    let mut refused = platform.requests_since(mark)?;
    refused.retain(|request| matches!(request.status, 401 | 403));
    ensure!(refused.is_empty(), "{refused:#?}");
    Ok(())
}
