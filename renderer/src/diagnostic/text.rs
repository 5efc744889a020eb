//! Texts of strangers, made fit to print; and the nearest of several words.

/// The lines of a text as YAML counts them: ended by LF, CR LF or CR.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let skip = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + skip..]);
        Some(&text[..end])
    })
}

/// A text as messages quote it: in backticks, cut after 40 characters, control characters escaped, and with `***` for
/// credentials: people paste them into the wrong line, and messages are pasted into chats.
#[must_use]
pub fn shown(text: &str) -> String {
    const MAX: usize = 40;
    // A URL's authority ends within this; the rest is cut off anyway.
    let head = text.char_indices().nth(1_000).map_or(text, |(end, _)| &text[..end]);
    let text = &super::mask::without_credentials(head);
    let mut out = String::from("`");
    for c in text.chars().take(MAX) {
        push_escaped(&mut out, c);
    }
    if text.chars().nth(MAX).is_some() {
        out.push_str("...");
    }
    out.push('`');
    out
}

/// Whether a character steers a terminal, or hides or reorders what stands beside it, instead of being read: C0, DEL, C1
/// (`\u{9b}` begins a terminal's command as escape does), marks of direction, and what has no width. A line end steers,
/// too: it ends the line that somebody else wrote.
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A stranger's text, fit to be printed: what [`steers`] is shown escaped; its lines and tabs stay.
#[must_use]
pub fn fit_to_print(text: &str) -> String {
    escaped(text, &['\n', '\t'])
}

/// A stranger's text, fit to stand in a line of ours.
#[must_use]
pub fn on_one_line(text: &str) -> String {
    escaped(text, &[])
}

fn escaped(text: &str, stay: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if stay.contains(&c) { out.push(c) } else { push_escaped(&mut out, c) }
    }
    out
}

/// Appends a character, escaped where it [`steers`].
pub(super) fn push_escaped(out: &mut String, c: char) {
    if steers(c) {
        out.extend(c.escape_unicode());
    } else {
        out.push(c);
    }
}

/// The candidate that differs least from `word`, if it differs little: at most one edit in three characters.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    let word: Vec<char> = folded.chars().take(64).collect();
    let allowed = word.len().div_ceil(3).min(3);
    let mut begun = None;
    candidates
        .into_iter()
        .inspect(|candidate| {
            if candidate.starts_with(&folded) {
                begun.get_or_insert(*candidate);
            }
        })
        .map(|candidate| (distance(&word, &fold(candidate).chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
        .or_else(|| begun.filter(|_| folded.len() >= 3))
}

fn fold(word: &str) -> String {
    word.to_lowercase().replace(['-', ' '], "_")
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_key_and_a_stranger_finds_none() {
        let keys = ["memory", "mount", "command", "cpu", "replicas"];
        for (typed, meant) in [
            ("memroy", Some("memory")),
            ("Memory", Some("memory")),
            ("comand", Some("command")),
            ("replica", Some("replicas")),
            ("pcu", Some("cpu")),
            ("volumes", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
    }

    #[test]
    fn lines_end_as_yaml_ends_them() {
        assert_eq!(lines("a\r\nb\rc\n").collect::<Vec<_>>(), ["a", "b", "c", ""]);
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_terminal_cannot_be_steered() {
        assert_eq!(shown("a\u{1b}[2J"), "`a\\u{1b}[2J`");
        assert_eq!(shown("\u{202e}b"), "`\\u{202e}b`");
        for (what, text) in [
            ("a link by OSC 8", "\u{1b}]8;;https://evil.example\u{1b}\\here\u{1b}]8;;\u{7}"),
            ("the clipboard by OSC 52", "\u{1b}]52;c;cm0gLXJm\u{7}"),
            ("colours by CSI", "\u{1b}[31mred"),
            ("a title by C1", "\u{9d}0;x\u{9c}"),
            ("CSI by C1", "\u{9b}2J"),
            ("the other way round", "a\u{202e}b\u{2066}c\u{2069}\u{61c}"),
            ("over what stands there", "ok\rno\u{8}\u{b}\u{c}\u{7f}"),
            ("lines to some", "a\u{2028}b\u{85}c"),
        ] {
            let fit = fit_to_print(text);
            assert!(!fit.contains(steers) && fit.contains("\\u{"), "{what}: {fit:?}");
            assert_eq!(fit_to_print(&fit), fit, "what is escaped stays as it is");
        }
        assert_eq!(fit_to_print("a\tb\n\u{9b}1m\n"), "a\tb\n\\u{9b}1m\n");
        assert_eq!(on_one_line("a\nb"), "a\\u{a}b");
        assert_eq!(on_one_line("gr\u{fc}n \u{2713} \u{5d0}"), "gr\u{fc}n \u{2713} \u{5d0}");
    }
}
