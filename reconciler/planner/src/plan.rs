//! The plan: a value, complete and content-addressed. What is not in it does not happen.

mod said;
mod why;

pub(crate) use said::is_anothers;
pub use why::Why;

use crate::deployments::Deployment;
use crate::drift::FieldChange;
use crate::kinds::Identity;
use crate::moment::Moment;
use crate::question::Question;
use crate::settled::Settled;
use renderer::{CommitId, Digest, ObjectId, ToolName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Everything one pass will do for one tool, and everything it will not do yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The tool.
    pub tool: ToolName,
    /// The cluster, as headers name it.
    pub cluster: String,
    /// The revision this plan leads to.
    pub target: Target,
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// What waits, and why.
    pub held: Vec<Held>,
    /// How many desired objects are as they should be.
    pub unchanged: usize,
    /// Desired objects that are there but not Ready, with their controller's words.
    pub not_ready: Vec<NotReady>,
    /// Names whose absence must be confirmed by a read before they can be created; the shell reads them and plans again.
    pub unconfirmed: Vec<ObjectId>,
    /// What only a dry run can tell; the shell asks and plans again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// Fields that differ because the API server insists, to be noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settled>,
    /// Worth knowing, not worth acting on: drift that admission insists on.
    pub remarks: Vec<String>,
    /// Tags of builds that somebody moved, and what counts in their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_tags: Vec<String>,
    /// What the target's licence lacks, where the platform wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlicensed: Option<String>,
    /// How the deployment under way stands, where the Tool's status does not say so already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
    /// The tool's file is gone from the config repository: it is on its way out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Builds that are due and wait for a free place.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queued: usize,
    /// When to look again though nothing happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The revision a plan leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Branch.
    pub branch: String,
    /// Commit; none for a working tree, or where no revision was ever read.
    pub commit: Option<CommitId>,
    /// The name of that commit's author, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// One change to one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The object.
    pub id: ObjectId,
    /// In one word.
    pub action: Action,
    /// Why.
    pub cause: Cause,
    /// As whom it is sent.
    pub identity: Identity,
    /// Field by field; empty for a create and a prune.
    pub changes: Vec<FieldChange>,
    /// The requests, in order. All of them, or the first that fails ends the step.
    pub requests: Vec<Request>,
}

/// What a step does, in one word: the same in the terminal, event reasons, metric labels and docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is not there and should be.
    Create,
    /// An image is missing, and is asked for.
    Build,
    /// An image is missing, and is taken over from the tool that this one is promoted from.
    Promote,
    /// It is there and differs.
    Configure,
    /// It is there and differs in a field that can't be changed: it is deleted, and the next pass makes it anew.
    Replace,
    /// It is ours and should not be there.
    Prune,
    /// The first half of a prune, which can be undone: it stays, and runs nothing.
    ScaleDown,
    /// The way back from it.
    Restore,
}

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// The tool's repository says something new.
    NewRevision,
    /// The platform file or our own version says something new.
    PlatformChange,
    /// The image is in the registry now.
    ImageReady,
    /// The same application is to run on another run image.
    NewRunImage,
    /// Somebody else changed it.
    Drift {
        /// Field manager, where the server knows one.
        manager: Option<String>,
        /// RFC 3339, where the server knows one.
        time: Option<String>,
    },
}

/// One request of a step. Bodies are exact: the shell adds nothing but the condition that a create stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Server-side apply by our field manager that makes the object or fails: the server refuses it, whole and at once,
    /// where the name is taken, whoever took it and however lately.
    Create {
        /// The whole desired object.
        body: Value,
    },
    /// Server-side apply by our field manager, forced.
    Apply {
        /// The whole desired object.
        body: Value,
    },
    /// JSON patch; its first operation tests `resourceVersion`, so that a stale plan fails instead of doing harm.
    Patch {
        /// RFC 6902 operations.
        operations: Value,
    },
    /// In the registry: the image gets a place of this tool's, with the digest it has.
    Promote {
        /// `repository:tag` of the tool it is promoted from.
        from: String,
        /// What is taken over, whatever the tag says by then.
        digest: Digest,
        /// `repository:tag` of this tool.
        to: String,
    },
    /// Delete with a uid precondition: never another object that took the name.
    Delete {
        /// `metadata.uid` as observed.
        uid: String,
    },
}

