//! `audit`: what was written to the cluster for a tool, at whose word, and why.

mod log;

use super::connect::Connected;
use super::pin::{OfTool, read};
use super::target::unread;
use crate::ui::{self, Exit, Style, Table, Ui};
use planner::audit::Told;
use planner::observed::uid_of;
use reconciler::cluster::call;
use reconciler::events::{NOT_SENT, WROTE};
use renderer::ToolName;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Show what was written for a tool: by whom, why, and which fields
///
/// Newest first, from the Events about it, which clusters keep for an hour or so. The log of `toolforge run` says the same
/// of each write: where it is kept, `--log` reads as far back as it goes, and asks no cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge audit wordcount
  toolforge audit wordcount --json | jq '.events[] | {who, cause, objects}'
  kubectl -n toolforge logs deploy/toolforge | toolforge audit wordcount --log -

`by commit` is whoever made that commit of the tool's repository; its author's name is what the
commit says, which proves nothing. `by pin of` whoever ran `rollback`,
`rebase` or the like, and `by platform` toolforge itself: it corrects what others change, and brings
changes of platform.yaml.")]
pub struct Args {
    #[command(flatten)]
    of: OfTool,
    /// Read a log of `toolforge run --log-format json` instead; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "cluster")]
    log: Option<PathBuf>,
}

/// One Event, or one line of the log.
#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// RFC 3339, of the last time.
    time: String,
    /// `Configure`, `Denied` …
    reason: String,
    warning: bool,
    /// How often it was said.
    times: u64,
    said: String,
    /// The same, field by field; none where another version wrote it in a way that we can't read.
    #[serde(flatten)]
    wrote: Option<Told>,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let name = &args.of.tool;
    let (from, rows) = match &args.log {
        Some(log) => (("log", log.display().to_string()), log::rows(log, name)?),
        None => {
            let connected = args.of.cluster.connect(None).await?;
            let rows = of_cluster(&connected, name).await?;
            (("cluster", connected.cluster.name), rows)
        }
    };
    if ui.json {
        ui.json(&json!({"tool": name, from.0: from.1, "events": rows}))?;
    } else if rows.is_empty() {
        let when = if args.log.is_some() { "as far as that log goes" } else { "lately" };
        ui.data(&format!("nothing was written for {name} {when}\n"))?;
    } else {
        ui.data(&format!("{name}  {}: {}\n{}", from.0, from.1, table(&rows, ui)))?;
    }
    Ok(Exit::Done)
}

async fn of_cluster(connected: &Connected, name: &ToolName) -> anyhow::Result<Vec<Row>> {
    let tool = read(connected, name).await?;
    let path = format!(
        "/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DTool%2CinvolvedObject.name%3D{name}"
    );
    let bytes = call::get(&connected.cluster.client, &path, None).await;
    let list: Value = call::parse(&bytes.map_err(|error| unread("the Events about it", error))?)?;
    Ok(rows(&list, uid_of(&tool).unwrap_or_default()))
}

/// Events about what was written for this very Tool, the newest first. What only waits is in its status.
fn rows(list: &Value, uid: &str) -> Vec<Row> {
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    let about = items.filter(|event| event.pointer("/involvedObject/uid").and_then(Value::as_str) == Some(uid));
    let told = about.filter(|event| annotation(event).is_some() || event["reason"] == NOT_SENT);
    let mut rows: Vec<_> = told.map(row).collect();
    rows.sort_by(|a, b| b.cmp(a));
    rows
}

fn annotation(event: &Value) -> Option<&str> {
    event.pointer("/metadata/annotations")?.get(WROTE)?.as_str()
}

fn row(event: &Value) -> Row {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Row {
        time: text("lastTimestamp"),
        reason: text("reason"),
        warning: text("type") == "Warning",
        times: event.get("count").and_then(Value::as_u64).unwrap_or(1),
        said: text("message"),
        wrote: annotation(event).and_then(|wrote| serde_json::from_str(wrote).ok()),
    }
}

fn table(rows: &[Row], ui: &Ui) -> String {
    let now = ui::now();
    let mut table = Table::new(&["WHEN", "TIMES", "WHAT", "SAID"]);
    for row in rows {
        table.row(vec![
            (ui::ago(&row.time, now).unwrap_or_default(), None),
            (row.times.to_string(), None),
            (row.reason.clone(), row.warning.then_some(Style::Bad)),
            (row.said.clone(), None),
        ]);
    }
    table.print(ui)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(uid: &str, time: &str) -> Value {
        let wrote = r#"{"who":"platform","cause":"drift","objects":[{"object":"service/x","action":"create"}]}"#;
        json!({
            "metadata": {"annotations": {WROTE: wrote}}, "involvedObject": {"uid": uid}, "lastTimestamp": time,
            "reason": "Create", "message": "x", "type": "Normal"
        })
    }

    #[test]
    fn writes_are_told_with_their_fields_and_what_only_waits_is_left_out() {
        let mut waits = event("u", "2026-01-02T00:00:00Z");
        waits["metadata"] = json!({});
        waits["reason"] = "AwaitingBuild".into();
        let mut not_sent = waits.clone();
        not_sent["reason"] = NOT_SENT.into();
        let mut strange = event("u", "2025-01-01T00:00:00Z");
        strange["metadata"]["annotations"][WROTE] = "{\"of\": \"another version\"}".into();
        let rows = rows(&json!({"items": [waits, not_sent, strange, event("u", "2026-01-01T00:00:00Z")]}), "u");
        let told = serde_json::to_value(&rows).expect("JSON");
        assert_eq!(told[0]["reason"], NOT_SENT);
        let written = json!([{"object": "service/x", "action": "create"}]);
        assert_eq!((&told[1]["who"], &told[1]["cause"]), (&json!("platform"), &json!("drift")));
        assert_eq!((&told[1]["objects"], rows.len()), (&written, 3));
        assert_eq!(told[2]["said"], "x", "what can't be read is not left out");
    }

    #[test]
    fn the_newest_comes_first_and_what_is_about_an_earlier_tool_of_that_name_is_left_out() {
        let list = json!({"items": [
            event("u", "2026-01-01T00:00:00Z"), event("other", "2026-01-03T00:00:00Z"), event("u", "2026-01-02T00:00:00Z")
        ]});
        let times: Vec<_> = rows(&list, "u").into_iter().map(|row| row.time).collect();
        assert_eq!(times, ["2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"]);
    }
}
