//! A command line, looked at as a shell would: the image has no shell between the platform and the program, so what a
//! shell would do is told.

/// What stands out in a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Words, and nothing else.
    Words,
    /// A quote without its twin.
    Unclosed,
    /// Shell syntax outside quotes, such as `&&`.
    Shell(&'static str),
}

const OPERATORS: &[&str] = &["&&", "||", "$(", "${", ">>", "|", ";", ">", "<", "`", "&"];

/// Looks at a command.
pub(super) fn look(command: &str) -> Look {
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
