//! `demo`: the same code as `run`, on the examples, with somebody who breaks things and somebody who tells.

mod acts;
mod builder;
mod machine;
mod stage;
mod teller;
mod watcher;

use super::run::serve_sandbox;
use crate::ui::{Exit, Style, Ui};
use acts::Show;
use builder::Builder;
use local::registry::Registry;
use machine::Machine;
use stage::Stage;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// See it work: tools on a sandbox, in a scratch folder
///
/// Makes a config repository and the repositories of ten tools, serves them with the same code as `toolforge run`, and
/// shows what happens: a commit becomes objects, a change by hand is taken back, a removed component goes, a broken file
/// harms nobody else. Then three more tools, which are built and run as processes of this machine: a push becomes a page,
/// and beta becomes main. Then it stays up for you to try; Ctrl-C ends it and leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge demo           the show, then it stays up
  toolforge demo --exit    the show alone

Needs git and /usr/bin/python3, and nothing else: no cluster, no registry, no network.")]
pub struct Args {
    /// End after the show
    #[arg(long)]
    exit: bool,
}

pub async fn run(args: &Args, ui: &Ui, stop: CancellationToken) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let stage = Stage::new()?;
    let registry = Registry::start(&stage.path("registry"), 0).await?;
    stage.add_played(&registry.host())?;
    let (config, state) = (stage.path("config"), stage.path("state"));
    let served = serve_sandbox(&config, &state, Duration::from_secs(1), stop.child_token()).await?;
    let builder = Builder::start(&served.cluster, &registry.host());
    let mut show = Show::new(&stage, &builder, &served.cluster, ui);
    let mut machine = None;
    let shown = tokio::select! {
        shown = both(&mut show, &stage, &mut machine, ui, &stop) => shown,
        () = stop.cancelled() => Ok(()),
    };
    if let (Ok(()), Some(machine), false) = (&shown, &machine, stop.is_cancelled()) {
        let took = begun.elapsed();
        if ui.json {
            let acts: Vec<_> = show.acts().iter().chain(machine.acts()).collect();
            let (secs, router) = (took.as_secs_f64(), machine.port());
            ui.json(
                &serde_json::json!({"acts": acts, "secs": secs, "kubeconfig": served.kubeconfig, "router": router}),
            )?;
        } else if !args.exit {
            ui.data(&by_hand(&stage, &served.kubeconfig.display().to_string(), ui))?;
            ui.data(&machine.by_hand(&stage, ui))?;
        }
        if args.exit {
            ui.data_unless_json(&format!("all of it in {:.1} s\n", took.as_secs_f64()))?;
        } else {
            stop.cancelled().await;
        }
    }
    if let Some(machine) = machine {
        machine.end().await?;
    }
    served.end().await?;
    shown.map(|()| Exit::Done)
}

/// The tools that are played, then those that run.
async fn both<'a>(
    show: &mut Show<'a>,
    stage: &'a Stage,
    machine: &mut Option<Machine<'a>>,
    ui: &'a Ui,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    show.play().await?;
    // Kept also where it fails: its processes are ended then.
    machine.insert(Machine::start(stage, ui, stop.child_token()).await?).play().await
}

fn by_hand(stage: &Stage, kubeconfig: &str, ui: &Ui) -> String {
    let repo = stage.path("repos/wordcount");
    let repo = repo.display();
    let title = ui.data_in(Style::Title, "It stays up. In another terminal:");
    let binary = std::env::current_exe().map_or_else(|_| "toolforge".to_owned(), |path| path.display().to_string());
    format!(
        "{title}
  export KUBECONFIG={kubeconfig}
  kubectl get tools
  kubectl -n tool-wordcount scale deployment/web --replicas=7; kubectl -n tool-wordcount get deployment/web
  kubectl -n tool-wordcount delete deployment/web
  cd {repo} && sed -i 's/replicas: 3/replicas: 4/' toolforge.yaml && {binary} diff --kubeconfig $KUBECONFIG
  git -C {repo} commit -am 'Four copies' && {binary} status wordcount --kubeconfig $KUBECONFIG
"
    )
}
