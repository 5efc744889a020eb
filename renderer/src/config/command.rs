//! A command line, looked at as a shell would: the image has no shell between the platform and the program, so what a
//! shell would do is told.

use super::source::empty;
use crate::decode::text;
use crate::diagnostic::{Code, Findings};
use crate::yaml::Entry;

/// Longest command, in bytes.
const MAX_COMMAND: usize = 4096;

/// `command`, and the command of a health check.
pub(super) fn command(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let command = text(entry, findings)?;
    if command.trim().is_empty() {
        empty(entry, findings);
        return None;
    }
    if command.len() > MAX_COMMAND {
        findings
            .add(
                Code::TooLong,
                entry.value.place,
                format!("`{}` has {} bytes; at most {MAX_COMMAND} are allowed", entry.key, command.len()),
            )
            .with_hint("Put it into a script in the repository.");
        return None;
    }
    match look(command) {
        Look::Words => {}
        Look::Unclosed => {
            findings.add(Code::BadCommand, entry.value.place, format!("a quote in `{}` is not closed", entry.key));
            return None;
        }
        Look::Shell(operator) => {
            findings
                .add(
                    Code::ShellInCommand,
                    entry.value.place,
                    format!("`{operator}` in `{}` has no effect: no shell reads the line", entry.key),
                )
                .with_hint("Write `bash -c '...'`, or put the line into the Procfile and name the process here.");
        }
    }
    Some(command.to_owned())
}

/// What stands out in a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Words, and nothing else.
    Words,
    /// A quote without its twin.
    Unclosed,
    /// Shell syntax outside quotes, such as `&&`.
    Shell(&'static str),
}

const OPERATORS: &[&str] = &["&&", "||", "$(", "${", ">>", "|", ";", ">", "<", "`", "&"];

/// Looks at a command.
fn look(command: &str) -> Look {
    let Some(bare) = outside_quotes(command) else {
        return Look::Unclosed;
    };
    if let Some(operator) = OPERATORS.iter().find(|operator| bare.contains(**operator)) {
        return Look::Shell(operator);
    }
    let first = bare.split_whitespace().next().unwrap_or_default();
    if first.split_once('=').is_some_and(|(name, _)| super::env::is_name(name)) {
        return Look::Shell("NAME=value");
    }
    let variable = |(at, _): (usize, &str)| bare[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if bare.match_indices('$').any(variable) {
        return Look::Shell("$NAME");
    }
    if first == "cd" || first == "source" || first == "export" {
        return Look::Shell(if first == "cd" { "cd" } else { "source" });
    }
    Look::Words
}

/// The command without what stands in quotes or after a backslash; none where a quote stays open.
fn outside_quotes(command: &str) -> Option<String> {
    let mut bare = String::new();
    let mut quote = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => {
                chars.next()?;
            }
            (None, _) => bare.push(c),
            _ => {}
        }
    }
    quote.is_none().then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_syntax_is_seen_outside_quotes_only() {
        for (command, expected) in [
            ("web", Look::Words),
            ("python -m app --name='a && b'", Look::Words),
            ("bash -c 'cd app && ./run > log'", Look::Words),
            ("./a && ./b", Look::Shell("&&")),
            ("./a | tee log", Look::Shell("|")),
            ("./a > log", Look::Shell(">")),
            ("echo $(date)", Look::Shell("$(")),
            ("gunicorn --bind 0.0.0.0:$PORT app", Look::Shell("$NAME")),
            ("DEBUG=1 python app.py", Look::Shell("NAME=value")),
            ("cd app", Look::Shell("cd")),
            ("echo 'open", Look::Unclosed),
            ("echo \\", Look::Unclosed),
            ("curl --data=a=b", Look::Words),
        ] {
            assert_eq!(look(command), expected, "{command}");
        }
    }
}
