//! `plan(Input) → Plan`: the one place where everything known about a tool becomes what will be done.
//!
//! The order of a rollout falls out of three rules, each visible as a reason in `held`:
//! 1. nothing is made before what it stands on is Ready (namespace, quota, one-offs);
//! 2. a component is changed whole or not at all, so that a route never points at nothing;
//! 3. nothing is pruned before everything else is done and Ready.

use crate::compare::{Verdict, compare, namespace_id};
use crate::drift::Ownership;
use crate::kinds::{self, Kind};
use crate::observed::{Observed, label};
use crate::plan::{Action, Held, Plan, Target, Why};
use crate::prune::{Wanted, prune};
use crate::target::{Targets, targets};
use crate::{autoscale, record};
use renderer::render::PLATFORM_MARK;
use renderer::{CommitId, Object, ObjectId, Platform, Rendered, Revision, Tool};
use serde_json::Value;
use std::collections::BTreeSet;

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The tool, from the config repository.
    pub tool: &'a Tool,
    /// The platform.
    pub platform: &'a Platform,
    /// The tool's namespace.
    pub namespace: String,
    /// Tool-wide objects; they follow from the tool and the platform alone.
    pub frame: &'a [Object],
    /// What the repository says now.
    pub newest: Newest<'a>,
    /// The stored revision that was Ready last, rendered.
    pub last_good: Option<&'a Rendered>,
    /// The world.
    pub observed: &'a Observed,
    /// Our field manager.
    pub field_manager: &'a str,
    /// The repository can't be asked now; `newest` is what it said last.
    pub trouble: Option<&'a str>,
    /// The tool's file is gone from the config repository: everything is held.
    pub forgotten: bool,
}

/// What the repository says now.
#[derive(Debug, Clone, Copy)]
pub enum Newest<'a> {
    /// A revision, rendered; it may still be unusable.
    Revision(&'a Revision, &'a Rendered),
    /// It could not be read: an error is never an absence.
    Unavailable(&'a str),
}

impl Input<'_> {
    /// The commit of the newest revision.
    #[must_use]
    pub(crate) fn newest_commit(&self) -> Option<&CommitId> {
        match self.newest {
            Newest::Revision(revision, _) => revision.commit.as_ref(),
            Newest::Unavailable(_) => None,
        }
    }

    pub(crate) fn ownership(&self, id: &ObjectId) -> Ownership<'_> {
        Ownership { field_manager: self.field_manager, autoscaled: autoscale::is_autoscaled(id, self.observed) }
    }

    fn tool_id(&self) -> ObjectId {
        ObjectId {
            group: "toolforge.org".to_owned(),
            kind: "Tool".to_owned(),
            namespace: None,
            name: self.tool.name.to_string(),
        }
    }

    /// Why nothing at all can be planned. Without the stored revisions nobody knows what ran, and a one-off might run
    /// twice; without the Tool nobody knows whether somebody suspended it, or whether another platform serves it.
    fn unknown_or_foreign(&self) -> Option<Why> {
        let gap = |group, kind| self.observed.gaps.iter().find(|gap| gap.group == group && gap.kind == kind);
        if let Some(gap) = gap("apps", "ControllerRevision").or_else(|| gap("toolforge.org", "Tool")) {
            return Some(Why::NotObserved(format!("{}: {}", gap.kind, gap.why)));
        }
        let live = self.observed.live(&self.tool_id())?;
        let other = label(live, PLATFORM_MARK).is_some_and(|platform| platform != self.platform.name);
        other.then_some(Why::NotOurs)
    }

    fn is_suspended(&self) -> bool {
        let pinned = self.observed.live(&self.tool_id()).and_then(|tool| tool.pointer("/spec/pin/suspend"));
        self.tool.suspend || pinned.and_then(Value::as_bool) == Some(true)
    }
}

/// Decides everything one pass will do for one tool.
#[must_use]
pub fn plan(input: &Input) -> Plan {
    let mut draft = Draft::new(input);
    if input.forgotten {
        draft.hold_tool(Why::PruneGuard("its file is gone from the config repository".to_owned()));
        return draft.plan;
    }
    if input.is_suspended() {
        draft.hold_tool(Why::Suspended);
        return draft.plan;
    }
    if let Some(why) = input.unknown_or_foreign() {
        draft.hold_tool(why);
        return draft.plan;
    }
    if let Some(why) = input.trouble {
        draft.hold_tool(Why::SourceUnavailable(why.to_owned()));
    }
    let (targets, usable) = draft.targets();
    draft.frame();
    let mut wanted =
        Wanted { ids: draft.seen.clone(), kept: targets.kept.clone(), components: targets.components.len() };
    wanted.components += usable.map_or(0, |rendered| rendered.components.len());
    for objects in targets.components.values() {
        wanted.ids.extend(objects.iter().map(|object| object.id.clone()));
        draft.component(objects);
    }
    draft.plan.held.extend(targets.held.iter().cloned());
    if usable.is_some() {
        // What is only held back from going keeps nothing from having been Ready.
        let unfinished = draft.unfinished();
        draft.record(&targets);
        draft.prune(&wanted, unfinished);
    }
    draft.finish()
}

struct Draft<'a> {
    input: &'a Input<'a>,
    plan: Plan,
    seen: BTreeSet<ObjectId>,
    /// What keeps components waiting: a part of the frame that is not Ready.
    unready_frame: Option<Why>,
}

