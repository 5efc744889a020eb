//! A new run image under an application, by rewriting a manifest and a configuration: what the rebase of the CNB
//! platform specification writes. The layers of the old run image are those up to the one that
//! `io.buildpacks.lifecycle.metadata` names; they are replaced, and nothing above is looked at.
//!
//! Same images, same bytes: the result has one digest, whoever computes it and however often. So a tag that holds
//! another one was moved by somebody. `created` stays that of the application.

use super::compatible::{self, Incompatible};
use super::{Image, LIFECYCLE_METADATA, Layer, Malformed, digest_of};
use renderer::build::same_image;
use renderer::{BuildId, Digest};
use serde_json::{Map, Value, json};

/// Labels that describe the run image, and go with it.
const OF_THE_BASE: [&str; 2] = ["io.buildpacks.base.", "io.buildpacks.stack."];
/// The same bytes have two names, one in each of two families of manifests.
const LAYER_TYPES: [(&str, &str); 3] = [
    ("application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"),
    ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ("application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar.zstd"),
];

/// A run image and its name.
#[derive(Debug, Clone, Copy)]
pub struct RunImage<'a> {
    /// As operators write it; its digest is not looked at.
    pub reference: &'a str,
    /// The image.
    pub image: &'a Image,
}

/// An image that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebased {
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// Its configuration.
    pub config: Vec<u8>,
    /// The configuration's digest.
    pub config_digest: Digest,
    /// The layers of the run image, which the application's repository may lack.
    pub base: Vec<Layer>,
}

/// Why an image is not rebased.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Labels of both say that the application would not work.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// It is not known which of its layers are the run image's.
    #[error("it does not say which of its layers are the run image's: {0}")]
    NoMetadata(&'static str),
    /// What it says of its layers is not so.
    #[error("its run image ends with layer {0}, which it does not have")]
    NoTopLayer(String),
    /// It was built on a run image of another name.
    #[error("it is built on the run image {known}, not on {given}")]
    OtherRunImage {
        /// Of the new run image.
        given: String,
        /// What the application says.
        known: String,
    },
    /// One of the two cannot be worked with.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Refusal {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Incompatible(Incompatible::NotRebasable) | Self::NoMetadata(_) | Self::NoTopLayer(_) => {
                "Build it again: a build uses the run image of today."
            }
            Self::Incompatible(Incompatible::Target { .. }) => {
                "Name a run image for the platform's `builder.target` in platform.yaml, or build again for that target."
            }
            Self::Incompatible(_) => "A rebase keeps the distribution: commit, or force a build with `build.nonce`.",
            Self::OtherRunImage { .. } => {
                "Keep the name and tag of `builder.run_image` in platform.yaml where only the digest is new; else build again."
            }
            Self::Malformed(_) => "Build it again, and see what else writes to the registry.",
        }
    }
}

/// The tag of an image of this build on that run image.
#[must_use]
pub fn tag(build: &BuildId, run: &Digest) -> String {
    format!("{build}-r{}", run.short())
}

/// The build that a tag names, rebased or not; none where it is no tag of ours.
#[must_use]
pub fn build_of(tag: &str) -> Option<BuildId> {
    BuildId::new(tag.split_once("-r").map_or(tag, |(build, _)| build)).ok()
}

/// `app` on another run image; none where it stands on that one already.
///
/// # Errors
/// Why that must not be done.
pub fn rebase(app: &Image, run: RunImage<'_>) -> Result<Option<Rebased>, Refusal> {
    compatible::check(app, run.image)?;
    let mut metadata = metadata(app)?;
    let named = metadata.get("runImage").and_then(|run| run.get("topLayer")).and_then(Value::as_str);
    let top = named.filter(|top| !top.is_empty()).ok_or(Refusal::NoMetadata("no runImage.topLayer"))?;
    let kept_from = app.layers.iter().position(|layer| layer.diff_id == top);
    let kept_from = kept_from.ok_or_else(|| Refusal::NoTopLayer(top.to_owned()))? + 1;
    of_that_name(&metadata, run.reference)?;
    let new_top = run.image.layers.last().ok_or_else(|| Malformed("the run image has no layers".to_owned()))?;
    let reference = format!("{}@{}", without_tag(without_digest(run.reference)), run.image.digest);
    let said = metadata.get("runImage").and_then(|run| run.get("reference")).and_then(Value::as_str);
    if app.layers[..kept_from] == run.image.layers && said.is_some_and(|said| ends_alike(said, &reference)) {
        return Ok(None);
    }
    set(&mut metadata, "runImage", "topLayer", json!(new_top.diff_id));
    set(&mut metadata, "runImage", "reference", json!(reference));
    let config = config(app, run.image, kept_from, &metadata);
    Ok(Some(written(app, run.image, kept_from, &config)?))
}

fn metadata(app: &Image) -> Result<Value, Refusal> {
    match app.json_label(LIFECYCLE_METADATA) {
        Some(Ok(value)) if value.is_object() => Ok(value),
        Some(_) => Err(Refusal::NoMetadata("its label io.buildpacks.lifecycle.metadata can't be read")),
        None => Err(Refusal::NoMetadata("it has no label io.buildpacks.lifecycle.metadata")),
    }
}

