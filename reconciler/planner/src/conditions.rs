//! What the Tool's status says after a pass: conditions by the rules of kstatus, the inventory, the last deployments.
//! A pure function of the plan, its outcome and what was observed; the clock is an argument, and a condition keeps its
//! `lastTransitionTime` while its status stays.

mod passing;

use crate::deployments::{self, Deployment, State};
use crate::kinds::{Kind, Scope};
use crate::live::Live;
use crate::moment::Moment;
use crate::observed::{Observed, uid_of};
use crate::outcome::{FailureKind, Outcome, Row, RowResult};
use crate::plan::{Action, Cause, Held, Plan, Why};
use crate::removal;
use crate::settled;
use renderer::ObjectId;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many held deletions a status lists.
const HELD_DELETIONS: usize = 50;

/// What a status is made from.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// The plan that was executed, or that could not be.
    pub plan: &'a Plan,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// The world it was made from.
    pub observed: &'a Observed,
    /// Our field manager.
    pub field_manager: &'a str,
    /// The Tool's live status, if it has one.
    pub previous: Option<&'a Value>,
    /// The Tool's `metadata.generation`.
    pub generation: i64,
    /// The time.
    pub now: Moment,
    /// When the first of the passes began that this status tells of; the others went unsaid.
    pub since: Moment,
}

