//! What stands behind the API: a few controllers in miniature. They run no containers. Where a node does, they follow
//! what it says of its pods; where there is none, they say what would be said if everything went well, or, for a pod with
//! the annotation [`FAIL`], what would be said if it did not.
//!
//! They run a moment after every write, one round at a time, each round looking once at every object that changed or
//! whose neighbours did. What they do follows from what is stored and nothing else, so a restart continues anywhere.

mod conditions;
mod cron_job;
mod deployment;
mod garbage;
mod job;
mod namespace;
mod pods;
mod replica_set;
mod status;

pub use pods::NODE;

use crate::cluster::Cluster;
use crate::resource::Resource;
use crate::store::{Change, Entry, Key, Store};
use crate::value::{self, Object};
use crate::write::Writer;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The annotation on a pod (set it on the template) that makes it fail; its value is the reason, `CrashLoopBackOff`.
pub const FAIL: &str = "sandbox.toolforge.org/fail";

/// The manager behind what controllers write.
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Objects whose controllers have not looked yet, and when to look again at others.
#[derive(Debug, Default)]
pub struct Dirty {
    keys: BTreeSet<Key>,
    alarms: BTreeMap<Timestamp, BTreeSet<Key>>,
}

impl Dirty {
    /// Marks what changed, and what looks at it.
    pub(crate) fn note(&mut self, changes: &[Change], store: &Store) {
        for change in changes {
            let entry = match change {
                Change::Put(entry) => entry,
                Change::Removed(entry) => {
                    self.keys.extend(store.dependants(&entry.uid));
                    if !entry.key.namespace.is_empty() {
                        self.keys.insert(Key::new("Namespace", "", &entry.key.namespace));
                    }
                    entry
                }
            };
            self.keys.insert(entry.key.clone());
            let owners = |entry: &Entry| entry.owners.iter().filter_map(|uid| store.key_of(uid)).cloned().collect();
            let direct: Vec<Key> = owners(entry);
            // A Deployment waits for the last pod of an old ReplicaSet, whose own numbers are long 0.
            let sets = direct.iter().filter(|key| key.kind == "ReplicaSet").filter_map(|key| store.get(key));
            self.keys.extend(sets.flat_map(|set| owners(set)));
            self.keys.extend(direct);
            self.note_neighbours(&entry.key, store);
        }
    }

    /// Quotas and budgets count what lies beside them.
    fn note_neighbours(&mut self, key: &Key, store: &Store) {
        if matches!(key.kind, "ResourceQuota" | "PodDisruptionBudget" | "Event" | "Lease") {
            return;
        }
        for kind in ["ResourceQuota", "PodDisruptionBudget"] {
            let counting = store.range(kind, Some(&key.namespace));
            self.keys.extend(counting.map(|entry| entry.key.clone()));
        }
    }

    fn wake_at(&mut self, at: Timestamp, key: &Key) {
        self.alarms.entry(at).or_default().insert(key.clone());
    }

    fn take(&mut self, now: Timestamp) -> BTreeSet<Key> {
        let mut keys = std::mem::take(&mut self.keys);
        while let Some(first) = self.alarms.first_entry() {
            if *first.key() > now {
                break;
            }
            keys.extend(first.remove());
        }
        keys
    }
}

impl Cluster {
    /// One round of all controllers. Returns when the next one is due, if nothing happens before.
    pub fn settle(&mut self, now: Timestamp) -> Option<Timestamp> {
        for key in self.dirty.take(now) {
            self.look_at(&key, now);
        }
        self.dirty.alarms.keys().next().copied()
    }

    /// Everything is looked at again, as after a restart.
    pub fn wake_everything(&mut self) {
        let keys: Vec<Key> = self.store.all().map(|entry| entry.key.clone()).collect();
        self.dirty.keys.extend(keys);
    }

    /// The controllers have nothing to do.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.dirty.keys.is_empty() && self.store.has_no_changes()
    }

    fn look_at(&mut self, key: &Key, now: Timestamp) {
        let Some(entry) = self.store.get(key).cloned() else {
            return;
        };
        if self.collect_garbage(&entry, now) {
            return;
        }
        match key.kind {
            "Namespace" => self.tend_namespace(&entry, now),
            "Deployment" => self.tend_deployment(&entry, now),
            "ReplicaSet" => self.tend_replica_set(&entry, now),
            "Pod" => self.tend_pod(&entry, now),
            "Job" => self.tend_job(&entry, now),
            "CronJob" if self.has_node => self.tend_cron_job(&entry, now),
            "PodDisruptionBudget" => self.tend_budget(&entry, now),
            "ResourceQuota" => self.tend_quota(&entry, now),
            "HTTPRoute" => self.tend_route(&entry, now),
            "CustomResourceDefinition" => self.tend_definition(&entry, now),
            "PersistentVolumeClaim" => self.tend_claim(&entry, now),
            _ => {}
        }
    }

    /// Changes an object as a controller. After a refusal the controller looks again when the object changes.
    fn edit(&mut self, by: Option<Writer>, entry: &Arc<Entry>, edit: impl FnOnce(&mut Object)) {
        let Some(mut writer) = by else { return };
        let mut object = entry.object();
        value::metadata(&mut object).remove("resourceVersion");
        edit(&mut object);
        if let Err(refused) = self.change(&mut writer, entry, object) {
            tracing::warn!(key = ?entry.key, %refused, "a controller of the sandbox could not write");
        }
    }

    /// Replaces an object's status as a controller.
    fn set_status(&mut self, entry: &Arc<Entry>, manager: &str, status: Value, now: Timestamp) {
        let writer = writer(entry, manager, now).map(Writer::on_status);
        self.edit(writer, entry, |object| {
            value::metadata(object).insert("resourceVersion".to_owned(), json!(entry.revision.to_string()));
            object.insert("status".to_owned(), status);
        });
    }

    /// Makes an object as a controller.
    fn make(&mut self, kind: &'static str, namespace: &str, object: Value, now: Timestamp) {
        let Some(mut writer) = Writer::of_controller(kind, namespace, CONTROLLER_MANAGER, now) else {
            return;
        };
        if let Err(refused) = self.create(&mut writer, value::object(object)) {
            tracing::warn!(kind, namespace, %refused, "a controller of the sandbox could not create");
        }
    }

    /// What an object controls, of one kind, in name order.
    fn controlled(&self, owner: &Entry, kind: &str) -> Vec<Arc<Entry>> {
        let keys = self.store.dependants(&owner.uid);
        let keys = keys.iter().filter(|key| key.kind == kind);
        keys.filter_map(|key| self.store.get(key)).cloned().collect()
    }
}

fn writer(entry: &Entry, manager: &str, now: Timestamp) -> Option<Writer> {
    Writer::of_controller(entry.key.kind, &entry.key.namespace, manager, now)
}

/// The reference by which a controller owns what it makes.
fn controlled_by(entry: &Entry) -> Value {
    let resource = Resource::by_kind(entry.key.kind);
    json!([{
        "apiVersion": resource.map(Resource::api_version), "kind": entry.key.kind, "name": entry.key.name,
        "uid": entry.uid, "controller": true, "blockOwnerDeletion": true,
    }])
}
