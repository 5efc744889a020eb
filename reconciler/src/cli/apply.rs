//! `apply`: the same pass as `run` makes, once, by hand. Nothing waits inside a pass; `--wait` makes one after the other
//! until the tool is Ready.

mod planned;

use super::diff;
use super::local::tool_name;
use super::target::{AtArgs, Target, TargetArgs, unread};
use crate::ui::{Exit, Failure, Style, Ui, failed, wrong_use};
use planner::outcome::Outcome;
use planner::plan::{Held, Plan};
use reconciler::driver::{self, platform};
use reconciler::events::Recorder;
use reconciler::lease::{self, Claim};
use reconciler::pass::{self, Decided, News, Subject};
use reconciler::source::{RepositoryUrl, SourceError, worktree};
use renderer::{Revision, ToolName};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between passes of `--wait`: short, because a pass that finds nothing to do sends only lists.
const PAUSE: Duration = Duration::from_millis(500);

/// Bring the cluster to what the tool's branch says
///
/// One pass, as `run` makes them: reads what is committed, plans, and sends what differs. With `--wait`, pass after pass
/// until the tool is Ready. With a plan that `toolforge diff --out` wrote: exactly that, or nothing, and what has
/// changed since.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge apply wordcount                   one pass
  toolforge apply wordcount --wait            until it is Ready, at most ten minutes
  toolforge apply --config ./config --sandbox --wait --timeout 60
  toolforge apply plan.json                   what `toolforge diff --out` wrote, if it still fits

Exit code: 0 done, 1 the plan no longer fits and nothing was done, 2 wrong use, 3 a step failed, or
it is not Ready in time.")]
pub struct Args {
    /// The tool, by default the one whose repository this folder is; or a plan, as a file
    #[arg(value_name = "TOOL|PLAN", value_parser = what)]
    what: Option<What>,
    /// Wait until the tool is Ready
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "wait")]
    timeout: u64,
    /// Also while another process looks after this platform
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: AtArgs,
}

/// What is to be applied.
#[derive(Debug, Clone)]
enum What {
    /// A tool.
    Tool(ToolName),
    /// A plan file. No tool's name has a dot or a slash.
    Plan(PathBuf),
}

fn what(text: &str) -> Result<What, String> {
    if text.contains(['.', '/']) { Ok(What::Plan(text.into())) } else { tool_name(text).map(What::Tool) }
}

pub async fn run(args: &Args, ui: &Ui, stop: CancellationToken) -> anyhow::Result<Exit> {
    let here = worktree::read(Path::new(".")).map_err(|error| failed("cannot read this folder").because(error))?;
    let tool = match &args.what {
        Some(What::Plan(file)) => return planned::run(args, file, &here, ui, stop).await,
        Some(What::Tool(tool)) => Some(tool.clone()),
        None => None,
    };
    let target = TargetArgs { tool, at: args.at.clone() }.find(&here, ui).await?;
    let held = claim(args, &target).await?;
    if args.at.config.is_some() {
        let client = &target.connected.cluster.client;
        let (platform, admission) = (&target.declared.platform, &target.declared.admission);
        platform::publish(client, platform, admission).await?;
        platform::publish_rules(client, platform, admission).await?;
    }
    let apply = Apply::new(&target, newest(&target).await?);
    under(held, apply.until_done(args, ui), stop, ui).await
}

/// Does it while the lease is ours, and frees the lease.
async fn under(
    held: Option<lease::Held>,
    work: impl Future<Output = anyhow::Result<Exit>>,
    stop: CancellationToken,
    ui: &Ui,
) -> anyhow::Result<Exit> {
    let lost = held.as_ref().map_or_else(CancellationToken::new, lease::Held::lost);
    let applied = tokio::select! {
        () = lost.cancelled() => Err(failed("the lease was lost: another process writes now").into()),
        applied = work => applied,
        () = stop.cancelled() => Err(failed("interrupted").hint("Run it again to go on.").into()),
    };
    if let Some(held) = held
        && let Err(error) = held.release().await
    {
        ui.say(&format!("the lease was not freed, it runs out by itself: {error}"));
    }
    applied
}

/// The platform's lease, unless somebody else has it.
async fn claim(args: &Args, target: &Target) -> anyhow::Result<Option<lease::Held>> {
    let (client, settings) = (&target.connected.cluster.client, &target.declared.platform);
    let name = lease::name(&settings.name);
    let holder = lease::holder(client, &settings.namespace, &name).await;
    match holder.map_err(|error| unread("who looks after this platform", error))? {
        Some(holder) if !args.force => {
            let message = format!("{} looks after platform {}", holder.identity, settings.name);
            let hint = format!(
                "It brings what is committed to the cluster by itself: run `toolforge status {}`, or add `--force`.",
                target.tool.name
            );
            return Err(wrong_use(message).hint(hint).into());
        }
        Some(_) => return Ok(None),
        None => {}
    }
    platform::namespace(client, settings).await?;
    let claim = Claim { namespace: settings.namespace.clone(), name, identity: lease::identity(), term: lease::TERM };
    Ok(Some(lease::acquire(client, claim, &|_| {}).await))
}

/// What the branch says now; a repository that can't be read holds the tool, as it does in `run`.
pub async fn newest(target: &Target) -> anyhow::Result<Result<Revision, String>> {
    let Target { declared, tool, siblings, .. } = target;
    let url = RepositoryUrl::of(tool).map_err(|error| wrong_use(error.to_string()))?;
    let refs = declared.git.ls_refs(&url, [tool.branch.as_str()]).await;
    let read = driver::newest(&declared.platform, tool, siblings, refs, &declared.git).await;
    Ok(read.map_err(|error: SourceError| error.to_string()))
}

