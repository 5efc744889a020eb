//! Whether the tool's quota has room for what a draft would change, and what becomes of a component for which it has none
//! ([`crate::quota`] counts).

use super::{Draft, last_good_objects};
use crate::compare::Verdict;
use crate::decide::Input;
use crate::plan::{Cause, Step, Why};
use crate::quota::{self, Quota, Shortage};
use crate::target::Targets;
use crate::terms::Noted;
use renderer::{ComponentName, Object, ObjectId, Rendered};
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

/// One object beside what is there.
pub(super) struct Compared {
    pub(super) id: ObjectId,
    pub(super) verdict: Verdict,
    pub(super) noted: Option<Noted>,
}

impl Compared {
    fn step(&self) -> Option<&Step> {
        match &self.verdict {
            Verdict::Step(step) => Some(step),
            _ => None,
        }
    }
}

/// By component: its objects, and why nothing of it may change for the platform's sake.
pub(super) type Components = BTreeMap<ComponentName, (Vec<Compared>, Option<Why>)>;

/// What is asked of the tool's quota. Nothing is, where nothing changes but what is healed: then no object need be read;
/// nor where something is not known yet, for then everything is looked at once more.
struct Judged {
    quota: Quota,
    changing: BTreeSet<ComponentName>,
    rolling: BTreeSet<ObjectId>,
}

impl Judged {
    fn of(components: &Components, targets: &Targets, input: &Input) -> Option<Self> {
        let all = || components.values().flat_map(|(compared, _)| compared);
        let unknown = all().any(|one| matches!(one.verdict, Verdict::Unconfirmed(_) | Verdict::Asks(_)));
        // Whose hand a field shows says nothing of whether we want something new.
        let before = LazyCell::new(|| last_good_objects(input));
        let is_new = |name: &ComponentName| {
            let wanted = targets.components.get(name);
            wanted.is_some_and(|objects| objects.iter().any(|object| before.get(&object.id) != Some(object)))
        };
        let changing = components.iter().filter(|(name, (compared, _))| {
            let mut causes = compared.iter().filter_map(|one| one.step()).map(|step| &step.cause).peekable();
            causes.peek().is_some() && (causes.any(|cause| !matches!(cause, Cause::Drift { .. })) || is_new(name))
        });
        let changing: BTreeSet<_> = changing.map(|(name, _)| name.clone()).collect();
        if unknown || changing.is_empty() {
            return None;
        }
        Some(Self { quota: Quota::of(input)?, changing, rolling: rolling(components) })
    }
}

/// What gets other pods.
fn rolling(components: &Components) -> BTreeSet<ObjectId> {
    let rolls = |one: &&Compared| {
        one.step().is_some_and(|step| step.changes.iter().any(|change| change.path.starts_with("spec.template")))
    };
    components.values().flat_map(|(compared, _)| compared).filter(rolls).map(|one| one.id.clone()).collect()
}

impl Draft<'_> {
    /// How each component differs from what is there. One that asks for more than the tool's quota has left stays at the
    /// last good revision; where that is the same, and the platform asks for more, nothing of it changes.
    pub(super) fn within_quota(&mut self, targets: &mut Targets, newest: Option<&Rendered>) -> Components {
        let of = |draft: &Self, objects: &Vec<Object>| (draft.verdicts(objects), None);
        let mut components: Components =
            targets.components.iter().map(|(name, objects)| (name.clone(), of(self, objects))).collect();
        let Some((newest, judged)) = newest.zip(Judged::of(&components, targets, &self.input)) else {
            return components;
        };
        let Judged { quota, changing, rolling } = judged;
        for (name, shortage) in quota.short(targets, &changing) {
            let why = self.no_room(newest, &name, shortage);
            let kept_back = targets.keep_back(newest, &name, why.clone(), &self.input);
            match (targets.components.get(&name), components.get_mut(&name)) {
                (None, _) => drop(components.remove(&name)),
                (Some(objects), Some(slot)) if kept_back => *slot = of(self, objects),
                (Some(_), Some((compared, full))) => {
                    let of_platform =
                        |one: &Compared| one.step().is_some_and(|step| step.cause == Cause::PlatformChange);
                    *full = compared.iter().any(of_platform).then_some(why);
                }
                (Some(_), None) => {}
            }
        }
        for name in self.in_turns(targets, &components, &quota) {
            if let (Some(objects), Some(slot)) = (targets.components.get(&name), components.get_mut(&name)) {
                slot.0 = self.verdicts(objects);
            }
        }
        let tight = quota.rows(targets, &rolling).into_iter().find(quota::Row::is_tight);
        self.plan.remarks.extend(tight.map(|row| row.remark()));
        components
    }

    /// Lets pods be replaced in turn where they could never surge, and says so; of which components.
    fn in_turns(&mut self, targets: &mut Targets, components: &Components, quota: &Quota) -> BTreeSet<ComponentName> {
        let (then, rolling) = (quota.then(targets), rolling(components));
        let mut changed = BTreeSet::new();
        for (name, (compared, full)) in components {
            for step in compared.iter().filter_map(Compared::step).filter(|_| full.is_none()) {
                let begun = || quota.under_way(step, self.input.observed.live(&step.id), self.input.field_manager);
                let begins = rolling.contains(&step.id).then(|| quota.turns(&step.id, &then)).flatten();
                self.plan.remarks.extend(begins.map(|turns| turns.remark(&step.id)));
                let Some(turns) = begins.or_else(begun) else { continue };
                let wanted = targets.components.get_mut(name).into_iter().flatten();
                wanted.filter(|object| object.id == step.id).for_each(|object| {
                    object.value["spec"]["strategy"] = turns.strategy();
                });
                changed.insert(name.clone());
            }
        }
        changed
    }

    fn no_room(&self, newest: &Rendered, name: &ComponentName, shortage: Shortage) -> Why {
        let at = newest.origin(name.as_str(), &shortage.fields());
        let at = at.map(|at| format!("toolforge.yaml:{}:{}", at.line, at.column));
        let grant = format!("limits.quota in tools/{}.yaml of the config repository", self.input.tool.name);
        Why::NoRoom(Box::new(Shortage { at, grant, ..shortage }))
    }

    /// What becomes of the tool's quota, as far as it can be told.
    pub(crate) fn quota(&mut self) -> Option<Vec<quota::Row>> {
        let (mut targets, newest) = self.targets();
        let components = self.within_quota(&mut targets, newest);
        let quota = Quota::of(&self.input)?;
        Some(quota.rows(&targets, &rolling(&components)))
    }
}
