//! `tools/<name>.yaml` of the config repository: whom we serve. Never read from a tool's own repository.

mod object;
mod parse;

pub use parse::parse;

use crate::names::ToolName;
use crate::signers::Commits;
use serde::{Deserialize, Serialize};

/// One tool, as operators declare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The tool's name.
    pub name: ToolName,
    /// Git repository: https, http, git, ssh, file or an absolute path.
    pub repository: String,
    /// Followed branch; default `main`.
    pub branch: String,
    /// Folder of `toolforge.yaml` in the repository; empty for the root.
    pub path: String,
    /// uid of the tool's system user; none means the platform's.
    pub uid: Option<u32>,
    /// Overrides of the platform's default limits: only the keys given.
    pub limits: crate::platform::LimitsPatch,
    /// Where this tool is promoted from, if it is.
    pub promotion: Option<Promotion>,
    /// What commits must bring besides what the platform wants.
    #[serde(default)]
    pub commits: Commits,
    /// `true`: nothing is planned for this tool.
    pub suspend: bool,
}

impl Tool {
    /// A tool at the root of a repository's branch `main`, on the platform's own terms.
    #[must_use]
    pub fn of(name: ToolName, repository: impl Into<String>) -> Self {
        Self {
            name,
            repository: repository.into(),
            branch: "main".to_owned(),
            path: String::new(),
            uid: None,
            limits: crate::platform::LimitsPatch::default(),
            promotion: None,
            commits: Commits::default(),
            suspend: false,
        }
    }
}

/// `promotion: {from: wordcount-beta, soak: 1h}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The tool whose images this one may take over.
    pub from: ToolName,
    /// How long `from` must have been Ready on a commit, in seconds.
    pub soak_secs: u64,
}
