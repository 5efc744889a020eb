//! `gc`: which images nothing refers to any more, what they take, and their end.

use super::local::tool_name;
use super::target::{AtArgs, Declared, named, unanswered};
use crate::ui::{Exit, Style, Table, Ui, size};
use kube::Client;
use planner::Moment;
use planner::garbage::{self, Keep, Policy, References, Shelf, Shelved, Undated, Verdict};
use reconciler::observe::{self, Stored};
use reconciler::registry::{Reference, Registry, RegistryError};
use renderer::ToolName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Show which images nothing needs any more, and delete them
///
/// Kept is what any pod or object of the tool names, what a stored revision ran (so `rollback` finds it), what is
/// pinned, the newest of each component, and the signatures of all these. Where something of a tool can't be read, all
/// of it is kept. Shows what would go and what it takes; `--delete` deletes it, by digest. The registry gives the space
/// back when it collects its own garbage.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge gc                        what would go, of every tool
  toolforge gc wordcount --keep 0     of one tool, also the newest that nothing refers to
  toolforge gc --delete               delete it
  toolforge gc --json | jq '.tools[] | {tool, sizeBytes}'     what each tool takes

An image without a date is kept: buildpacks date images 1980 unless SOURCE_DATE_EPOCH says when.
With `--undated` such images go, too. One of a build that ends just now may be among them, and is
built again.

With `registry.quota` in platform.yaml it says which tools take more than that.

Exit code: 0 nothing to delete or deleted, 1 something would go or a tool is over its quota, 2 wrong
use, 3 failed.")]
pub struct Args {
    /// One tool; by default all
    #[arg(value_parser = tool_name)]
    tool: Option<ToolName>,
    /// Delete, instead of showing
    #[arg(long)]
    delete: bool,
    /// How many of the newest images of a component are kept, besides those that are referred to
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    keep: usize,
    /// Images without a date count as oldest
    #[arg(long)]
    undated: bool,
    #[command(flatten)]
    at: AtArgs,
}

/// One tool: what its registry holds, and what needs it.
struct Looked {
    /// What its images may take.
    quota_bytes: Option<u64>,
    shelf: Shelf,
    references: Result<References, String>,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let (connected, declared) = args.at.find(ui).await?;
    let client = &connected.cluster.client;
    let one = args.tool.as_ref().map(|name| named(&declared.tools, name)).transpose()?;
    let name = one.as_ref().map(|tool| &tool.name);
    let repositories = repositories(&declared, name, ui).await?;
    let mut all = Vec::new();
    for tool in declared.tools.iter().map(|tool| &tool.name).filter(|tool| name.is_none_or(|name| name == *tool)) {
        let own = repositories.get(&tool.namespace()).map(Vec::as_slice).unwrap_or_default();
        if own.is_empty() {
            continue;
        }
        // The registry first: what is deployed meanwhile is then known to be needed.
        let shelf = declared.registry.shelf(tool, own).await;
        let references = references(client, &declared.platform.namespace, tool).await;
        all.push(Looked { quota_bytes: declared.platform.registry.quota_bytes(), shelf, references });
    }
    let undated = if args.undated { Undated::Oldest } else { Undated::Keep };
    let policy = Policy { newest: args.keep, undated };
    let verdicts: Vec<Vec<Verdict>> = all.iter().map(|looked| looked.sort(policy)).collect();
    let deleted = if args.delete { Some(delete(&declared.registry, &verdicts, ui).await?) } else { None };
    tell(deleted, &all, &verdicts, &connected.cluster.name, ui)?;
    let goes = verdicts.iter().flatten().filter(|verdict| verdict.keep.is_none()).count();
    let over = all.iter().zip(&verdicts).any(|(looked, verdicts)| looked.stays_over(deleted.is_some(), verdicts));
    Ok(match deleted {
        None if goes > 0 => Exit::Differs,
        Some(deleted) if deleted < goes => Exit::Failed,
        _ if over => Exit::Differs,
        _ => Exit::Done,
    })
}

