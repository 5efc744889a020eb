//! No state of our own: whoever comes next goes on where the world is.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::platform::{Platform, Route, Tool, steady};

use crate::{component, prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_head_keeps_the_last_good_revision_healed_also_after_a_restart_with_an_empty_cache()
-> anyhow::Result<()> {
    let platform = Platform::start("broken-head").await?;
    let config = web(&prebuilt(&platform, "web").await?);
    let tool = platform.tool("web")?;
    tool.commit(&config)?;
    tool.ready().await?;
    let before = steady(&tool.object("Deployment", "web").await?);

    tool.commit(&config.replace("command", "comand"))?;
    let ready = tool.reason("Ready", "Invalid").await?;
    ensure!(ready.message.contains("comand"), "{ready:?}");
    scale_is_healed(&tool, &before).await?;

    platform.stop().await?;
    platform.delete_cache()?;
    tool.kubectl(&["delete", "deployment/web"]).await?;
    platform.run().await?;
    let healed = |web: &Value| steady(web) == before;
    tool.until("Deployment", "web", "is as the last good revision says", healed).await?;
    scale_is_healed(&tool, &before).await
}

async fn scale_is_healed(tool: &Tool<'_>, before: &Value) -> anyhow::Result<()> {
    tool.kubectl(&["scale", "deployment/web", "--replicas=4"]).await?;
    tool.until("Deployment", "web", "is healed", |web| steady(web) == *before).await.map(drop)
}

/// How many writes a reconciler gets through before it is killed; a whole rollout of this tool is about twenty.
const KILLED_AFTER: [usize; 6] = [1, 3, 6, 9, 12, 16];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_the_next_process_ends_equal() -> anyhow::Result<()> {
    let platform = Platform::prepare("killed", Route::Ingress).await?;
    let image = prebuilt(&platform, "web").await?;
    let config = format!("{}{}", web(&image), component("worker", &image, "command: work"));
    let mut expected: Option<Vec<Value>> = None;
    for writes in std::iter::once(usize::MAX).chain(KILLED_AFTER) {
        let tool = platform.tool(&format!("t{writes}"))?;
        tool.commit(&config)?;
        let mark = platform.plane().mark()?;
        platform.run().await?;
        if writes < usize::MAX {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            while platform.writes_since(mark)?.len() < writes {
                ensure!(tokio::time::Instant::now() < deadline, "it never wrote {writes} times");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            platform.kill()?;
            platform.run().await?;
        }
        tool.ready().await.with_context(|| format!("killed after {writes} writes"))?;
        platform.quiet().await?;
        platform.stop().await?;
        let found = world(&tool).await?;
        match &expected {
            None => expected = Some(found),
            Some(expected) => ensure!(*expected == found, "killed after {writes}:\n{found:#?}\n{expected:#?}"),
        }
    }
    Ok(())
}

/// Everything of a tool, with its name taken out.
async fn world(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for kind in ["Deployment", "Service", "Ingress", "NetworkPolicy", "ServiceAccount", "ResourceQuota", "LimitRange"] {
        all.extend(tool.platform().objects(kind, &tool.namespace()).await?);
    }
    let named = |object: &Value| {
        let text = steady(object).to_string().replace(tool.name(), "NAME");
        let mut object: Value = serde_json::from_str(&text)?;
        if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
            labels.remove("applyset.kubernetes.io/part-of"); // a hash of the name
        }
        Ok(object)
    };
    all.iter().map(named).collect()
}
