//! Texts, numbers, booleans, and lists and mappings of texts.

use super::section;
use crate::diagnostic::{Code, Findings, nearest, shown};
use crate::yaml::{Entry, Node, Plain};
use std::ops::RangeInclusive;

/// Text. What YAML readers take for something else must stand in quotes.
pub(crate) fn text<'t>(entry: &'t Entry, findings: &mut Findings) -> Option<&'t str> {
    text_of(&entry.value, &entry.key, Strictness::TextOnly, findings)
}

/// Text, or a number that everyone prints as it is typed.
pub(crate) fn text_or_number<'t>(entry: &'t Entry, findings: &mut Findings) -> Option<&'t str> {
    text_of(&entry.value, &entry.key, Strictness::Numbers, findings)
}

#[derive(Clone, Copy, PartialEq)]
enum Strictness {
    TextOnly,
    Numbers,
    /// Numbers too, and the value is nobody's business.
    Private,
}

fn text_of<'t>(node: &'t Node, name: &str, strictness: Strictness, findings: &mut Findings) -> Option<&'t str> {
    let Some(scalar) = node.scalar() else {
        findings
            .add(Code::WrongType, node.place, format!("{} must be text, but is {}", shown(name), node.described()))
            .with_hint("Write one text after the `:`, in quotes where it holds other signs than letters and digits.");
        return None;
    };
    let plain = scalar.plain();
    let as_typed = match plain {
        Plain::Text => true,
        Plain::Int(number) => strictness != Strictness::TextOnly && number.to_string() == scalar.text,
        Plain::Float(number) => strictness != Strictness::TextOnly && number.to_string() == scalar.text,
        _ => false,
    };
    if as_typed {
        return Some(&scalar.text);
    }
    let private = strictness == Strictness::Private;
    let typed = if private || scalar.text.is_empty() { "this".to_owned() } else { shown(&scalar.text) };
    let message = format!("{} must be text, but {typed} without quotes is {}", shown(name), plain.described());
    let hint = if private || scalar.text.is_empty() {
        "Write the value in quotes.".to_owned()
    } else {
        format!("Write it in quotes: `\"{}\"`.", scalar.text.chars().take(40).collect::<String>())
    };
    findings.add(Code::NeedsQuotes, node.place, message).with_hint(hint);
    None
}

/// A whole number in a range. Quoted digits and `1_000` are accepted with a note: they are valid today.
pub(crate) fn whole(entry: &Entry, range: RangeInclusive<i64>, findings: &mut Findings) -> Option<i64> {
    let (node, name) = (&entry.value, shown(&entry.key));
    let Some(scalar) = node.scalar() else {
        findings.add(
            Code::WrongType,
            node.place,
            format!("{name} must be a whole number, but is {}", node.described()),
        );
        return None;
    };
    let (number, loose) = match scalar.plain() {
        Plain::Int(number) => (Some(number), false),
        Plain::OldInt(number) => (Some(number), true),
        Plain::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => (Some(number as i64), true),
        Plain::Text => (scalar.text.trim().parse().ok(), true),
        _ => (None, false),
    };
    let Some(number) = number else {
        let message = format!("{name} must be a whole number, but is {}", shown(&scalar.text));
        let hint = match scalar.text.trim_start_matches('0').parse::<i64>() {
            Ok(bare) => format!("Write `{bare}`: with a 0 in front it is not the same number to every program."),
            Err(_) => format!("Write a number from {} to {}.", range.start(), range.end()),
        };
        findings.add(Code::WrongType, node.place, message).with_hint(hint);
        return None;
    };
    if !range.contains(&number) {
        let message = format!("{name} must be from {} to {}, but is {number}", range.start(), range.end());
        findings.add(Code::OutOfRange, node.place, message).with_hint("Use a number in that range.");
        return None;
    }
    if loose {
        findings
            .add(Code::LooseType, node.place, format!("{name} is read as the number {number}"))
            .with_hint(format!("Write `{}: {number}`.", entry.key));
    }
    Some(number)
}

