//! `Procfile`: one `name: command` a line.

use crate::diagnostic::{Code, Findings, Place, lines, shown};
use crate::names::ComponentName;
use crate::yaml::text;
use std::collections::BTreeMap;

/// Most processes of one Procfile.
const MAX: usize = 50;

/// The processes' names, in file order. Lines that are none are told.
pub(super) fn processes(bytes: &[u8], findings: &mut Findings) -> Vec<ComponentName> {
    let mut names = Vec::new();
    let Some(content) = text(bytes, findings) else {
        return names;
    };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, line) in lines(content).enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        findings.enter(None);
        let Some((name, column)) = process(line, at, findings) else {
            continue;
        };
        let place = place(at, column, name);
        findings.enter(Some(name));
        if let Some(first) = seen.insert(name, at + 1) {
            findings
                .add(
                    Code::DuplicateKey,
                    place,
                    format!("the process {} stands here again; the first is on line {first}", shown(name)),
                )
                .with_hint("Rename or remove one of the two.");
        } else if let Ok(good) = ComponentName::new(name) {
            names.push(good);
        } else {
            let better = ComponentName::new(name.to_lowercase().replace('_', "-")).ok();
            let hint = better.map_or_else(|| Code::BadName.fix().to_owned(), |better| format!("Write `{better}`."));
            findings
                .add(Code::BadName, place, format!("{} is a name Kubernetes will refuse", shown(name)))
                .with_hint(hint);
        }
        if names.len() > MAX {
            findings.enter(None);
            findings.add(Code::TooMany, place, format!("the Procfile has more than {MAX} processes"));
            break;
        }
    }
    findings.enter(None);
    if seen.is_empty() && findings.first_error(None).is_none() {
        findings
            .add(Code::EmptyFile, None, "the Procfile names no process")
            .with_hint("Write a line such as `web: python app.py`.");
    }
    names
}

/// Name and its column from 0.
fn process<'l>(line: &'l str, at: usize, findings: &mut Findings) -> Option<(&'l str, usize)> {
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let whole = place(at, indent, line.trim());
    let Some((name, command)) = line.split_once(':') else {
        findings.add(Code::ProcfileLine, whole, "the line is not `name: command`");
        return None;
    };
    let name = name.trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        findings.add(Code::ProcfileLine, whole, "the line has no process name of one word before its `:`");
        return None;
    }
    if command.trim().is_empty() {
        findings.enter(Some(name));
        findings
            .add(Code::EmptyValue, whole, format!("the process {} has no command", shown(name)))
            .with_hint("Write the command after the `:`.");
    }
    Some((name, indent))
}

fn place(at: usize, column: usize, text: &str) -> Place {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: small(at + 1), column: small(column + 1), width: small(text.chars().count().max(1)) }
}
