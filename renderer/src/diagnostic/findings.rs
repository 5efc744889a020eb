//! Collects findings while a file is read: nothing stops at the first error, and nothing grows without bound.

use super::mask::without_credentials;
use super::{Code, Diagnostic, Place, Report, Severity};
use crate::names::ComponentName;
use std::collections::BTreeSet;

/// Findings a report lists of one file; what is beyond is counted.
pub const MAX_LISTED: usize = 50;

/// A component's name as reports hold it: no name that can run is longer, and a longer one tells nothing. What can't run
/// may be a credential that was pasted into the wrong line.
#[must_use]
pub fn named(component: &str) -> String {
    if ComponentName::new(component).is_ok() {
        return component.to_owned();
    }
    without_credentials(component).chars().take(64).collect()
}

/// The findings of one file, in the making.
#[derive(Debug)]
pub struct Findings {
    file: String,
    component: Option<String>,
    list: Vec<Diagnostic>,
}

impl Findings {
    /// None yet, in the file of this name.
    #[must_use]
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), component: None, list: Vec::new() }
    }

    /// What is found from here on belongs to this component, or to the whole file.
    pub fn enter(&mut self, component: Option<&str>) {
        self.component = component.map(named);
    }

    /// One more finding, with its code's fix for a hint; the answer takes a better one.
    pub fn add(&mut self, code: Code, place: impl Into<Option<Place>>, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.list.len();
        self.list.push(Diagnostic {
            file: self.file.clone(),
            place: place.into(),
            severity: code.severity(),
            code: code.id().to_owned(),
            message: without_credentials(&message.into()),
            hint: Some(code.fix().to_owned()),
            component: self.component.clone(),
        });
        &mut self.list[at]
    }

    /// The first error's message that belongs to this component (none: to the whole file).
    #[must_use]
    pub fn first_error(&self, component: Option<&str>) -> Option<&str> {
        self.list
            .iter()
            .find(|d| d.severity == Severity::Error && d.component.as_deref() == component)
            .map(|d| d.message.as_str())
    }

    /// Components that have an error, and whether the file as a whole has one (`None`).
    #[must_use]
    pub fn blamed(&self) -> BTreeSet<Option<&str>> {
        self.list.iter().filter(|d| d.severity == Severity::Error).map(|d| d.component.as_deref()).collect()
    }

    /// In file order, at most [`MAX_LISTED`] of them, and before them a line that says so.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.list.sort_by(|a, b| {
            (a.place, &a.code, &a.message, &a.component).cmp(&(b.place, &b.code, &b.message, &b.component))
        });
        self.list.dedup();
        if self.list.len() > MAX_LISTED {
            self.list.truncate(MAX_LISTED);
            self.component = None;
            let message = format!("the file has more than {MAX_LISTED} findings; the first are listed");
            self.add(Code::MoreFindings, None, message);
            self.list.rotate_right(1);
        }
        Report { diagnostics: self.list }
    }
}
