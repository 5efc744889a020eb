//! 1,000 tools on the real API server: how long until they are all Ready, and what a reconciler asks for once they are.
//!
//! Run: `cargo bench -p tests --bench idle_pass`. All tools live in one repository, a folder each, so that git is one
//! request a poll. Their replicas are 0: what is measured is us and the API server, not fake nodes. Prints a table from
//! the API server's audit log.

#![expect(clippy::print_stdout, reason = "a program that prints a table and stops at the first surprise")]

use anyhow::ensure;
use kube::api::ListParams;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use tests::platform::{Platform, Route, kind_of};

const TOOLS: usize = 1_000;
const IDLE_POLLS: usize = 20;
/// A first rollout on a busy machine.
const DEADLINE: Duration = Duration::from_secs(900);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let platform = Platform::prepare("idle", Route::Ingress).await?;
    commit_tools(&platform)?;
    let (mark, begun) = (platform.plane().mark()?, Instant::now());
    platform.run().await?;
    all_ready(&platform, begun).await?;
    let ready = begun.elapsed();
    platform.quiet().await?;
    println!("{TOOLS} tools, Deployment, Service, Ingress and NetworkPolicy each, on a real kube-apiserver\n");
    println!("| what | wall, s | requests by verb |\n|---|---|---|");
    row(&platform, "first rollout, until every Tool is Ready", ready, mark)?;

    let (mark, begun) = (platform.plane().mark()?, Instant::now());
    platform.polled_times(IDLE_POLLS).await?;
    row(&platform, &format!("idle, {IDLE_POLLS} polls of git"), begun.elapsed(), mark)?;

    platform.stop().await?;
    let (mark, begun) = (platform.plane().mark()?, Instant::now());
    platform.run().await?;
    platform.polled_times(5).await?;
    platform.quiet().await?;
    row(&platform, "restart with nothing to do", begun.elapsed(), mark)?;
    println!("\nmemory of this process, which is reconciler, git host and test: {} MiB", resident_mib()?);
    platform.stop().await
}

fn commit_tools(platform: &Platform) -> anyhow::Result<()> {
    let repository = platform.git().repository("all-tools")?;
    let image = format!("registry.example/web@sha256:{}", "a".repeat(64));
    let mut configs = Vec::new();
    let mut files = Vec::new();
    for n in 0..TOOLS {
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

async fn all_ready(platform: &Platform, begun: Instant) -> anyhow::Result<()> {
    let tools = platform.api(kind_of("Tool")?, None);
    loop {
        // The kind is not there until the reconciler has defined it.
        let found = tools.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        let ready = found.iter().filter(|tool| {
            let conditions = tool.data["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        });
        let ready = ready.count();
        if ready == TOOLS {
            return Ok(());
        }
        ensure!(begun.elapsed() < DEADLINE, "only {ready} of {TOOLS} are Ready\n{}", platform.log().last(40));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn row(platform: &Platform, what: &str, wall: Duration, mark: tests::control_plane::Mark) -> anyhow::Result<()> {
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

/// VmRSS of this process.
fn resident_mib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    Ok(line.split_whitespace().next().unwrap_or("0").parse::<u64>()? / 1024)
}
