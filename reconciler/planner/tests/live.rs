//! What a real API server said (`tests/live/*.json`: the desired object, and the live one after somebody's hand), and what
//! drift makes of it. Recorded by `cargo run -p tests --bin record_live`; uids, times and versions are replaced.

#![expect(clippy::disallowed_methods, reason = "the recorded answers lie beside the test")]

use planner::drift::{Drift, FieldChange, Ownership, Said, Verdict, drift, verdicts};
use planner::fields::{FieldSet, ManagedFieldsEntry, Operation, entries};
use planner::merge::{self, Writer};
use planner::schema::Schema;
use renderer::Object;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

struct Case {
    name: String,
    desired: Object,
    live: Value,
    /// The server's answer to a dry-run create, where it was asked.
    made: Option<Value>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live")
}

fn case(name: &str) -> Case {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).expect(name);
    let mut case: Value = serde_json::from_str(&text).expect(name);
    let desired = Object::new(case["desired"].take()).expect("an object");
    Case { name: name.to_owned(), desired, live: case["live"].take(), made: case.get("made").cloned() }
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the recorded answers");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> =
        paths.filter_map(|path| Some(path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned())).collect();
    names.sort();
    names
}

fn applied() -> Vec<Case> {
    names().iter().filter(|name| name.starts_with("applied--")).map(|name| case(name)).collect()
}

fn ownership(case: &Case) -> Ownership<'_> {
    let said = Said { made: case.made.as_ref(), ..Said::NOTHING };
    Ownership { said, ..Ownership::of("toolforge") }
}

fn judged(case: &Case) -> Drift {
    drift(&case.desired, &case.live, &ownership(case))
}

/// `path: from → to by manager`, `-` for nothing.
fn told(drift: &Drift) -> Vec<String> {
    let line = |change: &FieldChange| {
        let (from, to) = (change.from.as_ref().map(ToString::to_string), change.to.as_ref().map(ToString::to_string));
        let by = change.by.as_ref().map_or(String::new(), |by| format!(" by {}", by.manager));
        format!("{}: {} → {}{by}", change.path, from.as_deref().unwrap_or("-"), to.as_deref().unwrap_or("-"))
    };
    drift.changes.iter().map(line).collect()
}

fn ours(live: &Value) -> ManagedFieldsEntry {
    let (entries, unreadable) = entries(live);
    assert_eq!(unreadable, []);
    let ours = entries.into_iter().find(|entry| entry.manager == "toolforge" && entry.operation == Operation::Apply);
    ours.expect("our Apply entry")
}

fn without(live: &Value, names: &[&str]) -> Value {
    let mut live = live.clone();
    for name in names {
        live["metadata"].as_object_mut().expect("metadata").remove(*name);
        live.as_object_mut().expect("an object").remove(*name);
    }
    live
}

#[test]
fn what_the_server_makes_of_our_apply_is_no_drift() {
    let cases = applied();
    assert!(cases.len() > 15);
    for case in cases {
        let drift = judged(&case);
        assert_eq!(told(&drift), Vec::<String>::new(), "{}", case.name);
        assert_eq!(drift.needs_dry_run, Vec::<String>::new(), "{}", case.name);
        assert!(!drift.apply && drift.patch.is_none(), "{}", case.name);
    }
}

/// Read `tests/live/drift.txt`: each case, the requests it takes, and each field with its hand.
#[test]
fn each_hand_is_named_and_nothing_else_is_touched() {
    let mut all = String::new();
    for name in names().iter().filter(|name| !name.starts_with("applied--")) {
        let drift = judged(&case(name));
        let requests = match (&drift.patch, drift.apply) {
            (None, false) => "nothing to do",
            (None, true) => "apply",
            (Some(_), false) => "patch",
            (Some(_), true) => "patch, apply",
        };
        writeln!(all, "{name}: {requests}").expect("text");
        let asked = drift.needs_dry_run.iter().map(|path| format!("{path}: needs a dry run"));
        for line in told(&drift).into_iter().chain(asked) {
            writeln!(all, "    {}", line.trim_end()).expect("text");
        }
    }
    let expected = std::fs::read_to_string(folder().join("drift.txt")).unwrap_or_default();
    assert!(all == expected, "drift.txt says something else; where this is right, write it there:\n{all}");
}

/// What a patch holds, beside the test of the version.
fn operations(name: &str) -> Vec<String> {
    let patch = judged(&case(name)).patch.expect("a patch");
    let operations = patch.as_array().expect("operations").iter().skip(1);
    operations
        .map(|one| format!("{} {}", one["op"].as_str().expect("op"), one["path"].as_str().expect("path")))
        .collect()
}

#[test]
fn a_patch_holds_the_correction_and_nothing_more() {
    for (name, expected) in [
        ("kubectl-label", &["remove /metadata/labels/team"][..]),
        ("kubectl-patch-sidecar", &["replace /spec/template/spec/containers"]),
        ("kubectl-edit-recreate-to-rolling", &["remove /spec/strategy/rollingUpdate", "replace /spec/strategy/type"]),
        ("service-port-changed", &["replace /spec/ports"]),
        ("service-external-name", &["remove /spec/externalName", "remove /spec/type", "add /spec/ports"]),
        ("pdb-changed", &["remove /spec/minAvailable", "add /spec/maxUnavailable"]),
    ] {
        assert_eq!(operations(name), expected, "{name}");
    }
}

