//! Why a contract no longer fits: what differs between what was planned and what is planned now, causes before effects.

use super::{Base, Contract, Promise, Source, State};
use crate::drift::By;
use crate::observed::Observed;
use crate::plan::{Action, Held};
use renderer::{CommitId, ObjectId};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// One thing that is not as it was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Difference {
    /// It was made for another cluster; nothing else was compared.
    Cluster {
        /// That one.
        planned: String,
        /// This one.
        now: String,
    },
    /// The branch says something else.
    Commit {
        /// The branch.
        branch: String,
        /// What it said.
        planned: Option<CommitId>,
        /// What it says.
        now: Option<CommitId>,
    },
    /// A setting of the platform or the tool, by its name: `platform.env`.
    Setting(String),
    /// Another version of toolforge renders something else.
    Version {
        /// That one.
        planned: String,
        /// This one.
        now: String,
    },
    /// The same files and settings render to something else: a source or a tool it is joined with changed.
    Rendered,
    /// An object is not as it was.
    Object {
        /// Which.
        id: ObjectId,
        /// How it was.
        planned: State,
        /// How it is.
        now: State,
    },
    /// A step that would not be taken any more.
    NoLonger {
        /// Its object.
        id: ObjectId,
        /// What was planned.
        action: Action,
        /// Why it waits now, if it does.
        held: Option<String>,
    },
    /// A step that nobody has seen.
    Unplanned {
        /// Its object.
        id: ObjectId,
        /// What would be done.
        action: Action,
    },
    /// A step that would do something else.
    Otherwise {
        /// Its object.
        id: ObjectId,
        /// What would be done.
        action: Action,
    },
    /// The same steps in another order.
    Order,
}

impl Contract {
    /// Everything that keeps this contract from being carried out; empty where the plan that is made `now`, from
    /// `observed`, does exactly what was promised.
    #[must_use]
    pub fn differences(&self, now: &Self, observed: &Observed) -> Vec<Difference> {
        let (there, here) = (&self.cluster, &now.cluster);
        if self.tool != now.tool || (there.tool_uid.is_some() && there.tool_uid != here.tool_uid) {
            return vec![Difference::Cluster { planned: there.name.clone(), now: here.name.clone() }];
        }
        let mut found = self.sources(now);
        let moved: Vec<_> = self.base.iter().filter_map(|base| moved(base, observed)).collect();
        let steps = if found.is_empty() { self.steps_but(&moved, now) } else { Vec::new() };
        if !steps.is_empty() {
            found.extend(self.changed_settings(now));
        }
        found.extend(moved);
        found.extend(steps);
        let order = |contract: &Self| contract.steps.iter().map(Promise::matter).collect::<Vec<_>>();
        if found.is_empty() && order(self) != order(now) {
            found.push(Difference::Order);
        }
        found
    }

    /// What git and the settings say otherwise. Settings that lead to the same objects are nobody's concern.
    fn sources(&self, now: &Self) -> Vec<Difference> {
        let (planned, is) = (&self.revision, &now.revision);
        let mut found = Vec::new();
        if !planned.says_the_same(is) {
            let Source { branch, commit, .. } = is.clone();
            found.push(Difference::Commit { branch, planned: planned.commit.clone(), now: commit });
        } else if self.rendered != now.rendered {
            found.extend(self.changed_settings(now));
            if found.is_empty() && self.made_by != now.made_by {
                found.push(Difference::Version { planned: self.made_by.clone(), now: now.made_by.clone() });
            }
            if found.is_empty() {
                found.push(Difference::Rendered);
            }
        }
        found
    }

    fn changed_settings(&self, now: &Self) -> Vec<Difference> {
        let names: BTreeSet<_> = self.settings.keys().chain(now.settings.keys()).collect();
        let changed = names.into_iter().filter(|name| self.settings.get(*name) != now.settings.get(*name));
        changed.map(|name| Difference::Setting(name.clone())).collect()
    }

