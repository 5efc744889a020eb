//! Manifests and configurations, with the digest that they have and not the one that is said of them.

use super::fault::{At, Doing};
use super::session::Request;
use super::tokens::Access;
use super::{ACCEPT, MAX_MANIFEST_BYTES, Reference, Registry, RegistryError, digest_header};
use http::{Method, StatusCode};
use planner::image::{self, Blob, Image, MadeFor, Malformed, Target, digest_of};
use renderer::Digest;
use serde::Deserialize;
use std::sync::PoisonError;

/// A configuration is labels and history. No builder's comes near this.
const MAX_CONFIG_BYTES: u64 = 8 << 20;
/// A few hundred bytes each; beyond it everything is asked anew.
const MAX_KNOWN: usize = 20_000;
/// More machines than there are kinds of.
const MAX_PARTS: usize = 100;

/// A manifest as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its digest: computed, and equal to what was asked for and to what the registry says.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A manifest that an index lists.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Part {
    pub digest: Digest,
    #[serde(default)]
    pub platform: Option<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    manifests: Option<Vec<Part>>,
}

impl Manifest {
    /// The manifests it lists; none where it is one image.
    pub(super) fn parts(&self) -> Result<Option<Vec<Part>>, Malformed> {
        match shape(&self.bytes)?.manifests {
            Some(parts) if parts.len() > MAX_PARTS => Err(Malformed(format!("it lists more than {MAX_PARTS} images"))),
            parts => Ok(parts),
        }
    }
}

fn shape(bytes: &[u8]) -> Result<Shape, Malformed> {
    serde_json::from_slice(bytes).map_err(|error| Malformed(format!("its manifest can't be read: {error}")))
}

impl Registry {
    /// The manifest of a tag, or of a digest where the reference names one; none where the registry says that it has
    /// none.
    ///
    /// # Errors
    /// Where the registry did not say, or lied.
    pub async fn manifest_of(&self, reference: &Reference) -> Result<Option<Manifest>, RegistryError> {
        let Reference { host, path, .. } = reference;
        let url = self.url(host, &format!("{path}/manifests/{}", reference.name()))?;
        let request = Request::new(Method::GET, url, reference.scope(Access::Pull)).with("accept", ACCEPT);
        let response = self.exchange(&request).await?;
        if response.status() != StatusCode::OK {
            return match reference.at(Doing::Reading).refused(reference.name(), response).await {
                RegistryError::Missing { .. } => Ok(None),
                error => Err(error),
            };
        }
        let said = digest_header(&response);
        let media_type =
            response.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = self.body(response, MAX_MANIFEST_BYTES).await?;
        let digest = digest_of(&bytes);
        for expected in said.iter().chain(&reference.digest) {
            reference.is(&digest, expected, "a manifest")?;
        }
        let shape = shape(&bytes).map_err(|why| reference.no_image(why))?;
        let media_type = shape.media_type.or(media_type).unwrap_or_default();
        Ok(Some(Manifest { digest, media_type, bytes }))
    }

    /// The image of a reference. Where there are several, the one for `wanted` machines; where there is one, that one,
    /// whatever it is for.
    ///
    /// # Errors
    /// Where it is not there, is no image, or is not for those machines.
    pub async fn image(&self, reference: &Reference, wanted: &Target) -> Result<Image, RegistryError> {
        let mut manifest = self.needed(reference).await?;
        if let Some(parts) = manifest.parts().map_err(|why| reference.no_image(why))? {
            let chosen = choose(reference, &parts, wanted)?;
            manifest = self.needed(&reference.pinned(chosen.clone())).await?;
        }
        let (config, _) = image::blobs(&manifest.bytes).map_err(|why| reference.no_image(why))?;
        let config = self.small_blob(reference, &config).await?;
        Image::read(&manifest.bytes, &config).map_err(|why| reference.no_image(why))
    }

    /// Which machines an image is made for: two small requests for one that was never asked about, then none.
    pub(super) async fn made_for(&self, reference: &Reference, digest: &Digest) -> Result<MadeFor, RegistryError> {
        let known = self.made_for.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(made_for) = known {
            return Ok(made_for);
        }
        let manifest = self.needed(reference).await?;
        let made_for = match manifest.parts().map_err(|why| reference.no_image(why))? {
            Some(parts) => MadeFor::machines(parts.into_iter().filter_map(|part| part.platform)),
            None => {
                let (config, _) = image::blobs(&manifest.bytes).map_err(|why| reference.no_image(why))?;
                let config = self.small_blob(reference, &config).await?;
                MadeFor::of(&Image::read(&manifest.bytes, &config).map_err(|why| reference.no_image(why))?)
            }
        };
        let mut all = self.made_for.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KNOWN {
            all.clear();
        }
        all.insert(digest.clone(), made_for.clone());
        Ok(made_for)
    }

    /// The manifest, which has to be there.
    pub(super) async fn needed(&self, reference: &Reference) -> Result<Manifest, RegistryError> {
        let found = self.manifest_of(reference).await?;
        let what = format!("image {}:{}", reference.path, reference.name());
        found.ok_or_else(|| RegistryError::Missing { registry: reference.host.clone(), what })
    }

    /// A blob that is no layer.
    pub(super) async fn small_blob(&self, reference: &Reference, blob: &Blob) -> Result<Vec<u8>, RegistryError> {
        let response = self.open_blob(reference, blob).await?;
        let bytes = self.body(response, MAX_CONFIG_BYTES.min(blob.size_bytes)).await?;
        reference.is(&digest_of(&bytes), &blob.digest, "a configuration")?;
        Ok(bytes)
    }

    pub(super) async fn open_blob(
        &self,
        reference: &Reference,
        blob: &Blob,
    ) -> Result<reqwest::Response, RegistryError> {
        let url = self.url(&reference.host, &format!("{}/blobs/{}", reference.path, blob.digest))?;
        let request = Request::new(Method::GET, url, reference.scope(Access::Pull));
        let response = self.exchange(&request).await?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let what = format!("blob {} of {}", blob.digest, reference.path);
        Err(reference.at(Doing::Reading).refused(&what, response).await)
    }
}

fn choose<'a>(reference: &Reference, parts: &'a [Part], wanted: &Target) -> Result<&'a Digest, RegistryError> {
    let has = |part: &&Part| part.platform.as_ref().is_some_and(|platform| platform.runs(wanted));
    let all = || {
        let all: Vec<_> = parts.iter().filter_map(|part| part.platform.as_ref().map(Target::to_string)).collect();
        if all.is_empty() { "no machine that it names".to_owned() } else { all.join(", ") }
    };
    parts.iter().find(has).map(|part| &part.digest).ok_or_else(|| RegistryError::OtherPlatform {
        reference: reference.to_string(),
        wanted: wanted.to_string(),
        has: all(),
    })
}

impl Reference {
    pub(super) fn at(&self, doing: Doing) -> At<'_> {
        At { registry: &self.host, path: &self.path, doing }
    }

    pub(super) fn no_image(&self, why: Malformed) -> RegistryError {
        RegistryError::NoImage { reference: self.to_string(), why }
    }

    /// Whether something has the digest that it should have.
    pub(super) fn is(&self, found: &Digest, expected: &Digest, what: &str) -> Result<(), RegistryError> {
        if found == expected {
            return Ok(());
        }
        Err(RegistryError::WrongDigest {
            registry: self.host.clone(),
            what: format!("{what} of {}", self.path),
            expected: expected.clone(),
            found: found.to_string(),
        })
    }
}
