//! What is served: one row per resource. Whatever has no row is a 404.

/// One served resource.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind, `Deployment`. Also the name under which objects are stored: the two Event resources share one.
    pub kind: &'static str,
    /// Plural as in the path, `deployments`.
    pub plural: &'static str,
    /// Short names and categories as kubectl knows them.
    pub short: &'static [&'static str],
    /// Objects live in a namespace.
    pub namespaced: bool,
    /// Which subresources there are besides the object itself.
    pub parts: Parts,
    /// Part of `kubectl get all`.
    pub in_all: bool,
}

/// The subresources of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// None.
    Whole,
    /// `/status`.
    Status,
    /// `/status` and `/scale`.
    Scale,
}

use Parts::{Scale, Status, Whole};

const fn row(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    Resource { group, version, kind, plural, short: &[], namespaced: true, parts: Whole, in_all: false }
}

impl Resource {
    const fn short(mut self, short: &'static [&'static str]) -> Self {
        self.short = short;
        self
    }
    const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }
    const fn parts(mut self, parts: Parts) -> Self {
        self.parts = parts;
        self
    }
    const fn in_all(mut self) -> Self {
        self.in_all = true;
        self
    }
}

/// All rows, in the order of discovery.
#[rustfmt::skip] // a table reads better than a wall of chained calls
pub static RESOURCES: &[Resource] = &[
    row("", "v1", "ConfigMap", "configmaps").short(&["cm"]),
    row("", "v1", "Event", "events").short(&["ev"]),
    row("", "v1", "LimitRange", "limitranges").short(&["limits"]),
    row("", "v1", "Namespace", "namespaces").short(&["ns"]).cluster().parts(Status),
    row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims").short(&["pvc"]).parts(Status),
    row("", "v1", "Pod", "pods").short(&["po"]).parts(Status).in_all(),
    row("", "v1", "ResourceQuota", "resourcequotas").short(&["quota"]).parts(Status),
    row("", "v1", "Secret", "secrets"),
    row("", "v1", "Service", "services").short(&["svc"]).parts(Status).in_all(),
    row("", "v1", "ServiceAccount", "serviceaccounts").short(&["sa"]),
    row("apps", "v1", "ControllerRevision", "controllerrevisions"),
    row("apps", "v1", "Deployment", "deployments").short(&["deploy"]).parts(Scale).in_all(),
    row("apps", "v1", "ReplicaSet", "replicasets").short(&["rs"]).parts(Scale).in_all(),
    row("events.k8s.io", "v1", "Event", "events").short(&["ev"]),
    row("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers").short(&["hpa"]).parts(Status).in_all(),
    row("batch", "v1", "CronJob", "cronjobs").short(&["cj"]).parts(Status).in_all(),
    row("batch", "v1", "Job", "jobs").parts(Status).in_all(),
    row("networking.k8s.io", "v1", "Ingress", "ingresses").short(&["ing"]).parts(Status),
    row("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies").short(&["netpol"]),
    row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets").short(&["pdb"]).parts(Status),
    row("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles").cluster(),
    row("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings").cluster(),
    row("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    row("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    row("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies").cluster().parts(Status),
    row("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings").cluster(),
    row("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions").short(&["crd", "crds"]).cluster().parts(Status),
    row("coordination.k8s.io", "v1", "Lease", "leases"),
    row("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes").parts(Status),
    row("toolforge.org", "v1alpha1", "Tool", "tools").cluster().parts(Status),
];

impl Resource {
    /// The resource behind a path.
    #[must_use]
    pub fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|row| row.group == group && row.version == version && row.plural == plural)
    }

    /// The first resource that stores this kind.
    #[must_use]
    pub fn by_kind(kind: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|row| row.kind == kind)
    }

    /// `apps/v1`, or `v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }

    /// `deployments.apps`, or `services`: how errors name a resource.
    #[must_use]
    pub fn qualified(&self) -> String {
        dotted(self.plural, self.group)
    }

    /// `Deployment.apps`, or `Service`: how validation errors name it.
    #[must_use]
    pub fn qualified_kind(&self) -> String {
        dotted(self.kind, self.group)
    }

    /// `deployment`.
    #[must_use]
    pub fn singular(&self) -> String {
        self.kind.to_ascii_lowercase()
    }

    /// A custom resource: its lists carry `apiVersion` and `kind` in every item, and no strategic merge exists.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        matches!(self.group, "gateway.networking.k8s.io" | "toolforge.org")
    }

    /// Has `/status`.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.parts != Whole
    }

    /// Its `metadata.generation` counts changes of what people want.
    #[must_use]
    pub fn counts_generations(&self) -> bool {
        self.is_custom()
            || matches!(
                self.kind,
                "Deployment"
                    | "ReplicaSet"
                    | "Job"
                    | "CronJob"
                    | "Ingress"
                    | "NetworkPolicy"
                    | "PodDisruptionBudget"
                    | "CustomResourceDefinition"
                    | "ValidatingAdmissionPolicy"
                    | "ValidatingAdmissionPolicyBinding"
                    | "Pod"
            )
    }
}

/// `group/version`, or the version alone in the core group.
#[must_use]
pub fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn dotted(first: &str, group: &str) -> String {
    if group.is_empty() { first.to_owned() } else { format!("{first}.{group}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_are_served_by_two_groups() {
        for row in RESOURCES {
            let same = RESOURCES.iter().filter(|one| one.kind == row.kind).count();
            assert_eq!(same, if row.kind == "Event" { 2 } else { 1 }, "{}", row.kind);
        }
    }

    #[test]
    fn errors_name_a_resource_with_its_group_unless_it_is_the_core_one() {
        let qualified = |kind| Resource::by_kind(kind).map(Resource::qualified);
        assert_eq!(qualified("Deployment").as_deref(), Some("deployments.apps"));
        assert_eq!(qualified("Service").as_deref(), Some("services"));
        assert_eq!(Resource::by_path("apps", "v1", "daemonsets"), None);
    }
}
