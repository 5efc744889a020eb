//! From stored bytes to what the client asked for: whole objects, metadata, or a table; the two forms of an Event.

use crate::call::View;
use crate::events;
use crate::resource::Resource;
use crate::route::Query;
use crate::store::Entry;
use crate::table;
use crate::value::Object;
use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Turns entries into bytes.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    /// The resource that was asked.
    pub resource: &'static Resource,
    /// The form.
    pub view: View,
    /// `includeObject` is read from it.
    pub query: &'a Query,
    /// Ages in tables count from here.
    pub now: Timestamp,
}

impl Renderer<'_> {
    /// One object.
    #[must_use]
    pub fn object(&self, entry: &Entry) -> Bytes {
        match self.view {
            View::Whole => self.whole(entry, true),
            View::Metadata => crate::call::bytes_of(&self.metadata(&entry.object())),
            View::Table => {
                let rows = vec![self.row(entry)];
                let table = table::table(self.resource, rows, json!({"resourceVersion": ""}), true);
                crate::call::bytes_of(&table)
            }
        }
    }

    /// A list, with its metadata.
    #[must_use]
    pub fn list(&self, entries: &[Arc<Entry>], meta: &Value) -> Bytes {
        if self.view == View::Table {
            let rows = entries.iter().map(|entry| self.row(entry)).collect();
            let table = table::table(self.resource, rows, meta.clone(), true);
            return crate::call::bytes_of(&table);
        }
        let (kind, version) = match self.view {
            View::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
            _ => (format!("{}List", self.resource.kind), self.resource.api_version()),
        };
        let mut out = BytesMut::new();
        let head =
            format!("{{\"kind\":{},\"apiVersion\":{},\"metadata\":{meta},\"items\":[", json!(kind), json!(version));
        out.put_slice(head.as_bytes());
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            match self.view {
                View::Metadata => out.put(crate::call::bytes_of(&self.metadata(&entry.object()))),
                _ => out.put(self.whole(entry, self.resource.is_custom())),
            }
        }
        out.put_slice(b"]}");
        out.freeze()
    }

    /// The object of a watch event. Only the first row of a watched table carries the columns.
    #[must_use]
    pub fn event(&self, entry: &Entry, first: bool) -> Bytes {
        if self.view != View::Table {
            return self.object(entry);
        }
        let rows = vec![self.row(entry)];
        let meta = json!({"resourceVersion": entry.revision.to_string()});
        crate::call::bytes_of(&table::table(self.resource, rows, meta, first))
    }

    /// A bookmark's object: nothing but how far the watch has come.
    #[must_use]
    pub fn bookmark(&self, revision: u64, ends_initial_events: bool) -> Value {
        let mut meta = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.view {
            View::Table => table::table(self.resource, Vec::new(), meta, false),
            View::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
            }
            View::Whole => {
                json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": meta})
            }
        }
    }

    /// The stored bytes, with `apiVersion` and `kind` put in front of them.
    fn whole(&self, entry: &Entry, typed: bool) -> Bytes {
        if self.resource.group == events::GROUP {
            let mut object = events::to_events_v1(entry.object());
            if typed {
                self.stamp(&mut object);
            }
            return crate::call::bytes_of(&Value::Object(object));
        }
        if !typed {
            return entry.json.clone();
        }
        let head = format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",", self.resource.api_version(), self.resource.kind);
        let mut out = BytesMut::with_capacity(head.len() + entry.json.len());
        out.put_slice(head.as_bytes());
        out.put_slice(&entry.json[1..]);
        out.freeze()
    }

    fn stamp(&self, object: &mut Object) {
        object.insert("apiVersion".to_owned(), json!(self.resource.api_version()));
        object.insert("kind".to_owned(), json!(self.resource.kind));
    }

    fn metadata(&self, object: &Object) -> Value {
        json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object.get("metadata"),
        })
    }

    fn row(&self, entry: &Entry) -> Value {
        let mut object = entry.object();
        let cells = table::cells(self.resource, &object, self.now);
        let mut row = json!({"cells": cells});
        match self.query.include_object.as_deref() {
            Some("None") => {}
            Some("Object") => {
                self.stamp(&mut object);
                row["object"] = Value::Object(object);
            }
            _ => row["object"] = self.metadata(&object),
        }
        row
    }
}
