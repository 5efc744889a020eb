//! How many builds may be started, over all tools. A value, in memory: what is under way is counted once at the start, and
//! anew from what each pass sees.
//!
//! A pass is lent its places before it decides, and gives them back when it ends, however it ends: so two passes at once
//! never start more than there are places for. Who went without waits in a row: tools that no other is promoted from
//! first, and among equals whoever has waited longest. A free place is kept for whoever is next in that row, and they are
//! woken for it.

use renderer::ToolName;
use renderer::platform::Builds;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct BuildPlaces {
    under_way: BTreeMap<ToolName, usize>,
    lent: BTreeMap<ToolName, usize>,
    /// In the order in which they get places.
    waiting: Vec<(Rank, ToolName)>,
}

/// Whose builds come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// People wait for it: no other tool is promoted from it.
    Main,
    /// A tool that another is promoted from.
    Beta,
}

/// How many builds there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub at_once: usize,
    pub per_tool: usize,
}

impl Room {
    pub(super) fn of(builds: &Builds) -> Self {
        Self { at_once: builds.at_once as usize, per_tool: builds.at_once_per_tool as usize }
    }
}

/// What a pass saw and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Builds of its tool that are under way now.
    pub under_way: usize,
    /// More are due.
    pub waits: bool,
}

impl BuildPlaces {
    /// What runs before anything is begun: others, or an earlier process of ours, have asked for it.
    pub(super) fn count(&mut self, under_way: BTreeMap<ToolName, usize>) {
        self.under_way = under_way;
    }

    /// Lends a tool's pass what is free and nobody before it waits for, at most `per_tool` with what it has under way.
    pub(super) fn lend(&mut self, tool: &ToolName, rank: Rank, room: Room) -> usize {
        let before = self.waiting.iter().take_while(|(other, name)| *other <= rank && name != tool);
        let kept = before.filter(|(_, name)| self.can_use(name, room)).count();
        let has = self.under_way.get(tool).copied().unwrap_or(0);
        let lent = self.free(room).saturating_sub(kept).min(room.per_tool.saturating_sub(has));
        self.lent.insert(tool.clone(), lent);
        lent
    }

    /// The pass has ended; with nothing seen where it broke off, which costs its tool its turn: nobody waits for a tool
    /// that does not come. Returned is who may be woken for what is free.
    pub(super) fn ended(&mut self, tool: &ToolName, rank: Rank, seen: Option<Seen>, room: Room) -> Vec<ToolName> {
        self.lent.remove(tool);
        if let Some(Seen { under_way, .. }) = seen {
            self.under_way.retain(|other, _| other != tool);
            self.under_way.extend((under_way > 0).then(|| (tool.clone(), under_way)));
        }
        let waits = seen.is_some_and(|seen| seen.waits);
        self.waiting.retain(|entry| entry.1 != *tool || waits && entry.0 == rank);
        if waits && self.waiting.iter().all(|(_, name)| name != tool) {
            let last = self.waiting.partition_point(|(other, _)| *other <= rank);
            self.waiting.insert(last, (rank, tool.clone()));
        }
        // It has just been there: waking it again for the same places would be a circle.
        let others = self.waiting.iter().map(|(_, name)| name).filter(|name| *name != tool && self.can_use(name, room));
        others.take(self.free(room)).cloned().collect()
    }

    /// The tool is no more.
    pub(super) fn forget(&mut self, tool: &ToolName) {
        self.under_way.remove(tool);
        self.lent.remove(tool);
        self.waiting.retain(|(_, name)| name != tool);
    }

    /// Whether a place would do this tool any good: it has none in its hand, and may have one more.
    fn can_use(&self, tool: &ToolName, room: Room) -> bool {
        let has = |places: &BTreeMap<ToolName, usize>| places.get(tool).copied().unwrap_or(0);
        has(&self.lent) == 0 && has(&self.under_way) < room.per_tool
    }

