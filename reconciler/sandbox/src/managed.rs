//! Who owns which field: `metadata.managedFields` behind every write, and server-side apply.
//!
//! The merge itself is `planner::merge`, the same code that the property tests of drift stand on. Here is what the server
//! does around it: which parts a subresource may own, and how conflicts are told.

use crate::call::Call;
use crate::cluster::{Cluster, Reply, Written};
use crate::events;
use crate::normal;
use crate::resource::Resource;
use crate::route::Part;
use crate::status::{ApiError, Cause};
use crate::store::Entry;
use crate::value::{self, Object};
use crate::write::Writer;
use planner::fields::{FieldSet, Path};
use planner::merge::{self, Conflict, Refused};
use planner::schema::check::{Mismatch, Wrong};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// The object as the resource shows it, with `apiVersion` and `kind`.
#[must_use]
pub fn with_type(resource: &Resource, object: Object) -> Value {
    let mut object = if resource.group == events::GROUP { events::to_events_v1(object) } else { object };
    object.insert("apiVersion".to_owned(), json!(resource.api_version()));
    object.insert("kind".to_owned(), json!(resource.kind));
    Value::Object(object)
}

/// Records what an update changed.
pub fn track(writer: &Writer, old: Option<&Object>, new: &mut Object) {
    // Fields are owned in the form in which they were written, also those of Events.
    let typed = |object: Object| with_type(writer.resource, object);
    let before = typed(old.map_or_else(|| empty(writer.resource), Object::clone));
    let after = typed(std::mem::take(new));
    let tracked = by(writer, |by| match old {
        Some(_) => merge::update(&before, &after, by),
        None => merge::create(&before, &after, by),
    });
    *new = value::object(tracked);
    if writer.part == Part::Scale && value::number(new, "spec.replicas") == Some(0) {
        disown_replicas(new);
    }
    if writer.resource.group == events::GROUP {
        *new = events::to_stored(std::mem::take(new));
    }
    new.remove("apiVersion");
    new.remove("kind");
}

/// A Scale leaves out `replicas: 0`, and what it leaves out it takes from everybody: a real server's owners of replicas
/// vanish when a workload is scaled to nothing.
fn disown_replicas(object: &mut Object) {
    let typed = Value::Object(object.clone());
    let (mut entries, _) = planner::fields::entries(&typed);
    let replicas: FieldSet = std::iter::once(Path::of_fields(["spec", "replicas"])).collect();
    for entry in &mut entries {
        entry.fields = entry.fields.difference(&replicas);
    }
    let list = planner::fields::write_entries(&entries);
    value::metadata(object).insert("managedFields".to_owned(), list);
}

/// What the server compares a new object with: a zero of its type, in which structs are there and nobody's.
fn empty(resource: &Resource) -> Object {
    let template = json!({"metadata": {}, "spec": {"containers": null}});
    let spec = match resource.kind {
        "Deployment" => json!({"strategy": {}, "template": template}),
        "ReplicaSet" => json!({"template": template}),
        "Job" => json!({"template": template}),
        "CronJob" => json!({"jobTemplate": {"metadata": {}, "spec": {"template": template}}}),
        "NetworkPolicy" => json!({"podSelector": {}}),
        "HorizontalPodAutoscaler" => json!({"scaleTargetRef": {}}),
        "PersistentVolumeClaim" => json!({"resources": {}}),
        _ => json!({}),
    };
    let mut object = value::object(json!({"metadata": {}}));
    match resource.kind {
        "Event" => {
            object.insert("involvedObject".to_owned(), json!({}));
            normal::complete_event(&mut object);
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            object.insert("roleRef".to_owned(), json!({}));
        }
        _ if resource.is_custom() => {}
        _ => {
            object.insert("spec".to_owned(), spec);
        }
    }
    object
}

/// Calls with the writer as the merge knows it.
fn by<T>(writer: &Writer, run: impl FnOnce(&merge::Writer<'_>) -> T) -> T {
    run(&merge::Writer {
        manager: &writer.manager,
        api_version: &writer.resource.api_version(),
        subresource: match writer.part {
            Part::Status => "status",
            Part::Scale => "scale",
            Part::Whole | Part::Finalize | Part::Log => "",
        },
        time: &value::time_text(writer.now),
        resets: &resets(writer),
    })
}

/// The resource in whose form the object is stored: the older one of the two Event resources.
pub(crate) fn stored_as(resource: &Resource) -> &Resource {
    Resource::by_kind(resource.kind).unwrap_or(resource)
}

/// What a write to this part can't change, and so can't own.
fn resets(writer: &Writer) -> FieldSet {
    let fields: &[&str] = match writer.part {
        Part::Status if writer.resource.is_custom() => &["spec", "metadata"],
        Part::Status => &["spec"],
        _ if writer.resource.has_status() => &["status"],
        _ => &[],
    };
    let paths = fields.iter().map(|field| Path::of_fields([*field]));
    paths.collect()
}

/// Conflicts as one sentence, by manager.
#[must_use]
pub fn conflict_text(causes: &[Cause]) -> String {
    if let [only] = causes {
        return format!("{}: {}", only.message, only.field);
    }
    let mut text = String::new();
    let mut last = "";
    for cause in causes {
        if cause.message != last {
            let separator = if text.is_empty() { "" } else { "\n" };
            let many = cause.message.replacen("conflict with", "conflicts with", 1);
            let _infallible = write!(text, "{separator}{many}:");
            last = &cause.message;
        }
        let _infallible = write!(text, "\n- {}", cause.field);
    }
    text
}

impl Cluster {
    pub(crate) fn apply_from(&mut self, writer: &mut Writer, call: &Call, name: &str) -> Result<Written, ApiError> {
        if call.query.manager.is_none() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(ApiError::bad_options("PatchOptions", cause));
        }
        if writer.part == Part::Scale {
            return Err(ApiError::method_not_allowed());
        }
        let applied = applied_object(writer, &call.body, name)?;
        let entry = self.store.get(&writer.key(name)).cloned();
        let (live, code) = match &entry {
            Some(entry) => (with_type(stored_as(writer.resource), entry.object()), 200),
            None if writer.part == Part::Status => {
                return Err(ApiError::not_found(writer.resource, name));
            }
            None => (Value::Null, 201),
        };
        let force = call.query.force;
        let merged = by(writer, |by| merge::apply(&live, &applied, by, force));
        let merged = merged.map_err(|why| refused(writer, &call.body, name, why))?;
        let mut object = value::object(merged.object);
        object.remove("apiVersion");
        object.remove("kind");
        writer.applied = true;
        let entry = self.put_applied(writer, entry, object)?;
        Ok(Written { code, reply: Reply::Object(entry) })
    }

    fn put_applied(
        &mut self,
        writer: &mut Writer,
        entry: Option<Arc<Entry>>,
        object: Object,
    ) -> Result<Arc<Entry>, ApiError> {
        match entry {
            Some(entry) => self.change(writer, &entry, object),
            None if value::uid(&object).is_empty() => self.create(writer, object),
            None => {
                let why = format!(
                    "uid mismatch: the provided object specified uid {}, and no existing object was found",
                    value::uid(&object)
                );
                let name = value::name(&object);
                Err(ApiError::conflict(writer.resource, name, &why))
            }
        }
    }
}

