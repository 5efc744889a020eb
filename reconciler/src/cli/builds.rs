//! `builds`: what is being built and what was, read from the Jobs or PipelineRuns of the builds' namespace.

use super::local::tool_name;
use super::target::{AtArgs, Declared, named};
use crate::ui::{self, Exit, Failure, Style, Table, Ui, ago, failed, wrong_use};
use planner::Moment;
use planner::builds::{Build, BuildState, told};
use reconciler::cluster::Cluster;
use reconciler::observe::{self, Scope};
use reconciler::pass::{Hidden, withhold};
use reconciler::secrets::Vault;
use renderer::{Siblings, ToolName};
use serde_json::json;
use std::collections::BTreeMap;

/// Show what is being built, and what was
///
/// Newest first: whose build it is, how it stands (pending, running, succeeded, failed, cancelled or timed out), since
/// when, how long it took and which image it makes. A failed one says the end of its log. Builds that are over are kept
/// for a while: those that are still wanted, and five of each tool.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge builds                     of every tool
  toolforge builds wordcount           of one
  toolforge builds --json | jq -r '.builds[] | select(.state == \"failed\") | .tool'
  toolforge logs wordcount --build     what the newest one says
  toolforge build wordcount            asks again for one that failed

A build is named by the first digits of its id: what it is made of, hashed. The id is the image's
tag.")]
pub struct Args {
    /// One tool
    #[arg(value_parser = tool_name)]
    tool: Option<ToolName>,
    #[command(flatten)]
    at: AtArgs,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let (connected, declared) = args.at.find(ui).await?;
    if let Some(name) = &args.tool {
        named(&declared.tools, name)?;
    }
    let builds = read(&connected.cluster, &declared, args.tool.as_ref()).await?;
    let now = reconciler::pass::now();
    if ui.json {
        let rows: Vec<_> = builds.iter().map(|build| build.as_json(now)).collect();
        ui.json(&json!({"cluster": connected.cluster.name, "builds": rows}))?;
        return Ok(Exit::Done);
    }
    let table = if builds.is_empty() { "no builds\n".to_owned() } else { table(&builds, now, ui) };
    ui.data(&format!("cluster: {}\n{table}", connected.cluster.name))?;
    if let Some(failed) = builds.iter().find(|build| is_bad(&build.state)) {
        ui.hint(&format!("Run `toolforge logs {} --build` to see what a build said.", failed.tool));
    }
    Ok(Exit::Done)
}

/// The builds of one tool or of all, newest first.
pub async fn read(cluster: &Cluster, declared: &Declared, tool: Option<&ToolName>) -> Result<Vec<Build>, Failure> {
    let namespace = namespace(declared)?;
    let scope = Scope::of(&cluster.name, &declared.platform);
    let observed = observe::builds(&cluster.client, &scope, tool).await;
    if let Some(why) = &observed.builds_unseen {
        return Err(unseen(&namespace, why));
    }
    let mut builds = told(&observed, &namespace);
    hide(cluster, declared, &mut builds).await;
    Ok(builds)
}

/// Takes a tool's values out of what its builds said last, as far as whoever asks may read them.
async fn hide(cluster: &Cluster, declared: &Declared, builds: &mut [Build]) {
    let said = |build: &&mut Build| build.why.is_some();
    let mut known: BTreeMap<String, Hidden> = BTreeMap::new();
    let mut told = builds.iter_mut().filter(said).peekable();
    if told.peek().is_none() {
        return;
    }
    let vault = Vault::of_platform(&cluster.client, &declared.platform).await;
    for build in told {
        let Ok(name) = ToolName::new(&build.tool) else {
            withhold(build.why.iter_mut().collect());
            continue;
        };
        if !known.contains_key(&build.tool) {
            let scope = Scope::of(&cluster.name, &declared.platform);
            let observed = observe::once(&cluster.client, &scope, &name).await;
            // Of a tool that was removed the Secrets stay for a while.
            let tool = declared.tools.iter().find(|tool| tool.name == name);
            let siblings = tool.map(|tool| Siblings::of(tool, &declared.tools)).unwrap_or_default();
            known.insert(build.tool.clone(), Hidden::of_tool(&vault, &name, &siblings, &observed));
        }
        known[&build.tool].hide(&cluster.client, build.why.iter_mut().collect()).await;
    }
}

