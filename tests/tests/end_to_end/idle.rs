//! No drift, no write; no change, no read.

use std::collections::BTreeSet;

use anyhow::ensure;
use tests::platform::Platform;

use crate::{prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_reconciler_asks_the_cluster_nothing_but_its_lease() -> anyhow::Result<()> {
    let platform = Platform::start("idle").await?;
    let image = prebuilt(&platform, "web").await?;
    let tools = [platform.tool("a")?, platform.tool("b")?];
    for tool in &tools {
        tool.commit(&web(&image))?;
        tool.ready().await?;
    }
    platform.idle().await?;
    let (mark, asked) = (platform.plane().mark()?, platform.registry()?.requests()?.len());
    platform.polled_times(10).await?;
    let mut requests = platform.requests_since(mark)?;
    requests.retain(|request| request.resource != "leases");
    ensure!(requests.is_empty(), "{requests:#?}");
    let images: Vec<_> = platform.registry()?.requests()?.split_off(asked);
    ensure!(images.iter().all(|request| !request.path.contains("library/idle")), "{images:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_sends_no_write() -> anyhow::Result<()> {
    let platform = Platform::start("second-run").await?;
    let image = prebuilt(&platform, "web").await?;
    let broken = platform.tool("broken")?;
    broken.commit("components: {web: {run: {comand: web}}}\n")?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    broken.reason("Ready", "Invalid").await?;
    platform.quiet().await?;
    platform.stop().await?;

    let mark = platform.plane().mark()?;
    platform.run().await?;
    platform.polled_times(5).await?;
    let writes = platform.writes_since(mark)?;
    ensure!(writes.is_empty(), "{writes:#?}");
    let watched: BTreeSet<_> =
        platform.requests_since(mark)?.into_iter().filter(|r| r.verb == "watch").map(|r| r.resource).collect();
    ensure!(watched.contains("deployments") && watched.contains("tools"), "it did not look: {watched:?}");
    Ok(())
}
