//! Who tells the show: titles, what somebody types, and what was seen of it, with the time it took.

use crate::ui::{Style, Ui};
use serde::Serialize;
use std::time::Duration;

/// Tells, and keeps what was seen.
pub struct Teller<'a> {
    ui: &'a Ui,
    title: String,
    acts: Vec<Act>,
}

/// One thing that was seen.
#[derive(Debug, Serialize)]
pub struct Act {
    title: String,
    what: String,
    millis: u128,
}

impl<'a> Teller<'a> {
    pub fn new(ui: &'a Ui) -> Self {
        Self { ui, title: String::new(), acts: Vec::new() }
    }

    /// What was seen.
    pub fn acts(&self) -> &[Act] {
        &self.acts
    }

    pub fn title(&mut self, text: &str) -> anyhow::Result<()> {
        text.clone_into(&mut self.title);
        self.line(&format!("\n{}", self.ui.data_in(Style::Title, text)))
    }

    /// What somebody types.
    pub fn shell(&self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("   $ {text}"))
    }

    pub fn aside(&self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("   {}", self.ui.data_in(Style::Faint, text)))
    }

    pub fn seen(&mut self, what: &str, took: Duration) -> anyhow::Result<()> {
        let millis = took.as_millis();
        self.acts.push(Act { title: self.title.clone(), what: what.to_owned(), millis });
        let mark = self.ui.data_in(Style::Good, "✓");
        let time = self.ui.data_in(Style::Faint, &format!("{millis} ms"));
        self.line(&format!("   {mark} {what}  {time}"))
    }

    pub fn line(&self, text: &str) -> anyhow::Result<()> {
        self.ui.data_unless_json(&format!("{text}\n"))
    }
}
