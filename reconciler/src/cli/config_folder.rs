//! A config repository as a folder on this machine: which files in it are the operators'.

use super::place::OperatorsKind;
use crate::ui::{plain, wrong_use};
use std::path::{Path, PathBuf};

/// One file of the operators.
#[derive(Debug)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// As people name it, within the repository: `tools/wordcount.yaml`.
    pub name: String,
    /// Which of the two.
    pub kind: OperatorsKind,
}

/// `platform.yaml`, then `tools/*.yaml` in name order.
pub fn files(folder: &Path) -> anyhow::Result<Vec<Entry>> {
    let platform = "platform.yaml".to_owned();
    let mut files = vec![Entry { path: folder.join(&platform), name: platform, kind: OperatorsKind::Platform }];
    let tools = folder.join("tools");
    let cannot = |error: std::io::Error| wrong_use(format!("cannot read {}: {}", tools.display(), plain(&error)));
    if !tools.is_dir() {
        return Ok(files);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&tools).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml")) {
            names.push((name, path));
        }
    }
    names.sort();
    files.extend(names.into_iter().map(|(name, path)| Entry {
        path,
        name: format!("tools/{name}"),
        kind: OperatorsKind::Tool,
    }));
    Ok(files)
}