/// A boolean. `yes`, `on`, `"true"` and 1 are accepted with a note: they are valid today.
pub(crate) fn boolean(entry: &Entry, findings: &mut Findings) -> Option<bool> {
    let (node, name) = (&entry.value, shown(&entry.key));
    let scalar = node.scalar();
    let loose = scalar.and_then(|s| match (s.plain(), s.text.to_ascii_lowercase().as_str()) {
        (Plain::OldBool(value), _) => Some(value),
        (Plain::Int(1), _) | (Plain::Text, "true" | "yes" | "on" | "1" | "y" | "t") => Some(true),
        (Plain::Int(0), _) | (Plain::Text, "false" | "no" | "off" | "0" | "n" | "f") => Some(false),
        _ => None,
    });
    match (scalar.map(|s| s.plain()), loose) {
        (Some(Plain::Bool(value)), _) => Some(value),
        (_, Some(value)) => {
            findings
                .add(Code::LooseType, node.place, format!("{name} is read as {value}"))
                .with_hint(format!("Write `{}: {value}`.", entry.key));
            Some(value)
        }
        _ => {
            findings.add(
                Code::WrongType,
                node.place,
                format!("{name} must be true or false, but is {}", node.described()),
            );
            None
        }
    }
}

/// One of some words. `aliases` are words of similar systems and what they are called here.
pub(crate) fn one_of<'w>(
    entry: &Entry,
    words: &[&'w str],
    aliases: &[(&str, &'w str)],
    findings: &mut Findings,
) -> Option<&'w str> {
    // A plain `none`, `all` or `web` is text; whatever is not text is told by `text`.
    let written = text(entry, findings)?;
    if let Some(word) = words.iter().find(|word| **word == written) {
        return Some(word);
    }
    let folded = written.to_lowercase().replace(['_', ' '], "-");
    let meant = words.iter().find(|word| **word == folded).copied();
    let meant = meant.or_else(|| aliases.iter().find(|(alias, _)| *alias == folded).map(|(_, word)| *word));
    let meant = meant.or_else(|| nearest(written, words.iter().copied()));
    let message = format!("{} must be one of {}, but is {}", shown(&entry.key), words.join(", "), shown(written));
    let finding = findings.add(Code::UnknownValue, entry.value.place, message);
    finding.with_hint(
        meant.map_or_else(|| "Use one of these words.".to_owned(), |word| format!("Write `{}: {word}`.", entry.key)),
    );
    None
}

/// A list of texts, or one text where a list of one is meant. Bad items are told and left out.
pub(crate) fn texts<'t>(entry: &'t Entry, max: usize, findings: &mut Findings) -> Vec<(&'t str, &'t Node)> {
    let one = std::slice::from_ref(&entry.value);
    let items = match entry.value.sequence() {
        Some(items) => items,
        None if entry.value.scalar().is_some() => one,
        None => {
            let message = format!("{} must be a list of texts, but is {}", shown(&entry.key), entry.value.described());
            findings.add(Code::WrongType, entry.value.place, message).with_hint("Write one `- item` a line.");
            return Vec::new();
        }
    };
    if let Some(beyond) = items.get(max) {
        let message = format!("{} has {} entries; at most {max} are allowed", shown(&entry.key), items.len());
        findings.add(Code::TooMany, beyond.place, message);
    }
    items
        .iter()
        .take(max)
        .filter_map(|item| Some((text_of(item, &entry.key, Strictness::TextOnly, findings)?, item)))
        .collect()
}

/// A mapping of names to texts or plain numbers; values are never shown. Bad entries are told and left out.
pub(crate) fn text_map<'t>(entry: &'t Entry, max: usize, findings: &mut Findings) -> Vec<(&'t Entry, &'t str)> {
    let Some(mapping) = entry.value.mapping() else {
        let message =
            format!("{} must be a mapping of names to values, but is {}", shown(&entry.key), entry.value.described());
        findings.add(Code::WrongType, entry.value.place, message).with_hint("Write one `NAME: value` a line.");
        return Vec::new();
    };
    section::duplicates(mapping, findings);
    if let Some(beyond) = mapping.entries.get(max) {
        let message = format!("{} has {} entries; at most {max} are allowed", shown(&entry.key), mapping.entries.len());
        findings.add(Code::TooMany, beyond.key_place, message);
    }
    mapping
        .entries
        .iter()
        .take(max)
        .filter_map(|item| Some((item, text_of(&item.value, &item.key, Strictness::Private, findings)?)))
        .collect()
}
