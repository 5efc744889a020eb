//! Deleting objects: at once, or when the last finalizer is gone.

use crate::call::Call;
use crate::cluster::{Cluster, Reply, Written};
use crate::read::takes;
use crate::route::Part;
use crate::status::{ApiError, Cause};
use crate::store::Entry;
use crate::value::{self, Object};
use crate::write::Writer;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::sync::Arc;

/// The finalizer that keeps an owner until what it owns is gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that keeps an owner until what it owned was set free.
pub(crate) const ORPHAN: &str = "orphan";

/// What becomes of the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// How to delete.
struct Options {
    uid: Option<String>,
    revision: Option<String>,
    propagation: Option<Propagation>,
    grace_secs: Option<i64>,
}

impl Cluster {
    pub(crate) fn delete_from(&mut self, writer: &mut Writer, call: &Call, name: &str) -> Result<Written, ApiError> {
        if writer.part != Part::Whole {
            return Err(ApiError::method_not_allowed());
        }
        let options = options(writer, call)?;
        let entry = self.find(&call.target, name)?;
        self.delete(writer, &entry, &options)
    }

    pub(crate) fn delete_collection(&mut self, writer: &mut Writer, call: &Call) -> Result<Written, ApiError> {
        if writer.resource.kind == "Namespace" || writer.resource.namespaced && writer.namespace.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        let options = options(writer, call)?;
        let namespace = call.target.namespace.as_deref();
        let all = self.store.range(writer.resource.kind, namespace);
        let meant: Vec<_> = all.filter(|entry| takes(&call.query, entry)).cloned().collect();
        for entry in &meant {
            self.delete(writer, entry, &options)?;
        }
        Ok(Written { code: 200, reply: Reply::List(meant) })
    }

    /// Deletes an object as a controller does: with everything it owns, in the background.
    pub(crate) fn delete_quietly(&mut self, writer: &mut Writer, entry: &Arc<Entry>) {
        let options =
            Options { uid: None, revision: None, propagation: Some(Propagation::Background), grace_secs: None };
        self.delete(writer, entry, &options).expect("a deletion without preconditions is never refused");
    }

    fn delete(&mut self, writer: &mut Writer, entry: &Arc<Entry>, options: &Options) -> Result<Written, ApiError> {
        check(writer, entry, options)?;
        let mut object = entry.object();
        let added = finalizer(writer, options);
        let mut finalizers = value::finalizers(&object);
        finalizers.retain(|one| {
            one != FOREGROUND && one != ORPHAN || Some(one.as_str()) == added || options.propagation.is_none()
        });
        if let Some(added) = added
            && !finalizers.iter().any(|one| one == added)
        {
            finalizers.push(added.to_owned());
        }
        let is_namespace = writer.resource.kind == "Namespace";
        let grace_secs = self.grace_secs(entry, &object, options);
        if finalizers.is_empty() && !is_namespace && grace_secs == 0 {
            let gone = self.remove_unless_dry(writer, entry);
            let reply = if returns_object(writer.resource.kind) {
                Reply::Object(gone)
            } else {
                Reply::Value(success(writer, &gone))
            };
            return Ok(Written { code: 200, reply });
        }
        if value::is_terminating(&object) && is_namespace {
            return Err(ApiError::conflict(
                writer.resource,
                &entry.key.name,
                "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will automatically be purged by the system.",
            ));
        }
        value::set_finalizers(&mut object, &finalizers);
        mark(writer, &mut object, grace_secs);
        if object == entry.object() {
            return Ok(Written { code: 200, reply: Reply::Object(entry.clone()) });
        }
        let entry = self.store_unless_dry(writer, entry.key.clone(), object);
        Ok(Written { code: 200, reply: Reply::Object(entry) })
    }

    /// How long a node has to stop a pod before it is gone; 0 where there is nothing to stop.
    fn grace_secs(&self, entry: &Entry, object: &Object, options: &Options) -> i64 {
        let is_over = matches!(value::text(object, "status.phase"), "Succeeded" | "Failed");
        let runs = entry.key.kind == "Pod" && !is_over && !value::text(object, "spec.nodeName").is_empty();
        if !self.has_node || !runs {
            return 0;
        }
        let own = || value::number(object, "spec.terminationGracePeriodSeconds");
        options.grace_secs.or_else(own).unwrap_or(30).max(0)
    }
}