    fn free(&self, room: Room) -> usize {
        room.at_once.saturating_sub(self.under_way.values().chain(self.lent.values()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::Rank::{Beta, Main};
    use super::*;

    const ONE: Room = Room { at_once: 1, per_tool: 1 };
    const TWO: Room = Room { at_once: 2, per_tool: 1 };

    fn tool(name: &str) -> ToolName {
        ToolName::new(name).expect("a name")
    }

    const fn saw(under_way: usize, waits: bool) -> Option<Seen> {
        Some(Seen { under_way, waits })
    }

    /// A whole pass of a tool that wants one build: begun or not, and who is woken after it.
    fn pass(places: &mut BuildPlaces, name: &str, rank: Rank, room: Room) -> (bool, Vec<ToolName>) {
        let begun = places.lend(&tool(name), rank, room) > 0;
        (begun, places.ended(&tool(name), rank, saw(usize::from(begun), !begun), room))
    }

    #[test]
    fn passes_at_once_never_start_more_builds_than_there_are_places() {
        let mut places = BuildPlaces::default();
        let lent: usize = ["a", "b", "c"].iter().map(|name| places.lend(&tool(name), Main, TWO)).sum();
        assert_eq!(lent, 2);
        assert_eq!(places.ended(&tool("a"), Main, saw(1, false), TWO), [], "a builds");
        assert_eq!(places.lend(&tool("a"), Main, TWO), 0, "one of a tool at once");
    }

    #[test]
    fn builds_that_run_at_the_start_are_counted_before_a_new_one_begins() {
        let mut places = BuildPlaces::default();
        places.count(BTreeMap::from([(tool("a"), 1)]));
        assert_eq!(pass(&mut places, "b", Main, ONE), (false, vec![]), "a builds, though nobody has looked at it yet");
        assert_eq!(places.ended(&tool("a"), Main, saw(0, false), ONE), [tool("b")]);
        assert!(pass(&mut places, "b", Main, ONE).0);
    }

    #[test]
    fn who_waited_longest_is_woken_when_a_place_is_free() {
        let mut places = BuildPlaces::default();
        assert!(pass(&mut places, "a", Main, ONE).0);
        for name in ["c", "b"] {
            assert_eq!(pass(&mut places, name, Main, ONE), (false, vec![]));
        }
        assert_eq!(places.ended(&tool("a"), Main, saw(0, false), ONE), [tool("c")]);
        assert_eq!(pass(&mut places, "c", Main, ONE), (true, vec![]), "c builds, b waits");
        places.forget(&tool("c"));
        assert_eq!(places.ended(&tool("x"), Main, saw(0, false), ONE), [tool("b")]);
    }

    #[test]
    fn main_comes_before_beta_however_long_that_has_waited() {
        let mut places = BuildPlaces::default();
        assert!(pass(&mut places, "a", Main, ONE).0);
        for (name, rank) in [("old-beta", Beta), ("new-beta", Beta), ("main", Main)] {
            assert!(!pass(&mut places, name, rank, ONE).0);
        }
        assert_eq!(places.ended(&tool("a"), Main, saw(0, false), ONE), [tool("main")]);
        assert!(pass(&mut places, "main", Main, ONE).0);
        assert_eq!(places.ended(&tool("main"), Main, saw(0, false), ONE), [tool("old-beta")]);
        // Operators have a tool promoted from it, or no longer: it stands where it belongs then.
        assert!(!{
            places.count(BTreeMap::from([(tool("a"), 1)]));
            pass(&mut places, "new-beta", Main, ONE).0
        });
        assert_eq!(places.ended(&tool("a"), Main, saw(0, false), ONE), [tool("new-beta")]);
    }

    #[test]
    fn who_just_comes_along_takes_no_place_that_somebody_waits_for() {
        let mut places = BuildPlaces::default();
        assert!(pass(&mut places, "a", Main, ONE).0);
        assert!(!pass(&mut places, "b", Main, ONE).0);
        assert_eq!(places.ended(&tool("a"), Main, saw(0, false), ONE), [tool("b")]);
        assert!(!pass(&mut places, "c", Main, ONE).0, "b was here before");
        assert!(pass(&mut places, "b", Main, ONE).0);

        let mut places = BuildPlaces::default();
        assert!(pass(&mut places, "a", Main, TWO).0);
        assert_eq!(places.ended(&tool("a"), Main, saw(1, true), TWO), [], "it may have one at once, and has it");
        assert!(pass(&mut places, "b", Main, TWO).0, "no place is kept for who can't use it");
    }

    #[test]
    fn a_pass_that_breaks_off_gives_its_places_back_forgets_no_build_and_loses_its_turn() {
        let room = Room { at_once: 2, per_tool: 2 };
        let mut places = BuildPlaces::default();
        assert_eq!(places.lend(&tool("a"), Main, room), 2);
        places.ended(&tool("a"), Main, saw(1, false), room);
        assert_eq!(places.lend(&tool("a"), Main, room), 1);
        assert_eq!(places.ended(&tool("a"), Main, None, room), []);
        assert_eq!(places.lend(&tool("b"), Main, room), 1, "a still builds one");
        assert_eq!(places.ended(&tool("b"), Main, saw(1, false), room), []);
        for name in ["c", "d"] {
            assert!(!pass(&mut places, name, Main, room).0);
        }
        assert_eq!(places.ended(&tool("b"), Main, saw(0, false), room), [tool("c")]);
        places.lend(&tool("c"), Main, room);
        assert_eq!(places.ended(&tool("c"), Main, None, room), [tool("d")]);
    }

    #[test]
    fn who_finds_no_use_for_a_place_is_not_woken_for_it_again_and_again() {
        let mut places = BuildPlaces::default();
        assert_eq!(places.ended(&tool("a"), Main, saw(0, true), ONE), [], "it has just been there");
    }
}
