//! Refusals, spelled as the real API server spells them: clients read `reason`, `code` and `details.causes`.

use crate::resource::Resource;
use serde_json::{Value, json};

/// One thing that is wrong, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, …
    pub reason: &'static str,
    /// The fragment after the field's path.
    pub message: String,
    /// Dotted path, `spec.template.spec.containers[0].name`.
    pub field: String,
}

impl Cause {
    fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        Self { reason, message, field: field.into() }
    }

    /// A value that breaks its field's rule.
    #[must_use]
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self::new("FieldValueInvalid", field, message)
    }

    /// A field that must be there.
    #[must_use]
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Self::new("FieldValueRequired", field, message)
    }

    /// A value outside a closed set.
    #[must_use]
    pub fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let listed: Vec<String> = supported.iter().map(|one| format!("\"{one}\"")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", listed.join(", "));
        Self::new("FieldValueNotSupported", field, message)
    }

    /// The second of two equal values where each may stand once.
    #[must_use]
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
    }

    /// A value that may not be there in this place.
    #[must_use]
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    /// Another manager owns the field.
    #[must_use]
    pub fn conflict(field: impl Into<String>, message: String) -> Self {
        Self::new("FieldManagerConflict", field, message)
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub code: u16,
    /// The word clients switch on, such as `NotFound`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// `details.kind`: a resource's plural, or the kind for `Invalid`.
    pub kind: &'static str,
    /// `details.group`.
    pub group: &'static str,
    /// `details.name`.
    pub name: Box<str>,
    /// `details.causes`.
    pub causes: Vec<Cause>,
}

impl ApiError {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), kind: "", group: "", name: Box::default(), causes: Vec::new() }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.kind = resource.plural;
        self.group = resource.group;
        self.name = name.into();
        self
    }

    /// 404 for an object.
    #[must_use]
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::plain(404, "NotFound", message).about(resource, name)
    }

    /// 404 for a path that names nothing served here.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::plain(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::plain(409, "AlreadyExists", message).about(resource, name)
    }

    /// 409: somebody was faster.
    #[must_use]
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::plain(409, "Conflict", message).about(resource, name)
    }

    /// 409 of an optimistic update.
    #[must_use]
    pub fn stale(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 409 of an apply without force: other managers own the fields.
    #[must_use]
    pub fn apply_conflict(causes: Vec<Cause>) -> Self {
        let one = if causes.len() == 1 { "conflict" } else { "conflicts" };
        let listed = crate::managed::conflict_text(&causes);
        let message = format!("Apply failed with {} {one}: {listed}", causes.len());
        Self { causes, ..Self::plain(409, "Conflict", message) }
    }

    /// 422: the object breaks rules, all of them listed.
    #[must_use]
    pub fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        let listed: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let text = match listed.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{name}\" is invalid: {text}", resource.qualified_kind());
        let mut error = Self::plain(422, "Invalid", message).about(resource, name);
        error.kind = resource.kind;
        error.causes = causes;
        error
    }

    /// 422 that names the resource instead of the kind, as updates of custom resources do.
    #[must_use]
    pub fn invalid_resource(resource: &Resource, name: &str, cause: Cause) -> Self {
        let text = format!("{} \"{name}\" is invalid: {}: {}", resource.qualified(), cause.field, cause.message);
        Self { causes: vec![cause], ..Self::plain(422, "Invalid", text).about(resource, name) }
    }

    /// 422 of a patch whose result can't be decoded.
    #[must_use]
    pub fn bad_patch(patched: &Value, why: &str) -> Self {
        let cause = Cause::invalid("patch", &json!(patched.to_string()), why);
        let message = format!(" \"\" is invalid: patch: {}", cause.message);
        Self { causes: vec![cause], ..Self::plain(422, "Invalid", message) }
    }

    /// 422 of a request's options.
    #[must_use]
    pub fn bad_options(kind: &'static str, cause: Cause) -> Self {
        let message = format!("{kind}.meta.k8s.io \"\" is invalid: {}: {}", cause.field, cause.message);
        Self { kind, group: "meta.k8s.io", causes: vec![cause], ..Self::plain(422, "Invalid", message) }
    }

    /// 409 of a deletion that meant another object.
    #[must_use]
    pub fn precondition(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.kind);
        let mut error = Self::plain(409, "Conflict", message).about(resource, name);
        error.kind = resource.kind;
        error.group = "";
        error
    }

    /// 422 without an object, as the server answers a patch that can't be applied.
    #[must_use]
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::plain(422, "Invalid", message)
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 401: no token, or a wrong one.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    /// 403 by a rule of admission.
    #[must_use]
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified());
        Self::plain(403, "Forbidden", message).about(resource, name)
    }

    /// 403 for a request that comes from a place that may not ask at all.
    #[must_use]
    pub fn foreign(why: &str) -> Self {
        Self::plain(403, "Forbidden", why)
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::plain(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 410: the history does not reach that far back.
    #[must_use]
    pub fn expired(wanted: u64, oldest: u64) -> Self {
        Self::plain(410, "Expired", format!("too old resource version: {wanted} ({oldest})"))
    }

    /// 410 of a list's continue token.
    #[must_use]
    pub fn continue_expired() -> Self {
        Self::plain(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        )
    }

    /// 504: a resource version that was not reached yet.
    #[must_use]
    pub fn too_large(wanted: u64, newest: u64) -> Self {
        let message = format!("Too large resource version: {wanted}, current: {newest}");
        let mut error = Self::plain(504, "Timeout", message);
        error.causes = vec![Cause::new("ResourceVersionTooLarge", "", "Too large resource version".to_owned())];
        error
    }

    /// 413.
    #[must_use]
    pub fn too_long() -> Self {
        Self::plain(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media(message: impl Into<String>) -> Self {
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// 500 without a reason, as the server answers an apply that it can't read.
    #[must_use]
    pub fn untyped(message: impl Into<String>) -> Self {
        Self::plain(500, "", message)
    }

    /// 500: the sandbox itself could not do it, for instance because its disk is full.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::plain(500, "InternalError", message)
    }

    /// Answers that the server makes without looking at an object have empty details.
    fn is_generic(&self) -> bool {
        match self.code {
            404 | 405 => true,
            415 => self.message.starts_with("415"),
            422 => self.reason == "Invalid" && self.causes.is_empty(),
            _ => false,
        }
    }

    /// The `Status` object that goes over the wire.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut details = serde_json::Map::new();
        for (key, text) in [("name", &*self.name), ("group", self.group), ("kind", self.kind)] {
            if !text.is_empty() {
                details.insert(key.to_owned(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            let causes: Vec<Value> = self.causes.iter().map(Cause::to_value).collect();
            details.insert("causes".to_owned(), causes.into());
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !details.is_empty() || self.is_generic() {
            status["details"] = Value::Object(details);
        }
        status
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = json!({"reason": self.reason, "message": self.message});
        if !self.field.is_empty() {
            cause["field"] = json!(self.field);
        }
        cause
    }
}
