//! The server's core: requests in, answers and changes out. No clock, no sockets, no files; time and ids are arguments.
//!
//! ```text
//! Call ──read────▶ Answer
//!      ──create, change, remove──▶ Store ──take_changes──▶ journal, controllers, watches
//! ```

use crate::call::{Answer, Call, Verb};
use crate::ids::Ids;
use crate::read::Pages;
use crate::route::Part;
use crate::status::ApiError;
use crate::store::{Change, Entry, Key, Store};
use crate::value::{self, Object};
use crate::view::Renderer;
use crate::write::Writer;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Everything the server knows.
#[derive(Debug)]
pub struct Cluster {
    /// The objects.
    pub store: Store,
    /// Names and uids to come.
    pub ids: Ids,
    /// Rests of long lists.
    pub(crate) pages: Pages,
    pub(crate) dirty: crate::controllers::Dirty,
    pub(crate) addresses: crate::addresses::Addresses,
    /// A node runs the pods; without one it is played that they run.
    pub(crate) has_node: bool,
}

/// A write's result before it is rendered.
#[derive(Debug)]
pub struct Written {
    /// HTTP status.
    pub code: u16,
    /// What is sent back.
    pub reply: Reply,
}

/// The body of a write's answer.
#[derive(Debug)]
pub enum Reply {
    /// The object.
    Object(Arc<Entry>),
    /// Something else, such as a `Status` or a `Scale`.
    Value(Value),
    /// The objects of a collection that were deleted.
    List(Vec<Arc<Entry>>),
}

impl Cluster {
    /// A server without anything in it, also without the namespaces every cluster has.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            store: Store::default(),
            ids: Ids::seeded(seed),
            pages: Pages::default(),
            dirty: crate::controllers::Dirty::default(),
            addresses: crate::addresses::Addresses::default(),
            has_node: false,
        }
    }

    /// Makes what every cluster has from its first second on, where it is missing.
    pub fn bootstrap(&mut self, now: Timestamp) {
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = json!({"metadata": {"name": name}});
            self.ensure("Namespace", "", namespace, now);
        }
        let service = json!({
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
        });
        self.ensure("Service", "default", service, now);
    }

    /// Answers one request.
    pub fn answer(&mut self, call: &Call) -> Answer {
        let result = match call.verb {
            Verb::Get => self.read(call),
            _ => self.write(call),
        };
        result.unwrap_or_else(Answer::from)
    }

    fn write(&mut self, call: &Call) -> Result<Answer, ApiError> {
        let mut writer = Writer::of(call);
        let written = match (call.verb, &call.target.name) {
            (Verb::Create, None) => self.create_from(&mut writer, call),
            (Verb::Update, Some(name)) => self.update_from(&mut writer, call, name),
            (Verb::Patch(kind), Some(name)) => self.patch_from(&mut writer, call, name, kind),
            (Verb::Delete, Some(name)) => self.delete_from(&mut writer, call, name),
            (Verb::Delete, None) => self.delete_collection(&mut writer, call),
            _ => Err(ApiError::method_not_allowed()),
        }?;
        Ok(self.rendered(call, written, writer.warnings))
    }

    fn rendered(&self, call: &Call, written: Written, warnings: Vec<String>) -> Answer {
        let renderer = Renderer { resource: call.target.resource, view: call.view, query: &call.query, now: call.now };
        let body = match written.reply {
            Reply::Value(value) => crate::call::bytes_of(&value),
            Reply::Object(entry) if call.target.part == Part::Scale => {
                let object = entry.object();
                crate::call::bytes_of(&crate::scale::of(&object))
            }
            Reply::Object(entry) => renderer.object(&entry),
            Reply::List(entries) => {
                let meta = json!({"resourceVersion": self.store.revision().to_string()});
                renderer.list(&entries, &meta)
            }
        };
        Answer::Json { code: written.code, body, warnings }
    }

    /// What changed since the last call, oldest first. The controllers have been told of it, too.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let changes = self.store.take_changes();
        self.dirty.note(&changes, &self.store);
        self.addresses.note(&changes);
        changes
    }

    /// The object at a key.
    #[must_use]
    pub fn object(&self, kind: &'static str, namespace: &str, name: &str) -> Option<Object> {
        let entry = self.store.get(&Key::new(kind, namespace, name))?;
        Some(entry.object())
    }

    fn ensure(&mut self, kind: &'static str, namespace: &str, object: Value, now: Timestamp) {
        let object = value::object(object);
        if self.store.get(&Key::new(kind, namespace, value::name(&object))).is_some() {
            return;
        }
        let Some(mut writer) = Writer::of_controller(kind, namespace, "kube-apiserver", now) else {
            return;
        };
        self.create(&mut writer, object).expect("what the server makes for itself is valid");
    }
}
