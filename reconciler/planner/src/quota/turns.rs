//! A rollout whose next pod finds no room beside the old ones would wait for ever: it may take none away before that
//! one is Ready. So for as long as it takes, its pods are replaced in turn: as few fewer meanwhile as let it get through, or
//! where only none would, all at once. How a Deployment replaces pods is none of what its pods are made of: it surges again
//! afterwards, and nothing restarts for that.

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
    /// So many fewer meanwhile.
    Fewer(u32),
    /// None meanwhile.
    AllAtOnce,
}

impl Turns {
    /// `spec.strategy`.
    pub(crate) fn strategy(self) -> Value {
        match self {
            Self::Fewer(away) => {
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": away}})
            }
            Self::AllAtOnce => json!({"type": "Recreate"}),
        }
    }

    /// What people are told of it.
    pub(crate) fn remark(self, id: &ObjectId) -> String {
        let how = match self {
            Self::Fewer(1) => "one at a time, with one fewer meanwhile".to_owned(),
            Self::Fewer(away) => format!("in turn, with {away} fewer meanwhile"),
            Self::AllAtOnce => "all at once: it stops for a moment".to_owned(),
        };
        format!("{id}: the tool's quota has no room for one more pod beside those that run, so they are replaced {how}")
    }
}

impl Quota {
    /// How pods have to be replaced, where they get others and can't surge. `then` is everything as it is to be.
    pub(crate) fn turns(&self, id: &ObjectId, then: &BTreeMap<ObjectId, Load>) -> Option<Turns> {
        let (old, new) = (&self.live.get(id)?.load, then.get(id)?);
        let (running, wanted) = (old.replicas()?, new.replicas()?);
        if running == 0 || wanted == 0 {
            return None;
        }
        // As the file alone would have it: one more, or where its own pods fill the quota, one fewer.
        let rendered = if new.surge()? > 0 { 0 } else { new.away() };
        let others = self.beside(id, then);
        let fits = |old_pods: u32, new_pods: u32| {
            let all = others.clone().plus(&old.pod.times(old_pods)).plus(&new.pod.times(new_pods));
            self.limit.iter().all(|(name, limit)| all.get(name) <= limit || new.pod.known(name).is_none())
        };
        match fewest_away(running, wanted, fits) {
            away if away <= rendered => None,
            away if away < wanted => Some(Turns::Fewer(away)),
            _ => Some(Turns::AllAtOnce),
        }
    }

    /// How pods are being replaced, where a plan would only end that before it is done.
    pub(crate) fn under_way(&self, step: &Step, live: Option<&Value>, manager: &str) -> Option<Turns> {
        let replacing = self.live.get(&step.id)?.now.is_none();
        let ours = step.changes.iter().all(|change| {
            change.path.starts_with("spec.strategy") && change.by.as_ref().is_none_or(|by| by.manager == manager)
        });
        let strategy = live?.pointer("/spec/strategy")?;
        let away = strategy.pointer("/rollingUpdate/maxUnavailable").and_then(Value::as_u64);
        let fewer = away.and_then(|away| u32::try_from(away).ok()).filter(|away| *away > 0).map(Turns::Fewer);
        let known = fewer.into_iter().chain([Turns::AllAtOnce]).find(|turns| turns.strategy() == *strategy);
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

/// The fewest of the wanted pods that have to be away meanwhile, so that the others can be replaced one after another; all
/// of them where nothing less is enough. `fits` says whether so many old and so many new ones find room together.
fn fewest_away(running: u32, wanted: u32, fits: impl Fn(u32, u32) -> bool) -> u32 {
    let gets_through = |away: &u32| {
        let needed = wanted - away;
        // Most is taken by the last new one that comes before an old one goes, or by the one beside the last old one.
        let ready = [needed.saturating_sub(running), needed - 1];
        ready.into_iter().all(|ready| fits(running.min(needed - ready), ready + 1))
    };
    (0..wanted).find(gets_through).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rollout as the Deployment's controller does it, where a pod that finds no room does not come: whether it ends.
    fn ends(running: u32, wanted: u32, away: u32, fits: impl Fn(u32, u32) -> bool) -> bool {
        let (mut old, mut new, most) = (running, 0, wanted + u32::from(away == 0));
        loop {
            let before = (old, new);
            while old > 0 && old + new > wanted - away {
                old -= 1;
            }
            while new < wanted && old + new < most && fits(old, new + 1) {
                new += 1;
            }
            if (old, new) == before {
                return (old, new) == (0, wanted);
            }
        }
    }

    #[test]
    fn as_few_pods_are_away_as_let_a_rollout_get_through() {
        let mut seen = std::collections::BTreeSet::new();
        let sizes = || (1..=4).flat_map(|old| (1..=4).map(move |new| (old, new)));
        let counts = (1..=5).flat_map(|running| (1..=5).map(move |wanted| (running, wanted)));
        for ((running, wanted), (size, other)) in counts.flat_map(|count| sizes().map(move |size| (count, size))) {
            for limit in wanted * other..=(running * size).max(wanted * other) + other {
                let fits = |old: u32, new: u32| old * size + new * other <= limit;
                let away = fewest_away(running, wanted, fits);
                let case = format!("{running} of {size} to {wanted} of {other} in {limit}: {away}");
                assert!(away == wanted || ends(running, wanted, away, fits), "{case}");
                assert!(away == 0 || !ends(running, wanted, away - 1, fits), "{case}");
                seen.insert(away.min(3));
            }
        }
        assert_eq!(seen.len(), 4, "none, one and more are away in some");
    }
}
