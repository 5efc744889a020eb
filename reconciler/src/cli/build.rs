//! `build`: asks once more for an image that was not made. A build is an object named after what it is made of, so one
//! that failed stands in the way of the next: it is taken back, by its uid, and whoever looks after the platform asks
//! again. Nothing is kept anywhere that could be lost.

use super::apply;
use super::builds::{namespace, read, style, took, unseen};
use super::diff::refused;
use super::local::tool_name;
use super::logs::{self, build::Follow};
use super::target::{AtArgs, Target, TargetArgs};
use crate::ui::{Exit, Failure, NobodyReads, Ui, failed, wrong_use};
use planner::Judge;
use planner::builds::{Awaited, Build, BuildState, again, awaited};
use reconciler::execute::FIELD_MANAGER;
use reconciler::pass::{self, Decided};
use reconciler::source::worktree;
use renderer::config::ParseContext;
use renderer::{ComponentName, Revision, ToolName};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at builds that are waited for.
const PAUSE: Duration = Duration::from_secs(1);

/// Build once more what could not be built
///
/// A build that failed or took too long is not tried again by itself until something it is made of changes. Where the
/// reason lay elsewhere (a package index that was away, a node that died) this asks for it once more. What runs or waits
/// already is not asked for twice, and an image that is in the registry is not made again: set `build.nonce` in
/// toolforge.yaml for a build of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge build wordcount               whatever of it could not be built
  toolforge build wordcount web --wait    one component; shows the log, and how it ends
  toolforge builds wordcount              how its builds stand

Needs the right to delete jobs (or pipelineruns) in the builds' namespace; without it say
`toolforge retry`, which asks the reconciler.

Exit code: 0 asked for, under way or nothing to build; with `--wait` built. 2 wrong use. 3 it could
not be asked for, failed, or took too long.")]
pub struct Args {
    /// The tool
    #[arg(value_parser = tool_name)]
    tool: ToolName,
    /// One component
    #[arg(value_parser = logs::component_name)]
    component: Option<ComponentName>,
    /// Wait until it is over, and print what it says
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "wait")]
    timeout: u64,
    #[command(flatten)]
    at: AtArgs,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let here = worktree::read(Path::new(".")).map_err(|error| failed("cannot read this folder").because(error))?;
    let target = TargetArgs { tool: Some(args.tool.clone()), at: args.at.clone() }.find(&here, ui).await?;
    let namespace = namespace(&target.declared)?;
    let decided = look(&target, args.component.as_ref()).await?;
    if let Some(why) = &decided.observed.builds_unseen {
        return Err(unseen(&namespace, why).into());
    }
    let builds = awaited(&decided.plan, &decided.observed, args.component.as_ref());
    ask(&target, &decided, &builds).await?;
    let cluster = &target.connected.cluster.name;
    if !args.wait {
        tell(args, &builds, cluster, ui)?;
        return Ok(Exit::Done);
    }
    for one in &builds {
        ui.say(&line(one));
    }
    let ended = wait(args, &target, &builds, ui).await?;
    conclude(args, &builds, &ended, cluster, ui)
}

/// The plan as things stand; nothing is sent.
async fn look(target: &Target, component: Option<&ComponentName>) -> anyhow::Result<Decided> {
    let newest = apply::newest(target).await?;
    if let (Ok(revision), Some(component)) = (&newest, component) {
        known(target, revision, component)?;
    }
    let subject = target.subject(newest);
    if let Err(why) = &subject.newest {
        return Err(failed(format!("cannot read what {} is built from: {why}", subject.tool.name)).into());
    }
    let decided = target.decide(&subject).await;
    refused(&decided)?;
    Ok(decided)
}

fn known(target: &Target, revision: &Revision, component: &ComponentName) -> Result<(), Failure> {
    let context = ParseContext::new(&target.declared.platform, &target.tool);
    let components = renderer::config::parse(&revision.files, &context).config.components;
    if components.contains_key(component) {
        return Ok(());
    }
    let names: Vec<_> = components.keys().map(ComponentName::as_str).collect();
    let hint = match renderer::diagnostic::nearest(component.as_str(), names.iter().copied()) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => format!("There are: {}.", names.join(", ")),
    };
    Err(wrong_use(format!("{} has no component {component}", target.tool.name)).hint(hint))
}

/// Takes back what is over without an image. Its judge sees the plan as any other.
async fn ask(target: &Target, decided: &Decided, builds: &[Awaited]) -> anyhow::Result<()> {
    let plan = again(&decided.plan, builds);
    if plan.steps.is_empty() {
        return Ok(());
    }
    let mut decided = decided.clone();
    let judge =
        Judge { platform: &target.declared.platform, observed: &decided.observed, field_manager: FIELD_MANAGER };
    decided.violations = judge.check(&plan);
    decided.plan = plan;
    refused(&decided)?;
    let outcome = pass::execute(&decided, target.doors(), &|_, _| {}).await;
    let hint = format!("`toolforge retry {}` asks the reconciler to do it.", target.tool.name);
    match outcome.failures().next() {
        Some((row, failure)) => Err(failed(format!("cannot take back {}: {failure}", row.id)).hint(hint).into()),
        None => Ok(()),
    }
}

