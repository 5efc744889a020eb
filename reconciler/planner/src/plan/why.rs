//! Why something waits: the closed list of reasons, each with its one word and its sentence.

use crate::image::Misfit;
use crate::moment::Moment;
use crate::quota::Shortage;
use renderer::render::secret_name;
use renderer::{CommitId, ObjectId, ToolName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why something is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// Its image is not in the registry.
    AwaitingBuild {
        /// The reference that is asked for: a build stands under its id as the tag.
        image: String,
    },
    /// Its image could not be built, and is not built again until something changes.
    BuildFailed {
        /// The Job or PipelineRun.
        build: ObjectId,
        /// The end of its log, or its controller's words.
        why: String,
    },
    /// Its image is there, and does not run on this platform.
    Unfit {
        /// The reference.
        image: String,
        /// Why not.
        why: Misfit,
    },
    /// An object it needs is made in this pass.
    AwaitingStep(ObjectId),
    /// An object it needs is not Ready.
    AwaitingReady(ObjectId),
    /// A one-off failed.
    GateFailed {
        /// Its Job.
        job: ObjectId,
        /// Its controller's words.
        why: String,
    },
    /// The configuration is wrong there.
    Invalid(String),
    /// The API server, or a rule, refused.
    Denied(String),
    /// Variables whose Secrets don't exist.
    MissingSecret(Vec<String>),
    /// What the platform gives each tool, and has not for this one.
    MissingCredential(String),
    /// The tool's images take more of the registry than they may: how much, and how to make room.
    OverQuota(String),
    /// The tool's quota in the cluster can't hold it.
    NoRoom(Box<Shortage>),
    /// An object of that name is not ours.
    NotOurs,
    /// It could not be observed.
    NotObserved(String),
    /// The repository could not be read.
    SourceUnavailable(String),
    /// Deleting this looks like an accident.
    PruneGuard(String),
    /// The operators, or somebody with that right, said so.
    Suspended,
    /// A person pinned the tool to another revision.
    Pinned {
        /// Which it stays on; none where none was ever Ready.
        commit: Option<CommitId>,
        /// What was asked for, where no stored revision is of that commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unknown: Option<String>,
        /// Until when, by whom and why, as far as it was said.
        #[serde(default)]
        terms: String,
    },
    /// This revision did not become Ready; the last good one runs instead.
    RolledBack {
        /// Which.
        commit: CommitId,
        /// In the words of whoever failed.
        why: String,
    },
    /// Nobody who may sign for the tool has signed its newest commit.
    Unsigned {
        /// Which.
        commit: CommitId,
        /// The key that was missing: its fingerprint, or its id; none where there is no signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// What is wrong, and what to do.
        why: String,
        /// When its key becomes valid, if that is all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
    },
    /// The platform wants an open licence, and the newest revision carries none.
    Unlicensed {
        /// The revision.
        commit: CommitId,
        /// What is missing, and what to do.
        why: String,
    },
    /// The tool that this one is promoted from has to be Ready with this revision for a while.
    Soaking {
        /// That tool.
        from: ToolName,
        /// The revision.
        commit: CommitId,
        /// Since when it is; none where it is not.
        since: Option<Moment>,
        /// When that is long enough.
        until: Option<Moment>,
        /// What runs meanwhile; none where nothing was ever Ready.
        meanwhile: Option<CommitId>,
    },
    /// It comes from the platform and touches many tools: they get it a few at a time.
    AwaitingWave {
        /// Too many tools failed with it: nobody else gets it.
        stopped: bool,
        /// It is another run image.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rebase: bool,
    },
    /// Somebody sets it back each time we correct it: it is left alone for a while.
    Fighting {
        /// Their field manager, where the server knows one.
        manager: Option<String>,
        /// The field; none where it is the object's existence.
        field: Option<String>,
        /// How often we corrected it.
        times: u32,
        /// Within so many seconds.
        secs: u64,
    },
    /// It is being deleted; what comes after waits for the end.
    Terminating,
}

