//! Does it fit? What the tool's ResourceQuota will hold after a plan has run, told before anything is applied.
//!
//! The API server refuses a pod that does not fit, but a Deployment it takes: a change that can't fit is found out when
//! half of it is done, by a controller, in an event. So a component that asks for more than is left is held here, with the
//! numbers and the line that asks, and its last good revision keeps running.
//!
//! **What is counted** is what the server counts (`usage.rs`). What is used now is the quota's own `status.used`: it knows
//! of pods that are none of ours. What is left of that without our own objects belongs to others, and stays. While pods
//! are being replaced nobody can tell whose they are, and nothing is taken for somebody else's; nor is anything for a
//! resource that the quota does not count yet. Where the quota, or what counts in it, could not be read, nothing is
//! predicted: an error is not an empty quota, and the gap holds what depends on it anyway.
//!
//! **What holds.** A component is held where what runs all the time, and with it the largest single run of what is
//! scheduled or one-off, is more than the limit *and* more than before. So a change that asks for less is never held, also
//! under a quota that was lowered beneath what is there. Components are judged one after another, those first that ask for
//! no more, then by name; one that is held leaves its room to the next. What is about to go has given up its pods (a full
//! quota gets their room first), but not yet its place: objects are pruned last.
//!
//! **What fits at rest, and not with its surge or with everything running at once, is not held.** A hold would keep a tool
//! from using the quota that it was given. Pods come one after another: a Job's wait for room and start when another ends,
//! and where several rollouts can't surge at once, one does after another. The plan says so, and by how much. A rollout
//! that could never surge gives up pods instead (`turns.rs`).

mod load;
mod told;
mod turns;
mod usage;

pub use told::{Row, Shortage, table};

use crate::autoscale;
use crate::course::course;
use crate::decide::{Input, Wave};
use crate::draft::Draft;
use crate::observed::{COMPONENT, Seen, label};
use crate::target::Targets;
use load::{Load, now};
use renderer::{ComponentName, Object, ObjectId};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use usage::{Defaults, Usage, is_of_pods, of_object};

/// Kinds without which nothing can be said.
const NEEDED: [(&str, &str); 4] =
    [("", "ResourceQuota"), ("apps", "Deployment"), ("batch", "CronJob"), ("batch", "Job")];

/// What becomes of every resource of the tool's quota; none where it has no quota, or where nothing can be said.
#[must_use]
pub fn rows(input: &Input) -> Option<Vec<Row>> {
    let course = course(input, &input.pin());
    Draft::new(&Input { newest: course.to, ..input.clone() }).quota()
}

/// A tool's quota, and everything that counts in it now.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: Usage,
    /// What the server says is used; a resource that it does not count yet is missing.
    counted: Usage,
    /// What is used by what is not ours.
    foreign: Usage,
    defaults: Defaults,
    live: BTreeMap<ObjectId, Part>,
    /// Deployments whose replicas an autoscaler decides, whatever their file says.
    autoscaled: BTreeSet<ObjectId>,
}

/// An object that counts.
#[derive(Debug, Clone)]
struct Part {
    component: Option<String>,
    load: Load,
    /// What its pods take now, where that can be told.
    now: Option<Usage>,
}

/// What one component would be.
pub(crate) type Asked = BTreeMap<ObjectId, Load>;

impl Quota {
    /// None where the tool has no quota, or where nothing can be said about it.
    pub(crate) fn of(input: &Input) -> Option<Self> {
        let in_frame = |kind: &str| input.frame.iter().find(|object| object.id.kind == kind);
        let wanted = in_frame("ResourceQuota")?;
        let live = input.observed.live(&wanted.id);
        // A limit that waits for its turn is not in force.
        let later = input.circumstances.wave != Wave::Now;
        let spec = live.filter(|_| later).unwrap_or(&wanted.value);
        let limit = Usage::written(spec.pointer("/spec/hard"));
        if is_unknown(&limit, input) {
            return None;
        }
        let counted = Usage::written(live.and_then(|live| live.pointer("/status/used")));
        let defaults = in_frame("LimitRange").map(|range| Defaults::of(&range.value)).unwrap_or_default();
        let live = parts(input, &defaults);
        let foreign = foreign(&counted, &live);
        let autoscaled = live.keys().filter(|id| autoscale::is_autoscaled(id, input.observed)).cloned().collect();
        Some(Self { limit, counted, foreign, defaults, live, autoscaled })
    }

