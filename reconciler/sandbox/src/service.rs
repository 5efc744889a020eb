//! HTTP: a tower service that reads requests into [`Call`]s and writes [`Answer`]s out.

use crate::call::{Answer, Call, PatchKind, Verb, View};
use crate::route::{self, Part, Query, Route};
use crate::server::Shared;
use crate::status::{ApiError, Cause};
use crate::{discovery, openapi, watch};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT, WARNING};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The largest body the server reads, as the real one does.
const MAX_BODY_BYTES: usize = 3 << 20;

/// The body of a response: a document, or the events of a watch for as long as it lives.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The API as a tower service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SandboxService(pub(crate) Arc<Shared>);

impl<B> tower::Service<Request<B>> for SandboxService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move { Ok(respond(shared, request).await) })
    }
}

async fn respond<B>(shared: Arc<Shared>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let path = request.uri().path();
    let Some(route) = route::parse(path) else {
        return if route::is_inside_served_group(path) {
            json(&ApiError::no_such_path().into())
        } else {
            text(404, "404 page not found\n")
        };
    };
    let target = match route {
        Route::Target(target) => target,
        fixed => return document(&fixed, request.headers()),
    };
    let (parts, body) = request.into_parts();
    if target.part == Part::Log && parts.method == Method::GET && shared.logs().is_some() {
        return crate::logs::respond(&shared, &target, parts.uri.query().unwrap_or_default()).await;
    }
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return json(&ApiError::too_long().into());
    };
    let call = call(&shared, target, &parts, &body.to_bytes());
    match call {
        Ok(call) => match shared.answer(&call).await {
            Answer::Watch(watch) => stream(shared, *watch),
            answer => json(&answer),
        },
        Err(error) => json(&error.into()),
    }
}

/// What is the same for every state of the cluster.
fn document(route: &Route, headers: &HeaderMap) -> Response<Body> {
    let aggregated = accepts(headers, "as=APIGroupDiscoveryList");
    let (value, content_type) = match route {
        Route::Health => return text(200, "ok"),
        Route::Version => (Some(discovery::version()), "application/json"),
        Route::CoreVersions if aggregated => (Some(discovery::aggregated(true)), discovery::AGGREGATED),
        Route::Groups if aggregated => (Some(discovery::aggregated(false)), discovery::AGGREGATED),
        Route::CoreVersions => (Some(discovery::core_versions()), "application/json"),
        Route::Groups => (Some(discovery::groups()), "application/json"),
        Route::Group(group) => (discovery::one_group(group), "application/json"),
        Route::Resources(group, version) => (discovery::resources(group, version), "application/json"),
        Route::OpenApiIndex => (Some(openapi::index()), "application/json"),
        Route::OpenApi(group, version) => (openapi::document(group, version), "application/json"),
        Route::Target(_) => (None, "application/json"),
    };
    match value {
        Some(value) => full(200, content_type, crate::call::bytes_of(&value)),
        None => text(404, "404 page not found\n"),
    }
}

fn call(shared: &Shared, target: route::Target, parts: &http::request::Parts, body: &Bytes) -> Result<Call, ApiError> {
    let verb = verb(&parts.method, &parts.headers, &target)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    if let Some(other) = &query.bad_dry_run {
        let cause = Cause::unsupported("dryRun", &json!([other]), &["All"]);
        return Err(ApiError::bad_options(verb.options(), cause));
    }
    Ok(Call {
        verb,
        target,
        query,
        view: view(&parts.headers),
        agent: agent(&parts.headers),
        body: decode(verb, &parts.headers, body)?,
        now: shared.now(),
    })
}

fn verb(method: &Method, headers: &HeaderMap, target: &route::Target) -> Result<Verb, ApiError> {
    match *method {
        Method::PATCH | Method::PUT if target.name.is_none() => Err(ApiError::method_not_allowed()),
        Method::GET | Method::HEAD => Ok(Verb::Get),
        Method::POST => Ok(Verb::Create),
        Method::PUT => Ok(Verb::Update),
        Method::DELETE => Ok(Verb::Delete),
        Method::PATCH => match content_type(headers) {
            "application/json-patch+json" => Ok(Verb::Patch(PatchKind::Json)),
            "application/merge-patch+json" => Ok(Verb::Patch(PatchKind::Merge)),
            "application/strategic-merge-patch+json" => Ok(Verb::Patch(PatchKind::Strategic)),
            "application/apply-patch+yaml" => Ok(Verb::Patch(PatchKind::Apply)),
            _ => Err(ApiError::unsupported_media("415: Unsupported Media Type")),
        },
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn decode(verb: Verb, headers: &HeaderMap, body: &Bytes) -> Result<Value, ApiError> {
    if body.is_empty() || verb == Verb::Get {
        return Ok(Value::Null);
    }
    let unreadable =
        |error: &dyn std::fmt::Display| ApiError::bad_request(format!("error decoding the request body: {error}"));
    match content_type(headers) {
        "application/yaml" | "application/apply-patch+yaml" => {
            // JSON is YAML, and its own reader is faster.
            if let Ok(value) = serde_json::from_slice(body) {
                return Ok(value);
            }
            let text = std::str::from_utf8(body).map_err(|error| unreadable(&error))?;
            serde_yaml::from_str(text).map_err(|error| unreadable(&error))
        }
        other if other.contains("json") || other.is_empty() => {
            serde_json::from_slice(body).map_err(|error| unreadable(&error))
        }
        other => Err(ApiError::unsupported_media(format!(
            "the sandbox reads application/json and application/yaml, not {other}; with kubectl, add `--dry-run=client -o yaml` and pipe into `kubectl apply -f -`"
        ))),
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.unwrap_or_default().split(';').next();
    kind.unwrap_or_default().trim()
}

fn accepts(headers: &HeaderMap, what: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut texts = values.filter_map(|value| value.to_str().ok());
    texts.any(|text| text.replace(' ', "").contains(what))
}

fn view(headers: &HeaderMap) -> View {
    if accepts(headers, "as=Table") {
        View::Table
    } else if accepts(headers, "as=PartialObjectMetadata") {
        View::Metadata
    } else {
        View::Whole
    }
}

/// The first word of User-Agent, as the real server names managers that name none.
fn agent(headers: &HeaderMap) -> String {
    let value = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    let name = value.unwrap_or_default().split('/').next();
    match name.unwrap_or_default() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

fn stream(shared: Arc<Shared>, watch: crate::call::Watch) -> Response<Body> {
    let lines = watch::lines(shared, watch).map(|line| Ok::<_, Infallible>(Frame::data(line)));
    let body = StreamBody::new(lines).boxed_unsync();
    answered(200, "application/json", body)
}

pub(crate) fn json(answer: &Answer) -> Response<Body> {
    match answer {
        Answer::Json { code, body, warnings } => {
            let mut response = full(*code, "application/json", body.clone());
            for warning in warnings {
                let text = format!("299 - {}", json!(warning));
                if let Ok(value) = text.parse() {
                    response.headers_mut().append(WARNING, value);
                }
            }
            response
        }
        Answer::Text(code, words) => text(*code, words),
        Answer::Watch(_) => json(&ApiError::internal("a watch is no document").into()),
    }
}

pub(crate) fn text(code: u16, words: &str) -> Response<Body> {
    full(code, "text/plain; charset=utf-8", Bytes::copy_from_slice(words.as_bytes()))
}

fn full(code: u16, content_type: &str, body: Bytes) -> Response<Body> {
    answered(code, content_type, Full::new(body).boxed_unsync())
}

pub(crate) fn answered(code: u16, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}
