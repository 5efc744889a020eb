//! Poll 1,000 repositories over http: wall time, own CPU and requests, beside `git ls-remote` for each.
//!
//! Run: `cargo bench -p tests --bench poll`. The git host runs in a process of its own, so that the CPU shown is the
//! client's; it starts `git http-backend` for each request, which is most of the wall time. Prints a table.

#![expect(clippy::print_stdout, reason = "a program that prints a table and stops at the first surprise")]

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use reconciler::dialer::{Dialer, HostPort, Rules};
use reconciler::source::{Git, Poller, RepositoryUrl, Settings, Wanted};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::git_server::GitServer;

const REPOSITORIES: usize = 1_000;
/// `git ls-remote` is slow enough that a part tells the whole.
const LS_REMOTES: usize = 200;
const SERVE: &str = "--serve-git";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if std::env::args().any(|arg| arg == SERVE) {
        return serve().await;
    }
    let host = Host::start()?;
    let wanted: Vec<_> = (0..REPOSITORIES).map(|n| host.wanted(n)).collect::<Result<_, _>>()?;
    let folder = tempfile::tempdir()?;
    let git = Git::new(Dialer::new(host.rules()?), Settings::new(folder.path()), Default::default());
    println!("{REPOSITORIES} repositories over http on this machine\n");
    println!("| what | repositories | requests | wall, s | own CPU, s |\n|---|---|---|---|---|");
    for what in ["first poll", "second poll", "third poll"] {
        let (begun, cpu, asked) = (Instant::now(), own_cpu()?, git.counts().ls_refs);
        let rows: Vec<_> = Poller::new(git.clone()).poll(&wanted).collect().await;
        let good = rows.iter().filter(|(_, refs)| refs.is_ok()).count();
        ensure!(good == REPOSITORIES, "{good} answered; {:?}", rows.iter().find(|(_, refs)| refs.is_err()));
        row(what, REPOSITORIES, git.counts().ls_refs - asked, begun.elapsed(), own_cpu()?.saturating_sub(cpu));
    }
    let (begun, cpu) = (Instant::now(), children_cpu()?);
    for n in 0..LS_REMOTES {
        let status =
            Command::new("git").args(["ls-remote", &host.url(n), "refs/heads/main"]).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "git ls-remote failed");
    }
    row(
        "git ls-remote, one after another",
        LS_REMOTES,
        2 * LS_REMOTES as u64,
        begun.elapsed(),
        children_cpu()?.saturating_sub(cpu),
    );
    Ok(())
}

fn row(what: &str, repositories: usize, requests: u64, wall: Duration, cpu: Duration) {
    println!("| {what} | {repositories} | {requests} | {:.2} | {:.2} |", wall.as_secs_f64(), cpu.as_secs_f64());
}

/// The git host, in a process of its own; it ends with its standard input.
struct Host {
    child: Child,
    base: String,
}

impl Host {
    fn start() -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        let mut child = Command::new(this).arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the git host did not start");
        Ok(Self { child, base: line.trim().to_owned() })
    }

    fn url(&self, n: usize) -> String {
        self.base.replace("/r0", &format!("/r{n}"))
    }

    fn wanted(&self, n: usize) -> anyhow::Result<Wanted> {
        Ok(Wanted { repository: RepositoryUrl::parse(&self.url(n))?, names: BTreeSet::from(["main".to_owned()]) })
    }

    fn rules(&self) -> anyhow::Result<Rules> {
        let mut rules = Rules::default();
        let url = RepositoryUrl::parse(&self.base)?;
        rules.trust(HostPort::new(url.host(), url.port()));
        Ok(rules)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Closing its standard input ends it; waiting leaves no zombie.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

async fn serve() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    for n in 0..REPOSITORIES {
        server.repository(&format!("r{n}"))?.commit(&[("toolforge.yaml", "config_version: v1beta1\n")])?;
    }
    println!("{}", server.url("r0"));
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}

/// User and system time of this process.
fn own_cpu() -> anyhow::Result<Duration> {
    cpu(13, 14)
}

/// User and system time of the children it has waited for.
fn children_cpu() -> anyhow::Result<Duration> {
    cpu(15, 16)
}

/// Two fields of /proc/self/stat, in hundredths of a second, counted from 0 with the name as one field.
fn cpu(user: usize, system: usize) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').context("/proc/self/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |n: usize| -> anyhow::Result<u64> { Ok(fields.get(n - 2).context("a field")?.parse()?) };
    Ok(Duration::from_millis(10 * (ticks(user)? + ticks(system)?)))
}