    /// What a component's objects ask for.
    pub(crate) fn asked(&self, objects: &[Object]) -> Asked {
        let load = |object: &Object| {
            let scaled = self.live.get(&object.id).and_then(|part| part.load.replicas());
            let mut value = Cow::Borrowed(&object.value);
            if self.autoscaled.contains(&object.id)
                && let Some(spec) = value.to_mut().get_mut("spec").and_then(Value::as_object_mut)
            {
                spec.remove("replicas");
            }
            (object.id.clone(), Load::of(&object.id, &value, scaled, &self.defaults))
        };
        objects.iter().map(load).collect()
    }

    /// Components that change and find no room, by the rules above.
    pub(crate) fn short(
        &self,
        targets: &Targets,
        changing: &BTreeSet<ComponentName>,
    ) -> BTreeMap<ComponentName, Shortage> {
        let mut state = self.without_leavers(targets);
        let asked = |name: &ComponentName| Some((name.clone(), self.asked(targets.components.get(name)?)));
        let mut all: Vec<_> = changing.iter().filter_map(asked).collect();
        all.sort_by_key(|(_, asked)| self.exceeds(&state, &with(&state, asked), false).is_some());
        let mut short = BTreeMap::new();
        for (name, asked) in all {
            let then = with(&state, &asked);
            match self.exceeds(&state, &then, true) {
                None => state = then,
                Some(shortage) => {
                    let more = |(id, load): (&ObjectId, &Load)| {
                        self.live.get(id).is_some_and(|part| part.load.replicas() < load.replicas())
                    };
                    short.insert(name, Shortage { scaled: asked.iter().any(more), ..shortage });
                }
            }
        }
        short
    }

    /// Everything that is ours, where what is about to go runs nothing any more.
    fn without_leavers(&self, targets: &Targets) -> Asked {
        let load = |(id, part): (&ObjectId, &Part)| {
            let load = if stays(id, part, targets) { part.load.clone() } else { part.load.idle() };
            (id.clone(), load)
        };
        self.live.iter().map(load).collect()
    }

    /// The first resource of which more is needed than before, and of which, where `limited`, there is not enough.
    fn exceeds(&self, before: &Asked, then: &Asked, limited: bool) -> Option<Shortage> {
        let (had, needs) = (self.need(before), self.need(then));
        let short =
            |(name, limit): &(&str, _)| needs.get(name) > had.get(name) && (!limited || needs.get(name) > *limit);
        let mut all = self.limit.iter().filter(short);
        let (resource, limit) = all.next()?;
        let asked = needs.get(resource).without(&had.get(resource));
        let [used, asked] = [had.get(resource), asked].map(|amount| amount.in_units_of(&limit).to_string());
        let (resource, limit) = (resource.to_owned(), limit.to_string());
        Some(Shortage {
            resource,
            used,
            asked,
            limit,
            at: None,
            grant: String::new(),
            more: all.count(),
            scaled: false,
        })
    }

    /// At rest, and with the largest run.
    fn need(&self, all: &Asked) -> Usage {
        let rest = all.values().fold(self.foreign.clone(), |sum, load| sum.plus(&load.at_rest()));
        rest.plus(&all.values().fold(Usage::default(), |most, load| most.max(&load.of_a_run())))
    }

    /// Everything as it is to be.
    pub(crate) fn then(&self, targets: &Targets) -> Asked {
        let stays = self.live.iter().filter(|(id, part)| stays(id, part, targets));
        let mut then: Asked = stays.map(|(id, part)| (id.clone(), part.load.clone())).collect();
        for objects in targets.components.values() {
            then.extend(self.asked(objects));
        }
        then
    }

