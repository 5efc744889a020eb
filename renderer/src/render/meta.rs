//! What is written on every object: names, labels, and the marks that say whose it is.
//!
//! Two marks, on an object's own metadata and never in a template (what a controller makes from a template is not
//! ours): [`MARK`] names the tool and is what the platform selects by; [`PART_OF`] names the ApplySet whose parent is the
//! tool's Tool object (KEP-3659), so that other programs can read the inventory.

use super::Frame;
use crate::config::Component;
use crate::length_prefixed::hex;
use crate::names::{ComponentName, ToolName};
use crate::object::Gvk;
use crate::rendered::ComponentKind;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Label of every object we make: the name of the tool that it is for, or nothing where it is for one platform itself.
pub const MARK: &str = "toolforge.org/tool";
/// Label of every object we make for the platform itself, of its Tools and of their namespaces: the platform's name.
pub const PLATFORM_MARK: &str = "toolforge.org/platform";
/// Label of the namespace of a tool that has a system user of its own: the user's number.
pub const USER: &str = "toolforge.org/uid";
/// Label of every member of a tool's ApplySet: the set's id.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// Label of the Tool: the id of its ApplySet.
pub const APPLYSET_ID: &str = "applyset.kubernetes.io/id";
/// Label of pods and their owners: the component.
pub const COMPONENT: &str = "app.kubernetes.io/name";
/// Label of pods and their owners: the component's type.
pub const COMPONENT_TYPE: &str = "app.kubernetes.io/component";

/// Name of the account as which the platform speaks in a tool's namespace, of the ClusterRole with what that account may
/// do, and of the RoleBinding that gives it to the account there (adr/0029).
pub const DEPLOYER: &str = "toolforge-deployer";

const fn gvk(group: &'static str, version: &'static str, kind: &'static str) -> Gvk {
    Gvk { group, version, kind }
}

pub(crate) const TOOL: Gvk = gvk("toolforge.org", "v1alpha1", "Tool");
pub(crate) const NAMESPACE: Gvk = gvk("", "v1", "Namespace");
pub(crate) const CONFIG_MAP: Gvk = gvk("", "v1", "ConfigMap");
pub(crate) const CRD: Gvk = gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
pub(crate) const SERVICE_ACCOUNT: Gvk = gvk("", "v1", "ServiceAccount");
pub(crate) const RESOURCE_QUOTA: Gvk = gvk("", "v1", "ResourceQuota");
pub(crate) const LIMIT_RANGE: Gvk = gvk("", "v1", "LimitRange");
pub(crate) const NETWORK_POLICY: Gvk = gvk("networking.k8s.io", "v1", "NetworkPolicy");
pub(crate) const ROLE_BINDING: Gvk = gvk("rbac.authorization.k8s.io", "v1", "RoleBinding");
pub(crate) const DEPLOYMENT: Gvk = gvk("apps", "v1", "Deployment");
pub(crate) const SERVICE: Gvk = gvk("", "v1", "Service");
pub(crate) const INGRESS: Gvk = gvk("networking.k8s.io", "v1", "Ingress");
pub(crate) const HTTP_ROUTE: Gvk = gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
pub(crate) const DISRUPTION_BUDGET: Gvk = gvk("policy", "v1", "PodDisruptionBudget");
pub(crate) const CRON_JOB: Gvk = gvk("batch", "v1", "CronJob");
pub(crate) const JOB: Gvk = gvk("batch", "v1", "Job");
pub(crate) const SECRET: Gvk = gvk("", "v1", "Secret");

/// Every kind a tool's ApplySet may have members of.
const MEMBERS: [Gvk; 14] = [
    CRON_JOB,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    LIMIT_RANGE,
    NAMESPACE,
    NETWORK_POLICY,
    RESOURCE_QUOTA,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
];

/// Value of `applyset.kubernetes.io/contains-group-kinds`: sorted, `Kind.group` each.
pub(crate) fn member_kinds() -> String {
    let mut kinds =
        MEMBERS.map(|m| if m.group.is_empty() { m.kind.to_owned() } else { format!("{}.{}", m.kind, m.group) });
    kinds.sort();
    kinds.join(",")
}

/// The id of a tool's ApplySet: its parent's `<name>.<namespace>.<kind>.<group>`, hashed; a cluster-scoped parent's
/// namespace is empty.
#[must_use]
pub fn applyset_id(tool: &ToolName) -> String {
    let parent = format!("{tool}..{}.{}", TOOL.kind, TOOL.group);
    format!("applyset-{}-v1", base64_url(&Sha256::digest(parent.as_bytes())))
}

