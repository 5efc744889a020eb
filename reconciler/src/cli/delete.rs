//! Deletions that a person allows: the rest of a removed tool, and what the deletion budget held back.

use super::connect::Connected;
use super::pin::{OfTool, read};
use crate::ui::{Exit, Ui, failed, wrong_use};
use planner::kinds::Kind;
use planner::observed::{MARK, label, uid_of};
use reconciler::cluster::address;
use reconciler::cluster::call::{self, CallError};
use renderer::{ObjectId, ToolName};
use serde_json::{Map, Value, json};

/// Allow a deletion that was held back
///
/// Where a pass would delete more than the deletion budget, nothing goes, and the status lists what would and an id.
/// This allows exactly that, once: whatever else would go is held again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge status wordcount                      lists what is held, and the command
  toolforge prune wordcount --allow 1a2b3c4d5e6f")]
pub struct PruneArgs {
    #[command(flatten)]
    of: OfTool,
    /// Id of the held deletion
    #[arg(long, value_name = "ID")]
    allow: String,
}

/// Delete what is left of a tool that was removed from the config repository
///
/// Its objects go now, not after the grace period; with `--namespace` its Namespace and everything in it, too. A tool
/// that the config repository still names is refused: remove its file there first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge delete wordcount                  what it runs
  toolforge delete wordcount --namespace      everything, also what others made in its Namespace")]
pub struct DeleteArgs {
    #[command(flatten)]
    of: OfTool,
    /// The Namespace and the Tool itself, too; this can't be undone
    #[arg(long)]
    namespace: bool,
}

pub async fn prune(args: &PruneArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let allow = |pin: &mut Map<String, Value>, tool: &Value| {
        let held = tool.pointer("/status/heldDeletions").map(Value::to_string).unwrap_or_default();
        if !held.contains(&format!("--allow {}", args.allow)) {
            let hint = format!("`toolforge status {}` lists what is held.", args.of.tool);
            return Err(wrong_use(format!("no deletion {} is held", args.allow)).hint(hint).into());
        }
        pin.insert("allowPrune".to_owned(), json!(args.allow));
        Ok(())
    };
    args.of.pin(ui, "may delete that once", allow).await?;
    Ok(Exit::Done)
}

pub async fn delete(args: &DeleteArgs, ui: &Ui) -> anyhow::Result<Exit> {
    if !args.namespace {
        let now = |pin: &mut Map<String, Value>, tool: &Value| {
            removed(tool, &args.of.tool)?;
            pin.insert("delete".to_owned(), json!(true));
            Ok(())
        };
        args.of.pin(ui, "is deleted", now).await?;
        return Ok(Exit::Done);
    }
    let connected = args.of.cluster.connect(None).await?;
    let tool = read(&connected, &args.of.tool).await?;
    removed(&tool, &args.of.tool)?;
    let namespace = namespace(&connected, &args.of.tool).await?;
    for (id, live) in namespace.iter().chain([&(planner::tool_id(&args.of.tool), tool)]) {
        gone(&connected, id, live).await?;
    }
    if ui.json {
        ui.json(&json!({"tool": args.of.tool, "deleted": true, "cluster": connected.cluster.name}))?;
    } else {
        ui.data(&format!("{}  deleted with its Namespace  cluster: {}\n", args.of.tool, connected.cluster.name))?;
    }
    Ok(Exit::Done)
}

/// Only what the reconciler has seen to be gone from the config repository may be deleted.
fn removed(tool: &Value, name: &ToolName) -> anyhow::Result<()> {
    let held = tool.pointer("/status/heldDeletions").and_then(Value::as_array);
    let is_it = |row: &Value| row.get("object").and_then(Value::as_str) == Some(format!("tool/{name}").as_str());
    if tool.pointer("/status/removedAt").is_some() || held.is_some_and(|rows| rows.iter().any(is_it)) {
        return Ok(());
    }
    let hint = format!("Remove tools/{name}.yaml from the config repository first, and wait for the next poll.");
    Err(wrong_use(format!("the config repository still names {name}")).hint(hint).into())
}

/// The tool's Namespace, where there is one and it is the tool's.
async fn namespace(connected: &Connected, tool: &ToolName) -> anyhow::Result<Option<(ObjectId, Value)>> {
    let name = tool.namespace();
    let id = ObjectId { group: String::new(), kind: "Namespace".to_owned(), namespace: None, name: name.clone() };
    let live: Value = match call::get(&connected.cluster.client, &path(&id), None).await {
        Ok(bytes) => call::parse(&bytes)?,
        Err(error) if error.is_not_found("namespaces", &name) => return Ok(None),
        Err(error) => return Err(failed(format!("cannot read namespace/{name}")).because(error).into()),
    };
    if label(&live, MARK) != Some(tool.as_str()) {
        let hint = "Look at it with `kubectl get namespace --show-labels`.";
        return Err(wrong_use(format!("namespace/{name} does not carry the mark of {tool}")).hint(hint).into());
    }
    Ok(Some((id, live)))
}

/// Deleted under the uid that was just read: never another object that took the name.
async fn gone(connected: &Connected, id: &ObjectId, live: &Value) -> anyhow::Result<()> {
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": {"uid": uid_of(live)}, "propagationPolicy": "Background",
    });
    match call::send(&connected.cluster.client, http::Method::DELETE, &path(id), &options).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(404) => Ok(()),
        Err(error) => Err(refused(id, error)),
    }
}

fn refused(id: &ObjectId, error: CallError) -> anyhow::Error {
    failed(format!("cannot delete {id}"))
        .hint("Ask the operators: this needs rights of the platform.")
        .because(error)
        .into()
}

fn path(id: &ObjectId) -> String {
    Kind::of_id(id).map(|row| address::object(row, id)).unwrap_or_default()
}
