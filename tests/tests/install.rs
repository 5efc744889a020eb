//! What operators apply, applied by them: with kubectl, and again. It has a cluster to itself: what all platforms share
//! is changed here by another hand, and who idles elsewhere would have to look.

use anyhow::{Context as _, ensure};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use planner::Admission;
use planner::install::{Process, install};
use planner::readiness;
use renderer::{Object, to_yaml};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tests::control_plane::Request;
use tests::platform::{Platform, Route};
use tests::registry::Image;

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

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_apply_makes_everything_once_and_is_enough() -> anyhow::Result<()> {
    let platform = Platform::not_installed("install", Route::Ingress).await?;
    let registry = platform.registry()?;
    let digest = registry.push("library/web", "1", &Image::default()).await?;
    let image = format!("{}/library/web@{digest}", registry.address());
    let process = Process { image: &image, config: platform.config().url(), platform: None };
    let settings = platform.settings()?;
    let objects = install(&settings, &Admission::shipped(&settings, &[]), &process);
    let of_kind = |kind: &str| objects.iter().filter(|object| object.id.kind == kind).count();
    let (policies, bindings) = (of_kind("ValidatingAdmissionPolicy"), of_kind("ValidatingAdmissionPolicyBinding"));
    ensure!(policies >= 8 && bindings == policies, "{policies} policies, {bindings} bindings");
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
        // Of a policy the server writes down what it finds in its expressions.
        let by = if id.starts_with("validatingadmissionpolicy/") { "generation" } else { "resourceVersion" };
        let version = |object: &Value| object["metadata"][by].clone();
        ensure!(!version(&before).is_null() && version(&before) == version(after), "{id} was changed: {after}");
    }

    let mark = platform.plane().mark()?;
    platform.run().await?;
    let tool = platform.tool("web")?;
    let run = "{command: web, port: 8000, publish: /}";
    tool.commit(&format!("components: {{web: {{image: \"{image}\", run: {run}}}}}\n"))?;
    tool.ready().await?;
    platform.quiet().await?;
    platform.stop().await?;
    // It becomes an owner of each rule, by one apply that changes nothing; from then on it finds them as they should be.
    let rules = |writes: Vec<Request>| {
        let is_rule = |write: &Request| write.resource.starts_with("validatingadmission");
        writes.into_iter().filter(is_rule).map(|write| (write.resource, write.name)).collect::<Vec<_>>()
    };
    let written = rules(platform.writes_since(mark)?);
    let once: BTreeSet<_> = written.iter().collect();
    ensure!(once.len() == written.len(), "more than once: {written:#?}");
    for (id, after) in live(platform.client(), &objects).await? {
        let is_rule = id.starts_with("validatingadmission");
        ensure!(!is_rule || after["metadata"]["generation"] == 1, "{id} was changed: {after}");
    }
    let restart = platform.plane().mark()?;
    platform.run().await?;
    platform.quiet().await?;
    platform.stop().await?;
    let written = rules(platform.writes_since(restart)?);
    ensure!(written.is_empty(), "they were as they should be: {written:#?}");

    // With a new version, where the process has become an owner meanwhile.
    platform.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", path]).await?;
    platform.refused_nothing_since(mark)
}
