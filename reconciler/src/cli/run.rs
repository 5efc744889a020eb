//! `run`: the main job. Everything it does is in [`reconciler::driver`]; here it is chosen what for.

mod passes;

use super::connect::{ClusterArgs, Connected};
use super::processes::{Folders, Processes};
use super::target::{Declared, config_url, unread};
use crate::ui::{Exit, Ui, wrong_use};
use passes::Passes;
use reconciler::cluster::door::Requests;
use reconciler::cluster::{Cluster, SANDBOX_TITLE};
use reconciler::driver::{self, Limits, Options};
use reconciler::lease;
use reconciler::source::RepositoryUrl;
use renderer::Platform;
use sandbox::{Listening, Sandbox};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Serve a platform: keep the cluster as the repositories say
///
/// Polls the config repository and the repositories of its tools, brings every change to the cluster, and takes back
/// what was changed by hand. One process per platform writes; a second one waits for its Lease.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge run https://git.example/platform --cluster in-cluster --web 0.0.0.0:9090
  toolforge run ./config --sandbox                a folder, on the sandbox
  toolforge run ./config --run-processes          the same, and what it deploys runs on this machine
  toolforge run ./config --interval 10 -v         ask git every ten seconds, and say what happens
  toolforge run ./config --once                   what can be done now, then the end
  toolforge run ./config --json 2> log            a line of JSON for each pass that has something to say

