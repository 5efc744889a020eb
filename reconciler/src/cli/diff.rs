//! `diff`: the dry run. The same pass as `run` and `apply`, without its last step: it gets and lists, and never writes.

mod branches;
mod revision;
mod saved;
mod yaml;

pub use revision::of_commit;

use super::plan_file;
use super::target::{Declared, Target, TargetArgs, is_repository_of};
use crate::ui::{self, Exit, Failure, Ui, failed, wrong_use};
use kube::Client;
use planner::drift::FieldVerdict;
use planner::image::{Facts, Target as Machines};
use planner::images::ImageRow;
use planner::plan::Plan;
use reconciler::pass::{Decided, Search, Subject};
use reconciler::registry::Reference;
use reconciler::source::worktree::{self, Worktree};
use renderer::{Files, ObjectId};
use serde::Serialize;
use std::path::{Path, PathBuf};

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
  toolforge diff --out plan.json          and write the plan down, for `toolforge apply plan.json`
  toolforge diff --markdown               as a comment on a merge request
  toolforge diff --live objects.yaml      against saved objects; no cluster is asked
  toolforge diff --fields=deployment/web  what each of its fields is to us, and who wrote it
  toolforge diff --json | jq '.steps[].id.name'

A plan file says what would be done, to which objects at which version, from which commit. It holds
no manifest, no secret, and of environments only what git says.

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
    /// Every field of every object: what it is to us, who wrote it, and why; of one object with `=KIND/NAME`
    #[arg(
        long,
        value_name = "KIND/NAME",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with_all = ["yaml", "markdown", "out", "against"]
    )]
    fields: Option<Option<String>>,
    /// As a comment on a merge request, for GitHub and GitLab
    #[arg(long, conflicts_with_all = ["json", "yaml", "against"])]
    markdown: bool,
    /// Also write the plan to a file: `toolforge apply FILE` does exactly that, or refuses
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    out: Option<PathBuf>,
    /// Saved objects instead of a cluster: `kubectl get ... -o yaml --show-managed-fields`, one List or several
    /// documents; what is not in the file counts as absent
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["against", "cluster", "sandbox", "sandbox_folder", "kubeconfig"]
    )]
    live: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    if let Some(against) = &args.against {
        let here = worktree::read(Path::new(".")).map_err(|error| failed("cannot read this folder").because(error))?;
        return branches::run(args, &here, against, ui).await;
    }
    let (target, here) = target(args, ui).await?;
    let newest = revision::wanted(args, &target, &here, ui).await?;
    if args.out.is_some() && newest.commit.is_none() {
        let hint = "Commit first, or name a `--branch` or `--commit`.";
        return Err(wrong_use("a plan is of a commit, and these files have changed since").hint(hint).into());
    }
    target.vault.only_look();
    let subject = target.subject(Ok(newest));
    let decided = target.decide(&subject).await;
    tell_unseen(&subject, ui);
    if let Some(object) = &args.fields {
        fields(object.as_deref(), &decided, &subject, ui)?;
        return Ok(verdict(&decided.plan));
    }
    let mut rows = subject.draft(&decided.observed).images(&decided.plan, &decided.observed);
    if args.live.is_none() {
        ask_of_builds(&mut rows, &target.declared).await;
    }
    tell_findings(&decided, &subject, ui)?;
    if args.yaml {
        patch(&decided, &target.connected.cluster.client, ui).await?;
    } else {
        show(args, &decided, &rows, &subject, ui)?;
    }
    if let Some(file) = &args.out {
        let contract = subject.draft(&decided.observed).contract(&decided, plan_file::MADE_BY);
        plan_file::write(file, &contract, ui)?;
    }
    next_step(args, &decided.plan, is_repository_of(&subject.tool, &here), ui);
    Ok(verdict(&decided.plan))
}

/// The tool, on its cluster or on what was saved of it.
async fn target(args: &Args, ui: &Ui) -> anyhow::Result<(Target, Worktree)> {
    let Some(file) = &args.live else { return args.target.find_beside(None, ui).await };
    let (saved, connected) = saved::open(file, ui)?;
    let (target, here) = args.target.find_beside(Some(connected), ui).await?;
    saved::tell_left_out(&saved, &target.tool.name, file, ui);
    Ok((target, here))
}

/// Findings are talk, the plan is data.
fn tell_findings(decided: &Decided, subject: &Subject, ui: &Ui) -> Result<(), Failure> {
    let files = subject.newest.as_ref().map(|revision| revision.files.clone()).unwrap_or_default();
    super::local::tell(&decided.report, &texts(&files), ui);
    refused(decided)
}

