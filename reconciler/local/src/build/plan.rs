//! The build plan: what buildpacks provide is matched with what they require. Pure.
//!
//! Each buildpack that says yes offers one or more alternatives. In one choice of them everything that is required must be
//! provided by the same or an earlier buildpack, and everything that is provided must be required by the same or a later
//! one. An optional buildpack that breaks this takes no part, and the rest is looked at again; one that is not optional
//! makes the choice fail, and the next one is tried.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Choices that are tried; no buildpack has more than a few alternatives.
const MAX_CHOICES: usize = 256;

/// One alternative of a buildpack.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Offer {
    #[serde(default)]
    provides: Vec<Provide>,
    #[serde(default)]
    requires: Vec<Require>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Provide {
    name: String,
}

/// What a buildpack requires, as its provider reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Require {
    name: String,
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    metadata: toml::Table,
}

/// What `bin/detect` writes.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PlanFile {
    #[serde(flatten)]
    first: Offer,
    #[serde(default)]
    or: Vec<Offer>,
}

/// A buildpack that said yes.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) optional: bool,
    pub(super) offers: PlanFile,
}

/// Who meets what.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Entry {
    providers: Vec<usize>,
    /// Provided, and not required yet.
    spare: Vec<usize>,
    /// Required before anybody provided it.
    early: Vec<usize>,
    requires: Vec<Require>,
}

/// Why a candidate takes no part, by its place among the candidates.
pub(super) type Dropped = BTreeMap<usize, String>;

#[derive(Serialize)]
struct Entries<'a> {
    entries: Vec<&'a Require>,
}

/// The candidates that take part, by their places, the plan, whose numbers are places among those, and why others do not.
/// None take part where nothing fits.
pub(super) fn resolve(candidates: &[Candidate]) -> (Vec<usize>, Plan, Dropped) {
    let alternatives: Vec<Vec<&Offer>> =
        candidates.iter().map(|one| std::iter::once(&one.offers.first).chain(&one.offers.or).collect()).collect();
    let mut first_failure = None;
    for choice in choices(&alternatives) {
        let (group, plan, dropped) = try_one(candidates, &choice);
        if !group.is_empty() {
            return (group, plan, dropped);
        }
        first_failure.get_or_insert(dropped);
    }
    (Vec::new(), Plan::default(), first_failure.unwrap_or_default())
}

/// Every way to take one alternative of each, the first ones first.
fn choices<'a>(alternatives: &[Vec<&'a Offer>]) -> Vec<Vec<&'a Offer>> {
    let mut all = vec![Vec::new()];
    for offers in alternatives {
        let longer = all.iter().flat_map(|choice: &Vec<&'a Offer>| {
            offers.iter().map(move |offer| choice.iter().copied().chain([*offer]).collect())
        });
        all = longer.take(MAX_CHOICES).collect();
    }
    all
}

fn try_one(candidates: &[Candidate], choice: &[&Offer]) -> (Vec<usize>, Plan, Dropped) {
    let mut group: Vec<usize> = (0..candidates.len()).collect();
    let mut dropped = Dropped::new();
    loop {
        let entries = matched(&group, choice);
        let early = entries.iter().find_map(|(name, entry)| {
            entry.early.first().map(|who| (*who, format!("it requires {name}, which nothing before it provides")))
        });
        let spare = entries.iter().find_map(|(name, entry)| {
            entry.spare.first().map(|who| (*who, format!("it provides {name}, which nothing requires")))
        });
        let Some((who, why)) = early.or(spare) else {
            let place = |who: &usize| group.iter().position(|one| one == who);
            let placed =
                |entry: Entry| Entry { providers: entry.providers.iter().filter_map(place).collect(), ..entry };
            let plan = Plan { entries: entries.into_values().map(placed).collect() };
            return (group, plan, dropped);
        };
        dropped.insert(who, why);
        if !candidates[who].optional {
            return (Vec::new(), Plan::default(), dropped);
        }
        group.retain(|one| *one != who);
    }
}

