//! Regular expressions that Go and Rust read alike.
//!
//! The server matches with Go's RE2, we with Rust's `regex`. They share an ancestor and differ in corners: `\d`, `\w`,
//! `\s` and `\b` are ASCII there and Unicode here; classes have set operations here; flags, named groups and some escapes
//! differ. A pattern that stays out of the corners means the same to both, and any other is refused, with what to write
//! instead. It must be written out in the rule, so that it can be looked at.

use crate::problem::Refusal;
use cel::common::types::{CelBool, CelString};
use cel::{DeclarationError, Env, ExecutionError};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Go counts no further.
const MOST_TIMES: u64 = 1000;
/// Escapes that stand for the character itself in both.
const LITERAL: &str = r"\.+*?()|[]{}^$-/";

/// Every pattern that was asked for: those of the rules, and no others.
static COMPILED: RwLock<BTreeMap<String, Regex>> = RwLock::new(BTreeMap::new());

/// Declares `matches`.
pub(crate) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_member_overload!(env, fn matches: (CelString, CelString) -> Result<CelBool>, name = "matches")
}

fn matches(this: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let (this, pattern) = (this.inner(), pattern.inner());
    if let Some(known) = COMPILED.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(known.is_match(this).into());
    }
    let compiled = Regex::new(pattern).map_err(|error| ExecutionError::function_error("matches", error.to_string()))?;
    let found = compiled.is_match(this);
    COMPILED.write().unwrap_or_else(PoisonError::into_inner).insert(pattern.to_owned(), compiled);
    Ok(found.into())
}

/// Refuses a pattern that the two could read differently, or that neither can read.
pub(crate) fn check(pattern: &str) -> Result<(), Refusal> {
    let mut rest = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(escaped) if LITERAL.contains(escaped) => {}
                escaped => return Err(escape(escaped)),
            },
            '[' if in_class => return Err(refused("a class within a class", "Write the characters out.")),
            '[' => {
                in_class = true;
                rest.next_if_eq(&'^');
                if rest.peek() == Some(&']') {
                    return Err(refused("a `]` at the beginning of a class", "Write `\\]`."));
                }
            }
            ']' => in_class = false,
            '*' | '+' | '?' | '}' if !in_class => {
                // One `?` makes a repetition lazy; Go takes nothing else behind it.
                rest.next_if_eq(&'?');
                if rest.peek().is_some_and(|next| "*+?{".contains(*next)) {
                    return Err(refused("a repetition of a repetition", "Put the first one in `(?:...)`."));
                }
            }
            '{' if !in_class => {
                let count: String = rest.clone().take_while(|next| *next != '}').collect();
                if count.split(',').any(|number| number.parse().is_ok_and(|number: u64| number > MOST_TIMES)) {
                    return Err(refused("a repetition of more than 1000 times", "Write a bound that is smaller."));
                }
            }
            '&' | '~' | '-' if in_class && rest.peek() == Some(&c) => {
                return Err(refused("a set operation in a class", "Write the characters out."));
            }
            '(' if !in_class && rest.peek() == Some(&'?') => {
                let after: String = rest.clone().take(2).collect();
                if after != "?:" {
                    return Err(refused("a flag or a named group", "Write `(?:...)` or `(...)`."));
                }
            }
            c if !c.is_ascii() => return Err(refused("a character that is not ASCII", "Compare such a text by `==`.")),
            _ => {}
        }
    }
    Regex::new(pattern).map(drop).map_err(|error| {
        let said = error.to_string().lines().last().unwrap_or_default().to_owned();
        Refusal::new(format!("`{pattern}` is no pattern: {said}"), "Correct the pattern.")
    })
}

fn escape(escaped: Option<char>) -> Refusal {
    let instead = match escaped {
        Some('d') => "Write `[0-9]`.",
        Some('w') => "Write `[0-9A-Za-z_]`.",
        Some('s') => "Write `[ \\t\\n\\f\\r]` as characters.",
        Some('b') => "Write what may stand before and after.",
        _ => "Write the characters out.",
    };
    let what = escaped.map_or("a backslash at the end".to_owned(), |c| format!("`\\{c}`"));
    refused(&what, instead)
}

fn refused(what: &str, hint: &str) -> Refusal {
    Refusal::new(format!("the pattern has {what}, which the API server may read differently from us"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patterns_that_mean_the_same_to_both_engines_are_taken() {
        for good in [
            r"^[a-z0-9._:/-]+(:[A-Za-z0-9._-]+)?@sha256:[0-9a-f]{64}$",
            r"^(?:a|b)\.c$",
            r"[^0-9]+\-\/",
            "a+?b??c{2,3}?",
            "(?:a+)*",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            r"\d+",
            r"\w",
            r"\bx",
            r"\pL",
            r"\x41",
            r"a\",
            "(?i)a",
            "(?P<x>a)",
            "[a-z&&[^b]]",
            "[[:alpha:]]",
            "[a--b]",
            "é",
            "(a",
            "a{2,1}",
            "a**",
            "a+?*",
            "a{2}{3}",
            "a{1001}",
            "a{1,2000}",
            "[]&&a]",
            "[^]a]",
            "[b",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
