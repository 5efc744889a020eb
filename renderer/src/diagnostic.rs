//! What is wrong, or worth knowing, in a file a person wrote: a place, a message, a hint.

mod code;
mod findings;
pub(crate) mod mask;
mod print;
mod text;

pub use code::Code;
pub use findings::{Findings, MAX_LISTED, named};
pub use print::{Dye, print, print_dyed};
pub use text::{fit_to_print, lines, nearest, on_one_line, shown, steers};

use serde::{Deserialize, Serialize};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Accepted; worth knowing.
    Note,
    /// Refused: what it belongs to is withheld.
    Error,
}

/// A place in a text. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters the caret underlines; at least 1.
    pub width: u32,
}

/// One finding in one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    /// File, as the person named it: `toolforge.yaml`.
    pub file: String,
    /// Where; none where the whole file is meant (missing, not UTF-8).
    pub place: Option<Place>,
    /// Error or note.
    pub severity: Severity,
    /// Stable kebab-case code, `unknown-key`; documented in `docs/toolforge-yaml.md`.
    pub code: String,
    /// Lower-case fragment: what is wrong and what was expected.
    pub message: String,
    /// A sentence with a next step.
    pub hint: Option<String>,
    /// The component it belongs to; none where the whole file is meant.
    pub component: Option<String>,
}

impl Diagnostic {
    /// Adds the hint.
    pub fn with_hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(mask::without_credentials(&hint.into()));
    }

    /// The message with its file and line before it, where it has one: `toolforge.yaml:16: ...`.
    #[must_use]
    pub fn located(&self) -> String {
        match self.place {
            Some(place) => format!("{}:{}: {}", self.file, place.line, self.message),
            None => self.message.clone(),
        }
    }
}

/// Everything found in one revision's files, in file order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Findings, ordered by file, place and code.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// True where nothing was refused.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The errors alone.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error)
    }

    /// The notes alone.
    pub fn notes(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Note)
    }
}