impl Looked {
    fn sort(&self, policy: Policy) -> Vec<Verdict<'_>> {
        garbage::sort(&self.shelf, self.references.as_ref().map_err(String::as_str), policy)
    }

    /// What its images take.
    fn bytes(&self) -> u64 {
        garbage::size(&self.shelf.images)
    }

    /// Whether it takes more than it may, also when what may go is gone.
    fn stays_over(&self, deleted: bool, verdicts: &[Verdict<'_>]) -> bool {
        let freed = if deleted { garbage::freed(verdicts) } else { 0 };
        self.quota_bytes.is_some_and(|quota| self.bytes().saturating_sub(freed) > quota)
    }

    /// Why everything of it is kept.
    fn unread(&self) -> Vec<&str> {
        self.references.as_ref().err().into_iter().chain(&self.shelf.unread).map(String::as_str).collect()
    }
}

/// The repositories of each tool, by its namespace: the registry's own list, which also has components that were removed.
async fn repositories(
    declared: &Declared,
    only: Option<&ToolName>,
    ui: &Ui,
) -> anyhow::Result<BTreeMap<String, Vec<Reference>>> {
    let registry = &declared.platform.registry.host;
    let (host, path) =
        registry.split_once('/').map_or((registry.as_str(), String::new()), |(host, path)| (host, format!("{path}/")));
    let listed = declared.registry.repositories(host, &format!("{path}tool-")).await;
    let listed =
        listed.map_err(|error| unanswered(&format!("registry {host} does not list its repositories"), error))?;
    let mut of: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for repository in listed {
        let below = repository.path.get(path.len()..).unwrap_or_default();
        if let Some((namespace, _)) = below.split_once('/') {
            of.entry(namespace.to_owned()).or_default().push(repository);
        }
    }
    let known: BTreeSet<String> = declared.tools.iter().map(|tool| tool.name.namespace()).collect();
    let strangers: Vec<_> = of.keys().filter(|namespace| !known.contains(*namespace)).map(String::as_str).collect();
    if only.is_none() && !strangers.is_empty() {
        ui.say(&format!("of no tool that is known, and left alone: {}", strangers.join(", ")));
    }
    Ok(of)
}

async fn references(client: &Client, namespace: &str, tool: &ToolName) -> Result<References, String> {
    let read = |error: reconciler::cluster::call::CallError| error.to_string();
    let mut stored = observe::stored(client, namespace, Some(tool)).await.map_err(read)?;
    let stored: Stored = stored.remove(tool.as_str()).unwrap_or_else(|| Ok(Vec::new()));
    let stored = stored.map_err(|error| error.to_string())?;
    let objects = observe::naming_images(client, tool).await.map_err(read)?;
    let live: Option<Value> = reconciler::status::read(client, tool).await.map_err(read)?;
    let now: Moment = reconciler::pass::now();
    Ok(References::of(live.as_ref(), &stored, &objects, now))
}