/// Where this platform's builds are.
pub fn namespace(declared: &Declared) -> Result<String, Failure> {
    let Some(builds) = &declared.platform.builds else {
        let hint = "Push images under the tag of their build, or let the operators add `builds` to platform.yaml.";
        let message = format!("platform {} builds nothing: its images come from elsewhere", declared.platform.name);
        return Err(wrong_use(message).hint(hint));
    };
    Ok(builds.namespace(&declared.platform))
}

/// Who may not look there is told what else there is.
pub fn unseen(namespace: &str, why: &str) -> Failure {
    failed(format!("cannot see the builds in namespace {namespace}: {why}"))
        .hint("Ask the operators for the right to list jobs, pipelineruns and pods there; `toolforge status` tells how builds ended.")
}

fn table(builds: &[Build], now: Moment, ui: &Ui) -> String {
    let mut table = Table::new(&["BUILD", "TOOL", "COMPONENTS", "STATE", "ASKED", "TOOK", "IMAGE", "WHY"]);
    for build in builds {
        let asked = build.asked_at.and_then(|at| ago(&at.to_string(), ui::now())).unwrap_or_default();
        table.row(vec![
            (build.short().to_owned(), None),
            (build.tool.clone(), None),
            (build.components.join(","), None),
            (build.state.word().to_owned(), Some(style(&build.state))),
            (asked, None),
            (took(build, now), None),
            (path(&build.image).to_owned(), Some(Style::Faint)),
            (build.why.clone().unwrap_or_default(), Some(Style::Faint)),
        ]);
    }
    table.print(ui)
}

/// How a state looks.
pub fn style(state: &BuildState) -> Style {
    match state {
        BuildState::Succeeded => Style::Good,
        BuildState::Pending | BuildState::Running => Style::Change,
        BuildState::Cancelled { .. } => Style::Faint,
        BuildState::Failed(_) | BuildState::TimedOut => Style::Bad,
    }
}

fn is_bad(state: &BuildState) -> bool {
    matches!(state, BuildState::Failed(_) | BuildState::TimedOut)
}

/// `1 min 5 s`; of one that has not begun, that it waits.
pub fn took(build: &Build, now: Moment) -> String {
    match (build.took_secs(now), build.state.is_over()) {
        (Some(secs), _) => length(secs),
        (None, false) => "waits".to_owned(),
        (None, true) => String::new(),
    }
}

fn length(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3600, secs / 60 % 60),
    }
}

/// Without its tag: the id stands in the first column.
fn path(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::ColourChoice;
    use renderer::ObjectId;

    fn build(state: BuildState, began: Option<i64>, ended: Option<i64>) -> Build {
        let id = "0123456789abcdef0123456789abcdef".to_owned();
        let object =
            ObjectId { group: "batch".into(), kind: "Job".into(), namespace: None, name: "wordcount-0123".into() };
        Build {
            object,
            uid: "u".into(),
            tool: "wordcount".into(),
            components: vec!["refresh".into(), "web".into()],
            image: format!("registry.example:5000/tool-wordcount/refresh:{id}"),
            id,
            commit: "c".repeat(40),
            state,
            why: None,
            asked_at: None,
            began_at: began.map(Moment::from_unix_secs),
            ended_at: ended.map(Moment::from_unix_secs),
        }
    }

    #[test]
    fn the_table_says_state_length_and_image_of_each() {
        let mut broken = build(BuildState::Failed("x".into()), Some(0), Some(65));
        broken.why = Some("detect: exit code 20".into());
        let builds = [
            build(BuildState::Pending, None, None),
            build(BuildState::Running, Some(95), None),
            broken,
            build(BuildState::TimedOut, Some(0), Some(3660)),
            build(BuildState::Cancelled { over: true }, None, Some(1)),
        ];
        let text = table(&builds, Moment::from_unix_secs(100), &Ui::new(ColourChoice::Never, false));
        let said: Vec<_> = text
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>().join("|"))
            .collect();
        let image = "registry.example:5000/tool-wordcount/refresh";
        assert_eq!(
            said,
            [
                "BUILD|TOOL|COMPONENTS|STATE|ASKED|TOOK|IMAGE|WHY".to_owned(),
                format!("0123456789ab|wordcount|refresh,web|pending|waits|{image}"),
                format!("0123456789ab|wordcount|refresh,web|running|5 s|{image}"),
                format!("0123456789ab|wordcount|refresh,web|failed|1 min 5 s|{image}|detect: exit code 20"),
                format!("0123456789ab|wordcount|refresh,web|timed out|1 h 1 min|{image}"),
                format!("0123456789ab|wordcount|refresh,web|cancelled|{image}"),
            ]
        );
    }
}
