//! Whether tools that fail for good delay the others. By turns nobody fails, and a share of all does: of these every other
//! one has a pod that never starts, and the changes of the rest are refused by the server. The same healthy tools are
//! measured both times under the same load: edits one after another, then one commit that changes them all at once.

use crate::figures::edits::{edits, spread};
use crate::settings::Settings;
use crate::stage::{Stage, is_ready};
use crate::table::{percentile, ratios, runs, talk};
use crate::workload::WEB;
use anyhow::{Context as _, bail, ensure};
use futures::TryStreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use reconciler::cluster::call;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tests::platform::{api_of, kind_of};

/// What those that fail are given to retry and to be given up in.
const SETTLE: Duration = Duration::from_secs(20);
const ASK_EVERY: Duration = Duration::from_secs(1);
const WATCH_SECS: u32 = 280;
/// For a change of all.
const DEADLINE: Duration = Duration::from_secs(1_200);
const POLICY: &str = "engine-refuses";
/// In a command: kwok's fate of a pod. On a cluster with real nodes the image cannot be pulled, which is as good.
const CRASHES: &str = "{command: web fate=crash-loop, port: 8000, publish: /, replicas: 1}";
/// In a command: what the policy refuses.
const REFUSED: &str = "{command: web refused, port: 8000, publish: /, replicas: 0}";

pub async fn measure(settings: &Settings) -> anyhow::Result<()> {
    let tools = settings.tools(1_000);
    talk(&format!("{tools} tools, of which {} % will fail", settings.failing_percent));
    let mut stage = Stage::new(settings, tools, WEB).await?;
    refuse(&stage).await?;
    stage.start()?;
    stage.all_ready(tools).await?;
    stage.settled().await?;
    let fails = |n: &usize| n * settings.failing_percent / 100 != (n + 1) * settings.failing_percent / 100;
    let (failing, healthy): (Vec<_>, Vec<_>) = (0..tools).partition(fails);
    let (mut alone, mut beside) = (Delays::default(), Delays::default());
    for turn in 0..settings.runs {
        talk("nobody fails");
        alone.add(settings, &stage, &healthy, turn * 2).await?;
        talk(&format!("{} tools fail", failing.len()));
        stage.workload.change(&failing, &|n| if n % 2 == 0 { CRASHES } else { REFUSED }.to_owned())?;
        while unready(&stage, &failing).await? < failing.len() {
            tokio::time::sleep(ASK_EVERY).await;
        }
        tokio::time::sleep(SETTLE).await;
        beside.add(settings, &stage, &healthy, turn * 2 + 1).await?;
        ensure!(unready(&stage, &failing).await? == failing.len(), "some have stopped to fail");
        stage.workload.change(&failing, &|_| WEB.to_owned())?;
        while unready(&stage, &failing).await? > 0 {
            tokio::time::sleep(ASK_EVERY).await;
        }
        stage.settled().await?;
    }
    let what = format!("p99 of {} healthy tools", healthy.len());
    let (none, some) = ("none failing", format!("{} failing", failing.len()));
    for (act, alone, beside) in [("edit", &alone.edits, &beside.edits), ("commit", &alone.commits, &beside.commits)] {
        runs(&format!("{act}: {what}, {none}, ms"), "", alone);
        runs(&format!("{act}: {what}, {some}, ms"), "", beside);
        runs(&format!("{act}: {some} beside {none}"), "2", &ratios(beside, alone));
    }
    stage.end().await
}

/// p99 in milliseconds, one of each run.
#[derive(Default)]
struct Delays {
    /// Until an edit is undone.
    edits: Vec<f64>,
    /// Until a tool is Ready at a commit that changed all.
    commits: Vec<f64>,
}

impl Delays {
    async fn add(&mut self, settings: &Settings, stage: &Stage, healthy: &[usize], turn: usize) -> anyhow::Result<()> {
        let edits = edits(stage, healthy, settings.edits).await?;
        talk(&format!("  edits: {}", spread(&edits)));
        self.edits.push(percentile(&edits, 99));
        let commits = commit(stage, healthy, turn).await?;
        talk(&format!("  commit: {}", spread(&commits)));
        self.commits.push(percentile(&commits, 99));
        Ok(())
    }
}

/// Changes all of them by one commit; in milliseconds, how long until each says that it is Ready at it.
async fn commit(stage: &Stage, healthy: &[usize], turn: usize) -> anyhow::Result<Vec<f64>> {
    let tools = api_of(stage.ground.client.clone(), kind_of("Tool")?, None);
    let list = tools.list_metadata(&ListParams::default()).await?;
    let mut version = list.metadata.resource_version.context("a version")?;
    let run = WEB.replace("command: web", &format!("command: web turn-{turn}"));
    let commit = stage.workload.change(healthy, &|_| run.clone())?;
    let begun = Instant::now();
    let mut waiting: BTreeSet<String> = healthy.iter().map(|n| stage.workload.tool(*n)).collect();
    let mut delays = Vec::new();
    while !waiting.is_empty() {
        let watch = tools.watch(&WatchParams::default().timeout(WATCH_SECS), &version).await?;
        let mut events = Box::pin(watch);
        while let Some(event) = events.try_next().await? {
            let tool = match event {
                WatchEvent::Modified(tool) => tool,
                WatchEvent::Error(error) => bail!("the watch of Tools: {error}"),
                _ => continue,
            };
            version = tool.metadata.resource_version.clone().unwrap_or(version);
            let name = tool.metadata.name.clone().unwrap_or_default();
            if is_ready(&tool.data) && tool.data["status"]["commit"] == *commit && waiting.remove(&name) {
                delays.push(begun.elapsed().as_secs_f64() * 1_000.0);
            }
            if waiting.is_empty() {
                break;
            }
        }
        ensure!(begun.elapsed() < DEADLINE, "{} tools are not Ready at {commit}", waiting.len());
    }
    Ok(delays)
}

/// How many of these are not Ready.
async fn unready(stage: &Stage, tools: &[usize]) -> anyhow::Result<usize> {
    let ready: BTreeSet<String> = stage.tools().await?.iter().filter(|tool| is_ready(tool)).filter_map(name).collect();
    Ok(tools.iter().filter(|n| !ready.contains(&stage.workload.tool(**n))).count())
}

fn name(tool: &Value) -> Option<String> {
    tool["metadata"]["name"].as_str().map(str::to_owned)
}

/// From now on the server refuses a Deployment whose command says so.
async fn refuse(stage: &Stage) -> anyhow::Result<()> {
    let rule = json!({
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"],
    });
    let refused = "object.spec.template.spec.containers.all(c, !(c.?command.orValue([]) + c.?args.orValue([])).exists(word, word.contains('refused')))";
    let spec = json!({
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": refused, "message": "refused for the benchmark"}],
    });
    let binding = json!({"policyName": POLICY, "validationActions": ["Deny"]});
    for (kind, plural, spec) in [
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", spec),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", binding),
    ] {
        let group = "admissionregistration.k8s.io/v1";
        let body = json!({"apiVersion": group, "kind": kind, "metadata": {"name": POLICY}, "spec": spec});
        call::apply(&stage.ground.client, &format!("/apis/{group}/{plural}/{POLICY}"), "engine", &body).await?;
    }
    Ok(())
}