    /// What becomes of every resource, when the objects named in `rolling` get other pods.
    pub(crate) fn rows(&self, targets: &Targets, rolling: &BTreeSet<ObjectId>) -> Vec<Row> {
        let then = self.then(targets);
        let sum = |all: &mut dyn Iterator<Item = Usage>| all.fold(self.foreign.clone(), |sum, one| sum.plus(&one));
        let before = sum(&mut self.live.values().map(|part| part.load.at_rest()));
        let after = sum(&mut then.values().map(Load::at_rest));
        let leaving =
            self.live.iter().filter(|(id, _)| !then.contains_key(*id)).map(|(_, part)| part.load.until_gone());
        let on_the_way = then.iter().map(|(id, load)| {
            let before = self.live.get(id).map(|part| &part.load);
            load.at_peak(before, rolling.contains(id))
        });
        let peak = sum(&mut leaving.chain(on_the_way));
        let running = self.live.values().fold(before.clone(), |sum, part| match (&part.now, part.load.replicas()) {
            (Some(now), None) => sum.plus(now),
            _ => sum,
        });
        let row = |(resource, limit): (&str, renderer::Quantity)| {
            let used = self.counted.known(resource).unwrap_or(running.get(resource));
            let [used, before, after, peak] = [used, before.get(resource), after.get(resource), peak.get(resource)]
                .map(|amount| amount.in_units_of(&limit));
            Row { resource: resource.to_owned(), used, before, after, peak, limit }
        };
        self.limit.iter().map(row).collect()
    }
}

/// These objects instead of those that have their names.
fn with(state: &Asked, asked: &Asked) -> Asked {
    let mut then = state.clone();
    then.extend(asked.iter().map(|(id, load)| (id.clone(), load.clone())));
    then
}

/// Whether an object that is there is still wanted, as far as it belongs to a component.
fn stays(id: &ObjectId, part: &Part, targets: &Targets) -> bool {
    let Some(component) = &part.component else { return true };
    let wanted = |objects: &Vec<Object>| objects.iter().any(|object| object.id == *id);
    targets.kept.contains(component) || targets.components.values().any(wanted)
}

/// Something that counts could not be read.
fn is_unknown(limit: &Usage, input: &Input) -> bool {
    let counts = |group: &str, kind: &str| {
        let id = ObjectId { group: group.to_owned(), kind: kind.to_owned(), namespace: None, name: String::new() };
        of_object(&id, &Value::Null).iter().any(|(name, _)| limit.known(name).is_some())
    };
    let gaps = &input.observed.gaps;
    gaps.iter().any(|gap| NEEDED.contains(&(&gap.group, &gap.kind)) || counts(&gap.group, &gap.kind))
}

/// What is ours in the tool's namespace.
fn parts(input: &Input, defaults: &Defaults) -> BTreeMap<ObjectId, Part> {
    let observed = input.observed;
    let ours = |id: &ObjectId| observed.is_ours(id, input.tool.name.as_str(), input.field_manager);
    let inside = observed.objects.iter().filter(|(id, _)| id.namespace.as_deref() == Some(input.namespace.as_str()));
    let part = |(id, seen): (&ObjectId, &Seen)| {
        let Seen::Live(live) = seen else { return None };
        // A pod is counted by what made it.
        if id.kind == "Pod" || !ours(id) {
            return None;
        }
        let load = Load::of(id, live, None, defaults);
        let component = label(live, COMPONENT).map(str::to_owned);
        Some((id.clone(), Part { component, now: now(id, live, &load), load }))
    };
    inside.filter_map(part).collect()
}

/// What the server counts besides what is ours.
fn foreign(counted: &Usage, live: &BTreeMap<ObjectId, Part>) -> Usage {
    let unclear = live.values().any(|part| part.now.is_none());
    let objects = live.values().fold(Usage::default(), |sum, part| sum.plus(&part.load.idle().at_rest()));
    let ours = live.values().filter_map(|part| part.now.as_ref()).fold(objects, |sum, now| sum.plus(now));
    let mut foreign = Usage::default();
    for (name, used) in counted.iter().filter(|(name, _)| !(unclear && is_of_pods(name))) {
        foreign.add(name, used.without(&ours.get(name)));
    }
    foreign
}
