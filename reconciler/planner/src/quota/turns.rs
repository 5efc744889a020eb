//! A rollout whose first new pod finds no room beside the old ones would wait for ever: it may take none away before that
//! one is Ready. So for as long as it takes, its pods are replaced in turn: one fewer meanwhile, or where even that leaves
//! no room, all at once. How a Deployment replaces pods is none of what its pods are made of: it surges again afterwards,
//! and nothing restarts for that.

use super::Quota;
use super::load::Load;
use super::usage::Usage;
use crate::plan::Step;
use renderer::ObjectId;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How the pods of one Deployment are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    /// One fewer meanwhile.
    OneByOne,
    /// None meanwhile.
    AllAtOnce,
}

impl Turns {
    /// `spec.strategy`.
    pub(crate) fn strategy(self) -> Value {
        match self {
            Self::OneByOne => {
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
            }
            Self::AllAtOnce => json!({"type": "Recreate"}),
        }
    }

    /// What people are told of it.
    pub(crate) fn remark(self, id: &ObjectId) -> String {
        let how = match self {
            Self::OneByOne => "one at a time, with one fewer meanwhile",
            Self::AllAtOnce => "all at once: it stops for a moment",
        };
        format!("{id}: the tool's quota has no room for one more pod beside those that run, so they are replaced {how}")
    }
}

impl Quota {
    /// How pods have to be replaced, where they get others and can't surge. `then` is everything as it is to be.
    pub(crate) fn turns(&self, id: &ObjectId, then: &BTreeMap<ObjectId, Load>) -> Option<Turns> {
        let (old, new) = (&self.live.get(id)?.load, then.get(id)?);
        let (running, wanted) = (old.replicas()?, new.replicas()?);
        if new.surge()? == 0 || running == 0 || wanted == 0 {
            return None;
        }
        let others = self.beside(id, then);
        let fits = |old_pods: u32| {
            let all = others.clone().plus(&old.pod.times(old_pods)).plus(&new.pod);
            self.limit.iter().all(|(name, limit)| all.get(name) <= limit || new.pod.known(name).is_none())
        };
        match (fits(running), running > 1 && wanted > 1 && fits(running - 1)) {
            (true, _) => None,
            (false, true) => Some(Turns::OneByOne),
            (false, false) => Some(Turns::AllAtOnce),
        }
    }

    /// How pods are being replaced, where a plan would only end that before it is done.
    pub(crate) fn under_way(&self, step: &Step, live: Option<&Value>, manager: &str) -> Option<Turns> {
        let replacing = self.live.get(&step.id)?.now.is_none();
        let ours = step.changes.iter().all(|change| {
            change.path.starts_with("spec.strategy") && change.by.as_ref().is_none_or(|by| by.manager == manager)
        });
        let strategy = live?.pointer("/spec/strategy")?;
        let known = [Turns::OneByOne, Turns::AllAtOnce].into_iter().find(|turns| turns.strategy() == *strategy);
        known.filter(|_| replacing && ours && !step.changes.is_empty())
    }

    /// What is taken by everything else of ours, before or after, whichever is more. What others take may end at any
    /// moment, as the last pods of the rollout before do, and is no reason to stop anything.
    fn beside(&self, id: &ObjectId, then: &BTreeMap<ObjectId, Load>) -> Usage {
        let before = |other: &ObjectId| self.live.get(other).map(|part| part.load.at_rest()).unwrap_or_default();
        let after = |other: &ObjectId| then.get(other).map(Load::at_rest).unwrap_or_default();
        let gone = self.live.keys().filter(|other| !then.contains_key(*other));
        let others = then.keys().chain(gone).filter(|other| *other != id);
        others.fold(Usage::default(), |sum, other| sum.plus(&before(other).max(&after(other))))
    }
}
