//! `diff --live FILE`: the cluster is a file, and the rest is as always.

use crate::cli::connect::Connected;
use crate::ui::{Ui, plain, wrong_use};
use planner::kinds::Kind;
use reconciler::cluster::door::Requests;
use reconciler::cluster::saved::Saved;
use renderer::{ObjectId, ToolName};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Some thousand objects; and an end to `/dev/zero`.
const MAX_READ_BYTES: u64 = 64 << 20;

/// Opens the file as a cluster.
pub fn open(path: &Path, ui: &Ui) -> anyhow::Result<(Saved, Connected)> {
    let name = path.display().to_string();
    let cannot = |error: std::io::Error| wrong_use(format!("cannot read {name}: {}", plain(&error)));
    let mut bytes = Vec::new();
    File::open(path).map_err(cannot)?.take(MAX_READ_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_READ_BYTES {
        return Err(wrong_use(format!("{name} is larger than {MAX_READ_BYTES} bytes")).into());
    }
    let hint = "Save objects with `kubectl get ... -o yaml --show-managed-fields`.";
    let saved =
        Saved::read(&bytes).map_err(|error| wrong_use(format!("cannot use {name}")).hint(hint).because(error))?;
    if !saved.names_owners() {
        ui.say(&format!("{name} does not say who wrote what, so nothing in it proves to be ours"));
        ui.hint(hint);
    }
    let requests = Requests::default();
    let cluster = saved.cluster(&name, &requests);
    Ok((saved, Connected { cluster, requests, sandbox: None }))
}

/// Says what is planned as absent, where that is more likely to have been left out.
pub fn tell_left_out(saved: &Saved, tool: &ToolName, file: &Path, ui: &Ui) {
    let cluster_wide = [("toolforge.org", "Tool", tool.to_string()), ("", "Namespace", tool.namespace())];
    for (group, kind, name) in cluster_wide {
        let id = ObjectId { group: group.to_owned(), kind: kind.to_owned(), namespace: None, name };
        if !saved.has(&id) {
            let plural = Kind::of(group, kind).map_or(kind, |row| row.plural);
            let (file, name) = (file.display(), &id.name);
            ui.say(&format!("{file} holds no {id}, which so counts as absent; `kubectl get {plural} {name}` has it"));
        }
    }
}
