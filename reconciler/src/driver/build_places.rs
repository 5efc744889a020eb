//! How many builds may be started, over all tools. A value, in memory: what is under way is counted anew from what each
//! pass sees.
//!
//! A pass is lent its places before it decides, and gives them back when it ends, however it ends: so two passes at once
//! never start more than there are places for. Who went without is woken when places are free, the one that has waited
//! longest first.

use renderer::ToolName;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug, Default)]
pub(super) struct BuildPlaces {
    under_way: BTreeMap<ToolName, usize>,
    lent: BTreeMap<ToolName, usize>,
    waiting: VecDeque<ToolName>,
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
    /// Lends a tool's pass what is free, at most `per_tool` with what it has under way.
    pub(super) fn lend(&mut self, tool: &ToolName, at_once: usize, per_tool: usize) -> usize {
        let has = self.under_way.get(tool).copied().unwrap_or(0);
        let lent = self.free(at_once).min(per_tool.saturating_sub(has));
        self.lent.insert(tool.clone(), lent);
        lent
    }

    /// The pass has ended; with nothing seen where it broke off. Returned is who may be woken for what is free.
    pub(super) fn ended(&mut self, tool: &ToolName, seen: Option<Seen>, at_once: usize) -> Vec<ToolName> {
        self.lent.remove(tool);
        if let Some(Seen { under_way, waits }) = seen {
            self.under_way.retain(|other, _| other != tool);
            self.under_way.extend((under_way > 0).then(|| (tool.clone(), under_way)));
            let stood = self.waiting.iter().position(|other| other == tool);
            match (waits, stood) {
                (true, None) => self.waiting.push_back(tool.clone()),
                (false, Some(place)) => drop(self.waiting.remove(place)),
                _ => {}
            }
        }
        // It has just been there: waking it again for the same places would be a circle.
        let others = self.waiting.iter().filter(|other| *other != tool);
        others.take(self.free(at_once)).cloned().collect()
    }

    /// The tool is no more.
    pub(super) fn forget(&mut self, tool: &ToolName) {
        self.under_way.remove(tool);
        self.lent.remove(tool);
        self.waiting.retain(|other| other != tool);
    }

    fn free(&self, at_once: usize) -> usize {
        at_once.saturating_sub(self.under_way.values().chain(self.lent.values()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> ToolName {
        ToolName::new(name).expect("a name")
    }

    const fn saw(under_way: usize, waits: bool) -> Option<Seen> {
        Some(Seen { under_way, waits })
    }

    #[test]
    fn passes_at_once_never_start_more_builds_than_there_are_places() {
        let mut places = BuildPlaces::default();
        let lent: usize = ["a", "b", "c"].iter().map(|name| places.lend(&tool(name), 2, 1)).sum();
        assert_eq!(lent, 2);
        assert_eq!(places.ended(&tool("a"), saw(1, false), 2), [], "a builds");
        assert_eq!(places.lend(&tool("a"), 2, 1), 0, "one of a tool at once");
    }

    #[test]
    fn who_waited_longest_is_woken_when_a_place_is_free() {
        let mut places = BuildPlaces::default();
        assert_eq!(places.lend(&tool("a"), 1, 1), 1);
        assert_eq!(places.ended(&tool("a"), saw(1, false), 1), []);
        for name in ["c", "b"] {
            assert_eq!(places.lend(&tool(name), 1, 1), 0);
            assert_eq!(places.ended(&tool(name), saw(0, true), 1), []);
        }
        assert_eq!(places.ended(&tool("a"), saw(0, false), 1), [tool("c")]);
        assert_eq!(places.lend(&tool("c"), 1, 1), 1);
        assert_eq!(places.ended(&tool("c"), saw(1, false), 1), [], "c builds, b waits");
        places.forget(&tool("c"));
        assert_eq!(places.ended(&tool("x"), saw(0, false), 1), [tool("b")]);
    }

    #[test]
    fn a_pass_that_breaks_off_gives_its_places_back_and_forgets_no_build() {
        let mut places = BuildPlaces::default();
        assert_eq!(places.lend(&tool("a"), 2, 2), 2);
        places.ended(&tool("a"), saw(1, false), 2);
        assert_eq!(places.lend(&tool("a"), 2, 2), 1);
        assert_eq!(places.ended(&tool("a"), None, 2), []);
        assert_eq!(places.lend(&tool("b"), 2, 2), 1, "a still builds one");
    }

    #[test]
    fn who_finds_no_use_for_a_place_is_not_woken_for_it_again_and_again() {
        let mut places = BuildPlaces::default();
        assert_eq!(places.ended(&tool("a"), saw(0, true), 1), [], "it has just been there");
    }
}
