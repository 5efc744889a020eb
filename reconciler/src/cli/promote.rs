//! `promote`: what runs on beta goes to main, by a fast-forward that the user's own git pushes. Whether main takes it at
//! once, or lets it soak, is the reconciler's to say.

mod own_git;

use super::diff::{explained, of_commit, refused};
use super::local::tool_name;
use super::target::{AtArgs, Target, TargetArgs, is_repository_of, named, unread};
use crate::ui::{Exit, Failure, Ui, failed, wrong_use};
use own_git::OwnGit;
use planner::plan::{Plan, Why};
use reconciler::pass::Decided;
use reconciler::source::worktree::{self, Worktree};
use renderer::build::same_repository;
use renderer::{CommitId, Tool, ToolName};
use serde_json::{Value, json};
use std::path::Path;

/// Bring a tool to what runs where it is promoted from
///
/// Finds the commit that the other tool is Ready with (`promotion.from` in the config repository), shows what it would
/// change, and pushes it to this tool's branch with your own git, from your own clone. Only a fast-forward is pushed: where
/// the branch has commits that the other lacks, nothing is done, and nothing is ever forced. Where the config repository
/// wants a revision to soak, it waits on the branch until its time is over.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge promote wordcount --dry-run    what would change, and what would be pushed
  toolforge promote wordcount              and push it
  toolforge status wordcount               whether it soaks, and until when

Run it in a clone of the tool's repository.

Exit code: 0 pushed or nothing to promote, 1 something would be pushed (`--dry-run`), or it can't be
promoted now and nothing was done, 2 wrong use, 3 failed.")]
pub struct Args {
    /// The tool to bring forward; by default the one whose repository and branch this folder is
    #[arg(value_parser = tool_name)]
    tool: Option<ToolName>,
    /// Show what would be done, and push nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    at: AtArgs,
}

/// What is to be promoted.
struct Promotion<'a> {
    target: &'a Target,
    from: Tool,
    git: OwnGit,
    /// Where the tool's branch stands; none where there is none yet.
    before: Option<CommitId>,
    /// What the other tool is Ready with.
    commit: CommitId,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let here = worktree::read(Path::new(".")).map_err(|error| failed("cannot read this folder").because(error))?;
    let target = TargetArgs { tool: args.tool.clone(), at: args.at.clone() }.find(&here, ui).await?;
    let from = forerunner(&target)?;
    let root = clone_of(&target.tool, &here)?;
    let live = reconciler::status::read(&target.connected.cluster.client, &from.name).await;
    let commit = match ready(&from.name, live.map_err(|error| unread("the tool it is promoted from", error))?.as_ref())
    {
        Ok(commit) => commit,
        Err(why) => return Ok(cannot(ui, &why, &format!("`toolforge status {}` says more.", from.name))),
    };
    let git = OwnGit::of(root, &target.tool.repository).await?;
    let before = git.tip(&target.tool.branch).await?;
    let promotion = Promotion { target: &target, from, git, before, commit };
    promotion.run(args, &here, ui).await
}

