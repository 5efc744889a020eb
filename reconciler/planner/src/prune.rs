//! What is ours and should not be there any more. Only what we can prove is ours, only by uid, only within the budget,
//! and only once everything that replaces it stands.

use crate::decide::Input;
use crate::kinds::{self, Kind, Scope};
use crate::observed::{COMPONENT, is_terminating, label, uid_of};
use crate::plan::{Action, Cause, Held, Request, Step, Why};
use renderer::ObjectId;
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

/// Decides about everything that is ours and not in `desired`.
pub(crate) fn prune(wanted: &Wanted, waits_for: Option<Why>, input: &Input) -> Pruned {
    let mut pruned = Pruned::default();
    let mut doomed = Vec::new();
    for id in candidates(&wanted.ids, input) {
        match input.observed.live(&id) {
            None if input.observed.is_absent(&id) => {}
            None => pruned.unconfirmed.push(id),
            Some(live) if is_terminating(live) || is_kept(live, &wanted.kept) => {}
            Some(live) => doomed.extend(uid_of(live).map(|uid| (id.clone(), uid.to_owned()))),
        }
    }
    // Top down: a route goes before what it points at.
    doomed.sort_by_key(|(id, _)| (std::cmp::Reverse(kinds::order(id)), id.clone()));
    match waits_for.or_else(|| guard(wanted, doomed.len(), input)) {
        None => pruned.steps.extend(doomed.into_iter().map(step)),
        Some(why) => pruned.held.extend(doomed.into_iter().map(|(id, _)| Held {
            id,
            action: Some(Action::Prune),
            why: why.clone(),
        })),
    }
    pruned
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

fn is_kept(live: &serde_json::Value, kept: &BTreeSet<String>) -> bool {
    label(live, COMPONENT).is_some_and(|component| kept.contains(component))
}

/// Deleting everything, or a lot, looks like an accident.
fn guard(wanted: &Wanted, doomed: usize, input: &Input) -> Option<Why> {
    let budget = input.platform.deletion_budget.per_pass as usize;
    if doomed == 0 {
        None
    } else if wanted.components == 0 {
        Some(Why::PruneGuard("nothing at all would be left of this tool".to_owned()))
    } else if doomed > budget {
        Some(Why::PruneGuard(format!("{doomed} objects would go, the deletion budget is {budget}")))
    } else {
        None
    }
}

fn step((id, uid): (ObjectId, String)) -> Step {
    Step {
        id,
        action: Action::Prune,
        cause: Cause::NewRevision,
        changes: Vec::new(),
        requests: vec![Request::Delete { uid }],
    }
}
