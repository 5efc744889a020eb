//! `history`: the last deployments of a tool, and how each ended.

use super::pin::{OfTool, read};
use crate::ui::{self, Exit, Style, Table, Ui};
use jiff::Timestamp;
use planner::deployments::{Entry, State, listed};
use serde_json::json;

/// Show the last deployments of a tool
///
/// Newest first: which commit, when, and how it ended. A failed one says why, and what ran instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge history wordcount
  toolforge rollback wordcount --to 35b594f     go back to one of them")]
pub struct Args {
    #[command(flatten)]
    of: OfTool,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let connected = args.of.cluster.connect(None).await?;
    let tool = read(&connected, &args.of.tool).await?;
    let list = listed(tool.get("status"));
    if ui.json {
        ui.json(&json!({"tool": args.of.tool, "cluster": connected.cluster.name, "deployments": list}))?;
    } else if list.is_empty() {
        ui.data(&format!("{} was not deployed yet\n", args.of.tool))?;
    } else {
        ui.data(&format!("{}  cluster: {}\n{}", args.of.tool, connected.cluster.name, table(&list, ui, ui::now())))?;
    }
    Ok(Exit::Done)
}

/// One line a deployment.
pub fn table(list: &[Entry], ui: &Ui, now: Timestamp) -> String {
    let mut table = Table::new(&["REVISION", "STATE", "BEGAN", "TOOK", "WHY"]);
    for entry in list {
        let deployment = &entry.deployment;
        let (word, style) = match deployment.state {
            State::Progressing => ("on its way", Style::Change),
            State::Ready => ("ready", Style::Good),
            State::Failed => ("failed", Style::Bad),
            State::Superseded => ("superseded", Style::Faint),
        };
        let began = entry.started_at.and_then(|at| ui::ago(&at.to_string(), now)).unwrap_or_default();
        let by = deployment.by.as_ref().map(|by| format!("pinned {by}"));
        table.row(vec![
            (format!("{}@{}", deployment.branch, deployment.commit.short()), None),
            (word.to_owned(), Some(style)),
            (began, None),
            (took(entry), None),
            (deployment.why.clone().or(by).unwrap_or_default(), Some(Style::Faint)),
        ]);
    }
    table.print(ui)
}

fn took(entry: &Entry) -> String {
    let (Some(start), Some(end)) = (entry.started_at, entry.ended_at) else { return String::new() };
    match end.unix_secs() - start.unix_secs() {
        secs @ 0..120 => format!("{secs} s"),
        secs => format!("{} min", secs / 60),
    }
}
