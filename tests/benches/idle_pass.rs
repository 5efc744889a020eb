//! Thousands of tools on the real API server: how long until they are all Ready, what a reconciler asks for once they are,
//! how quickly a new process has verified everything, and how much memory it keeps.
//!
//! Run: `cargo bench -p tests --bench idle_pass`; `TOOLS` (1,000) and `MINUTES` of idling (1) come from the environment. All
//! tools live in one repository, a folder each, so that git is one request a poll. Their replicas are 0: what is measured
//! is us and the API server, not fake nodes. Requests are counted from the API server's audit log; memory and CPU are
//! those of a process that does nothing but reconcile: this program, started again.

#![expect(clippy::print_stdout, reason = "a program that prints a table and stops at the first surprise")]

use anyhow::{Context as _, ensure};
use kube::api::ListParams;
use reconciler::cluster::Cluster;
use reconciler::cluster::door::Requests;
use reconciler::driver::{Limits, Options, serve};
use reconciler::source::RepositoryUrl;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::control_plane::{ADMIN, Mark};
use tests::platform::{Platform, Route, kind_of};
use tokio_util::sync::CancellationToken;

const IDLE_POLLS: usize = 20;
/// For each tool of a first rollout on a busy machine.
const DEADLINE_EACH: Duration = Duration::from_millis(900);
/// Set for the child: everything it is told.
const CHILD: &str = "IDLE_PASS_CHILD";
const POLL_EVERY: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Ok(orders) = std::env::var(CHILD) {
        return reconcile(serde_json::from_str(&orders)?).await;
    }
    let (tools, minutes) = (number("TOOLS", 1_000)?, number("MINUTES", 1)?);
    let platform = Platform::prepare("idle", Route::Ingress).await?;
    commit_tools(&platform, tools)?;
    println!("{tools} tools, Deployment, Service, Ingress and NetworkPolicy each, on a real kube-apiserver\n");
    println!("| what | wall, s | requests by verb |\n|---|---|---|");
    let (mark, begun) = (platform.plane().mark()?, Instant::now());
    platform.run().await?;
    all_ready(&platform, tools, begun).await?;
    let ready = begun.elapsed();
    // The last of many has just become Ready: what was stored of it is still to be written down.
    while let Err(error) = platform.quiet().await {
        ensure!(begun.elapsed() < DEADLINE_EACH * u32::try_from(tools)?, error);
    }
    row(&platform, "first rollout, until every Tool is Ready", ready, mark)?;

    let (mark, begun) = (platform.plane().mark()?, Instant::now());
    platform.polled_times(IDLE_POLLS).await?;
    row(&platform, &format!("idle, {IDLE_POLLS} polls of git"), begun.elapsed(), mark)?;
    platform.stop().await?;
    alone(&platform, tools, minutes).await
}

/// A process of its own, which finds nothing to do.
async fn alone(platform: &Platform, tools: usize, minutes: usize) -> anyhow::Result<()> {
    let (mark, begun) = (platform.plane().mark()?, Instant::now());
    let process = Process::start(platform)?;
    let verified = process.verified(tools).await?;
    let (cpu, memory) = (process.cpu_ms()?, process.memory()?);
    platform.polled_times(3).await?;
    row(platform, "restart, until everything is verified", verified - begun, mark)?;
    let (mark, before) = (platform.plane().mark()?, process.cpu_ms()?);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) * u32::try_from(minutes)? {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    row(platform, &format!("the same process, idle for {minutes} min"), begun.elapsed(), mark)?;
    println!("\n| a process by itself | CPU, ms | memory, MiB | at its peak, MiB |\n|---|---|---|---|");
    println!("| until everything is verified | {cpu} | {} | {} |", memory.resident_mib, memory.peak_mib);
    let (after, memory) = (process.cpu_ms()? - before, process.memory()?);
    println!("| idle for {minutes} min | {after} | {} | {} |", memory.resident_mib, memory.peak_mib);
    process.stop()
}

fn number(name: &str, otherwise: usize) -> anyhow::Result<usize> {
    std::env::var(name).map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{name}={text}")))
}

/// What the child is told.
#[derive(serde::Serialize, serde::Deserialize)]
struct Orders {
    kubeconfig: PathBuf,
    user: String,
    config: String,
    cache: PathBuf,
    web: SocketAddr,
}

