//! The registry, read: which digest does a tag have?
//!
//! Two requests at most for an image that is there, and none for one that is already pinned by digest. The question is
//! asked through the [`Dialer`](crate::dialer::Dialer) and not by oci-client, which builds its own http client and so
//! would be a second way out. *Not there* is said only where the registry itself says that it knows no such manifest
//! or name: a 404 of something in between is an error, and an error is never an absence.

mod challenge;
mod fault;
mod push;
mod read;
mod rebase;
mod reference;
mod session;
mod shelf;
mod tokens;
mod write;

pub use fault::RegistryError;
pub use push::PushError;
pub use read::Manifest;
pub use rebase::{Base, Planned, Rebase, RebaseError};
pub use reference::{BadReference, Reference};
pub use session::Traffic;
pub use write::Moved;

use crate::dialer::{Credentials, DialError, Dialer};
use fault::{Doing, says_unknown};
use http::{Method, StatusCode};
use planner::image::MadeFor;
use planner::observed::ImageSeen;
use renderer::{Digest, Platform};
use serde::Deserialize;
use session::Request;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokens::{Access, Tokens};

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

/// Asks registries for digests.
pub struct Registry {
    dialer: Dialer,
    credentials: BTreeMap<String, Credentials>,
    insecure: BTreeSet<String>,
    tokens: Mutex<Tokens>,
    /// Registries that asked for a password.
    basic: Mutex<BTreeSet<String>>,
    counted: session::Counted,
    /// What is made for what never changes under its digest.
    made_for: Mutex<BTreeMap<Digest, MadeFor>>,
}

impl Registry {
    /// A reader of registries. `credentials` by host (`registry.example:5000`); registries in `insecure` are asked
    /// over http, as are those on loopback.
    #[must_use]
    pub fn new(dialer: Dialer, credentials: BTreeMap<String, Credentials>, insecure: BTreeSet<String>) -> Self {
        Self {
            dialer,
            credentials,
            insecure,
            tokens: Mutex::default(),
            basic: Mutex::default(),
            counted: Default::default(),
            made_for: Mutex::default(),
        }
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
        asked.await.unwrap_or_else(|_| Err(too_late(&reference)))
    }

    /// What plans are to know of a reference: its digest, and whether the image runs on this platform.
    ///
    /// # Errors
    /// Where the registry did not say.
    pub async fn seen(&self, reference: &str, platform: &Platform) -> Result<ImageSeen, RegistryError> {
        let Some(digest) = self.digest_of(reference).await? else { return Ok(ImageSeen::Missing) };
        let parsed = Reference::parse(reference)?.pinned(digest.clone());
        let asked = tokio::time::timeout(TIMEOUT, self.made_for(&parsed, &digest));
        let made_for = asked.await.unwrap_or_else(|_| Err(too_late(&parsed)))?;
        Ok(match made_for.misfit(platform) {
            Some(why) => ImageSeen::Unfit { digest, why },
            None => ImageSeen::Found(digest),
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
            _ => return Err(reference.at(Doing::Reading).without_words(&head)),
        }
        let get = self.manifest(Method::GET, reference).await?;
        let (status, header) = (get.status(), digest_header(&get));
        let refused = reference.at(Doing::Reading).without_words(&get);
        let body = self.body(get, MAX_MANIFEST_BYTES).await?;
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

    async fn manifest(&self, method: Method, reference: &Reference) -> Result<reqwest::Response, RegistryError> {
        let Reference { host, path, tag, .. } = reference;
        let url = self.url(host, &format!("{path}/manifests/{tag}"))?;
        let request = Request::new(method, url, reference.scope(Access::Pull)).with("accept", ACCEPT);
        self.exchange(&request).await
    }
}

fn too_late(reference: &Reference) -> RegistryError {
    RegistryError::Dial(DialError::TimedOut { host: reference.host.clone(), secs: TIMEOUT.as_secs() })
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn digest_header(response: &reqwest::Response) -> Option<Digest> {
    let value = response.headers().get("docker-content-digest")?;
    Digest::new(value.to_str().ok()?).ok()
}

/// None where the bytes are no manifest: the digest of a login page is a digest, too.
fn digest(manifest: &[u8]) -> Option<Digest> {
    let said: Result<Schema, _> = serde_json::from_slice(manifest);
    said.ok().filter(|said| said.schema_version == 2)?;
    Some(planner::image::digest_of(manifest))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema {
    schema_version: u32,
}
