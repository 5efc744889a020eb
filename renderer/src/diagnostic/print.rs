//! Findings as a person reads them: place, message, the line with a caret, a hint.

use super::text::{on_one_line as escaped, push_escaped};
use super::{Diagnostic, Place, Report, Severity};
use std::fmt::Write;

/// Characters of a source line an excerpt shows.
const WINDOW: usize = 100;

/// How a piece of text is coloured: with the parameters of a terminal's SGR command, `1;31`.
pub type Dye<'a> = &'a dyn Fn(&str, &str) -> String;

/// The whole report, one block a finding. `sources` are the texts by file name; a missing one costs the excerpt only.
#[must_use]
pub fn print(report: &Report, sources: &[(&str, &[u8])], colour: bool) -> String {
    if colour {
        print_dyed(report, sources, &|code, text| format!("\u{1b}[{code}m{text}\u{1b}[0m"))
    } else {
        print_dyed(report, sources, &|_, text| text.to_owned())
    }
}

/// Like [`print`], for whoever colours text in a way of their own.
#[must_use]
pub fn print_dyed(report: &Report, sources: &[(&str, &[u8])], dye: Dye<'_>) -> String {
    let mut out = String::new();
    for diagnostic in &report.diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        let source =
            sources.iter().find(|(file, _)| *file == diagnostic.file).map(|(_, bytes)| String::from_utf8_lossy(bytes));
        block(&mut out, diagnostic, source.as_deref(), dye);
    }
    out
}

fn block(out: &mut String, d: &Diagnostic, source: Option<&str>, dye: Dye<'_>) {
    let (word, code) = match d.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Note => ("note", "1;36"),
    };
    let head = dye(code, &format!("{word}[{}]", d.code));
    let _ = writeln!(out, "{head}: {}", escaped(&d.message));
    let _ = match d.place {
        Some(place) => {
            writeln!(out, "  {} {}:{}:{}", dye("34", "-->"), escaped(&d.file), place.line, place.column)
        }
        None => writeln!(out, "  {} {}", dye("34", "-->"), escaped(&d.file)),
    };
    if let (Some(place), Some(source)) = (d.place, source) {
        excerpt(out, source, place, dye, code);
    }
    if let Some(hint) = &d.hint {
        let _ = writeln!(out, "  {} {}", dye("1;32", "hint:"), escaped(hint));
    }
}

fn excerpt(out: &mut String, source: &str, place: Place, dye: Dye<'_>, code: &str) {
    let Some(line) = super::mask::line(source, place) else {
        return;
    };
    let cut = Cut::around(&line.text, line.caret, line.width);
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = dye("34", "|");
    let _ = writeln!(out, "{margin} {bar}");
    let _ = writeln!(out, "{} {bar} {}", dye("34", &number), cut.text);
    let carets = dye(code, &"^".repeat(cut.width));
    let _ = writeln!(out, "{margin} {bar} {}{carets}", " ".repeat(cut.start));
}

/// Columns of a terminal that a text takes: East Asian signs and emoji take two, marks above others none.
fn cells(text: &str) -> usize {
    let width = |c: char| match u32::from(c) {
        0x300..=0x36f | 0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

/// A window of one line: its text, and where in it the caret stands.
struct Cut {
    text: String,
    start: usize,
    width: usize,
}

impl Cut {
    /// `caret` counts characters from 0.
    fn around(line: &str, caret: usize, width: usize) -> Self {
        let length = line.chars().count();
        let caret = caret.min(length);
        let from = if length <= WINDOW { 0 } else { caret.saturating_sub(WINDOW / 3) };
        let to = (from + WINDOW).min(length);
        let mut text = String::from(if from > 0 { "..." } else { "" });
        let (mut start, mut end) = (0, None);
        for (at, c) in line.chars().enumerate().skip(from).take(to - from) {
            if at == caret {
                start = cells(&text);
            }
            if at == caret + width {
                end = Some(cells(&text));
            }
            push_escaped(&mut text, if c == '\t' { ' ' } else { c });
        }
        let shown = cells(&text);
        if caret >= to {
            start = shown;
        }
        if to < length {
            text.push_str("...");
        }
        let end = end.unwrap_or(shown);
        Self { text, start, width: end.saturating_sub(start).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}here{}", "a".repeat(5_000), "b".repeat(5_000));
        let cut = Cut::around(&line, 5_000, 4);
        assert!(cut.text.chars().count() <= WINDOW + 6);
        let under: String = cut.text.chars().skip(cut.start).take(cut.width).collect();
        assert_eq!(under, "here");
    }

    #[test]
    fn wide_characters_move_the_caret_by_two() {
        let cut = Cut::around("name: \u{540d}\u{524d} x", 9, 1);
        assert_eq!((cut.start, cut.width), (11, 1));
    }

    #[test]
    fn control_characters_do_not_move_the_caret() {
        let cut = Cut::around("a\u{1b}b", 2, 1);
        let under: String = cut.text.chars().skip(cut.start).take(cut.width).collect();
        assert_eq!((cut.text.as_str(), under.as_str()), ("a\\u{1b}b", "b"));
    }
}
