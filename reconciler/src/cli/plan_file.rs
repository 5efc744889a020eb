//! Plans as files: written by `diff --out`, and carried out by `apply` if they still fit. What is in them is
//! [`planner::contract`]'s business; here is where they lie and how it is told that one does not fit.

use super::place;
use crate::ui::{Exit, Style, Ui, failed, plain, wrong_use};
use planner::contract::{Contract, Difference};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;

/// Under which name plans are made.
pub const MADE_BY: &str = concat!("toolforge ", env!("CARGO_PKG_VERSION"));
/// Digits of a plan's id that people are shown.
const ID_DIGITS: usize = 12;

/// Writes a plan whole or not at all, readable to this user alone: it names what runs, and what somebody changed.
pub fn write(path: &Path, contract: &Contract, ui: &Ui) -> anyhow::Result<()> {
    let cannot = |error: std::io::Error| failed(format!("cannot write {}: {}", path.display(), plain(&error)));
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    beside.write_all(contract.to_text().as_bytes()).map_err(cannot)?;
    beside.persist(path).map_err(|error| cannot(error.error))?;
    ui.say(&format!("plan {} written to {}", short(contract), path.display()));
    Ok(())
}

/// The first digits of its id.
pub fn short(contract: &Contract) -> &str {
    contract.id.get(..ID_DIGITS).unwrap_or_default()
}

/// Reads a plan; what is none, or was changed since, is wrong use.
pub fn read(path: &Path) -> anyhow::Result<Contract> {
    let bytes = place::read(path, "Make a plan with `toolforge diff --out plan.json`.")?;
    Ok(Contract::read(&bytes)
        .map_err(|error| wrong_use(format!("cannot use {}", path.display())).hint(error.hint()).because(error))?)
}

/// Says why a plan is not carried out.
pub fn refuse(path: &Path, contract: &Contract, differences: &[Difference], ui: &Ui) -> anyhow::Result<Exit> {
    let path = path.display();
    if let [cluster @ Difference::Cluster { .. }] = differences {
        let hint = "Name the cluster it was made for, as `toolforge diff` was told.";
        return Err(wrong_use(format!("cannot use {path}: {cluster}")).hint(hint).into());
    }
    ui.say(&format!("{} {path} no longer fits, and nothing was done", ui.talk_in(Style::Bad, "error:")));
    for difference in differences {
        ui.say(&format!("  {difference}"));
    }
    ui.hint(&format!("Run `toolforge diff {} --out {path}` again, and look at what it says now.", contract.tool));
    if ui.json {
        let told: Vec<_> = differences.iter().map(|one| json!({"message": one.to_string(), "what": one})).collect();
        ui.json(&json!({"plan": contract.id, "refused": told}))?;
    }
    Ok(Exit::Differs)
}