/// A patch is what is asked for; whose it is, and that something waits, is talk.
async fn patch(decided: &Decided, client: &Client, ui: &Ui) -> anyhow::Result<()> {
    let (header, totals) = (planner::explain::header(&decided.plan), planner::explain::totals(&decided.plan));
    ui.say(&format!("{header}{totals}"));
    let mut changed = yaml::changed(&decided.plan, &decided.observed);
    if decided.hide(client, changed.iter_mut().flat_map(yaml::Changed::texts).collect()).await != Search::Done {
        let hint = "Try again, or without `--yaml`.";
        return Err(failed("objects can't be shown: the tool's secrets can't be hidden in them").hint(hint).into());
    }
    ui.data(&changed.iter().map(|object| object.unified(ui)).collect::<String>())
}

fn show(args: &Args, decided: &Decided, rows: &[ImageRow], subject: &Subject, ui: &Ui) -> anyhow::Result<()> {
    let quota = subject.draft(&decided.observed).quota(&decided.observed);
    if ui.json {
        return ui.json(&Shown { plan: &decided.plan, images: rows, quota: quota.as_deref() });
    }
    if args.markdown {
        let now = ui::now();
        return ui.data(&planner::markdown::markdown(&decided.plan, &|time| ui::ago(time, now)));
    }
    let quota = planner::quota::table(quota.as_deref().unwrap_or_default());
    ui.data(&format!("{}{quota}{}", explained(&decided.plan, ui), planner::images::told(rows)))
}

/// The plan for machines, with where each component's image comes from, and what becomes of the tool's quota; none where
/// that can't be told.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    images: &'a [ImageRow],
    quota: Option<&'a [planner::quota::Row]>,
}

/// Asks of the images that were built here what they stand on, and whether their tags were moved. One that does not say, or
/// a registry that does not answer, is no reason to show nothing.
async fn ask_of_builds(rows: &mut [ImageRow], declared: &Declared) {
    let machines = Machines::parse(&declared.platform.builder.target);
    let registry = &declared.registry;
    let asked = rows.iter_mut().filter(|row| row.is_build()).map(async |row| {
        let (Some(image), Some(digest)) = (&row.image, &row.digest) else { return };
        let Ok(at) = Reference::parse(image) else { return };
        let pinned = at.pinned(digest.clone());
        let (image, tag) = tokio::join!(registry.image(&pinned, &machines), registry.digest_of(image));
        let run_image = image.map(|image| Facts::of(&image).run_image);
        for error in [run_image.as_ref().err(), tag.as_ref().err()].into_iter().flatten() {
            tracing::info!(%error, image = row.image, "the registry did not say all of the image");
        }
        row.learn(run_image.ok().flatten().as_deref(), tag.ok().flatten(), &declared.platform.builder.run_image);
    });
    futures::future::join_all(asked).await;
}

/// Says whose values can't be seen from here.
fn tell_unseen(subject: &Subject, ui: &Ui) {
    let unseen = subject.unseen();
    if unseen.is_empty() {
        return;
    }
    let names: Vec<_> = unseen.iter().map(|name| name.as_str()).collect();
    ui.say(&format!("the secrets of {} can't be read here, and are taken for unchanged", names.join(", ")));
    ui.hint("The platform's operators see whether a value changes; where one does, its component restarts.");
}

/// The verdict on every field, of all objects or of one.
fn fields(object: Option<&str>, decided: &Decided, subject: &Subject, ui: &Ui) -> anyhow::Result<()> {
    let mut all = subject.draft(&decided.observed).verdicts(&decided.observed);
    let is_it = |id: &ObjectId, name: &str| {
        id.to_string() == name || format!("{}/{}", id.kind, id.name).eq_ignore_ascii_case(name)
    };
    if let Some(name) = object {
        let known: Vec<_> = all.iter().map(|(id, _)| format!("{}/{}", id.kind.to_lowercase(), id.name)).collect();
        all.retain(|(id, _)| is_it(id, name));
        if all.is_empty() {
            let hint = format!("There are {}.", known.join(", "));
            return Err(wrong_use(format!("no object {name} of this tool is there")).hint(hint).into());
        }
    }
    if ui.json {
        let rows = |(id, fields): &(ObjectId, Vec<FieldVerdict>)| serde_json::json!({"id": id, "fields": fields});
        return ui.json(&all.iter().map(rows).collect::<Vec<_>>());
    }
    let now = ui::now();
    ui.data(&planner::told(&all, &|time| ui::ago(time, now)))
}

/// How these changes would be made: never from another branch or commit than the one that is followed.
fn next_step(args: &Args, plan: &Plan, at_hand: bool, ui: &Ui) {
    if ui.json || plan.steps.is_empty() {
        return;
    }
    if let Some(file) = &args.out {
        return ui.hint(&format!("Run `toolforge apply {}` to make exactly these changes.", file.display()));
    }
    if args.branch.is_some() || args.commit.is_some() || args.live.is_some() || args.markdown {
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
        (renderer::secrets::FILE, &files.secrets),
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
