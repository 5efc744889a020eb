//! Why a policy is refused when it is loaded.

/// One reason, with its place. A file may have several, and all are told at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {field}: {message}")]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line in it, from 1.
    pub line: u64,
    /// Column in it, from 1.
    pub column: u64,
    /// The field, as in `spec.validations[0].expression`; of a whole document, its kind or `document`.
    pub field: String,
    /// What is wrong, and what was expected.
    pub message: String,
    /// The next step: a sentence.
    pub hint: String,
}

/// A reason whose place is known to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Where problems of one document are gathered.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) file: &'a str,
    pub(crate) problems: Vec<Problem>,
}

impl Findings<'_> {
    /// `at` is line and column.
    pub(crate) fn refuse(&mut self, at: (u64, u64), field: impl Into<String>, refusal: Refusal) {
        let Refusal { message, hint } = refusal;
        let (line, column) = at;
        self.problems.push(Problem { file: self.file.to_owned(), line, column, field: field.into(), message, hint });
    }
}