impl Pass<'_> {
    /// The whole status.
    #[must_use]
    pub fn status(&self) -> Value {
        let words = [self.ready(), self.reconciling(), self.stalled(), self.built(), self.drifted()];
        let conditions: Vec<_> = words.into_iter().chain(self.licensed()).map(|word| self.condition(word)).collect();
        let mut status = json!({
            "observedGeneration": self.generation,
            "branch": self.plan.target.branch,
            "conditions": conditions,
            "inventory": self.inventory(),
            "deployments": self.deployments(),
        });
        if let Some(commit) = &self.plan.target.commit {
            status["commit"] = json!(commit);
        }
        if self.plan.removed {
            // One that can't be read would never be over.
            status["removedAt"] = json!(removal::removed_at(self.previous).unwrap_or(self.now));
        }
        let held = self.held_deletions();
        if !held.is_empty() {
            status["heldDeletions"] = json!(held);
        }
        let settled = settled::after(self.observed, self.plan, self.outcome);
        if !settled.is_empty() {
            status["settled"] = json!(settled);
        }
        status
    }

    /// What would be deleted and is held, with the reason and the command that allows it.
    fn held_deletions(&self) -> Vec<Value> {
        let deletes = |held: &Held| matches!(held.action, Some(Action::Prune | Action::Replace));
        let guarded = |held: &&Held| deletes(held) && matches!(held.why, Why::PruneGuard(_));
        let row = |held: &Held| json!({"object": held.id.to_string(), "why": held.why.to_string()});
        self.plan.held.iter().filter(guarded).take(HELD_DELETIONS).map(row).collect()
    }

    fn ready(&self) -> Word {
        let name = "Ready";
        if let Some((row, failure)) = self.outcome.failures().next() {
            return Word::new(name, false, "StepFailed", format!("{} {}: {failure}", row.action, row.id));
        }
        if let Some(held) = self.loudest() {
            return Word::new(name, false, held.why.word(), self.held_message(held));
        }
        if let Some(step) = self.plan.steps.iter().find(|step| step.id.kind != "ControllerRevision") {
            return Word::new(name, false, "Progressing", format!("{} {}", step.action, step.id));
        }
        if let Some(row) = self.plan.not_ready.first() {
            return Word::new(name, false, "NotReady", format!("{}: {}", row.id, row.why));
        }
        let commit = self.plan.target.commit.as_ref().map_or("the working tree", |commit| commit.short());
        let wanted = self.plan.held.iter().find(|held| held.why.is_wanted());
        let wanted = wanted.map_or_else(String::new, |held| format!("; {}", held.why));
        Word::new(name, true, "Ready", format!("{commit} runs as it should{wanted}"))
    }

    /// The hold a person should read first: one that does not pass by itself.
    fn loudest(&self) -> Option<&Held> {
        let mut held = self.plan.held.iter().filter(|held| !held.why.is_wanted());
        held.clone().find(|held| !held.why.passes()).or_else(|| held.next())
    }

    fn held_message(&self, held: &Held) -> String {
        let others = self.plan.held.iter().filter(|held| !held.why.is_wanted()).count().saturating_sub(1);
        let more = if others > 0 { format!(" (and {others} more)") } else { String::new() };
        format!("{}: {}{more}", held.id, held.why)
    }

    fn reconciling(&self) -> Word {
        let steps = self.plan.steps.iter().any(|step| step.id.kind != "ControllerRevision");
        let waits = self.plan.held.iter().any(|held| held.why.passes());
        let rolling = self.plan.not_ready.iter().any(|row| !row.failed);
        if steps || waits || rolling {
            Word::new("Reconciling", true, "Progressing", "on the way to the target revision".to_owned())
        } else {
            Word::new("Reconciling", false, "Idle", "nothing to do".to_owned())
        }
    }

    fn stalled(&self) -> Word {
        let name = "Stalled";
        let final_kinds = [FailureKind::Denied, FailureKind::Invalid];
        if let Some((row, failure)) = self.outcome.failures().find(|(_, failure)| final_kinds.contains(&failure.kind)) {
            return Word::new(name, true, "StepFailed", format!("{} {}: {failure}", row.action, row.id));
        }
        if let Some(held) = self.plan.held.iter().find(|held| needs_a_person(&held.why)) {
            return Word::new(name, true, held.why.word(), self.held_message(held));
        }
        if let Some(row) = self.plan.not_ready.iter().find(|row| row.failed) {
            return Word::new(name, true, "Failed", format!("{}: {}", row.id, row.why));
        }
        Word::new(name, false, "Idle", "nothing is in the way".to_owned())
    }

    fn built(&self) -> Word {
        match self.plan.held.iter().find(|held| held.why.lacks_image()) {
            Some(held) => Word::new("Built", false, held.why.word(), self.held_message(held)),
            None if !self.plan.moved_tags.is_empty() => {
                Word::new("Built", true, "TagMoved", self.plan.moved_tags.join("; "))
            }
            None => Word::new("Built", true, "ImagesFound", "every image is in the registry".to_owned()),
        }
    }

    /// Only where something is missing: a platform that does not ask has nothing to say.
    fn licensed(&self) -> Option<Word> {
        let held = self.plan.held.iter().find_map(|held| match &held.why {
            Why::Unlicensed { why, .. } => Some(why),
            _ => None,
        });
        let why = held.or(self.plan.unlicensed.as_ref())?;
        Some(Word::new("Licensed", false, "Unlicensed", why.clone()))
    }

    fn drifted(&self) -> Word {
        let fight = self.plan.held.iter().find(|held| matches!(held.why, Why::Fighting { .. }));
        if let Some(held) = fight {
            return Word::new("Drifted", true, held.why.word(), format!("{}: {}", held.id, held.why));
        }
        let drift = self.plan.steps.iter().find(|step| matches!(step.cause, Cause::Drift { .. }));
        match drift {
            Some(step) => Word::new("Drifted", true, "Drift", format!("{}: {}", step.id, drift_by(&step.cause))),
            None => Word::new("Drifted", false, "InSync", "no foreign change".to_owned()),
        }
    }

    fn condition(&self, word: Word) -> Value {
        let status = if word.status { "True" } else { "False" };
        let conditions = self.previous.and_then(|status| status.get("conditions")).and_then(Value::as_array);
        let before = conditions.and_then(|all| all.iter().find(|entry| entry["type"] == word.name));
        let since =
            before.filter(|entry| entry["status"] == status).and_then(|entry| entry["lastTransitionTime"].as_str());
        json!({
            "type": word.name,
            "status": status,
            "reason": word.reason,
            "message": word.message,
            "observedGeneration": self.generation,
            "lastTransitionTime": since.map_or_else(|| self.now.to_string(), str::to_owned),
        })
    }

    /// Everything that is ours: seen, made in this pass, or listed before and not seen to be gone.
    fn inventory(&self) -> Vec<Value> {
        let mut ours: BTreeMap<ObjectId, String> = self.observed.inventory.clone();
        ours.retain(|id, _| !self.observed.is_absent(id));
        // What the inventory lists stays on it, whatever it is: such an object need not be read for it.
        let listed = |id: &ObjectId| self.observed.inventory.get(id).map(String::as_str);
        let stays = |id: &ObjectId| {
            let stamp = self.observed.seen_live(id).and_then(Live::stamp);
            stamp.is_some_and(|stamp| listed(id) == Some(&*stamp.uid))
        };
        let own = self.plan.tool.namespace();
        let rest = self.observed.objects.keys().filter(|id| is_listed(id, &own) && !stays(id));
        for (id, live) in rest.filter_map(|id| Some((id, self.observed.live(id)?))) {
            if self.observed.is_ours(id, self.plan.tool.as_str(), self.field_manager)
                && let Some(uid) = uid_of(live)
            {
                ours.insert(id.clone(), uid.to_owned());
            }
        }
        for row in &self.outcome.rows {
            match (&row.result, row.action) {
                (RowResult::Done { .. }, Action::Prune | Action::Replace) => {
                    ours.remove(&row.id);
                }
                (RowResult::Done { uid: Some(uid) }, _) => {
                    ours.insert(row.id.clone(), uid.clone());
                }
                _ => {}
            }
        }
        ours.retain(|id, _| is_listed(id, &own));
        ours.into_iter().map(|(id, uid)| entry(&id, &uid)).collect()
    }

    /// Whether this very pass has stored the revision: what becomes Ready is said in the pass that finds it so.
    fn has_stored(&self) -> bool {
        let stores = |row: &Row| row.id.kind == "ControllerRevision" && row.action == Action::Create;
        self.outcome.rows.iter().any(|row| stores(row) && matches!(row.result, RowResult::Done { .. }))
    }

    fn deployments(&self) -> Vec<Value> {
        let list = deployments::listed(self.previous);
        let seen = self.plan.deployment.clone();
        let seen = seen.map(|seen| if self.has_stored() { Deployment { state: State::Ready, ..seen } } else { seen });
        let mut list = deployments::after(list, seen.as_ref(), &self.observed.stored, self.now);
        if let Some(first) = list.first_mut().filter(|first| first.started_at == Some(self.now)) {
            first.started_at = Some(self.since);
        }
        let list = list.into_iter().map(|entry| json!(entry));
        list.chain(deployments::unreadable(self.previous).cloned()).take(deployments::LISTED).collect()
    }
}

