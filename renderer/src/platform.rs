//! `platform.yaml` of the config repository: what operators decide for everyone.

mod allowed_hosts;
mod builds;
mod builtin;
mod credentials;
mod git;
mod network;
mod parse;
mod secrets;

pub use builds::{Backend, Builds, Lifecycle, Tekton, buildpack_version};
pub use credentials::{Credentials, SecretKey, TOOL};
pub use git::{Git, KnownHost, fingerprint};
pub use network::{Destination, Network, Opening};
pub use parse::parse;
pub(crate) use parse::{limits_patch, user_id};
pub use secrets::Secrets;

use crate::licence::Wanted;
use crate::signers::Commits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One platform (tools, toolsbeta): one cluster, one domain, one registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Platform {
    /// `metadata.name`, such as `tools`.
    pub name: String,
    /// Public domain; a tool is served at `<tool>.<domain>`.
    pub domain: String,
    /// kubeconfig context of the cluster; none leaves the choice to the command line.
    pub cluster: Option<String>,
    /// Namespace of the platform's own objects; default `toolforge`.
    pub namespace: String,
    /// Registry and builders.
    pub registry: Registry,
    /// Builders and buildpacks, part of every `BuildId`.
    pub builder: Builder,
    /// Who builds images; none leaves it to others, and their images are waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds: Option<Builds>,
    /// How a published component is reached.
    pub route: Route,
    /// Seconds between polls of a repository; default 60.
    pub poll_interval_secs: u64,
    /// Limits of a tool that has no overrides.
    pub limits: Limits,
    /// The user every container runs as where a tool has no uid of its own.
    pub system_user: SystemUser,
    /// The read-only dumps volume; none means `mount: dumps` is an error.
    pub dumps: Option<Dumps>,
    /// Environment given to every container.
    pub env: BTreeMap<String, String>,
    /// What each tool is given as environment from a Secret of its own in the platform's namespace, by variable.
    pub credentials: BTreeMap<String, SecretKey>,
    /// Where tools' encrypted values are opened; none where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
    /// What tools may connect to; none leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How git hosts are recognised; none where all of them are spoken to over https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// What commits must bring.
    #[serde(default, skip_serializing_if = "Commits::is_default")]
    pub commits: Commits,
    /// Whether repositories have to carry an open licence.
    #[serde(default, skip_serializing_if = "Wanted::is_ignored")]
    pub licence: Wanted,
    /// Hosts a `toolforge.yaml` may name besides those of the config repository; `*` is any, `*.example.org` any below.
    pub allowed_hosts: Vec<String>,
    /// Registries a prebuilt `image:` may come from, as prefixes; empty means any.
    pub allowed_images: Vec<String>,
    /// How much may be deleted.
    pub deletion_budget: DeletionBudget,
    /// Seconds a Deployment may take before its rollout counts as failed; none leaves it to Kubernetes (10 minutes).
    pub progress_deadline_secs: Option<u64>,
    /// Seconds between a tool's removal from the config repository and the deletion of its objects; default a week.
    pub removal_grace_secs: u64,
}

/// The registry our images live in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Host and port, and a path prefix if any: `registry.example/toolforge`.
    pub host: String,
    /// Environment variable prefix of the credentials the reconciler reads; never the credentials themselves.
    pub credentials: Option<String>,
    /// What each tool's images may take, as a quantity of bytes; none for no bound. Who takes more gets no further build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
}

impl Registry {
    /// [`Self::quota`] in bytes.
    #[must_use]
    pub fn quota_bytes(&self) -> Option<u64> {
        let quota = self.quota.as_deref()?.parse::<crate::quantity::Quantity>().ok()?;
        u64::try_from(quota.nanos() / 1_000_000_000).ok()
    }
}

/// What builds images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// Builder image, with digest.
    pub image: String,
    /// Run image, with digest; never part of a `BuildId` (a new one is a rebase).
    pub run_image: String,
    /// Allowed buildpacks: name → reference with digest, and with the version as its tag where a lifecycle uses it.
    pub buildpacks: BTreeMap<String, String>,
    /// Target platform, `linux/amd64`.
    pub target: String,
}

/// Kind of route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Route {
    /// networking.k8s.io/v1 Ingress.
    Ingress {
        /// `spec.ingressClassName`.
        class: Option<String>,
    },
    /// gateway.networking.k8s.io/v1 HTTPRoute.
    Gateway {
        /// Namespace of the Gateway.
        namespace: String,
        /// Name of the Gateway.
        name: String,
    },
}

/// Quota and per-pod limits of a tool. Quantities are Kubernetes quantities as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// ResourceQuota `hard`: `limits.cpu`, `requests.memory`, `pods`, `count/…` → quantity.
    pub quota: BTreeMap<String, String>,
    /// LimitRange `max` per container: cpu, memory.
    pub max: BTreeMap<String, String>,
    /// LimitRange `min` per container: cpu, memory.
    pub min: BTreeMap<String, String>,
    /// LimitRange `default` per container: cpu, memory.
    pub default: BTreeMap<String, String>,
    /// LimitRange `defaultRequest` per container: cpu, memory.
    pub default_request: BTreeMap<String, String>,
}

/// Overrides of [`Limits`]: only the keys given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsPatch {
    /// Overrides of `quota`.
    pub quota: BTreeMap<String, String>,
    /// Overrides of `max`.
    pub max: BTreeMap<String, String>,
    /// Overrides of `min`.
    pub min: BTreeMap<String, String>,
    /// Overrides of `default`.
    pub default: BTreeMap<String, String>,
    /// Overrides of `default_request`.
    pub default_request: BTreeMap<String, String>,
}

/// uid and gid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemUser {
    /// `runAsUser`; at least 1000.
    pub uid: u32,
    /// `runAsGroup` and `fsGroup`; at least 1000.
    pub gid: u32,
}

/// A read-only volume that the *restricted* Pod Security Standard admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dumps {
    /// A claim in the tool's namespace, made by the platform.
    PersistentVolumeClaim {
        /// Its name.
        claim_name: String,
    },
    /// An inline csi volume.
    Csi {
        /// Driver name.
        driver: String,
        /// Its attributes.
        attributes: BTreeMap<String, String>,
    },
}

/// How much may be deleted. A number or a share, whichever allows more: a small platform is not stopped by its share, nor
/// a large one by the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionBudget {
    /// Objects per tool and pass; default 20.
    pub per_pass: u32,
    /// Or this share of the tool's objects, in percent; default 25.
    pub per_pass_percent: u32,
    /// Objects of all tools in one hour; default 200.
    pub per_hour: u32,
    /// Or this share of all objects, in percent; default 5. It is also the share of tools that may vanish from the config
    /// repository at once.
    pub per_hour_percent: u32,
}
