//! Changes that touch every tool go in waves: a few tools at first, more as they become Ready with it, and no further
//! when too many do not. A value: what is remembered is who has a place, and it may be forgotten: after a restart the
//! tools that have the change already need no place, and the rest begin small again.

use crate::outcome::Outcome;
use crate::plan::Plan;
use renderer::ToolName;
use std::collections::{BTreeMap, BTreeSet};

/// Tools that may be on their way at once, at most: this share of all, in percent …
const MOST_PERCENT: usize = 10;
/// … or this number, where that is more.
const MOST: usize = 10;
/// So many failures say nothing yet: tools fail for reasons of their own.
const FAILURES_BORNE: usize = 3;
/// From this share of failures on, in percent, nobody else gets the change.
const FAILURES_PERCENT: usize = 20;

/// Who has the change, who is on the way, and who waits.
#[derive(Debug, Default)]
pub struct Waves {
    /// What changes, as a digest: another one begins anew.
    change: String,
    places: BTreeMap<ToolName, Place>,
    waiting: BTreeSet<ToolName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On its way. `counts` where it was Ready before: only then does it say something of the change.
    Underway {
        counts: bool,
    },
    Done,
    Failed,
}

/// How a tool with a place came out of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Ready with the change.
    Ready,
    /// Not yet.
    Underway,
    /// Something failed.
    Failed,
}

impl Came {
    /// How a pass says that it came out.
    #[must_use]
    pub fn of(plan: &Plan, outcome: &Outcome) -> Self {
        if outcome.failures().next().is_some() || plan.not_ready.iter().any(|row| row.failed) {
            Self::Failed
        } else if plan.steps.is_empty() && plan.not_ready.is_empty() && plan.unconfirmed.is_empty() {
            Self::Ready
        } else {
            Self::Underway
        }
    }
}

impl Waves {
    /// Whether the tool may get the change now; else it waits, and is named by [`Waves::came`] when there is room.
    /// `all` is how many tools there are.
    pub fn admit(&mut self, tool: &ToolName, change: &str, was_ready: bool, all: usize) -> bool {
        if self.change != change {
            *self = Self { change: change.to_owned(), ..Self::default() };
        }
        if self.places.contains_key(tool) {
            return true;
        }
        if self.room(all) == 0 {
            self.waiting.insert(tool.clone());
            return false;
        }
        self.waiting.remove(tool);
        self.places.insert(tool.clone(), Place::Underway { counts: was_ready });
        true
    }

    /// Whether too many failed: nobody else gets the change.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let (done, failed) = (self.count(Place::Done), self.count(Place::Failed));
        failed >= FAILURES_BORNE && failed * 100 >= FAILURES_PERCENT * (done + failed)
    }

    /// Notes how a tool came out of a pass. Returned are those that may ask again.
    pub fn came(&mut self, tool: &ToolName, how: Came, all: usize) -> Vec<ToolName> {
        let Some(place) = self.places.get_mut(tool) else { return Vec::new() };
        match (how, *place) {
            (Came::Ready, _) => *place = Place::Done,
            (Came::Failed, Place::Underway { counts: true }) => *place = Place::Failed,
            // It failed before, too: it blocks nobody, and proves nothing.
            (Came::Failed, Place::Underway { counts: false }) => *place = Place::Done,
            _ => return Vec::new(),
        }
        self.waiting.iter().take(self.room(all)).cloned().collect()
    }

    /// Drops a tool that is no more.
    pub fn forget(&mut self, tool: &ToolName) {
        self.places.remove(tool);
        self.waiting.remove(tool);
    }

    /// How many tools wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// One tool first; then as many again as are done.
    fn room(&self, all: usize) -> usize {
        if self.is_stopped() {
            return 0;
        }
        let most = MOST.max(all * MOST_PERCENT / 100);
        let underway = self.places.values().filter(|place| matches!(place, Place::Underway { .. })).count();
        (1 + self.count(Place::Done)).min(most).saturating_sub(underway)
    }

    fn count(&self, wanted: Place) -> usize {
        self.places.values().filter(|place| **place == wanted).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(number: usize) -> ToolName {
        ToolName::new(format!("t{number}")).expect("a name")
    }

    /// Everybody asks; who is admitted comes out so. Returned is how many were admitted in each round.
    fn rounds(waves: &mut Waves, all: usize, how: impl Fn(usize) -> Came) -> Vec<usize> {
        let mut sizes = Vec::new();
        loop {
            let fresh: Vec<_> = (0..all).filter(|n| !waves.places.contains_key(&tool(*n))).collect();
            let admitted: Vec<_> = fresh.into_iter().filter(|n| waves.admit(&tool(*n), "new", true, all)).collect();
            if admitted.is_empty() {
                return sizes;
            }
            sizes.push(admitted.len());
            for number in admitted {
                waves.came(&tool(number), how(number), all);
            }
        }
    }

    #[test]
    fn one_tool_first_then_more_and_never_more_than_a_tenth_at_once() {
        let sizes = rounds(&mut Waves::default(), 300, |_| Came::Ready);
        assert_eq!(&sizes[..6], [1, 2, 4, 8, 16, 30], "{sizes:?}");
        assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (300, Some(&30)));
    }

    #[test]
    fn a_change_that_breaks_tools_stops_and_a_tool_that_was_broken_before_stops_nothing() {
        let mut waves = Waves::default();
        let sizes = rounds(&mut waves, 300, |_| Came::Failed);
        assert_eq!((sizes, waves.is_stopped()), (vec![1, 1, 1], true));
        assert_eq!(waves.waiting(), 297);
        let mut waves = Waves::default();
        for number in 0..20 {
            assert!(waves.admit(&tool(number), "new", false, 300));
            waves.came(&tool(number), Came::Failed, 300);
        }
        assert!(!waves.is_stopped());
    }

    #[test]
    fn a_few_failures_among_many_stop_nothing_and_who_recovers_counts_no_more() {
        let mut waves = Waves::default();
        let sizes = rounds(&mut waves, 100, |number| if number % 10 == 3 { Came::Failed } else { Came::Ready });
        assert_eq!((sizes.iter().sum::<usize>(), waves.is_stopped()), (100, false));
        let mut waves = Waves::default();
        rounds(&mut waves, 100, |_| Came::Failed);
        let asked_again = waves.came(&tool(0), Came::Ready, 100);
        assert!(!waves.is_stopped() && !asked_again.is_empty(), "two failures and a success");
    }

    #[test]
    fn who_waits_is_named_when_there_is_room_and_another_change_begins_anew() {
        let mut waves = Waves::default();
        assert!(waves.admit(&tool(0), "new", true, 50) && !waves.admit(&tool(1), "new", true, 50));
        assert_eq!(waves.came(&tool(0), Came::Underway, 50), []);
        assert_eq!(waves.came(&tool(0), Came::Ready, 50), [tool(1)]);
        assert!(waves.admit(&tool(1), "new", true, 50));
        assert!(waves.admit(&tool(2), "newer", true, 50), "nobody has a place in the new one");
        assert!(!waves.admit(&tool(3), "newer", true, 50));
    }
}
