//! Fields that the server refuses to change. A change there can only be made by a new object.

use renderer::ObjectId;

/// One such field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Immutable {
    /// API group; empty for core.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// The field, with everything below it, as paths print.
    pub path: &'static str,
    /// Why the server refuses.
    pub why: &'static str,
}

const fn row(group: &'static str, kind: &'static str, path: &'static str, why: &'static str) -> Immutable {
    Immutable { group, kind, path, why }
}

/// The table; only kinds that we render.
pub const IMMUTABLE: &[Immutable] = &[
    row("", "PersistentVolumeClaim", "spec.accessModes", "a volume is bound by them"),
    row("", "PersistentVolumeClaim", "spec.storageClassName", "a volume is provisioned by it"),
    row("", "PersistentVolumeClaim", "spec.volumeMode", "a volume is formatted by it"),
    row("", "Secret", "type", "consumers rely on the keys of a type"),
    row("apiextensions.k8s.io", "CustomResourceDefinition", "spec.group", "stored objects are found by it"),
    row("apiextensions.k8s.io", "CustomResourceDefinition", "spec.names.plural", "stored objects are found by it"),
    row("apiextensions.k8s.io", "CustomResourceDefinition", "spec.scope", "stored objects are found by it"),
    row("apps", "ControllerRevision", "data", "a revision is a record"),
    row("apps", "Deployment", "spec.selector", "it would orphan the running pods"),
    row("batch", "Job", "spec.completionMode", "pods are counted by it"),
    row("batch", "Job", "spec.selector", "pods are counted by it"),
    row("batch", "Job", "spec.template", "its pods may be running already"),
    row("rbac.authorization.k8s.io", "ClusterRoleBinding", "roleRef", "a binding must not be turned to other rights"),
    row("rbac.authorization.k8s.io", "RoleBinding", "roleRef", "a binding must not be turned to other rights"),
];

/// Fields that the server refuses to change from some values only.
const ONCE_SET: &[Immutable] = &[
    row("", "ConfigMap", "immutable", "once sealed a map stays so"),
    row("", "Service", "spec.clusterIP", "clients hold it"),
    row("", "Service", "spec.clusterIPs", "clients hold them"),
];

/// Fields that it refuses to change only because of another one.
const SEALED: &[Immutable] =
    &[row("", "ConfigMap", "binaryData", "the map is sealed"), row("", "ConfigMap", "data", "the map is sealed")];

/// The row that forbids changing this field of this object.
#[must_use]
pub fn of(id: &ObjectId, path: &str) -> Option<&'static Immutable> {
    IMMUTABLE.iter().chain(ONCE_SET).find(|row| row.forbids(id, path))
}

/// Whether a refusal that names this field may be over a field that can't be changed.
#[must_use]
pub fn explains(id: &ObjectId, path: &str) -> bool {
    of(id, path).is_some() || SEALED.iter().any(|row| row.forbids(id, path))
}

impl Immutable {
    fn forbids(&self, id: &ObjectId, path: &str) -> bool {
        let is_below =
            || path.strip_prefix(self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.group == id.group && self.kind == id.kind && is_below()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn every_row_names_a_field_of_the_schema() {
        for row in IMMUTABLE.iter().chain(ONCE_SET).chain(SEALED) {
            let mut at = Schema::of(row.group, "v1", row.kind).expect(row.kind);
            for name in row.path.split('.') {
                at = at.declared(name).expect(row.path);
            }
        }
    }

    #[test]
    fn a_field_is_immutable_with_all_that_is_in_it() {
        let id = ObjectId { group: "apps".into(), kind: "Deployment".into(), namespace: None, name: "web".into() };
        assert!(of(&id, "spec.selector.matchLabels.app").is_some());
        assert!(of(&id, "spec.selectors").is_none());
        assert!(of(&id, "spec.replicas").is_none());
        let map = ObjectId { group: String::new(), kind: "ConfigMap".into(), ..id };
        assert!(of(&map, "data.a").is_none() && explains(&map, "data.a") && of(&map, "immutable").is_some());
    }
}
