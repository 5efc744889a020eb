//! What should exist, as a value. The image of a component is the one thing rendering can't know: it is filled in by
//! [`RenderedComponent::at`] once the registry has said which digest stands under the build's tag.

use crate::diagnostic::Report;
use crate::names::{BuildId, ComponentName, ToolName};
use crate::object::Object;
use serde::{Deserialize, Serialize};

/// Everything one tool should have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// The tool.
    pub tool: ToolName,
    /// Its namespace.
    pub namespace: String,
    /// Tool-wide objects (Namespace, ServiceAccount, quota, …): applied whatever becomes of the components.
    pub objects: Vec<Object>,
    /// Good components, in name order.
    pub components: Vec<RenderedComponent>,
    /// Bad components: their live objects stay as the last good revision has them.
    pub withheld: Vec<Withheld>,
    /// The file as a whole could not be used: every component is withheld, also those that can't be named.
    pub unusable: bool,
    /// Errors and notes, all of them.
    pub report: Report,
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
    /// Names of Secrets it needs to start.
    pub secrets: Vec<String>,
    /// Its objects with [`IMAGE_PLACEHOLDER`] where the image goes, and [`KEY_PLACEHOLDER`] in a one-off's name.
    pub objects: Vec<Object>,
    /// For a one-off: what its key is made of besides the digest, length-prefixed (command, env, run_id).
    pub one_off_key: Option<String>,
}

/// Stands where the image's reference will.
pub const IMAGE_PLACEHOLDER: &str = "toolforge.invalid/image";
/// Stands in a one-off Job's name where the first 12 digits of its key will.
pub const KEY_PLACEHOLDER: &str = "0key0";

/// `component_type`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
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
    /// Built from a source that could not be resolved (see the component's `withheld` twin or the hold's reason).
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
}