impl<'a> Draft<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let commit = input.newest_commit().cloned();
        let plan = Plan {
            tool: input.tool.name.clone(),
            cluster: input.observed.cluster.clone(),
            target: Target { branch: input.tool.branch.clone(), commit },
            steps: Vec::new(),
            held: Vec::new(),
            unchanged: 0,
            not_ready: Vec::new(),
            unconfirmed: Vec::new(),
            remarks: Vec::new(),
        };
        Self { input, plan, seen: BTreeSet::new(), unready_frame: None }
    }

    fn hold_tool(&mut self, why: Why) {
        self.plan.held.push(Held { id: self.input.tool_id(), action: None, why });
    }

    /// The target of every component, and the newest revision where it can be used.
    fn targets(&mut self) -> (Targets, Option<&'a Rendered>) {
        let (observed, last_good) = (self.input.observed, self.input.last_good);
        match self.input.newest {
            Newest::Revision(_, rendered) if !rendered.unusable => {
                let commit = self.input.newest_commit();
                return (targets(rendered, commit, last_good, observed), Some(rendered));
            }
            Newest::Revision(_, rendered) => {
                let first = rendered.report.errors().next().map(|error| error.message.clone());
                self.hold_tool(Why::Invalid(first.unwrap_or_else(|| "the file can't be used".to_owned())));
            }
            Newest::Unavailable(why) => self.hold_tool(Why::SourceUnavailable(why.to_owned())),
        }
        (Targets::of_last_good(last_good, observed), None)
    }

    /// The tool-wide objects, each as soon as its namespace is Ready.
    fn frame(&mut self) {
        let mut objects: Vec<_> = self.input.frame.iter().collect();
        objects.sort_by_key(|object| (kinds::order(&object.id), object.id.clone()));
        for object in objects {
            let verdict = compare(object, self.input);
            let waits = object.id.namespace.as_ref().and(self.unready_frame.clone());
            let waits = waits.filter(|why| stands_on(&self.input.namespace, why));
            if Kind::of_id(&object.id).is_some_and(|row| row.gate) && self.unready_frame.is_none() {
                self.unready_frame = gate(&object.id, &verdict);
            }
            self.place(&object.id, verdict, waits.as_ref());
        }
    }

    /// One component's objects, whole or not at all.
    fn component(&mut self, objects: &[Object]) {
        let verdicts: Vec<_> = objects
            .iter()
            .map(|object| {
                let object = autoscale::desired(object, self.input.observed, self.input.field_manager);
                (object.id.clone(), compare(&object, self.input))
            })
            .collect();
        let obstacle = verdicts.iter().find_map(|(id, verdict)| match verdict {
            Verdict::Held(_) => Some(Why::AwaitingReady(id.clone())),
            _ => None,
        });
        let waits = self.unready_frame.clone().or(obstacle);
        for (id, verdict) in verdicts {
            self.place(&id, verdict, waits.as_ref());
        }
    }

    fn place(&mut self, id: &ObjectId, verdict: Verdict, waits: Option<&Why>) {
        self.seen.insert(id.clone());
        match verdict {
            Verdict::Same(not_ready) => {
                self.plan.unchanged += 1;
                self.plan.not_ready.extend(not_ready);
            }
            Verdict::Step(step) => match waits {
                Some(why) => {
                    let held = Held { id: step.id, action: Some(step.action), why: why.clone() };
                    self.plan.held.push(held);
                }
                None => self.plan.steps.push(step),
            },
            Verdict::Held(held) => self.plan.held.push(held),
            Verdict::Unconfirmed(id) => self.plan.unconfirmed.push(id),
        }
    }

    fn prune(&mut self, wanted: &Wanted, unfinished: Option<Why>) {
        let pruned = prune(wanted, unfinished, self.input);
        self.plan.steps.extend(pruned.steps);
        self.plan.held.extend(pruned.held);
        self.plan.unconfirmed.extend(pruned.unconfirmed);
    }

    /// What has to be done, or to become Ready, before anything may go.
    fn unfinished(&self) -> Option<Why> {
        let step = self.plan.steps.first().map(|step| Why::AwaitingStep(step.id.clone()));
        let held = self.plan.held.first().map(|held| Why::AwaitingReady(held.id.clone()));
        let not_ready = self.plan.not_ready.first().map(|row| Why::AwaitingReady(row.id.clone()));
        step.or(held).or(not_ready)
    }

    fn record(&mut self, targets: &Targets) {
        if let (true, Newest::Revision(revision, _)) = (self.plan.is_ready(), self.input.newest) {
            self.plan.steps.extend(record::steps(revision, targets, self.input));
        }
    }

    fn finish(mut self) -> Plan {
        let prune_last = |action: Action| action == Action::Prune;
        self.plan.steps.sort_by_cached_key(|step| {
            let order = kinds::order(&step.id);
            let order = if prune_last(step.action) { u8::MAX - order } else { order };
            (prune_last(step.action), order, step.id.clone())
        });
        self.plan.held.sort_by_cached_key(|held| (kinds::order(&held.id), held.id.clone(), held.why.word()));
        self.plan.unconfirmed.sort();
        self.plan.unconfirmed.dedup();
        self.plan
    }
}

/// What waiting for this part of the frame is called, if it must be waited for.
fn gate(id: &ObjectId, verdict: &Verdict) -> Option<Why> {
    match verdict {
        Verdict::Same(None) => None,
        // It is there and Ready enough to stand on; only some field of it is put right.
        Verdict::Step(step) if step.action == Action::Configure => None,
        Verdict::Step(_) => Some(Why::AwaitingStep(id.clone())),
        Verdict::Same(Some(_)) | Verdict::Held(_) | Verdict::Unconfirmed(_) => Some(Why::AwaitingReady(id.clone())),
    }
}

fn stands_on(namespace: &str, why: &Why) -> bool {
    matches!(why, Why::AwaitingStep(id) | Why::AwaitingReady(id) if *id == namespace_id(namespace))
}
