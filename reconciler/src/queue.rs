//! Who is next. A wake-up carries a tool's name and nothing else: a hundred wake-ups are one pass, and one that comes
//! during a pass is one more pass afterwards. The tool that has waited longest goes first, so a loud one starves nobody.
//! Failures wait longer each time, up to a limit, with jitter so that many do not come back at once.
//!
//! A value: time and randomness are arguments.

use std::collections::BTreeMap;
use std::time::Duration;

/// First pause after a failed pass.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after many.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A server's own wish is heeded for so long: it may be a stranger's.
const LONGEST_WISH: Duration = Duration::from_secs(3600);
/// Between two passes of a tool that rests, whatever wakes it.
const REST: Duration = Duration::from_secs(1);

/// Time since the driver began.
pub type Moment = Duration;

#[derive(Debug, Clone, Default)]
struct Entry {
    /// When it was woken first since its last pass began.
    woken: Option<Moment>,
    running: bool,
    failures: u32,
    /// It does not run before.
    not_before: Moment,
    /// It runs then, also when nobody wakes it.
    alarm: Option<Moment>,
    /// When what was missed is tried again. Who is woken before that and misses it again has not waited in vain.
    retry: Option<Moment>,
}

impl Entry {
    /// When it may run, if it has a reason to.
    fn due(&self) -> Option<Moment> {
        let woken = self.woken.map(|_| self.not_before);
        let alarm = self.alarm.map(|at| at.max(self.not_before));
        woken.into_iter().chain(alarm).min().filter(|_| !self.running)
    }

    /// Only the clock wakes it at the end of this pause, and events now and then before.
    fn rest(&mut self, now: Moment, pause: Duration) {
        self.not_before = now + pause.min(REST);
        self.alarm = Some(now + pause);
    }

    /// One failure more, and how long to wait after it: so that many do not come back at once, never the same.
    fn next_pause(&mut self, retry_after: Option<Duration>, jitter: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let pause = pause(self.failures).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 2.0);
        pause.max(retry_after.unwrap_or_default().min(LONGEST_WISH))
    }

    /// Since when it has waited.
    fn since(&self) -> Option<Moment> {
        self.woken.or(self.alarm)
    }
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There was nothing to do; what is left waits for an event.
    Well,
    /// There was nothing to do; what is left waits for an event, and is looked at after this time at the latest.
    Waits {
        /// How long.
        pause: Duration,
    },
    /// Something was done: it looks again at what came of it.
    Again,
    /// Something has to be left alone for a while. Until then only what wakes it is a reason for a pass, and not one after
    /// the other.
    Rests {
        /// How long.
        pause: Duration,
    },
    /// Something could not be read, or said, and no event tells when it can be: it is tried again after a pause that grows
    /// each time. Until then it rests, and keeps nothing else waiting.
    Missed {
        /// The server's own wish, where it has one; heeded where it is longer than ours.
        retry_after: Option<Duration>,
        /// How long it would rest otherwise.
        pause: Option<Duration>,
    },
    /// Something failed that may go better later.
    Failed {
        /// The server asked for at least this long.
        retry_after: Option<Duration>,
    },
}

impl Ended {
    /// The same, but that what waits for events alone is looked at after this time at the latest.
    #[must_use]
    pub fn at_latest(self, pause: Duration) -> Self {
        if self == Self::Well { Self::Waits { pause } } else { self }
    }
}

/// The queue of all tools.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<String, Entry>,
}

impl Queue {
    /// Wakes a tool: it will have a pass that begins after this moment.
    pub fn wake(&mut self, tool: &str, now: Moment) {
        let entry = self.entries.entry(tool.to_owned()).or_default();
        entry.woken.get_or_insert(now);
    }

    /// Wakes a tool about which something new is known: earlier failures say nothing any more.
    pub fn wake_anew(&mut self, tool: &str, now: Moment) {
        self.wake(tool, now);
        if let Some(entry) = self.entries.get_mut(tool) {
            (entry.failures, entry.retry) = (0, None);
            entry.not_before = now;
        }
    }

