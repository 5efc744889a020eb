//! When trouble with a watch becomes a gap, and how long to wait before the next try. A value: time and chance are
//! arguments.
//!
//! A gap is loud: it passes every tool and writes every status, twice. What fails for a moment (a cut connection, a
//! forgotten version, 429, 5xx) must not be. So a kind that was listed once has a grace, in which we go on with what we
//! know. That is safe because nothing that is done relies on the shelf being fresh: a dead connection goes unnoticed for
//! longer anyway ([`Pace::silence`]), a create is preceded by a read of that name, a JSON patch names the
//! resourceVersion it was made for, and a delete the uid.
//!
//! The grace is over after [`Pace::grace`] *and* [`FAILURES`] in a row, whichever comes later: a minute covers the restart
//! of an API server, and one request that hangs until its time limit must not spend it alone.

use std::time::Duration;
use tokio::time::Instant;

/// So many tries in a row must have failed before a listed kind is a gap.
const FAILURES: u32 = 3;
/// A server that asks us to stay away for longer is asked again after this.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// How patient the watches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Longest silence of a watch: servers send a bookmark every minute, so that more is a dead connection.
    pub silence: Duration,
    /// Longest silence while a list is streamed; afterwards it is asked for page by page.
    pub stream_silence: Duration,
    /// Servers are asked to end a watch after this long, give or take a third, so that not all are opened at once.
    pub watch: Duration,
    /// What is known is compared with a list this often, give or take a third.
    pub compare: Duration,
    /// A comparison that failed is tried again after this.
    pub compare_again: Duration,
    /// For so long a kind that was listed once may be in trouble before it is a gap.
    pub grace: Duration,
    /// After the first failure; each further one doubles it.
    pub first_delay: Duration,
    /// Longest delay.
    pub last_delay: Duration,
    /// A watch that lived shorter than this, and told nothing, is no sign that all is well.
    pub short_life: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(200),
            stream_silence: Duration::from_secs(10),
            watch: Duration::from_secs(45 * 60),
            compare: Duration::from_secs(6 * 3600),
            compare_again: Duration::from_secs(5 * 60),
            grace: Duration::from_secs(60),
            first_delay: Duration::from_millis(500),
            last_delay: Duration::from_secs(60),
            short_life: Duration::from_secs(5),
        }
    }
}

/// What is left of our patience with one kind.
#[derive(Debug)]
pub(super) struct Patience {
    pace: Pace,
    delay: Duration,
    trouble: Option<Trouble>,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    since: Instant,
    failures: u32,
}

impl Patience {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, delay: pace.first_delay, trouble: None }
    }

    /// The watch tells, or has everything listed: whatever went wrong before is over.
    pub(super) fn in_step(&mut self) {
        self.trouble = None;
    }

    /// A watch lived for a while: the next failure is a first one.
    pub(super) fn calm(&mut self) {
        self.delay = self.pace.first_delay;
    }

    /// One more failure; true where the grace is over.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let trouble = self.trouble.get_or_insert(Trouble { since: now, failures: 0 });
        trouble.failures += 1;
        trouble.failures >= FAILURES && now.duration_since(trouble.since) >= self.pace.grace
    }

    /// How long to wait before the next try: longer each time, but not past the end of the grace, so that it ends with a
    /// try; and at least as long as the server asked. `jitter` lies in 0..1.
    pub(super) fn pause(&mut self, now: Instant, jitter: f64, asked: Option<Duration>) -> Duration {
        let pause = self.delay.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        self.delay = (self.delay * 2).min(self.pace.last_delay);
        let left = self.trouble.map(|trouble| self.pace.grace.saturating_sub(now.duration_since(trouble.since)));
        let pause = left.filter(|left| !left.is_zero()).map_or(pause, |left| pause.min(left));
        pause.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails again and again, each try taking `each` to fail: after how long the grace is over, and after how many.
    fn lost_after(each: Duration, jitter: f64) -> (Duration, u32) {
        let (mut patience, begun) = (Patience::new(Pace::default()), Instant::now());
        let mut now = begun;
        for failures in 1.. {
            now += each;
            if patience.failed(now) {
                return (now - begun - each, failures);
            }
            now += patience.pause(now, jitter, None);
        }
        unreachable!("the loop has no end")
    }

    #[test]
    fn the_grace_is_a_minute_and_at_least_three_failures() {
        for jitter in [0.0, 0.5, 1.0] {
            let (quick, failures) = lost_after(Duration::ZERO, jitter);
            assert_eq!(quick, Duration::from_secs(60), "it ends with a try");
            assert!((7..12).contains(&failures), "{failures} failures in a minute");
        }
        let (slow, failures) = lost_after(Duration::from_secs(90), 1.0);
        assert_eq!(failures, 3, "one that hangs does not spend the grace alone");
        assert!(slow >= Duration::from_secs(180), "{slow:?}");
    }

    #[test]
    fn what_is_in_step_again_has_its_whole_grace() {
        let (mut patience, now) = (Patience::new(Pace::default()), Instant::now());
        for _ in 0..5 {
            assert!(!patience.failed(now));
        }
        patience.in_step();
        let later = now + Duration::from_secs(3600);
        for _ in 0..5 {
            assert!(!patience.failed(later));
        }
        assert!(patience.failed(later + Duration::from_secs(60)));
    }

    #[test]
    fn a_server_is_left_alone_for_as_long_as_it_asks_but_not_for_ever() {
        let (mut patience, now) = (Patience::new(Pace::default()), Instant::now());
        patience.failed(now);
        assert_eq!(patience.pause(now, 0.0, Some(Duration::from_secs(70))), Duration::from_secs(70));
        assert_eq!(patience.pause(now, 0.0, Some(Duration::from_secs(86_400))), LONGEST_ASKED);
        let pauses: Vec<_> = (0..9).map(|_| patience.pause(now, 1.0, None).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }
}