impl Promotion<'_> {
    async fn run(&self, args: &Args, here: &Worktree, ui: &Ui) -> anyhow::Result<Exit> {
        let (tool, short) = (&self.target.tool, self.commit.short());
        let newest = self.git.tip(&self.from.branch).await?;
        if self.before.as_ref() == Some(&self.commit) {
            self.tell(None, false, ui)?;
            return Ok(Exit::Done);
        }
        if let Some(why) = self.is_no_fast_forward().await? {
            let (main, beta) = (&tool.branch, &self.from.branch);
            let hint = format!("Merge {main} into {beta}, push, and promote when {} is Ready with it.", self.from.name);
            return Ok(cannot(ui, &why, &hint));
        }
        let decided = self.decide(here).await?;
        if let Some(why) = wrong(&decided.plan) {
            return Ok(cannot(ui, &why, &format!("Correct it on {} first.", self.from.branch)));
        }
        self.say_what_stays(newest.as_ref(), ui).await?;
        self.show(&decided.plan, ui)?;
        if !args.dry_run {
            self.git.push(&self.commit, &tool.branch, ui).await?;
            self.tell(Some(&decided.plan), true, ui)?;
            ui.hint(&format!("`toolforge status {}` shows how it goes.", tool.name));
            return Ok(Exit::Done);
        }
        self.tell(Some(&decided.plan), false, ui)?;
        ui.hint(&format!("Run `toolforge promote {}` to push {short} to {}.", tool.name, tool.branch));
        Ok(Exit::Differs)
    }

    /// Why the branch could not just be moved forward.
    async fn is_no_fast_forward(&self) -> Result<Option<String>, Failure> {
        let Some(before) = &self.before else { return Ok(None) };
        if self.git.is_ancestor(before, &self.commit).await? {
            return Ok(None);
        }
        let (count, lines) = self.git.commits(&self.commit, before).await?;
        let (branch, short) = (&self.target.tool.branch, self.commit.short());
        Ok(Some(format!("{branch} has {count} commits that {short} has not: {}", lines.join(", "))))
    }

    /// The plan of this tool at that commit.
    async fn decide(&self, here: &Worktree) -> anyhow::Result<Decided> {
        let target = self.target;
        let subject = target.subject(Ok(of_commit(target, here, &self.commit).await?));
        let decided = target.decide(&subject).await;
        refused(&decided)?;
        Ok(decided)
    }

    /// What is newer on beta stays there.
    async fn say_what_stays(&self, newest: Option<&CommitId>, ui: &Ui) -> Result<(), Failure> {
        let Some(newest) = newest.filter(|newest| **newest != self.commit) else { return Ok(()) };
        let (count, _) = self.git.commits(&self.commit, newest).await?;
        let (branch, from) = (&self.from.branch, &self.from.name);
        ui.say(&format!("{branch} is {count} commits further; {from} is not Ready with those, and they stay there"));
        Ok(())
    }

    fn show(&self, plan: &Plan, ui: &Ui) -> anyhow::Result<()> {
        ui.data_unless_json(&explained(plan, ui))
    }

    fn tell(&self, plan: Option<&Plan>, pushed: bool, ui: &Ui) -> anyhow::Result<()> {
        let (tool, short) = (&self.target.tool, self.commit.short());
        if ui.json {
            return ui.json(&json!({
                "tool": tool.name, "from": self.from.name, "branch": tool.branch, "before": self.before,
                "commit": self.commit, "pushed": pushed, "plan": plan,
            }));
        }
        let before = self.before.as_ref().map_or("nothing", |before| before.short());
        let place = format!("{} of {}", tool.branch, self.git.remote());
        ui.data(&match (plan, pushed) {
            (None, _) => format!("{place} is at {short} already, as {} is\n", self.from.name),
            (Some(_), true) => format!("pushed {before}..{short} to {place}\n"),
            (Some(_), false) => format!("would push {before}..{short} to {place}\n"),
        })
    }
}

/// The tool that this one is promoted from, as the config repository says.
fn forerunner(target: &Target) -> Result<Tool, Failure> {
    let tool = &target.tool;
    let Some(promotion) = &tool.promotion else {
        let hint =
            format!("Operators write `promotion: {{from: {}-beta}}` in its file in the config repository.", tool.name);
        return Err(wrong_use(format!("{} is promoted from no other tool", tool.name)).hint(hint));
    };
    let from = named(&target.declared.tools, &promotion.from)?;
    if !same_repository(&from.repository, &tool.repository) || from.branch == tool.branch {
        let message = format!("{} and {} are not two branches of one repository", tool.name, from.name);
        return Err(wrong_use(message).hint("Merge and push by hand: there is no fast-forward between repositories."));
    }
    Ok(from)
}

fn clone_of<'a>(tool: &Tool, here: &'a Worktree) -> Result<&'a Path, Failure> {
    match &here.root {
        Some(root) => Ok(root),
        None if is_repository_of(tool, here) => Err(failed("this folder has no root")),
        None => {
            let hint = format!("Go to a clone of {}.", tool.repository);
            Err(wrong_use("this folder is in no git repository").hint(hint))
        }
    }
}

/// The commit that a tool is Ready with, or why there is none.
fn ready(name: &ToolName, live: Option<&Value>) -> Result<CommitId, String> {
    let Some(live) = live else { return Err(format!("{name} is not there yet")) };
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(ready) if ready["status"] == "True" => {}
        Some(ready) => return Err(format!("{name} is not Ready: {}", ready["message"].as_str().unwrap_or_default())),
        None => return Err(format!("{name} is not Ready: it has no status yet")),
    }
    let commit = live.pointer("/status/commit").and_then(Value::as_str).and_then(|commit| CommitId::new(commit).ok());
    commit.ok_or_else(|| format!("{name} does not say which commit it runs"))
}

/// What is wrong with a revision before it is anywhere.
fn wrong(plan: &Plan) -> Option<String> {
    let invalid = plan.held.iter().find(|held| matches!(held.why, Why::Invalid(_) | Why::MissingSecret(_)));
    invalid.map(|held| format!("{}: {}", held.id, held.why))
}

/// Not now, and nothing was done.
fn cannot(ui: &Ui, why: &str, hint: &str) -> Exit {
    ui.say(&format!("not promoted: {why}"));
    ui.hint(hint);
    Exit::Differs
}