fn check(writer: &Writer, entry: &Entry, options: &Options) -> Result<(), ApiError> {
    let refuse = |what: &str, want: &str, have: &str, may_be: &str| {
        let why = format!(
            "the {what} in the precondition ({want}) does not match the {what} in record ({have}). The object might have been {may_be}"
        );
        Err(ApiError::precondition(writer.resource, &entry.key.name, &why))
    };
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != entry.uid) {
        return refuse("UID", uid, &entry.uid, "deleted and then recreated");
    }
    let revision = entry.revision.to_string();
    if let Some(wanted) = options.revision.as_ref().filter(|r| **r != revision) {
        return refuse("ResourceVersion", wanted, &revision, "modified");
    }
    Ok(())
}

fn mark(writer: &Writer, object: &mut Object, grace_secs: i64) {
    let left = value::number(object, "metadata.deletionGracePeriodSeconds").unwrap_or(0);
    // Asking again can make it shorter and never longer.
    if value::is_terminating(object) && left <= grace_secs {
        return;
    }
    let counts = writer.resource.counts_generations();
    let generation = value::number(object, "metadata.generation").unwrap_or(0);
    let meta = value::metadata(object);
    let gone = writer.now.checked_add(SignedDuration::from_secs(grace_secs)).unwrap_or(writer.now);
    meta.insert("deletionTimestamp".to_owned(), json!(value::time_text(gone)));
    meta.insert("deletionGracePeriodSeconds".to_owned(), json!(grace_secs));
    if counts {
        meta.insert("generation".to_owned(), json!(generation + 1));
    }
    if writer.resource.kind == "Namespace" {
        value::metadata(object).remove("deletionGracePeriodSeconds");
        value::child(object, "status").insert("phase".to_owned(), json!("Terminating"));
    }
}

fn finalizer(writer: &mut Writer, options: &Options) -> Option<&'static str> {
    let propagation = options.propagation.unwrap_or_else(|| {
        if writer.resource.kind != "Job" {
            return Propagation::Background;
        }
        // The one kind whose dependants stay unless told otherwise, a promise from its first days.
        writer.warnings.push("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning".to_owned());
        Propagation::Orphan
    });
    match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    }
}

fn options(writer: &mut Writer, call: &Call) -> Result<Options, ApiError> {
    let body = &call.body;
    let text = |pointer: &str| {
        let text = body.pointer(pointer).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    if body.pointer("/dryRun").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        writer.dry_run = true;
    }
    let orphan = body.get("orphanDependents").and_then(Value::as_bool);
    let named = text("/propagationPolicy").or_else(|| call.query.propagation.clone());
    let propagation = match named.as_deref() {
        None | Some("") => orphan.map(|orphan| if orphan { Propagation::Orphan } else { Propagation::Background }),
        Some("Background") => Some(Propagation::Background),
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Orphan") => Some(Propagation::Orphan),
        Some(other) => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            let cause = Cause::unsupported("propagationPolicy", &json!(other), &known);
            return Err(ApiError::bad_options("DeleteOptions", cause));
        }
    };
    Ok(Options {
        uid: text("/preconditions/uid"),
        revision: text("/preconditions/resourceVersion"),
        propagation,
        grace_secs: body.get("gracePeriodSeconds").and_then(Value::as_i64).or(call.query.grace_secs),
    })
}

/// Most kinds answer a deletion with a `Status`.
fn returns_object(kind: &str) -> bool {
    matches!(kind, "Pod" | "PersistentVolumeClaim" | "ResourceQuota" | "Service" | "ServiceAccount")
}

fn success(writer: &Writer, gone: &Entry) -> Value {
    let mut details = json!({
        "name": gone.key.name, "kind": writer.resource.plural, "uid": gone.uid,
    });
    if !writer.resource.group.is_empty() {
        details["group"] = json!(writer.resource.group);
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    })
}
