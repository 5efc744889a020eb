//! Images: by tag in the file, by digest in the pod.

use anyhow::{Context as _, ensure};
use renderer::config::Build;
use renderer::{BuildInputs, TreeId};
use serde_json::json;
use tests::platform::{Platform, Tool};
use tests::registry::Image;

use crate::{image_of, prebuilt};

pub const BUILT: &str = "components:\n  web:\n    build: {ref: main}\n    run: {command: web}\n";

/// The tag under which a tool's own image of its present commit is looked for.
pub fn build_id(platform: &Platform, tool: &Tool<'_>) -> anyhow::Result<String> {
    let tree = TreeId::new(tool.repository().resolve("main^{tree}")?)?;
    let settings = platform.settings()?;
    let inputs = BuildInputs::new(tree, &Build::default(), &settings.builder);
    Ok(inputs.ok().context("no buildpack is named")?.id().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_without_an_image_is_held_and_deployed_by_digest_once_it_is_pushed() -> anyhow::Result<()> {
    let platform = Platform::start("built").await?;
    let registry = platform.registry()?;
    let tool = platform.tool("web")?;
    tool.commit(BUILT)?;
    let built = tool.reason("Built", "AwaitingBuild").await?;
    let id = build_id(&platform, &tool)?;
    ensure!(built.message.contains(&id[..6]), "{built:?} does not name {id}");
    // The tool's own place is there already; its component is not.
    tool.until("ServiceAccount", tool.name(), "is there", |_| true).await?;
    platform.quiet().await?;
    ensure!(tool.find("Deployment", "web").await?.is_none());

    let path = format!("{}/web", tool.namespace());
    let digest = registry.push(&path, &id, &Image { layers: &["app"], ..Default::default() }).await?;
    tool.ready().await?;
    let pinned = json!(format!("{}/{path}@{digest}", registry.address()));
    ensure!(*image_of(&tool.object("Deployment", "web").await?) == pinned);

    // A tag that points elsewhere afterwards is no reason to change what runs, not for the next process either.
    registry.push(&path, &id, &Image { layers: &["other"], ..Default::default() }).await?;
    platform.stop().await?;
    platform.delete_cache()?;
    platform.run().await?;
    platform.polled_times(4).await?;
    ensure!(*image_of(&tool.object("Deployment", "web").await?) == pinned);

    // The next commit awaits its own build, and meanwhile the last one goes on, healed.
    tool.commit_file("app.py", "print(2)\n")?;
    tool.reason("Built", "AwaitingBuild").await?;
    tool.kubectl(&[
        "set",
        "image",
        "deployment/web",
        "web=registry.example/other@sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
    ])
    .await?;
    tool.until("Deployment", "web", "runs the last good image", |web| *image_of(web) == pinned).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_under_another_tools_path_does_not_count() -> anyhow::Result<()> {
    let platform = Platform::start("other-path").await?;
    let tool = platform.tool("web")?;
    tool.commit(BUILT)?;
    let id = build_id(&platform, &tool)?;
    platform.registry()?.push("tool-stranger/web", &id, &Image { layers: &["app"], ..Default::default() }).await?;
    tool.reason("Built", "AwaitingBuild").await?;
    platform.polled_times(3).await?;
    ensure!(tool.find("Deployment", "web").await?.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_image_of_the_same_build_is_deployed_and_stored_and_runs_on_without_the_choice() -> anyhow::Result<()>
{
    let platform = Platform::start("rebased").await?;
    let tool = platform.tool("web")?;
    tool.commit(BUILT)?;
    let (id, path, registry) = (build_id(&platform, &tool)?, format!("{}/web", tool.namespace()), platform.registry()?);
    registry.push(&path, &id, &Image { layers: &["app"], ..Default::default() }).await?;
    tool.ready().await?;
    let tag = format!("{id}-r0123456789ab");
    let digest = registry.push(&path, &tag, &Image { layers: &["newer", "app"], ..Default::default() }).await?;
    let repository = format!("{}/{path}", registry.address());
    let pin = async |images: serde_json::Value| {
        let patch = json!({"spec": {"pin": {"images": images}}}).to_string();
        platform.kubectl(&["patch", "tool", tool.name(), "--type=merge", "--patch", &patch]).await
    };
    pin(json!({(id.as_str()): {"source": format!("{repository}:{tag}"), "digest": digest}})).await?;
    let runs = |web: &serde_json::Value| *image_of(web) == json!(format!("{repository}@{digest}"));
    tool.until("Deployment", "web", "runs it", runs).await?;
    let record = format!("{}-2", tool.name());
    let stored = async || platform.object("ControllerRevision", Some(&platform.namespace()), &record).await;
    platform.until("it is stored", stored).await?;
    pin(json!(null)).await?;
    platform.polled_times(3).await?;
    platform.quiet().await?;
    ensure!(runs(&tool.object("Deployment", "web").await?));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prebuilt_image_that_is_missing_is_held_and_named() -> anyhow::Result<()> {
    let platform = Platform::start("prebuilt").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    let config = |image: &str| format!("components:\n  web:\n    image: {image}\n    run: {{command: web}}\n");
    tool.commit(&config(&image.by_tag.replace("library/", "nowhere/")))?;
    let built = tool.reason("Built", "AwaitingBuild").await?;
    ensure!(built.message.contains("nowhere/prebuilt"), "{built:?}");
    tool.commit(&config(&image.by_tag))?;
    tool.ready().await?;
    ensure!(*image_of(&tool.object("Deployment", "web").await?) == json!(image.by_digest));
    Ok(())
}
