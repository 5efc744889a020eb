//! A request as the core takes it, and its answer: no HTTP types, no streams.

use crate::resource::Resource;
use crate::route::{Query, Target};
use crate::status::ApiError;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

/// What the client wants to do with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET.
    Get,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH, of this kind.
    Patch(PatchKind),
    /// DELETE.
    Delete,
}

impl Verb {
    /// What the options of such a request are called.
    #[must_use]
    pub const fn options(self) -> &'static str {
        match self {
            Self::Get => "GetOptions",
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch(_) => "PatchOptions",
            Self::Delete => "DeleteOptions",
        }
    }
}

/// The four kinds of patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`.
    Apply,
}

/// The form in which the client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// As they are.
    #[default]
    Whole,
    /// Rows and columns.
    Table,
    /// Metadata alone.
    Metadata,
}

/// One request to a resource.
#[derive(Debug, Clone)]
pub struct Call {
    /// What to do.
    pub verb: Verb,
    /// With what.
    pub target: Target,
    /// How.
    pub query: Query,
    /// The answer's form.
    pub view: View,
    /// The name before the slash in User-Agent: the field manager of those who name none.
    pub agent: String,
    /// The decoded body; null if there was none.
    pub body: Value,
    /// When.
    pub now: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// JSON, complete.
    Json {
        /// HTTP status.
        code: u16,
        /// The bytes.
        body: Bytes,
        /// `Warning` headers.
        warnings: Vec<String>,
    },
    /// Text for people.
    Text(u16, String),
    /// A stream of events; the shell feeds it from the store.
    Watch(Box<Watch>),
}

/// What a watch sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Of this resource.
    pub resource: &'static Resource,
    /// In this namespace, or in all.
    pub namespace: Option<String>,
    /// What fits these selectors, after this revision.
    pub query: Query,
    /// In this form.
    pub view: View,
    /// After this revision.
    pub since: u64,
    /// First everything that is there.
    pub initial: bool,
}

impl Answer {
    /// A complete JSON answer without warnings.
    #[must_use]
    pub fn json(code: u16, value: &Value) -> Self {
        Self::Json { code, body: bytes_of(value), warnings: Vec::new() }
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Self::json(error.code, &error.to_value())
    }
}

/// A value as bytes.
#[must_use]
pub fn bytes_of(value: &Value) -> Bytes {
    let bytes = serde_json::to_vec(value).expect("a JSON value always serializes");
    Bytes::from(bytes)
}
