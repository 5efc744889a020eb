//! How much was deleted in the last hour, over all tools: what looks small for each may be an accident for all. It is
//! remembered in memory alone: a restart begins a new hour.

use renderer::platform::DeletionBudget;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// The deletions of the last hour.
#[derive(Debug, Default)]
pub struct Deletions {
    recent: VecDeque<(Instant, u32)>,
}

impl Deletions {
    /// How many objects may still go in this hour; `all` is how many there are.
    pub fn left(&mut self, budget: &DeletionBudget, all: usize, now: Instant) -> u32 {
        while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) >= HOUR) {
            self.recent.pop_front();
        }
        let gone: u64 = self.recent.iter().map(|(_, count)| u64::from(*count)).sum();
        // What is gone was part of all.
        let share = (all as u64 + gone) * u64::from(budget.per_hour_percent) / 100;
        let most = share.max(u64::from(budget.per_hour));
        u32::try_from(most.saturating_sub(gone)).unwrap_or(u32::MAX)
    }

    /// So many went just now.
    pub fn add(&mut self, count: u32, now: Instant) {
        if count > 0 {
            self.recent.push_back((now, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_number_or_a_share_and_comes_back_within_the_hour() {
        let budget = DeletionBudget { per_pass: 20, per_pass_percent: 25, per_hour: 100, per_hour_percent: 5 };
        let begun = Instant::now();
        let mut deletions = Deletions::default();
        assert_eq!(deletions.left(&budget, 500, begun), 100);
        assert_eq!(deletions.left(&budget, 12_000, begun), 600);
        deletions.add(90, begun);
        deletions.add(5, begun + HOUR / 2);
        assert_eq!(deletions.left(&budget, 500, begun + HOUR / 2), 5);
        assert_eq!(deletions.left(&budget, 500, begun + HOUR), 95);
    }
}
