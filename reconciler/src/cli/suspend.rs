//! `suspend` and `resume`: a person's word about one tool, written on its Tool object under a field manager of its own,
//! so that neither the config repository nor the reconciler takes it back.

use super::connect::{ClusterArgs, Connected};
use super::local::tool_name;
use super::target::unread;
use crate::ui::{Exit, Ui, failed, wrong_use};
use reconciler::cluster::address;
use reconciler::cluster::call;
use renderer::ToolName;
use serde_json::{Value, json};

/// Who writes `spec.pin`.
pub const FIELD_MANAGER: &str = "toolforge-cli";

/// Leave a tool alone until `resume`
///
/// Nothing is planned for it: no rollout, no repair, no prune. What runs keeps running.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge suspend wordcount --reason 'moving the database'")]
pub struct SuspendArgs {
    /// The tool
    #[arg(value_parser = tool_name)]
    tool: ToolName,
    /// Why, for whoever looks at the status
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Look after a suspended tool again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge resume wordcount")]
pub struct ResumeArgs {
    /// The tool
    #[arg(value_parser = tool_name)]
    tool: ToolName,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub async fn suspend(args: &SuspendArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let connected = args.cluster.connect(None).await?;
    read(&connected, &args.tool).await?;
    let by = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let by: Vec<String> = by.into_iter().chain(args.reason.clone()).collect();
    let mut pin = json!({"suspend": true});
    if !by.is_empty() {
        pin["by"] = by.join(": ").into();
    }
    write(&connected, &args.tool, json!({"pin": pin})).await?;
    told(ui, &args.tool, true, &connected.cluster.name)?;
    ui.hint(&format!("Run `toolforge resume {}` when you are done.", args.tool));
    Ok(Exit::Done)
}

pub async fn resume(args: &ResumeArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let connected = args.cluster.connect(None).await?;
    let tool = read(&connected, &args.tool).await?;
    write(&connected, &args.tool, json!({})).await?;
    told(ui, &args.tool, false, &connected.cluster.name)?;
    if tool.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        ui.hint("It stays suspended by the config repository: remove `suspend` from its file there.");
    }
    Ok(Exit::Done)
}

async fn read(connected: &Connected, tool: &ToolName) -> anyhow::Result<Value> {
    let found = reconciler::status::read(&connected.cluster.client, tool).await;
    let found = found.map_err(|error| unread("the tool", error))?;
    let missing = || wrong_use(format!("there is no tool {tool}")).hint("Run `toolforge status` to see all tools.");
    Ok(found.ok_or_else(missing)?)
}

fn told(ui: &Ui, tool: &ToolName, suspended: bool, cluster: &str) -> anyhow::Result<()> {
    let word = if suspended { "suspended" } else { "resumed" };
    if ui.json {
        return ui.json(&json!({"tool": tool, "suspended": suspended, "cluster": cluster}));
    }
    ui.data(&format!("{tool}  {word}  cluster: {cluster}\n"))
}

/// Applies what we say of the tool, and nothing else: what we said before and don't say now goes.
async fn write(connected: &Connected, tool: &ToolName, spec: Value) -> anyhow::Result<()> {
    let id = reconciler::status::id(tool);
    let row = planner::kinds::Kind::of_id(&id).ok_or_else(|| failed("no kind Tool"))?;
    let body = json!({
        "apiVersion": "toolforge.org/v1alpha1",
        "kind": "Tool",
        "metadata": {"name": tool},
        "spec": spec,
    });
    let path = address::object(row, &id);
    let written = call::apply(&connected.cluster.client, &path, FIELD_MANAGER, &body).await;
    written.map_err(|error| failed(format!("cannot write on the tool {tool}")).because(error))?;
    Ok(())
}
