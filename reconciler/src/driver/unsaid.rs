//! What was done and not told yet. A rollout goes through its passes within moments, and what the cluster does by itself is
//! no news while it does it: told is where a tool comes to rest, or how far it is when it takes longer.
//!
//! A value: time is an argument. It is lost with the process, as it may be: the next pass tells what is there, and only the
//! events of what was done are missing.

use crate::queue::Moment;
use planner::audit::Entry;
use planner::plan::Plan;
use renderer::ToolName;
use std::collections::BTreeMap;
use std::time::Duration;

/// After this long something is told in any case: many tools may be on their way at once, and each waits for its turn.
const LONGEST: Duration = Duration::from_secs(30);

/// What was not told, of each tool of which there is something.
#[derive(Debug, Default)]
pub(super) struct Unsaid(BTreeMap<ToolName, Silence>);

#[derive(Debug)]
struct Silence {
    since: (Moment, planner::Moment),
    /// The last step.
    stepped: Moment,
    entries: Vec<Entry>,
}

/// What a pass must know of those before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// What they did and did not tell.
    pub entries: Vec<Entry>,
    /// When the first of them was.
    pub since: Option<planner::Moment>,
    /// This one need not tell either.
    pub patient: bool,
}

impl Unsaid {
    /// What earlier passes of the tool did not tell, and whether this one may do so, too.
    pub(super) fn before(&self, plan: &Plan, now: Moment, patience: Duration) -> Before {
        let steps = !plan.steps.is_empty();
        let Some(silence) = self.0.get(&plan.tool) else {
            return Before { entries: Vec::new(), since: None, patient: steps };
        };
        let has_just_stepped = steps || now.saturating_sub(silence.stepped) < patience;
        let patient = has_just_stepped && now.saturating_sub(silence.since.0) < LONGEST;
        Before { entries: silence.entries.clone(), since: Some(silence.since.1), patient }
    }

    /// A pass was not told: at this time, and by the wall.
    pub(super) fn note(&mut self, plan: &Plan, entries: Vec<Entry>, (now, wall): (Moment, planner::Moment)) {
        let new = || Silence { since: (now, wall), stepped: now, entries: Vec::new() };
        let silence = self.0.entry(plan.tool.clone()).or_insert_with(new);
        if !plan.steps.is_empty() {
            silence.stepped = now;
        }
        silence.entries.extend(entries);
    }

    /// Everything was told, or there is nobody to tell it of.
    pub(super) fn forget(&mut self, tool: &ToolName) {
        self.0.remove(tool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::outcome::Outcome;
    use planner::pin::Pin;
    use serde_json::json;

    const PATIENCE: Duration = Duration::from_secs(2);
    const WALL: planner::Moment = planner::Moment::from_unix_secs(7);

    fn plan(steps: usize) -> Plan {
        let id = json!({"group": "", "kind": "Service", "namespace": "tool-a", "name": "web"});
        let step = json!({"id": id, "action": "create", "cause": "newRevision", "identity": "deployer",
            "changes": [], "requests": []});
        let plan = json!({
            "tool": "a", "cluster": "x", "target": {"branch": "main"}, "steps": vec![step; steps], "held": [],
            "unchanged": 0, "notReady": [], "unconfirmed": [], "remarks": [],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    fn entries() -> Vec<Entry> {
        let id = json!({"group": "", "kind": "Service", "namespace": "tool-a", "name": "web"});
        let row = json!({"id": id, "action": "create", "result": {"done": {"uid": "1"}}});
        let outcome = Outcome { rows: vec![serde_json::from_value(row).expect("a row")], settled: Vec::new() };
        planner::audit::entries(&plan(1), &outcome, &Pin::default())
    }

    fn at(secs: u64) -> Moment {
        Duration::from_secs(secs)
    }

    fn patient(unsaid: &Unsaid, steps: usize, secs: u64) -> bool {
        unsaid.before(&plan(steps), at(secs), PATIENCE).patient
    }

    #[test]
    fn what_is_waited_for_goes_unsaid_for_a_moment_after_a_step_and_never_otherwise() {
        let mut unsaid = Unsaid::default();
        assert!(!patient(&unsaid, 0, 0), "nothing of ours led to it");
        assert!(patient(&unsaid, 1, 0));
        unsaid.note(&plan(1), entries(), (at(0), WALL));
        assert!(patient(&unsaid, 0, 1));
        unsaid.note(&plan(0), Vec::new(), (at(1), WALL));
        assert!(!patient(&unsaid, 0, 2), "it takes longer");
        assert!(patient(&unsaid, 1, 5), "it goes on");
        assert!(!patient(&unsaid, 1, 30), "it goes on and on");
    }

    #[test]
    fn what_was_done_is_told_once_and_in_full() {
        let mut unsaid = Unsaid::default();
        unsaid.note(&plan(1), entries(), (at(0), WALL));
        unsaid.note(&plan(1), entries(), (at(1), WALL));
        let before = unsaid.before(&plan(0), at(1), PATIENCE);
        assert_eq!((before.entries.len(), before.since), (2, Some(WALL)));
        unsaid.forget(&plan(0).tool);
        let nothing = Before { entries: Vec::new(), since: None, patient: false };
        assert_eq!(unsaid.before(&plan(0), at(1), PATIENCE), nothing);
    }
}