/// What the client applies, checked and completed from the path.
fn applied_object(writer: &Writer, body: &Value, name: &str) -> Result<Value, ApiError> {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let (version, kind) = (text("apiVersion").unwrap_or_default(), text("kind").unwrap_or_default());
    if !version.is_empty() && (version, kind) != (writer.resource.api_version().as_str(), writer.resource.kind) {
        let slash = if version.contains('/') { "" } else { "/" };
        return Err(ApiError::bad_request(format!("invalid object type: {slash}{version}, Kind={kind}")));
    }
    let mut object = writer.decode(body)?;
    let named = value::name(&object);
    if !named.is_empty() && named != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({named}) does not match the name on the URL ({name})"
        )));
    }
    let meta = value::metadata(&mut object);
    meta.insert("name".to_owned(), json!(name));
    let entries = meta.get("managedFields").and_then(Value::as_array);
    if entries.is_some_and(|entries| !entries.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let is_custom = writer.resource.is_custom();
    if !is_custom {
        // Typed clients send these nulls; they mean nothing.
        meta.retain(|_, value| !value.is_null());
    }
    Ok(with_type(stored_as(writer.resource), object))
}

fn refused(writer: &Writer, body: &Value, name: &str, why: Refused) -> ApiError {
    match why {
        Refused::Conflicts(conflicts) => ApiError::apply_conflict(conflicts.iter().flat_map(causes).collect()),
        Refused::Mismatched(mismatches) => {
            let listed: Vec<String> = mismatches.iter().map(mismatch_text).collect();
            // The namespace as the body has it, which may be none.
            let namespace = body.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
            let object = format!("{namespace}/{name}");
            ApiError::untyped(format!(
                "failed to create typed patch object ({object}; {}, Kind={}): {}",
                writer.resource.api_version(),
                writer.resource.kind,
                listed.join("\n")
            ))
        }
        Refused::Unreadable(entry) => ApiError::internal(entry.to_string()),
    }
}

fn mismatch_text(one: &Mismatch) -> String {
    match (&one.wrong, one.path.split_last()) {
        (Wrong::Duplicate, Some((last, list))) => {
            let list = server_path(&Path(list.to_vec()));
            format!("{list}: duplicate entries for key {}", server_path(&Path(vec![last.clone()])))
        }
        (wrong, _) => format!("{}: {wrong}", server_path(&one.path)),
    }
}

fn causes(conflict: &Conflict) -> Vec<Cause> {
    let owner = &conflict.owner;
    let mut who = format!("conflict with \"{}\"", owner.manager);
    if !owner.subresource.is_empty() {
        let _infallible = write!(who, " with subresource \"{}\"", owner.subresource);
    }
    // Appliers are told apart by name alone.
    if owner.operation == planner::fields::Operation::Update {
        let _infallible = write!(who, " using {}", owner.api_version);
    }
    let paths = conflict.fields.paths();
    let cause = |path: &Path| Cause::conflict(server_path(path), who.clone());
    paths.iter().map(cause).collect()
}

/// A path as the server prints it in conflicts: `.spec.containers[name="web"].image`.
fn server_path(path: &Path) -> String {
    use planner::fields::PathElement;
    let element = |element: &PathElement| match element {
        PathElement::Field(name) => format!(".{name}"),
        PathElement::Key(keys) => {
            let pairs = keys.iter().map(|(name, key)| format!("{name}={}", key.0));
            format!("[{}]", pairs.collect::<Vec<_>>().join(","))
        }
        PathElement::Value(key) => format!("[={}]", key.0),
        PathElement::Index(at) => format!("[{at}]"),
    };
    path.iter().map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_told_by_manager() {
        let cause = |who: &str, field: &str| Cause::conflict(field, format!("conflict with {who}"));
        let one = [cause("\"a\" using v1", ".data.x")];
        assert_eq!(conflict_text(&one), "conflict with \"a\" using v1: .data.x");
        let many = [cause("\"a\"", ".x"), cause("\"a\"", ".y"), cause("\"b\"", ".z")];
        assert_eq!(conflict_text(&many), "conflicts with \"a\":\n- .x\n- .y\nconflicts with \"b\":\n- .z");
    }
}
