//! A container that runs: which of its probes are due, what their answers mean, and how it is ended.

use super::{Act, Next, Question, probe};
use crate::node::wanted::{Part, Probe};
use jiff::{SignedDuration, Timestamp};

const QUESTIONS: [Question; 3] = [Question::Startup, Question::Readiness, Question::Liveness];

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Since then.
    pub since: Timestamp,
    /// It answered its startup probe, or has none.
    pub started: bool,
    /// Requests may come.
    pub ready: bool,
    /// What the three probes said.
    pub asked: [Asked; 3],
    /// It is being ended.
    pub ending: Option<Ending>,
}

/// What one probe said so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    last: Option<Timestamp>,
    is_asking: bool,
    good: i32,
    bad: i32,
    /// Why the last answer was a bad one; empty after a good one.
    pub words: String,
}

/// A container that was told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    kill_at: Timestamp,
    told: bool,
    killed: bool,
    /// For its `message`; empty where its own last words say more.
    pub(super) why: String,
}

impl Asked {
    /// Before it is asked again. Who starts is asked more often at first, because somebody waits for it here: of the
    /// failures that it may have, this takes a handful.
    fn pause(&self, question: Question, probe: &Probe) -> SignedDuration {
        let period = SignedDuration::from_secs(probe.period_secs);
        match (self.last, question) {
            (None, _) => SignedDuration::from_secs(probe.delay_secs),
            (Some(_), Question::Startup) => SignedDuration::from_millis(100 << self.bad.clamp(0, 10)).min(period),
            (Some(_), _) => period,
        }
    }
}

impl Ending {
    fn go_on(&mut self, index: usize, now: Timestamp, next: &mut Next) {
        if !std::mem::replace(&mut self.told, true) {
            next.acts.push(Act::Term(index));
        }
        if self.killed {
            return;
        }
        if self.kill_at <= now {
            self.killed = true;
            next.acts.push(Act::Kill(index));
        } else {
            next.wake_at(self.kill_at);
        }
    }
}

impl Running {
    /// Probes that are due, and the end where it was asked for.
    pub(super) fn go_on(&mut self, index: usize, part: &Part, now: Timestamp, next: &mut Next) {
        if let Some(ending) = &mut self.ending {
            return ending.go_on(index, now, next);
        }
        for question in QUESTIONS {
            let applies = self.started != (question == Question::Startup);
            let Some(probe) = probe(part, question).filter(|_| applies) else { continue };
            let asked = &mut self.asked[question as usize];
            if asked.is_asking {
                continue;
            }
            let due = asked.last.unwrap_or(self.since).checked_add(asked.pause(question, probe)).unwrap_or(now);
            if due <= now {
                asked.last = Some(now);
                asked.is_asking = true;
                next.acts.push(Act::Ask(index, question));
            } else {
                next.wake_at(due);
            }
        }
    }

    pub(super) fn end(&mut self, why: String, grace_secs: i64, now: Timestamp) {
        let kill_at = now.checked_add(SignedDuration::from_secs(grace_secs)).unwrap_or(now);
        match &mut self.ending {
            Some(ending) => ending.kill_at = ending.kill_at.min(kill_at),
            None => self.ending = Some(Ending { kill_at, told: false, killed: false, why }),
        }
        self.ready = false;
    }

    pub(super) fn answered(
        &mut self,
        part: &Part,
        question: Question,
        answer: Result<(), String>,
        grace_secs: i64,
        now: Timestamp,
    ) {
        let Some(probe) = probe(part, question) else { return };
        let name = &part.spec.name;
        let asked = &mut self.asked[question as usize];
        asked.is_asking = false;
        match answer {
            Ok(()) => *asked = Asked { last: asked.last, good: asked.good.saturating_add(1), ..Asked::default() },
            Err(words) => {
                *asked = Asked { last: asked.last, bad: asked.bad.saturating_add(1), words, ..Asked::default() };
            }
        }
        if self.ending.is_some() {
            return;
        }
        let (is_good, is_bad) = (asked.good >= probe.successes, asked.bad >= probe.failures);
        match question {
            Question::Startup if is_good => {
                self.started = true;
                self.ready = part.readiness.is_none();
            }
            Question::Readiness if is_good => self.ready = true,
            Question::Readiness if is_bad => self.ready = false,
            Question::Startup if is_bad => {
                let why = format!("{name} did not answer its startup probe: {}", asked.words);
                self.end(why, grace_secs, now);
            }
            Question::Liveness if is_bad => {
                let why = format!("{name} did not answer its liveness probe: {}", asked.words);
                self.end(why, grace_secs, now);
            }
            _ => {}
        }
    }
}
