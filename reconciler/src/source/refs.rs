//! The refs of a repository at one moment, and exact look-ups in them: `main` is never `x/main`.

use renderer::CommitId;
use std::collections::{BTreeMap, BTreeSet};

/// Refs of one answer kept beside those that were asked for by their whole names.
const MAX_OTHERS: usize = 10_000;
/// Names compared for a suggestion.
const MAX_COMPARED: usize = 1000;

/// What one ls-refs answered. Only refs that were asked for are in it, so an absent branch means absent only for a
/// name that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refs {
    /// The branch HEAD points to; none where it is detached, unborn or unsaid.
    pub head: Option<String>,
    /// The commit of HEAD; none in an empty repository.
    pub head_commit: Option<CommitId>,
    /// Branch → commit.
    pub branches: BTreeMap<String, CommitId>,
    /// Tag → commit; an annotated tag is peeled.
    pub tags: BTreeMap<String, CommitId>,
}

impl Refs {
    /// The commit that `name` names: `HEAD`, a full ref name, a branch, a tag, or a whole commit id, in this order.
    /// A branch wins over a tag of the same name, as in today's Toolforge (a clone checks the branch out).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<CommitId> {
        if name == "HEAD" {
            return self.head_commit.clone();
        }
        if let Some(branch) = name.strip_prefix("refs/heads/") {
            return self.branches.get(branch).cloned();
        }
        if let Some(tag) = name.strip_prefix("refs/tags/") {
            return self.tags.get(tag).cloned();
        }
        self.branches.get(name).or_else(|| self.tags.get(name)).cloned().or_else(|| CommitId::new(name).ok())
    }

    /// Whether the repository has no commit at all, as far as was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head_commit.is_none() && self.branches.is_empty() && self.tags.is_empty()
    }

    /// The branch or tag most like `name`, if one is alike enough to be meant.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        self.branches
            .keys()
            .chain(self.tags.keys())
            // Names are a stranger's: a long one costs time and is no suggestion.
            .filter(|candidate| candidate.len() <= 100 && name.len() <= 100)
            .take(MAX_COMPARED)
            .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate))
            .filter(|(distance, candidate)| {
                *distance <= 1 + name.len().max(candidate.len()) / 4 || candidate.ends_with(&format!("/{name}"))
            })
            .min()
            .map(|(_, candidate)| candidate.clone())
    }

    /// Drops what a server said unasked. What was asked for by its whole name stays; of the rest, only so many.
    pub(super) fn only(mut self, prefixes: &[String]) -> Self {
        let asked: BTreeSet<&str> = prefixes.iter().map(String::as_str).collect();
        let mut others = 0;
        let mut wanted = |kind: &str, name: &str| {
            let full = format!("{kind}{name}");
            if asked.contains(full.as_str()) {
                return true;
            }
            let kept = others < MAX_OTHERS && prefixes.iter().any(|prefix| full.starts_with(prefix));
            others += usize::from(kept);
            kept
        };
        self.branches.retain(|name, _| wanted("refs/heads/", name));
        self.tags.retain(|name, _| wanted("refs/tags/", name));
        self
    }

    /// A name that would move an operator's cursor, or turn a line around, is none that anybody follows.
    pub(super) fn insert(&mut self, full_name: &str, commit: CommitId) {
        if !is_plain(full_name) {
            return;
        }
        if full_name == "HEAD" {
            self.head_commit = Some(commit);
        } else if let Some(branch) = full_name.strip_prefix("refs/heads/") {
            self.branches.insert(branch.to_owned(), commit);
        } else if let Some(tag) = full_name.strip_prefix("refs/tags/") {
            self.tags.insert(tag.to_owned(), commit);
        }
    }
}

/// The ref prefixes that make a server list exactly what [`Refs::find`] needs for `name`.
#[must_use]
pub(super) fn prefixes(name: &str) -> Vec<String> {
    if name == "HEAD" || CommitId::new(name).is_ok() {
        Vec::new()
    } else if name.starts_with("refs/") {
        vec![name.to_owned()]
    } else {
        vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")]
    }
}

/// Whether a name can be shown as it is.
pub(super) fn is_plain(name: &str) -> bool {
    !name.chars().any(|c| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    })
}

/// Damerau-Levenshtein without transposition across edits.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(x != y)).min(rows[i][j + 1] + 1);
            best = best.min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && *x == b[j - 1] {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> CommitId {
        CommitId::new(digit.to_string().repeat(40)).expect("a commit")
    }

    fn refs(branches: &[&str], tags: &[&str]) -> Refs {
        Refs {
            branches: branches.iter().map(|b| ((*b).to_owned(), id('1'))).collect(),
            tags: tags.iter().map(|t| ((*t).to_owned(), id('2'))).collect(),
            ..Refs::default()
        }
    }

    #[test]
    fn main_is_never_x_slash_main() {
        let refs = refs(&["x/main", "main2"], &["y/main"]);
        assert_eq!(refs.find("main"), None);
        assert_eq!(refs.nearest("main").as_deref(), Some("main2"));
        assert_eq!(refs.find("x/main"), Some(id('1')));
    }

    #[test]
    fn a_branch_wins_over_a_tag_and_full_names_tell_them_apart() {
        let refs = refs(&["v1"], &["v1"]);
        assert_eq!(refs.find("v1"), Some(id('1')));
        assert_eq!(refs.find("refs/tags/v1"), Some(id('2')));
        assert_eq!(refs.find(id('a').as_str()), Some(id('a')));
        assert_eq!(refs.find("aaaaaaa"), None);
    }

    #[test]
    fn a_nearby_name_is_suggested_and_a_strange_one_is_not() {
        let refs = refs(&["main", "develop"], &["v1.0"]);
        assert_eq!(refs.nearest("mian").as_deref(), Some("main"));
        assert_eq!(refs.nearest("Develop").as_deref(), Some("develop"));
        assert_eq!(refs.nearest("v1.1").as_deref(), Some("v1.0"));
        assert_eq!(refs.nearest("production"), None);
    }

    #[test]
    fn a_name_that_a_terminal_would_obey_is_dropped() {
        let mut refs = Refs::default();
        for name in ["refs/heads/ma\u{1b}[2Jin", "refs/heads/\u{202e}niam", "refs/tags/v1\u{7}", "refs/tags/\u{9b}1m"] {
            refs.insert(name, id('1'));
        }
        assert_eq!(refs, Refs::default());
        refs.insert("refs/heads/gr\u{fc}n", id('1'));
        assert_eq!(refs.find("gr\u{fc}n"), Some(id('1')));
    }

    #[test]
    fn what_was_asked_for_is_kept_however_much_else_is_said() {
        let mut said = refs(&["main", "develop"], &["v1"]);
        for n in 0..MAX_OTHERS + 5 {
            said.insert(&format!("refs/heads/a{n}"), id('3'));
        }
        let kept = said.clone().only(&["refs/heads/main".to_owned(), "refs/tags/v".to_owned()]);
        assert_eq!(kept, refs(&["main"], &["v1"]));
        let all = said.only(&["refs/heads/".to_owned(), "refs/heads/main".to_owned()]);
        assert_eq!((all.branches.len(), all.find("main")), (MAX_OTHERS + 1, Some(id('1'))));
    }
}