#[test]
fn every_live_default_is_in_the_table() {
    for mut case in applied() {
        // Without owners only the tables can tell a default from an intruder.
        case.live = without(&case.live, &["managedFields"]);
        assert_eq!(told(&judged(&case)), ["metadata.managedFields: - → ours"], "{}", case.name);
    }
}

#[test]
fn we_count_fields_as_the_server_counts_them() {
    static NOTHING: FieldSet = FieldSet::new();
    for case in applied() {
        let recorded = ours(&case.live);
        let by = Writer {
            manager: "toolforge",
            api_version: case.desired.api_version(),
            subresource: "",
            time: recorded.time.as_deref().unwrap_or_default(),
            resets: &NOTHING,
        };
        let applied = merge::apply(&Value::Null, &case.desired.value, &by, false).expect(&case.name);
        assert_eq!(ours(&applied.object), recorded, "{}", case.name);
    }
}

#[test]
fn an_update_is_tracked_as_the_server_tracks_it() {
    let before = case("applied--deployment").live;
    for (name, manager) in [
        ("kubectl-label", "kubectl-label"),
        ("kubectl-label-overwrite", "kubectl-label"),
        ("kubectl-label-strip", "kubectl-label"),
        ("kubectl-annotate", "kubectl-annotate"),
        ("kubectl-set-image", "kubectl-set"),
        ("kubectl-set-env", "kubectl-set"),
        ("kubectl-edit", "kubectl-edit"),
        ("kubectl-edit-strategy", "kubectl-edit"),
        ("kubectl-patch-sidecar", "kubectl-patch"),
        ("kubectl-patch-atomic", "kubectl-patch"),
        ("kubectl-patch-command", "kubectl-patch"),
        ("automount-removed", "kubectl-patch"),
    ] {
        let recorded = case(name).live;
        let resets: FieldSet = [planner::fields::Path::of_fields(["status"])].into_iter().collect();
        let by = Writer { manager, api_version: "apps/v1", subresource: "", time: "", resets: &resets };
        // What controllers wrote in the meantime is not the person's doing.
        let mut after = without(&recorded, &["managedFields", "uid"]);
        after["metadata"]["uid"] = before["metadata"]["uid"].clone();
        after["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1".into();
        let tracked = merge::update(&before, &after, &by);
        for who in ["toolforge", manager] {
            assert_eq!(fields_of(&tracked, who), fields_of(&recorded, who), "{name}: {who}");
        }
    }
}

fn fields_of(live: &Value, manager: &str) -> Vec<String> {
    let (entries, _) = entries(live);
    let entries = entries.iter().filter(|entry| entry.manager == manager);
    entries.flat_map(|entry| entry.fields.paths()).map(|path| path.to_string()).collect()
}

#[test]
fn each_field_that_the_server_shows_has_one_verdict_and_drift_is_what_they_say() {
    for case in names().iter().map(|name| case(name)) {
        let found = verdicts(&case.desired, &case.live, &ownership(&case));
        for (place, one) in found.iter().enumerate() {
            let twice = found.iter().skip(place + 1).find(|other| other.path.starts_with(&one.path));
            assert_eq!(twice.map(|other| other.path.to_string()), None, "{}: {}", case.name, one.path);
        }
        for path in FieldSet::of(&case.live, Schema::of_object(&case.live)).paths() {
            let judged = found.iter().any(|one| path.starts_with(&one.path) || one.path.starts_with(&path));
            assert!(judged, "{}: {path} has no verdict", case.name);
        }
        let drift = judged(&case);
        let undecided = found.iter().filter(|one| one.verdict == Verdict::Undecided).count();
        assert_eq!(undecided, drift.needs_dry_run.len(), "{}", case.name);
        let intruder = found.iter().any(|one| one.verdict == Verdict::Intruder);
        assert!(!intruder || !drift.is_none(), "{}: an intruder that nobody removes", case.name);
    }
}

#[test]
fn a_verdict_names_the_hand_and_its_time() {
    let case = case("kubectl-scale");
    let found = verdicts(&case.desired, &case.live, &Ownership::of("toolforge"));
    let of = |path: &str| {
        let one = found.iter().find(|one| one.path.to_string() == path).expect(path);
        let by = one.by.as_ref().map(|by| (by.manager.as_str(), by.time.is_some()));
        (one.verdict, by)
    };
    // Of a write through a subresource the server keeps no time.
    assert_eq!(of("spec.replicas"), (Verdict::Intruder, Some(("kubectl-scale", false))));
    assert_eq!(of("spec.selector"), (Verdict::Desired, Some(("toolforge", true))));
    assert_eq!(of("spec.template.spec.dnsPolicy"), (Verdict::Defaulted, None));
    let controller = ("kube-controller-manager-status", true);
    assert_eq!(of("metadata.annotations[deployment.kubernetes.io/revision]"), (Verdict::Controllers, Some(controller)));
}
