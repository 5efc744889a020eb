//! What the config repository says after the start.

use crate::stage::{Stage, runs, web};
use anyhow::ensure;
use tests::git_server::Entry;

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
async fn a_tool_that_follows_another_branch_gets_what_stands_there() -> anyhow::Result<()> {
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

/// A file whose build names a branch: ours, if a sibling follows it.
fn built_from(branch: &str) -> String {
    web("one").replace(
        "components:",
        &format!("components:\n  job:\n    build: {{ref: {branch}}}\n    run: {{command: job, schedule: \"@daily\"}}"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn siblings_are_woken_when_the_other_tool_follows_another_branch() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let repository = stage.git.repository("web")?;
    let commit = repository.commit(&[("toolforge.yaml", &built_from("beta"))])?;
    repository.set_branch("alpha", &commit)?;
    stage.tool("web", repository.url(), "  promotion: {from: web-beta}\n")?;
    stage.tool("web-beta", repository.url(), "  branch: alpha\n")?;
    stage.run()?;
    // Nobody follows beta, and there is no such branch.
    stage.until_ready_says("web", "SourceUnavailable", "beta").await?;
    stage.tool("web-beta", repository.url(), "  branch: beta\n")?;
    // Now it means this very revision, whose image is still to be built.
    let tip = repository.resolve("main")?;
    repository.set_branch("beta", &tip)?;
    stage.until_ready_says("web", "NotObserved", "registry").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_in_a_folder_that_is_named_later_is_watched() -> anyhow::Result<()> {
    let mut stage = Stage::local().await?;
    stage.poll_every = std::time::Duration::from_secs(3600);
    let folder = |repository: &tests::git_server::Repository| repository.path().display().to_string();
    let (first, second) = (stage.git.repository("first")?, stage.git.repository("second")?);
    for repository in [&first, &second] {
        repository.commit(&[("toolforge.yaml", &web("one"))])?;
    }
    stage.tool("first", &folder(&first), "")?;
    stage.run()?;
    stage.until_ready_says("first", "Ready", "").await?;
    stage.tool("second", &folder(&second), "")?;
    stage.until_ready_says("second", "Ready", "").await?;
    second.commit(&[("toolforge.yaml", &web("two"))])?;
    stage.until_object("Deployment", "second", "web", |web| runs(web, "two")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_gone_everywhere_is_counted_no_more() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let repository = stage.git.repository("web")?;
    repository.commit(&[("toolforge.yaml", &web("one"))])?;
    for name in ["stays", "goes"] {
        stage.tool(name, repository.url(), "")?;
    }
    stage.run()?;
    for name in ["stays", "goes"] {
        stage.until_ready_says(name, "Ready", "").await?;
    }
    let counted = async |line: &str| {
        let counts = async || Ok(stage.metrics().await?.contains(line).then_some(()));
        stage.until(line, counts).await
    };
    counted("toolforge_tools{ready=\"true\"} 2").await?;
    stage.config.commit_entries("main", &[("tools/goes.yaml", Entry::Gone)])?;
    counted("toolforge_tools{ready=\"true\"} 1").await?;
    ensure!(stage.metrics().await?.contains("toolforge_tools{ready=\"false\"} 1"), "it is held, and that counts");
    stage.delete("Tool", "goes", "goes").await?;
    counted("toolforge_tools{ready=\"false\"} 0").await?;
    Ok(())
}
