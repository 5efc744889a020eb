//! stdout is data, stderr is talk, colour is decoration. The only place of the binary that writes to either, but for
//! logs, which are made fit by the same rule (`cli/log.rs`).
//!
//! Much of what is said was said by strangers: logs of containers, words of servers, names in repositories. So whatever
//! leaves is made [fit to print](renderer::diagnostic::fit_to_print) here, at the last door, and nothing has to be
//! thought of before. Our own colours pass it under a mark that no stranger can know.

mod age;
mod failure;
mod size;
mod table;

pub use age::{ago, now, since};
pub use failure::{Exit, Failure, failed, plain, wrong_use};
pub use size::size;
pub use table::Table;

use anyhow::Context as _;
use planner::explain::Tone;
use renderer::Secret;
use renderer::diagnostic::{fit_to_print, steers};
use serde::Serialize;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::LazyLock;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColourChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Also into files and pipes
    Always,
    /// Nowhere
    Never,
}

/// Whoever reads stdout has gone: the end, and no error.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads stdout")]
pub struct NobodyReads;

/// The two streams, and how they may look.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Machine-readable stdout.
    pub json: bool,
    colour_out: bool,
    colour_err: bool,
}

impl Ui {
    /// Decides about colour once.
    pub fn new(choice: ColourChoice, json: bool) -> Self {
        let allowed = |terminal: bool| match choice {
            ColourChoice::Always => true,
            ColourChoice::Never => false,
            ColourChoice::Auto => terminal && !no_colour(),
        };
        Self {
            json,
            colour_out: !json && allowed(io::stdout().is_terminal()),
            colour_err: allowed(io::stderr().is_terminal()),
        }
    }

    /// Data, as it is but for what would steer a terminal.
    pub fn data(&self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(fit(text).as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(NobodyReads.into()),
            Err(error) => Err(failed(format!("cannot write to stdout: {}", plain(&error))).into()),
            Ok(()) => Ok(()),
        }
    }

    /// A value that somebody asked for, as it is: a program that reads it must get every byte. On a terminal it is data.
    pub fn raw(&self, value: &Secret) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            return self.data(value.reveal());
        }
        out.write_all(value.reveal().as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| failed(format!("cannot write to stdout: {}", plain(&error))).into())
    }

    /// Data for people, where machines are not told something else.
    pub fn data_unless_json(&self, text: &str) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { self.data(text) }
    }

    /// Data as JSON, with a line end.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
        self.data(&format!("{}\n", json_fit(&text)))
    }

    /// One line of talk. Nobody to talk to is no reason to fail.
    pub fn say(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", fit(line));
    }

    /// A sentence with a next step.
    pub fn hint(&self, sentence: &str) {
        self.say(&format!("{} {sentence}", self.talk_in(Style::Hint, "hint:")));
    }

    /// Whether talk is coloured.
    pub fn colours_talk(&self) -> bool {
        self.colour_err
    }

    /// Text on stderr in a style.
    pub fn talk_in(&self, style: Style, text: &str) -> String {
        dye(self.colour_err, style, text)
    }

    /// Text on stderr in a terminal's own terms, `1;31`.
    pub fn talk_dyed(&self, code: &str, text: &str) -> String {
        if self.colour_err { marked(code, text) } else { text.to_owned() }
    }

    /// Text on stdout in a style.
    pub fn data_in(&self, style: Style, text: &str) -> String {
        dye(self.colour_out, style, text)
    }

    /// Decorates the lines of an explained plan.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Added => Style::Good,
            Tone::Changed => Style::Change,
            Tone::Removed => Style::Bad,
            Tone::Waiting => Style::Faint,
            Tone::Plain => return text.to_owned(),
        };
        self.data_in(style, text)
    }
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A title.
    Title,
    /// As it should be.
    Good,
    /// About to change.
    Change,
    /// Wrong, or going away.
    Bad,
    /// Less important.
    Faint,
    /// The word before a next step.
    Hint,
}

/// `1 note`, `2 notes`.
pub fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

fn dye(colour: bool, style: Style, text: &str) -> String {
    let code = match style {
        _ if !colour => return text.to_owned(),
        Style::Title => "1",
        Style::Good => "32",
        Style::Change => "33",
        Style::Bad => "31",
        Style::Faint => "2",
        Style::Hint => "1;32",
    };
    marked(code, text)
}

/// Stands for the beginning of a terminal's command until the text leaves. Nobody can write it who does not know it.
static MARK: LazyLock<String> =
    LazyLock::new(|| format!("\u{fdd0}{:016x}", RandomState::new().build_hasher().finish()));

fn marked(code: &str, text: &str) -> String {
    let mark = MARK.as_str();
    format!("{mark}{code}m{text}{mark}0m")
}

/// What may leave: strangers' commands escaped, our own as the terminal knows them.
fn fit(text: &str) -> String {
    let mut pieces = text.split(MARK.as_str());
    let mut out = fit_to_print(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (code, text) = piece.split_once('m').unwrap_or(("0", piece));
        out.push_str(&format!("\u{1b}[{code}m{}", fit_to_print(text)));
    }
    out
}

/// JSON escapes little more than C0 by itself. What else steers stands in its strings only, and is escaped there in
/// JSON's own way: what is read is the same.
pub fn json_fit(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c >= '\u{7f}' && steers(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// <https://no-color.org>: set and not empty.
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn our_colours_pass_and_a_stranger_s_do_not() {
        let ui = Ui::new(ColourChoice::Always, false);
        let held = format!("{} {}", ui.data_in(Style::Bad, "a\u{9b}2J"), "\u{1b}[32mfine\u{1b}]52;c;eA==\u{7}");
        assert_eq!(fit(&held), "\u{1b}[31ma\\u{9b}2J\u{1b}[0m \\u{1b}[32mfine\\u{1b}]52;c;eA==\\u{7}");
        let guessed = "\u{fdd0}000000000000000031mred";
        assert_eq!(fit(guessed), guessed, "a mark of another process is text");
        let plain = Ui::new(ColourChoice::Never, false);
        assert_eq!(fit(&plain.data_in(Style::Bad, "a\tb\n")), "a\tb\n");
    }

    #[test]
    fn json_reads_the_same_and_steers_nothing() {
        let value = Value::from("a\u{1b}[2J\u{7f}\u{9b}2J\u{202e}\u{2066}\u{feff}\n\u{e9}\u{1f600}");
        let text = json_fit(&value.to_string());
        assert!(!text.contains(steers), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
    }
}