With --once the exit code is 0: all is as it should be, 1: something waits or is broken, 2: wrong use, 3: a step failed.
Private repositories: TOOLFORGE_GIT_USERNAME and TOOLFORGE_GIT_PASSWORD are used for the config repository.
Stop it with Ctrl-C or SIGTERM: passes under way are finished, and the Lease is freed.")]
pub struct Args {
    /// The config repository: a folder or a URL
    config: String,
    /// Which of its platforms, where it has several
    #[arg(long, value_name = "NAME")]
    platform: Option<String>,
    /// Seconds between polls of git, instead of the platform's own
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: Option<u64>,
    /// How many tools are worked on at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    passes: u16,
    /// End when nothing is left that could be done now; what a controller has yet to do is not waited for
    #[arg(long, conflicts_with_all = ["interval", "web"])]
    once: bool,
    /// Serve /metrics, /healthz and /readyz at this address
    #[arg(long, visible_alias = "metrics-addr", value_name = "ADDRESS:PORT")]
    web: Option<SocketAddr>,
    /// On a sandbox: run the components as processes of this machine. It isolates nothing: for one person's machine alone
    #[arg(long, conflicts_with = "once")]
    run_processes: bool,
    /// Port of loopback at which the components are reached, as http://<tool>.localhost:PORT/
    #[arg(long, value_name = "PORT", default_value_t = 8080, requires = "run_processes")]
    port: u16,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub async fn run(args: &Args, ui: &Ui, stop: CancellationToken) -> anyhow::Result<Exit> {
    let config = config_url(&args.config)?;
    let declared = Declared::of_repository(&args.config, args.platform.as_deref(), ui).await?;
    let connected = args.cluster.connect_to_stay(Some(&declared.platform)).await?;
    let listening = match &connected.sandbox {
        Some(sandbox) => Some(sandbox.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?),
        None => None,
    };
    let processes = match args.run_processes {
        true => Some(run_processes(args, &connected, &declared.platform).await?),
        false => None,
    };
    let tools = declared.tools.len();
    ui.say(&format!("{}  {tools} tools  cluster: {}", declared.platform.name, connected.cluster.name));
    if let Some(listening) = listening.as_ref().filter(|_| !args.once) {
        ui.hint(&format!("Look in with `kubectl --kubeconfig {} get tools`.", listening.kubeconfig.display()));
    }
    if let Some(processes) = &processes {
        processes.tell(ui);
    }
    if args.once {
        nobody_else(&connected.cluster, &declared.platform).await?;
    }
    let (listener, heard) = driver::listener();
    let options = Options {
        config,
        platform: args.platform.clone(),
        limits: Limits {
            passes: usize::from(args.passes),
            interval: args.interval.map(Duration::from_secs),
            // The last pass of `--once` is the last word.
            patience: if args.once { Duration::ZERO } else { Limits::default().patience },
            ..Limits::default()
        },
        cache: super::target::git_cache(),
        web: args.web,
        listener: Some(listener),
    };
    let passes = match args.once {
        true => Passes::once(declared.tools.iter().map(|tool| tool.name.clone())),
        false => Passes::endless(),
    };
    let variable = |name: &str| std::env::var(name).ok();
    let serving = driver::serve(options, connected.cluster.clone(), &connected.requests, &variable, stop.clone());
    let (served, heard) = tokio::join!(serving, passes.hear(heard, ui, &stop));
    if let Some(processes) = processes {
        processes.end().await;
    }
    served?;
    let exit = heard?;
    Ok(if args.once && exit == Exit::Done && declared.broken > 0 { Exit::Differs } else { exit })
}

/// Only a sandbox that is ours has a node that is ours.
async fn run_processes(args: &Args, connected: &Connected, platform: &Platform) -> anyhow::Result<Processes> {
    let Some(sandbox) = &connected.sandbox else {
        let name = &connected.cluster.name;
        return Err(wrong_use(format!("processes are run for a sandbox of one's own alone, not for {name}"))
            .hint("Use `--sandbox`, or leave out `--run-processes`: a cluster has nodes of its own.")
            .into());
    };
    let folders = Folders::of_sandbox(&args.cluster.sandbox_folder());
    Processes::start(sandbox, platform, &folders, args.port).await
}

/// `run` waits until the other one is gone; what is to end soon says that there is one.
async fn nobody_else(cluster: &Cluster, platform: &Platform) -> anyhow::Result<()> {
    let holder = lease::holder(&cluster.client, &platform.namespace, &lease::name(&platform.name)).await;
    match holder.map_err(|error| unread("who looks after this platform", error))? {
        None => Ok(()),
        Some(holder) => Err(wrong_use(format!("{} looks after platform {}", holder.identity, platform.name))
            .hint("It brings what is committed to the cluster by itself: run `toolforge status`.")
            .into()),
    }
}

/// A sandbox that is served in the background, for `demo`.
pub struct Served {
    /// The sandbox, as a spectator sees it: what is asked through it is not counted as the reconciler's.
    pub cluster: Cluster,
    /// For kubectl.
    pub kubeconfig: PathBuf,
    stop: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
    // Dropped last: the reconciler ends before its cluster does.
    _listening: Listening,
    /// The sandbox itself.
    pub sandbox: Sandbox,
}

impl Served {
    /// Ends it, and waits for the end.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.serving.await?
    }
}

/// Serves a config repository on a sandbox of its own, exactly as `run --sandbox` does.
pub async fn serve_sandbox(
    config: &Path,
    state: &Path,
    interval: Duration,
    stop: CancellationToken,
) -> anyhow::Result<Served> {
    let sandbox = Sandbox::open(&state.join("sandbox"))?;
    let listening = sandbox.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let options = Options {
        config: RepositoryUrl::local(config),
        platform: None,
        limits: Limits { interval: Some(interval), ..Limits::default() },
        cache: state.join("git"),
        web: None,
        listener: None,
    };
    let requests = Requests::default();
    let cluster = Cluster::of_service(SANDBOX_TITLE, sandbox.service(), &requests);
    let until = stop.clone();
    // Credentials of the person's own environment have no place in a demo.
    let serving = async move { driver::serve(options, cluster, &requests, &|_| None, until).await };
    let spectator = Cluster::of_service(SANDBOX_TITLE, sandbox.service(), &Requests::default());
    Ok(Served {
        cluster: spectator,
        kubeconfig: listening.kubeconfig.clone(),
        stop,
        serving: tokio::spawn(serving),
        _listening: listening,
        sandbox,
    })
}
