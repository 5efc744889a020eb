//! What the config repository says after the start.

use crate::stage::{Stage, runs, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_missing_is_told_with_the_nearest_and_asked_for_once() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let repository = stage.git.repository("web")?;
    repository.commit_to("master", &[("toolforge.yaml", &web("one"))])?;
    repository.commit_to("mains", &[("toolforge.yaml", &web("one"))])?;
    stage.tool("web", repository.url(), "  branch: man\n")?;
    stage.run()?;
    stage.until_ready_says("web", "SourceUnavailable", "Did you mean \"mains\"?").await?;
    repository.commit_to("man", &[("toolforge.yaml", &web("two"))])?;
    stage.until_object("Deployment", "web", "web", |web| runs(web, "two")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_follows_another_branch_is_never_told_that_it_is_missing() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let repository = stage.git.repository("web")?;
    repository.commit(&[("toolforge.yaml", &web("one"))])?;
    repository.commit_to("beta", &[("toolforge.yaml", &web("two"))])?;
    stage.tool("web", repository.url(), "")?;
    stage.run()?;
    stage.until_object("Deployment", "web", "web", |web| runs(web, "one")).await?;
    stage.tool("web", repository.url(), "  branch: beta\n")?;
    stage.until_object("Deployment", "web", "web", |web| runs(web, "two")).await?;
    Ok(())
}
