//! The show: five acts, each something somebody does and what comes of it, with the time it took. Everything told was
//! seen on the cluster; nothing is assumed.

use super::builder::Builder;
use super::stage::Stage;
use super::teller::{Act, Teller};
use super::watcher::Watcher;
use crate::ui::Ui;
use reconciler::cluster::Cluster;
use serde_json::{Value, json};

const TOOLS: &str = "/apis/toolforge.org/v1alpha1/tools";
const WORDCOUNT: &str = "/apis/apps/v1/namespaces/tool-wordcount/deployments";
const FILE: &str = "repos/wordcount/toolforge.yaml";

/// The show, as far as it was played.
pub struct Show<'a> {
    stage: &'a Stage,
    builder: &'a Builder,
    watcher: Watcher,
    teller: Teller<'a>,
}

impl<'a> Show<'a> {
    pub fn new(stage: &'a Stage, builder: &'a Builder, cluster: &Cluster, ui: &'a Ui) -> Self {
        Self { stage, builder, watcher: Watcher::new(cluster), teller: Teller::new(ui) }
    }

    /// What was seen.
    pub fn acts(&self) -> &[Act] {
        self.teller.acts()
    }

    pub async fn play(&mut self) -> anyhow::Result<()> {
        self.teller.line(
            "Ten tools from examples/, each with a git repository, on the sandbox: a Kubernetes API in this process",
        )?;
        self.teller.line(
            "that runs no containers. Up to 5 the demo pushes an empty image for each build that is asked for. All else is real.",
        )?;
        self.commits_become_objects().await?;
        self.a_commit_is_built_and_rolled_out().await?;
        self.a_change_by_hand_is_taken_back().await?;
        self.a_removed_component_goes().await?;
        self.a_broken_file_harms_nobody().await?;
        self.teller.line("")
    }

    async fn commits_become_objects(&mut self) -> anyhow::Result<()> {
        self.teller.title("1  Commits become objects")?;
        self.teller.shell("toolforge run config")?;
        let settled = |tools: Option<&Value>| {
            let tools = items(tools);
            tools.len() == 10 && tools.iter().all(|tool| is_ready(tool) || is_stalled(tool))
        };
        let (tools, took) = self.watcher.until("ten tools", TOOLS, settled).await?;
        let tools = items(tools.as_ref());
        let ready: Vec<_> = tools.iter().filter(|tool| is_ready(tool)).map(name).collect();
        let objects: usize =
            tools.iter().filter_map(|tool| tool.pointer("/status/inventory")?.as_array()).map(Vec::len).sum();
        self.teller.seen(&format!("{} tools are Ready, {objects} objects: {}", ready.len(), ready.join(", ")), took)?;
        for tool in tools.iter().filter(|tool| !is_ready(tool)) {
            self.teller.aside(&format!("{} is held: {}", name(tool), condition(tool, "Ready", "message")))?;
        }
        Ok(())
    }

    async fn a_commit_is_built_and_rolled_out(&mut self) -> anyhow::Result<()> {
        self.teller.title("2  A commit is built, then rolled out")?;
        self.builder.hold_back("wordcount");
        let web = format!("{WORDCOUNT}/web");
        let before = image(self.watcher.get(&web).await?.as_ref());
        self.stage.edit(FILE, "replicas: 2", "replicas: 3")?;
        self.stage.commit("repos/wordcount", "Three copies")?;
        self.teller.shell("sed -i 's/replicas: 2/replicas: 3/' toolforge.yaml && git commit -am 'Three copies'")?;
        let waits =
            |tool: Option<&Value>| tool.is_some_and(|tool| condition(tool, "Ready", "reason") == "AwaitingBuild");
        let (tool, took) = self.watcher.until("a build is awaited", &format!("{TOOLS}/wordcount"), waits).await?;
        let why = tool.as_ref().map_or("", |tool| condition(tool, "Ready", "message"));
        self.teller.seen(why, took)?;
        let serving = self.watcher.get(&web).await?;
        anyhow::ensure!(image(serving.as_ref()) == before, "the old image was replaced before the new one was there");
        self.teller.aside("the old image serves on")?;
        self.builder.let_go();
        self.teller.shell("# the build is done: its image is in the registry")?;
        let new = before.clone();
        let rolled = move |web: Option<&Value>| {
            image(web) != new
                && number(web, "/status/readyReplicas") == Some(3)
                && number(web, "/spec/replicas") == Some(3)
        };
        let (web, took) = self.watcher.until("the new image", &web, rolled).await?;
        let pinned = image(web.as_ref()).unwrap_or_default();
        let digest = pinned.split_once("@sha256:").map_or("", |(_, digest)| digest.get(..12).unwrap_or(digest));
        self.teller.seen(&format!("deployment/tool-wordcount/web runs 3 copies of @sha256:{digest}..."), took)
    }

