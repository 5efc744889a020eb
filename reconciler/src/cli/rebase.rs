//! `rebase`: the platform's run image of today under images that were built on an older one.

use super::connect::Connected;
use super::local::tool_name;
use super::pin::choose_images;
use super::target::{AtArgs, Declared, named, unanswered, unread};
use crate::ui::{Exit, Failure, Style, Table, Ui, failed, wrong_use};
use futures::StreamExt as _;
use planner::image::{Target, build_of, rebase_tag};
use planner::stored::StoredImage;
use reconciler::observe::{self, Stored};
use reconciler::registry::{Base, Planned, Rebase, RebaseError, Reference, Registry};
use renderer::build::image_repository;
use renderer::{BuildId, ComponentName, Digest, ToolName};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Images looked at, or written, at once.
const AT_ONCE: usize = 8;

/// Put the platform's run image of today under images, without a build
///
/// Shows what would be done; `--push` does it. Manifest and configuration of each image are written anew, under a tag
/// of their own (`<build id>-r<run image>`); the application's layers are not downloaded, and the image it came from
/// stays. An image is refused where labels don't promise that it works on that run image.
///
/// With `--deploy` the platform is also told to run them: a few tools at a time, each of which goes back to the image it had
/// where its pods don't become Ready, and no further when too many do. Builds, one-offs and commits stay as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge rebase wordcount            what would be done
  toolforge rebase wordcount --push     and do it
  toolforge rebase --all                every tool of the platform
  toolforge rebase --all --deploy       write them, and deploy them in waves

Exit code: 0 nothing to do or done, 1 something would be written, 2 wrong use, 3 failed.")]
pub struct Args {
    /// The tool
    #[arg(value_parser = tool_name, required_unless_present = "all", conflicts_with = "all")]
    tool: Option<ToolName>,
    /// Every tool of the platform
    #[arg(long)]
    all: bool,
    /// Write the images to the registry
    #[arg(long)]
    push: bool,
    /// Write them, and deploy them
    #[arg(long)]
    deploy: bool,
    #[command(flatten)]
    at: AtArgs,
}

/// One image that may be rebased.
struct Candidate {
    tool: ToolName,
    component: ComponentName,
    image: Reference,
    build: BuildId,
    tag: String,
}

/// One image and what becomes of it.
#[derive(Debug, Serialize)]
struct Row {
    tool: ToolName,
    component: ComponentName,
    image: String,
    tag: String,
    what: What,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip)]
    build: BuildId,
    /// The image under its new tag.
    #[serde(skip)]
    source: String,
    /// What runs now.
    #[serde(skip)]
    runs: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum What {
    /// It would be written.
    Rebase,
    /// It was.
    Pushed,
    /// It was, and the platform is told to run it.
    Deploying,
    /// It stands on that run image.
    Already,
    /// It must not be.
    Refused,
    /// The registry did not do it.
    Failed,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let (connected, declared) = args.at.find(ui).await?;
    let one = args.tool.as_ref().map(|name| named(&declared.tools, name)).transpose()?;
    let name = one.as_ref().map(|tool| &tool.name);
    let stored = observe::stored(&connected.cluster.client, &declared.platform.namespace, name).await;
    let stored = stored.map_err(|error| unread("the stored revisions", error))?;
    let base = base(&declared).await?;
    let (candidates, unreadable) = candidates(&declared, name, stored, &base)?;
    let push = args.push || args.deploy;
    let rows = candidates.into_iter().map(|one| row(&declared.registry, &base, one, push));
    let mut rows: Vec<_> = futures::stream::iter(rows).buffered(AT_ONCE).collect().await;
    let untold = if args.deploy { deploy(&connected, &mut rows).await } else { Vec::new() };
    for error in &untold {
        ui.tell(error);
    }
    for error in &unreadable {
        ui.tell(&failed(error.clone()).hint("Deploy the tool once more, and see the reconciler's log.").into());
    }
    tell(&rows, &base, &connected.cluster.name, ui)?;
    let any = |what: What| rows.iter().any(|row| row.what == what);
    if any(What::Rebase) && !ui.json {
        let which = name.map_or("--all", ToolName::as_str);
        ui.hint(&format!("Run `toolforge rebase {which} --push` to write them, or `--deploy` to deploy them as well."));
    }
    if any(What::Deploying) {
        ui.hint("`toolforge run` deploys them, a few tools at a time: `toolforge status` shows how it goes.");
    }
    Ok(match () {
        () if any(What::Failed) || !unreadable.is_empty() || !untold.is_empty() => Exit::Failed,
        () if any(What::Rebase) => Exit::Differs,
        () => Exit::Done,
    })
}

/// Chooses for the tools' builds what was written, all components of a tool at once. Returned is what could not be said.
async fn deploy(connected: &Connected, rows: &mut [Row]) -> Vec<anyhow::Error> {
    let mut chosen: BTreeMap<ToolName, BTreeMap<String, StoredImage>> = BTreeMap::new();
    for row in rows.iter_mut().filter(|row| matches!(row.what, What::Pushed | What::Already)) {
        if let Some(digest) = row.digest.clone().filter(|digest| row.runs.as_ref() != Some(digest)) {
            let image = StoredImage { source: row.source.clone(), digest };
            chosen.entry(row.tool.clone()).or_default().insert(row.build.to_string(), image);
            row.what = What::Deploying;
        }
    }
    let writes = chosen.into_iter().map(async |(tool, images)| choose_images(connected, &tool, &images).await.err());
    let told: Vec<_> = futures::stream::iter(writes).buffered(AT_ONCE).collect().await;
    told.into_iter().flatten().collect()
}

