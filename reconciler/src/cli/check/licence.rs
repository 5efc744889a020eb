//! The licence of the repository around a folder, where the platform that was named wants one.

use crate::cli::local::Local;
use reconciler::source::licence;
use renderer::Report;
use renderer::licence::judged;

/// Adds what is missing to the report.
pub(super) fn add(local: &Local, report: &mut Report) {
    let wanted = local.platform.licence;
    if wanted.is_ignored() {
        return;
    }
    let root = local.place.worktree.root.as_ref().unwrap_or(&local.place.folder);
    let file = local.place.folder.join("LICENSE").display().to_string();
    report.diagnostics.extend(judged(wanted, &licence::of_folder(root), &file).diagnostics);
}
