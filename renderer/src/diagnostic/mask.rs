//! Hides values in excerpts. Works on the text alone, because an excerpt is also printed of a file that is no YAML;
//! it would rather hide too much than too little.

use super::Place;
use super::text::lines;
use crate::credentials::{self, is_secret_name};

const MASK: &str = "***";
/// Mappings and lists whose values are nobody's business.
const HIDDEN_BLOCKS: &[&str] = &["env", "envvars", "environment", "secrets", "credentials", "values"];

/// A line fit to be shown, and what of it is meant.
pub(super) struct Masked {
    /// The line, with `***` for what must not be shown.
    pub text: String,
    /// Where the caret stands, in characters from 0.
    pub caret: usize,
    /// How many characters it underlines.
    pub width: usize,
}

/// The line of a place.
#[must_use]
pub(super) fn line(source: &str, place: Place) -> Option<Masked> {
    let mut hidden_under: Option<usize> = None;
    for (at, line) in lines(source).enumerate() {
        let indent = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
        let closes = line.trim_start().starts_with(['}', ']']);
        if !line.trim().is_empty() && !closes && hidden_under.is_some_and(|under| indent <= under) {
            hidden_under = None;
        }
        if at + 1 == place.line as usize {
            return Some(masked(line, hidden_under.is_some(), place));
        }
        if hidden_under.is_none() && opens_hidden(line).is_some() {
            hidden_under = Some(indent);
        }
    }
    None
}

fn masked(line: &str, is_hidden: bool, place: Place) -> Masked {
    let text = match credentials::token(line) {
        _ if is_hidden => after_colon(line),
        Some(found) => hide_from(line, found.at),
        None => by_key(line),
    };
    let caret = (place.column as usize).saturating_sub(1);
    let hidden_from = (text != line).then(|| text.chars().count() - MASK.len());
    // What is hidden is pointed at as a whole: its inner places are as secret as its text.
    let (caret, end) = match hidden_from {
        Some(from) if caret >= from => (from, usize::MAX),
        _ => (caret, caret.saturating_add(place.width as usize)),
    };
    let shown = |end: usize| without_userinfo(&text.chars().take(end).collect::<String>()).chars().count();
    let (start, text) = (shown(caret), without_userinfo(&text));
    Masked { caret: start, width: shown(end).saturating_sub(start).max(1), text }
}

/// Where on the line a hidden block's value begins.
fn opens_hidden(line: &str) -> Option<usize> {
    keys(line).find_map(|(name, after)| HIDDEN_BLOCKS.contains(&name).then_some(after))
}

/// The keys of a line, each with the offset after its colon.
fn keys(line: &str) -> impl Iterator<Item = (&str, usize)> {
    line.match_indices(':').map(|(at, _)| {
        let name = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let from = name
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |i| i + name[i..].chars().next().map_or(1, char::len_utf8));
        (&name[from..], at + 1)
    })
}

fn by_key(line: &str) -> String {
    let hide =
        keys(line).find_map(|(name, after)| (HIDDEN_BLOCKS.contains(&name) || is_secret_name(name)).then_some(after));
    hide.map_or_else(|| line.to_owned(), |at| hide_from(line, at))
}

/// Inside a hidden block: keys may be read, values not.
fn after_colon(line: &str) -> String {
    match line.find(':') {
        Some(at) => hide_from(line, at + 1),
        None => hide_from(line, line.len() - line.trim_start_matches([' ', '\t', '-']).len()),
    }
}

fn hide_from(line: &str, at: usize) -> String {
    let value = line[at..].trim();
    if value.is_empty() || value == "{" || value == "[" || value == "}" || value == "]" {
        return line.to_owned();
    }
    let gap = line[at..].len() - line[at..].trim_start().len();
    format!("{}{MASK}", &line[..at + gap])
}

/// A text with `***` for what in it is a credential by how it looks.
pub(super) fn without_credentials(text: &str) -> String {
    without_userinfo(&credentials::without_tokens(text))
}