    /// The tool that has waited longest and may run now; it counts as running until [`Queue::ended`].
    pub fn next(&mut self, now: Moment) -> Option<String> {
        let ready = self.entries.iter().filter(|(_, entry)| entry.due().is_some_and(|due| due <= now));
        let name = ready.min_by_key(|(name, entry)| (entry.since(), *name)).map(|(name, _)| name.clone())?;
        let entry = self.entries.get_mut(&name)?;
        entry.running = true;
        (entry.woken, entry.alarm) = (None, None);
        Some(name)
    }

    /// When the next tool may run that has to wait for its time.
    #[must_use]
    pub fn next_due(&self, now: Moment) -> Option<Moment> {
        self.entries.values().filter_map(Entry::due).filter(|due| *due > now).min()
    }

    /// A pass is over. `jitter` lies in 0..1.
    pub fn ended(&mut self, tool: &str, how: Ended, now: Moment, jitter: f64) {
        let Some(entry) = self.entries.get_mut(tool) else { return };
        entry.running = false;
        let retry = entry.retry.take();
        match how {
            Ended::Well if entry.woken.is_none() => drop(self.entries.remove(tool)),
            Ended::Well => entry.failures = 0,
            Ended::Waits { pause } => {
                entry.failures = 0;
                entry.alarm = Some(now + pause);
            }
            Ended::Rests { pause } => {
                entry.failures = 0;
                // What is due at once is woken by what has just been written; the clock is for when that failed.
                entry.rest(now, pause.max(REST));
                entry.not_before = now + pause.min(REST);
            }
            Ended::Missed { retry_after, pause } => {
                let at = retry.filter(|at| *at > now).unwrap_or_else(|| now + entry.next_pause(retry_after, jitter));
                entry.retry = Some(at);
                entry.rest(now, pause.map_or(at - now, |pause| pause.max(REST).min(at - now)));
            }
            Ended::Again => {
                entry.failures = 0;
                entry.woken.get_or_insert(now);
            }
            Ended::Failed { retry_after } => {
                entry.not_before = now + entry.next_pause(retry_after, jitter);
                entry.woken.get_or_insert(now);
            }
        }
    }

