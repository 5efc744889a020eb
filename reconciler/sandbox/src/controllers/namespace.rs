//! A namespace has an account from its first second on, and is gone when everything in it is.

use super::{CONTROLLER_MANAGER, writer};
use crate::cluster::Cluster;
use crate::resource::RESOURCES;
use crate::route::Part;
use crate::store::{Entry, Key};
use crate::value;
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Cluster {
    pub(super) fn tend_namespace(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let name = &entry.key.name;
        if value::is_terminating(&entry.object()) {
            return self.empty_namespace(entry, now);
        }
        if self.store.get(&Key::new("ServiceAccount", name, "default")).is_none() {
            self.make("ServiceAccount", name, json!({"metadata": {"name": "default"}}), now);
        }
    }

    fn empty_namespace(&mut self, namespace: &Arc<Entry>, now: Timestamp) {
        let name = namespace.key.name.as_str();
        for entry in self.contents(name) {
            self.delete_as_controller(&entry, now);
        }
        if !self.contents(name).is_empty() {
            return;
        }
        let by = writer(namespace, CONTROLLER_MANAGER, now);
        let by = by.map(|mut by| {
            by.part = Part::Finalize;
            by
        });
        self.edit(by, namespace, |object| {
            value::child(object, "spec").remove("finalizers");
        });
    }

    fn contents(&self, namespace: &str) -> Vec<Arc<Entry>> {
        let kinds: BTreeSet<&'static str> = RESOURCES.iter().filter(|row| row.namespaced).map(|row| row.kind).collect();
        let inside = kinds.into_iter().flat_map(|kind| self.store.range(kind, Some(namespace)));
        inside.cloned().collect()
    }
}
