//! What one repository said of its refs last.

use crate::source::{Refs, SourceError, Wanted};
use renderer::CommitId;
use std::collections::BTreeSet;

/// An answer outlives the errors after it: that a host is down now says nothing about what a branch was a minute ago.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    refs: Refs,
    /// The names about which `refs` says something: only those were asked for.
    answered: BTreeSet<String>,
    /// The names that were asked for, answered or not.
    asked: BTreeSet<String>,
    /// Why it could not be asked the last time.
    trouble: Option<SourceError>,
}

/// What is known of one branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Branch<'a> {
    /// Nobody has asked yet.
    Unasked,
    /// Asked, and never answered.
    Unanswered(&'a SourceError),
    /// The refs say what it is, or that there is none.
    Known(&'a Refs),
}

impl Said {
    /// Writes an answer down, or why there is none.
    pub(super) fn enter(&mut self, wanted: &Wanted, answer: Result<Refs, SourceError>) {
        self.asked.clone_from(&wanted.names);
        match answer {
            Ok(refs) => {
                self.refs = refs;
                self.answered.clone_from(&wanted.names);
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(error),
        }
    }

    pub(super) fn of(&self, branch: &str) -> Branch<'_> {
        match &self.trouble {
            _ if self.answered.contains(branch) => Branch::Known(&self.refs),
            Some(error) if self.asked.contains(branch) => Branch::Unanswered(error),
            _ => Branch::Unasked,
        }
    }

    /// Why what it said is old news.
    pub(super) fn trouble(&self) -> Option<&SourceError> {
        self.trouble.as_ref()
    }

    pub(super) fn was_asked_for_all_of(&self, wanted: &Wanted) -> bool {
        self.asked.is_superset(&wanted.names)
    }
}

impl Branch<'_> {
    /// The commit it stands at.
    pub(super) fn tip(self, branch: &str) -> Option<CommitId> {
        match self {
            Branch::Known(refs) => refs.find(branch),
            _ => None,
        }
    }

    /// Whether the repository has to be read again: the branch stands elsewhere; or it is missing, and then whatever
    /// else moved may be what it is called now.
    pub(super) fn differs_from(self, before: Self, branch: &str) -> bool {
        match (before, self) {
            (Branch::Known(before), Branch::Known(now)) => {
                let tip = now.find(branch);
                before.find(branch) != tip || (tip.is_none() && before != now)
            }
            (_, Branch::Known(_)) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::RepositoryUrl;

    fn wanted(names: &[&str]) -> Wanted {
        let repository = RepositoryUrl::parse("https://git.example/x").expect("a URL");
        Wanted { repository, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn refs(branches: &[&str]) -> Refs {
        let commit = CommitId::new("1".repeat(40)).expect("a commit");
        Refs { branches: branches.iter().map(|b| ((*b).to_owned(), commit.clone())).collect(), ..Refs::default() }
    }

    const DOWN: SourceError = SourceError::Empty;

    #[test]
    fn an_answer_outlives_the_errors_after_it() {
        let mut said = Said::default();
        assert_eq!(said.of("main"), Branch::Unasked);
        said.enter(&wanted(&["main"]), Err(DOWN));
        assert_eq!(said.of("main"), Branch::Unanswered(&DOWN));
        said.enter(&wanted(&["main"]), Ok(refs(&["main"])));
        said.enter(&wanted(&["main"]), Err(DOWN));
        assert_eq!(said.of("main"), Branch::Known(&refs(&["main"])));
        assert_eq!(said.trouble(), Some(&DOWN));
    }

    #[test]
    fn a_branch_that_nobody_asked_for_is_not_missing() {
        let mut said = Said::default();
        said.enter(&wanted(&["main"]), Ok(refs(&["main"])));
        assert_eq!(said.of("beta"), Branch::Unasked);
        assert!(!said.was_asked_for_all_of(&wanted(&["beta", "main"])));
        said.enter(&wanted(&["beta", "main"]), Err(DOWN));
        assert_eq!(said.of("beta"), Branch::Unanswered(&DOWN));
        assert!(said.was_asked_for_all_of(&wanted(&["beta", "main"])), "asked in vain is asked");
        said.enter(&wanted(&["beta", "main"]), Ok(refs(&["main"])));
        assert_eq!(said.of("beta").tip("beta"), None);
    }

    #[test]
    fn a_missing_branch_is_looked_for_again_when_anything_moves() {
        let (before, now) = (refs(&["a"]), refs(&["a", "b"]));
        let differs = |branch| Branch::Known(&now).differs_from(Branch::Known(&before), branch);
        assert!(!differs("a"), "the others are no business of a");
        assert!(differs("b") && differs("c"));
        assert!(!Branch::Known(&now).differs_from(Branch::Known(&now), "c"));
        assert!(Branch::Known(&now).differs_from(Branch::Unasked, "a"));
        assert!(!Branch::Unanswered(&DOWN).differs_from(Branch::Unasked, "a"), "there is nothing to read");
    }
}
