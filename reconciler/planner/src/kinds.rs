//! One row per Kubernetes kind. Everything that differs between kinds stands here: order, scope, identity, what may be
//! pruned, what is watched. Watches, RBAC and docs are derived from this table; no other file names a kind to decide
//! something, but [`crate::readiness`], which also judges kinds that we don't speak.

use renderer::ObjectId;
use serde::{Deserialize, Serialize};

/// Where an object of the kind lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// No namespace.
    Cluster,
    /// The tool's namespace.
    Tool,
    /// The platform's namespace.
    Platform,
    /// The namespace of the builds.
    Builds,
}

/// Who applies it (invariant: the smallest rights that work).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Identity {
    /// The platform's own account: what a tool must never be able to change.
    Platform,
    /// The tool's deployer account.
    Deployer,
}

/// How the kind is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// Whole objects with our mark.
    Marked,
    /// Whole objects, whoever made them (an autoscaler decides about our replicas).
    All,
    /// Names and metadata only: the content is nobody's business here.
    Metadata,
    /// Every object, but of its content only what keeps it from serving: [`crate::pods::distilled`].
    Troubles,
    /// Whole objects with our mark, none of them a tool's: what one platform has for itself.
    Own,
    /// Not at all: all platforms of a cluster share it.
    Never,
}

/// How an object is replaced that differs in a field that can't be changed; with what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// At once: it holds no data, and nothing runs in it.
    Freely(&'static str),
    /// When a person allows it.
    Asked(&'static str),
    /// Never by us.
    Never,
}

/// Which platforms use the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Every platform.
    Always,
    /// Platforms that publish by Ingress.
    Ingress,
    /// Platforms that publish by Gateway API.
    Gateway,
    /// Platforms that build with Tekton.
    Tekton,
}

/// What we know of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// API group; empty for core.
    pub group: &'static str,
    /// Version we speak.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Resource name in URLs.
    pub plural: &'static str,
    /// Where it lives.
    pub scope: Scope,
    /// Apply order, ascending; prune goes the other way.
    pub order: u8,
    /// Who applies it.
    pub identity: Identity,
    /// Never deleted by a pass, whatever the inventory says.
    pub protected: bool,
    /// How it is watched.
    pub watched: Watched,
    /// Which platforms use it.
    pub needs: Needs,
    /// Everything of a later order waits until this one is Ready.
    pub gate: bool,
    /// How it is replaced. What is protected never is.
    pub replace: Replace,
    /// Fields whose values are never shown.
    pub secret_paths: &'static [&'static str],
}

const BASE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    scope: Scope::Tool,
    order: 0,
    identity: Identity::Deployer,
    protected: false,
    watched: Watched::Marked,
    needs: Needs::Always,
    gate: false,
    replace: Replace::Asked("it is gone for a moment"),
    secret_paths: &[],
};

const FREELY: Replace = Replace::Freely("it is gone for a moment");

/// Orders, in words: a pass applies upwards and prunes downwards.
mod order {
    pub const TOOL: u8 = 0;
    pub const NAMESPACE: u8 = 10;
    pub const FRAME: u8 = 20;
    /// What runs first may need it.
    pub const SECRET: u8 = 25;
    pub const GATE: u8 = 30;
    pub const CONFIG: u8 = 40;
    pub const WORKLOAD: u8 = 50;
    pub const SERVICE: u8 = 60;
    pub const ROUTE: u8 = 70;
    pub const RECORD: u8 = 90;
}

