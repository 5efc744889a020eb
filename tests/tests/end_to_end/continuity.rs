//! No state of our own: whoever comes next goes on where the world is.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::control_plane::Mark;
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

/// How many writes a reconciler gets through before it is killed: a first rollout here is about twenty, the second
/// commit with its one-off and its prunes about ten.
const KILLED_AFTER: [usize; 6] = [1, 3, 5, 8, 12, 16];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_the_next_process_ends_equal() -> anyhow::Result<()> {
    let platform = Platform::prepare("killed", Route::Ingress).await?;
    let image = prebuilt(&platform, "web").await?;
    let worker = component("worker", &image, "command: work");
    let first = format!("{}{worker}", web(&image));
    let once = component("once", &image, "command: migrate");
    let second = format!("components:\n{once}    component_type: one-off\n{worker}");

    let mut expected = Vec::new();
    for writes in std::iter::once(usize::MAX).chain(KILLED_AFTER) {
        let tool = platform.tool(&format!("t{writes}"))?;
        let mut found = Vec::new();
        for config in [&first, &second] {
            tool.commit(config)?;
            let mark = platform.plane().mark()?;
            platform.run().await?;
            if has_written(&platform, mark, writes, &tool).await? {
                platform.kill()?;
                platform.run().await?;
            }
            tool.ready().await.with_context(|| format!("killed after {writes} writes"))?;
            platform.quiet().await?;
            platform.stop().await?;
            found.push(world(&tool).await?);
        }
        if expected.is_empty() {
            expected = found;
        } else {
            ensure!(expected == found, "killed after {writes}:\n{found:#?}\n{expected:#?}");
        }
    }
    Ok(())
}

/// Waits until the reconciler has sent so many writes, or is done before.
async fn has_written(platform: &Platform, mark: Mark, writes: usize, tool: &Tool<'_>) -> anyhow::Result<bool> {
    let ready = tool.ready();
    let written = async {
        while platform.writes_since(mark)?.len() < writes {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        written = written => written.map(|()| true),
        ready = ready => ready.map(|()| false),
    }
}

/// What becomes of one tool, commit after commit: each is the whole of `components:` for the component `web`.
const CAREER: [(&str, &str); 11] = [
    ("published", "run: {command: web, port: 8000, publish: /}"),
    ("replicated", "run: {command: web, port: 8000, publish: /, replicas: 2}"),
    ("checked", "run: {command: web, port: 8000, publish: /, health_check_http: /healthz, cpu: 1, memory: 1Gi}"),
    ("another-port", "run: {command: web, port: 9000, publish: /api}"),
    ("private", "run: {command: web, port: 9000}"),
    ("udp", "run: {command: web, port: 9000, port_protocol: udp}"),
    ("worker", "run: {command: work --fast, replicas: 3}\n    env: {MODE: fast, LEVEL: \"1\"}"),
    ("stopped", "run: {command: work, replicas: 0}"),
    ("scheduled", "component_type: scheduled\n    run: {command: work, schedule: \"5 4 * * *\", timeout: 60}"),
    ("script-checked", "run: {command: work, health_check_script: ./check}\n    env: {LEVEL: \"2\"}"),
    ("published-again", "run: {command: web, port: 8000, publish: /}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn however_a_tool_came_there_the_same_file_makes_the_same_objects() -> anyhow::Result<()> {
    let platform = Platform::start("career").await?;
    let image = prebuilt(&platform, "web").await?;
    let config = |lines: &str| format!("components:\n  web:\n    image: {}\n    {lines}\n", image.by_tag);
    // Each file once on a tool that has never seen another.
    let mut fresh = Vec::new();
    for (name, lines) in CAREER {
        let tool = platform.tool(name)?;
        tool.commit(&config(lines))?;
        fresh.push(tool);
    }
    let tool = platform.tool("tool")?;
    for ((name, lines), fresh) in CAREER.iter().zip(&fresh) {
        tool.commit(&config(lines))?;
        tool.ready().await.context(*name)?;
        fresh.ready().await.context(*name)?;
        let expected = world(fresh).await?;
        let arrived = async || Ok((world(&tool).await? == expected).then_some(()));
        if let Err(error) = platform.until("the objects are those of a new tool", arrived).await {
            let found = world(&tool).await?;
            let differ = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            anyhow::bail!("{name}: {error:#}\n{} and {} objects, first {differ:#?}", found.len(), expected.len());
        }
    }
    platform.quiet().await
}

const KINDS: [&str; 10] = [
    "Deployment",
    "CronJob",
    "Job",
    "Service",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "ResourceQuota",
    "LimitRange",
];

/// Everything of a tool, with its name taken out.
async fn world(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for kind in KINDS {
        all.extend(tool.platform().objects(kind, &tool.namespace()).await?);
    }
    let named = |object: &Value| {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default(); // a Job's selector has it
        let text = steady(object).to_string().replace(tool.name(), "NAME").replace(uid, "UID");
        let mut object: Value = serde_json::from_str(&text)?;
        if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
            labels.remove("applyset.kubernetes.io/part-of"); // a hash of the name
        }
        Ok(object)
    };
    all.iter().map(named).collect()
}
