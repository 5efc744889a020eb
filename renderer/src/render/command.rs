//! A command line as an argument vector: signals reach the process, and no shell stands between.
//!
//! A built image starts everything through the buildpacks' `launcher`, which sets the environment; a prebuilt image has
//! none. The launcher knows a process (a Procfile's entry) by the name under which it is called, `/cnb/process/<name>`,
//! and takes its arguments for a command. Which of the two a word is, the image alone knows: so a shell asks there, and
//! gives its place to what it finds. What only a shell understands is noted where the file is read.

use super::Refusal;
use crate::config::Source;
use crate::diagnostic::Code;

/// Why a command line could not be split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCommand {
    /// A quote that is never closed.
    #[error("the quote {0} is never closed")]
    OpenQuote(char),
    /// A backslash with nothing behind it.
    #[error("nothing follows the last backslash")]
    TrailingBackslash,
    /// Nothing to run.
    #[error("the command is empty")]
    Empty,
}

/// The words of a command line, by the quoting rules of POSIX shells (and of Python's `shlex.split`): blanks separate,
/// `'…'` is literal, in `"…"` a backslash escapes only `"`, `\`, elsewhere it escapes anything. Nothing is expanded.
///
/// # Errors
/// On an open quote, a trailing backslash, or where there is no word at all.
pub fn words(line: &str) -> Result<Vec<String>, BadCommand> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => single_quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(BadCommand::TrailingBackslash)?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(BadCommand::Empty) } else { Ok(words) }
}

fn single_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), BadCommand> {
    loop {
        match chars.next().ok_or(BadCommand::OpenQuote('\''))? {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), BadCommand> {
    loop {
        match chars.next().ok_or(BadCommand::OpenQuote('"'))? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or(BadCommand::OpenQuote('"'))? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// Starts the process of that name, or else a command. It ends with `exec`: signals reach the program.
const PROCESS_OR_COMMAND: &str =
    r#"process=/cnb/process/$0; if [ -x "$process" ]; then exec "$process" "$@"; fi; exec launcher -- "$0" "$@""#;
/// Starts a command. Without the dashes the launcher would have a shell expand each word.
const LAUNCHER: [&str; 2] = ["launcher", "--"];
/// The longest name of a process.
const MAX_PROCESS: usize = 63;

/// What a container executes for the command line under this key, on an image from this source.
pub(crate) fn argv(key: &'static str, line: &str, source: &Source) -> Result<Vec<String>, Refusal> {
    let words = words(line).map_err(|error| Refusal::new(Code::BadCommand, key, error.to_string()))?;

    Ok(match source {
        Source::Image(_) => words,
        Source::Build(_) | Source::Reuse(_) if may_be_process(&words[0]) => {
            [["/bin/sh", "-c", PROCESS_OR_COMMAND].map(str::to_owned).to_vec(), words].concat()
        }
        Source::Build(_) | Source::Reuse(_) => [LAUNCHER.map(str::to_owned).to_vec(), words].concat(),
    })
}

/// The words that a container's command line, as made here, asks of the image's launcher: a process with its arguments,
/// or a command. None where it does not go through a launcher.
#[must_use]
pub fn launched(argv: &[String]) -> Option<&[String]> {
    match argv {
        [shell, flag, script, words @ ..]
            if (&**shell, &**flag, &**script) == ("/bin/sh", "-c", PROCESS_OR_COMMAND) =>
        {
            Some(words)
        }
        [launcher, dashes, words @ ..] if [&**launcher, &**dashes] == LAUNCHER => Some(words),
        _ => None,
    }
}

/// The word of a command line that has one word, where that can be a process's name: then the image has to have a process
/// or a program of that name. A line with arguments is more often a command, whose program may be anywhere.
pub(super) fn only_word(line: &str) -> Option<String> {
    let [word] = <[String; 1]>::try_from(words(line).ok()?).ok()?;
    may_be_process(&word).then_some(word)
}

/// Whether a word can be the name of a process; anything else is a command.
fn may_be_process(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_PROCESS).contains(&word.len()) && word.chars().all(fits) && !matches!(word, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: &[&str]) {
        assert_eq!(words(line).expect(line), expected, "{line}");
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        check("web", &["web"]);
        check("  gunicorn  -w 4\tapp:app\n", &["gunicorn", "-w", "4", "app:app"]);
        check(r#"bash -c 'echo "$HOME"'"#, &["bash", "-c", r#"echo "$HOME""#]);
        check(r#"a"b c"'d e'f\ g"#, &["ab cd ef g"]);
        check(r#"'' "" x"#, &["", "", "x"]);
        check(r#""a\"b\\c\d""#, &[r#"a"b\c\d"#]);
        check("a#b #c", &["a#b", "#c"]);
    }

    #[test]
    fn a_line_that_is_not_finished_is_refused() {
        assert_eq!(words("it's"), Err(BadCommand::OpenQuote('\'')));
        assert_eq!(words(r#"say "hi"#), Err(BadCommand::OpenQuote('"')));
        assert_eq!(words("a \\"), Err(BadCommand::TrailingBackslash));
        assert_eq!(words(" \n"), Err(BadCommand::Empty));
    }

    #[test]
    fn only_a_built_image_has_a_launcher() {
        let prebuilt = Source::Image("example.org/x".to_owned());
        let plain = argv("", "run --fast", &prebuilt).expect("words");
        assert_eq!(plain, ["run", "--fast"]);
        assert_eq!(launched(&plain), None);

        let built = Source::Build(crate::config::Build::default());
        let command = argv("", "./run.sh --fast", &built).expect("words");
        assert_eq!(command, ["launcher", "--", "./run.sh", "--fast"], "a path is no process");
        assert_eq!(launched(&command), Some(&["./run.sh".to_owned(), "--fast".to_owned()][..]));

        let process = argv("", "web --fast", &built).expect("words");
        assert_eq!(process[..2], ["/bin/sh", "-c"]);
        assert_eq!(launched(&process), Some(&["web".to_owned(), "--fast".to_owned()][..]));
        assert_eq!(argv("", "..", &built).expect("words"), ["launcher", "--", ".."]);
    }

    #[test]
    fn a_command_of_one_word_may_be_a_process() {
        let long = "x".repeat(MAX_PROCESS + 1);
        for (line, expected) in [
            (" web ", Some("web")),
            ("'web'", Some("web")),
            ("web --fast", None),
            ("./run.sh", None),
            ("..", None),
            ("it's", None),
            (&long, None),
        ] {
            assert_eq!(only_word(line).as_deref(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn single_quoting_any_words_gives_them_back(original in proptest::collection::vec("\\PC{0,12}", 1..6)) {
            let line = original.iter().map(|w| format!("'{}'", w.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(words(&line), Ok(original));
        }
    }
}
