//! What an image says of itself, for `toolforge image`. Its labels are a stranger's words: shown, never obeyed.

use super::{BUILD_METADATA, Image, LIFECYCLE_METADATA, PROJECT_METADATA, Target};
use crate::moment::Moment;
use renderer::Digest;
use serde::Serialize;
use serde_json::Value;

/// Images that buildpacks make are dated 1980-01-01T00:00:01Z, so that they are the same each time: no date at all.
const DATELESS_SECS: i64 = 315_532_801;
pub(super) const CREATED: &str = "org.opencontainers.image.created";

/// One image in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Its digest.
    pub digest: Digest,
    /// Which machines it is for.
    #[serde(serialize_with = "as_text")]
    pub platform: Target,
    /// How many layers it has.
    pub layers: usize,
    /// What they take in the registry, each counted once.
    pub size_bytes: u64,
    /// When it was made, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
    /// The run image below it; none where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_image: Option<String>,
    /// How many of the layers are the run image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_image_layers: Option<usize>,
    /// Who built it, in order.
    pub buildpacks: Vec<Buildpack>,
    /// Whether a layer holds what it is made of.
    pub sbom: bool,
}

/// A buildpack that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Buildpack {
    /// `toolforge/python`.
    pub id: String,
    /// `1.2.3`; empty where it has none.
    pub version: String,
}

fn as_text<S: serde::Serializer>(target: &Target, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(target)
}

/// Under which tag cosign keeps signatures of an image, in the same repository.
#[must_use]
pub fn signature_tag(digest: &Digest) -> String {
    format!("{}.sig", digest.as_str().replacen(':', "-", 1))
}

impl Facts {
    /// What this image says.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let metadata = image.json_label(LIFECYCLE_METADATA).and_then(Result::ok);
        let said = |pointer: &str| metadata.as_ref()?.pointer(pointer)?.as_str().filter(|text| !text.is_empty());
        let position = |diff_id: &str| image.layers.iter().position(|layer| layer.diff_id == diff_id);
        Self {
            digest: image.digest.clone(),
            platform: image.target(),
            layers: image.layers.len(),
            size_bytes: size(image),
            created: created(image),
            run_image: said("/runImage/reference").or(said("/runImage/image")).map(str::to_owned),
            run_image_layers: said("/runImage/topLayer").and_then(position).map(|at| at + 1),
            buildpacks: buildpacks(image),
            sbom: said("/sbom/sha").is_some_and(|sbom| position(sbom).is_some()),
        }
    }
}

/// When an image was made, or else the commit that it was made of; none where it was dated for repeatability and says
/// nothing of a commit.
#[must_use]
pub fn created(image: &Image) -> Option<Moment> {
    let annotation = image.manifest.get("annotations").and_then(|all| all.get(CREATED)).and_then(Value::as_str);
    let config = image.config.get("created").and_then(Value::as_str);
    let project = image.json_label(PROJECT_METADATA).and_then(Result::ok);
    let committed = project.as_ref().and_then(|project| project.pointer("/source/version/committed")?.as_str());
    let all = annotation.into_iter().chain(image.label(CREATED)).chain(config).chain(committed);
    all.filter_map(Moment::parse).find(|moment| moment.unix_secs() > DATELESS_SECS)
}

fn size(image: &Image) -> u64 {
    let blobs: std::collections::BTreeMap<_, _> =
        image.layers.iter().map(|layer| (&layer.digest, layer.size_bytes)).collect();
    blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size))
}

fn buildpacks(image: &Image) -> Vec<Buildpack> {
    let metadata = image.json_label(BUILD_METADATA).and_then(Result::ok);
    let all = metadata.as_ref().and_then(|build| build.get("buildpacks")).and_then(Value::as_array);
    let one = |entry: &Value| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Buildpack { id: text("id")?, version: text("version").unwrap_or_default() })
    };
    all.into_iter().flatten().filter_map(one).collect()
}
