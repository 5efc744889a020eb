//! A tool whose file is gone from the config repository. First it is marked with the time, and what it runs is scaled to
//! zero: until the grace period is over, the file's return brings everything back. Then its objects go, within the
//! budget; its Namespace never does by itself.

use crate::decide::{Input, Newest};
use crate::draft::Draft;
use crate::memo::Memo;
use crate::moment::Moment;
use crate::pin::Pin;
use crate::plan::{Action, Cause, Held, Plan, Why};
use crate::prune::{self, Wanted};
use crate::target::Targets;
use renderer::Object;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// So many tools may always vanish at once: people tidy up.
const FEW: usize = 3;
/// A removal that is older is no part of an accident.
const AT_ONCE_SECS: i64 = 3600;

/// Why the tools that vanished from the config repository within an hour are left alone, if they are too many of all that
/// there were.
#[must_use]
pub fn left_alone(vanished: usize, all: usize, percent: u32) -> Option<String> {
    let most = FEW.max(all * percent as usize / 100);
    (vanished > most).then(|| format!("{vanished} of {all} tools vanished from the config repository at once"))
}

/// Whether a Tool whose file is gone vanished within the hour; also where its status does not say yet.
#[must_use]
pub fn left_recently(tool: &Value, now: Moment) -> bool {
    removed_at(tool.get("status")).is_none_or(|at| now.unix_secs() - at.unix_secs() < AT_ONCE_SECS)
}

/// Plans the way out.
pub(crate) fn plan(input: &Input, pin: &Pin) -> (Plan, Memo) {
    let mut draft = Draft::new(&Input { newest: Newest::Nothing, ..input.clone() });
    if let Some(why) = input.circumstances.removals_held.as_ref().filter(|_| !pin.delete) {
        let tool = &input.tool.name;
        let why = Why::PruneGuard(format!("{why}; `toolforge delete {tool}` allows it for this one"));
        draft.plan.held.push(Held { id: input.tool_id(), action: Some(Action::Prune), why });
        return draft.finish(pin);
    }
    draft.plan.removed = true;
    let Some(removed) = removed_at(input.status()) else {
        // Written down first, so that the time counts from here whatever happens to us.
        draft.hold_tool(Why::PruneGuard("its file is gone from the config repository".to_owned()));
        draft.plan.due = Some(input.circumstances.now);
        return draft.finish(pin);
    };
    let end = removed.plus_secs(input.platform.removal_grace_secs);
    if pin.delete || end <= input.circumstances.now {
        clear(&mut draft);
    } else {
        stop(&mut draft, end);
    }
    draft.finish(pin)
}

/// When the tool's file was first seen to be gone.
#[must_use]
pub(crate) fn removed_at(status: Option<&Value>) -> Option<Moment> {
    Moment::parse(status?.get("removedAt")?.as_str()?)
}

/// Everything stays as the last good revision has it, and runs nothing.
fn stop(draft: &mut Draft, end: Moment) {
    let targets = Targets::of_last_good(draft.input.last_good, draft.input.observed);
    for objects in targets.components.into_values() {
        let stopped: Vec<_> = objects.into_iter().map(stopped).collect();
        draft.component(&stopped);
    }
    for step in draft.plan.steps.iter_mut().filter(|step| is_workload(step.id.kind.as_str())) {
        step.action = Action::ScaleDown;
        step.cause = Cause::PlatformChange;
    }
    // What is gone is not made again, only to run nothing. What nobody has seen may still run, if the inventory lists it:
    // its mark may have been stripped.
    draft.plan.steps.retain(|step| step.action != Action::Create);
    let inventory = &draft.input.observed.inventory;
    draft.plan.unconfirmed.retain(|id| is_workload(&id.kind) && inventory.contains_key(id));
    stop_the_rest(draft);
    draft.plan.due = Some(end);
    let tool = &draft.input.tool.name;
    draft.hold_tool(Why::PruneGuard(format!(
        "removed from the config repository; its objects go at {end}, or now with `toolforge delete {tool}`; the file's \
         return brings it back"
    )));
}

/// What runs though the last good revision does not say so: one that was never Ready, and what an autoscaler scales.
fn stop_the_rest(draft: &mut Draft) {
    let nothing = Wanted { ids: BTreeSet::new(), kept: BTreeSet::new(), components: 0 };
    let (ours, unconfirmed) = prune::doomed(&nothing, &draft.input);
    draft.plan.unconfirmed.extend(unconfirmed.into_iter().filter(|id| is_workload(&id.kind)));
    for (id, _) in ours {
        let planned =
            draft.plan.steps.iter().any(|step| step.id == id) || draft.plan.questions.iter().any(|q| q.id == id);
        let held = draft.plan.held.iter().any(|held| held.id == id);
        if let Some(live) = draft.input.observed.live(&id).filter(|_| !planned && !held) {
            draft.plan.steps.extend(prune::stop(&id, live, Cause::PlatformChange));
        }
    }
}

/// The tool's file is back: what was stopped runs again.
pub(crate) fn restore(plan: &mut Plan) {
    let stopped = plan.steps.iter_mut().filter(|step| step.action == Action::Configure && is_workload(&step.id.kind));
    stopped.for_each(|step| step.action = Action::Restore);
}

fn is_workload(kind: &str) -> bool {
    kind == "Deployment" || kind == "CronJob"
}

fn stopped(mut object: Object) -> Object {
    match object.id.kind.as_str() {
        "Deployment" => object.value["spec"]["replicas"] = json!(0),
        "CronJob" => object.value["spec"]["suspend"] = json!(true),
        _ => {}
    }
    object
}

/// Everything that is ours goes, as much in one pass as the budget allows.
fn clear(draft: &mut Draft) {
    let wanted = Wanted { ids: BTreeSet::new(), kept: BTreeSet::new(), components: 0 };
    let (mut doomed, unconfirmed) = prune::doomed(&wanted, &draft.input);
    let allowed = prune::per_pass(&draft.input.platform.deletion_budget, draft.input.observed);
    let allowed = allowed.min(draft.input.circumstances.deletions_left as usize);
    let later = doomed.split_off(allowed.min(doomed.len()));
    draft.plan.unconfirmed.extend(unconfirmed);
    draft.plan.steps.extend(doomed.into_iter().map(prune::step));
    let budget = || Why::PruneGuard("the rest of a removed tool, when the deletion budget has room".to_owned());
    draft.plan.held.extend(later.into_iter().map(|doomed| prune::held(doomed, budget())));
    let tool = &draft.input.tool.name;
    draft.hold_tool(Why::PruneGuard(format!(
        "removed from the config repository; `toolforge delete {tool} --namespace` takes its Namespace too"
    )));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_may_always_vanish_a_share_of_many_too_and_more_look_like_an_accident() {
        let stops_at = |all: usize| (1..=all).find(|gone| left_alone(*gone, all, 5).is_some());
        assert_eq!((stops_at(3), stops_at(4), stops_at(60), stops_at(1000)), (None, Some(4), Some(4), Some(51)));
    }

    #[test]
    fn what_vanished_long_ago_is_no_part_of_an_accident() {
        let at = |secs: i64| json!({"status": {"removedAt": Moment::from_unix_secs(secs)}});
        let now = Moment::from_unix_secs(10_000);
        assert!(left_recently(&at(6_401), now) && !left_recently(&at(6_400), now));
        assert!(left_recently(&json!({}), now), "its status says nothing yet");
        assert!(left_recently(&json!({"status": {"removedAt": "once"}}), now), "or nothing that can be read");
    }
}
