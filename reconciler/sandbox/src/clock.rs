//! The time, from the runtime's own clock: under a paused clock objects age only when the test says so.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A moment, and how much of the runtime's time has passed since.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Timestamp,
    since: Instant,
}

impl Clock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, since: Instant::now() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed());
        let now = passed.map(|passed| self.start.saturating_add(passed));
        now.ok().and_then(Result::ok).unwrap_or(self.start)
    }
}