fn tell(args: &Args, builds: &[Awaited], cluster: &str, ui: &Ui) -> anyhow::Result<()> {
    if ui.json {
        return ui.json(&json!({"tool": args.tool, "cluster": cluster, "builds": rows(builds)}));
    }
    let lines: String = builds.iter().map(|one| format!("{}\n", line(one))).collect();
    ui.data(&format!("{}  cluster: {cluster}\n{lines}", args.tool))?;
    if builds.is_empty() {
        ui.data("nothing to build\n")?;
        ui.hint("Every image is in the registry. Set `build.nonce` in toolforge.yaml for a build of its own.");
    } else {
        ui.hint(&format!("`toolforge logs {} --build --follow` shows what it says.", args.tool));
    }
    Ok(())
}

fn rows(builds: &[Awaited]) -> Vec<Value> {
    let row = |one: &Awaited| {
        let state = one.state.as_ref().map(BuildState::word);
        json!({"build": one.name, "components": one.components, "state": state, "askedAgain": one.taken_back.is_some()})
    };
    builds.iter().map(row).collect()
}

/// `web: build wordcount-0123456789ab failed, and is asked for once more`.
fn line(one: &Awaited) -> String {
    let components = one.components.join(", ");
    let what = match (&one.state, &one.taken_back) {
        (Some(BuildState::Succeeded), Some(_)) => {
            "made its image, which is gone, and is asked for once more".to_owned()
        }
        (Some(state), Some(_)) => format!("{}, and is asked for once more", state.word()),
        (Some(state), None) => format!("is {} already", state.word()),
        (None, _) => "is about to be asked for".to_owned(),
    };
    format!("{components}: build {} {what}", one.name)
}

/// Follows the builds to their ends, by name; printed is what their phases say.
async fn wait(args: &Args, target: &Target, builds: &[Awaited], ui: &Ui) -> anyhow::Result<Vec<Build>> {
    let cluster = &target.connected.cluster;
    let gone: Vec<_> = builds.iter().filter_map(|one| one.taken_back.as_ref()?.deletes()).collect();
    let begun = Instant::now();
    let (mut told, mut logged) = (BTreeMap::new(), BTreeSet::new());
    loop {
        let all = read(cluster, &target.declared, Some(&args.tool)).await?;
        let new =
            |build: &&Build| builds.iter().any(|one| one.name == build.object.name) && !gone.contains(&&*build.uid);
        let found: Vec<_> = all.iter().filter(new).cloned().collect();
        for build in &found {
            let word = build.state.word();
            if told.insert(build.uid.clone(), word) != Some(word) {
                ui.say(&format!("build {}: {word}", build.short()));
            }
            if !ui.json && build.state != BuildState::Pending && logged.insert(build.uid.clone()) {
                let follow = Follow { of: build, left: limit(args).saturating_sub(begun.elapsed()) };
                // A log that can't be read says nothing of how the build ends.
                match logs::build::follow(&target.connected, &follow, ui).await {
                    Err(error) if error.is::<NobodyReads>() => return Err(error),
                    Err(error) => {
                        ui.tell(&error);
                    }
                    Ok(_) => {}
                }
            }
        }
        if found.len() == builds.len() && found.iter().all(|build| build.state.is_over()) {
            return Ok(found);
        }
        if begun.elapsed() > limit(args) {
            let hint = format!("`toolforge builds {}` shows how it stands; wait longer with `--timeout`.", args.tool);
            return Err(failed(format!("not over after {} s", args.timeout)).hint(hint).into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

const fn limit(args: &Args) -> Duration {
    Duration::from_secs(args.timeout)
}

fn conclude(args: &Args, builds: &[Awaited], ended: &[Build], cluster: &str, ui: &Ui) -> anyhow::Result<Exit> {
    let now = pass::now();
    let exit = if ended.iter().all(|build| build.state == BuildState::Succeeded) { Exit::Done } else { Exit::Failed };
    if ui.json {
        let ended: Vec<_> = ended.iter().map(|build| build.as_json(now)).collect();
        ui.json(&json!({"tool": args.tool, "cluster": cluster, "builds": ended}))?;
        return Ok(exit);
    }
    if builds.is_empty() {
        tell(args, builds, cluster, ui)?;
    }
    for build in ended {
        let why = build.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let word = ui.data_in(style(&build.state), build.state.word());
        ui.data(&format!("build {} {word} after {}{why}\n", build.short(), took(build, now)))?;
    }
    Ok(exit)
}