/// The table.
// One line a row, whatever its length: columns are read downwards.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    Kind { group: "apiextensions.k8s.io", kind: "CustomResourceDefinition", plural: "customresourcedefinitions", scope: Scope::Cluster, order: order::TOOL, identity: Identity::Platform, protected: true, watched: Watched::Never, gate: true, ..BASE },
    Kind { group: "admissionregistration.k8s.io", kind: "ValidatingAdmissionPolicy", plural: "validatingadmissionpolicies", scope: Scope::Cluster, order: order::TOOL, identity: Identity::Platform, watched: Watched::Own, ..BASE },
    Kind { group: "admissionregistration.k8s.io", kind: "ValidatingAdmissionPolicyBinding", plural: "validatingadmissionpolicybindings", scope: Scope::Cluster, order: order::TOOL, identity: Identity::Platform, watched: Watched::Own, ..BASE },
    Kind { group: "toolforge.org", version: "v1alpha1", kind: "Tool", plural: "tools", scope: Scope::Cluster, order: order::TOOL, identity: Identity::Platform, protected: true, watched: Watched::All, ..BASE },
    Kind { kind: "Namespace", plural: "namespaces", scope: Scope::Cluster, order: order::NAMESPACE, identity: Identity::Platform, protected: true, gate: true, ..BASE },
    Kind { kind: "ServiceAccount", plural: "serviceaccounts", order: order::FRAME, identity: Identity::Platform, ..BASE },
    Kind { group: "rbac.authorization.k8s.io", kind: "RoleBinding", plural: "rolebindings", order: order::FRAME, identity: Identity::Platform, gate: true, replace: FREELY, ..BASE },
    Kind { kind: "ResourceQuota", plural: "resourcequotas", order: order::FRAME, identity: Identity::Platform, gate: true, ..BASE },
    Kind { kind: "LimitRange", plural: "limitranges", order: order::FRAME, identity: Identity::Platform, ..BASE },
    Kind { group: "networking.k8s.io", kind: "NetworkPolicy", plural: "networkpolicies", order: order::FRAME, identity: Identity::Platform, ..BASE },
    Kind { group: "batch", kind: "Job", plural: "jobs", order: order::GATE, replace: Replace::Never, ..BASE },
    Kind { group: "tekton.dev", kind: "PipelineRun", plural: "pipelineruns", scope: Scope::Builds, order: order::GATE, identity: Identity::Platform, needs: Needs::Tekton, replace: Replace::Never, ..BASE },
    Kind { kind: "ConfigMap", plural: "configmaps", order: order::CONFIG, replace: FREELY, ..BASE },
    Kind { group: "apps", kind: "Deployment", plural: "deployments", order: order::WORKLOAD, replace: Replace::Asked("its pods stop before new ones start"), ..BASE },
    Kind { group: "batch", kind: "CronJob", plural: "cronjobs", order: order::WORKLOAD, replace: FREELY, ..BASE },
    Kind { kind: "Service", plural: "services", order: order::SERVICE, replace: Replace::Asked("it gets another address"), ..BASE },
    Kind { group: "policy", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets", order: order::SERVICE, replace: FREELY, ..BASE },
    Kind { group: "networking.k8s.io", kind: "Ingress", plural: "ingresses", order: order::ROUTE, needs: Needs::Ingress, replace: FREELY, ..BASE },
    Kind { group: "gateway.networking.k8s.io", kind: "HTTPRoute", plural: "httproutes", order: order::ROUTE, needs: Needs::Gateway, replace: FREELY, ..BASE },
    Kind { group: "apps", kind: "ControllerRevision", plural: "controllerrevisions", scope: Scope::Platform, order: order::RECORD, identity: Identity::Platform, replace: Replace::Never, ..BASE },
    Kind { group: "autoscaling", version: "v2", kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers", order: order::CONFIG, protected: true, watched: Watched::All, ..BASE },
    Kind { kind: "Pod", plural: "pods", order: order::WORKLOAD, protected: true, watched: Watched::Troubles, ..BASE },
    Kind { kind: "Secret", plural: "secrets", order: order::SECRET, replace: FREELY, watched: Watched::Metadata, secret_paths: &["data", "stringData"], ..BASE },
];

impl Kind {
    /// The row of a group and kind; none for a kind we don't speak.
    #[must_use]
    pub fn of(group: &str, kind: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|row| row.group == group && row.kind == kind)
    }

    /// The row of an object.
    #[must_use]
    pub fn of_id(id: &ObjectId) -> Option<&'static Kind> {
        Self::of(&id.group, &id.kind)
    }

    /// Whether anybody looks at it but who writes it.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched != Watched::Never
    }

    /// Whether only what has our mark is listed and watched.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        matches!(self.watched, Watched::Marked | Watched::Own)
    }

    /// `apps/v1`, or `v1` for core.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Apply order of an object; kinds we don't know come last.
#[must_use]
pub fn order(id: &ObjectId) -> u8 {
    Kind::of_id(id).map_or(u8::MAX, |row| row.order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_one_row() {
        let keys: BTreeSet<_> = KINDS.iter().map(|row| (row.group, row.kind)).collect();
        assert_eq!(keys.len(), KINDS.len());
    }

    #[test]
    fn what_holds_data_is_never_pruned() {
        for (group, kind) in [("", "Namespace"), ("toolforge.org", "Tool")] {
            assert!(Kind::of(group, kind).is_some_and(|row| row.protected), "{kind}");
        }
    }
}
