//! What a buildpack wrote beside its layers: `launch.toml`.

use super::Pack;
use super::trouble::BuildError;
use crate::file;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Most processes of one buildpack.
const MAX_PROCESSES: usize = 200;

/// `launch.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Launch {
    #[serde(default)]
    pub(super) processes: Vec<Process>,
    #[serde(default)]
    pub(super) labels: Vec<Label>,
}

/// A process that the image can start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Process {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) command: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) args: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) default: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) working_dir: Option<String>,
    /// Who says so; not of the file.
    #[serde(default, rename = "buildpack-id")]
    pub(super) pack: String,
}

/// A label that a buildpack gives the image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Label {
    pub(super) key: String,
    pub(super) value: String,
}

/// What the buildpack whose layers stand in `own` says of processes.
pub(super) fn read(own: &Path, pack: &Pack) -> Result<Launch, BuildError> {
    let bad = |why: String| BuildError::BadResult { pack: pack.id.clone(), what: "launch.toml".to_owned(), why };
    let mut launch: Launch =
        file::toml(&own.join("launch.toml")).map_err(|error| bad(error.to_string()))?.unwrap_or_default();
    if launch.processes.len() > MAX_PROCESSES {
        return Err(bad(format!("it names more than {MAX_PROCESSES} processes")));
    }
    for process in &mut launch.processes {
        pack.id.clone_into(&mut process.pack);
        let word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        // It becomes a file's name, and a word of a script.
        if process.kind.is_empty() || !process.kind.bytes().all(word) || process.kind.starts_with(['.', '-']) {
            return Err(bad(format!("{:?} is no name of a process", process.kind)));
        }
        if process.command.is_empty() {
            return Err(bad(format!("the process {} has no command", process.kind)));
        }
    }
    Ok(launch)
}