    /// Tools that wait or run.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.entries.values().filter(|e| e.running || e.since().is_some()).count()
    }

    /// A pass of this tool is under way.
    #[must_use]
    pub fn is_running(&self, tool: &str) -> bool {
        self.entries.get(tool).is_some_and(|e| e.running)
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_hundred_wake_ups_are_one_pass_and_one_during_a_pass_is_one_more() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.wake("a", at(0));
        }
        assert_eq!(queue.next(at(1)).as_deref(), Some("a"));
        assert_eq!(queue.next(at(1)), None, "never twice at once");
        queue.wake("a", at(2));
        queue.ended("a", Ended::Well, at(3), 0.0);
        assert_eq!(queue.next(at(3)).as_deref(), Some("a"));
        queue.ended("a", Ended::Well, at(4), 0.0);
        assert_eq!((queue.next(at(9)), queue.busy()), (None, 0));
    }

    #[test]
    fn what_was_missed_is_tried_again_later_each_time_and_keeps_no_event_waiting() {
        let mut queue = Queue::default();
        let missed = Ended::Missed { retry_after: None, pause: None };
        queue.wake("a", at(0));
        let mut now = at(0);
        for expected_ms in [500, 1000, 2000, 4000] {
            assert_eq!(queue.next(now).as_deref(), Some("a"));
            queue.ended("a", missed, now, 0.0);
            assert_eq!(queue.next_due(now), Some(now + at(expected_ms)), "nobody wakes it, and it looks again");
            now += at(expected_ms);
        }
        assert_eq!(queue.next(now).as_deref(), Some("a"));
        queue.ended("a", missed, now, 0.0);
        for _ in 0..3 {
            queue.wake("a", now);
            now += REST;
            assert_eq!(queue.next(now).as_deref(), Some("a"), "an event counts");
            queue.ended("a", missed, now, 0.0);
        }
        assert_eq!(queue.next_due(now), Some(at(7_500 + 8_000)), "and makes no pause longer, nor begins it anew");
        queue.wake_anew("a", now);
        assert_eq!(queue.next(now).as_deref(), Some("a"));
        queue.ended("a", missed, now, 0.0);
        assert_eq!(queue.next_due(now), Some(now + at(500)), "something new is known");
    }

    #[test]
    fn a_wish_of_the_server_is_heeded_within_reason_and_what_is_due_before_is_not_forgotten() {
        let due = |retry_after: Option<Duration>, pause: Option<Duration>| {
            let mut queue = Queue::default();
            queue.wake("a", at(0));
            assert_eq!(queue.next(at(0)).as_deref(), Some("a"));
            queue.ended("a", Ended::Missed { retry_after, pause }, at(0), 0.0);
            queue.next_due(at(0)).expect("it looks again")
        };
        assert_eq!(due(Some(at(60_000)), None), at(60_000));
        assert_eq!(due(Some(Duration::MAX), None), LONGEST_WISH);
        assert_eq!(due(Some(at(60_000)), Some(at(9_000))), at(9_000));
        assert_eq!(due(None, Some(at(9_000))), at(500));
    }

    #[test]
    fn the_one_that_waited_longest_goes_first_and_a_loud_one_starves_nobody() {
        let mut queue = Queue::default();
        queue.wake("quiet", at(5));
        queue.wake("loud", at(1));
        assert_eq!(queue.next(at(6)).as_deref(), Some("loud"));
        queue.wake("loud", at(7));
        queue.ended("loud", Ended::Well, at(8), 0.0);
        assert_eq!(queue.next(at(8)).as_deref(), Some("quiet"));
    }

    #[test]
    fn failures_wait_longer_each_time_and_news_end_the_wait() {
        let mut queue = Queue::default();
        let failed = Ended::Failed { retry_after: None };
        queue.wake("a", at(0));
        let mut now = at(0);
        for expected_ms in [500, 1000, 2000, 4000] {
            assert_eq!(queue.next(now).as_deref(), Some("a"));
            queue.ended("a", failed, now, 0.0);
            queue.wake("a", now);
            assert_eq!(queue.next_due(now), Some(now + at(expected_ms)), "an event does not end the wait");
            now += at(expected_ms);
        }
        assert_eq!(queue.next(now).as_deref(), Some("a"));
        queue.ended("a", Ended::Failed { retry_after: Some(at(60_000)) }, now, 0.0);
        assert_eq!(queue.next_due(now), Some(now + at(60_000)), "the server's own wish counts");
        queue.wake_anew("a", now);
        assert_eq!(queue.next(now).as_deref(), Some("a"));
        assert_eq!(pause(99), LONGEST_PAUSE);
    }
    #[test]
    fn who_waits_for_an_event_is_served_at_once_and_looked_at_in_any_case() {
        let mut queue = Queue::default();
        queue.wake("a", at(0));
        assert_eq!(queue.next(at(0)).as_deref(), Some("a"));
        queue.ended("a", Ended::Well.at_latest(at(2000)), at(1), 0.0);
        assert_eq!((queue.next(at(2000)), queue.next_due(at(1))), (None, Some(at(2001))));
        queue.wake("a", at(2));
        assert_eq!(queue.next(at(2)).as_deref(), Some("a"));
        queue.ended("a", Ended::Well, at(3), 0.0);
        assert_eq!((queue.next(at(9000)), queue.busy()), (None, 0), "an event has taken the clock's place");
        assert_eq!(Ended::Again.at_latest(at(1)), Ended::Again);
    }

    #[test]
    fn who_rests_is_woken_by_events_now_and_then_and_by_the_clock_at_the_end() {
        let mut queue = Queue::default();
        queue.wake("a", at(0));
        assert_eq!(queue.next(at(0)).as_deref(), Some("a"));
        queue.ended("a", Ended::Rests { pause: at(8000) }, at(0), 0.0);
        assert_eq!((queue.next(at(7999)), queue.next_due(at(0))), (None, Some(at(8000))));
        queue.wake("a", at(1));
        assert_eq!((queue.next(at(999)), queue.next_due(at(1))), (None, Some(at(1000))));
        assert_eq!(queue.next(at(1000)).as_deref(), Some("a"), "an event counts, but not at once");
        queue.ended("a", Ended::Rests { pause: at(7000) }, at(1000), 0.0);
        assert_eq!(queue.next(at(8000)).as_deref(), Some("a"), "the rest is over");
        queue.ended("a", Ended::Well, at(8001), 0.0);
        assert_eq!((queue.next_due(at(8001)), queue.busy()), (None, 0));
    }
}
