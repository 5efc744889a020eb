//! `dev`: the tool of a working tree, run on this machine. What is saved is committed to a scratch repository, and from
//! there on everything is the code that serves a platform: the same build, the same objects, the same rollout.

mod snapshot;
mod voices;

use super::local::tool_name;
use super::place::{self, Place};
use super::processes::{Folders, Processes};
use super::run::{Served, serve_sandbox};
use super::scratch;
use crate::ui::{Exit, Ui, failed, plain, wrong_use};
use local::registry::Registry;
use renderer::ToolName;
use snapshot::{Changes, Snapshot};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use voices::Voices;

/// Run the tool of this folder on this machine, without a commit
///
/// Builds what is in the folder, starts its components as processes of this machine, prints what they say, and starts
/// again when a file is saved. What git ignores is left out. It isolates nothing and is for one person's machine. Ctrl-C
/// ends everything.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge dev                 this folder, at http://<tool>.localhost:8080/
  toolforge dev ~/wordcount     that one

Nothing is committed to the tool's own repository, and nothing is left behind but what makes the next build quick.")]
pub struct Args {
    /// Folder of the tool
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// Name of the tool; by default that of the folder
    #[arg(long, value_name = "NAME", value_parser = tool_name)]
    tool: Option<ToolName>,
    /// Port of loopback at which the components are reached
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
}

/// Polls beside the hints of the file system.
const INTERVAL: Duration = Duration::from_secs(5);

pub async fn run(args: &Args, ui: &Ui, stop: CancellationToken) -> anyhow::Result<Exit> {
    let Place::Tool(place) = place::look(&args.path)? else {
        let message = format!("{} is no folder of a tool", args.path.display());
        return Err(wrong_use(message).hint("Run `toolforge run --run-processes` for a config repository.").into());
    };
    let tool = place::tool_name(args.tool.as_ref(), &place)?;
    let scratch = scratch::folder("toolforge-dev-")?;
    let snapshot = Snapshot::new(&place, &scratch.path().join("repo"))?;
    let (served, processes, _registry) = serve(args, &tool, scratch.path(), &stop, ui).await?;
    ui.say(&format!("{tool} runs on this machine, isolated from nothing; Ctrl-C ends it"));
    for line in processes.limits() {
        ui.say(line);
    }
    ui.say(&processes.router.url(tool.as_str()));
    let voices = Voices::of(&served.cluster.client, &tool, *ui);
    let kept = tokio::select! {
        kept = keep_up(&snapshot, ui) => kept,
        () = voices.listen() => Ok(()),
        () = stop.cancelled() => Ok(()),
    };
    processes.end().await;
    served.end().await?;
    kept.map(|()| Exit::Done)
}

/// A platform with this one tool.
async fn serve(
    args: &Args,
    tool: &ToolName,
    scratch: &Path,
    stop: &CancellationToken,
    ui: &Ui,
) -> anyhow::Result<(Served, Processes, Registry)> {
    let folders = Folders { builds: Folders::of_sandbox(scratch).builds, ..Folders::below(scratch) };
    let cannot = |error: std::io::Error| failed(format!("cannot prepare {}: {}", scratch.display(), plain(&error)));
    let registry = Registry::start(&folders.registry, 0).await.map_err(cannot)?;
    let config = scratch.join("config");
    fs::create_dir_all(config.join("tools")).map_err(cannot)?;
    let file = config.join("platform.yaml");
    fs::write(&file, platform_text(&registry.host())).map_err(cannot)?;
    fs::write(config.join("tools").join(format!("{tool}.yaml")), tool_text(tool)).map_err(cannot)?;
    scratch::git(&config, &["init", "-q", "-b", "main"])?;
    scratch::git(&config, &["add", "--all"])?;
    scratch::git(&config, &["commit", "-q", "-m", "One tool"])?;
    let platform = super::local::platform(&file, ui)?;
    let served = serve_sandbox(&config, scratch, INTERVAL, stop.child_token()).await?;
    let processes = Processes::start(&served.sandbox, &platform, &folders, args.port).await?;
    Ok((served, processes, registry))
}

fn platform_text(registry: &str) -> String {
    format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {{name: dev}}\nspec:\n  domain: dev.example\n  \
         registry: {{host: {registry}/dev}}\n  builds: {{backend: local}}\n  allowed_hosts: ['*']\n"
    )
}

fn tool_text(tool: &ToolName) -> String {
    format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {tool}}}\n\
         spec: {{repository: ../repo, branch: main}}\n"
    )
}

/// Takes what is saved, for as long as somebody saves.
async fn keep_up(snapshot: &Snapshot, ui: &Ui) -> anyhow::Result<()> {
    let mut changes = Changes::below(snapshot.folder())?;
    loop {
        changes.next().await;
        match snapshot.take() {
            Ok(true) => ui.say("saved: building what changed"),
            Ok(false) => {}
            // Half a save is no reason to end: the next one may be whole.
            Err(error) => ui.say(&format!("what was saved can't be taken: {error:#}")),
        }
    }
}
