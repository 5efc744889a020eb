//! What was read of one tool's repository: its newest revision, and what is in the way of a newer one. Passes use what
//! is here and wait for nobody; the reader fills it.

use super::page::Place;
use crate::source::SourceError;
use renderer::{CommitId, Revision};
use std::time::Duration;
use tokio::time::Instant;

/// A read that takes longer is told as trouble. Below it a read is only on its way: a commit that arrives in the
/// usual second changes no condition twice.
pub(in crate::driver) const PATIENCE: Duration = Duration::from_secs(5);
/// A read may wait longer than that for its turn: after a start there are thousands, and nobody is to blame.
pub(in crate::driver) const TURN: Duration = Duration::from_secs(30);

/// One tool's.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    place: Place,
    /// What was there when it could be read: a revision, or for certain none.
    newest: Option<Result<Revision, SourceError>>,
    /// Why what git says now could not be read.
    trouble: Option<SourceError>,
    /// Since when something is to be read.
    due: Option<Instant>,
    /// Since when it is being read.
    begun: Option<Instant>,
}

/// What a pass goes by.
pub(super) struct Standing {
    /// The newest revision that could be read.
    pub newest: Result<Revision, String>,
    /// Why there may be a newer one.
    pub trouble: Option<String>,
}

impl Reading {
    pub(super) fn of(place: Place) -> Self {
        Self { place, newest: None, trouble: None, due: None, begun: None }
    }

    pub(super) fn is_of(&self, place: &Place) -> bool {
        self.place == *place
    }

    /// It is to be read from now on.
    pub(super) fn begin(&mut self) {
        self.due.get_or_insert_with(Instant::now);
    }

    /// Its turn has come.
    pub(super) fn turn(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    /// It was read; `again` where it is to be read once more already. Returns whether that says something new.
    pub(super) fn end(&mut self, result: Result<Revision, SourceError>, again: bool) -> bool {
        let late = self.is_late();
        self.due = self.due.filter(|_| again);
        self.begun = self.begun.filter(|_| again);
        let before = (self.newest.take(), self.trouble.take());
        (self.newest, self.trouble) = match result {
            Err(error) if !error.is_an_answer() => (before.0.clone(), Some(error)),
            answer => (Some(answer), None),
        };
        late || (&self.newest, &self.trouble) != (&before.0, &before.1)
    }

    /// Whether it waits for so long that it has to be said.
    pub(super) fn is_late(&self) -> bool {
        let longer = |since: Option<Instant>, than| since.is_some_and(|since| since.elapsed() >= than);
        self.due.is_some() && (longer(self.begun, PATIENCE) || longer(self.due, TURN))
    }

    /// None while the first read is on its way: there is nothing to go by, and that is no trouble yet.
    pub(super) fn standing(&self, tip: Option<&CommitId>) -> Option<Standing> {
        let late = || match tip {
            Some(tip) => format!("commit {} is still being fetched", tip.short()),
            None => "it has not answered yet".to_owned(),
        };
        let trouble = self.trouble.as_ref().map(told).or_else(|| self.is_late().then(late));
        match (&self.newest, trouble) {
            (Some(newest), trouble) => Some(Standing { newest: newest.clone().map_err(|e| told(&e)), trouble }),
            (None, Some(why)) => Some(Standing { newest: Err(why), trouble: None }),
            (None, None) => None,
        }
    }

    /// Whether the revision builds from repositories other than its own.
    pub(super) fn builds_elsewhere(&self) -> bool {
        matches!(&self.newest, Some(Ok(revision)) if !revision.resolved.is_empty())
    }
}

/// The error with its next step: both are read in a status.
pub(super) fn told(error: &SourceError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::RepositoryUrl;

    fn reading() -> Reading {
        let key = RepositoryUrl::parse("https://git.example/x").expect("a URL").key();
        Reading::of(Place { repository: key, branch: "main".to_owned(), path: String::new() })
    }

    fn revision(branch: &str) -> Revision {
        Revision::nothing(branch)
    }

    fn down() -> SourceError {
        SourceError::TimedOut { host: "git.example".to_owned(), secs: 60 }
    }

    fn standing(reading: &Reading) -> Option<(Result<String, String>, Option<String>)> {
        let Standing { newest, trouble } = reading.standing(None)?;
        Some((newest.map(|revision| revision.branch), trouble))
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_read_is_waited_for_but_not_for_long() {
        let mut reading = reading();
        reading.begin();
        assert_eq!(standing(&reading), None);
        tokio::time::advance(PATIENCE).await;
        assert_eq!(standing(&reading), None, "its turn has not come");
        reading.turn();
        tokio::time::advance(PATIENCE).await;
        reading.begin();
        assert_eq!(standing(&reading), Some((Err("it has not answered yet".to_owned()), None)));
        assert!(reading.end(Ok(revision("a")), false));
        assert_eq!(standing(&reading), Some((Ok("a".to_owned()), None)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_last_stays_while_a_newer_commit_cannot_be_read() {
        let mut reading = reading();
        assert!(reading.end(Ok(revision("a")), false));
        reading.begin();
        assert_eq!(standing(&reading), Some((Ok("a".to_owned()), None)), "on its way is no trouble");
        assert!(reading.end(Err(down()), false));
        let trouble = Some("git.example did not answer in 60 s".to_owned());
        assert_eq!(standing(&reading), Some((Ok("a".to_owned()), trouble)));
        assert!(!reading.end(Err(down()), false), "the same again is no news");
        assert!(reading.end(Ok(revision("a")), false));
        assert_eq!(standing(&reading), Some((Ok("a".to_owned()), None)));
        assert!(!reading.end(Ok(revision("a")), false));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_also_when_it_is_no() {
        let mut reading = reading();
        assert!(reading.end(Ok(revision("a")), false));
        assert!(reading.end(Err(SourceError::Empty), false));
        let (newest, trouble) = standing(&reading).expect("an answer");
        assert!(newest.is_err_and(|why| why.starts_with("the repository is empty")) && trouble.is_none());
    }
}
