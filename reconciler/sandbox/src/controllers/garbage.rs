//! Owners and what they own: what is left behind is deleted, and owners wait if they were asked to.

use super::{CONTROLLER_MANAGER, writer};
use crate::cluster::Cluster;
use crate::remove::{FOREGROUND, ORPHAN};
use crate::store::Entry;
use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

impl Cluster {
    /// Deletes an object whose owners are all gone, and frees or deletes what a terminating owner owns. True if there is
    /// nothing left for other controllers to do.
    pub(super) fn collect_garbage(&mut self, entry: &Arc<Entry>, now: Timestamp) -> bool {
        let has_owner = entry.owners.iter().any(|uid| self.store.lives(uid));
        if !entry.owners.is_empty() && !has_owner {
            self.delete_as_controller(entry, now);
            return true;
        }
        let object = entry.object();
        if !value::is_terminating(&object) {
            return false;
        }
        let finalizers = value::finalizers(&object);
        if entry.key.kind == "Pod" && finalizers.is_empty() && !self.has_node {
            // It was to be stopped by a node that is no longer there.
            self.delete_as_controller(entry, now);
        } else if finalizers.iter().any(|one| one == ORPHAN) {
            self.set_free(entry, now);
            self.drop_finalizer(entry, ORPHAN, now);
        } else if finalizers.iter().any(|one| one == FOREGROUND) {
            self.finish_foreground(entry, now);
        }
        entry.key.kind != "Namespace"
    }

    pub(super) fn delete_as_controller(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        if let Some(mut writer) = writer(entry, CONTROLLER_MANAGER, now) {
            self.delete_quietly(&mut writer, entry);
        }
    }

    fn set_free(&mut self, owner: &Arc<Entry>, now: Timestamp) {
        for key in self.store.dependants(&owner.uid) {
            let Some(entry) = self.store.get(&key).cloned() else {
                continue;
            };
            let by = writer(&entry, CONTROLLER_MANAGER, now);
            self.edit(by, &entry, |object| disown(object, &owner.uid));
        }
    }

    fn finish_foreground(&mut self, owner: &Arc<Entry>, now: Timestamp) {
        let dependants = self.store.dependants(&owner.uid);
        if dependants.is_empty() {
            return self.drop_finalizer(owner, FOREGROUND, now);
        }
        for key in dependants {
            if let Some(entry) = self.store.get(&key).cloned() {
                self.delete_as_controller(&entry, now);
            }
        }
    }

    fn drop_finalizer(&mut self, entry: &Arc<Entry>, finalizer: &str, now: Timestamp) {
        let by = writer(entry, CONTROLLER_MANAGER, now);
        self.edit(by, entry, |object| {
            let mut finalizers = value::finalizers(object);
            finalizers.retain(|one| one != finalizer);
            value::set_finalizers(object, &finalizers);
        });
    }
}

fn disown(object: &mut Object, uid: &str) {
    let owners = value::metadata(object).get_mut("ownerReferences");
    if let Some(owners) = owners.and_then(Value::as_array_mut) {
        owners.retain(|owner| owner["uid"] != uid);
    }
}
