//! The registry, read: which digest does a tag have?
//!
//! Two requests at most for an image that is there, and none for one that is already pinned by digest. The question is
//! asked through the [`Dialer`](crate::dialer::Dialer) and not by oci-client, which builds its own http client and so
//! would be a second way out. *Not there* is said only where the registry itself says that it knows no such manifest
//! or name: a 404 of something in between is an error, and an error is never an absence.

mod challenge;
mod reference;
mod tokens;

pub use reference::{BadReference, Reference};

use crate::dialer::{self, Ask, Credentials, DialError, Dialer, Secret};
use challenge::Challenge;
use http::{Method, StatusCode};
use renderer::Digest;
use renderer::length_prefixed::hex;
use serde::Deserialize;
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokens::{Scope, Tokens};
use url::Url;

/// For one question, its authentication included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Manifests are a few kilobytes; registries themselves refuse more than this.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// A token is a few kilobytes; whoever grants it need not be the registry.
const MAX_TOKEN_BYTES: u64 = 64 << 10;
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Why the registry gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The reference is not one.
    #[error(transparent)]
    BadReference(#[from] BadReference),
    /// The dialer refused, or nobody answered.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The registry wants credentials, or refuses ours.
    #[error("registry {registry} refuses access to {repository}")]
    Denied {
        /// Host and port.
        registry: String,
        /// Path in it.
        repository: String,
    },
    /// Another error status.
    #[error("registry {registry} answered {status}")]
    Status {
        /// Host and port.
        registry: String,
        /// The status.
        status: u16,
        /// Seconds until it wants to be asked again, where it says so.
        retry_after_secs: Option<u64>,
    },
    /// An answer that no registry would give.
    #[error("registry {registry} answered {why}")]
    Garbage {
        /// Host and port.
        registry: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl RegistryError {
    /// When the registry wants to be asked again, where it says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after_secs, .. } => retry_after_secs.map(Duration::from_secs),
            _ => None,
        }
    }
}

/// Asks registries for digests.
pub struct Registry {
    dialer: Dialer,
    credentials: BTreeMap<String, Credentials>,
    insecure: BTreeSet<String>,
    tokens: Mutex<Tokens>,
}

impl Registry {
    /// A reader of registries. `credentials` by host (`registry.example:5000`); registries in `insecure` are asked
    /// over http, as are those on loopback.
    #[must_use]
    pub fn new(dialer: Dialer, credentials: BTreeMap<String, Credentials>, insecure: BTreeSet<String>) -> Self {
        Self { dialer, credentials, insecure, tokens: Mutex::default() }
    }

    /// The digest that `tag` has in `repository` (`registry.example/toolforge/tool-x/web`); none where the registry
    /// says that it has none.
    ///
    /// # Errors
    /// Where the registry did not say.
    pub async fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Digest>, RegistryError> {
        self.digest_of(&format!("{repository}:{tag}")).await
    }

    /// The digest of a reference as people write it (`nginx`, `quay.io/x/y:1`, `x@sha256:…`). One that names its
    /// digest is not asked for.
    ///
    /// # Errors
    /// Where the registry did not say.
    pub async fn digest_of(&self, reference: &str) -> Result<Option<Digest>, RegistryError> {
        let reference = Reference::parse(reference)?;
        if let Some(digest) = &reference.digest {
            return Ok(Some(digest.clone()));
        }
        let asked = tokio::time::timeout(TIMEOUT, self.look_up(&reference));
        asked.await.unwrap_or_else(|_| {
            Err(RegistryError::Dial(DialError::TimedOut { host: reference.host.clone(), secs: TIMEOUT.as_secs() }))
        })
    }

    async fn look_up(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let head = self.manifest(Method::HEAD, reference).await?;
        match head.status() {
            StatusCode::OK => {
                if let Some(digest) = digest_header(&head) {
                    return Ok(Some(digest));
                }
            }
            // An answer to HEAD cannot say why.
            StatusCode::NOT_FOUND => {}
            _ => return Err(refusal(reference, &head)),
        }
        let get = self.manifest(Method::GET, reference).await?;
        let (status, header, refused) = (get.status(), digest_header(&get), refusal(reference, &get));
        let body = dialer::body(get, MAX_MANIFEST_BYTES).await?;
        match status {
            StatusCode::OK => header.or_else(|| digest(&body)).map(Some).ok_or_else(|| RegistryError::Garbage {
                registry: reference.host.clone(),
                why: "with something that is no manifest",
            }),
            StatusCode::NOT_FOUND if says_unknown(&body) => Ok(None),
            StatusCode::NOT_FOUND => Err(RegistryError::Garbage {
                registry: reference.host.clone(),
                why: "404, without saying that the image is unknown",
            }),
            _ => Err(refused),
        }
    }