/// By the specification a run image is known by its name and mirrors; older platforms wrote them under `stack`.
fn of_that_name(metadata: &Value, reference: &str) -> Result<(), Refusal> {
    let places = [metadata.get("runImage"), metadata.pointer("/stack/runImage")];
    let names = places.into_iter().flatten().flat_map(|run| {
        let mirrors = run.get("mirrors").and_then(Value::as_array).into_iter().flatten();
        run.get("image").into_iter().chain(mirrors).filter_map(Value::as_str)
    });
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| same_image(name, reference)) {
        return Ok(());
    }
    let known = names.first().map_or("no name", |name| without_digest(name)).to_owned();
    Err(Refusal::OtherRunImage { given: without_digest(reference).to_owned(), known })
}

fn without_digest(reference: &str) -> &str {
    reference.split_once('@').map_or(reference, |(name, _)| name)
}

/// Beside a digest a tag says nothing.
fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Two references to one digest, whatever the mirror.
fn ends_alike(one: &str, other: &str) -> bool {
    let digest = |text: &str| text.split_once('@').map(|(_, digest)| digest.to_owned());
    digest(one).is_some() && digest(one) == digest(other)
}

fn config(app: &Image, run: &Image, kept_from: usize, metadata: &Value) -> Value {
    let mut config = app.config.clone();
    for key in ["architecture", "os", "os.version", "variant"] {
        match run.config.get(key) {
            Some(value) => put(&mut config, key, value.clone()),
            None if key == "os.version" => drop(config.as_object_mut().and_then(|map| map.remove(key))),
            None => {}
        }
    }
    let diff_ids = run.layers.iter().chain(&app.layers[kept_from..]).map(|layer| json!(layer.diff_id));
    set(&mut config, "rootfs", "diff_ids", diff_ids.collect());
    let (below, above) = (history(run, 0..run.layers.len()), history(app, kept_from..app.layers.len()));
    put(&mut config, "history", below.into_iter().chain(above).collect());
    set(&mut config, "config", "Labels", Value::Object(labels(app, run, metadata)));
    config
}

fn labels(app: &Image, run: &Image, metadata: &Value) -> Map<String, Value> {
    let all = |image: &Image| image.config.pointer("/config/Labels").and_then(Value::as_object).cloned();
    let of_the_base = |key: &str| OF_THE_BASE.iter().any(|prefix| key.starts_with(prefix));
    let ours = all(app).unwrap_or_default().into_iter().filter(|(key, _)| !of_the_base(key));
    let theirs = all(run).unwrap_or_default().into_iter().filter(|(key, _)| of_the_base(key));
    let mut labels: Map<_, _> = ours.chain(theirs).collect();
    labels.insert(LIFECYCLE_METADATA.to_owned(), json!(metadata.to_string()));
    labels
}

/// The history of some layers: an entry each, and the entries without a layer between them. One that does not fit the
/// layers tells nothing, so it is told anew without words.
fn history(image: &Image, layers: std::ops::Range<usize>) -> Vec<Value> {
    let all = image.config.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_empty = |entry: &Value| entry.get("empty_layer").and_then(Value::as_bool) == Some(true);
    if all.iter().filter(|entry| !is_empty(entry)).count() != image.layers.len() {
        return layers.map(|_| json!({})).collect();
    }
    let mut below = 0;
    let belongs = |entry: &Value| {
        // What has no layer goes with the layers below it: it was done after them.
        let at = if is_empty(entry) { below.max(1) - 1 } else { below };
        below += usize::from(!is_empty(entry));
        layers.contains(&at)
    };
    all.into_iter().filter(belongs).collect()
}

fn written(app: &Image, run: &Image, kept_from: usize, config: &Value) -> Result<Rebased, Malformed> {
    let config = bytes(config);
    let config_digest = digest_of(&config);
    let media_type = media_type(app);
    let mut manifest = app.manifest.clone();
    put(&mut manifest, "mediaType", json!(media_type));
    set(&mut manifest, "config", "digest", json!(config_digest));
    set(&mut manifest, "config", "size", json!(config.len()));
    let docker = media_type.starts_with("application/vnd.docker.");
    let below = descriptors(run)?.into_iter().map(|layer| in_family(layer, docker));
    let above = descriptors(app)?.into_iter().skip(kept_from);
    put(&mut manifest, "layers", below.chain(above).collect());
    let manifest = bytes(&manifest);
    let digest = digest_of(&manifest);
    Ok(Rebased { manifest, media_type, digest, config, config_digest, base: run.layers.clone() })
}

/// A manifest of Docker's says its type; one that says none is OCI's.
fn media_type(image: &Image) -> String {
    let said = image.manifest.get("mediaType").and_then(Value::as_str);
    said.unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned()
}

fn descriptors(image: &Image) -> Result<Vec<Value>, Malformed> {
    let all = image.manifest.get("layers").and_then(Value::as_array);
    all.cloned().ok_or_else(|| Malformed("its manifest has no list of layers".to_owned()))
}

fn in_family(mut layer: Value, docker: bool) -> Value {
    let said = layer.get("mediaType").and_then(Value::as_str);
    let pair = LAYER_TYPES.iter().find(|(oci, other)| [Some(*oci), Some(*other)].contains(&said));
    if let Some((oci, other)) = pair {
        put(&mut layer, "mediaType", json!(if docker { other } else { oci }));
    }
    layer
}

/// Keys in order, no spaces: the bytes follow from the value.
fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

fn set(object: &mut Value, section: &str, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        put(map.entry(section).or_insert_with(|| json!({})), key, value);
    }
}
