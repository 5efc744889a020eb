//! Open licences: where the platform wants one, what carries none is not taken, and what ran before runs on.

use anyhow::ensure;
use serde_json::Value;
use tests::platform::{Platform, Tool};

use crate::{Prebuilt, component, prebuilt};

const LICENCE: &str = include_str!("../../../LICENSE");

fn web(image: &Prebuilt, command: &str) -> String {
    format!("components:\n{}", component("web", image, &format!("command: {command}, port: 8000")))
}

fn command(web: &Value) -> String {
    web["spec"]["template"]["spec"]["containers"][0].to_string()
}

async fn runs(tool: &Tool<'_>, wanted: &str) -> anyhow::Result<Value> {
    tool.until("Deployment", "web", &format!("runs {wanted}"), |web| command(web).contains(wanted)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_licence_is_held_until_it_has_one_and_the_last_good_revision_serves_on()
-> anyhow::Result<()> {
    let platform = Platform::start("licences").await?;
    let (image, tool) = (prebuilt(&platform, "web").await?, platform.tool("web")?);
    tool.commit(&web(&image, "first"))?;
    tool.ready().await?;
    runs(&tool, "first").await?;

    // What runs was taken once, and stays.
    platform.commit_setting("licence: hold")?;
    platform.polled_times(2).await?;
    tool.ready().await?;
    tool.commit(&web(&image, "second"))?;
    let held = tool.reason("Ready", "Unlicensed").await?;
    ensure!(held.message.contains("the repository has no licence; commit a file LICENSE"), "{held:?}");
    let before = runs(&tool, "first").await?;
    let uid = &before["metadata"]["uid"];

    // It is healed as well.
    tool.kubectl(&["scale", "deployment/web", "--replicas=3"]).await?;
    tool.until("Deployment", "web", "has its one replica again", |web| web["spec"]["replicas"] == 1).await?;
    tool.repository().commit(&[("LICENSE", "Do what I say, and nothing else.\n")])?;
    let other = async || {
        let ready = tool.condition("Ready").await?;
        Ok(ready.filter(|ready| ready.reason == "Unlicensed" && ready.message.contains("LICENSE is no licence")))
    };
    platform.until("what is no licence is told", other).await?;
    ensure!(command(&runs(&tool, "first").await?).contains("first"));

    tool.repository().commit(&[("LICENSE", LICENCE)])?;
    let after = runs(&tool, "second").await?;
    ensure!(after["metadata"]["uid"] == *uid, "it was made anew");
    tool.ready().await
}