/// Passes for one tool.
struct Apply<'a> {
    target: &'a Target,
    subject: Subject,
    recorder: Recorder,
}

impl<'a> Apply<'a> {
    fn new(target: &'a Target, newest: Result<Revision, String>) -> Self {
        Self { target, subject: target.subject(newest), recorder: Recorder::default() }
    }

    async fn until_done(&self, args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
        let begun = Instant::now();
        let mut told = String::new();
        loop {
            let (decided, outcome) = self.pass().await;
            self.show(&decided, &outcome, &mut told, ui)?;
            let plan = &decided.plan;
            let exit = if !args.wait {
                Some(ended(&outcome))
            } else if plan.is_ready() {
                Some(Exit::Done)
            } else if let Some(held) = stuck(plan) {
                ui.say(&format!("{} {}: {}", ui.talk_in(Style::Bad, "held:"), held.id, held.why));
                Some(Exit::Failed)
            } else if begun.elapsed() > Duration::from_secs(args.timeout) {
                return Err(late(plan, args.timeout).into());
            } else {
                None
            };
            if let Some(exit) = exit {
                self.recorder.finish(&self.target.connected.cluster.client).await;
                self.conclude(plan, &outcome, args, ui)?;
                return Ok(exit);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn pass(&self) -> (Decided, Outcome) {
        let decided = self.target.decide(&self.subject).await;
        let outcome = self.execute(&decided).await;
        (decided, outcome)
    }

    async fn execute(&self, decided: &Decided) -> Outcome {
        let cluster = &self.target.connected.cluster;
        let name = &self.subject.tool.name;
        let outcome = pass::execute(decided, self.target.doors(), &|_, _| {}).await;
        // Without its Tool, which a first pass may just have failed to make, there is nobody to tell.
        if let Ok(Some(live)) = reconciler::status::read(&cluster.client, name).await {
            let (subject, since) = (&self.subject, pass::now());
            let news = News { subject, live: &live, decided, outcome: &outcome, unsaid: &[], since, patient: false };
            pass::tell(&cluster.client, &self.recorder, &news).await;
        }
        outcome
    }

    /// A pass that does something is printed, one that only waits says what for, when that is news.
    fn show(&self, decided: &Decided, outcome: &Outcome, told: &mut String, ui: &Ui) -> anyhow::Result<()> {
        let plan = &decided.plan;
        let first = told.is_empty();
        if first {
            super::local::tell(&decided.report, &self.sources(), ui);
        }
        diff::refused(decided)?;
        if first || !plan.steps.is_empty() {
            if !ui.json {
                ui.data(&if first { diff::explained(plan, ui) } else { steps_alone(plan, ui) })?;
            }
            *told = " ".to_owned();
        } else if !plan.is_ready() && stuck(plan).is_none() {
            let waits = waiting(plan);
            if waits != *told {
                ui.say(&format!("waiting for {waits}"));
                *told = waits;
            }
        }
        for (row, failure) in outcome.failures() {
            ui.say(&format!("{} {} {}: {failure}", ui.talk_in(Style::Bad, "failed:"), row.action, row.id));
        }
        Ok(())
    }

    fn sources(&self) -> Vec<(String, &[u8])> {
        let files = self.subject.newest.as_ref().ok().map(|revision| &revision.files);
        files.map(diff::texts).unwrap_or_default()
    }

    fn conclude(&self, plan: &Plan, outcome: &Outcome, args: &Args, ui: &Ui) -> anyhow::Result<()> {
        if ui.json {
            return ui.json(&json!({"plan": plan, "outcome": outcome, "ready": plan.is_ready()}));
        }
        let name = &self.subject.tool.name;
        if plan.is_ready() {
            return ui.data(&format!("{name} is {}\n", ui.data_in(Style::Good, "Ready")));
        }
        if !args.wait && outcome.failures().next().is_none() {
            ui.hint(&format!("Run `toolforge apply {name} --wait` to go on until it is Ready."));
        }
        Ok(())
    }
}

/// What a later pass does: its header, and what waits, were told by the first one.
fn steps_alone(plan: &Plan, ui: &Ui) -> String {
    let text = diff::explained(&Plan { held: Vec::new(), ..plan.clone() }, ui);
    text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
}

fn ended(outcome: &Outcome) -> Exit {
    if outcome.failures().next().is_none() { Exit::Done } else { Exit::Failed }
}

/// Something that waiting does not mend.
fn stuck(plan: &Plan) -> Option<&Held> {
    use planner::plan::Why;
    let mends = |held: &&Held| held.why.passes() || matches!(held.why, Why::AwaitingBuild { .. } | Why::NotObserved(_));
    if plan.steps.is_empty() { plan.held.iter().find(|held| !mends(held)) } else { None }
}

/// What is waited for, in a line.
fn waiting(plan: &Plan) -> String {
    let held = plan.held.iter().map(|held| format!("{}: {}", held.id, held.why));
    let rolling = plan.not_ready.iter().map(|row| format!("{}: {}", row.id, row.why));
    let all: Vec<String> = rolling.chain(held).collect();
    match all.as_slice() {
        [] => "the cluster".to_owned(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} (and {} more)", rest.len()),
    }
}

fn late(plan: &Plan, secs: u64) -> Failure {
    let message = format!("{} is not Ready after {secs} s: {}", plan.tool, waiting(plan));
    failed(message).hint(format!("Run `toolforge status {}`, or wait longer with `--timeout`.", plan.tool))
}