impl Why {
    /// The reason as one CamelCase word, for conditions, event reasons and metric labels.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::AwaitingBuild { .. } => "AwaitingBuild",
            Self::BuildFailed { .. } => "BuildFailed",
            Self::Unfit { .. } => "Unfit",
            Self::AwaitingStep(_) => "AwaitingStep",
            Self::AwaitingReady(_) => "AwaitingReady",
            Self::GateFailed { .. } => "GateFailed",
            Self::Invalid(_) => "Invalid",
            Self::Denied(_) => "Denied",
            Self::MissingSecret(_) => "MissingSecret",
            Self::MissingCredential(_) => "MissingCredential",
            Self::OverQuota(_) => "OverQuota",
            Self::NoRoom(_) => "NoRoom",
            Self::NotOurs => "NotOurs",
            Self::NotObserved(_) => "NotObserved",
            Self::SourceUnavailable(_) => "SourceUnavailable",
            Self::PruneGuard(_) => "PruneGuard",
            Self::Suspended => "Suspended",
            Self::Pinned { .. } => "Pinned",
            Self::RolledBack { .. } => "RolledBack",
            Self::Unsigned { .. } => "Unsigned",
            Self::Unlicensed { .. } => "Unlicensed",
            Self::Soaking { .. } => "Soaking",
            Self::AwaitingWave { .. } => "AwaitingWave",
            Self::Fighting { .. } => "Fighting",
            Self::Terminating => "Terminating",
        }
    }

    /// Whether only the registry can end it: no event tells, so it is asked again at each poll.
    #[must_use]
    pub fn awaits_image(&self) -> bool {
        match self {
            Self::AwaitingBuild { .. } | Self::Unfit { .. } => true,
            Self::NotObserved(what) => what.starts_with("registry"),
            _ => false,
        }
    }

    /// Whether an image is what is missing.
    #[must_use]
    pub fn lacks_image(&self) -> bool {
        self.awaits_image() || matches!(self, Self::BuildFailed { .. })
    }

    /// Whether it passes by itself, by an event that will wake the tool.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Self::AwaitingStep(_)
                | Self::AwaitingReady(_)
                | Self::Terminating
                | Self::AwaitingWave { stopped: false, .. }
        )
    }

    /// Whether it is as a person wants it: nothing is wrong.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        matches!(self, Self::Pinned { unknown: None, .. } | Self::Soaking { meanwhile: Some(_), .. })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AwaitingBuild { image } => write!(f, "awaiting build {}", crate::explain::short_build(image)),
            Self::BuildFailed { build, why } => write!(f, "{build} failed: {why}"),
            Self::Unfit { image, why } => write!(f, "unfit image {}: {why}", crate::explain::short_build(image)),
            Self::AwaitingStep(id) => write!(f, "awaiting {id}"),
            Self::AwaitingReady(id) => write!(f, "awaiting {id} to become Ready"),
            Self::GateFailed { job, why } => write!(f, "{job} failed: {why}"),
            Self::Invalid(why) => write!(f, "invalid: {why}"),
            Self::Denied(why) => write!(f, "denied: {why}"),
            Self::MissingSecret(variables) => {
                let told = |variable: &String| format!("{variable} (on the cluster {})", secret_name(variable));
                let all: Vec<_> = variables.iter().map(told).collect();
                let first = variables.first().map_or("NAME", String::as_str);
                let one = if all.len() > 1 { "the first" } else { "it" };
                write!(f, "missing secret {}; `toolforge secrets set {first}` sets {one}", all.join(", "))
            }
            Self::MissingCredential(what) => write!(f, "missing credential: {what}; the operators make it"),
            Self::OverQuota(what) => write!(f, "over quota: {what}"),
            Self::NoRoom(shortage) => write!(f, "no room: {shortage}"),
            Self::NotOurs => f.write_str("not ours: an object of this name was made by somebody else"),
            Self::NotObserved(why) => write!(f, "not observed: {why}"),
            Self::SourceUnavailable(why) => write!(f, "source unavailable: {why}"),
            Self::PruneGuard(why) => write!(f, "prune guard: {why}"),
            Self::Suspended => f.write_str("suspended"),
            Self::Pinned { commit, unknown, terms } => {
                let on = commit.as_ref().map_or("nothing", |commit| commit.short());
                write!(f, "pinned to {on}")?;
                if let Some(unknown) = unknown {
                    write!(f, ", for no stored revision is of commit {unknown}")?;
                }
                if terms.is_empty() { Ok(()) } else { write!(f, ", {terms}") }
            }
            Self::RolledBack { commit, why } => write!(f, "rolled back {}: {why}", commit.short()),
            Self::Unsigned { commit, why, .. } => write!(f, "unsigned {}: {why}", commit.short()),
            Self::Unlicensed { commit, why } => write!(f, "unlicensed {}: {why}", commit.short()),
            Self::Soaking { from, commit, since, until, meanwhile } => {
                write!(f, "soaking {}: {from} ", commit.short())?;
                match since.zip(*until) {
                    Some((since, until)) => write!(f, "is Ready with it since {since}, and has to be until {until}")?,
                    None => f.write_str("has to be Ready with it first")?,
                }
                let is_first = meanwhile.is_none();
                f.write_str(if is_first { "; it is the first one, so nothing runs until then" } else { "" })
            }
            Self::AwaitingWave { stopped: false, rebase: true } => {
                f.write_str("awaiting its wave: the run image changes for a few tools at a time")
            }
            Self::AwaitingWave { stopped: false, rebase: false } => {
                f.write_str("awaiting its wave: the platform changes a few tools at a time")
            }
            Self::AwaitingWave { stopped: true, rebase } => {
                let what = if *rebase { "another run image" } else { "this change of the platform" };
                write!(f, "awaiting its wave, which has stopped: too many tools failed with {what}")
            }
            Self::Fighting { manager, field, times, secs } => {
                let (by, what) = (manager.as_deref().unwrap_or("somebody"), field.as_deref());
                let insists = what.map_or("deletes it each time".to_owned(), |field| format!("sets {field} each time"));
                write!(f, "fighting: {by} {insists}, and it was corrected {times} times in {secs} s")
            }
            Self::Terminating => f.write_str("terminating"),
        }
    }
}
