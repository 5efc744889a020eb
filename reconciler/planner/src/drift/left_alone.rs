//! Fields that are not ours to judge: one row each, with the reason.

use crate::fields::{Path, PathElement};
use renderer::ObjectId;

/// One row.
struct Row {
    /// Kind; empty for every kind.
    kind: &'static str,
    /// Field names from the top; `*` at the end of a name stands for any rest, `[]` for any item of a list.
    path: &'static [&'static str],
    /// From whom.
    from: From,
    /// Why.
    why: &'static str,
}

/// Whose writing is left alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// Whoever wrote it.
    Anyone,
    /// A program; people writing with kubectl are not entitled to it.
    Programs,
    /// Only what the server itself put there.
    Nobody,
}

/// Why a field is left alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reason {
    /// In words.
    pub(super) why: &'static str,
    /// The server itself chose the value; else a controller did.
    pub(super) by_server: bool,
}

/// `kubectl`, `kubectl-edit`, `kubectl-client-side-apply`, …: a person at a terminal.
fn is_person(manager: &str) -> bool {
    manager == "kubectl" || manager.starts_with("kubectl-")
}

/// Why the field at this path is left alone, if it is. `hand` says who owns it beside us; it is asked only where it counts.
pub(super) fn reason(id: &ObjectId, path: &Path, hand: impl FnOnce() -> Option<String>) -> Option<Reason> {
    let applies = |row: &&Row| matches(row.path, path) && (row.kind.is_empty() || row.kind == id.kind);
    let row = ROWS.iter().find(applies)?;
    let entitled = match row.from {
        From::Anyone => true,
        From::Programs => !hand().is_some_and(|manager| is_person(&manager)),
        From::Nobody => hand().is_none(),
    };
    entitled.then_some(Reason { why: row.why, by_server: row.from == From::Nobody })
}

/// `spec.replicas`, which an autoscaler may own.
pub(super) fn is_replicas(path: &Path) -> bool {
    matches(&["spec", "replicas"], path)
}

fn matches(pattern: &[&str], path: &Path) -> bool {
    let fits = |(pattern, element): (&&str, &PathElement)| match element {
        PathElement::Field(name) => match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        },
        _ => *pattern == "[]",
    };
    // The last name first: it tells most of them apart.
    pattern.len() == path.len() && pattern.iter().zip(path.iter()).rev().all(fits)
}

