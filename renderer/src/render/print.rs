//! Objects as YAML, one way only: fields in the order people expect, everything else sorted, and no text that a reader
//! of YAML 1.1 (the API server is one) takes for something else.
//!
//! Printed here and not by a serializer, because the bytes are a promise: goldens and hashes compare them. A text
//! stands plain only where no reader could see anything but text in it; else it is quoted as in JSON, and a text of
//! several lines is a literal block.

use crate::diagnostic::steers;
use crate::object::Object;
use serde_json::{Map, Value};
use std::fmt::Write;

/// All objects, separated by `---`, each ending in a newline.
#[must_use]
pub fn to_yaml(objects: &[Object]) -> String {
    let documents: Vec<String> = objects.iter().map(|object| document(&object.value)).collect();
    documents.join("---\n")
}

fn document(value: &Value) -> String {
    let mut out = String::new();
    entry(&mut out, value, 0);
    out.trim_start_matches([' ', '\n']).to_owned()
}

/// Fields that come first, in this order; the others follow in name order.
const FIRST: [&str; 7] = ["apiVersion", "kind", "metadata", "name", "namespace", "image", "spec"];

fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let place = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut fields: Vec<_> = map.iter().collect();
    fields.sort_by_key(|(key, _)| (place(key), key.as_str()));
    fields
}

/// What follows `key:` or `-`, with its newline.
fn entry(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            for (key, value) in ordered(map) {
                field(out, key, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                element(out, item, indent);
            }
        }
        Value::String(text) => block_or_text(out, text, indent),
        Value::Object(_) => out.push_str(" {}\n"),
        // Null, booleans, numbers and the empty list are the same in JSON.
        other => drop(writeln!(out, " {other}")),
    }
}

fn field(out: &mut String, key: &str, value: &Value, indent: usize) {
    out.push_str(&" ".repeat(indent));
    out.push_str(&text(key));
    out.push(':');
    // A list stands under its key without further indent, as kubectl prints it.
    let inner = if value.is_array() { indent } else { indent + 2 };
    entry(out, value, inner);
}

fn element(out: &mut String, item: &Value, indent: usize) {
    let mut inner = String::new();
    entry(&mut inner, item, indent + 2);
    out.push_str(&" ".repeat(indent));
    out.push('-');
    let nested = inner.strip_prefix('\n').map(str::trim_start);
    match nested {
        Some(nested) => {
            out.push(' ');
            out.push_str(nested);
        }
        None => out.push_str(&inner),
    }
}

fn block_or_text(out: &mut String, value: &str, indent: usize) {
    if !fits_a_block(value) {
        out.push(' ');
        out.push_str(&text(value));
        out.push('\n');
        return;
    }
    out.push_str(if value.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Several lines of printable text that neither start nor end with blank space, which a block would need words for.
fn fits_a_block(value: &str) -> bool {
    let body = value.strip_suffix('\n').unwrap_or(value);
    body.contains('\n')
        && !body.starts_with(char::is_whitespace)
        && !body.ends_with(char::is_whitespace)
        && body.chars().all(|c| c == '\n' || is_printable(c))
}

fn is_printable(c: char) -> bool {
    !steers(c)
        && matches!(c, ' '..='~' | '\u{a1}'..='\u{2027}' | '\u{2030}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

fn text(value: &str) -> String {
    if is_plain(value) { value.to_owned() } else { quoted(value) }
}

/// Words that YAML 1.1 reads as a boolean or nothing, in lower case.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Units that may follow a number without making another number of it, to any reader.
const UNITS: [&str; 14] = ["m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "s", "h", "d"];

fn is_plain(value: &str) -> bool {
    is_plain_text(value) || is_plain_amount(value)
}

/// Starts with a letter or a path and goes on with letters, digits and marks that mean nothing to YAML. A number, a
/// date, `.inf` or an indicator starts otherwise.
fn is_plain_text(value: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-./@+=%~,".contains(c);
    let chars: Vec<char> = value.chars().collect();
    // A colon or a blank is plain where text follows it at once, and no comment starts.
    let joint = |i: usize| match chars[i] {
        ':' => chars.get(i + 1).is_some_and(|c| inside(*c)),
        ' ' => chars.get(i + 1).is_some_and(char::is_ascii_alphanumeric),
        c => inside(c),
    };
    let start = value.strip_prefix('.').unwrap_or(value);
    (start.starts_with('/') || value.starts_with(|c: char| c.is_ascii_alphabetic()))
        && (0..chars.len()).all(joint)
        && !WORDS.contains(&value.to_ascii_lowercase().as_str())
}

/// `512Mi`, `1.5Gi`, `1h`.
fn is_plain_amount(value: &str) -> bool {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_number = number.split_once('.').map_or_else(|| digits(number), |(a, b)| digits(a) && digits(b));
    is_number && UNITS.contains(&unit)
}

/// As a JSON string, with everything escaped that is not plainly printable.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            // What is not printable has at most 16 bits. Writing to a String can't fail.
            c => drop(write!(out, "\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}
