//! No drift, no write; no change, no read.

use std::collections::BTreeSet;

use anyhow::ensure;
use tests::control_plane::Request;
use tests::platform::Platform;

use crate::{prebuilt, web};

/// What is asked within some polls, but for the lease.
async fn asked_in(platform: &Platform, polls: usize) -> anyhow::Result<Vec<Request>> {
    let mark = platform.plane().mark()?;
    platform.polled_times(polls).await?;
    let mut requests = platform.requests_since(mark)?;
    requests.retain(|request| request.resource != "leases");
    Ok(requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_reconciler_asks_the_cluster_nothing_but_its_lease() -> anyhow::Result<()> {
    let platform = Platform::start("idle").await?;
    let image = prebuilt(&platform, "web").await?;
    let tools = [platform.tool("a")?, platform.tool("b")?];
    for tool in &tools {
        tool.commit(&web(&image))?;
        tool.ready().await?;
    }
    platform.quiet().await?;
    // The rules of every platform of the cluster wake a look at one's own, and other tests begin platforms meanwhile.
    let calm = async || {
        let asked = platform.registry()?.requests()?.len();
        Ok(asked_in(&platform, 10).await?.is_empty().then_some(asked))
    };
    let asked = platform.until("nothing is asked in ten polls", calm).await?;
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