const fn row(kind: &'static str, path: &'static [&'static str], from: From, why: &'static str) -> Row {
    Row { kind, path, from, why }
}

// One line a row, whatever its length: columns are read downwards.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("", &["apiVersion"], From::Anyone, "the identity of the object"),
    row("", &["kind"], From::Anyone, "the identity of the object"),
    row("", &["status"], From::Anyone, "what a controller says, not what anybody wants"),
    row("", &["metadata", "creationTimestamp"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "deletionGracePeriodSeconds"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "deletionTimestamp"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "generateName"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "generation"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "managedFields"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "name"], From::Anyone, "the identity of the object"),
    row("", &["metadata", "namespace"], From::Anyone, "the identity of the object"),
    row("", &["metadata", "resourceVersion"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "selfLink"], From::Anyone, "the server's bookkeeping"),
    row("", &["metadata", "uid"], From::Anyone, "the identity of the object"),
    row("", &["metadata", "finalizers"], From::Programs, "a promise to a controller: without it something leaks"),
    row("", &["metadata", "ownerReferences"], From::Programs, "the garbage collector goes by them"),
    row("CustomResourceDefinition", &["spec", "conversion", "webhook", "clientConfig", "caBundle"], From::Programs, "injected by whoever runs the webhook"),
    row("Deployment", &["metadata", "annotations", "deployment.kubernetes.io/*"], From::Anyone, "the Deployment controller counts its revisions there"),
    row("Deployment", &["spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"], From::Anyone, "a restart that was asked for; taking it back would restart once more"),
    row("Job", &["metadata", "annotations", "batch.kubernetes.io/*"], From::Anyone, "the Job controller's bookkeeping"),
    row("Job", &["spec", "selector"], From::Nobody, "generated, to find its own pods"),
    row("Job", &["spec", "template", "metadata", "labels", "batch.kubernetes.io/*"], From::Nobody, "generated, to find its own pods"),
    row("Job", &["spec", "template", "metadata", "labels", "controller-uid"], From::Nobody, "generated, to find its own pods"),
    row("Job", &["spec", "template", "metadata", "labels", "job-name"], From::Nobody, "generated, to find its own pods"),
    row("Namespace", &["metadata", "labels", "kubernetes.io/metadata.name"], From::Anyone, "the server writes it, and puts it back"),
    row("Namespace", &["spec", "finalizers"], From::Anyone, "the namespace controller's promise to empty it"),
    row("PersistentVolumeClaim", &["metadata", "annotations", "pv.kubernetes.io/*"], From::Programs, "the binding to its volume"),
    row("PersistentVolumeClaim", &["metadata", "annotations", "volume.kubernetes.io/*"], From::Programs, "the binding to its volume"),
    row("PersistentVolumeClaim", &["spec", "storageClassName"], From::Nobody, "the cluster's default"),
    row("PersistentVolumeClaim", &["spec", "volumeName"], From::Programs, "the binding to its volume"),
    row("Service", &["spec", "clusterIP"], From::Nobody, "allocated"),
    row("Service", &["spec", "clusterIPs"], From::Nobody, "allocated"),
    row("Service", &["spec", "healthCheckNodePort"], From::Nobody, "allocated"),
    row("Service", &["spec", "ipFamilies"], From::Nobody, "follows from the cluster's network"),
    row("Service", &["spec", "ipFamilyPolicy"], From::Nobody, "follows from the cluster's network"),
    row("Service", &["spec", "ports", "[]", "nodePort"], From::Nobody, "allocated"),
    row("ServiceAccount", &["secrets"], From::Programs, "the token controller lists its tokens there"),
    row("Tool", &["spec", "pin"], From::Anyone, "a person's word to the platform, never rendered"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    fn left_alone(kind: &str, path: &[&str], hand: Option<&str>) -> bool {
        let id = ObjectId { group: String::new(), kind: kind.into(), namespace: None, name: "x".into() };
        reason(&id, &Path::of_fields(path.iter().copied()), || hand.map(str::to_owned)).is_some()
    }

    #[test]
    fn a_row_holds_for_its_kind_and_for_whom_it_says() {
        let revision = ["metadata", "annotations", "deployment.kubernetes.io/revision"];
        assert!(left_alone("Deployment", &revision, Some("kube-controller-manager")));
        assert!(!left_alone("CronJob", &revision, Some("kube-controller-manager")));
        assert!(left_alone("Service", &["metadata", "finalizers"], Some("service-controller")));
        assert!(!left_alone("Service", &["metadata", "finalizers"], Some("kubectl-edit")));
        assert!(left_alone("Service", &["spec", "clusterIP"], None));
        assert!(!left_alone("Service", &["spec", "clusterIP"], Some("kubectl-edit")));
        assert!(!left_alone("Service", &["spec", "type"], None));
    }

    #[test]
    fn every_row_names_fields_of_the_schema() {
        for row in ROWS.iter().filter(|row| row.kind != "Tool") {
            let kinds =
                Schema::kinds().filter(|(name, _)| row.kind.is_empty() || name.ends_with(&format!("/{}", row.kind)));
            let mut kinds = kinds.filter(|(name, _)| *name != "*").peekable();
            assert!(kinds.peek().is_some(), "{}", row.kind);
            let known = |(_, kind): (_, crate::schema::TypeRef)| {
                row.path.iter().try_fold(kind, |at, name| match *name {
                    "[]" => Some(at.items()),
                    name => at.declared(name).or_else(|| at.values()),
                })
            };
            assert!(kinds.filter_map(known).next().is_some(), "{} {:?}", row.kind, row.path);
        }
    }
}
