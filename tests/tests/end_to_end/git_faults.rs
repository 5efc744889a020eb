//! While git is away, what is there stays, and stays as it is.

use anyhow::ensure;
use tests::git_server::Fault;
use tests::platform::{CONFIG, Platform};

use crate::{prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn while_git_fails_healthy_tools_are_healed_and_nothing_is_pruned() -> anyhow::Result<()> {
    let platform = Platform::start("git-faults").await?;
    let config = web(&prebuilt(&platform, "web").await?);
    let (near, far) = (platform.tool("near")?, platform.tool("far")?);
    for tool in [&near, &far] {
        tool.commit(&config)?;
        tool.ready().await?;
    }
    for fault in [Fault::Status(500), Fault::Garbage, Fault::Close, Fault::Hang] {
        platform.git().set_fault(CONFIG, Some(fault.clone()));
        platform.git().set_fault(far.name(), Some(fault.clone()));
        for tool in [&near, &far] {
            tool.kubectl(&["scale", "deployment/web", "--replicas=3"]).await?;
            tool.until("Deployment", "web", &format!("is healed during {fault:?}"), |web| web["spec"]["replicas"] == 1)
                .await?;
        }
        for kind in ["Service", "Ingress"] {
            far.must_have(kind, "web").await?;
        }
    }
    for repository in [CONFIG, far.name()] {
        platform.git().set_fault(repository, None);
    }
    // Everything goes on by itself.
    far.commit(&config.replace("publish: /", "publish: /, replicas: 2"))?;
    far.ready().await?;
    ensure!(far.object("Deployment", "web").await?["spec"]["replicas"] == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_fails_is_named_by_a_condition_and_its_tool_is_healed_after_a_restart() -> anyhow::Result<()>
{
    let platform = Platform::start("git-away").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    platform.git().set_fault(tool.name(), Some(Fault::Status(500)));
    tool.reason("Ready", "SourceUnavailable").await?;

    platform.stop().await?;
    platform.delete_cache()?;
    platform.run().await?;
    tool.kubectl(&["delete", "service/web"]).await?;
    tool.until("Service", "web", "is there again", |_| true).await?;
    platform.git().set_fault(tool.name(), None);
    tool.ready().await
}
