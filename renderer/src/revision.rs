//! What a tool said at one commit: immutable, and all that rendering may know of a repository.

mod facts;

pub use facts::{Facts, Signature, Signed, SigningKey, author};

use crate::names::{CommitId, TreeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The files that can describe a tool, as bytes: hostile until parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// `toolforge.yaml` at the tool's path.
    pub config: Option<Vec<u8>>,
    /// `Procfile` beside it; read only where no `toolforge.yaml` is.
    pub procfile: Option<Vec<u8>>,
    /// `service.template` beside it; read only where no `toolforge.yaml` is.
    pub service_template: Option<Vec<u8>>,
    /// `toolforge.secrets.yaml` beside it: encrypted values.
    #[serde(default)]
    pub secrets: Option<Vec<u8>>,
}

/// One commit of a tool's repository. Two are equal that say the same, whatever is known of them besides.
#[derive(Debug, Clone, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The commit; none for an uncommitted working tree.
    pub commit: Option<CommitId>,
    /// The followed branch, `main`.
    pub branch: String,
    /// The tree at the tool's path (the commit's root tree where the path is empty): what is built from this revision.
    /// A commit that leaves it alone builds nothing. None where it is not known (a working tree with changes).
    pub tree: Option<TreeId>,
    /// The files found at the tool's path.
    pub files: Files,
    /// Sources other than this revision that components build from, resolved; see [`SourceRef`].
    pub resolved: BTreeMap<String, ResolvedSource>,
    /// What is known of the commit besides.
    #[serde(skip)]
    pub facts: Facts,
}

impl PartialEq for Revision {
    fn eq(&self, other: &Self) -> bool {
        let Self { commit, branch, tree, files, resolved, facts: _ } = self;
        let place = *commit == other.commit && *branch == other.branch && *tree == other.tree;
        place && *files == other.files && *resolved == other.resolved
    }
}

impl Revision {
    /// No commit and no file: for what follows from the tool and the platform alone.
    #[must_use]
    pub fn nothing(branch: &str) -> Self {
        Self {
            commit: None,
            branch: branch.to_owned(),
            tree: None,
            files: Files::default(),
            resolved: BTreeMap::new(),
            facts: Facts::default(),
        }
    }
}

/// A repository and ref that a component builds from and that is not the tool's own revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceRef {
    /// URL as written.
    pub repository: String,
    /// Branch, tag or commit as written; `HEAD` where absent.
    pub reference: String,
}

impl SourceRef {
    /// The key of [`Revision::resolved`]: `<repository>#<ref>`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}#{}", self.repository, self.reference)
    }
}

/// What a [`SourceRef`] turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResolvedSource {
    /// Found.
    Found {
        /// The commit (an annotated tag is peeled).
        commit: CommitId,
        /// Its root tree.
        tree: TreeId,
    },
    /// The repository answered and has no such ref.
    NoSuchRef {
        /// The nearest ref that exists, for the hint.
        nearest: Option<String>,
    },
    /// The repository could not be asked: held, never taken for an absence.
    Unavailable {
        /// Why, as a fragment without secrets.
        why: String,
    },
}
