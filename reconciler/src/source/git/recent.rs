//! What was used last, within a number and a size.

use std::collections::VecDeque;

/// Paths and commits of one repository kept in memory: a repository shared by many tools has a path for each.
const KEPT_IN_MEMORY: usize = 64;
/// And their bytes: a volunteer writes 1 MiB into a file as easily as 1 KiB.
const KEPT_BYTES: usize = 2 << 20;

/// The entries used last, each with its bytes, newest at the back.
pub(super) struct Recent<T>(VecDeque<(T, usize)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    pub(super) fn get(&mut self, wanted: impl Fn(&T) -> bool) -> Option<&T> {
        let at = self.0.iter().position(|(entry, _)| wanted(entry))?;
        let found = self.0.remove(at)?;
        self.0.push_back(found);
        self.0.back().map(|(entry, _)| entry)
    }

    /// The newest stays, whatever its size: it is in use.
    pub(super) fn put(&mut self, fresh: T, bytes: usize) {
        self.0.push_back((fresh, bytes));
        while self.0.len() > 1 && (self.0.len() > KEPT_IN_MEMORY || self.bytes() > KEPT_BYTES) {
            self.0.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_memory_is_bounded_in_number_and_in_bytes() {
        let mut recent = Recent::default();
        for n in 0..100 {
            recent.put(n, 1);
        }
        assert_eq!(recent.0.len(), KEPT_IN_MEMORY);
        assert!(recent.get(|n| *n == 36).is_some() && recent.get(|n| *n == 35).is_none());
        recent.put(100, KEPT_BYTES - 1);
        assert!(recent.get(|n| *n == 36).is_some(), "used last, so it stays");
        assert_eq!(recent.0.len(), 2);
        recent.put(101, KEPT_BYTES + 1);
        assert_eq!(recent.0.len(), 1);
        assert!(recent.get(|n| *n == 101).is_some());
    }
}
