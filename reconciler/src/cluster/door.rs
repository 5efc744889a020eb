//! The door every request passes: it counts by verb and limits the time. A tower layer, so that it holds for the typed
//! client, for our own calls, for the sandbox and for a test's double alike.
//!
//! A plain request must have answered *whole* within [`PLAIN_LIMIT`]. A stream (watch, followed log) must have begun to
//! answer within it; how long it may then be silent is its reader's business.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{BoxError, Layer, Service};

/// How long a plain request may take, answer included.
pub const PLAIN_LIMIT: Duration = Duration::from_secs(30);

/// What is asked of the API server, in Kubernetes' words; an `apply` is told apart from other patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words are Kubernetes'")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Apply,
    Patch,
    Delete,
    Other,
}

impl EncodeLabelValue for Verb {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        let word = match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Apply => "apply",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Other => "other",
        };
        word.encode(encoder)
    }
}

/// The label of a request counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByVerb {
    /// The verb.
    pub verb: Verb,
}

/// Requests sent, by verb. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Requests(Family<ByVerb, Counter>);

impl Requests {
    /// How many of one verb were sent.
    #[must_use]
    pub fn of(&self, verb: Verb) -> u64 {
        self.0.get_or_create(&ByVerb { verb }).get()
    }

    /// For the metrics registry.
    #[must_use]
    pub fn family(&self) -> Family<ByVerb, Counter> {
        self.0.clone()
    }
}

/// No whole answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {secs} s")]
pub struct TimedOut {
    /// The limit in seconds.
    pub secs: u64,
}

/// The layer.
#[derive(Debug, Clone)]
pub struct Door {
    requests: Requests,
    limit: Duration,
}

impl Door {
    /// A door that counts into `requests`.
    #[must_use]
    pub fn new(requests: &Requests) -> Self {
        Self { requests: requests.clone(), limit: PLAIN_LIMIT }
    }

    /// The same with another limit than [`PLAIN_LIMIT`].
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

impl<S> Layer<S> for Door {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, door: self.clone() }
    }
}

/// A service behind the door.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    door: Door,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let verb = verb(&request);
        self.door.requests.0.get_or_create(&ByVerb { verb }).inc();
        let limit = self.door.limit;
        let stream = is_stream(request.uri());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let whole = async {
                let (parts, body) = answer.await.map_err(Into::into)?.into_parts();
                let body = body.map_err(Into::into);
                if stream {
                    return Ok(Response::from_parts(parts, body.boxed_unsync()));
                }
                let bytes = body.collect().await?.to_bytes();
                Ok(Response::from_parts(parts, Full::new(bytes).map_err(|never| match never {}).boxed_unsync()))
            };
            match tokio::time::timeout(limit, whole).await {
                Ok(answered) => answered,
                Err(_) => Err(TimedOut { secs: limit.as_secs() }.into()),
            }
        })
    }
}

fn is_stream(uri: &Uri) -> bool {
    let asks = |key: &str| {
        uri.query().is_some_and(|query| {
            url::form_urlencoded::parse(query.as_bytes())
                .any(|(name, value)| name == key && !matches!(&*value, "" | "0" | "false"))
        })
    };
    asks("watch") || asks("follow")
}

fn verb(request: &Request<Body>) -> Verb {
    match *request.method() {
        Method::GET if is_stream(request.uri()) => Verb::Watch,
        Method::GET => read_verb(request.uri().path()),
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::DELETE => Verb::Delete,
        Method::PATCH => {
            let kind = request.headers().get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
            if kind.is_some_and(|kind| kind.starts_with(b"application/apply-patch")) {
                Verb::Apply
            } else {
                Verb::Patch
            }
        }
        _ => Verb::Other,
    }
}

/// `/apis/apps/v1/namespaces/a/deployments` is a list, with `/web` it is a get; `/api/v1/namespaces/a` is a get too.
fn read_verb(path: &str) -> Verb {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let below_group = match parts.next() {
        Some("api") => parts.next().is_some(),
        Some("apis") => parts.nth(1).is_some(),
        _ => false,
    };
    let rest: Vec<&str> = parts.collect();
    let rest = if rest.first() == Some(&"namespaces") && rest.len() > 2 { &rest[2..] } else { &rest[..] };
    match rest.len() {
        _ if !below_group => Verb::Other,
        0 => Verb::Other,
        1 => Verb::List,
        _ => Verb::Get,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_under_kubernetes_own_verbs() {
        let cases = [
            ("GET", "/api/v1/namespaces", Verb::List),
            ("GET", "/api/v1/namespaces/a", Verb::Get),
            ("GET", "/apis/apps/v1/namespaces/a/deployments?limit=5", Verb::List),
            ("GET", "/apis/apps/v1/namespaces/a/deployments/web", Verb::Get),
            ("GET", "/apis/toolforge.org/v1alpha1/tools/a/status", Verb::Get),
            ("GET", "/apis/apps/v1/deployments?watch=1&timeoutSeconds=5", Verb::Watch),
            ("GET", "/api/v1/namespaces/a/pods/b/log?follow=true", Verb::Watch),
            ("GET", "/version", Verb::Other),
            ("GET", "/apis/apps/v1", Verb::Other),
            ("POST", "/api/v1/namespaces", Verb::Create),
            ("DELETE", "/api/v1/namespaces/a", Verb::Delete),
        ];
        for (method, path, expected) in cases {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
            assert_eq!(verb(&request), expected, "{method} {path}");
        }
        for (kind, expected) in
            [("application/apply-patch+yaml", Verb::Apply), ("application/json-patch+json", Verb::Patch)]
        {
            let request =
                Request::patch("/x").header(header::CONTENT_TYPE, kind).body(Body::empty()).expect("a request");
            assert_eq!(verb(&request), expected);
        }
    }
}
