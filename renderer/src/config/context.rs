//! What reading a `toolforge.yaml` needs to know of the platform and of the tool. All of it is optional in spirit: a
//! volunteer checks a file on a laptop with [`ParseContext::default`].

use crate::platform::{LimitsPatch, Platform};
use crate::tool::Tool;
use std::collections::{BTreeMap, BTreeSet};

/// What the platform and the tool decide.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseContext {
    /// The file's name in messages.
    pub file: String,
    /// The tool's own repository, whose host is always allowed.
    pub own_repository: Option<String>,
    /// The platform has dumps to mount.
    pub dumps: bool,
    /// Hosts `repository` may name; `*` is any, `*.example.org` any below.
    pub allowed_hosts: Vec<String>,
    /// Prefixes `image` must start with; none means any.
    pub allowed_images: Vec<String>,
    /// Buildpacks on offer.
    pub buildpacks: Vec<String>,
    /// Variables the platform sets itself.
    pub reserved_env: BTreeSet<String>,
    /// Least `cpu` and `memory` of one component, as quantities.
    pub min: BTreeMap<String, String>,
    /// Most `cpu` and `memory` of one component, as quantities.
    pub max: BTreeMap<String, String>,
}

impl Default for ParseContext {
    /// Of the built-in platform, and of no tool.
    fn default() -> Self {
        Self::of(&Platform::builtin(), None, &LimitsPatch::default())
    }
}

impl ParseContext {
    /// Of this platform and this tool. Hosts of the config repository, which the platform file does not hold, are
    /// added to `allowed_hosts` by the caller.
    #[must_use]
    pub fn new(platform: &Platform, tool: &Tool) -> Self {
        Self::of(platform, Some(tool.repository.clone()), &tool.limits)
    }

    fn of(platform: &Platform, own_repository: Option<String>, limits: &LimitsPatch) -> Self {
        let over = |base: &BTreeMap<String, String>, patch: &BTreeMap<String, String>| {
            let mut limits = base.clone();
            limits.extend(patch.clone());
            limits
        };
        Self {
            file: "toolforge.yaml".to_owned(),
            own_repository,
            dumps: platform.dumps.is_some(),
            allowed_hosts: platform.allowed_hosts.clone(),
            allowed_images: platform.allowed_images.clone(),
            buildpacks: platform.builder.buildpacks.keys().cloned().collect(),
            reserved_env: platform.env.keys().chain(platform.credentials.keys()).cloned().collect(),
            min: over(&platform.limits.min, &limits.min),
            max: over(&platform.limits.max, &limits.max),
        }
    }
}