    /// Steps that differ although their objects are as they were.
    fn steps_but(&self, moved: &[Difference], now: &Self) -> Vec<Difference> {
        let explained =
            |id: &ObjectId| moved.iter().any(|d| matches!(d, Difference::Object { id: moved, .. } if moved == id));
        let find = |steps: &'_ [Promise], id: &ObjectId| steps.iter().find(|step| step.id == *id).cloned();
        let mut found = Vec::new();
        for step in self.steps.iter().filter(|step| !explained(&step.id)) {
            let (id, action) = (step.id.clone(), step.action);
            match find(&now.steps, &id) {
                None => {
                    let held = now.held.iter().find(|held| held.id == id || is_whole(held));
                    let held = held.map(|held| held.why.to_string());
                    found.push(Difference::NoLonger { id, action, held });
                }
                Some(is) if is.matter() != step.matter() => found.push(Difference::Otherwise { id, action: is.action }),
                Some(_) => {}
            }
        }
        let unplanned = now.steps.iter().filter(|step| !explained(&step.id) && find(&self.steps, &step.id).is_none());
        found.extend(unplanned.map(|step| Difference::Unplanned { id: step.id.clone(), action: step.action }));
        found
    }
}

/// The tool itself waits, and everything with it.
fn is_whole(held: &Held) -> bool {
    held.action.is_none() && held.id.kind == "Tool"
}

/// How an object has changed, in more than its status.
fn moved(base: &Base, observed: &Observed) -> Option<Difference> {
    let now = State::of(&base.id, observed);
    let same = match (&base.was, &now) {
        (State::Live { uid, content, .. }, State::Live { uid: same_uid, content: same, .. }) => {
            uid == same_uid && content == same
        }
        // Nobody looks for what nobody wants any more: then the step is gone, and that is told.
        (_, State::Unseen) => true,
        (planned, now) => planned == now,
    };
    (!same).then(|| Difference::Object { id: base.id.clone(), planned: base.was.clone(), now })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { planned, now } => {
                write!(f, "it was made for another cluster: the Tool on {planned} is not the one on {now}")
            }
            Self::Commit { branch, planned, now } => {
                let short = |commit: &Option<CommitId>| {
                    commit.as_ref().map_or_else(|| "none".to_owned(), |commit| commit.short().to_owned())
                };
                write!(f, "commit: {} → {} on {branch}", short(planned), short(now))
            }
            Self::Setting(name) => write!(f, "setting: {name} has changed"),
            Self::Version { planned, now } => write!(f, "version: {planned} → {now}, and it renders something else"),
            Self::Rendered => f.write_str("rendered: a source or a tool it is joined with has changed"),
            Self::Object { id, planned, now } => object(f, id, planned, now),
            Self::NoLonger { id, action, held: None } => write!(f, "{id}: {action} is no longer needed"),
            Self::NoLonger { id, action, held: Some(why) } => {
                write!(f, "{id}: {action} is no longer planned, held: {why}")
            }
            Self::Unplanned { id, action } => write!(f, "{id}: {action} was not planned, and would be done"),
            Self::Otherwise { id, action } => write!(f, "{id}: {action} would send something else"),
            Self::Order => f.write_str("steps: the same in another order"),
        }
    }
}

fn object(f: &mut fmt::Formatter<'_>, id: &ObjectId, planned: &State, now: &State) -> fmt::Result {
    let State::Live { uid: is, resource_version, hands, .. } = now else {
        return match planned {
            State::Live { resource_version, .. } => write!(f, "{id}: gone, was at resourceVersion {resource_version}"),
            State::Absent | State::Unseen => write!(f, "{id}: gone"),
        };
    };
    let by = Hand(news(planned, hands));
    match planned {
        State::Live { uid, resource_version: was, .. } if uid == is => {
            write!(f, "{id}: changed{by}, resourceVersion {was} → {resource_version}")
        }
        State::Live { .. } => write!(f, "{id}: deleted and made again{by}, resourceVersion {resource_version}"),
        State::Absent | State::Unseen => {
            write!(f, "{id}: was absent, and is there now{by}, resourceVersion {resource_version}")
        }
    }
}

/// The last who wrote since; times are whole seconds, so that the last alone need not be who is meant.
fn news<'a>(planned: &State, hands: &'a [By]) -> Option<&'a By> {
    let known = match planned {
        State::Live { hands, .. } => hands.as_slice(),
        State::Absent | State::Unseen => &[],
    };
    hands.iter().max_by_key(|hand| (!known.contains(hand), &hand.time))
}

/// ` by kubectl-scale at 2026-01-31T12:00:00Z`.
struct Hand<'a>(Option<&'a By>);

impl fmt::Display for Hand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(by) = self.0 else { return Ok(()) };
        write!(f, " by {}", by.manager)?;
        by.time.as_ref().map_or(Ok(()), |time| write!(f, " at {time}"))
    }
}
