//! What need not be said: a rollout that goes on by itself says little in each of its passes, and each saying is a write
//! for each tool. It may go unsaid for a moment, where nothing would be lost with the process that has not said it, and
//! no later pass decides by it.

use super::Pass;
use crate::deployments::{self, State};
use crate::plan::{Action, Cause, Held, Step, Why};
use serde_json::Value;

impl Pass<'_> {
    /// Whether a status of this pass may go unsaid, because another is coming: everything in it passes by itself, is read
    /// off the cluster as well, and is nobody's doing but ours.
    #[must_use]
    pub fn may_go_unsaid(&self, status: &Value) -> bool {
        let plan = self.plan;
        let said = |key: &str| self.previous.and_then(|previous| previous.get(key));
        let as_said = |key: &str| status.get(key) == said(key);
        let goes_on = !plan.steps.is_empty() || !plan.held.is_empty() || !plan.not_ready.is_empty();
        let went_well = self.outcome.rows.len() == plan.steps.len() && self.outcome.failures().next().is_none();
        goes_on
            && !self.has_stored()
            && went_well
            && plan.steps.iter().all(is_plain)
            && plan.held.iter().all(passes_by_itself)
            && plan.not_ready.iter().all(|row| !row.failed)
            && ["settled", "heldDeletions", "removedAt"].into_iter().all(as_said)
            && self.began_before_or_never()
    }

    /// When a deployment began tells its pods from those of the one before: it is said at once. The very first has none
    /// before it.
    fn began_before_or_never(&self) -> bool {
        let Some(underway) = &self.plan.deployment else { return true };
        let list = deployments::listed(self.previous);
        match list.first().map(|entry| &entry.deployment) {
            Some(first) => *first == *underway && underway.state == State::Progressing,
            None => {
                let is_first = deployments::none(self.previous) && self.observed.stored.is_empty();
                is_first && underway.state == State::Progressing
            }
        }
    }
}

/// It makes or changes something for a new wish of the tool or the platform. What somebody did is said at once, and what
/// is gone has to leave the inventory.
fn is_plain(step: &Step) -> bool {
    matches!(step.action, Action::Create | Action::Configure) && !matches!(step.cause, Cause::Drift { .. })
}

fn passes_by_itself(held: &Held) -> bool {
    matches!(held.why, Why::AwaitingStep(_) | Why::AwaitingReady(_))
}
