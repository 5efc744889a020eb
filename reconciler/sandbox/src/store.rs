//! The objects, their one revision counter, and the recent history that watches read.
//!
//! Objects are kept as the bytes that go over the wire: a list is then a concatenation, and 12,000 objects cost what
//! their text costs. What selectors and the garbage collector ask for on every request stands beside the bytes.

use crate::value::{self, Object};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// How many events a kind remembers; a watch that asks for older ones gets 410 and lists again.
const HISTORY: usize = 2048;

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind under which it is stored.
    pub kind: &'static str,
    /// Its namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of an object.
    #[must_use]
    pub fn new(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// One version of one object.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub key: Key,
    /// `metadata.resourceVersion`.
    pub revision: u64,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The uids in `metadata.ownerReferences`.
    pub owners: Vec<String>,
    /// The whole object without `apiVersion` and `kind`, which depend on who asks.
    pub json: Bytes,
}

impl Entry {
    fn new(key: Key, object: &Object, revision: u64) -> Self {
        let value = serde_json::to_vec(object).expect("a map of JSON values always serializes");
        Self {
            key,
            revision,
            uid: value::uid(object).to_owned(),
            labels: value::labels(object),
            owners: value::owner_uids(object),
            json: value.into(),
        }
    }

    /// An object that is only shown, as a dry run shows it.
    #[must_use]
    pub fn draft(key: Key, object: &Object) -> Self {
        let revision = value::meta(object, "resourceVersion").parse().unwrap_or(0);
        Self::new(key, object, revision)
    }

    /// The object, without `apiVersion` and `kind`.
    #[must_use]
    pub fn object(&self) -> Object {
        serde_json::from_slice(&self.json).expect("the store wrote these bytes itself")
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It is new.
    Added,
    /// It differs.
    Modified,
    /// It is gone; the event carries its last state under the revision of the deletion.
    Deleted,
}

/// One event of the history.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub happened: Happened,
    /// The object after it.
    pub now: Arc<Entry>,
    /// The object before it: a change of labels may move it into or out of a selector.
    pub before: Option<Arc<Entry>>,
}

/// A change that the journal and the controllers have not seen yet.
#[derive(Debug, Clone)]
pub enum Change {
    /// This is the object now.
    Put(Arc<Entry>),
    /// It is gone; this was its last state, under the revision of the removal.
    Removed(Arc<Entry>),
}

#[derive(Debug, Default)]
struct History {
    events: VecDeque<Event>,
    /// The newest revision that fell out; everything after it is still here.
    forgotten: u64,
}

/// All objects.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Arc<Entry>>,
    dependants: HashMap<String, BTreeSet<Key>>,
    uids: HashMap<String, Key>,
    histories: HashMap<&'static str, History>,
    changes: Vec<Change>,
    revision: u64,
    /// The revision at which the history starts: 1 when new, the last one when read from disk.
    oldest: u64,
}

