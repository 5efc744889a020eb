//! Private repositories: from a commit over ssh to a Deployment, with the key of the tool and no other.

use anyhow::{Context as _, ensure};
use reconciler::secrets::deploy_keys::{self, Made};
use reconciler::source::SshKeys;
use renderer::ToolName;
use renderer::request::deploy_key_secret;
use tests::platform::{Platform, Tool};
use tests::ssh_server::SshServer;

use crate::secrets::{forms, outputs};
use crate::{prebuilt, web};

/// What `toolforge deploy-key` does, by somebody with all rights.
async fn give_key(platform: &Platform, tool: &Tool<'_>, keys: &SshKeys) -> anyhow::Result<()> {
    let secret = deploy_key_secret(&ToolName::new(tool.name())?);
    let made = Made { keys: keys.clone(), host: Some("127.0.0.1".to_owned()) };
    Ok(deploy_keys::write(platform.client(), &platform.namespace(), &secret, &made, "toolforge-cli").await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_to_a_private_repository_becomes_a_deployment_by_its_tools_key_alone() -> anyhow::Result<()> {
    let platform = Platform::start("private").await?;
    let config = web(&prebuilt(&platform, "web").await?);
    let (tool, stranger) = (platform.tool_without_file("a")?, platform.tool_without_file("b")?);
    let host = SshServer::start(tool.repository().path().parent().context("a folder")?).await?;
    let path = format!("{}.git", tool.name());
    platform.commit_setting(&format!("git: {{known_hosts: ['{}']}}", host.known_hosts()?))?;
    tool.commit(&config)?;
    platform.commit_tool_file(tool.name(), &format!("  repository: {}\n", host.url(&path)))?;
    let held = tool.reason("Ready", "SourceUnavailable").await?;
    ensure!(held.message.contains(&format!("`toolforge deploy-key {}`", tool.name())), "{held:?}");
    idles_without_secrets(&platform).await?;

    let (old, other) = (SshKeys::generate("a"), SshKeys::generate("b"));
    host.allow(&old.public()[0], &path);
    give_key(&platform, &tool, &old).await?;
    tool.ready().await?;
    let before = tool.object("Deployment", "web").await?;
    tool.commit(&config.replace("publish: /", "publish: /, replicas: 2"))?;
    let scaled = |now: &serde_json::Value| now["spec"]["replicas"] == 2;
    ensure!(!scaled(&before));
    tool.until("Deployment", "web", "follows the commit", scaled).await?;
    tool.ready().await?;

    idles_without_secrets(&platform).await?;

    // Another tool names the same repository, and has a key that the host knows for something else.
    host.allow(&other.public()[0], "elsewhere.git");
    give_key(&platform, &stranger, &other).await?;
    platform.commit_tool_file(stranger.name(), &format!("  repository: {}\n", host.url(&path)))?;
    let held = stranger.reason("Ready", "SourceUnavailable").await?;
    ensure!(held.message.contains("is private or does not exist"), "{held:?}");
    idles_without_secrets(&platform).await?;
    ensure!(stranger.find("Deployment", "web").await?.is_none());

    // The old key goes, and the new one takes over.
    let new = old.rotated("a");
    give_key(&platform, &tool, &new).await?;
    host.allow(&new.public()[0], &path);
    host.forbid(&old.public()[0]);
    tool.commit(&config.replace("publish: /", "publish: /, replicas: 3"))?;
    tool.until("Deployment", "web", "follows the commit", |now| now["spec"]["replicas"] == 3).await?;
    tool.ready().await?;

    ensure!((canaries(&new).len(), canaries(&other).len()) == (2, 1), "one for each key");
    let outputs = outputs(&platform, &tool).await?;
    ensure!(outputs.values().all(|text| text.len() > 20), "an output is empty: nothing was searched");
    for (place, text) in &outputs {
        for canary in [&new, &other].iter().flat_map(|keys| canaries(keys)) {
            ensure!(forms(&canary).iter().all(|form| !text.contains(form)), "{place} gives a key away");
        }
    }
    Ok(())
}

/// Idle, it asks the git host, and the cluster for no Secret: whether there is a key or none, or one that is refused.
async fn idles_without_secrets(platform: &Platform) -> anyhow::Result<()> {
    platform.quiet().await?;
    let mark = platform.plane().mark()?;
    platform.polled_times(2).await?;
    let asked = platform.requests_since(mark)?;
    ensure!(asked.iter().all(|request| request.resource != "secrets"), "{asked:#?}");
    Ok(())
}

/// The lines of the private halves that no public half shares.
fn canaries(keys: &SshKeys) -> Vec<String> {
    let text = keys.to_secret();
    let lines = text.reveal().lines().filter(|line| !line.starts_with('-'));
    // Five lines each; the fourth holds the seed.
    lines.skip(3).step_by(5).map(str::to_owned).collect()
}
