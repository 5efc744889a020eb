//! `image`: what the images of a tool are made of, as the registry has them.

use super::target::{Target, TargetArgs, unanswered, unread};
use crate::ui::{Exit, Style, Table, Ui, failed, size, wrong_use};
use planner::image::{Facts, Target as Machines, signature_tag};
use planner::stored::{StoredImage, StoredRevision};
use reconciler::observe;
use reconciler::registry::{Reference, Registry, RegistryError};
use reconciler::source::worktree;
use renderer::{ComponentName, ToolName};
use serde::Serialize;
use serde_json::json;
use std::path::Path;

/// Show what the images of a tool are made of
///
/// Of the revision that was Ready last: digest, platform, layers, run image, buildpacks, whether a layer holds the
/// software bill of materials (SBOM), and whether cosign has left a signature beside the image. A signature is found,
/// not verified.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge image wordcount
  toolforge image                                           the tool of this folder
  toolforge image wordcount --json | jq -r '.images[].digest'")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
}

/// One component's image.
#[derive(Debug, Serialize)]
struct Row {
    component: ComponentName,
    image: String,
    #[serde(flatten)]
    facts: Facts,
    /// A tag holds a signature.
    signed: bool,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let here = worktree::read(Path::new(".")).map_err(|error| failed("cannot read this folder").because(error))?;
    let target = args.target.find(&here, ui).await?;
    let revision = newest(&target).await?;
    let registry = &target.declared.registry;
    let machines = Machines::parse(&target.declared.platform.builder.target);
    let (mut rows, mut exit) = (Vec::new(), Exit::Done);
    for (component, image) in &revision.images {
        match look(registry, component, image, &machines).await {
            Ok(row) => rows.push(row),
            Err(error) => {
                exit = ui.tell(&unanswered(&format!("component {component}"), error).into());
            }
        }
    }
    let commit = revision.revision.commit.as_ref();
    let cluster = &target.connected.cluster.name;
    if ui.json {
        ui.json(&json!({"tool": target.tool.name, "commit": commit, "cluster": cluster, "images": rows}))?;
        return Ok(exit);
    }
    let at = commit.map_or("a working tree", |commit| commit.short());
    ui.data(&format!("{}  {}@{at}  cluster: {cluster}\n", target.tool.name, revision.revision.branch))?;
    for row in &rows {
        ui.data(&told(row, ui))?;
    }
    Ok(exit)
}

async fn newest(target: &Target) -> anyhow::Result<StoredRevision> {
    let (namespace, name): (&str, &ToolName) = (&target.declared.platform.namespace, &target.tool.name);
    let found = observe::stored(&target.connected.cluster.client, namespace, Some(name)).await;
    let mut found = found.map_err(|error| unread("the stored revisions", error))?;
    let revisions = found.remove(name.as_str()).unwrap_or_else(|| Ok(Vec::new()));
    let revisions = revisions.map_err(|error| failed(format!("tool {name}")).because(error))?;
    let never = || {
        let hint = format!("`toolforge status {name}` says what it waits for.");
        wrong_use(format!("no revision of {name} was Ready yet")).hint(hint)
    };
    Ok(revisions.into_iter().next().ok_or_else(never)?)
}

async fn look(
    registry: &Registry,
    component: &ComponentName,
    image: &StoredImage,
    machines: &Machines,
) -> Result<Row, RegistryError> {
    let at = Reference::parse(&image.source)?.pinned(image.digest.clone());
    let facts = Facts::of(&registry.image(&at, machines).await?);
    let signed = registry.resolve(&at.repository(), &signature_tag(&image.digest)).await?.is_some();
    Ok(Row { component: component.clone(), image: format!("{}@{}", at.repository(), image.digest), facts, signed })
}

fn told(row: &Row, ui: &Ui) -> String {
    let facts = &row.facts;
    let of_the_base = match facts.run_image_layers {
        Some(layers) => format!(", {layers} of them the run image's"),
        None => String::new(),
    };
    let packs: Vec<_> = facts.buildpacks.iter().map(|pack| format!("{} {}", pack.id, pack.version)).collect();
    let yes = |said: bool| if said { "yes" } else { "no" }.to_owned();
    let mut table = Table::new(&[]);
    let mut line = |name: &str, text: String| table.row(vec![(format!("  {name}"), None), (text, None)]);
    line("platform", facts.platform.to_string());
    line("layers", format!("{}{of_the_base}, {}", facts.layers, size(facts.size_bytes)));
    line("run image", facts.run_image.clone().unwrap_or_else(|| "not said".to_owned()));
    line("built by", if packs.is_empty() { "not said".to_owned() } else { packs.join(", ") });
    line("created", facts.created.map_or_else(|| "not said".to_owned(), |at| at.to_string()));
    line("SBOM", yes(facts.sbom));
    line("signed", yes(row.signed));
    let name = ui.data_in(Style::Title, row.component.as_str());
    format!("{name}  {}\n{}", row.image, table.print(ui).trim_start_matches('\n'))
}
