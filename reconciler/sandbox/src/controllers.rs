//! Controllers.
use crate::cluster::Cluster;
use crate::store::{Change, Key};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Objects whose controllers have not looked yet.
#[derive(Debug, Default)]
pub struct Dirty(BTreeSet<Key>);

impl Dirty {
    pub(crate) fn note(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(entry) => self.0.insert(entry.key.clone()),
                Change::Removed(key, _) => self.0.insert(key.clone()),
            };
        }
    }
}

impl Cluster {
    /// One round.
    pub fn settle(&mut self, _now: Timestamp) -> Option<Timestamp> {
        self.dirty.0.clear();
        None
    }

    /// Everything is looked at again, as after a restart.
    pub fn wake_everything(&mut self) {
        let keys: Vec<Key> = self.store.all().map(|entry| entry.key.clone()).collect();
        self.dirty.0.extend(keys);
    }

    /// Nothing to do.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.dirty.0.is_empty()
    }
}
