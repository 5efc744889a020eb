//! What is ours and should not be there any more. Only what we can prove is ours, only by uid, only within the budget,
//! and only once everything that replaces it stands.

use crate::decide::Input;
use crate::identity;
use crate::kinds::{self, Kind, Scope};
use crate::moment::Moment;
use crate::observed::{COMPONENT, Observed, is_terminating, label, resource_version_of, uid_of};
use crate::plan::{Action, Cause, Held, Request, Step, Why};
use crate::readiness::{self, Readiness};
use renderer::length_prefixed::hex;
use renderer::platform::DeletionBudget;
use renderer::rendered::ONE_OFF_KEY;
use renderer::{ObjectId, ToolName};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// What must not be pruned.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Every desired object.
    pub ids: BTreeSet<ObjectId>,
    /// Components whose live objects stay, whatever is desired.
    pub kept: BTreeSet<String>,
    /// How many components the tool has, kept ones included.
    pub components: usize,
}

/// What is to be pruned, held back, or first looked at.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    pub steps: Vec<Step>,
    pub held: Vec<Held>,
    pub unconfirmed: Vec<ObjectId>,
}

/// One object that would go: its id and its uid.
pub(crate) type Doomed = (ObjectId, String);

/// Decides about everything that is ours and not in `desired`.
pub(crate) fn prune(wanted: &Wanted, waits_for: Option<Why>, input: &Input) -> Pruned {
    let (doomed, unconfirmed) = doomed(wanted, input);
    let mut pruned = Pruned { unconfirmed, ..Pruned::default() };
    match waits_for.or_else(|| guard(wanted, &doomed, input)) {
        None => pruned.steps.extend(doomed.into_iter().map(step)),
        Some(why) => pruned.held.extend(doomed.into_iter().map(|doomed| held(doomed, why.clone()))),
    }
    pruned
}

/// The Deployments that are to go, scaled to zero: a quota that is full holds up what replaces them.
pub(crate) fn make_room(wanted: &Wanted, input: &Input) -> Vec<Step> {
    let (doomed, _) = doomed(wanted, input);
    if guard(wanted, &doomed, input).is_some() {
        return Vec::new();
    }
    let deployments = doomed.into_iter().filter(|(id, _)| id.kind == "Deployment");
    deployments.filter_map(|(id, _)| stop(&id, input.observed.live(&id)?, Cause::NewRevision)).collect()
}

/// The step after which a workload that is live runs nothing; none where it does not anyway.
pub(crate) fn stop(id: &ObjectId, live: &Value, cause: Cause) -> Option<Step> {
    let (path, nothing) = match id.kind.as_str() {
        "Deployment" => ("/spec/replicas", json!(0)),
        "CronJob" => ("/spec/suspend", json!(true)),
        _ => return None,
    };
    if live.pointer(path) == Some(&nothing) {
        return None;
    }
    let operations = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version_of(live)?},
        {"op": "add", "path": path, "value": nothing},
    ]);
    let (action, changes) = (Action::ScaleDown, Vec::new());
    let identity = identity::of(id);
    Some(Step { id: id.clone(), action, cause, identity, changes, requests: vec![Request::Patch { operations }] })
}

/// Everything that would go, routes before what they point at, and names that must be looked at first.
pub(crate) fn doomed(wanted: &Wanted, input: &Input) -> (Vec<Doomed>, Vec<ObjectId>) {
    let (mut doomed, mut unconfirmed) = (Vec::new(), Vec::new());
    for id in candidates(&wanted.ids, input) {
        match input.observed.live(&id) {
            None if input.observed.is_absent(&id) => {}
            None => unconfirmed.push(id),
            Some(live) if is_terminating(live) || is_kept(live, &wanted.kept) => {}
            Some(live) if is_unrecorded(live, input) => {}
            Some(live) => doomed.extend(uid_of(live).map(|uid| (id.clone(), uid.to_owned()))),
        }
    }
    doomed.sort_by_key(|(id, _)| (std::cmp::Reverse(kinds::order(id)), id.clone()));
    (doomed, unconfirmed)
}

