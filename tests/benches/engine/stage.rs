//! `toolforge run` on a cluster with its tools: the process, what it says of itself, and when it is where it should be.

use crate::cost;
use crate::ground::Ground;
use crate::settings::Settings;
use crate::table::talk;
use crate::workload::{self, Workload};
use anyhow::{Context as _, ensure};
use planner::kinds::Kind;
use reconciler::cluster::{address, call};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tests::program::{Program, Running};

const POLL_SECS: &str = "2";
const ASK_EVERY: Duration = Duration::from_millis(50);
/// For each tool, on a busy machine; beyond that something is stuck.
const DEADLINE_EACH: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(120);
const ALL_READY: &str = "toolforge_tools{ready=\"true\"}";
const PASSES: &str = "toolforge_passes_total";
const BUSY: &str = "toolforge_busy_tools";

pub struct Stage {
    pub ground: Ground,
    pub workload: Workload,
    program: Program,
    passes: usize,
    run: Option<Run>,
}

impl Stage {
    /// Everything but the process.
    pub async fn new(settings: &Settings, tools: usize, run: &'static str) -> anyhow::Result<Self> {
        let ground = Ground::new(settings).await?;
        let workload = Workload::commit(&ground.name, tools, run).await?;
        let program = Program::with(&settings.program, ground.kubeconfig(), ground.context())?;
        Ok(Self { ground, workload, program, passes: settings.passes, run: None })
    }

    /// All Ready, and nothing left to do.
    pub async fn rolled_out(settings: &Settings, tools: usize) -> anyhow::Result<Self> {
        let mut stage = Self::new(settings, tools, workload::WEB).await?;
        talk(&format!("{tools} tools are rolled out"));
        let begun = Instant::now();
        stage.start()?;
        stage.all_ready(tools).await?;
        stage.settled().await?;
        talk(&format!("  took {:.0} s", begun.elapsed().as_secs_f64()));
        Ok(stage)
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        let run = Run::start(&self.program, &self.workload, self.passes)?;
        ensure!(self.run.replace(run).is_none(), "it runs already");
        Ok(())
    }

    /// As SIGTERM does it.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let run = self.run.take().context("it does not run")?;
        let code = run.process.end("-TERM").await?;
        ensure!(code == Some(0), "toolforge run ended with {code:?}");
        Ok(())
    }

    pub async fn end(mut self) -> anyhow::Result<()> {
        self.stop().await
    }

    /// What it has read of git is lost with its home.
    pub fn forget(&mut self, settings: &Settings) -> anyhow::Result<()> {
        self.program = Program::with(&settings.program, self.ground.kubeconfig(), self.ground.context())?;
        Ok(())
    }

    pub fn run(&self) -> anyhow::Result<&Run> {
        self.run.as_ref().context("it does not run")
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Until this many tools are Ready: it says so, and so do they.
    pub async fn all_ready(&self, tools: usize) -> anyhow::Result<Duration> {
        let (run, begun) = (self.run()?, Instant::now());
        let deadline = DEADLINE + DEADLINE_EACH * u32::try_from(self.workload.tools)?;
        loop {
            // The metric is cheap, and tells when it is worth to ask the server.
            let said = run.metric(ALL_READY).await.unwrap_or(0);
            if said >= tools && self.ready_tools().await? >= tools {
                return Ok(begun.elapsed());
            }
            ensure!(begun.elapsed() < deadline, "only {said} of {tools} are Ready\n{}", run.last_words());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn ready_tools(&self) -> anyhow::Result<usize> {
        Ok(self.tools().await?.iter().filter(|tool| is_ready(tool)).count())
    }

    /// The Tools of this workload.
    pub async fn tools(&self) -> anyhow::Result<Vec<Value>> {
        let row = Kind::of("toolforge.org", "Tool").context("a row")?;
        let list = call::get(&self.ground.client, &address::collection(row, None), None).await?;
        let list: Value = call::parse(&list)?;
        let ours =
            |tool: &&Value| tool["metadata"]["name"].as_str().is_some_and(|n| n.starts_with(&self.workload.name));
        Ok(list["items"].as_array().into_iter().flatten().filter(ours).cloned().collect())
    }

    /// Until it has polled git twice without a pass in between; returns when the last pass was seen to have ended.
    pub async fn settled(&self) -> anyhow::Result<Instant> {
        let (run, begun) = (self.run()?, Instant::now());
        let deadline = DEADLINE + DEADLINE_EACH * u32::try_from(self.workload.tools)?;
        let (mut last, mut since, mut polls) = (None, Instant::now(), self.workload.polls());
        loop {
            let (passes, busy) = run.passes().await;
            if busy != Some(0) || passes.is_none() || passes != last {
                (last, since, polls) = (passes, Instant::now(), self.workload.polls());
            } else if self.workload.polls() >= polls + 3 {
                return Ok(since);
            }
            ensure!(begun.elapsed() < deadline, "it is never done: {passes:?} passes\n{}", run.last_words());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// How many objects are kept in memory at least: the Tools and what their inventories name.
    pub async fn objects(&self) -> anyhow::Result<usize> {
        let tools = self.tools().await?;
        Ok(tools.iter().map(|tool| 1 + tool["status"]["inventory"].as_array().map_or(0, Vec::len)).sum())
    }
}

/// Whether a Tool says that it is Ready.
pub fn is_ready(tool: &Value) -> bool {
    let conditions = tool["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// The process.
pub struct Run {
    process: Running,
    web: SocketAddr,
    client: reqwest::Client,
}

impl Run {
    fn start(program: &Program, workload: &Workload, passes: usize) -> anyhow::Result<Self> {
        // Free now; another program could still take it, which fails the start and nothing else.
        let web = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (web_text, passes) = (web.to_string(), passes.to_string());
        let client = reqwest::Client::builder().no_proxy().build()?;
        let flags = ["--interval", POLL_SECS, "--web", &web_text, "--passes", &passes];
        let args: Vec<&str> = ["run", workload.config_url()].into_iter().chain(flags).collect();
        Ok(Self { process: program.start(&args)?, web, client })
    }

    pub fn cpu_secs(&self) -> anyhow::Result<f64> {
        cost::cpu_of(self.process.pid()?)
    }

    /// Resident, and at its peak.
    pub fn memory_mib(&self) -> anyhow::Result<(f64, f64)> {
        cost::resident_mib(self.process.pid()?)
    }

    /// What it has asked the API server for so far, by verb.
    pub async fn requests(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let text = self.metrics().await.context("it says nothing of itself")?;
        let verb = |line: &str| {
            let (verb, count) = line.strip_prefix("toolforge_requests_total{verb=\"")?.split_once("\"} ")?;
            Some((verb.to_owned(), count.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(verb).collect())
    }

    /// Passes so far, and tools that wait or run; none while it says nothing.
    async fn passes(&self) -> (Option<usize>, Option<usize>) {
        let text = self.metrics().await.unwrap_or_default();
        (value(&text, PASSES), value(&text, BUSY))
    }

    async fn metric(&self, name: &str) -> Option<usize> {
        value(&self.metrics().await?, name)
    }

    /// None while nobody listens there yet.
    async fn metrics(&self) -> Option<String> {
        self.client.get(format!("http://{}/metrics", self.web)).send().await.ok()?.text().await.ok()
    }

    fn last_words(&self) -> String {
        let lines = self.process.err.all();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn value(metrics: &str, name: &str) -> Option<usize> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.trim().parse().ok()
}