    /// Asks, and where the registry wants authentication, does what it wants and asks again: once.
    async fn manifest(&self, method: Method, reference: &Reference) -> Result<reqwest::Response, RegistryError> {
        let url = self.url(reference)?;
        let token = self.token(reference);
        let first = self.ask(&method, &url, token.as_ref(), None).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        let credentials = self.credentials.get(&reference.host);
        match Challenge::of(&first) {
            Some(Challenge::Basic) if credentials.is_some() => self.ask(&method, &url, None, credentials).await,
            Some(Challenge::Bearer { realm, service }) => {
                let token = self.authenticate(reference, &realm, service.as_deref()).await?;
                self.ask(&method, &url, Some(&token), None).await
            }
            _ => Err(refusal(reference, &first)),
        }
    }

    async fn ask(
        &self,
        method: &Method,
        url: &Url,
        bearer: Option<&Secret>,
        credentials: Option<&Credentials>,
    ) -> Result<reqwest::Response, RegistryError> {
        let ask = Ask {
            headers: vec![("accept", ACCEPT.to_owned())],
            bearer,
            credentials,
            timeout: Some(TIMEOUT),
            ..Ask::default()
        };
        Ok(self.dialer.send(method.clone(), url, ask).await?)
    }

    async fn authenticate(
        &self,
        reference: &Reference,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Secret, RegistryError> {
        let garbage = |why| RegistryError::Garbage { registry: reference.host.clone(), why };
        let mut url = Url::parse(realm).map_err(|_| garbage("a token realm that is no URL"))?;
        if url.scheme() != "https" && !self.speaks_http(&dialer::authority(&url)) {
            return Err(garbage("a token realm without TLS"));
        }
        let from = self.url(reference)?;
        self.dialer.rules().admit_hop(&from, &url).map_err(DialError::HostNotAllowed)?;
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &format!("repository:{}:pull", reference.path));
        let credentials = self.credentials.get(&reference.host);
        let response = self.ask(&Method::GET, &url, None, credentials).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(reference, &response));
        }
        let body = dialer::body(response, MAX_TOKEN_BYTES).await?;
        let granted: Granted = serde_json::from_slice(&body).map_err(|_| garbage("with something that is no token"))?;
        let token = granted.token.or(granted.access_token);
        let token = Secret::new(token.ok_or_else(|| garbage("with an answer without a token"))?);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.keep(scope(reference), token.clone(), granted.expires_in, Instant::now());
        Ok(token)
    }

    fn token(&self, reference: &Reference) -> Option<Secret> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&scope(reference), Instant::now())
    }

    fn url(&self, reference: &Reference) -> Result<Url, RegistryError> {
        let Reference { host, path, tag, .. } = reference;
        let scheme = if self.speaks_http(host) { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{host}/v2/{path}/manifests/{tag}")).map_err(|_| {
            RegistryError::BadReference(BadReference {
                text: reference.to_string(),
                why: "expected a host that a URL can have".to_owned(),
            })
        })
    }

    fn speaks_http(&self, host: &str) -> bool {
        self.insecure.contains(host) || is_loopback(host)
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn scope(reference: &Reference) -> Scope {
    Scope { registry: reference.host.clone(), path: reference.path.clone() }
}

fn refusal(reference: &Reference, answer: &reqwest::Response) -> RegistryError {
    let registry = reference.host.clone();
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            RegistryError::Denied { registry, repository: reference.path.clone() }
        }
        status => {
            let header = answer.headers().get(http::header::RETRY_AFTER);
            let retry_after_secs = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            RegistryError::Status { registry, status: status.as_u16(), retry_after_secs }
        }
    }
}

fn digest_header(response: &reqwest::Response) -> Option<Digest> {
    let value = response.headers().get("docker-content-digest")?;
    Digest::new(value.to_str().ok()?).ok()
}

/// None where the bytes are no manifest: the digest of a login page is a digest, too.
fn digest(manifest: &[u8]) -> Option<Digest> {
    let said: Result<Manifest, _> = serde_json::from_slice(manifest);
    said.ok().filter(|said| said.schema_version == 2)?;
    Digest::new(format!("sha256:{}", hex(&sha2::Sha256::digest(manifest)))).ok()
}

fn says_unknown(body: &[u8]) -> bool {
    let said: Result<Said, _> = serde_json::from_slice(body);
    said.is_ok_and(|said| {
        said.errors.iter().any(|error| matches!(error.code.as_str(), "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "NOT_FOUND"))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
}

#[derive(Deserialize)]
struct Said {
    errors: Vec<Code>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// Not Debug: it holds a token.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}
