//! One request to a registry, with whatever it wants before it answers: nothing, a password, or a token for exactly
//! this access. Nothing but the [`Dialer`](crate::dialer::Dialer) sends it.

use super::challenge::Challenge;
use super::fault::{At, Doing};
use super::tokens::{Access, Scope};
use super::{MAX_TOKEN_BYTES, Registry, RegistryError, TIMEOUT, is_loopback};
use crate::dialer::{self, Ask, Credentials, DialError, Secret, authority};
use http::{Method, StatusCode};
use serde::Deserialize;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use url::Url;

/// A request that may have to be sent twice.
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub scope: Scope,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: Method, url: Url, scope: Scope) -> Self {
        Self { method, url, scope, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What went over the wire, headers not counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    requests: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

/// What went over the wire so far, headers not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Requests, those for tokens and those that were sent again included.
    pub requests: u64,
    /// Bodies of requests.
    pub sent_bytes: u64,
    /// Bodies of answers.
    pub received_bytes: u64,
}

/// Not Debug: it holds a token.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Registry {
    /// What this reader has sent and received so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counted { requests, sent_bytes, received_bytes } = &self.counted;
        Traffic { requests: read(requests), sent_bytes: read(sent_bytes), received_bytes: read(received_bytes) }
    }

    /// The answer, whatever its status; where the registry wants authentication, that is done, once.
    pub(super) async fn exchange(&self, request: &Request) -> Result<reqwest::Response, RegistryError> {
        let registry = &request.scope.registry;
        // A registry may name another host to upload to. It gets what we upload, and nothing else.
        if !self.is_itself(registry, &request.url) {
            return self.send(request, None, None).await;
        }
        let token = self.token(&request.scope);
        let known = self.credentials.get(registry).filter(|_| token.is_none() && self.wants_password(registry));
        let first = self.send(request, token.as_ref(), known).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        let credentials = self.credentials.get(registry);
        match Challenge::of(&first) {
            Some(Challenge::Basic) if credentials.is_some() && known.is_none() => {
                self.basic.lock().unwrap_or_else(PoisonError::into_inner).insert(registry.clone());
                self.send(request, None, credentials).await
            }
            Some(Challenge::Bearer { realm, service }) => {
                let token = self.authenticate(request, &realm, service.as_deref()).await?;
                self.send(request, Some(&token), None).await
            }
            _ => Ok(first),
        }
    }

    /// The body of an answer, no longer than `limit_bytes`.
    pub(super) async fn body(&self, response: reqwest::Response, limit_bytes: u64) -> Result<Vec<u8>, RegistryError> {
        let body = dialer::body(response, limit_bytes).await?;
        self.count_received(body.len());
        Ok(body)
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.counted.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    async fn send(
        &self,
        request: &Request,
        bearer: Option<&Secret>,
        credentials: Option<&Credentials>,
    ) -> Result<reqwest::Response, RegistryError> {
        self.counted.requests.fetch_add(1, Ordering::Relaxed);
        self.counted.sent_bytes.fetch_add(request.body.len() as u64, Ordering::Relaxed);
        let writes = !matches!(request.method, Method::GET | Method::HEAD);
        let ask = Ask {
            headers: request.headers.clone(),
            bearer,
            credentials,
            body: writes.then(|| request.body.clone()),
            // What is written or downloaded may be large: there only silence is too long.
            timeout: (!writes && !request.url.path().contains("/blobs/")).then_some(TIMEOUT),
        };
        Ok(self.dialer.send(request.method.clone(), &request.url, ask).await?)
    }

    async fn authenticate(
        &self,
        request: &Request,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Secret, RegistryError> {
        let scope = &request.scope;
        let garbage = |why| RegistryError::Garbage { registry: scope.registry.clone(), why };
        let mut url = Url::parse(realm).map_err(|_| garbage("a token realm that is no URL"))?;
        if url.scheme() != "https" && !self.speaks_http(&authority(&url)) {
            return Err(garbage("a token realm without TLS"));
        }
        self.dialer.rules().admit_hop(&request.url, &url).map_err(DialError::HostNotAllowed)?;
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        for wanted in scope.wanted() {
            url.query_pairs_mut().append_pair("scope", &wanted);
        }
        let asked = Request::new(Method::GET, url, scope.clone()).with("accept", "application/json");
        let response = self.send(&asked, None, self.credentials.get(&scope.registry)).await?;
        if response.status() != StatusCode::OK {
            let at = At { registry: &scope.registry, path: &scope.path, doing: Doing::Reading };
            return Err(at.without_words(&response));
        }
        let body = self.body(response, MAX_TOKEN_BYTES).await?;
        let granted: Granted = serde_json::from_slice(&body).map_err(|_| garbage("with something that is no token"))?;
        let token = granted.token.or(granted.access_token);
        let token = Secret::new(token.ok_or_else(|| garbage("with an answer without a token"))?);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.keep(scope.clone(), token.clone(), granted.expires_in, Instant::now());
        Ok(token)
    }

    fn token(&self, scope: &Scope) -> Option<Secret> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(scope, Instant::now())
    }

    /// It has asked for a password before, so it is not made to ask again for each request.
    fn wants_password(&self, registry: &str) -> bool {
        self.basic.lock().unwrap_or_else(PoisonError::into_inner).contains(registry)
    }

    /// `https://host/v2/…`; http where operators said so.
    pub(super) fn url(&self, registry: &str, path: &str) -> Result<Url, RegistryError> {
        let scheme = if self.speaks_http(registry) { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{registry}/v2/{path}")).map_err(|_| {
            RegistryError::BadReference(super::BadReference {
                text: format!("{registry}/{path}"),
                why: "expected a host that a URL can have".to_owned(),
            })
        })
    }

    /// Where a registry says that something goes on: a place of its own, or one that it may name.
    pub(super) fn follow(&self, registry: &str, from: &Url, location: Option<&str>) -> Result<Url, RegistryError> {
        let garbage = |why| RegistryError::Garbage { registry: registry.to_owned(), why };
        let location = location.ok_or_else(|| garbage("without a Location"))?;
        let url = from.join(location).map_err(|_| garbage("a Location that is no URL"))?;
        if from.scheme() == "https" && url.scheme() != "https" {
            return Err(garbage("a Location without TLS"));
        }
        self.dialer.rules().admit_hop(from, &url).map_err(DialError::HostNotAllowed)?;
        Ok(url)
    }

    fn is_itself(&self, registry: &str, url: &Url) -> bool {
        let scheme = if self.speaks_http(registry) { "http" } else { "https" };
        self.url(registry, "").is_ok_and(|own| authority(&own) == authority(url)) && url.scheme() == scheme
    }

    fn speaks_http(&self, host: &str) -> bool {
        self.insecure.contains(host) || is_loopback(host)
    }
}

impl Scope {
    /// As token servers want it.
    fn wanted(&self) -> Vec<String> {
        let path = &self.path;
        match &self.access {
            Access::Pull => vec![format!("repository:{path}:pull")],
            Access::Push => vec![format!("repository:{path}:pull,push")],
            Access::Delete => vec![format!("repository:{path}:pull,delete")],
            Access::Mount { from } => {
                vec![format!("repository:{path}:pull,push"), format!("repository:{from}:pull")]
            }
            Access::Catalog => vec!["registry:catalog:*".to_owned()],
        }
    }
}
