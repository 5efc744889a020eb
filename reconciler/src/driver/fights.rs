//! What we correct again and again. People try things by hand, so the first few times are no fight; then we leave off, a
//! little longer each time. What a fight means for a plan is the planner's business ([`planner::fight`]).
//!
//! What the platform sends as itself bounds a tool: its namespace's labels, by which admission rules know it, its quota,
//! its network policies. Who sets those back each time gains no pause by it worth having.
//!
//! A value: time is an argument. It is lost with the process, as it may be: then a fight begins anew.

use crate::queue::Moment;
use planner::Fight;
use planner::fight::Matter;
use planner::kinds::Identity;
use planner::outcome::{Outcome, RowResult};
use planner::plan::{Cause, Plan, Step};
use renderer::{CommitId, ObjectId, ToolName};
use std::collections::BTreeMap;
use std::time::Duration;

/// So often a correction may be made before we leave off.
const PATIENCE: u32 = 5;
/// After this long without it a fight is over.
const PEACE: Duration = Duration::from_secs(600);
/// Longest pause between two corrections.
const LONGEST_SECS: u64 = 256;
/// The same, where the correction is of what bounds the tool. Whoever may do it all is held by a rule besides; and a
/// controller of the cluster's that wants something else in each of 3,000 tools makes no more than 400 writes a second of it.
const LONGEST_OF_BOUNDS_SECS: u64 = 8;

/// The fights of all tools.
#[derive(Debug, Default)]
pub(super) struct Fights(BTreeMap<ToolName, BTreeMap<(ObjectId, Matter), Bout>>);

/// The same correction, made again and again.
#[derive(Debug, Clone)]
struct Bout {
    /// What was set, as far as it is shown, and by which revision. Another one is no fight but a new wish.
    to: (Option<String>, Option<CommitId>),
    manager: Option<String>,
    /// Longest pause.
    longest_secs: u64,
    times: u32,
    first: Moment,
    last: Moment,
}

impl Bout {
    /// How long it is left alone after the last correction; not at all while it may be chance.
    fn pause(&self) -> Option<Duration> {
        let over = self.times.checked_sub(PATIENCE)?;
        Some(Duration::from_secs(1_u64.checked_shl(over).unwrap_or(self.longest_secs).min(self.longest_secs)))
    }

    fn left(&self, now: Moment) -> Option<Duration> {
        (self.last + self.pause()?).checked_sub(now).filter(|left| !left.is_zero())
    }
}

impl Fights {
    /// What is left alone now. `wall` is the time of `now` as plans take it.
    pub(super) fn of(&self, tool: &ToolName, now: Moment, wall: planner::Moment) -> BTreeMap<ObjectId, Fight> {
        let mut fights: BTreeMap<ObjectId, Fight> = BTreeMap::new();
        for ((id, matter), bout) in self.0.get(tool).into_iter().flatten() {
            let Some(left) = bout.left(now) else { continue };
            // A whole second more rather than a pass too early.
            let until = wall.plus_secs(left.as_secs() + 1);
            let secs = bout.last.saturating_sub(bout.first).as_secs();
            let fight = fights.entry(id.clone()).or_insert_with(|| Fight {
                fields: Default::default(),
                manager: None,
                times: bout.times,
                secs,
                until,
            });
            fight.fields.insert(matter.clone());
            fight.manager = fight.manager.take().or_else(|| bout.manager.clone());
            (fight.times, fight.secs) = (fight.times.max(bout.times), fight.secs.max(secs));
            fight.until = fight.until.max(until);
        }
        fights
    }

    /// Writes down what was corrected.
    pub(super) fn note(&mut self, plan: &Plan, outcome: &Outcome, now: Moment) {
        self.0.retain(|_, bouts| {
            bouts.retain(|_, bout| now.saturating_sub(bout.last) < PEACE);
            !bouts.is_empty()
        });
        let rows = plan.steps.iter().zip(&outcome.rows);
        for (step, _) in rows.filter(|(_, row)| matches!(row.result, RowResult::Done { .. })) {
            for matter in Matter::all_of(step) {
                let bout = corrected(plan, step, &matter, now);
                let bouts = self.0.entry(plan.tool.clone()).or_default();
                let known = bouts.entry((step.id.clone(), matter)).or_insert_with(|| Bout { times: 0, ..bout.clone() });
                if known.to == bout.to {
                    known.times += 1;
                    known.last = now;
                    known.manager = bout.manager.or_else(|| known.manager.take());
                } else {
                    *known = bout;
                }
                if known.pause().is_some() {
                    let (tool, object, times) = (&plan.tool, &step.id, known.times);
                    tracing::warn!(%tool, %object, times, manager = known.manager, "the same correction again and again");
                }
            }
        }
    }

    pub(super) fn forget(&mut self, tool: &ToolName) {
        self.0.remove(tool);
    }
}

