//! A change of the platform that breaks tools stops at the first few; one that doesn't reaches everybody.

use anyhow::ensure;
use tests::platform::{Platform, Tool};

use crate::{prebuilt, web};

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
