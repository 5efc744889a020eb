//! What has to be built, and how a cluster is asked for it.
//!
//! One [`BuildRequest`] for each [`BuildId`] of a tool, however many components share it. Which of them are due is the
//! planner's to decide; here stands what such a request looks like as an object: a Job that runs the phases of the Cloud
//! Native Buildpacks lifecycle or our own program, or a PipelineRun. Both live in a namespace out of every tool's reach, and carry the tool's
//! mark on their own metadata, so that what becomes of them wakes it.

mod deploy_key;
mod lifecycle;
mod local;
mod tekton;

pub(crate) use deploy_key::OF_KEYS;
pub use deploy_key::{
    DEPLOY_KEY, DEPLOY_KEY_HOST, HOST_SSH_KEY, KNOWN_HOSTS, SSH_KEY, SSH_KEY_HOST, deploy_key_secret, host_key_secret,
};
pub use local::SELF_IMAGE;

use crate::build::BuildInputs;
use crate::config::Build;
use crate::names::{BuildId, CommitId, ComponentName, ToolName};
use crate::object::{Gvk, Head, Object};
use crate::platform::{Backend, Builds, Platform};
use crate::render::{MARK, PLATFORM_MARK};
use crate::tool::Tool;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Annotation of a build: its whole id.
pub const BUILD_ID: &str = "toolforge.org/build-id";
/// Annotation of a build: the image it makes, `repository:tag`.
pub const BUILD_IMAGE: &str = "toolforge.org/build-image";
/// Annotation of a build: the commit it fetches.
pub const BUILD_COMMIT: &str = "toolforge.org/build-commit";
/// Annotation of a build: the components that waited for it when it was asked for, with commas.
pub const BUILD_COMPONENTS: &str = "toolforge.org/build-components";
/// Label of a build's pods: the tool. Not the tool's mark, which never stands in a template.
pub const BUILD_OF: &str = "toolforge.org/build-of";
/// Digits of the id in a build's name.
const SHORT: usize = 12;

/// One image that a tool needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRequest {
    /// What it is made of, hashed; the image's tag.
    pub id: BuildId,
    /// Registry path without tag: that of the first component that needs it.
    pub repository: String,
    /// Components that run it, in name order.
    pub components: Vec<ComponentName>,
    /// Where the source is fetched.
    pub source: BuildSource,
    /// Debian packages, in name order.
    pub packages: Vec<String>,
    /// Buildpacks in order, each its name and reference; none lets the builder choose.
    pub buildpacks: Vec<(String, String)>,
    /// Environment of the build.
    pub envvars: BTreeMap<String, String>,
    /// Words that components of this tree start the image with, each a process or a program of it: what the build looks
    /// for at its end. None where the tree does not hold the file that says so, for then a correction of that file would
    /// be the same build.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub processes: BTreeSet<String>,
    /// Whether it was asked for although nothing of it changed (`use_latest_versions`, `nonce`): then nothing of earlier
    /// builds may stand for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

/// One tree of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSource {
    /// URL, as it is cloned.
    pub repository: String,
    /// Branch, tag or commit as written, for people.
    pub reference: String,
    /// Exactly this.
    pub commit: CommitId,
    /// Folder below the root; empty for the root.
    pub path: String,
}

impl BuildRequest {
    pub(crate) fn new(inputs: &BuildInputs, build: &Build, platform: &Platform, at: BuildSource) -> Self {
        let reference = |name: &String| Some((name.clone(), platform.builder.buildpacks.get(name)?.clone()));
        Self {
            id: inputs.id(),
            repository: String::new(),
            components: Vec::new(),
            source: at,
            packages: inputs.packages.iter().cloned().collect(),
            buildpacks: build.buildpacks.iter().filter_map(reference).collect(),
            envvars: inputs.envvars.clone(),
            processes: BTreeSet::new(),
            fresh: inputs.latest || inputs.nonce.is_some(),
        }
    }

    /// `repository:tag`.
    #[must_use]
    pub fn image(&self) -> String {
        format!("{}:{}", self.repository, self.id)
    }

    /// The request as this platform's backend takes it; none where images come from elsewhere.
    #[must_use]
    pub fn object(&self, platform: &Platform, tool: &Tool) -> Option<Object> {
        let builds = platform.builds.as_ref()?;
        let order = Order { platform, builds, tool, request: self };
        Some(match &builds.backend {
            Backend::Lifecycle(settings) => lifecycle::job(&order, settings),
            Backend::Tekton(settings) => tekton::pipeline_run(&order, settings),
            Backend::Local => local::job(&order),
        })
    }
}

/// `<tool>-<12 digits of the id>`: the same build of the same tool is asked for once.
#[must_use]
pub fn build_name(tool: &ToolName, id: &BuildId) -> String {
    format!("{}-{}", build_stem(tool.as_str()), &id.as_str()[..SHORT])
}

/// What the names of a tool's builds begin with.
#[must_use]
pub fn build_stem(tool: &str) -> String {
    crate::names::stem(tool)
}

/// A request on its way to an object.
struct Order<'a> {
    platform: &'a Platform,
    builds: &'a Builds,
    tool: &'a Tool,
    request: &'a BuildRequest,
}

impl Order<'_> {
    fn object(&self, kind: Gvk, spec: Value) -> Object {
        let mark = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let components: Vec<_> = self.request.components.iter().map(ComponentName::as_str).collect();
        let head = Head {
            kind,
            namespace: Some(self.builds.namespace(self.platform)),
            name: build_name(&self.tool.name, &self.request.id),
            labels: BTreeMap::from([
                mark("app.kubernetes.io/managed-by", "toolforge"),
                mark(MARK, self.tool.name.as_str()),
                mark(PLATFORM_MARK, &self.platform.name),
            ]),
            annotations: BTreeMap::from([
                mark(BUILD_COMPONENTS, &components.join(",")),
                mark(BUILD_ID, self.request.id.as_str()),
                mark(BUILD_IMAGE, &self.request.image()),
                mark(BUILD_COMMIT, self.request.source.commit.as_str()),
            ]),
        };
        Object::with(head, Map::from_iter([("spec".to_owned(), spec)]))
    }

    /// What buildpacks find in their environment, in name order.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut env = self.request.envvars.clone();
        if !self.request.packages.is_empty() {
            env.insert("BP_DEB_PACKAGES".to_owned(), self.request.packages.join(" "));
        }
        if !self.request.processes.is_empty() {
            let names: Vec<_> = self.request.processes.iter().map(String::as_str).collect();
            // Whoever says it in the file has thought of more.
            env.entry("BP_PROCESSES".to_owned()).or_insert_with(|| names.join(" "));
        }
        env
    }
}

/// Every pod of a build: the *restricted* Pod Security Standard, and no token of the API.
fn pod_security(platform: &Platform) -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": platform.system_user.uid,
        "runAsGroup": platform.system_user.gid,
        "fsGroup": platform.system_user.gid,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}