    async fn a_change_by_hand_is_taken_back(&mut self) -> anyhow::Result<()> {
        self.teller.title("3  A change by hand is taken back")?;
        self.settled().await?;
        let web = format!("{WORDCOUNT}/web");
        self.teller.shell("kubectl -n tool-wordcount scale deployment/web --replicas=7")?;
        self.watcher.patch(&format!("{web}/scale"), "kubectl-scale", &json!({"spec": {"replicas": 7}})).await?;
        let back = |web: Option<&Value>| number(web, "/spec/replicas") == Some(3);
        let (_, took) = self.watcher.until("replicas are 3 again", &web, back).await?;
        self.teller.seen("spec.replicas: 7 → 3", took)?;
        self.teller.shell("kubectl -n tool-wordcount delete deployment/worker")?;
        let worker = format!("{WORDCOUNT}/worker");
        let uid = |found: Option<&Value>| found.and_then(|found| found.pointer("/metadata/uid").cloned());
        let old = uid(self.watcher.get(&worker).await?.as_ref());
        self.watcher.delete(&worker).await?;
        let again = move |worker: Option<&Value>| uid(worker).is_some_and(|new| Some(new) != old);
        let (_, took) = self.watcher.until("the worker is back", &worker, again).await?;
        self.teller.seen("deployment/tool-wordcount/worker is there again", took)
    }

    async fn a_removed_component_goes(&mut self) -> anyhow::Result<()> {
        self.teller.title("4  A component leaves the file, and the cluster")?;
        let worker = "  worker:\n    build: {reuse_from: web}\n    run:\n      command: worker --queue counts\n      memory: 1Gi\n";
        self.stage.edit(FILE, worker, "")?;
        self.stage.commit("repos/wordcount", "No worker any more")?;
        self.teller.shell("$EDITOR toolforge.yaml && git commit -am 'No worker any more'")?;
        let gone = |worker: Option<&Value>| worker.is_none();
        let (_, took) = self.watcher.until("the worker goes", &format!("{WORDCOUNT}/worker"), gone).await?;
        self.teller.seen("deployment/tool-wordcount/worker is pruned", took)
    }

    async fn a_broken_file_harms_nobody(&mut self) -> anyhow::Result<()> {
        self.teller.title("5  A broken file harms nobody, not even its own tool")?;
        self.settled().await?;
        self.stage.edit(FILE, "components:", "component:")?;
        self.stage.commit("repos/wordcount", "Oops")?;
        self.teller.shell("sed -i 's/components:/component:/' toolforge.yaml && git commit -am Oops")?;
        let held = |tool: Option<&Value>| tool.is_some_and(|tool| condition(tool, "Ready", "reason") == "Invalid");
        let (tool, took) = self.watcher.until("wordcount is held", &format!("{TOOLS}/wordcount"), held).await?;
        let why = tool.as_ref().map_or("", |tool| condition(tool, "Ready", "message"));
        self.teller.seen(&format!("held: {why}"), took)?;
        let web = format!("{WORDCOUNT}/web");
        self.teller.shell("kubectl -n tool-wordcount scale deployment/web --replicas=0")?;
        self.watcher.patch(&format!("{web}/scale"), "kubectl-scale", &json!({"spec": {"replicas": 0}})).await?;
        let back = |web: Option<&Value>| number(web, "/spec/replicas") == Some(3);
        let (_, took) = self.watcher.until("the last good revision is healed", &web, back).await?;
        self.teller.seen("the last good revision is still looked after: spec.replicas: 0 → 3", took)?;
        self.stage.git("repos/wordcount", &["revert", "--no-edit", "HEAD"])?;
        self.teller.shell("git revert HEAD")?;
        let ready = |tool: Option<&Value>| tool.is_some_and(is_ready);
        let (_, took) = self.watcher.until("wordcount is Ready", &format!("{TOOLS}/wordcount"), ready).await?;
        self.teller.seen("wordcount is Ready again", took)
    }

    /// The tool is Ready and its revision stored: the next act begins from rest.
    async fn settled(&self) -> anyhow::Result<()> {
        let ready = |tool: Option<&Value>| tool.is_some_and(is_ready);
        self.watcher.until("wordcount is Ready", &format!("{TOOLS}/wordcount"), ready).await?;
        Ok(())
    }
}

pub(super) fn items(list: Option<&Value>) -> Vec<Value> {
    list.and_then(|list| list.get("items")?.as_array().cloned()).unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn condition<'v>(tool: &'v Value, kind: &str, field: &str) -> &'v str {
    let conditions = tool.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind));
    found.and_then(|found| found.get(field)?.as_str()).unwrap_or_default()
}

pub(super) fn is_ready(tool: &Value) -> bool {
    condition(tool, "Ready", "status") == "True"
}

fn is_stalled(tool: &Value) -> bool {
    condition(tool, "Stalled", "status") == "True" && condition(tool, "Reconciling", "status") == "False"
}

pub(super) fn number(object: Option<&Value>, pointer: &str) -> Option<i64> {
    object?.pointer(pointer)?.as_i64()
}

pub(super) fn image(deployment: Option<&Value>) -> Option<String> {
    let image = deployment?.pointer("/spec/template/spec/containers/0/image")?;
    image.as_str().map(str::to_owned)
}
