//! One request, one answer, and errors that keep apart what must be kept apart: a refusal by the server, no answer at
//! all, and an answer nobody can read. What an error says never quotes a request's or a response's content.

use crate::cluster::address;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use kube::core::response::StatusDetails;
use serde_json::Value;

/// `Content-Type` of a server-side apply.
pub const APPLY: &str = "application/apply-patch+yaml";
/// `Content-Type` of a JSON patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// `Accept` for one object's metadata without its content.
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// `Accept` for a list of metadata.
pub const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const JSON: &str = "application/json";

/// A server's message longer than this is cut.
const MESSAGE_CHARS: usize = 1_000;

/// A request that did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The server said no.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// No answer, or not a whole one.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// An answer nobody can read.
    #[error("unreadable answer: {0}")]
    Garbage(String),
}

/// An answer with an error status.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code} {}", if message.is_empty() { reason } else { message })]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Kubernetes' reason in one word; empty where the answer was no Status.
    pub reason: String,
    /// The server's own words.
    pub message: String,
    /// Seconds from `Retry-After` or the Status.
    pub retry_after_secs: Option<u64>,
    /// What the Status is about.
    pub details: Option<StatusDetails>,
}

/// By whom something is asked: over one pool of connections, as ourselves or as somebody we may speak for.
#[derive(Clone, Copy)]
pub struct By<'a> {
    client: &'a Client,
    user: Option<&'a HeaderValue>,
}

impl<'a> By<'a> {
    /// As this user, where there is one: the API server then knows nobody else's rights.
    #[must_use]
    pub fn user(client: &'a Client, user: Option<&'a HeaderValue>) -> Self {
        Self { client, user }
    }
}

impl<'a> From<&'a Client> for By<'a> {
    fn from(client: &'a Client) -> Self {
        Self { client, user: None }
    }
}

/// What the server answered to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The object as it is now, JSON.
    Object(Bytes),
    /// The object as it is now, JSON; it was made by this very write.
    Made(Bytes),
    /// It is gone.
    Deleted {
        /// Under which uid it was.
        uid: String,
    },
    /// It was to be made, and its name is taken: nothing was written.
    Taken,
}

impl CallError {
    /// The refusal, if the server answered.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// HTTP status, if the server answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.code)
    }

    /// Whether the same request may do better later: nobody answered, the server is in trouble, or it is asked too much.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.code().is_none_or(|code| matches!(code, 408 | 429 | 500..))
    }

    /// The refusal a Status tells, in the middle of a watch.
    #[must_use]
    pub fn of_status(status: Status) -> Self {
        let code = status.code;
        Self::Refused(Box::new(Refusal::of_status(code, status)))
    }

    /// Whether the server says that exactly this object does not exist: a Status with reason NotFound that names it. A
    /// 404 without it may be a missing kind, a proxy or a wrong path, and proves nothing.
    #[must_use]
    pub fn is_not_found(&self, plural: &str, name: &str) -> bool {
        let Some(refusal) = self.refusal().filter(|refusal| refusal.code == 404 && refusal.reason == "NotFound") else {
            return false;
        };
        refusal.details.as_ref().is_some_and(|about| about.name == name && about.kind == plural)
    }
}

/// A GET.
///
/// # Errors
/// As [`CallError`].
pub async fn get(client: &Client, path: &str, accept: Option<&'static str>) -> Result<Bytes, CallError> {
    call(client.into(), Method::GET, path, Some((header::ACCEPT, accept.unwrap_or(JSON))), Vec::new()).await
}

/// A PATCH of any of its kinds.
///
/// # Errors
/// As [`CallError`].
pub async fn patch<'a>(
    by: impl Into<By<'a>>,
    path: &str,
    kind: &'static str,
    body: &Value,
) -> Result<Bytes, CallError> {
    call(by.into(), Method::PATCH, path, Some((header::CONTENT_TYPE, kind)), encode(body)?).await
}

/// A server-side apply by `manager`, forced, unknown fields refused.
///
/// # Errors
/// As [`CallError`].
pub async fn apply<'a>(by: impl Into<By<'a>>, path: &str, manager: &str, body: &Value) -> Result<Bytes, CallError> {
    let pairs = [("fieldManager", manager), ("force", "true"), ("fieldValidation", "Strict")];
    patch(by, &address::query(path, &pairs), APPLY, body).await
}

/// A POST, PUT or DELETE with a JSON body.
///
/// # Errors
/// As [`CallError`].
pub async fn send<'a>(by: impl Into<By<'a>>, method: Method, path: &str, body: &Value) -> Result<Bytes, CallError> {
    call(by.into(), method, path, Some((header::CONTENT_TYPE, JSON)), encode(body)?).await
}

/// Reads an answer as JSON. The error says where, never what.
///
/// # Errors
/// [`CallError::Garbage`].
pub fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(bytes).map_err(|error| CallError::Garbage(place(&error)))
}

/// Where the JSON is wrong. serde's own words can quote a value, and values can be secret.
#[must_use]
pub fn place(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "not the expected JSON",
        serde_json::error::Category::Eof => "JSON that ends too soon",
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => "not JSON",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

/// Sends a request and hands out the answer's body as it comes; a refusal is read whole.
///
/// # Errors
/// As [`CallError`].
pub async fn open(client: &Client, request: Request<Vec<u8>>) -> Result<Body, CallError> {
    let answer = client.send(request.map(Body::from)).await.map_err(|error| CallError::NoAnswer(words(&error)))?;
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    Err(CallError::Refused(Box::new(refusal(answer).await)))
}

async fn call(
    by: By<'_>,
    method: Method,
    path: &str,
    header: Option<(header::HeaderName, &'static str)>,
    body: Vec<u8>,
) -> Result<Bytes, CallError> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    if let Some(user) = by.user {
        request = request.header(IMPERSONATE_USER, user);
    }
    let request = request.body(body).map_err(|error| CallError::NoAnswer(error.to_string()))?;
    let body = open(by.client, request).await?;
    body.collect_bytes().await.map_err(|error| CallError::NoAnswer(words(&error)))
}

fn encode(body: &Value) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(body).map_err(|error| CallError::NoAnswer(place(&error)))
}

async fn refusal(answer: Response<Body>) -> Refusal {
    let code = answer.status().as_u16();
    let header = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let plain =
        |message: String| Refusal { code, reason: String::new(), message, retry_after_secs: None, details: None };
    let mut refusal = match answer.into_body().collect_bytes().await {
        Ok(body) => match serde_json::from_slice::<Status>(&body) {
            Ok(status) => Refusal::of_status(code, status),
            // A proxy's page, or a path the server does not know.
            Err(_) => plain(cut(String::from_utf8_lossy(&body).trim())),
        },
        Err(error) => plain(words(&error)),
    };
    refusal.retry_after_secs = header.or(refusal.retry_after_secs);
    refusal
}

impl Refusal {
    fn of_status(code: u16, status: Status) -> Self {
        let asked = status.details.as_ref().map(|details| u64::from(details.retry_after_seconds));
        Self {
            code,
            reason: status.reason,
            message: cut(&status.message),
            retry_after_secs: asked.filter(|secs| *secs > 0),
            details: status.details,
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The innermost cause: the outer layers only say that a request failed.
pub(crate) fn words(error: &kube::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
