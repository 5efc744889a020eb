//! Changing objects: update, and every patch but server-side apply ends here as well.

use crate::call::{Call, PatchKind};
use crate::cluster::{Cluster, Reply, Written};
use crate::create::same_but_for_times;
use crate::patch::{self, json_patch, strategic};
use crate::route::Part;
use crate::status::{ApiError, Cause};
use crate::store::Entry;
use crate::value::{self, Object};
use crate::write::Writer;
use crate::{managed, normal, scale, validate};
use planner::schema::Schema;
use serde_json::{Value, json};
use std::sync::Arc;

/// Metadata that only the server writes.
const SERVERS_OWN: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "namespace",
    "name",
    "generateName",
];

impl Cluster {
    pub(crate) fn update_from(&mut self, writer: &mut Writer, call: &Call, name: &str) -> Result<Written, ApiError> {
        let entry = self.find(&call.target, name)?;
        let object = if writer.part == Part::Scale {
            scale::check(&call.body, name)?;
            scale::put_into(entry.object(), &call.body)
        } else {
            let object = writer.decode(&call.body)?;
            validate::fields(writer, &call.body)?;
            object
        };
        if value::name(&object) != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                value::name(&object)
            )));
        }
        let entry = self.change(writer, &entry, object)?;
        Ok(Written { code: 200, reply: Reply::Object(entry) })
    }

    pub(crate) fn patch_from(
        &mut self,
        writer: &mut Writer,
        call: &Call,
        name: &str,
        kind: PatchKind,
    ) -> Result<Written, ApiError> {
        if kind == PatchKind::Apply {
            return self.apply_from(writer, call, name);
        }
        if kind == PatchKind::Strategic && writer.resource.is_custom() {
            return Err(ApiError::unsupported_media(
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            ));
        }
        let entry = self.find(&call.target, name)?;
        let object = match writer.part {
            Part::Scale => {
                let scale = scale::of(&entry.object());
                let scale = patched(writer, scale, &call.body, kind)?;
                scale::check(&scale, name)?;
                scale::put_into(entry.object(), &scale)
            }
            _ => {
                let whole = managed::with_type(writer.resource, entry.object());
                let whole = patched(writer, whole, &call.body, kind)?;
                validate::patched(writer, &whole)?;
                writer.decode(&whole)?
            }
        };
        let entry = self.change(writer, &entry, object)?;
        Ok(Written { code: 200, reply: Reply::Object(entry) })
    }

    /// Replaces an object by a new version, as far as the rules allow. Nothing is written if nothing differs.
    ///
    /// # Errors
    /// Every refusal of the real server that the documentation of the sandbox lists.
    pub fn change(&mut self, writer: &mut Writer, entry: &Arc<Entry>, new: Object) -> Result<Arc<Entry>, ApiError> {
        let old = entry.object();
        let mut new = new;
        check_preconditions(writer, entry, &new)?;
        keep_what_is_not_ours(writer, &old, &mut new);
        normal::normalize(writer.resource, &mut new);
        normal::carry_over(writer.resource, &old, &mut new);
        if !writer.applied {
            managed::track(writer, Some(&old), &mut new);
        }
        count_generation(writer, &old, &mut new);
        validate::object(writer, &new, Some(&old))?;
        value::set_revision(&mut new, entry.revision);
        if same_but_for_times(&old, &new) {
            return Ok(entry.clone());
        }
        if value::is_terminating(&new) && is_released(writer, &new) {
            self.remove_unless_dry(writer, entry);
            return Ok(Arc::new(Entry::draft(entry.key.clone(), &new)));
        }
        Ok(self.store_unless_dry(writer, entry.key.clone(), new))
    }

    pub(crate) fn remove_unless_dry(&mut self, writer: &Writer, entry: &Arc<Entry>) -> Arc<Entry> {
        if writer.dry_run {
            return entry.clone();
        }
        let gone = self.store.remove(&entry.key);
        gone.unwrap_or_else(|| entry.clone())
    }
}

/// Nothing holds a terminating object any more.
fn is_released(writer: &Writer, object: &Object) -> bool {
    let spec_finalizers = value::at(object, "spec.finalizers").and_then(Value::as_array);
    let held_by_spec = writer.resource.kind == "Namespace" && spec_finalizers.is_some_and(|list| !list.is_empty());
    let is_being_stopped = value::number(object, "metadata.deletionGracePeriodSeconds").unwrap_or(0) > 0;
    value::finalizers(object).is_empty() && !held_by_spec && !is_being_stopped
}