/// Something that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// What waits: an object, or a component as `component/<namespace>/<name>`, or the tool itself.
    pub id: ObjectId,
    /// What would be done, where that is known.
    pub action: Option<Action>,
    /// Why it waits.
    pub why: Why,
}

/// A desired object that is there but not Ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotReady {
    /// The object.
    pub id: ObjectId,
    /// Its controller's words.
    pub why: String,
    /// It will not come by itself.
    pub failed: bool,
}

impl Plan {
    /// Nothing to do and nothing to say.
    #[must_use]
    pub fn nothing(tool: ToolName, cluster: &str, target: Target) -> Self {
        Self {
            tool,
            cluster: cluster.to_owned(),
            target,
            steps: Vec::new(),
            held: Vec::new(),
            unchanged: 0,
            not_ready: Vec::new(),
            unconfirmed: Vec::new(),
            questions: Vec::new(),
            settled: Vec::new(),
            remarks: Vec::new(),
            unlicensed: None,
            moved_tags: Vec::new(),
            deployment: None,
            removed: false,
            queued: 0,
            due: None,
        }
    }

    /// sha256 of what is done and what waits, in hexadecimal: plans that come to the same have equal ids, however far
    /// rollouts have come meanwhile and whatever the cluster is called here.
    #[must_use]
    pub fn id(&self) -> String {
        crate::contract::id_of(self)
    }

    /// Nothing to do and nothing waits.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        let asks = !self.unconfirmed.is_empty() || !self.questions.is_empty();
        self.steps.is_empty() && self.held.is_empty() && !asks
    }

    /// In sync, and every desired object is Ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_in_sync() && self.not_ready.is_empty()
    }
}

impl Step {
    /// The uid of the object that it deletes, if it does.
    #[must_use]
    pub fn deletes(&self) -> Option<&str> {
        self.requests.iter().find_map(|request| match request {
            Request::Delete { uid } => Some(uid.as_str()),
            _ => None,
        })
    }

    /// Whether it takes pods away: under a quota what frees room goes before what needs it.
    #[must_use]
    pub fn is_scale_down(&self) -> bool {
        let number = |shown: &Option<crate::drift::Shown>| shown.as_ref()?.to_string().parse::<u64>().ok();
        let fewer = |change: &FieldChange| number(&change.from).zip(number(&change.to)).is_some_and(|(a, b)| b < a);
        self.action == Action::ScaleDown || self.changes.iter().any(|c| c.path == "spec.replicas" && fewer(c))
    }
}

impl Action {
    /// The mark at the beginning of a line.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Create | Self::Build | Self::Promote => '+',
            Self::Configure | Self::Restore => '~',
            Self::Replace => '!',
            Self::Prune | Self::ScaleDown => '-',
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Build => "build",
            Self::Promote => "promote",
            Self::Configure => "configure",
            Self::Replace => "replace",
            Self::Prune => "prune",
            Self::ScaleDown => "scale down",
            Self::Restore => "restore",
        })
    }
}

impl Cause {
    /// The cause as one CamelCase word, for event reasons and metric labels.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NewRevision => "NewRevision",
            Self::PlatformChange => "PlatformChange",
            Self::ImageReady => "ImageReady",
            Self::NewRunImage => "NewRunImage",
            Self::Drift { .. } => "Drift",
        }
    }
}

impl fmt::Display for Cause {
    /// In words, without the time: the same cause reads the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewRevision => f.write_str("new revision"),
            Self::PlatformChange => f.write_str("platform change"),
            Self::ImageReady => f.write_str("image ready"),
            Self::NewRunImage => f.write_str("new run image"),
            Self::Drift { manager: Some(manager), .. } => write!(f, "drift by {manager}"),
            Self::Drift { manager: None, .. } => f.write_str("drift"),
        }
    }
}
