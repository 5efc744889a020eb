//! A plan being made: object by object, by the rules of [`crate::decide`]. Nothing here chooses a revision; it is told
//! where the tool goes, and says what that takes.

mod room;

use crate::admission::Tenant;
use crate::compare::{Verdict, compare, namespace_id};
use crate::course::Course;
use crate::decide::{Input, Newest};
use crate::deployments::State;
use crate::fight;
use crate::kinds::{self, Kind};
use crate::memo::{Memo, Proof};
use crate::pin::Pin;
use crate::plan::{Action, Held, Plan, Target, Why};
use crate::prune::{self, Wanted, prune};
use crate::target::{Targets, targets};
use crate::terms::Noted;
use crate::{autoscale, builds, identity, licensed, pods, promotion, record, removal, tags};
use renderer::{Object, ObjectId, Rendered};
use room::Compared;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

/// A plan being made.
pub(crate) struct Draft<'a> {
    pub(crate) input: Input<'a>,
    pub(crate) plan: Plan,
    /// Every object that is desired.
    pub(crate) seen: BTreeSet<ObjectId>,
    /// What need not be found out again.
    proofs: Vec<Proof>,
    /// What keeps components waiting: a part of the frame that is not Ready.
    unready_frame: Option<Why>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(input: &Input<'a>) -> Self {
        let commit = input.newest_commit().cloned();
        let author = match input.newest {
            Newest::Revision(revision, _) => revision.facts.author.clone(),
            Newest::Unavailable(_) | Newest::Nothing => None,
        };
        let target = Target { branch: input.tool.branch.clone(), commit, author };
        let plan = Plan::nothing(input.tool.name.clone(), &input.observed.cluster, target);
        // What is not looked at now is not forgotten.
        let plan = Plan { settled: input.observed.settled.clone(), ..plan };
        Self { input: input.clone(), plan, seen: BTreeSet::new(), proofs: Vec::new(), unready_frame: None }
    }

    /// Leads the tool where its course goes.
    pub(crate) fn rollout(&mut self, course: Course<'_>) {
        if let Some(why) = self.input.trouble {
            self.hold_tool(Why::SourceUnavailable(why.to_owned()));
        }
        self.plan.unlicensed = licensed::lacking(&self.input);
        self.plan.remarks.extend(self.plan.unlicensed.iter().map(|why| format!("licence: {why}")));
        let (mut targets, usable) = self.targets();
        self.frame();
        let components = self.within_quota(&mut targets, usable);
        let mut wanted =
            Wanted { ids: self.seen.clone(), kept: targets.kept.clone(), components: targets.components.len() };
        wanted.components += usable.map_or(0, |rendered| rendered.components.len());
        wanted.ids.extend(targets.components.values().flatten().map(|object| object.id.clone()));
        for (verdicts, full) in components.into_values() {
            self.settle(verdicts, full);
        }
        self.plan.held.extend(targets.held.iter().cloned());
        if let Some(rendered) = usable {
            self.plan.steps.extend(promotion::steps(rendered, self.input.observed));
            self.plan.moved_tags = tags::moved(rendered, self.input.observed);
            builds::plan(self, rendered, &targets);
        }
        self.plan.deployment = course.deployment;
        self.judge_deployment(&targets);
        if usable.is_some() {
            // What is only held back from going keeps nothing from having been Ready.
            let unfinished = self.unfinished();
            self.record(&targets);
            self.prune(&wanted, unfinished);
        }
        // Last, because what is kept back on purpose keeps nothing else waiting.
        if let Some(why) = course.kept_back {
            if let Why::Soaking { until, .. } | Why::Unsigned { until, .. } = &why {
                self.plan.due = self.plan.due.into_iter().chain(*until).min();
            }
            self.hold_tool(why);
        }
    }

    /// Gives every object that is not Ready its pods' own words, and says when the deployment under way has failed.
    fn judge_deployment(&mut self, targets: &Targets) {
        let underway = self.plan.deployment.as_ref().filter(|deployment| deployment.state != State::Ready);
        let since = underway.and_then(|deployment| pods::since(deployment, &self.input));
        for row in &mut self.plan.not_ready {
            pods::explain(row, since, self.input.observed);
        }
        let Some(deployment) = &mut self.plan.deployment else { return };
        // Mostly nothing has failed, and nobody asks.
        let before = LazyCell::new(|| last_good_objects(&self.input));
        let is_new = |id: &ObjectId| {
            let wanted = targets.components.values().flatten().find(|object| object.id == *id);
            wanted.is_some_and(|wanted| before.get(id) != Some(wanted))
        };
        // A failed one-off has kept everything behind it from moving: there is nothing to take back.
        let failed = self.plan.not_ready.iter().find(|row| row.failed && row.id.kind != "Job" && is_new(&row.id));
        if let (State::Progressing, Some(row)) = (deployment.state, failed) {
            deployment.state = State::Failed;
            deployment.why = Some(format!("{}: {}", row.id, row.why));
            // It has to be written down before anything is taken back; then at once.
            self.plan.due = Some(self.input.circumstances.now);
        }
    }

    pub(crate) fn hold_tool(&mut self, why: Why) {
        self.plan.held.push(Held { id: self.input.tool_id(), action: None, why });
    }

    /// The target of every component, and the newest revision where it can be used.
    fn targets(&mut self) -> (Targets, Option<&'a Rendered>) {
        let (observed, last_good) = (self.input.observed, self.input.last_good);
        match self.input.newest {
            Newest::Revision(_, rendered) if !rendered.unusable => {
                let mut tenant = Tenant::of(&self.input);
                let targets = targets(rendered, &self.input, &mut tenant);
                self.proofs.extend(tenant.proofs);
                return (targets, Some(rendered));
            }
            Newest::Revision(_, rendered) => {
                let first = rendered.report.errors().next().map(renderer::Diagnostic::located);
                self.hold_tool(Why::Invalid(first.unwrap_or_else(|| "the file can't be used".to_owned())));
            }
            Newest::Unavailable(why) => self.hold_tool(Why::SourceUnavailable(why.to_owned())),
            Newest::Nothing => {}
        }
        (Targets::of_last_good(last_good, observed), None)
    }

    /// Every object that should be there, in apply order.
    pub(crate) fn desired(&mut self) -> Vec<Object> {
        let (mut targets, usable) = self.targets();
        self.within_quota(&mut targets, usable);
        let (observed, manager) = (self.input.observed, self.input.field_manager);
        let of_components = targets.components.values().flatten();
        let of_components = of_components.map(|object| autoscale::desired(object, observed, manager).into_owned());
        let mut objects: Vec<_> = self.input.frame.iter().cloned().chain(of_components).collect();
        objects.sort_by_cached_key(|object| (kinds::order(&object.id), object.id.clone()));
        objects
    }

    /// The tool-wide objects, each as soon as its namespace is Ready.
    pub(crate) fn frame(&mut self) {
        let mut objects: Vec<_> = self.input.frame.iter().collect();
        objects.sort_by_key(|object| (kinds::order(&object.id), &object.id));
        for object in objects {
            let (verdict, noted) = compare(object, &self.input);
            self.note(&object.id, noted);
            let waits = object.id.namespace.as_ref().and(self.unready_frame.clone());
            let waits = waits.filter(|why| stands_on(&self.input.namespace, why));
            // The Tool itself only says what the config repository says; everything else can do harm.
            let waits = waits.or_else(|| self.wave(&verdict).filter(|_| object.id.kind != "Tool"));
            if Kind::of_id(&object.id).is_some_and(|row| row.gate) && self.unready_frame.is_none() {
                self.unready_frame = gate(&object.id, &verdict);
            }
            self.place(&object.id, verdict, waits.as_ref());
        }
    }

    /// One component's objects, whole or not at all.
    pub(crate) fn component(&mut self, objects: &[Object]) {
        let verdicts = self.verdicts(objects);
        self.settle(verdicts, None);
    }

    fn verdicts(&self, objects: &[Object]) -> Vec<Compared> {
        let compared = |object: &Object| {
            let object = autoscale::desired(object, self.input.observed, self.input.field_manager);
            let (verdict, noted) = compare(&object, &self.input);
            let verdict = prune::to_be_retried(&object.id, &self.input).map_or(verdict, Verdict::Step);
            Compared { id: object.id.clone(), verdict: verdict.said_as(identity::of_component(&object)), noted }
        };
        objects.iter().map(compared).collect()
    }

    /// `full` is why nothing of it may change for the platform's sake.
    fn settle(&mut self, compared: Vec<Compared>, full: Option<Why>) {
        let obstacle = compared.iter().find_map(|one| match &one.verdict {
            Verdict::Held(held) if !fight::stands(held) => Some(Why::AwaitingReady(one.id.clone())),
            _ => None,
        });
        let waits = self.unready_frame.clone().or(obstacle);
        let waits = waits.or_else(|| compared.iter().find_map(|one| self.wave(&one.verdict))).or(full);
        for Compared { id, verdict, noted } in compared {
            self.note(&id, noted);
            self.place(&id, verdict, waits.as_ref());
        }
    }

    /// A change that comes to everyone waits for its turn, and with it the whole component.
    fn wave(&self, verdict: &Verdict) -> Option<Why> {
        let Verdict::Step(step) = verdict else { return None };
        self.input.circumstances.awaited(&step.cause)
    }

    /// What the API server insists on, in place of what was known before.
    fn note(&mut self, id: &ObjectId, noted: Option<Noted>) {
        let Some(noted) = noted else { return };
        self.plan.settled.retain(|row| !row.is_of(id));
        self.plan.remarks.extend(noted.settled.iter().filter_map(|row| row.remark(id)));
        self.plan.remarks.extend(noted.remark);
        self.plan.settled.extend(noted.settled);
        self.proofs.extend(noted.proof);
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
            Verdict::Held(held) => {
                if let (Why::Fighting { .. }, Some(fight)) = (&held.why, self.input.circumstances.fights.get(id)) {
                    self.plan.due = self.plan.due.into_iter().chain([fight.until]).min();
                }
                self.plan.held.push(held);
            }
            Verdict::Unconfirmed(id) => self.plan.unconfirmed.push(id),
            Verdict::Asks(question) => self.plan.questions.push(*question),
        }
    }

    fn prune(&mut self, wanted: &Wanted, unfinished: Option<Why>) {
        // What replaces it may wait for the very room that the old takes.
        if self.plan.not_ready.iter().any(|row| row.why.contains("exceeded quota")) {
            self.plan.steps.extend(prune::make_room(wanted, &self.input));
        }
        let pruned = prune(wanted, unfinished, &self.input);
        self.plan.steps.extend(pruned.steps);
        self.plan.held.extend(pruned.held.into_iter().filter(|held| self.plan.steps.iter().all(|s| s.id != held.id)));
        self.plan.unconfirmed.extend(pruned.unconfirmed);
    }

    /// What has to be done, or to become Ready, before anything may go.
    fn unfinished(&self) -> Option<Why> {
        let step = self.plan.steps.first().map(|step| Why::AwaitingStep(step.id.clone()));
        let held =
            self.plan.held.iter().find(|held| !fight::stands(held)).map(|held| Why::AwaitingReady(held.id.clone()));
        let not_ready = self.plan.not_ready.first().map(|row| Why::AwaitingReady(row.id.clone()));
        step.or(held).or(not_ready)
    }

    fn record(&mut self, targets: &Targets) {
        if let (true, Newest::Revision(revision, _)) = (self.plan.is_ready(), self.input.newest) {
            self.plan.steps.extend(record::steps(revision, targets, &self.input));
        }
    }

    pub(crate) fn finish(mut self, pin: &Pin) -> (Plan, Memo) {
        let now = self.input.circumstances.now;
        if !self.plan.removed && removal::removed_at(self.input.status()).is_some() {
            removal::restore(&mut self.plan);
        }
        self.plan.due = self.plan.due.into_iter().chain(pin.ends().filter(|end| *end > now)).min();
        let prune_last = |action: Action| action == Action::Prune;
        self.plan.steps.sort_by_cached_key(|step| {
            let order = kinds::order(&step.id);
            let order = if prune_last(step.action) { u8::MAX - order } else { order };
            (prune_last(step.action), order, !step.is_scale_down(), step.id.clone())
        });
        self.plan.held.sort_by_cached_key(|held| (kinds::order(&held.id), held.id.clone(), held.why.word()));
        self.plan.unconfirmed.sort();
        self.plan.unconfirmed.dedup();
        if self.plan.is_in_sync() {
            // A name that somebody chose is told with what is done and what waits, and else is nobody's business.
            self.plan.target.author = None;
        }
        (self.plan, Memo::new(self.proofs))
    }
}

/// The objects of the last good revision, as they would be applied.
fn last_good_objects(input: &Input) -> BTreeMap<ObjectId, Object> {
    let targets = Targets::of_last_good(input.last_good, input.observed);
    targets.components.into_values().flatten().map(|object| (object.id.clone(), object)).collect()
}

/// What waiting for this part of the frame is called, if it must be waited for.
fn gate(id: &ObjectId, verdict: &Verdict) -> Option<Why> {
    match verdict {
        Verdict::Same(None) => None,
        // It is there and Ready enough to stand on; only some field of it is put right.
        Verdict::Step(step) if step.action == Action::Configure => None,
        Verdict::Held(held) if fight::stands(held) => None,
        Verdict::Step(_) => Some(Why::AwaitingStep(id.clone())),
        Verdict::Same(Some(_)) | Verdict::Held(_) | Verdict::Unconfirmed(_) | Verdict::Asks(_) => {
            Some(Why::AwaitingReady(id.clone()))
        }
    }
}

fn stands_on(namespace: &str, why: &Why) -> bool {
    matches!(why, Why::AwaitingStep(id) | Why::AwaitingReady(id) if *id == namespace_id(namespace))
}
