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

/// A text as messages quote it: in backticks, cut after 40 characters, control characters escaped, and without what
/// stands before the `@` of a URL.
#[must_use]
pub fn shown(text: &str) -> String {
    const MAX: usize = 40;
    // A URL's authority ends within this; the rest is cut off anyway.
    let head = text.char_indices().nth(1_000).map_or(text, |(end, _)| &text[..end]);
    let text = &super::mask::without_userinfo(head);
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

/// Appends a character so that it cannot steer a terminal or reorder a line.
pub(super) fn push_escaped(out: &mut String, c: char) {
    let steers = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    if steers {
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
    }
}
