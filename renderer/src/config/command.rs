//! A command line, looked at as a shell would: the image has no shell between the platform and the program, so what a
//! shell would do is told.

use super::source::empty;
use crate::decode::text;
use crate::diagnostic::{Code, Findings};
use crate::render::{BadCommand, words};
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
    match words(command) {
        Ok(words) if words.first().is_some_and(|word| !word.is_empty()) => {}
        Ok(_) | Err(BadCommand::Empty) => {
            empty(entry, findings);
            return None;
        }
        Err(error) => {
            let message = format!("`{}` cannot be split into words: {error}", entry.key);
            findings.add(Code::BadCommand, entry.value.place, message);
            return None;
        }
    }
    if let Some(sign) = shell_syntax(command) {
        let message = format!("`{sign}` in `{}` has no effect: no shell reads the line", entry.key);
        findings
            .add(Code::ShellInCommand, entry.value.place, message)
            .with_hint("Write `bash -c '...'`, or put the line into the Procfile and name the process here.");
    }
    Some(command.to_owned())
}

/// What a shell would do with the line, if it would do something.
fn shell_syntax(command: &str) -> Option<&'static str> {
    const OPERATORS: &[&str] = &["&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1", "&>"];
    const BUILTINS: &[&str] = &["cd", "source", "export", "exec", "set"];
    let parts = Parts::of(command);
    let first = parts.bare.split_whitespace().next().unwrap_or_default();
    if first.split_once('=').is_some_and(|(name, _)| super::env::is_name(name)) {
        return Some("NAME=value");
    }
    let known = |words: &'static [&str], word: &str| words.iter().copied().find(|known| *known == word);
    let operator = |word: &str| {
        let glued = (word.ends_with(';') && word.len() > 1).then_some(";");
        known(OPERATORS, word).or(glued).or_else(|| word.starts_with('>').then_some(">"))
    };
    let is_shell = matches!(first.rsplit('/').next(), Some("sh" | "bash" | "dash"));
    known(BUILTINS, first)
        .or_else(|| parts.bare.split_whitespace().find_map(operator))
        .or_else(|| expansion(&parts.bare))
        // A shell that is named expands what stands in its own quotes.
        .or_else(|| if is_shell { None } else { expansion(&parts.in_double_quotes) })
}

/// `$NAME`, `${NAME}`, `$(command)` and backticks; but `$(NAME)` is what Kubernetes itself fills in.
fn expansion(text: &str) -> Option<&'static str> {
    if text.contains('`') {
        return Some("`");
    }
    text.match_indices('$').find_map(|(at, _)| {
        let rest = &text[at + 1..];
        match rest.chars().next()? {
            '{' => Some("${"),
            '(' => {
                let name = rest[1..].split(')').next().unwrap_or_default();
                let is_variable = super::env::is_name(name) && !name.contains(|c: char| c.is_ascii_lowercase());
                (!is_variable).then_some("$(")
            }
            c => (c.is_ascii_alphabetic() || c == '_').then_some("$NAME"),
        }
    })
}

/// A command by how it is quoted; what single quotes or a backslash protect is in neither part.
#[derive(Default)]
struct Parts {
    bare: String,
    in_double_quotes: String,
}

impl Parts {
    fn of(command: &str) -> Self {
        let mut parts = Self::default();
        let mut quote = None;
        let mut chars = command.chars();
        while let Some(c) = chars.next() {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), _) if open == c => quote = None,
                (None | Some('"'), '\\') => drop(chars.next()),
                (None, _) => parts.bare.push(c),
                (Some('"'), _) => parts.in_double_quotes.push(c),
                _ => {}
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_syntax_is_seen_where_a_shell_would_act() {
        for (command, expected) in [
            ("web", None),
            ("python -m app --name='a && b'", None),
            ("bash -c 'cd app && ./run > log'", None),
            ("bash -c \"cd $HOME && ./run\"", None),
            ("curl https://h.example/?a=b&c=d;e", None),
            ("curl --data=a=b", None),
            ("app --port $(PORT)", None),
            ("grep a\\|b x", None),
            ("./a && ./b", Some("&&")),
            ("./a; ./b", Some(";")),
            ("./a | tee log", Some("|")),
            ("./a > log", Some(">")),
            ("./a >log", Some(">")),
            ("./a 2>&1", Some("2>&1")),
            ("echo $(date)", Some("$(")),
            ("echo ${HOME}", Some("${")),
            ("echo `date`", Some("`")),
            ("gunicorn --bind 0.0.0.0:$PORT app", Some("$NAME")),
            ("gunicorn --bind \"0.0.0.0:$PORT\" app", Some("$NAME")),
            ("DEBUG=1 python app.py", Some("NAME=value")),
            ("cd app", Some("cd")),
        ] {
            assert_eq!(shell_syntax(command), expected, "{command}");
        }
    }
}
