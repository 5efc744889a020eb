//! The lines `audit` of a log of `toolforge run`.

use super::Row;
use crate::ui::{failed, wrong_use};
use planner::audit::{Told, Written};
use renderer::ToolName;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// A longer line is none of ours: an audit line names at most a few fields.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Line {
    timestamp: String,
    fields: Fields,
}

/// As `reconciler::pass` writes them.
#[derive(Deserialize)]
struct Fields {
    message: String,
    tool: Option<String>,
    object: Option<String>,
    action: Option<String>,
    who: Option<String>,
    cause: Option<String>,
    #[serde(default)]
    fields: String,
    more: Option<usize>,
    failed: Option<String>,
}

/// What the log says was written for a tool, the newest first.
pub fn rows(path: &Path, tool: &ToolName) -> anyhow::Result<Vec<Row>> {
    let unreadable = |error: io::Error| {
        let hint = "Name a file that has what `toolforge run --log-format json` wrote, or `-` for standard input.";
        wrong_use(format!("cannot read the log {}: {error}", path.display())).hint(hint)
    };
    let log: Box<dyn io::Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(unreadable)?),
    };
    let (mut rows, mut is_log) = (Vec::new(), false);
    each_line(log, |line| {
        let Some(line) = read(line) else { return };
        is_log = true;
        rows.extend(row(line, tool));
    })
    .map_err(|error| failed(format!("cannot read on in the log {}: {error}", path.display())))?;
    if !is_log {
        let hint = "Lines are told apart as JSON: let `toolforge run` write them with `--log-format json`.";
        return Err(wrong_use(format!("{} is no log of JSON lines", path.display())).hint(hint).into());
    }
    rows.sort_by(|a, b| b.cmp(a));
    Ok(rows)
}

/// Calls `read` with each line that is text and not too long; the rest of a longer one is passed over.
fn each_line(log: impl io::Read, mut read: impl FnMut(&str)) -> io::Result<()> {
    let (mut log, mut line, mut too_long) = (BufReader::new(log), Vec::new(), false);
    loop {
        let pieces = log.fill_buf()?;
        if pieces.is_empty() {
            if !too_long {
                read(&String::from_utf8_lossy(&line));
            }
            return Ok(());
        }
        let end = pieces.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(pieces.len());
        too_long |= line.len() + taken > MAX_LINE_BYTES;
        if !too_long {
            line.extend_from_slice(&pieces[..taken]);
        }
        log.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            if !too_long {
                read(&String::from_utf8_lossy(&line));
            }
            line.clear();
            too_long = false;
        }
    }
}

/// Whoever collects logs may put something before each line.
fn read(line: &str) -> Option<Line> {
    serde_json::from_str(line.get(line.find('{')?..)?.trim_end()).ok()
}

fn row(line: Line, tool: &ToolName) -> Option<Row> {
    let Fields { message, tool: of, object, action, who, cause, fields, more, failed } = line.fields;
    if message != "audit" || of.as_deref() != Some(tool.as_str()) {
        return None;
    }
    let (object, action, who, cause) = (object?, action?, who?, cause?);
    let ended = failed.as_ref().map(|failed| format!(", failed: {failed}")).unwrap_or_default();
    let (fields, more_fields) = (fields.split_whitespace().map(str::to_owned).collect(), more.unwrap_or(0));
    let written = Written { object, action: action.clone(), fields, more_fields, failed };
    Some(Row {
        time: line.timestamp,
        reason: written.failed.clone().unwrap_or_else(|| word(&action)),
        warning: written.failed.is_some(),
        times: 1,
        said: format!("by {who}, {cause}: {}{ended}", written.what()),
        wrote: Some(Told { who, cause, objects: vec![written], more_objects: 0 }),
    })
}

/// What was done, as an Event has it for its reason: `scale down` is `ScaleDown`.
fn word(action: &str) -> String {
    let capital =
        |word: &str| word.get(..1).map(str::to_ascii_uppercase).into_iter().chain(word.get(1..).map(str::to_owned));
    action.split(' ').flat_map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tool: &str, time: &str, rest: &str) -> String {
        format!(
            r#"{{"timestamp":"{time}","level":"INFO","fields":{{"message":"audit","tool":"{tool}","object":"deployment/tool-x/web","action":"configure","who":"platform","cause":"drift"{rest}}},"target":"x"}}"#
        )
    }

    #[test]
    fn lines_about_the_tool_are_told_newest_first_whatever_stands_around_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let text = [
            line("x", "2026-01-01T00:00:00Z", r#","fields":"spec.replicas spec.paused","more":3"#),
            format!("pod/toolforge-1 {}", line("x", "2026-01-02T00:00:00Z", r#","fields":"","failed":"Denied""#)),
            line("y", "2026-01-03T00:00:00Z", ""),
            "no JSON".to_owned(),
            // What a tool says may look like a line, and is none.
            format!("{}{}", "y".repeat(2 * MAX_LINE_BYTES), line("x", "2026-01-05T00:00:00Z", "")),
            r#"{"timestamp":"2026-01-04T00:00:00Z","fields":{"message":"polled","tool":"x"}}"#.to_owned(),
        ];
        std::fs::write(&path, text.join("\n")).expect("written");
        let x = ToolName::new("x").expect("a name");
        let told = rows(&path, &x).expect("read");
        let words: Vec<_> = told.iter().map(|row| row.reason.as_str()).collect();
        assert_eq!((words, word("scale down").as_str()), (vec!["Denied", "Configure"], "ScaleDown"));
        let told: Vec<_> = told.iter().map(|row| (row.time.as_str(), row.warning, row.said.as_str())).collect();
        assert_eq!(
            told,
            [
                ("2026-01-02T00:00:00Z", true, "by platform, drift: deployment/tool-x/web, failed: Denied"),
                (
                    "2026-01-01T00:00:00Z",
                    false,
                    "by platform, drift: deployment/tool-x/web [spec.replicas, spec.paused and 3 more]"
                ),
            ]
        );
        std::fs::write(&path, "as text\nand nothing else").expect("written");
        let error = rows(&path, &x).expect_err("no log").to_string();
        assert!(error.ends_with("is no log of JSON lines"), "{error}");
    }
}
