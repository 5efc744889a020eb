//! `diff`: the dry run. The same pass as `run` and `apply`, without its last step: it gets and lists, and never writes.

mod branches;
mod revision;
mod yaml;

use super::target::{TargetArgs, is_repository_of};
use crate::ui::{self, Exit, Failure, Ui, failed};
use planner::plan::Plan;
use reconciler::observe::{self, Scope};
use reconciler::pass::{Decided, Subject, decide};
use reconciler::source::worktree;
use renderer::Files;
use std::path::Path;

/// Show what would change on the cluster, and why
///
/// In a tool's working tree: what the files as they are now would change. With the name of a tool: what its branch
/// would. Only reads; needs no more rights than to get and list.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge diff                          this working tree, against the cluster
  toolforge diff wordcount                the tip of that tool's branch, against the cluster
  toolforge diff --branch beta            another branch
  toolforge diff --commit 35b594f...      one commit
  toolforge diff --against main           this working tree against a branch; no cluster is asked
  toolforge diff --yaml                   as a unified diff of the manifests
  toolforge diff --json | jq '.steps[].id.name'

Exit code: 0 in sync, 1 something would change or waits, 2 wrong use, 3 failed.")]
pub struct Args {
    /// The tip of this branch, instead of the working tree
    #[arg(long, value_name = "BRANCH", conflicts_with = "commit")]
    branch: Option<String>,
    /// This commit, instead of the working tree
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// Compare with what this branch says, instead of with the cluster
    #[arg(long, value_name = "BRANCH")]
    against: Option<String>,
    /// As a unified diff of the Kubernetes manifests, instead of field by field
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    #[command(flatten)]
    target: TargetArgs,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let here = worktree::read(Path::new(".")).map_err(|error| failed("cannot read this folder").because(error))?;
    if let Some(against) = &args.against {
        return branches::run(args, &here, against, ui).await;
    }
    let target = args.target.find(&here, ui).await?;
    let newest = revision::wanted(args, &target, &here, ui).await?;
    let subject = Subject {
        platform: target.declared.platform.clone(),
        tool: target.tool.clone(),
        siblings: target.siblings.clone(),
        newest: Ok(newest),
        trouble: None,
        forgotten: false,
        circumstances: planner::Circumstances::at(reconciler::pass::now()),
    };
    let cluster = &target.connected.cluster;
    let scope = Scope::of(&cluster.name, &subject.platform);
    let observed = observe::once(&cluster.client, &scope, &subject.tool.name).await;
    let decided = decide(&subject, observed, &cluster.client, &target.declared.registry).await;
    show(args, &decided, &subject, ui)?;
    next_step(args, &decided.plan, is_repository_of(&subject.tool, &here), ui);
    Ok(verdict(&decided.plan))
}

/// Findings and hint are talk, the plan is data.
fn show(args: &Args, decided: &Decided, subject: &Subject, ui: &Ui) -> anyhow::Result<()> {
    let files = subject.newest.as_ref().map(|revision| revision.files.clone()).unwrap_or_default();
    super::local::tell(&decided.report, &texts(&files), ui);
    refused(decided)?;
    if ui.json {
        return ui.json(&decided.plan);
    }
    if args.yaml {
        // A patch is what is asked for; whose it is, and that something waits, is talk.
        let (header, totals) = (planner::explain::header(&decided.plan), planner::explain::totals(&decided.plan));
        ui.say(&format!("{header}{totals}"));
        return ui.data(&yaml::of_plan(&decided.plan, &decided.observed, ui));
    }
    ui.data(&explained(&decided.plan, ui))
}

/// How these changes would be made: never from another branch or commit than the one that is followed.
fn next_step(args: &Args, plan: &Plan, at_hand: bool, ui: &Ui) {
    if ui.json || plan.steps.is_empty() || args.branch.is_some() || args.commit.is_some() {
        return;
    }
    if at_hand {
        ui.hint("Commit and push to make these changes.");
    } else {
        ui.hint(&format!("Run `toolforge apply {}` to make these changes.", plan.tool));
    }
}

/// The texts that findings point into.
pub fn texts(files: &Files) -> Vec<(String, &[u8])> {
    let named = [
        ("toolforge.yaml", &files.config),
        ("Procfile", &files.procfile),
        ("service.template", &files.service_template),
    ];
    named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?))).collect()
}

/// A plan that its judge refuses is a defect of ours, and never shown as if it could be done.
pub fn refused(decided: &Decided) -> Result<(), Failure> {
    match decided.violations.first() {
        None => Ok(()),
        Some(violation) => Err(failed(format!("the plan breaks a rule at {}: {}", violation.id, violation.rule))
            .hint("This is a defect in toolforge; nothing is done.")),
    }
}

/// The plan in words.
pub fn explained(plan: &Plan, ui: &Ui) -> String {
    let now = ui::now();
    planner::explain::explain(plan, &|tone, text| ui.paint(tone, text), &|time| ui::ago(time, now))
}

fn verdict(plan: &Plan) -> Exit {
    if plan.is_in_sync() { Exit::Done } else { Exit::Differs }
}
