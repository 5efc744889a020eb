//! stdout is data, stderr is talk, colour is decoration. The only place of the binary that writes to either.

mod age;
mod failure;
mod table;

pub use age::{ago, now, since};
pub use failure::{Exit, Failure, failed, plain, wrong_use};
pub use table::Table;

use anyhow::Context as _;
use planner::explain::Tone;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

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

    /// Whether talk is coloured.
    pub fn colours_talk(&self) -> bool {
        self.colour_err
    }

    /// Data, as it is.
    pub fn data(&self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(NobodyReads.into()),
            Err(error) => Err(failed(format!("cannot write to stdout: {}", plain(&error))).into()),
            Ok(()) => Ok(()),
        }
    }

    /// Data for people, where machines are not told something else.
    pub fn data_unless_json(&self, text: &str) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { self.data(text) }
    }

    /// Data as JSON, with a line end.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
        text.push('\n');
        self.data(&text)
    }

    /// One line of talk. Nobody to talk to is no reason to fail.
    pub fn say(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// A sentence with a next step.
    pub fn hint(&self, sentence: &str) {
        self.say(&format!("{} {sentence}", self.talk_in(Style::Hint, "hint:")));
    }

    /// Text on stderr in a style.
    pub fn talk_in(&self, style: Style, text: &str) -> String {
        dye(self.colour_err, style, text)
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
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// <https://no-color.org>: set and not empty.
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