/// The child: `toolforge run`, until its stdin ends.
async fn reconcile(orders: Orders) -> anyhow::Result<()> {
    tests::control_plane::install_crypto();
    let options = kube::config::KubeConfigOptions { context: Some(ADMIN.into()), ..Default::default() };
    let kubeconfig = kube::config::Kubeconfig::read_from(&orders.kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.auth_info.impersonate = Some(orders.user);
    config.auth_info.impersonate_groups = Some(vec!["system:masters".into()]);
    let requests = Requests::default();
    let options = Options {
        config: RepositoryUrl::parse(&orders.config)?,
        platform: None,
        limits: Limits { interval: Some(POLL_EVERY), ..Limits::default() },
        cache: orders.cache,
        web: Some(orders.web),
        listener: None,
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    std::thread::spawn(move || {
        // Its end and an error mean the same: nobody is there any more.
        drop(std::io::stdin().read(&mut [0]));
        stopped.cancel();
    });
    serve(options, Cluster::of_config("test", config, &requests)?, &requests, &|_: &str| None, stop).await
}

struct Process {
    child: Child,
    web: SocketAddr,
    _cache: tempfile::TempDir,
}

struct Memory {
    resident_mib: u64,
    peak_mib: u64,
}

impl Process {
    fn start(platform: &Platform) -> anyhow::Result<Self> {
        let web = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let cache = tempfile::Builder::new().prefix("idle-pass-").tempdir()?;
        let orders = Orders {
            kubeconfig: platform.plane().kubeconfig().to_owned(),
            user: platform.user(),
            config: platform.config().url().to_owned(),
            cache: cache.path().to_owned(),
            web,
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.env(CHILD, serde_json::to_string(&orders)?).stdin(Stdio::piped());
        Ok(Self { child: command.spawn()?, web, _cache: cache })
    }

    /// When each tool has had a pass, and none waits for another.
    async fn verified(&self, tools: usize) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        loop {
            let passes = self.metric("toolforge_passes_total").await.unwrap_or(0);
            if passes >= tools && self.metric("toolforge_busy_tools").await == Some(0) {
                return Ok(Instant::now());
            }
            ensure!(begun.elapsed() < Duration::from_secs(300), "only {passes} passes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn metric(&self, name: &str) -> Option<usize> {
        let text = reqwest::get(format!("http://{}/metrics", self.web)).await.ok()?.text().await.ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mib = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key)).context("a line of it")?;
            anyhow::Ok(value.split_whitespace().next().context("a number")?.parse::<u64>()? / 1024)
        };
        Ok(Memory { resident_mib: mib("VmRSS:")?, peak_mib: mib("VmHWM:")? })
    }

    /// User and system time: fields 14 and 15 of its `stat`, in hundredths of a second.
    fn cpu_ms(&self) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(") ").next().context("its fields")?;
        let ticks = after_name.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(ticks * 10)
    }

    fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the reconciler ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // An error means that it has ended by itself.
        drop(self.child.wait());
    }
}

fn commit_tools(platform: &Platform, tools: usize) -> anyhow::Result<()> {
    let repository = platform.git().repository("all-tools")?;
    let image = format!("registry.example/web@sha256:{}", "a".repeat(64));
    let mut configs = Vec::new();
    let mut files = Vec::new();
    for n in 0..tools {
        let name = format!("{}-t{n}", platform.name());
        let mut text = format!("apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\n");
        writeln!(text, "spec: {{repository: {}, path: tools/{n}}}", repository.url())?;
        files.push((format!("tools/{name}.yaml"), text));
        let yaml = format!(
            "config_version: v1beta1\ncomponents:\n  web:\n    image: {image}\n    run: {{command: web, port: 8000, publish: /, replicas: 0}}\n"
        );
        configs.push((format!("tools/{n}/toolforge.yaml"), yaml));
    }
    for (place, all) in [(&repository, &configs), (platform.config(), &files)] {
        let all: Vec<_> = all.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        place.commit(&all)?;
    }
    Ok(())
}

async fn all_ready(platform: &Platform, expected: usize, begun: Instant) -> anyhow::Result<()> {
    let tools = platform.api(kind_of("Tool")?, None);
    loop {
        // The kind is not there until the reconciler has defined it.
        let found = tools.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        let ready = found.iter().filter(|tool| {
            let conditions = tool.data["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        });
        let ready = ready.count();
        if ready == expected {
            return Ok(());
        }
        let deadline = DEADLINE_EACH * u32::try_from(expected)?;
        ensure!(begun.elapsed() < deadline, "only {ready} of {expected} are Ready\n{}", platform.log().last(40));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn row(platform: &Platform, what: &str, wall: Duration, mark: Mark) -> anyhow::Result<()> {
    let mut verbs: BTreeMap<String, usize> = BTreeMap::new();
    for request in platform.requests_since(mark)? {
        let lease = if request.resource == "leases" { " leases" } else { "" };
        *verbs.entry(format!("{}{lease}", request.verb)).or_default() += 1;
    }
    let verbs: Vec<_> = verbs.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
    let verbs = if verbs.is_empty() { "none".to_owned() } else { verbs.join(", ") };
    println!("| {what} | {:.1} | {verbs} |", wall.as_secs_f64());
    Ok(())
}
