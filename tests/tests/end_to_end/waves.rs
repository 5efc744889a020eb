//! A change of the platform that breaks tools stops at the first few; one that doesn't reaches everybody.

use anyhow::ensure;
use serde_json::json;
use tests::platform::{Platform, Tool};
use tests::registry::Image;

use crate::images::{BUILT, build_id};
use crate::{image_of, prebuilt, web};

/// How many tools' pods have the platform's variable.
async fn changed(tools: &[Tool<'_>], variable: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for tool in tools {
        let deployment = tool.object("Deployment", "web").await?;
        count += usize::from(deployment["spec"]["template"].to_string().contains(variable));
    }
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_change_that_breaks_tools_stops_at_three_and_the_correction_reaches_all() -> anyhow::Result<()> {
    let platform = Platform::start("waves").await?;
    let image = prebuilt(&platform, "web").await?;
    let tools: Vec<_> =
        ["a", "b", "c", "d", "e", "f"].into_iter().map(|name| platform.tool(name)).collect::<Result<_, _>>()?;
    for tool in &tools {
        tool.commit(&web(&image))?;
    }
    for tool in &tools {
        tool.ready().await?;
    }

    platform.commit_setting("env: {HINT: \"fate=crash-loop\"}")?;
    platform.until("the wave has stopped", async || Ok(platform.log().has("it goes no further").then_some(()))).await?;
    platform.polled_times(2).await?;
    platform.quiet().await?;
    ensure!(changed(&tools, "fate=crash-loop").await? == 3, "{}", changed(&tools, "fate=crash-loop").await?);
    let waiting = tools.last().ok_or_else(|| anyhow::anyhow!("six tools"))?;
    waiting.reason("Ready", "AwaitingWave").await?;

    platform.commit_setting("env: {HINT: harmless}")?;
    for tool in &tools {
        tool.until("Deployment", "web", "has the correction", |web| web.to_string().contains("harmless")).await?;
        tool.ready().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_image_on_which_tools_crash_goes_no_further_than_three_and_those_go_back() -> anyhow::Result<()> {
    let platform = Platform::prepare("rebases", tests::platform::Route::Ingress).await?;
    let registry = platform.registry()?;
    // The same in each place: its digest is what pods on it crash by.
    let newer = Image { layers: &["newer", "app"], ..Default::default() };
    let digest = registry.push("library/newer", "1", &newer).await?;
    let digits = digest.trim_start_matches("sha256:");
    platform.commit_setting(&format!("env: {{HINT: \"fate-on-{digits}=crash-loop\"}}"))?;
    platform.run().await?;
    let tools: Vec<_> =
        ["a", "b", "c", "d", "e", "f"].into_iter().map(|name| platform.tool(name)).collect::<Result<_, _>>()?;
    for tool in &tools {
        tool.commit(BUILT)?;
        let (id, path) = (build_id(&platform, tool)?, format!("{}/web", tool.namespace()));
        registry.push(&path, &id, &Image { layers: &["app"], ..Default::default() }).await?;
        registry.push(&path, &format!("{id}-r0123456789ab"), &newer).await?;
    }
    for tool in &tools {
        tool.ready().await?;
    }

    for tool in &tools {
        let id = build_id(&platform, tool)?;
        let source = format!("{}/{}/web:{id}-r0123456789ab", registry.address(), tool.namespace());
        let images = json!({(id.as_str()): {"source": source, "digest": digest}});
        let patch = json!({"spec": {"pin": {"images": images}}}).to_string();
        platform.kubectl(&["patch", "tool", tool.name(), "--type=merge", "--patch", &patch]).await?;
    }
    platform.until("the wave has stopped", async || Ok(platform.log().has("it goes no further").then_some(()))).await?;
    platform.polled_times(2).await?;
    let mut tried = 0;
    for tool in &tools {
        let back = |web: &serde_json::Value| !image_of(web).to_string().contains(digits);
        tool.until("Deployment", "web", "runs the image before", back).await?;
        let tool = tool.custom_resource().await?.unwrap_or_default();
        let states = tool["status"]["deployments"].as_array().into_iter().flatten().map(|one| &one["state"]);
        tried += states.filter(|state| **state == json!("failed")).count();
    }
    ensure!(tried == 3, "{tried}");
    Ok(())
}
