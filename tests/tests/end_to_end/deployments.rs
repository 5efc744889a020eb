//! Deployments that succeed or go back, pins, and tools on their way out.

use anyhow::ensure;
use serde_json::{Value, json};
use tests::platform::{Platform, Tool};

use crate::{Prebuilt, component, prebuilt};

fn web(image: &Prebuilt, command: &str) -> String {
    format!("components:\n{}", component("web", image, &format!("command: {command}, port: 8000, publish: /")))
}

fn command_of(deployment: &Value) -> String {
    deployment["spec"]["template"]["spec"]["containers"][0].to_string()
}

async fn runs(tool: &Tool<'_>, command: &str) -> anyhow::Result<Value> {
    tool.until("Deployment", "web", &format!("runs {command}"), |web| command_of(web).contains(command)).await
}

/// How the last deployments ended, newest first.
async fn history(tool: &Tool<'_>) -> anyhow::Result<Vec<String>> {
    let live = tool.custom_resource().await?.unwrap_or_default();
    let all = live["status"]["deployments"].as_array().cloned().unwrap_or_default();
    Ok(all.iter().map(|entry| entry["state"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn pin(platform: &Platform, tool: &Tool<'_>, pin: Value) -> anyhow::Result<()> {
    let (id, body) = (format!("tool/{}", tool.name()), json!({"spec": {"pin": pin}}).to_string());
    platform.kubectl(&["patch", &id, "--type=merge", "--field-manager=toolforge-cli", "--patch", &body]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_goes_back_with_the_pods_own_words_and_a_correction_is_tried() -> anyhow::Result<()> {
    let platform = Platform::start("goes-back").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image, "good"))?;
    tool.ready().await?;

    tool.commit(&web(&image, "bad fate=crash-loop"))?;
    let ready = tool.reason("Ready", "RolledBack").await?;
    ensure!(ready.message.contains("CrashLoopBackOff"), "{ready:?}");
    runs(&tool, "good").await?;
    ensure!(history(&tool).await? == ["failed", "ready"], "{:?}", history(&tool).await?);

    // Nothing of it is remembered by the process alone.
    platform.kill()?;
    platform.delete_cache()?;
    platform.run().await?;
    platform.polled_times(3).await?;
    platform.quiet().await?;
    ensure!(command_of(&tool.object("Deployment", "web").await?).contains("good"), "the same commit was tried again");
    tool.kubectl(&["scale", "deployment/web", "--replicas=3"]).await?;
    tool.until("Deployment", "web", "is healed", |web| web["spec"]["replicas"] == 1).await?;

    tool.commit(&web(&image, "better"))?;
    tool.ready().await?;
    runs(&tool, "better").await?;
    ensure!(history(&tool).await? == ["ready", "failed", "ready"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_in_time_goes_back() -> anyhow::Result<()> {
    let platform = Platform::prepare("in-time", tests::platform::Route::Ingress).await?;
    platform.commit_setting("progress_deadline: 3s")?;
    platform.run().await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image, "good"))?;
    tool.ready().await?;
    tool.commit(&web(&image, "slow fate=never-ready"))?;
    let ready = tool.reason("Ready", "RolledBack").await?;
    ensure!(ready.message.contains("progress"), "{ready:?}");
    runs(&tool, "good").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_pinned_through_new_commits_and_healed_until_it_is_released() -> anyhow::Result<()> {
    let platform = Platform::start("pinned").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    let first = tool.commit(&web(&image, "first"))?;
    tool.ready().await?;
    tool.commit(&web(&image, "second"))?;
    runs(&tool, "second").await?;
    tool.ready().await?;

    pin(&platform, &tool, json!({"commit": first, "by": "the test"})).await?;
    runs(&tool, "first").await?;
    tool.commit(&web(&image, "third"))?;
    platform.polled_times(3).await?;
    platform.quiet().await?;
    ensure!(command_of(&tool.object("Deployment", "web").await?).contains("first"), "the pin did not hold");
    tool.reason("Ready", "Ready").await?;
    tool.kubectl(&["delete", "deployment/web"]).await?;
    runs(&tool, "first").await?;

    pin(&platform, &tool, Value::Null).await?;
    runs(&tool, "third").await?;
    tool.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_tool_is_stopped_comes_back_whole_and_goes_after_its_grace() -> anyhow::Result<()> {
    let platform = Platform::prepare("removed", tests::platform::Route::Ingress).await?;
    platform.run().await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image, "serve"))?;
    tool.ready().await?;
    let uid = tool.object("Deployment", "web").await?["metadata"]["uid"].clone();

    platform.delete_tool_file(&tool)?;
    tool.until("Deployment", "web", "is stopped", |web| web["spec"]["replicas"] == 0).await?;
    platform.quiet().await?;
    for kind in ["Service", "Ingress"] {
        tool.must_have(kind, "web").await?;
    }
    platform.commit_tool_file(tool.name(), &format!("  repository: {}\n", tool.repository().url()))?;
    let back = tool.until("Deployment", "web", "runs again", |web| web["spec"]["replicas"] == 1).await?;
    ensure!(back["metadata"]["uid"] == uid, "it was made anew");
    tool.ready().await?;

    platform.delete_tool_file(&tool)?;
    tool.until("Deployment", "web", "is stopped", |web| web["spec"]["replicas"] == 0).await?;
    pin(&platform, &tool, json!({"delete": true})).await?;
    for kind in ["Ingress", "Service", "Deployment"] {
        tool.until_gone(kind, "web").await?;
    }
    ensure!(platform.object("Namespace", None, &tool.namespace()).await?.is_some(), "its Namespace is never pruned");
    Ok(())
}
