//! Canaries, and the search for them: one in each channel of a secret, looked for in every form that it may take.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::fmt::Write as _;

/// Pieces of base64 or of a half that are shorter could be anything.
const LEAST: usize = 7;

/// What is looked for, by the channel it was planted in.
#[derive(Default)]
pub struct Searcher(Vec<(&'static str, Vec<String>)>);

impl Searcher {
    /// A canary sits there.
    pub fn plant(&mut self, channel: &'static str, value: &str) {
        self.0.push((channel, forms(value)));
    }

    /// The channels of which a text gives something away, with what of it.
    pub fn found(&self, text: &str) -> Vec<String> {
        // A value that goes over several lines, in a text or in the escapes of JSON or of Debug, is a value.
        let joined: String = text
            .replace("\\n", "")
            .replace("\\\"", "\"")
            .chars()
            .filter(|c| !matches!(c, '\n' | '\r' | '\\'))
            .collect();
        let given = |(channel, forms): &(&'static str, Vec<String>)| {
            let form = forms.iter().find(|form| text.contains(*form) || joined.contains(*form))?;
            Some(format!("{channel}, as {form}"))
        };
        self.0.iter().filter_map(given).collect()
    }
}

/// As it is, in halves, backwards, as hexadecimal digits, URL-encoded, as JSON and Debug write it, and in base64 at each of
/// its alignments.
fn forms(value: &str) -> Vec<String> {
    let (front, back) = value.split_at(value.len() / 2);
    let mut forms = vec![value.to_owned(), value.chars().rev().collect(), front.to_owned(), back.to_owned()];
    forms.extend(said(value));
    let debug = format!("{value:?}");
    forms.push(debug[1..debug.len() - 1].to_owned());
    for shift in 0..3 {
        for engine in [&STANDARD, &URL_SAFE] {
            let text = engine.encode([&vec![0; shift], value.as_bytes()].concat());
            let whole = text.trim_end_matches('=').len() - usize::from(!(shift + value.len()).is_multiple_of(3));
            forms.push(text[(shift * 8).div_ceil(6)..whole].to_owned());
        }
    }
    for upper in [false, true] {
        let mut hex = String::new();
        for byte in value.bytes() {
            let written = if upper { write!(hex, "{byte:02X}") } else { write!(hex, "{byte:02x}") };
            written.expect("into a string");
        }
        forms.push(hex);
    }
    assert!(forms.iter().all(|form| form.len() >= LEAST), "too short a canary: {value}");
    forms
}

/// The forms in which a program is likely to print it by mistake.
pub fn said(value: &str) -> [String; 4] {
    let url: String = value
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let json = serde_json::Value::from(value).to_string();
    [value.to_owned(), STANDARD.encode(value), url.replace("%20", "+"), json[1..json.len() - 1].to_owned()]
}

#[test]
fn every_form_of_a_canary_is_found_and_nothing_else() {
    let mut searcher = Searcher::default();
    searcher.plant("here", "canary/4711 \"+x");
    for text in [
        "a canary/4711 \"+x b",
        "{\"a\": \"canary/4711 \\\"+x\"}",
        "canary\n/4711 \"+x",
        "canary/4711\\n \\\"+x",
        "x+\" 1174/yranac",
        "canary%2F4711+%22%2Bx",
        "63616e6172792f3437313120222b78",
        "63616E6172792F3437313120222B78",
    ] {
        assert_eq!(searcher.found(text).len(), 1, "{text}");
    }
    for before in ["", "u", "u:"] {
        for engine in [&STANDARD, &URL_SAFE] {
            let text = engine.encode(format!("{before}canary/4711 \"+x and more"));
            assert_eq!(searcher.found(&text).len(), 1, "{text}");
        }
    }
    assert_eq!(searcher.found("a canary 4712 in a coal mine: ***"), Vec::<String>::new());
}