/// base64 with the URL alphabet and without padding.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0usize, |group, byte| group << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[group >> (18 - 6 * place) & 63]));
        }
    }
    text
}

type Labels = BTreeMap<String, String>;

fn labels<const K: usize>(pairs: [(&str, &str); K]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Labels of pods: today's, and nothing that a commit changes.
pub(crate) fn pod_labels(tool: &ToolName, name: &ComponentName, component: &Component) -> Labels {
    let mut labels = labels([
        ("toolforge", "tool"),
        ("app.kubernetes.io/managed-by", "toolforge"),
        ("app.kubernetes.io/created-by", tool.as_str()),
        (COMPONENT, name.as_str()),
        (COMPONENT_TYPE, component.run.kind.component_kind().as_str()),
        // Today's volume admission gives full NFS to a pod that does not say this.
        ("toolforge.org/mount-storage", "none"),
    ]);
    if let Some(emails) = component.run.emails.as_deref().filter(|emails| *emails != "none") {
        // Read by today's mailer, from pods.
        labels.insert("jobs.toolforge.org/emails".to_owned(), emails.to_owned());
    }
    labels
}

/// Labels that select a component's pods: as few as tell them from all others, for they can never change. The type is
/// among them because a former cron job's pods may outlive it for a while.
pub(crate) fn selector(name: &ComponentName, kind: ComponentKind) -> Labels {
    labels([(COMPONENT, name.as_str()), (COMPONENT_TYPE, kind.as_str())])
}

/// Labels of a tool's own object, which belongs to no component.
pub(crate) fn tool_labels(tool: &ToolName) -> Labels {
    labels([
        ("toolforge", "tool"),
        ("app.kubernetes.io/managed-by", "toolforge"),
        ("app.kubernetes.io/created-by", tool.as_str()),
        (MARK, tool.as_str()),
        (PART_OF, &applyset_id(tool)),
    ])
}

/// Labels of a component's object.
pub(crate) fn component_labels(frame: &Frame<'_>, name: &ComponentName, component: &Component) -> Labels {
    let mut labels = frame.labels.clone();
    labels.extend(pod_labels(&frame.tool.name, name, component));
    labels.remove("toolforge.org/mount-storage");
    labels
}

/// Labels of the platform's own objects.
#[must_use]
pub fn platform_labels(platform: &str) -> Labels {
    labels([("app.kubernetes.io/managed-by", "toolforge"), (PLATFORM_MARK, platform)])
}

/// Name of the Secret that holds a variable named under `secrets:`, in its key [`SECRET_KEY`]: `toolforge-secret-` and the variable in
/// lower case with `-` for `_`. A variable that this would confuse with another, or that makes no name (lower-case
/// letters, an underscore at the end), gets `.` and 8 digits of its hash as well.
#[must_use]
pub fn secret_name(variable: &str) -> String {
    let plain: String = variable.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect();
    let name = format!("toolforge-secret-{plain}");
    if !plain.ends_with('-') && !variable.contains(|c: char| c.is_ascii_lowercase()) {
        return name;
    }
    let hash = hex(&Sha256::digest(variable.as_bytes()));
    format!("{}.{}", name.trim_end_matches('-'), &hash[..8])
}

/// The key of [`secret_name`]'s Secret that holds the value.
pub const SECRET_KEY: &str = "value";

impl ComponentKind {
    /// As written under `component_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continuous => "continuous",
            Self::Scheduled => "scheduled",
            Self::OneOff => "one-off",
        }
    }
}

impl crate::config::RunKind {
    /// The component type it belongs to.
    #[must_use]
    pub fn component_kind(&self) -> ComponentKind {
        match self {
            Self::Continuous { .. } => ComponentKind::Continuous,
            Self::Scheduled { .. } => ComponentKind::Scheduled,
            Self::OneOff { .. } => ComponentKind::OneOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_applyset_id_is_what_kubectl_computes() {
        // printf 'wordcount..Tool.toolforge.org' | openssl dgst -sha256 -binary | basenc --base64url
        let tool = ToolName::new("wordcount").expect("a name");
        assert_eq!(applyset_id(&tool), "applyset-gU9ioETUZGxfroBSwlC_LAHieCoc0UtVi4gmxdsGlHs-v1");
    }

    #[test]
    fn two_variables_never_share_a_secret() {
        let variables = ["API_KEY", "api_key", "API_KEY_", "API_KEY__", "_API_KEY", "Api_Key"];
        let names: std::collections::BTreeSet<_> = variables.iter().map(|v| secret_name(v)).collect();
        assert_eq!(names.len(), variables.len(), "{names:?}");
        assert_eq!(secret_name("API_KEY"), "toolforge-secret-api-key");
    }
}
