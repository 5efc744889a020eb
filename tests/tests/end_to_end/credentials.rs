//! What the platform gives each tool, and what becomes of a tool for which it is not there.

use anyhow::ensure;
use reconciler::secrets::Identities;
use serde_json::Value;
use tests::platform::{Platform, Tool};

use crate::secrets::{give_keys, settings};
use crate::{prebuilt, web};

const VARIABLE: &str = "DB_USER";

fn template(web: &Value) -> Value {
    web["spec"]["template"].clone()
}

/// What somebody changes and deletes by hand is as it was again, and no pod restarts over it.
async fn is_healed(tool: &Tool<'_>, before: &Value) -> anyhow::Result<()> {
    tool.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    tool.kubectl(&["delete", "service/web"]).await?;
    let web = tool.until("Deployment", "web", "is scaled back", |web| web["spec"]["replicas"] == 1).await?;
    ensure!(template(&web) == template(before), "its pods restart: {web:#}");
    tool.until("Service", "web", "is there again", |_| true).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_credential_holds_what_is_new_and_what_runs_is_healed_as_it_is() -> anyhow::Result<()> {
    let platform = Platform::start("giving").await?;
    let (identities, image, tool) = (Identities::generate(), prebuilt(&platform, "web").await?, platform.tool("a")?);
    let keys = settings(&identities);
    platform.commit_setting(&keys)?;
    platform.polled_times(2).await?;
    give_keys(&platform, &identities).await?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    let without = tool.object("Deployment", "web").await?;

    // Operators announce it before it is there.
    let source = format!("toolsdb.{}", tool.name());
    platform
        .commit_setting(&format!("{keys}\n  credentials: {{{VARIABLE}: {{secret: toolsdb.<tool>, key: user}}}}"))?;
    let held = tool.reason("Ready", "MissingCredential").await?;
    ensure!(held.message.contains(&source), "{held:?}");
    is_healed(&tool, &without).await?;

    let namespace = platform.namespace();
    let create = ["create", "secret", "generic", &source, "--namespace", &namespace, "--from-literal=user=u1"];
    platform.kubectl(&create).await?;
    let has_it = |web: &Value| template(web).to_string().contains(VARIABLE);
    tool.until("Deployment", "web", "has the credential", has_it).await?;
    tool.ready().await?;
    let with = tool.object("Deployment", "web").await?;

    // Where it is taken away, what runs keeps it.
    platform.kubectl(&["delete", "secret", &source, "--namespace", &namespace]).await?;
    tool.reason("Ready", "MissingCredential").await?;
    is_healed(&tool, &with).await?;
    platform.kubectl(&create).await?;
    tool.ready().await?;
    platform.quiet().await?;
    ensure!(template(&tool.object("Deployment", "web").await?) == template(&with), "it is the same value");
    Ok(())
}