/// The Tool holds the list and is not on it; stored revisions and builds are found by name and mark.
fn is_listed(id: &ObjectId, namespace: &str) -> bool {
    let inside = Kind::of_id(id).is_some_and(|row| row.scope == Scope::Tool);
    (inside && id.namespace.as_deref() == Some(namespace)) || id.kind == "Namespace"
}

fn entry(id: &ObjectId, uid: &str) -> Value {
    let mut entry = json!({"uid": uid, "group": id.group, "kind": id.kind, "name": id.name});
    if let Some(namespace) = &id.namespace {
        entry["namespace"] = json!(namespace);
    }
    entry
}

fn needs_a_person(why: &Why) -> bool {
    match why {
        Why::AwaitingBuild { .. } | Why::Suspended | Why::NotObserved(_) | Why::Soaking { .. } => false,
        other => !other.passes() && !other.is_wanted(),
    }
}

/// `by kubectl-scale`, or that nobody is known.
fn drift_by(cause: &Cause) -> String {
    match cause {
        Cause::Drift { manager: Some(manager), .. } => format!("changed by {manager}"),
        _ => "changed or deleted by somebody".to_owned(),
    }
}

struct Word {
    name: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
}

impl Word {
    fn new(name: &'static str, status: bool, reason: &'static str, message: String) -> Self {
        Self { name, status, reason, message }
    }
}