/// Ours by inventory or by mark and manager, prunable, observable, and in the tool's own namespace.
fn candidates(desired: &BTreeSet<ObjectId>, input: &Input) -> BTreeSet<ObjectId> {
    let observed = input.observed;
    let prunable = |id: &&ObjectId| {
        let row = Kind::of_id(id);
        row.is_some_and(|row| !row.protected && row.scope == Scope::Tool)
            && id.namespace.as_deref() == Some(input.namespace.as_str())
            && !desired.contains(*id)
            && observed.gap(id).is_none()
    };
    let ours = |id: &&ObjectId| observed.is_ours(id, input.tool.name.as_str(), input.field_manager);
    let seen = observed.objects.keys().filter(prunable).filter(ours);
    // What the inventory lists and nobody has seen: its mark may have been stripped. It is looked at by name.
    let unseen = observed.inventory.keys().filter(prunable).filter(|id| !observed.objects.contains_key(*id));
    seen.chain(unseen).cloned().collect()
}

fn is_kept(live: &Value, kept: &BTreeSet<String>) -> bool {
    label(live, COMPONENT).is_some_and(|component| kept.contains(component))
}

/// The Job of a one-off that has run, and that no stored revision knows of: it is the only trace, and without it the
/// one-off would run again. The next stored revision knows of it.
fn is_unrecorded(live: &Value, input: &Input) -> bool {
    let Some(key) = one_off_key(live) else { return false };
    let recorded = input.observed.stored.iter().any(|stored| stored.one_offs.contains(key));
    !recorded && readiness::job(live).is_ready()
}

/// The failed Job of a one-off goes when somebody asked for another try after it was made: then it is made again.
pub(crate) fn to_be_retried(id: &ObjectId, input: &Input) -> Option<Step> {
    // Of anything else nothing need be read.
    let job = (id.kind == "Job").then(|| input.observed.live(id)).flatten()?;
    if one_off_key(job).is_none() || is_terminating(job) {
        return None;
    }
    let Readiness::Failed(_) = readiness::job(job) else { return None };
    let asked = Moment::parse(input.pin().retry.as_deref()?)?;
    let made = Moment::parse(job.pointer("/metadata/creationTimestamp")?.as_str()?)?;
    let ours = input.observed.is_ours(id, input.tool.name.as_str(), input.field_manager);
    (ours && made < asked).then(|| Some(step((id.clone(), uid_of(job)?.to_owned())))).flatten()
}

/// The key of a one-off's Job.
pub(crate) fn one_off_key(live: &Value) -> Option<&str> {
    live.get("metadata")?.get("annotations")?.get(ONE_OFF_KEY)?.as_str()
}

/// Deleting everything, or a lot, looks like an accident.
fn guard(wanted: &Wanted, doomed: &[Doomed], input: &Input) -> Option<Why> {
    if doomed.is_empty() {
        return None;
    }
    let allowed = per_pass(&input.platform.deletion_budget, input.observed);
    let left = input.circumstances.deletions_left;
    let count = doomed.len();
    let why = if wanted.components == 0 {
        "nothing at all would be left of this tool".to_owned()
    } else if count > allowed {
        format!("{count} objects would go, the deletion budget is {allowed}")
    } else if count > left as usize {
        format!("{count} objects would go, the platform's deletion budget for this hour has {left} left")
    } else {
        return None;
    };
    let id = doomed_id(doomed);
    if input.pin().allow_prune.as_deref() == Some(id.as_str()) {
        return None;
    }
    Some(Why::PruneGuard(format!("{why}; `{}` allows it once", command(&input.tool.name, &id))))
}

fn command(tool: &ToolName, id: &str) -> String {
    format!("toolforge prune {tool} --allow {id}")
}

/// How many objects of a tool may go in one pass: a number, or a share of what it has, whichever is more.
pub(crate) fn per_pass(budget: &DeletionBudget, observed: &Observed) -> usize {
    let share = observed.inventory.len() * budget.per_pass_percent as usize / 100;
    share.max(budget.per_pass as usize)
}

/// What is about to go, hashed: whoever allows a deletion allows this one. 12 hexadecimal digits.
pub(crate) fn doomed_id(doomed: &[Doomed]) -> String {
    let mut lines: Vec<_> = doomed.iter().map(|(id, uid)| format!("{id} {uid}\n")).collect();
    lines.sort();
    hex(&Sha256::digest(lines.concat())[..6])
}

pub(crate) fn step((id, uid): Doomed) -> Step {
    Step {
        identity: identity::of(&id),
        id,
        action: Action::Prune,
        cause: Cause::NewRevision,
        changes: Vec::new(),
        requests: vec![Request::Delete { uid }],
    }
}

pub(crate) fn held((id, _): Doomed, why: Why) -> Held {
    Held { id, action: Some(Action::Prune), why }
}