impl Store {
    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The object at this key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.objects.get(key)
    }

    /// The objects of a kind in key order, of one namespace or of all.
    pub fn range<'a>(
        &'a self,
        kind: &'static str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> + 'a {
        let from = Key::new(kind, namespace.unwrap_or_default(), "");
        self.objects
            .range(from..)
            .take_while(move |(key, _)| {
                key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .map(|(_, entry)| entry)
    }

    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.objects.values()
    }

    /// Keys of the objects that name this uid as an owner.
    #[must_use]
    pub fn dependants(&self, uid: &str) -> Vec<Key> {
        self.dependants.get(uid).map(|keys| keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// Where the object with this uid stands.
    #[must_use]
    pub fn key_of(&self, uid: &str) -> Option<&Key> {
        self.uids.get(uid)
    }

    /// Every change was taken.
    #[must_use]
    pub fn has_no_changes(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether an object with this uid exists.
    #[must_use]
    pub fn lives(&self, uid: &str) -> bool {
        self.uids.contains_key(uid)
    }

    /// Stores a new or changed object under the next revision, and returns it as stored.
    pub fn put(&mut self, key: Key, mut object: Object) -> Arc<Entry> {
        self.revision += 1;
        object.remove("apiVersion");
        object.remove("kind");
        value::set_revision(&mut object, self.revision);
        let entry = Arc::new(Entry::new(key, &object, self.revision));
        let before = self.insert(entry.clone());
        let happened = if before.is_some() { Happened::Modified } else { Happened::Added };
        self.remember(Event { happened, now: entry.clone(), before });
        self.changes.push(Change::Put(entry.clone()));
        entry
    }

    /// Removes an object under the next revision, and returns its last state under that revision.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let before = self.take(key)?;
        self.revision += 1;
        let mut object = before.object();
        value::set_revision(&mut object, self.revision);
        let now = Arc::new(Entry::new(key.clone(), &object, self.revision));
        self.remember(Event { happened: Happened::Deleted, now: now.clone(), before: Some(before) });
        self.changes.push(Change::Removed(now.clone()));
        Some(now)
    }

    /// Events of a kind after a revision, oldest first.
    ///
    /// # Errors
    /// The oldest revision that could be asked for, where the history does not reach back that far.
    pub fn events_since(&self, kind: &str, revision: u64) -> Result<Vec<Event>, u64> {
        let history = self.histories.get(kind);
        let forgotten = history.map_or(0, |history| history.forgotten);
        let oldest = self.oldest.max(forgotten);
        if revision < oldest {
            return Err(oldest);
        }
        let events = history.map(|history| &history.events);
        let newer = |event: &&Event| event.now.revision > revision;
        Ok(events
            .into_iter()
            .flatten()
            .rev()
            .take_while(newer)
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect())
    }

    /// Forgets the history up to now, as a server does that was restarted or compacted.
    pub fn forget_history(&mut self) {
        self.histories.clear();
        self.oldest = self.revision;
    }

    /// The changes since the last call, oldest first.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Puts an object back as the journal has it: no event, no new revision.
    pub fn restore(&mut self, key: Key, object: &Object, revision: u64) {
        self.insert(Arc::new(Entry::new(key, object, revision)));
        self.reached(revision);
    }

    /// Takes an object out as the journal has it.
    pub fn restore_removal(&mut self, key: &Key, revision: u64) {
        self.take(key);
        self.reached(revision);
    }

    /// The counter never goes back, also where the newest object was deleted.
    pub fn reached(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
        self.oldest = self.revision;
    }

    fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let before = self.take(&entry.key);
        for owner in &entry.owners {
            let keys = self.dependants.entry(owner.clone()).or_default();
            keys.insert(entry.key.clone());
        }
        self.uids.insert(entry.uid.clone(), entry.key.clone());
        self.objects.insert(entry.key.clone(), entry);
        before
    }

    fn take(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let entry = self.objects.remove(key)?;
        self.uids.remove(&entry.uid);
        for owner in &entry.owners {
            if let Some(keys) = self.dependants.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependants.remove(owner);
                }
            }
        }
        Some(entry)
    }

    fn remember(&mut self, event: Event) {
        let history = self.histories.entry(event.now.key.kind).or_default();
        history.events.push_back(event);
        if history.events.len() > HISTORY
            && let Some(gone) = history.events.pop_front()
        {
            history.forgotten = gone.now.revision;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, uid: &str, owner: Option<&str>) -> Object {
        let owners: Vec<_> = owner.iter().map(|uid| json!({"uid": uid})).collect();
        value::object(json!({"metadata": {"name": name, "uid": uid, "ownerReferences": owners}}))
    }

    #[test]
    fn a_range_ends_with_its_kind_and_namespace() {
        let mut store = Store::default();
        for (kind, namespace, name) in [("Pod", "a", "1"), ("Pod", "b", "2"), ("Secret", "a", "3"), ("Lease", "a", "0")]
        {
            let uid = format!("{namespace}{name}");
            store.put(Key::new(kind, namespace, name), object(name, &uid, None));
        }
        assert_eq!(store.range("Pod", None).count(), 2);
        assert_eq!(store.range("Pod", Some("a")).count(), 1);
        assert_eq!(store.range("Secret", Some("b")).count(), 0);
    }

    #[test]
    fn history_that_was_forgotten_is_an_error_and_no_empty_answer() {
        let mut store = Store::default();
        let key = Key::new("Pod", "a", "1");
        for _ in 0..=HISTORY {
            store.put(key.clone(), object("1", "u", None));
        }
        assert_eq!(store.events_since("Pod", 0).err(), Some(1));
        assert_eq!(store.events_since("Pod", 1).map(|e| e.len()), Ok(HISTORY));
        assert_eq!(store.events_since("Secret", 0).map(|e| e.len()), Ok(0));
        store.forget_history();
        assert!(store.events_since("Secret", 0).is_err());
    }

    #[test]
    fn dependants_follow_the_owner_references_of_the_last_version() {
        let mut store = Store::default();
        let key = Key::new("Pod", "a", "1");
        store.put(key.clone(), object("1", "u", Some("owner")));
        assert_eq!(store.dependants("owner"), vec![key.clone()]);
        store.put(key.clone(), object("1", "u", None));
        assert!(store.dependants("owner").is_empty());
        assert!(store.lives("u"));
        store.remove(&key);
        assert!(!store.lives("u"));
    }
}
