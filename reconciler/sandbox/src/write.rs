//! What every write has in common: who writes what, when, and how strictly.

use crate::call::Call;
use crate::events;
use crate::resource::Resource;
use crate::route::{FieldValidation, Part};
use crate::status::ApiError;
use crate::store::Key;
use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::Value;

/// One write.
#[derive(Debug)]
pub struct Writer {
    /// Of this resource.
    pub resource: &'static Resource,
    /// In this namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// On this subresource.
    pub part: Part,
    /// By this field manager.
    pub manager: String,
    /// Only to see what would happen.
    pub dry_run: bool,
    /// This strictly.
    pub validation: FieldValidation,
    /// Now.
    pub now: Timestamp,
    /// Managed fields are complete already: the write is an apply.
    pub applied: bool,
    /// For the response's `Warning` headers.
    pub warnings: Vec<String>,
}

impl Writer {
    /// The writer behind a request.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let manager = call.query.manager.as_ref().unwrap_or(&call.agent);
        Self {
            resource: call.target.resource,
            namespace: call.target.namespace.clone().unwrap_or_default(),
            part: call.target.part,
            manager: manager.clone(),
            dry_run: call.query.dry_run,
            validation: call.query.validation,
            now: call.now,
            applied: false,
            warnings: Vec::new(),
        }
    }

    /// A controller of the server's own; none for a kind that is not served.
    #[must_use]
    pub fn of_controller(kind: &str, namespace: &str, manager: &str, now: Timestamp) -> Option<Self> {
        Some(Self {
            resource: Resource::by_kind(kind)?,
            namespace: namespace.to_owned(),
            part: Part::Whole,
            manager: manager.to_owned(),
            dry_run: false,
            validation: FieldValidation::Ignore,
            now,
            applied: false,
            warnings: Vec::new(),
        })
    }

    /// The same writer, on the status.
    #[must_use]
    pub fn on_status(mut self) -> Self {
        self.part = Part::Status;
        self
    }

    /// Where an object of this name stands.
    #[must_use]
    pub fn key(&self, name: &str) -> Key {
        Key::new(self.resource.kind, &self.namespace, name)
    }

    /// The body as an object of the resource: right type, right namespace.
    ///
    /// # Errors
    /// 400 as the server refuses what it can't decode.
    pub fn decode(&self, body: &Value) -> Result<Object, ApiError> {
        let Value::Object(object) = body else {
            return Err(ApiError::bad_request("Object 'Kind' is missing in the request body"));
        };
        let mut object = object.clone();
        self.check_type(&object)?;
        object.remove("apiVersion");
        object.remove("kind");
        if self.resource.group == events::GROUP {
            object = events::to_stored(object);
        }
        self.check_namespace(&mut object)?;
        Ok(object)
    }

    fn check_type(&self, object: &Object) -> Result<(), ApiError> {
        let want = (self.resource.api_version(), self.resource.kind);
        let have = |field| object.get(field).and_then(Value::as_str);
        let (version, kind) = (have("apiVersion"), have("kind"));
        let fits = version.is_none_or(|version| version == want.0) && kind.is_none_or(|kind| kind == want.1);
        if fits {
            return Ok(());
        }
        let (kind, version) = (kind.unwrap_or_default(), version.unwrap_or_default());
        let version = version.rsplit('/').next().unwrap_or_default();
        Err(ApiError::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {}: it is another type",
            self.resource.kind
        )))
    }

    /// The path decides about the namespace; the body may repeat it.
    fn check_namespace(&self, object: &mut Object) -> Result<(), ApiError> {
        let named = value::meta(object, "namespace").to_owned();
        if !named.is_empty() && named != self.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        let meta = value::metadata(object);
        if self.namespace.is_empty() {
            meta.remove("namespace");
        } else {
            meta.insert("namespace".to_owned(), self.namespace.clone().into());
        }
        Ok(())
    }
}