fn matched(group: &[usize], choice: &[&Offer]) -> BTreeMap<String, Entry> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for who in group {
        for provide in &choice[*who].provides {
            entries.entry(provide.name.clone()).or_default().spare.push(*who);
        }
        for require in &choice[*who].requires {
            let entry = entries.entry(require.name.clone()).or_default();
            entry.providers.append(&mut entry.spare);
            if entry.providers.is_empty() {
                entry.early.push(*who);
            } else {
                entry.requires.push(require.clone());
            }
        }
    }
    entries
}

impl Plan {
    /// What the buildpack at this place of the group is asked to provide, as it reads it.
    pub(super) fn entries_for(&self, place: usize) -> Result<String, toml::ser::Error> {
        let asked = self.entries.iter().filter(|entry| entry.providers.contains(&place));
        let entries = asked.flat_map(|entry| &entry.requires).collect();
        toml::to_string(&Entries { entries })
    }

    /// The buildpack at this place has built: what it met is nobody else's to meet.
    pub(super) fn met(&mut self, place: usize, unmet: &[String]) {
        for entry in self.entries.iter_mut().filter(|entry| entry.providers.contains(&place)) {
            entry.requires.retain(|require| unmet.contains(&require.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(optional: bool, toml: &str) -> Candidate {
        Candidate { optional, offers: toml::from_str(toml).expect("a plan") }
    }

    const PROVIDES_A: &str = "[[provides]]\nname = 'a'\n";
    const REQUIRES_A: &str = "[[requires]]\nname = 'a'\n[requires.metadata]\nversion = '3'\n";

    fn check(candidates: &[Candidate], expected: &[usize]) -> (Plan, Dropped) {
        let (group, plan, dropped) = resolve(candidates);
        assert_eq!(group, expected, "{dropped:?}");
        (plan, dropped)
    }

    #[test]
    fn a_provider_is_told_what_is_required_of_it_once() {
        let both = [candidate(true, PROVIDES_A), candidate(true, REQUIRES_A)];
        let (mut plan, _) = check(&both, &[0, 1]);
        assert_eq!(
            plan.entries_for(0).expect("TOML"),
            "[[entries]]\nname = \"a\"\n\n[entries.metadata]\nversion = \"3\"\n"
        );
        assert_eq!(plan.entries_for(1).expect("TOML"), "entries = []\n");
        plan.met(0, &["a".to_owned()]);
        assert!(plan.entries_for(0).expect("TOML").contains("version"));
        plan.met(0, &[]);
        assert_eq!(plan.entries_for(0).expect("TOML"), "entries = []\n");
    }

    #[test]
    fn what_nothing_requires_or_provides_leaves_and_takes_along_what_needs_it() {
        let (_, dropped) = check(&[candidate(true, PROVIDES_A), candidate(true, "")], &[1]);
        assert_eq!(dropped[&0], "it provides a, which nothing requires");
        check(&[candidate(true, REQUIRES_A), candidate(true, PROVIDES_A)], &[]);
        let needs_b = "[[provides]]\nname = 'a'\n[[requires]]\nname = 'b'\n";
        check(&[candidate(true, needs_b), candidate(true, REQUIRES_A), candidate(true, "")], &[2]);
    }

    #[test]
    fn one_that_is_not_optional_takes_no_part_in_nothing() {
        let (_, dropped) = check(&[candidate(false, REQUIRES_A), candidate(true, "")], &[]);
        assert_eq!(dropped[&0], "it requires a, which nothing before it provides");
    }

    #[test]
    fn the_first_alternative_that_fits_is_taken() {
        let either = "[[requires]]\nname = 'b'\n[[or]]\n[[or.requires]]\nname = 'a'\n";
        let (plan, _) = check(&[candidate(false, PROVIDES_A), candidate(false, either)], &[0, 1]);
        assert_eq!(plan.entries_for(0).expect("TOML"), "[[entries]]\nname = \"a\"\n");
    }
}