fn patched(writer: &Writer, target: Value, patch: &Value, kind: PatchKind) -> Result<Value, ApiError> {
    let mut target = target;
    match kind {
        PatchKind::Merge => patch::merge(&mut target, patch),
        PatchKind::Strategic => {
            let row = writer.resource;
            let place = Schema::of(row.group, row.version, row.kind);
            let place = place.unwrap_or(planner::schema::TypeRef::ANY);
            strategic::merge(&mut target, patch, place).map_err(|failed| ApiError::untyped(failed.to_string()))?;
        }
        PatchKind::Json | PatchKind::Apply => {
            target = json_patch::apply(&target, patch).map_err(refused)?;
        }
    }
    Ok(target)
}

fn refused(failed: json_patch::Failed) -> ApiError {
    match failed {
        json_patch::Failed::Malformed(text) => ApiError::bad_request(text),
        // The server hides the reason behind this sentence.
        json_patch::Failed::DoesNotFit(_) => {
            ApiError::unprocessable("the server rejected our request due to an error in our request")
        }
    }
}

fn check_preconditions(writer: &Writer, entry: &Entry, new: &Object) -> Result<(), ApiError> {
    let (row, name) = (writer.resource, &entry.key.name);
    let uid = value::uid(new);
    if !uid.is_empty() && uid != entry.uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", entry.uid);
        return Err(ApiError::conflict(row, name, &why));
    }
    let revision = value::meta(new, "resourceVersion");
    if revision.is_empty() && row.is_custom() && !writer.applied {
        let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        return Err(ApiError::invalid_resource(row, name, cause));
    }
    if !revision.is_empty() && revision != entry.revision.to_string() {
        return Err(ApiError::stale(row, name));
    }
    Ok(())
}

/// Each subresource changes its own part and leaves the rest as it was.
fn keep_what_is_not_ours(writer: &Writer, old: &Object, new: &mut Object) {
    if matches!(writer.part, Part::Status) {
        keep_all_but_status(writer, old, new);
    } else if writer.resource.has_status() {
        put_or_remove(new, "status", old.get("status").cloned());
    }
    for field in SERVERS_OWN {
        let kept = old.get("metadata").and_then(|meta| meta.get(*field));
        put_or_remove(value::metadata(new), field, kept.cloned());
    }
    // Only `/finalize` empties the finalizers of a namespace's spec.
    if writer.resource.kind == "Namespace" && writer.part != Part::Finalize {
        put_or_remove(new, "spec", old.get("spec").cloned());
    }
}

/// A status may come with metadata, except for a custom resource.
fn keep_all_but_status(writer: &Writer, old: &Object, new: &mut Object) {
    put_or_remove(new, "spec", old.get("spec").cloned());
    let kept: &[&str] = match writer.resource.kind {
        _ if writer.resource.is_custom() => {
            let managed_fields = value::metadata(new).remove("managedFields");
            put_or_remove(new, "metadata", old.get("metadata").cloned());
            put_or_remove(value::metadata(new), "managedFields", managed_fields);
            &[]
        }
        "Deployment" => &["labels"],
        "Pod" => &["ownerReferences"],
        _ => &[],
    };
    for field in kept {
        let value = old.get("metadata").and_then(|meta| meta.get(*field));
        put_or_remove(value::metadata(new), field, value.cloned());
    }
}

fn put_or_remove(object: &mut Object, field: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            object.insert(field.to_owned(), value);
        }
        None => {
            object.remove(field);
        }
    }
}

/// The generation counts changes of everything but metadata and status.
fn count_generation(writer: &Writer, old: &Object, new: &mut Object) {
    if !writer.resource.counts_generations() {
        return;
    }
    let counts = |field: &&String| !matches!(field.as_str(), "metadata" | "status" | "apiVersion" | "kind");
    let fields = old.keys().chain(new.keys()).filter(counts);
    let mut differs = fields.into_iter().any(|field| old.get(field) != new.get(field));
    // Deployments count annotations, too, but not those that come with a status.
    if writer.resource.kind == "Deployment" && writer.part != Part::Status {
        differs |= value::at(old, "metadata.annotations") != value::at(new, "metadata.annotations");
    }
    let generation = value::number(old, "metadata.generation").unwrap_or(0) + i64::from(differs);
    value::metadata(new).insert("generation".to_owned(), json!(generation));
}
