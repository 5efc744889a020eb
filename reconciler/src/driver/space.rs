//! What tools' images take in the registry, where the platform bounds it: looked at beside the passes, after a build and
//! while something is held for want of room. Nobody waits for an answer: a tool whose space was never known goes on.

use super::{Driver, Wakes, lock, send};
use crate::pass::{Decided, Draft, Subject};
use crate::queue::Moment;
use crate::registry::Reference;
use planner::builds::LOOK_AGAIN_SECS;
use planner::observed::Observed;
use planner::outcome::Outcome;
use planner::plan::{Action, Why};
use renderer::ToolName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A registry that lists a tool's images for longer than this is asked another time.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Whose space is to be looked at, and where.
pub(super) type Look = (ToolName, BTreeSet<String>);

/// What is known of it.
pub(super) struct Space {
    known: Mutex<BTreeMap<ToolName, Known>>,
    looks: UnboundedSender<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// None where the registry has not said yet.
    bytes: Option<u64>,
    asked: Moment,
}

impl Space {
    pub(super) fn new() -> (Self, UnboundedReceiver<Look>) {
        let (looks, to_look) = unbounded_channel();
        (Self { known: Mutex::default(), looks }, to_look)
    }

    pub(super) fn taken(&self, tool: &ToolName) -> Option<u64> {
        lock(&self.known).get(tool)?.bytes
    }

    pub(super) fn forget(&self, tool: &ToolName) {
        lock(&self.known).remove(tool);
    }

    /// Has it looked at, unless that is under way or was done a moment ago.
    fn look(&self, tool: &ToolName, repositories: BTreeSet<String>, pause: Duration, now: Moment) {
        let mut all = lock(&self.known);
        let before = all.get(tool).copied();
        if before.is_some_and(|known| now.saturating_sub(known.asked) < pause) {
            return;
        }
        all.insert(tool.clone(), Known { bytes: before.and_then(|known| known.bytes), asked: now });
        if self.looks.send((tool.clone(), repositories)).is_err() {
            tracing::debug!("nobody looks at registries any more");
        }
    }

    /// Returns whether that is news.
    fn learn(&self, tool: &ToolName, bytes: u64) -> bool {
        let mut all = lock(&self.known);
        all.get_mut(tool).is_some_and(|known| known.bytes.replace(bytes) != Some(bytes))
    }
}

impl Driver {
    /// Where the tool's images are; none where nobody bounds them.
    pub(super) fn bounded(subject: &Subject, draft: &Draft<'_>, observed: &Observed) -> Option<BTreeSet<String>> {
        let bounded = subject.platform.registry.quota.is_some() && subject.platform.builds.is_some();
        bounded.then(|| draft.repositories(observed))
    }

    /// Has the tool's space looked at where a build was asked for or has come to rest, and now and then while there is no
    /// room for one.
    pub(super) fn look_at_space(&self, repositories: BTreeSet<String>, decided: &Decided, outcome: &Outcome) {
        let stored = outcome.rows.iter().any(|row| row.id.kind == "ControllerRevision");
        let full = decided.plan.held.iter().any(|held| matches!(held.why, Why::OverQuota(_)));
        let pause = match (stored || outcome.done(Action::Build) > 0, full) {
            (true, _) => Duration::ZERO,
            (false, true) => Duration::from_secs(LOOK_AGAIN_SECS / 2),
            (false, false) => return,
        };
        self.space.look(&decided.plan.tool, repositories, pause, self.begun.elapsed());
    }

    /// Looks, one tool after the other, until it is dropped.
    pub(super) async fn look_at_spaces(self: Arc<Self>, wakes: Wakes, mut looks: UnboundedReceiver<Look>) {
        while let Some((tool, repositories)) = looks.recv().await {
            let repositories: Vec<_> = repositories.iter().filter_map(|at| Reference::parse(at).ok()).collect();
            let shelf = tokio::time::timeout(TIMEOUT, self.registry.shelf(&tool, &repositories)).await;
            // Without an answer things are as they were said to be: a tool that is full is not let go for it.
            let Some(whole) = shelf.ok().filter(|shelf| shelf.unread.is_empty()) else {
                tracing::info!(%tool, "the registry did not say what its images take");
                continue;
            };
            if self.space.learn(&tool, planner::garbage::size(&whole.images)) {
                send(&wakes, tool, false);
            }
        }
    }
}
