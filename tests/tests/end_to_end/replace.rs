//! A field that can't be changed, on the API server that says so.

use anyhow::{Context as _, ensure};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;
use tests::platform::{Platform, Tool, kind_of};

use crate::{prebuilt, web};

/// The Deployment as if an older version of ours had made it, selecting its pods otherwise.
async fn made_otherwise(platform: &Platform, tool: &Tool<'_>) -> anyhow::Result<String> {
    let live = tool.object("Deployment", "web").await?;
    tool.kubectl(&["delete", "deployment/web"]).await?;
    let mut template = live["spec"]["template"].clone();
    template["metadata"]["labels"]["app"] = json!("web");
    let older = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": live["metadata"]["labels"]},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    });
    let deployments: Api<DynamicObject> = platform.api(kind_of("Deployment")?, Some(&tool.namespace()));
    let made = deployments.patch("web", &PatchParams::apply("toolforge").force(), &Patch::Apply(older)).await?;
    made.metadata.uid.context("a uid")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_is_replaced_when_a_person_allows_it() -> anyhow::Result<()> {
    let platform = Platform::start("replace").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    platform.quiet().await?;
    platform.stop().await?;
    let older = made_otherwise(&platform, &tool).await?;
    platform.run().await?;

    let condition = tool.reason("Ready", "PruneGuard").await?;
    ensure!(condition.message.contains("its pods stop before new ones start"), "{condition:?}");
    platform.quiet().await?;
    let live = tool.object("Deployment", "web").await?;
    ensure!(live["metadata"]["uid"] == older.as_str(), "it was deleted without a word: {live:#}");

    let (_, rest) = condition.message.split_once("--allow ").context("the command")?;
    let id = rest.split('`').next().unwrap_or_default();
    let pin = json!({"spec": {"pin": {"allowPrune": id}}}).to_string();
    platform.kubectl(&["patch", "tool", tool.name(), "--type=merge", "--patch", &pin]).await?;
    tool.until("Deployment", "web", "is another one", |live| live["metadata"]["uid"] != older.as_str()).await?;
    tool.ready().await?;
    platform.quiet().await
}