/// How many are gone. A registry that deletes nothing is told once.
async fn delete(registry: &Registry, verdicts: &[Vec<Verdict<'_>>], ui: &Ui) -> anyhow::Result<usize> {
    let mut goes: Vec<_> = verdicts.iter().flatten().filter(|verdict| verdict.keep.is_none()).collect();
    // An index before its parts: a part alone harms nobody, an index without them does.
    goes.sort_by_key(|verdict| verdict.image.parts.is_empty());
    let mut deleted = 0;
    for verdict in goes {
        let image = verdict.image;
        match registry.delete(&Reference::parse(&image.repository)?, &image.digest).await {
            Ok(_) => deleted += 1,
            Err(error @ (RegistryError::NoDeletes { .. } | RegistryError::Denied { .. })) => {
                return Err(unanswered("cannot delete images", error).into());
            }
            Err(error) => {
                let what = format!("{}@{}", image.repository, image.digest);
                ui.tell(&unanswered(&what, error).into());
            }
        }
    }
    Ok(deleted)
}

/// `deleted` is how many are gone; none where it is only shown what would go.
fn tell(
    deleted: Option<usize>,
    all: &[Looked],
    verdicts: &[Vec<Verdict<'_>>],
    cluster: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let every: Vec<Verdict> = verdicts.iter().flatten().copied().collect();
    if ui.json {
        let tools: Vec<_> = all.iter().zip(verdicts).map(|(looked, verdicts)| as_json(looked, verdicts)).collect();
        let freed = garbage::freed(&every);
        return ui.json(&json!({"cluster": cluster, "deleted": deleted, "freedBytes": freed, "tools": tools}));
    }
    let mut table = Table::new(&["TOOL", "IMAGES", "SIZE", "QUOTA", "KEPT", "GO"]);
    for (looked, verdicts) in all.iter().zip(verdicts) {
        let goes = verdicts.iter().filter(|verdict| verdict.keep.is_none()).count();
        table.row(vec![
            (looked.shelf.tool.to_string(), None),
            (looked.shelf.images.len().to_string(), None),
            (size(looked.bytes()), None),
            quota(looked),
            (kept(verdicts), Some(Style::Faint)),
            (goes.to_string(), (goes > 0).then_some(Style::Change)),
        ]);
    }
    let table = if all.is_empty() { String::new() } else { table.print(ui) };
    ui.data(&format!("cluster: {cluster}\n{table}"))?;
    let goes: Vec<_> = every.iter().filter(|verdict| verdict.keep.is_none()).map(|verdict| verdict.image).collect();
    for image in &goes {
        ui.data(&format!("{} {}\n", ui.data_in(Style::Bad, "-"), line(image)))?;
    }
    let (of, freed) = (every.len(), size(garbage::freed(&every)));
    ui.data(&match deleted {
        None => format!("{} of {of} images to delete, {freed} would become free\n", goes.len()),
        Some(all) if all == goes.len() => format!("{all} of {of} images deleted, {freed} freed\n"),
        Some(some) => format!("{some} of {} images deleted, the others not\n", goes.len()),
    })?;
    for (looked, verdicts) in
        all.iter().zip(verdicts).filter(|(looked, rows)| looked.stays_over(deleted.is_some(), rows))
    {
        let (tool, quota) = (&looked.shelf.tool, size(looked.quota_bytes.unwrap_or_default()));
        let freed = garbage::freed(verdicts);
        ui.say(&format!("{tool} takes {} of its {quota}; {} of it can go", size(looked.bytes()), size(freed)));
    }
    for why in all.iter().flat_map(Looked::unread) {
        ui.say(&format!("kept whole: {why}"));
    }
    if !goes.is_empty() && deleted.is_none() {
        ui.hint("Run it again with `--delete` to delete them.");
    }
    Ok(())
}

/// `registry.example/tool-x/web@0123456789ab  old, older  1.2 MB`.
fn line(image: &Shelved) -> String {
    let tags: Vec<_> = image.tags.iter().map(|tag| tag.get(..24).unwrap_or(tag)).collect();
    let tags = if tags.is_empty() { "no tag".to_owned() } else { tags.join(", ") };
    format!("{}@{}  {tags}  {}", image.repository, image.digest.short(), size(garbage::size([image])))
}

/// How much of its quota a tool uses.
fn quota(looked: &Looked) -> (String, Option<Style>) {
    let Some(quota) = looked.quota_bytes else { return (String::new(), None) };
    let percent = looked.bytes().saturating_mul(100).checked_div(quota).unwrap_or(u64::MAX);
    (format!("{percent} % of {}", size(quota)), (looked.bytes() > quota).then_some(Style::Bad))
}

fn kept(verdicts: &[Verdict<'_>]) -> String {
    let counts = counts(verdicts);
    counts.into_iter().map(|(keep, count)| format!("{count} {}", keep.word())).collect::<Vec<_>>().join(", ")
}

fn counts(verdicts: &[Verdict<'_>]) -> BTreeMap<Keep, usize> {
    let mut counts = BTreeMap::new();
    for keep in verdicts.iter().filter_map(|verdict| verdict.keep) {
        *counts.entry(keep).or_default() += 1;
    }
    counts
}

fn as_json(looked: &Looked, verdicts: &[Verdict<'_>]) -> Value {
    let image = |image: &Shelved| {
        json!({
            "image": format!("{}@{}", image.repository, image.digest), "tags": image.tags,
            "created": image.created, "sizeBytes": garbage::size([image]),
        })
    };
    let kept = |verdict: &Verdict| {
        let mut value = image(verdict.image);
        value["why"] = json!(verdict.keep?);
        Some(value)
    };
    json!({
        "tool": looked.shelf.tool,
        "sizeBytes": looked.bytes(),
        "quotaBytes": looked.quota_bytes,
        "kept": verdicts.iter().filter_map(kept).collect::<Vec<_>>(),
        "go": verdicts.iter().filter(|v| v.keep.is_none()).map(|v| image(v.image)).collect::<Vec<_>>(),
        "unread": looked.unread(),
    })
}
