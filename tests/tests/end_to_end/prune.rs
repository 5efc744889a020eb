//! What goes, and what only looks as if it should go.

use anyhow::ensure;
use tests::platform::{Platform, Tool};

use crate::{component, prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_component_is_pruned_and_the_others_stay() -> anyhow::Result<()> {
    let platform = Platform::start("prune").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("two")?;
    let worker = component("worker", &image, "command: work");
    tool.commit(&format!("{}{worker}", web(&image)))?;
    tool.ready().await?;
    let kept = tool.object("Deployment", "worker").await?["metadata"]["uid"].clone();
    // Somebody else's object in that namespace is nobody's to prune, whatever label it carries.
    tool.kubectl(&["create", "configmap", "foreign"]).await?;
    tool.kubectl(&["label", "configmap/foreign", &format!("toolforge.org/tool={}", tool.name())]).await?;

    tool.commit(&format!("components:\n{worker}"))?;
    tool.ready().await?;
    for kind in ["Deployment", "Service", "Ingress", "NetworkPolicy"] {
        tool.until_gone(kind, "web").await?;
    }
    tool.must_have("ConfigMap", "foreign").await?;
    ensure!(tool.object("Deployment", "worker").await?["metadata"]["uid"] == kept);
    Ok(())
}

/// What may happen to a tool's source without anybody wanting its objects gone.
async fn nothing_is_pruned(
    platform: &str,
    reason: &str,
    accident: impl AsyncFnOnce(&Platform, &Tool<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let platform = Platform::start(platform).await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    let before = uids(&tool).await?;
    ensure!(before.len() == 4, "{before:?}");

    accident(&platform, &tool).await?;
    tool.reason("Ready", reason).await?;
    platform.quiet().await?;
    // What is said when everything is: a removal says first that it was noticed, then until when it waits.
    let ready = tool.reason("Ready", reason).await?;
    ensure!(ready.status == "False", "{ready:?}");
    ensure!(uids(&tool).await? == before, "something was pruned");
    // Also by a process that never saw it otherwise.
    platform.stop().await?;
    platform.delete_cache()?;
    platform.run().await?;
    platform.polled_times(4).await?;
    ensure!(uids(&tool).await? == before, "something was pruned after a restart");
    // The condition tells what, to those who see only the cluster.
    ensure!(tool.reason("Ready", reason).await? == ready, "another process says something else");
    Ok(())
}

async fn uids(tool: &Tool<'_>) -> anyhow::Result<Vec<String>> {
    let mut uids = Vec::new();
    for kind in ["Deployment", "Service", "Ingress", "NetworkPolicy"] {
        let web = tool.find(kind, "web").await?;
        uids.extend(web.map(|object| object["metadata"]["uid"].to_string()));
    }
    Ok(uids)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_branch_prunes_nothing_and_a_condition_names_it() -> anyhow::Result<()> {
    nothing_is_pruned("no-branch", "SourceUnavailable", async |_, tool| {
        // The host answers, and has other branches.
        tool.repository().commit_to("other", &[("toolforge.yaml", "components: {}\n")])?;
        tool.repository().delete_branch("main")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_toolforge_yaml_prunes_nothing_and_a_condition_names_it() -> anyhow::Result<()> {
    nothing_is_pruned("no-file", "Invalid", async |_, tool| {
        // Nor is anything else taken for a description of the tool.
        tool.commit_file("Procfile", "web: other\n")?;
        tool.delete_file("toolforge.yaml").map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_of_components_prunes_nothing_and_a_condition_names_it() -> anyhow::Result<()> {
    nothing_is_pruned("no-component", "Invalid", async |_, tool| tool.commit("components: {}\n").map(drop)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tool_file_prunes_nothing_and_a_condition_names_it() -> anyhow::Result<()> {
    nothing_is_pruned("no-tool", "PruneGuard", async |platform, tool| platform.delete_tool_file(tool)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_tool_file_prunes_nothing_and_a_condition_names_it() -> anyhow::Result<()> {
    nothing_is_pruned("bad-tool", "SourceUnavailable", async |platform, tool| {
        platform.commit_tool_file(tool.name(), "  repositry: http://git.example/x\n")
    })
    .await
}
