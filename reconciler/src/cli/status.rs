//! `status`: what the reconciler last said about each tool, read from the Tool objects.

use super::connect::ClusterArgs;
use super::local::tool_name;
use super::pin;
use super::target::tools;
use crate::ui::{self, Exit, Style, Table, Ui};
use jiff::Timestamp;
use renderer::ToolName;
use serde_json::Value;

/// Show how the tools are
///
/// One line a tool, or everything about one: conditions, what is held and why, the last deployments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge status                     all tools
  toolforge status wordcount           one, with everything that is known
  toolforge status --json | jq -r '.[] | select(.ready | not) | .tool'
  kubectl wait --for=condition=Ready tool/wordcount     waits, where kubectl is at hand")]
pub struct Args {
    /// One tool
    #[arg(value_parser = tool_name)]
    tool: Option<ToolName>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let connected = args.cluster.connect(None).await?;
    let client = &connected.cluster.client;
    let now = ui::now();
    let Some(name) = &args.tool else {
        let all = tools(client).await?;
        if ui.json {
            ui.json(&all.iter().map(brief).collect::<Vec<_>>())?;
        } else {
            ui.data(&format!("cluster: {}\n{}", connected.cluster.name, table(&all, ui, now)))?;
        }
        if all.is_empty() {
            ui.hint("Run `toolforge run <config repository>` to serve some.");
        }
        return Ok(Exit::Done);
    };
    let tool = pin::read(&connected, name).await?;
    if ui.json {
        ui.json(&tool)?;
    } else {
        ui.data(&detail(&tool, &connected.cluster.name, ui, now))?;
    }
    Ok(Exit::Done)
}

/// What a line of the table says, for machines.
fn brief(tool: &Value) -> Value {
    let ready = condition(tool, "Ready");
    serde_json::json!({
        "tool": text(tool, "/metadata/name"),
        "ready": ready.is_some_and(|found| text(found, "/status") == "True"),
        "reason": ready.map(|found| text(found, "/reason")),
        "message": ready.map(|found| text(found, "/message")),
        "branch": text(tool, "/spec/branch"),
        "commit": tool.pointer("/status/commit"),
        "since": ready.and_then(|found| found.get("lastTransitionTime")),
        "suspended": suspended(tool).is_some(),
    })
}

fn table(tools: &[Value], ui: &Ui, now: Timestamp) -> String {
    if tools.is_empty() {
        return "no tools\n".to_owned();
    }
    let mut table = Table::new(&["TOOL", "READY", "REASON", "REVISION", "SINCE", "MESSAGE"]);
    for tool in tools {
        let ready = condition(tool, "Ready");
        let of = |pointer| ready.map_or("", |found| text(found, pointer));
        let (word, style) = verdict(of("/status"));
        let message = if of("/status") == "True" { "" } else { of("/message") };
        table.row(vec![
            (text(tool, "/metadata/name").to_owned(), None),
            (word.to_owned(), Some(style)),
            (of("/reason").to_owned(), None),
            (revision(tool), None),
            (ui::since(of("/lastTransitionTime"), now).unwrap_or_default(), None),
            (message.to_owned(), Some(Style::Faint)),
        ]);
    }
    table.print(ui)
}

fn verdict(status: &str) -> (&str, Style) {
    match status {
        "True" => ("True", Style::Good),
        "False" => ("False", Style::Bad),
        _ => ("Unknown", Style::Faint),
    }
}

fn detail(tool: &Value, cluster: &str, ui: &Ui, now: Timestamp) -> String {
    let name = text(tool, "/metadata/name");
    let mut out = format!("{}  {}  cluster: {cluster}\n", ui.data_in(Style::Title, name), revision(tool));
    out.push_str(&format!("{}  branch {}\n", text(tool, "/spec/repository"), text(tool, "/spec/branch")));
    if let Some(why) = suspended(tool) {
        out.push_str(&format!("{}{why}\n", ui.data_in(Style::Change, "suspended")));
    }
    let mut conditions = Table::new(&["CONDITION", "", "REASON", "SINCE", "MESSAGE"]);
    for found in list(tool, "/status/conditions") {
        let (kind, status) = (text(found, "/type"), text(found, "/status"));
        conditions.row(vec![
            (kind.to_owned(), None),
            (status.to_owned(), tone(kind, status)),
            (text(found, "/reason").to_owned(), None),
            (ui::since(text(found, "/lastTransitionTime"), now).unwrap_or_default(), None),
            (text(found, "/message").to_owned(), None),
        ]);
    }
    out.push('\n');
    out.push_str(&conditions.print(ui));
    out.push_str(&deployments(tool, ui, now));
    out.push_str(&held_deletions(tool));
    out
}

/// Ready, Built and Licensed are good when they are True; the others are good when they are False.
fn tone(kind: &str, status: &str) -> Option<Style> {
    let good = if matches!(kind, "Ready" | "Built" | "Licensed") { "True" } else { "False" };
    match status {
        status if status == good => Some(Style::Good),
        "True" | "False" if kind == "Reconciling" => Some(Style::Change),
        "True" | "False" => Some(Style::Bad),
        _ => Some(Style::Faint),
    }
}

fn deployments(tool: &Value, ui: &Ui, now: Timestamp) -> String {
    let list = planner::deployments::listed(tool.get("status"));
    if list.is_empty() { String::new() } else { format!("\n{}", super::history::table(&list, ui, now)) }
}

/// What would be deleted and is held, with the command that allows it.
fn held_deletions(tool: &Value) -> String {
    let rows = list(tool, "/status/heldDeletions");
    let lines = rows.iter().map(|row| format!("{}  {}\n", text(row, "/object"), text(row, "/why")));
    if rows.is_empty() { String::new() } else { format!("\nheld deletions\n{}", lines.collect::<String>()) }
}

/// `, since … by …` of the pin, or of the config repository; none where the tool is not suspended.
fn suspended(tool: &Value) -> Option<String> {
    let pinned = tool.pointer("/spec/pin/suspend").and_then(Value::as_bool) == Some(true);
    let declared = tool.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
    let by = tool.pointer("/spec/pin/by").and_then(Value::as_str);
    match (pinned, declared) {
        (true, _) => Some(by.map_or_else(String::new, |by| format!(": {by}"))),
        (false, true) => Some(" by the config repository".to_owned()),
        (false, false) => None,
    }
}

fn revision(tool: &Value) -> String {
    let commit = tool.pointer("/status/commit").and_then(Value::as_str).map_or("-", short);
    format!("{}@{commit}", text(tool, "/spec/branch"))
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

fn condition<'v>(tool: &'v Value, kind: &str) -> Option<&'v Value> {
    list(tool, "/status/conditions").iter().find(|found| text(found, "/type") == kind)
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
