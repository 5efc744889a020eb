//! Making objects.

use crate::call::Call;
use crate::cluster::{Cluster, Reply, Written};
use crate::route::Part;
use crate::status::{ApiError, Cause};
use crate::store::{Entry, Key};
use crate::value::{self, Object};
use crate::write::Writer;
use crate::{managed, normal, validate};
use serde_json::{Value, json};
use std::sync::Arc;

impl Cluster {
    pub(crate) fn create_from(&mut self, writer: &mut Writer, call: &Call) -> Result<Written, ApiError> {
        if writer.part != Part::Whole {
            return Err(ApiError::method_not_allowed());
        }
        if writer.resource.namespaced && writer.namespace.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        let object = writer.decode(&call.body)?;
        validate::fields(writer, &call.body)?;
        Ok(Written { code: 201, reply: Reply::Object(self.create(writer, object)?) })
    }

    /// Creates an object, as far as the rules allow.
    ///
    /// # Errors
    /// Every refusal of the real server that the documentation of the sandbox lists.
    pub fn create(&mut self, writer: &mut Writer, object: Object) -> Result<Arc<Entry>, ApiError> {
        let mut object = object;
        if !writer.namespace.is_empty() {
            value::metadata(&mut object).insert("namespace".to_owned(), json!(writer.namespace));
        }
        self.name(writer, &mut object)?;
        let key = writer.key(value::name(&object));
        self.check_lifecycle(writer, &key)?;
        if self.store.get(&key).is_some() {
            return Err(ApiError::already_exists(writer.resource, &key.name));
        }
        self.prepare(writer, &mut object)?;
        normal::normalize(writer.resource, &mut object);
        if !writer.applied {
            managed::track(writer, None, &mut object);
        }
        self.allocate(writer, &mut object);
        validate::object(writer, &object, None)?;
        Ok(self.store_unless_dry(writer, key, object))
    }

    fn name(&mut self, writer: &Writer, object: &mut Object) -> Result<(), ApiError> {
        if !value::name(object).is_empty() {
            return Ok(());
        }
        let prefix = value::meta(object, "generateName").to_owned();
        if prefix.is_empty() {
            let cause = Cause::required("metadata.name", "name or generateName is required");
            return Err(ApiError::invalid(writer.resource, "", vec![cause]));
        }
        let name = format!("{prefix}{}", self.ids.suffix());
        value::metadata(object).insert("name".to_owned(), json!(name));
        Ok(())
    }

    /// Nothing is made in a namespace that is missing or going.
    fn check_lifecycle(&self, writer: &Writer, key: &Key) -> Result<(), ApiError> {
        if !writer.resource.namespaced {
            return Ok(());
        }
        let namespaces = crate::resource::Resource::by_kind("Namespace");
        let missing = || namespaces.map_or_else(ApiError::no_such_path, |row| ApiError::not_found(row, &key.namespace));
        let namespace = self.object("Namespace", "", &key.namespace).ok_or_else(missing)?;
        if !value::is_terminating(&namespace) {
            return Ok(());
        }
        let why = format!("unable to create new content in namespace {} because it is being terminated", key.namespace);
        let mut error = ApiError::forbidden(writer.resource, &key.name, &why);
        error.causes = vec![Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {} is being terminated", key.namespace),
            field: "metadata.namespace".to_owned(),
        }];
        Err(error)
    }

    /// What the server decides about a new object, whatever the client wrote there.
    fn prepare(&mut self, writer: &Writer, object: &mut Object) -> Result<(), ApiError> {
        // An apply may name the version it was made for, also of what is not there.
        if !writer.applied && !value::meta(object, "resourceVersion").is_empty() {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        if writer.resource.has_status() {
            object.remove("status");
        }
        let uid = self.ids.uid();
        let meta = value::metadata(object);
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
            meta.remove(field);
        }
        meta.insert("uid".to_owned(), json!(uid));
        let now = value::time_text(writer.now);
        meta.insert("creationTimestamp".to_owned(), json!(now));
        if writer.resource.counts_generations() {
            meta.insert("generation".to_owned(), json!(1));
        }
        Ok(())
    }

    /// What the server fills in for one kind and no client can know.
    fn allocate(&mut self, writer: &Writer, object: &mut Object) {
        match writer.resource.kind {
            "Service" => {
                self.addresses.fill_in(object, &self.store);
                object.insert("status".to_owned(), json!({"loadBalancer": {}}));
            }
            "Job" => normal::select_own_pods(object),
            "Namespace" => {
                value::child(object, "spec").insert("finalizers".to_owned(), json!(["kubernetes"]));
                object.insert("status".to_owned(), json!({"phase": "Active"}));
            }
            "Pod" | "PersistentVolumeClaim" => {
                object.insert("status".to_owned(), json!({"phase": "Pending"}));
            }
            "Ingress" => {
                object.insert("status".to_owned(), json!({"loadBalancer": {}}));
            }
            "ReplicaSet" => {
                object.insert("status".to_owned(), json!({"replicas": 0}));
            }
            "PodDisruptionBudget" => {
                let zeros =
                    json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
                object.insert("status".to_owned(), zeros);
            }
            _ if writer.resource.has_status() && !writer.resource.is_custom() => {
                object.insert("status".to_owned(), json!({}));
            }
            _ => {}
        }
    }

    /// Stores the object, or shows what would be stored.
    pub(crate) fn store_unless_dry(&mut self, writer: &Writer, key: Key, object: Object) -> Arc<Entry> {
        if writer.dry_run {
            return Arc::new(Entry::draft(key, &object));
        }
        self.store.put(key, object)
    }
}

/// Whether two objects are the same thing written at different times: only the times of managed fields differ.
#[must_use]
pub(crate) fn same_but_for_times(one: &Object, other: &Object) -> bool {
    let without = |object: &Object| {
        let mut object = object.clone();
        object.remove("apiVersion");
        object.remove("kind");
        let entries = value::metadata(&mut object).get_mut("managedFields");
        let entries = entries.and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
        object
    };
    without(one) == without(other)
}
