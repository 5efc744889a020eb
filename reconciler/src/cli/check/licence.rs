//! The licence of the repository around a folder, where the platform that was named wants one.

use crate::cli::local::Local;
use reconciler::source::licence;
use renderer::licence::Wanted;
use renderer::{Diagnostic, Report, Severity};

/// Adds what is missing to the report: what would be held is an error.
pub(super) fn add(local: &Local, report: &mut Report) {
    let severity = match local.platform.licence {
        Wanted::Ignore => return,
        Wanted::Warn => Severity::Note,
        Wanted::Hold => Severity::Error,
    };
    let root = local.place.worktree.root.as_ref().unwrap_or(&local.place.folder);
    let Some(why) = licence::of_folder(root).lacking() else { return };
    let (message, hint) = why.split_once("; ").unwrap_or((&why, "commit a file LICENSE"));
    let mut hint = hint.to_owned();
    hint.get_mut(..1).map(str::make_ascii_uppercase);
    report.diagnostics.push(Diagnostic {
        file: local.place.folder.join("LICENSE").display().to_string(),
        place: None,
        severity,
        code: "no-licence".to_owned(),
        message: message.to_owned(),
        hint: Some(format!("{hint}.")),
        component: None,
    });
}
