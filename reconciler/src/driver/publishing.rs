//! When the platform's own objects are written next. At once where something changed; what the server did not take is tried
//! again with the next poll, and then after ever more of them: what it refuses today it will refuse in a minute.
//!
//! A value. It counts polls, not time: without polls nothing is tried.

/// Most polls between two tries: an hour where one comes a minute.
const MOST_POLLS: u32 = 64;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Publishing {
    is_due: bool,
    failures: u32,
    /// Polls until it is tried again.
    left: u32,
}

impl Publishing {
    /// There is something new to write, or somebody changed what was written.
    pub(super) fn anew(&mut self) {
        *self = Self { is_due: true, failures: 0, left: 0 };
    }

    /// A poll has come.
    pub(super) fn polled(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Whether it is tried now; then it is no longer due.
    pub(super) fn begins(&mut self) -> bool {
        let begins = self.is_due && self.left == 0;
        self.is_due &= !begins;
        begins
    }

    /// Not everything was taken.
    pub(super) fn failed(&mut self) {
        // What is new meanwhile does not wait for what was old.
        if !self.is_due {
            self.left = 1_u32.checked_shl(self.failures).map_or(MOST_POLLS, |polls| polls.min(MOST_POLLS));
            self.failures = self.failures.saturating_add(1);
            self.is_due = true;
        }
    }

    /// Everything is as it should be.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In which of so many polls it is tried, where each try ends like this.
    fn tries(publishing: &mut Publishing, polls: u32, end: fn(&mut Publishing)) -> Vec<u32> {
        let mut tries = Vec::new();
        for poll in 1..=polls {
            publishing.polled();
            if publishing.begins() {
                tries.push(poll);
                end(publishing);
            }
        }
        tries
    }

    #[test]
    fn what_is_refused_is_tried_ever_more_seldom_until_something_changes() {
        let mut publishing = Publishing::default();
        assert_eq!(tries(&mut publishing, 10, Publishing::failed), [0; 0], "nobody has asked for it");
        publishing.anew();
        assert_eq!(tries(&mut publishing, 300, Publishing::failed), [1, 2, 4, 8, 16, 32, 64, 128, 192, 256]);
        publishing.anew();
        assert!(publishing.begins(), "without a poll");
        publishing.failed();
        assert_eq!(tries(&mut publishing, 9, Publishing::failed), [1, 3, 7], "as seldom as at first");
    }

    #[test]
    fn what_changes_while_it_is_tried_is_tried_at_once_and_success_is_the_end_of_it() {
        let mut publishing = Publishing::default();
        publishing.anew();
        assert!(publishing.begins());
        publishing.anew();
        publishing.failed();
        assert!(publishing.begins());
        publishing.failed();
        assert_eq!(tries(&mut publishing, 9, Publishing::succeeded), [1]);
        assert_eq!(publishing, Publishing::default());
    }
}
