//! What should exist, as a value. The image of a component is the one thing rendering can't know: it is filled in by
//! [`RenderedComponent::at`] once the registry has said which digest stands under the build's tag.

use crate::config::Places;
use crate::diagnostic::Report;
use crate::length_prefixed::LengthPrefixed;
use crate::names::{BuildId, ComponentName, Digest, ToolName};
use crate::object::Object;
use crate::request::BuildRequest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything one tool should have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// The tool.
    pub tool: ToolName,
    /// Its namespace.
    pub namespace: String,
    /// Tool-wide objects (Namespace, ServiceAccount, quota, …): applied whatever becomes of the components.
    pub objects: Vec<Object>,
    /// What has to be built for the components, each once, in the order of its first component.
    pub builds: Vec<BuildRequest>,
    /// Good components, in name order.
    pub components: Vec<RenderedComponent>,
    /// Bad components: their live objects stay as the last good revision has them.
    pub withheld: Vec<Withheld>,
    /// The file as a whole could not be used: every component is withheld, also those that can't be named.
    pub unusable: bool,
    /// Errors and notes, all of them.
    pub report: Report,
    /// Where each key stands in the file, for [`Rendered::origin`].
    #[serde(skip)]
    pub places: Arc<Places>,
}

/// One component, complete but for its image's digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderedComponent {
    /// The component.
    pub name: ComponentName,
    /// What it is.
    pub kind: ComponentKind,
    /// Where its image comes from.
    pub image: Image,
    /// Declared variables whose values somebody else makes, each in a Secret of its own (`render::secret_name`); without,
    /// it can't start.
    pub secrets: Vec<String>,
    /// What the platform gives each tool and has not for this one, as fragments: nothing new of it starts without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    /// Of what it lacks nobody knows whether it runs with it: it can't be left as it is but by not touching it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blind: bool,
    /// Its objects with [`IMAGE_PLACEHOLDER`] where the image goes, and [`KEY_PLACEHOLDER`] in a one-off's name.
    pub objects: Vec<Object>,
    /// For a one-off: what its key is made of besides the digest, length-prefixed (command, env, run_id).
    pub one_off_key: Option<String>,
}

/// An image and the content it stood for when the registry was asked: always deployed by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedImage {
    /// As written or as built; a tag or digest in it is replaced by `digest`.
    pub reference: String,
    /// What runs.
    pub digest: Digest,
}

impl PinnedImage {
    /// `name@sha256:…`. A tag beside a digest would only mislead: `:latest` there makes Kubernetes pull each time.
    #[must_use]
    pub fn pinned(&self) -> String {
        let name = self.reference.split_once('@').map_or(self.reference.as_str(), |(name, _)| name);
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        format!("{name}@{}", self.digest)
    }
}

/// What a one-off has run, hashed: 64 lower-case hexadecimal digits. A recorded key never runs again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OneOffKey(String);

impl OneOffKey {
    /// All digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as they stand in the Job's name.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// Annotation of a one-off's Job: its whole key.
pub const ONE_OFF_KEY: &str = "toolforge.org/one-off-key";

impl RenderedComponent {
    /// The objects with the image filled in, and the key of a one-off.
    #[must_use]
    pub fn at(&self, image: &PinnedImage) -> (Vec<Object>, Option<OneOffKey>) {
        let key = self.one_off_key.as_ref().map(|rest| {
            let mut hash = LengthPrefixed::new("toolforge one-off 1");
            hash.text(image.digest.as_str()).text(rest);
            OneOffKey(hash.hex())
        });
        let pinned = image.pinned();
        let objects = self.objects.iter().map(|object| filled(object, &pinned, key.as_ref())).collect();
        (objects, key)
    }
}

/// Where a workload's pod template stands, by kind.
const TEMPLATES: [&[&str]; 2] = [&["spec", "template", "spec"], &["spec", "jobTemplate", "spec", "template", "spec"]];

fn filled(object: &Object, pinned: &str, key: Option<&OneOffKey>) -> Object {
    let mut object = object.clone();
    for template in TEMPLATES {
        let spec = template.iter().try_fold(&mut object.value, |value, name| value.get_mut(name));
        let container = spec.and_then(|spec| spec.get_mut("containers")?.get_mut(0));
        if let Some(image) = container.and_then(|container| container.get_mut("image")) {
            *image = pinned.into();
        }
    }
    if let (Some(key), Some(stem)) = (key, object.id.name.strip_suffix(KEY_PLACEHOLDER)) {
        object.id.name = format!("{stem}{}", key.short());
        object.value["metadata"]["name"] = object.id.name.clone().into();
        object.value["metadata"]["annotations"][ONE_OFF_KEY] = key.as_str().into();
    }
    object
}

/// Stands where the image's reference will.
pub const IMAGE_PLACEHOLDER: &str = "toolforge.invalid/image";
/// Stands in a one-off Job's name where the first 12 digits of its key will.
pub const KEY_PLACEHOLDER: &str = "0key0";

/// `component_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// Runs all the time: a Deployment.
    Continuous,
    /// Runs on a schedule: a CronJob.
    Scheduled,
    /// Runs once per key, before the rollout: a Job.
    OneOff,
}

/// Where a component's image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Image {
    /// `image:` as written; pinned to a digest by the registry unless it names one.
    Prebuilt {
        /// Reference as written.
        reference: String,
    },
    /// Built from source: stands under this tag once it is built.
    Built {
        /// Registry path without tag: `<registry>/tool-<name>/<component>`.
        repository: String,
        /// The tag.
        build: BuildId,
    },
    /// Built from a source that is not resolved: the component is rendered, and held until the source answers.
    Unresolved {
        /// Why, as a fragment.
        why: String,
    },
}

/// A component that will not be touched, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// As written; may be a name that Kubernetes would refuse.
    pub component: String,
    /// The first error's message.
    pub why: String,
    /// It is, or may be, a one-off: then nothing may go past it.
    pub gates: bool,
}
