//! One mapping whose keys are known.

use crate::diagnostic::{Code, Findings, MAX_LISTED, Place, nearest, shown};
use crate::yaml::{Entry, Mapping, Node};

/// What may stand in one mapping.
pub(crate) struct Level {
    /// As messages name it: "`run`".
    pub title: &'static str,
    /// Its keys.
    pub keys: Vec<&'static str>,
    /// What to say of a key that is none of them, before spelling is considered.
    pub advise: fn(&str) -> Option<Advice>,
    /// How it is written, for who wrote something else; empty where its keys say enough.
    pub example: &'static str,
    /// Unknown keys are noted, not refused.
    pub lenient: bool,
}

/// What a person may have meant by a key.
pub(crate) struct Advice {
    pub code: Code,
    pub hint: String,
    /// The key it means, if it means one, here or elsewhere: that key is not missed as well.
    pub meant: Option<&'static str>,
    /// The key that holds it, if it stands elsewhere: who wrote `command` beside `run` has not forgotten `run`.
    pub within: Option<&'static str>,
}

/// A mapping, opened: its unknown and duplicate keys are told, its known ones can be taken.
pub(crate) struct Section<'t> {
    mapping: &'t Mapping,
    at: Place,
    title: &'static str,
    /// Keys that stand here under another name, and keys that should stand elsewhere.
    meant: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// `at` is the place of the key that owns the mapping.
    pub fn open(node: &'t Node, at: Place, level: &Level, findings: &mut Findings) -> Option<Self> {
        let Some(mapping) = node.mapping() else {
            let message = format!("{} must be a mapping of keys to values, but is {}", level.title, node.described());
            let hint = match level.example {
                "" => format!("Indent its keys below it: {}.", listed(&level.keys)),
                example => format!("Write it like `{example}`."),
            };
            let place = if node.is_null() { at } else { node.place };
            findings.add(Code::WrongType, place, message).with_hint(hint);
            return None;
        };
        duplicates(mapping, findings);
        let strange = |entry: &&Entry| !level.keys.contains(&entry.key.as_str()) && !entry.key.starts_with("x-");
        // As many as a report lists; a file with more of them is no better known by the rest.
        let first = mapping.entries.iter().filter(strange).take(MAX_LISTED + 1);
        let meant = first.flat_map(|entry| unknown(entry, level, findings)).flatten().collect();
        Some(Self { mapping, at, title: level.title, meant })
    }

    /// What was found in another mapping and means keys of this one is not missed here.
    pub fn beside(mut self, other: &Self) -> Self {
        self.meant.extend(&other.meant);
        self
    }

    /// The entry of a key; none where it is absent or null, which means the same.
    pub fn get(&self, key: &str) -> Option<&'t Entry> {
        self.mapping.get(key).filter(|entry| !entry.value.is_null())
    }

    /// A key that means this one stands here, or this one where it has no place: that has been told, so what follows from
    /// it is not told as well.
    pub fn means(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    /// The entry of a key that must be there; where it stands under another name, that has been told.
    pub fn required(&self, key: &'static str, findings: &mut Findings) -> Option<&'t Entry> {
        let found = self.get(key);
        if found.is_none() && !self.means(key) {
            let place = self.mapping.get(key).map_or(self.at, |entry| entry.key_place);
            findings
                .add(Code::MissingKey, place, format!("{} has no `{key}`", self.title))
                .with_hint(format!("Add `{key}:` to it."));
        }
        found
    }

    /// Keys that have a value, in file order.
    pub fn entries(&self) -> impl Iterator<Item = &'t Entry> {
        self.mapping.entries.iter().filter(|entry| !entry.value.is_null())
    }

    /// Where its owner stands.
    pub fn place(&self) -> Place {
        self.at
    }
}

/// Tells keys that stand twice in one mapping.
pub(super) fn duplicates(mapping: &Mapping, findings: &mut Findings) {
    for (key, first, second) in &mapping.duplicates {
        let message = format!(
            "the key {} stands here again; the first is on line {}, column {}",
            shown(key),
            first.line,
            first.column
        );
        findings
            .add(Code::DuplicateKey, *second, message)
            .with_hint("Remove one of the two; YAML readers silently take the last.");
    }
}

/// Tells an unknown key, and answers with the key it means and the one that holds it.
fn unknown(entry: &Entry, level: &Level, findings: &mut Findings) -> [Option<&'static str>; 2] {
    let message = format!("{} has no key {}", level.title, shown(&entry.key));
    // No key is longer; the rest of a longer one tells nothing.
    let key = entry.key.char_indices().nth(64).map_or(entry.key.as_str(), |(end, _)| &entry.key[..end]);
    let advice = same_but_spelling(key, level).or_else(|| (level.advise)(key)).unwrap_or_else(|| typo(key, level));
    let code = if level.lenient { Code::IgnoredKey } else { advice.code };
    findings.add(code, entry.key_place, message).with_hint(advice.hint);
    [advice.meant, advice.within]
}

fn typo(key: &str, level: &Level) -> Advice {
    let meant =
        nearest(key, level.keys.iter().copied()).and_then(|near| level.keys.iter().find(|k| **k == near)).copied();
    let hint =
        meant.map_or_else(|| format!("Its keys are {}.", listed(&level.keys)), |key| format!("Did you mean `{key}`?"));
    Advice { code: Code::UnknownKey, hint, meant, within: None }
}

/// `Health-Check-HTTP` is `health_check_http`.
fn same_but_spelling(key: &str, level: &Level) -> Option<Advice> {
    let folded = key.to_lowercase().replace(['-', ' '], "_");
    let known = level.keys.iter().find(|known| **known == folded)?;
    let hint = format!("Write it as `{known}`.");
    Some(Advice { code: Code::UnknownKey, hint, meant: Some(known), within: None })
}

fn listed(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}
