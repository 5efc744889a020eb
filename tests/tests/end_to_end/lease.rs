//! One writer.

use anyhow::ensure;
use reconciler::lease::{self, Claim};
use tests::platform::Platform;

use crate::{prebuilt, web};

/// Another process of the same platform. It is played by its claim alone: what it would do with the lease is the same.
fn rival(platform: &Platform) -> Claim {
    Claim {
        namespace: platform.namespace(),
        name: lease::name(platform.name()),
        identity: "rival".to_owned(),
        term: lease::TERM,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_reconciler_waits_for_the_lease() -> anyhow::Result<()> {
    let platform = Platform::start("lease").await?;
    let config = web(&prebuilt(&platform, "web").await?);
    let tool = platform.tool("web")?;
    tool.commit(&config)?;
    tool.ready().await?;

    // The rival waits while ours lives, is told for whom, and comes in at once when ours ends.
    let (client, claim) = (platform.client().clone(), rival(&platform));
    let (told, mut waits_for) = tokio::sync::mpsc::unbounded_channel();
    let waiting =
        tokio::spawn(async move { lease::acquire(&client, claim, &|whom| drop(told.send(whom.to_owned()))).await });
    let whom = waits_for.recv().await;
    ensure!(whom.as_deref() == Some(lease::identity().as_str()), "it waits for {whom:?}");
    ensure!(!waiting.is_finished());
    platform.stop().await?;
    let held = waiting.await?;

    // Now ours is the second: it says for whom it waits, and writes nothing, whatever there is to do.
    tool.commit(&config.replace("publish: /", "publish: /, replicas: 2"))?;
    tool.kubectl(&["delete", "service/web"]).await?;
    let mark = platform.plane().mark()?;
    platform.run().await?;
    let says_so = async || Ok(platform.log().has("waiting for the lease: rival").then_some(()));
    platform.until("it says for whom it waits", says_so).await?;
    let writes = platform.writes_since(mark)?;
    ensure!(writes.is_empty(), "{writes:#?}");

    held.release().await?;
    tool.ready().await?;
    ensure!(tool.object("Deployment", "web").await?["spec"]["replicas"] == 2);
    tool.must_have("Service", "web").await
}
