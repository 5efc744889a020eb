//! What a pass tells: status, events, and one log line.

use super::unsaid::Before;
use super::{Driver, lock};
use crate::pass::{self, Decided, News, Subject, Told};
use planner::outcome::Outcome;
use std::sync::Arc;

impl Driver {
    /// Status, events and one log line; each only when there is something to say.
    pub(super) async fn say(&self, subject: &Subject, decided: &Decided, outcome: &Outcome) -> Told {
        let plan = &decided.plan;
        if !plan.steps.is_empty() {
            let commit = plan.target.commit.as_ref().map_or("", |commit| commit.short());
            tracing::info!(tool = %plan.tool, commit, plan = planner::explain::totals(plan), "pass");
        }
        let Some(live) = self.world.tool(&subject.tool.name) else { return Told::Nothing };
        let (now, wall) = (self.begun.elapsed(), subject.circumstances.now);
        let Before { entries, since, patient } = lock(&self.unsaid).before(plan, now, self.limits.patience);
        let since = since.unwrap_or(wall);
        let news = News { subject, live: &live, decided, outcome, unsaid: &entries, since, patient };
        let told = pass::tell(&self.cluster.client, &self.recorder, &news).await;
        if let Told::Written(answer) = &told {
            self.world.learn(&planner::tool_id(&plan.tool), answer);
        }
        match told {
            Told::Unsaid => lock(&self.unsaid).note(plan, decided.entries(outcome), (now, wall)),
            _ => lock(&self.unsaid).forget(&plan.tool),
        }
        told
    }

    /// What was said again and again is told with its count when the time ends in which it was only counted.
    pub(super) async fn count_events(self: Arc<Self>) {
        loop {
            tokio::time::sleep_until(self.recorder.next()).await;
            self.recorder.publish_late(&self.cluster.client).await;
        }
    }
}
