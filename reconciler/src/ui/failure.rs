//! How a command ends, and how an error is told: one line with the layers of the chain, and a hint below it.

use super::{Style, Ui};
use renderer::credentials::without_tokens;
use std::fmt;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or in sync.
    Done,
    /// `diff` found something to do.
    Differs,
    /// The command or a file is wrong.
    WrongUse,
    /// A step failed.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Differs => 1,
            Exit::WrongUse => 2,
            Exit::Failed => 3,
        })
    }
}

/// An error that knows how the command ends, and what to do next.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    exit: Exit,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The command or a file is wrong.
pub fn wrong_use(message: impl Into<String>) -> Failure {
    Failure { message: message.into(), hint: None, exit: Exit::WrongUse, source: None }
}

/// Something that should have worked did not.
pub fn failed(message: impl Into<String>) -> Failure {
    Failure { message: message.into(), hint: None, exit: Exit::Failed, source: None }
}

impl Failure {
    /// Adds a sentence with a next step.
    pub fn hint(self, sentence: impl Into<String>) -> Self {
        Self { hint: Some(sentence.into()), ..self }
    }

    /// Adds the layer below. (As anyhow's context it could not be found again in the chain.)
    pub fn because(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    /// Adds the hint of a lower layer, if it has one.
    pub fn hint_if(self, sentence: Option<String>) -> Self {
        Self { hint: sentence.or(self.hint), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An I/O error as a fragment.
pub fn plain(error: &std::io::Error) -> String {
    let words = without_number(&error.to_string());
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Without Rust's ` (os error 13)`: the words say it.
fn without_number(told: &str) -> String {
    match told.split_once(" (os error ") {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => told.to_owned(),
    }
}

/// The hint and the exit code of an error: those of its outermost [`Failure`] that has them.
pub fn hint_of(error: &anyhow::Error) -> (Option<&str>, Exit) {
    let failures = || error.chain().filter_map(|layer| layer.downcast_ref::<Failure>());
    let exit = failures().next().map_or(Exit::Failed, |failure| failure.exit);
    (failures().find_map(|failure| failure.hint.as_deref()), exit)
}

/// `outer: middle: inner`, leaving out a layer that only repeats the one below it.
pub fn chain(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for layer in error.chain().map(|layer| without_number(&layer.to_string())) {
        if told.ends_with(&layer) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&layer);
    }
    told
}

impl Ui {
    /// Tells an error once, and says how the command ends.
    pub fn tell(&self, error: &anyhow::Error) -> Exit {
        if error.is::<super::NobodyReads>() {
            return Exit::Done;
        }
        let (hint, exit) = hint_of(error);
        // What a person typed is often repeated, and may have been the token that belonged into a file.
        self.say(&format!("{} {}", self.talk_in(Style::Bad, "error:"), without_tokens(&chain(error))));
        if let Some(hint) = hint {
            self.hint(&without_tokens(hint));
        }
        exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn an_error_is_told_in_layers_and_keeps_its_hint_and_exit_code() {
        let error = anyhow::Error::from(wrong_use("no file toolforge.yaml").hint("Run `toolforge init`."));
        let error = error.context("cannot check /somewhere");
        assert_eq!(chain(&error), "cannot check /somewhere: no file toolforge.yaml");
        assert_eq!(hint_of(&error), (Some("Run `toolforge init`."), Exit::WrongUse));
    }

    #[test]
    fn a_lower_layer_keeps_its_own_hint() {
        let inner = failed("no answer").hint("Try later.");
        let error = anyhow::Error::from(failed("cannot apply").because(inner));
        assert_eq!(chain(&error), "cannot apply: no answer");
        assert_eq!(hint_of(&error), (Some("Try later."), Exit::Failed));
    }

    #[test]
    fn a_layer_that_prints_its_source_is_not_told_twice() {
        let inner = std::io::Error::other("disk full");
        let error = Err::<(), _>(inner).context("cannot write: disk full").expect_err("an error");
        assert_eq!(chain(&error), "cannot write: disk full");
        assert_eq!(hint_of(&error), (None, Exit::Failed));
    }
}
