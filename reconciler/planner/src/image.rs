//! One container image as its registry has it: manifest and configuration, read once and checked against each other.
//!
//! What is not understood is kept: both are values with every field they came with, so that a [rebase](rebase()) writes
//! back what other programs put there. Layers are never part of it: everything decided here follows from a few kilobytes.

mod compatible;
mod facts;
mod fit;
mod rebase;

pub use compatible::Incompatible;
pub use facts::{Buildpack, Facts, created, signature_tag};
pub use fit::{MadeFor, Misfit};
pub use rebase::{Rebased, Refusal, RunImage, build_of, rebase, tag as rebase_tag};

use renderer::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;
use std::fmt;

/// What the buildpacks' lifecycle says of an image it made, as JSON.
pub const LIFECYCLE_METADATA: &str = "io.buildpacks.lifecycle.metadata";
/// What was built, by which buildpacks, as JSON.
pub const BUILD_METADATA: &str = "io.buildpacks.build.metadata";
/// The label that tells what was built, as JSON.
pub const PROJECT_METADATA: &str = "io.buildpacks.project.metadata";
/// Label of an image that runs on the machine that built it, and nowhere else.
pub const LOCAL_ONLY: &str = "toolforge.org/local-only";
/// No runtime has room for more layers than this (overlayfs takes 128 at the most in practice).
const MAX_LAYERS: usize = 1000;

/// Media types of a manifest that is one image.
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// One image for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    digest: Digest,
    manifest: Value,
    config: Value,
    layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Of the bytes in the registry.
    pub digest: Digest,
    /// Of the bytes in the registry.
    pub size_bytes: u64,
    /// Of the uncompressed tar.
    pub diff_id: String,
}

/// A blob that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
}

/// Which machines an image is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// `v8`; empty where it doesn't matter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// Why bytes are no image that we can work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
    size: u64,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// What a manifest names: the configuration and the layers, the lowest first.
///
/// # Errors
/// Where the bytes are no manifest of one image.
pub fn blobs(manifest: &[u8]) -> Result<(Blob, Vec<Blob>), Malformed> {
    let manifest = read_manifest(manifest)?;
    let blob = |said: Descriptor| Blob { digest: said.digest, size_bytes: said.size };
    Ok((blob(manifest.config), manifest.layers.into_iter().map(blob).collect()))
}

fn read_manifest(bytes: &[u8]) -> Result<Manifest, Malformed> {
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|error| Malformed(format!("its manifest can't be read: {error}")))?;
    if manifest.schema_version != 2 {
        return Err(Malformed(format!("its manifest has schema {}, expected 2", manifest.schema_version)));
    }
    match manifest.media_type.as_deref() {
        Some(other) if !MANIFESTS.contains(&other) => Err(Malformed(format!("{other} is no manifest of an image"))),
        _ if manifest.layers.len() > MAX_LAYERS => {
            Err(Malformed(format!("it has {} layers, more than {MAX_LAYERS}", manifest.layers.len())))
        }
        _ => Ok(manifest),
    }
}

impl Image {
    /// An image from the bytes of its manifest and configuration.
    ///
    /// # Errors
    /// Where they are not those of one image: garbage, an index, or a configuration that is another image's.
    pub fn read(manifest: &[u8], config: &[u8]) -> Result<Self, Malformed> {
        let said = read_manifest(manifest)?;
        let found = digest_of(config);
        if said.config.digest != found {
            return Err(Malformed(format!("its configuration is {found}, expected {}", said.config.digest)));
        }
        let unreadable = |error: serde_json::Error| Malformed(format!("its configuration can't be read: {error}"));
        let Config { rootfs } = serde_json::from_slice(config).map_err(unreadable)?;
        if rootfs.diff_ids.len() != said.layers.len() {
            let (layers, ids) = (said.layers.len(), rootfs.diff_ids.len());
            return Err(Malformed(format!("its manifest has {layers} layers and its configuration {ids}")));
        }
        let layers = said.layers.into_iter().zip(rootfs.diff_ids);
        Ok(Self {
            digest: digest_of(manifest),
            manifest: serde_json::from_slice(manifest).map_err(unreadable)?,
            config: serde_json::from_slice(config).map_err(unreadable)?,
            layers: layers
                .map(|(blob, diff_id)| Layer { digest: blob.digest, size_bytes: blob.size, diff_id })
                .collect(),
        })
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its layers, the lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// One of its labels.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.config.get("config")?.get("Labels")?.get(key)?.as_str()
    }

    /// A variable of the environment it starts with.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        let all = self.config.get("config")?.get("Env")?.as_array()?;
        let pairs = all.iter().filter_map(|pair| pair.as_str()?.split_once('='));
        // Of two, programs see the last.
        pairs.rev().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Which machines it is for, as its configuration says.
    #[must_use]
    pub fn target(&self) -> Target {
        let text = |key: &str| self.config.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Target { os: text("os"), architecture: text("architecture"), variant: text("variant") }
    }

    /// A label that holds JSON; none where there is no such label.
    fn json_label(&self, key: &str) -> Option<Result<Value, serde_json::Error>> {
        self.label(key).filter(|text| !text.is_empty()).map(serde_json::from_str)
    }
}

impl Target {
    /// `linux/amd64` or `linux/arm64/v8`, as `platform.yaml` writes it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Self { os: next(), architecture: next(), variant: next() }
    }

    /// Whether an image for `other` runs on it: a variant that one of them does not name doesn't matter.
    #[must_use]
    pub fn runs(&self, other: &Self) -> bool {
        let any = self.variant.is_empty() || other.variant.is_empty() || self.variant == other.variant;
        any && self.os == other.os && self.architecture == other.architecture
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// The digest of bytes.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::of_sha256(&sha2::Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests;