async fn base(declared: &Declared) -> Result<Base, Failure> {
    let builder = &declared.platform.builder;
    let base = declared.registry.base(&builder.run_image, &Target::parse(&builder.target)).await;
    base.map_err(|error| unanswered(&format!("cannot read the run image {}", builder.run_image), error))
}

/// The images that were built here, of the revisions that were Ready last; and what could not be read.
fn candidates(
    declared: &Declared,
    only: Option<&ToolName>,
    mut stored: BTreeMap<String, Stored>,
    base: &Base,
) -> anyhow::Result<(Vec<Candidate>, Vec<String>)> {
    let run = base.at.digest.as_ref().unwrap_or(base.image.digest());
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for tool in declared.tools.iter().map(|tool| &tool.name).filter(|name| only.is_none_or(|only| only == *name)) {
        let revisions = match stored.remove(tool.as_str()) {
            Some(Ok(revisions)) => revisions,
            Some(Err(error)) => {
                unreadable.push(format!("tool {tool}: {error}"));
                continue;
            }
            None => continue,
        };
        for (component, image) in revisions.into_iter().next().map(|newest| newest.images).unwrap_or_default() {
            let at = Reference::parse(&image.source)?;
            let own = Reference::parse(&image_repository(&declared.platform.registry, tool, &component))?;
            let Some(build) = build_of(&at.tag).filter(|_| own.repository() == at.repository()) else { continue };
            let (image, tag) = (at.pinned(image.digest), rebase_tag(&build, run));
            found.push(Candidate { tool: tool.clone(), component, image, build, tag });
        }
    }
    if only.is_some() && found.is_empty() && unreadable.is_empty() {
        let hint = "Images that are named in the file, and not built here, are their makers' to renew.";
        return Err(wrong_use("no image of this tool was built and deployed here").hint(hint).into());
    }
    Ok((found, unreadable))
}

async fn row(registry: &Registry, base: &Base, of: Candidate, push: bool) -> Row {
    let done = if push {
        registry.rebase(&of.image, base, &of.tag).await.map(|done| match &done {
            Rebase::Written { digest, .. } => (What::Pushed, digest.clone()),
            Rebase::Already(digest) | Rebase::Known(digest) => (What::Already, digest.clone()),
        })
    } else {
        registry.plan_rebase(&of.image, base).await.map(|planned| match planned {
            Planned::Already(digest) => (What::Already, digest),
            Planned::Write(rebased) => (What::Rebase, rebased.digest),
        })
    };
    let (image, source) = (of.image.to_string(), of.image.tagged(&of.tag).to_string());
    let row = Row {
        build: of.build,
        source,
        runs: of.image.digest.clone(),
        tool: of.tool,
        component: of.component,
        image,
        tag: of.tag,
        what: What::Failed,
        digest: None,
        why: None,
        hint: None,
    };
    match done {
        Ok((what, digest)) => Row { what, digest: Some(digest), ..row },
        Err(error) => {
            let what = if matches!(error, RebaseError::Refused { .. }) { What::Refused } else { What::Failed };
            let why = match &error {
                RebaseError::Refused { why, .. } => why.to_string(),
                RebaseError::Registry(error) => error.to_string(),
            };
            Row { what, why: Some(why), hint: Some(error.hint()), ..row }
        }
    }
}

impl What {
    const fn word(self) -> (&'static str, Style) {
        match self {
            Self::Rebase => ("rebase", Style::Change),
            Self::Pushed => ("pushed", Style::Good),
            Self::Deploying => ("deploying", Style::Good),
            Self::Already => ("already", Style::Faint),
            Self::Refused => ("refused", Style::Bad),
            Self::Failed => ("failed", Style::Bad),
        }
    }
}

fn tell(rows: &[Row], base: &Base, cluster: &str, ui: &Ui) -> anyhow::Result<()> {
    if ui.json {
        let run = json!({"reference": base.written, "digest": base.image.digest()});
        return ui.json(&json!({"runImage": run, "cluster": cluster, "images": rows}));
    }
    let mut table = Table::new(&["TOOL", "COMPONENT", "", "DIGEST", "WHY"]);
    let mut counts: BTreeMap<What, usize> = BTreeMap::new();
    for row in rows {
        let (word, style) = row.what.word();
        *counts.entry(row.what).or_default() += 1;
        table.row(vec![
            (row.tool.to_string(), None),
            (row.component.to_string(), None),
            (word.to_owned(), Some(style)),
            (row.digest.as_ref().map_or("", Digest::short).to_owned(), None),
            (row.why.clone().unwrap_or_default(), Some(Style::Faint)),
        ]);
    }
    let counts: Vec<_> = counts.into_iter().map(|(what, count)| format!("{count} {}", what.word().0)).collect();
    let tail = if counts.is_empty() { "no image was built and deployed here".to_owned() } else { counts.join(", ") };
    let table = if rows.is_empty() { String::new() } else { table.print(ui) };
    ui.data(&format!("run image {}  cluster: {cluster}\n{table}{tail}\n", base.written))?;
    // One hint a reason, however many images have it.
    let hints: std::collections::BTreeSet<_> = rows.iter().filter_map(|row| row.hint).collect();
    hints.into_iter().for_each(|hint| ui.hint(hint));
    Ok(())
}