/// `https://user:password@host` never shows what stands before the `@`, nor does `user:password@host`; the last one, for a
/// password may hold `/`, `@` and quotes, and a hidden path is no loss.
fn without_userinfo(line: &str) -> String {
    let mut out = String::new();
    for word in line.split_inclusive(char::is_whitespace) {
        // What is looked through is never looked at again: a line of `://` alone takes no time.
        let hidden = match word.find("://") {
            Some(at) => word[at + 3..].rfind('@').map(|user| (at + 3, at + 3 + user)),
            None => of_bare_host(word),
        };
        let (from, to) = hidden.unwrap_or_default();
        out.push_str(&word[..from]);
        out.push_str(if hidden.is_some() { MASK } else { "" });
        out.push_str(&word[to..]);
    }
    out
}

/// From where to where `user:password` stands, as people write it before a registry. A digest's `@` is none of theirs.
fn of_bare_host(word: &str) -> Option<(usize, usize)> {
    let is_host = |at: usize| {
        let host = &word[at + 1..];
        let digest = host.strip_prefix("sha").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        !digest && host.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    let at = word.rmatch_indices('@').map(|(at, _)| at).find(|at| is_host(*at))?;
    let from = word.find(|c: char| !"\"'`({[<,-".contains(c))?;
    let (_, password) = word.get(from..at)?.split_once(':')?;
    (!password.is_empty()).then_some((from, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_environments_and_secrets_are_never_shown() {
        let text = "env:\n  A: canary\n  B: |\n    canary\ncomponents:\n  web:\n    env: {C: canary}\n    secrets:\n      - canary\n    run:\n      command: x\n      db_password: canary\n      repository: https://me:canary@example.org/x\n  b: {run: {env: {Q: canary}}}\n";
        let shown = |number: usize| {
            let place = Place { line: u32::try_from(number).unwrap_or(0), column: 1, width: 1 };
            line(text, place).map(|line| line.text).unwrap_or_default()
        };
        for number in 1..=lines(text).count() {
            assert!(!shown(number).contains("canary"), "{number}: {}", shown(number));
        }
        assert_eq!(shown(11), "      command: x");
        assert_eq!(shown(2), "  A: ***");
        assert_eq!(shown(13), "      repository: https://***@example.org/x");
    }

    #[test]
    fn a_password_may_hold_what_ends_a_host() {
        for (url, masked) in [
            ("https://me:can/ary@h/x", "https://***@h/x"),
            ("a https://me:can@a/ry@h, b", "a https://***@h, b"),
            ("'https://me:can\"a'ry?#@h'", "'https://***@h'"),
            ("https://a:x@h/ https://b:y/z@h/", "https://***@h/ https://***@h/"),
            ("https://h/x", "https://h/x"),
            ("me@h https://h/x me@h", "me@h https://h/x me@h"),
            ("image: me:canary@h/x:1", "image: ***@h/x:1"),
            ("{a: \"me:can@a/ry@h:5000/x\"}", "{a: \"***@h:5000/x\"}"),
            ("me:canary@h/x@sha256:12", "***@h/x@sha256:12"),
            ("h:5000/x:tag@sha256:12", "h:5000/x:tag@sha256:12"),
            ("- git@h:x/y", "- git@h:x/y"),
            ("a: @b me: x@h", "a: @b me: x@h"),
        ] {
            assert_eq!(without_userinfo(url), masked);
        }
        for long in ["://".repeat(300_000), "a:@".repeat(300_000), "a@sha1".repeat(300_000)] {
            assert!(without_userinfo(&long).len() <= long.len());
        }
    }

    #[test]
    fn a_hidden_part_does_not_move_the_caret() {
        let text = "{a: https://me:pw@h/, b: here}";
        let place = Place { line: 1, column: 26, width: 4 };
        let line = line(text, place).expect("a line");
        let under: String = line.text.chars().skip(line.caret).take(line.width).collect();
        assert_eq!(under, "here");
    }
}
