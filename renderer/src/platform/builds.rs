//! Who builds images, and how much at once.

use super::Platform;
use crate::names::Digest;
use crate::request::SELF_IMAGE;
use serde::{Deserialize, Serialize};

/// Builds that the platform runs; without them images come from elsewhere, and are waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builds {
    /// What runs them.
    pub backend: Backend,
    /// Builds of all tools at once; default 10.
    pub at_once: u32,
    /// Builds of one tool at once; default 1.
    pub at_once_per_tool: u32,
    /// Seconds after which a build is ended; default 1800.
    pub timeout_secs: u64,
}

/// What runs builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Backend {
    /// A Job with the phases of the Cloud Native Buildpacks lifecycle.
    Lifecycle(Lifecycle),
    /// A PipelineRun of Tekton.
    Tekton(Tekton),
    /// Our own program with our own buildpacks, on the machine that runs the platform.
    Local,
}

/// Settings of [`Backend::Lifecycle`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Image with our own binary, with digest: it fetches the source.
    pub image: String,
    /// A Secret of type `kubernetes.io/dockerconfigjson` in the builds' namespace; none for an open registry.
    pub registry_secret: Option<String>,
    /// CPU limit of each phase; default `2`.
    pub cpu: String,
    /// Memory limit of each phase; default `4Gi`.
    pub memory: String,
    /// Most that the source and the layers take, each; default `8Gi`.
    pub disk: String,
}

/// Settings of [`Backend::Tekton`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tekton {
    /// Name of the Pipeline; default `buildpacks`.
    pub pipeline: String,
    /// Account its tasks run as; none leaves it to Tekton.
    pub service_account: Option<String>,
}

impl Platform {
    /// The same, with our own buildpacks as the builder where the platform builds on its own machine: they come with the
    /// program, so their hash is part of what a build is made of, and no platform file can name it.
    #[must_use]
    pub fn with_own_buildpacks(mut self, buildpacks: &Digest) -> Self {
        if self.builds.as_ref().is_some_and(|builds| builds.backend == Backend::Local) {
            self.builder.image = format!("{SELF_IMAGE}@{buildpacks}");
        }
        self
    }
}

impl Builds {
    /// As many at once, and for as long, as is usual.
    #[must_use]
    pub fn by(backend: Backend) -> Self {
        Self { backend, at_once: 10, at_once_per_tool: 1, timeout_secs: 1800 }
    }

    /// `<platform's namespace>-builds`: out of every tool's reach.
    #[must_use]
    pub fn namespace(&self, platform: &Platform) -> String {
        format!("{}-builds", platform.namespace)
    }
}

impl Lifecycle {
    /// With our own binary in this image, and the room that most builds need.
    #[must_use]
    pub fn of(image: String) -> Self {
        let [cpu, memory, disk] = ["2", "4Gi", "8Gi"].map(str::to_owned);
        Self { image, registry_secret: None, cpu, memory, disk }
    }
}

/// The version of a buildpack, which is the tag of its reference: a builder keeps buildpacks by name and version.
#[must_use]
pub fn buildpack_version(reference: &str) -> Option<&str> {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    name.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag)
}
