//! How long somebody's edit stands: from the answer to the edit until a watch of ours, opened before, sees the object equal
//! to what it was. Three edits by turns, by a field manager that is not ours: a Deployment is scaled, a Service's port leads
//! elsewhere (values of ours), an Ingress gets an annotation (an intruder). Each is of another tool than the one before.

use crate::cost;
use crate::settings::Settings;
use crate::stage::Stage;
use crate::table::{percentile, runs, talk};
use anyhow::{Context as _, bail};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tests::platform::{api_of, kind_of, steady};

/// Long enough that one edit has been told in a status before the next.
const PAUSE: Duration = Duration::from_millis(150);
const DEADLINE: Duration = Duration::from_secs(120);
const EDITOR: &str = "engine-editor";
const WATCH_SECS: u32 = 280;
/// A step through all tools that comes back to none before it has seen all, whatever their number, unless it divides it.
const STRIDE: usize = 7_919;

pub async fn measure(settings: &Settings, stage: &Stage) -> anyhow::Result<()> {
    let tools: Vec<usize> = (0..stage.workload.tools).collect();
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..settings.runs {
        let run = stage.run()?;
        let (cpu, counting) = (cost::cpu()?, stage.ground.count(Some(run)).await?);
        let delays = edits(stage, &tools, settings.edits).await?;
        let requests = stage.ground.counted(&counting, Some(run)).await?;
        talk(&format!("  {}", spread(&delays)));
        talk(&format!("  requests per edit: {}", requests.profile(settings.edits)));
        talk(&format!("  CPU: {}", cost::since(&cpu)?));
        p50.push(percentile(&delays, 50));
        p99.push(percentile(&delays, 99));
    }
    let tools = tools.len();
    runs(&format!("edit to reverted at {tools} tools, p50 of {} edits, ms", settings.edits), "100", &p50);
    runs(&format!("edit to reverted at {tools} tools, p99 of {} edits, ms", settings.edits), "1,000", &p99);
    Ok(())
}

pub fn spread(delays: &[f64]) -> String {
    let at = |percent| percentile(delays, percent);
    format!("ms: least {:.0}, p50 {:.0}, p90 {:.0}, p99 {:.0}, most {:.0}", at(0), at(50), at(90), at(99), at(100))
}

/// One edit after another; in milliseconds, how long each stood.
pub async fn edits(stage: &Stage, tools: &[usize], count: usize) -> anyhow::Result<Vec<f64>> {
    talk(&format!("{count} edits at {} tools", stage.workload.tools));
    let mut delays = Vec::new();
    for n in 0..count {
        let tool = tools[n * STRIDE % tools.len()];
        let edit = &EDITS[n % EDITS.len()];
        let delay = stands(stage, tool, edit).await.with_context(|| format!("{} of tool {tool}", edit.kind))?;
        delays.push(delay.as_secs_f64() * 1_000.0);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(delays)
}

struct Edit {
    kind: &'static str,
    /// A merge patch, from the object as it is.
    patch: fn(&Value) -> Value,
}

const EDITS: [Edit; 3] = [
    Edit { kind: "Deployment", patch: |_| json!({"spec": {"replicas": 1}}) },
    Edit {
        kind: "Service",
        patch: |live| {
            let mut ports = live["spec"]["ports"].clone();
            ports[0]["targetPort"] = json!(1);
            json!({"spec": {"ports": ports}})
        },
    },
    Edit { kind: "Ingress", patch: |_| json!({"metadata": {"annotations": {"engine.example/edit": "yes"}}}) },
];

async fn stands(stage: &Stage, tool: usize, edit: &Edit) -> anyhow::Result<Duration> {
    let api = api_of(stage.ground.client.clone(), kind_of(edit.kind)?, Some(&stage.workload.namespace(tool)));
    // An object's own version may be too old to watch from; a list's is the present. What is listed names no kind.
    let list = api.list_metadata(&ListParams::default().fields("metadata.name=web")).await?;
    let version = list.metadata.resource_version.context("a version")?;
    let before = serde_json::to_value(api.get("web").await?)?;
    // Its beginning has been answered when this returns.
    let params = WatchParams::default().fields("metadata.name=web").timeout(WATCH_SECS);
    let events = api.watch(&params, &version).await?;
    let back = tokio::spawn(tokio::time::timeout(DEADLINE, back(events.boxed(), steady(&before))));
    let patch = Patch::Merge((edit.patch)(&before));
    api.patch("web", &PatchParams { field_manager: Some(EDITOR.into()), ..PatchParams::default() }, &patch).await?;
    let edited = Instant::now();
    // The watch may be quicker than the answer to the edit.
    let back = back.await?.with_context(|| format!("it stands for {DEADLINE:?}"))??;
    Ok(back.saturating_duration_since(edited))
}

/// When the object was seen as it is to be, after it was seen otherwise.
async fn back(
    mut events: BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>,
    equal: Value,
) -> anyhow::Result<Instant> {
    let mut differed = false;
    while let Some(event) = events.try_next().await? {
        let object = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => object,
            WatchEvent::Bookmark(_) => continue,
            other => bail!("the watch says {other:?}"),
        };
        let at = Instant::now();
        let is_equal = steady(&serde_json::to_value(object)?) == equal;
        if differed && is_equal {
            return Ok(at);
        }
        differed |= !is_equal;
    }
    bail!("the watch ended")
}