fn corrected(plan: &Plan, step: &Step, matter: &Matter, now: Moment) -> Bout {
    let change = step.changes.iter().find(|change| matches!(matter, Matter::Field(path) if *path == change.path));
    let of_step = match &step.cause {
        Cause::Drift { manager, .. } => manager.clone(),
        _ => None,
    };
    let manager = change.and_then(|change| change.by.as_ref()).map(|by| by.manager.clone()).or(of_step);
    let to = change.and_then(|change| change.to.as_ref()).map(ToString::to_string);
    let longest_secs = match step.identity {
        Identity::Platform => LONGEST_OF_BOUNDS_SECS,
        Identity::Deployer => LONGEST_SECS,
    };
    Bout { to: (to, plan.target.commit.clone()), manager, longest_secs, times: 1, first: now, last: now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::drift::{By, ChangeKind, FieldChange};
    use planner::outcome::Row;
    use planner::plan::{Action, Target};

    const fn at(secs: u64) -> Moment {
        Duration::from_secs(secs)
    }

    fn tool() -> ToolName {
        ToolName::new("a").expect("a name")
    }

    fn web() -> ObjectId {
        let (group, namespace) = ("apps".to_owned(), Some("tool-a".to_owned()));
        ObjectId { group, kind: "Deployment".to_owned(), namespace, name: "web".to_owned() }
    }

    fn plan(path: &str, to: u32) -> Plan {
        plan_as(Identity::Deployer, path, to)
    }

    fn plan_as(identity: Identity, path: &str, to: u32) -> Plan {
        let shown = |n: u32| serde_json::from_value(n.to_string().into()).expect("a value that is shown");
        let change = FieldChange {
            path: path.to_owned(),
            kind: ChangeKind::Reverted,
            from: Some(shown(9)),
            to: Some(shown(to)),
            by: Some(By { manager: "greedy".to_owned(), time: None }),
        };
        let (cause, changes) = (Cause::NewRevision, vec![change]);
        let action = Action::Configure;
        let step = Step { id: web(), action, cause, identity, changes, requests: Vec::new() };
        let target = Target { branch: "main".to_owned(), commit: None, author: None };
        let json = serde_json::json!({
            "tool": tool(), "cluster": "x", "target": target, "steps": [step], "held": [], "unchanged": 0,
            "notReady": [], "unconfirmed": [], "remarks": [],
        });
        serde_json::from_value(json).expect("a plan")
    }

    fn done() -> Outcome {
        let result = RowResult::Done { uid: None };
        Outcome { rows: vec![Row { id: web(), action: Action::Configure, result }], ..Outcome::default() }
    }

    fn fight(fights: &Fights, now: Moment) -> Option<Fight> {
        fights.of(&tool(), now, planner::Moment::from_unix_secs(0)).remove(&web())
    }

    #[test]
    fn a_few_corrections_are_no_fight_and_then_the_pause_doubles() {
        let mut fights = Fights::default();
        for n in 0..4 {
            fights.note(&plan("spec.replicas", 1), &done(), at(n));
            assert_eq!(fight(&fights, at(n)), None);
        }
        let mut now = 4;
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            fights.note(&plan("spec.replicas", 1), &done(), at(now));
            let told = fight(&fights, at(now)).expect("a fight");
            assert_eq!((told.manager.as_deref(), told.secs), (Some("greedy"), now));
            assert!(fight(&fights, at(now + pause - 1)).is_some(), "{pause}");
            now += pause;
            assert_eq!(fight(&fights, at(now)), None, "{pause}");
        }
    }

    #[test]
    fn what_bounds_a_tool_is_set_right_again_within_seconds_however_often() {
        let mut fights = Fights::default();
        for n in 0..100 {
            fights.note(&plan_as(Identity::Platform, "metadata.labels.tenancy", 1), &done(), at(8 * n));
            assert_eq!(fight(&fights, at(8 * (n + 1))), None, "{n}");
        }
        let until = fight(&fights, at(8 * 99)).expect("a fight, as it is told").until;
        assert!(until <= planner::Moment::from_unix_secs(9), "{until:?}");
    }

    #[test]
    fn peace_forgets_and_another_wish_is_no_fight() {
        let mut fights = Fights::default();
        for n in 0..20 {
            fights.note(&plan("spec.replicas", n % 2), &done(), at(1));
        }
        assert_eq!(fight(&fights, at(1)), None, "each time another value is wanted");
        for n in 0..5 {
            fights.note(&plan("spec.paused", 1), &done(), at(n));
        }
        assert!(fight(&fights, at(4)).is_some());
        fights.note(&plan("spec.paused", 1), &done(), at(4) + PEACE);
        assert_eq!(fight(&fights, at(4) + PEACE), None);
    }

    #[test]
    fn what_failed_was_no_correction_and_two_fights_are_told_apart() {
        let mut fights = Fights::default();
        for _ in 0..9 {
            fights.note(&plan("spec.replicas", 1), &Outcome::default(), at(0));
        }
        assert_eq!(fight(&fights, at(0)), None);
        for n in 0..10 {
            fights.note(&plan(if n % 2 == 0 { "spec.replicas" } else { "spec.paused" }, 1), &done(), at(0));
        }
        assert_eq!(fight(&fights, at(0)).expect("a fight").fields.len(), 2, "also where they take turns");
    }
}
