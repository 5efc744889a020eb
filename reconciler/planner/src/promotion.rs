//! What a tool takes over from the one it is promoted from: the time that a revision has proved itself there, and its
//! images. Decided from what is known of that tool, its *forerunner*: nobody is asked here, and one that could not be
//! read holds what depends on it.
//!
//! A revision has *soaked* when the forerunner was Ready with it for as long as the config repository wants: with this
//! commit, or with another one of the same tree. What counts is the time from becoming Ready to the next deployment, or,
//! while it is the newest, to now; of that one the condition `Ready` has to have stood all the while.

mod soak;
mod take;

pub(crate) use soak::soaking;
pub(crate) use take::{Offer, builds_it, image_id, offer, source, steps};

use crate::builds;
use crate::decide::tool_id;
use crate::observed::Observed;
use crate::stored::StoredRevision;
use renderer::ToolName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is known of the tool that another one is promoted from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forerunner {
    /// Which tool; the config repository says so.
    pub name: ToolName,
    /// Its Tool's status; none where there is no such Tool, or where it says nothing yet.
    pub status: Option<Value>,
    /// Its revisions that were Ready, newest first.
    pub stored: Vec<StoredRevision>,
    /// Its builds that are under way, by the last part of their names: digits of the build's id.
    pub building: BTreeSet<String>,
    /// Its builds that have made their images, by name.
    pub built: BTreeSet<String>,
    /// Why its Tool or its stored revisions could not be read, if so.
    pub unseen: Option<String>,
}

impl Forerunner {
    /// Out of what was observed of it. `builds` is the namespace of the platform's builds.
    #[must_use]
    pub fn of(name: &ToolName, observed: &Observed, builds: Option<&str>) -> Self {
        let matters = |kind: &str| kind == "Tool" || kind == "ControllerRevision";
        let gap = observed.gaps.iter().find(|gap| matters(&gap.kind));
        Self {
            name: name.clone(),
            status: observed.live(&tool_id(name)).and_then(|live| live.get("status")).cloned(),
            stored: observed.stored.clone(),
            building: builds.map(|namespace| builds::ids_under_way(observed, namespace)).unwrap_or_default(),
            built: builds.map(|namespace| builds::succeeded(observed, namespace)).unwrap_or_default(),
            unseen: gap.map(|gap| format!("{}: {}", gap.kind, gap.why)),
        }
    }
}
