use super::*;
use crate::merge::update;
use crate::schema::{arbitrary, defaults};
use proptest::prelude::*;
use serde_json::json;

static NOTHING: FieldSet = FieldSet::new();
const OURS: Ownership<'_> = Ownership::of("toolforge");

fn writer<'a>(manager: &'a str, object: &'a Value) -> Writer<'a> {
    let api_version = object["apiVersion"].as_str().expect("a version");
    Writer { manager, api_version, subresource: "", time: "2026-01-01T00:10:00Z", resets: &NOTHING }
}

fn object(value: &Value) -> Object {
    Object::new(value.clone()).expect("an object")
}

/// What the server adds to what is written.
fn served(mut live: Value) -> Value {
    let at = Schema::of_object(&live);
    defaults::fill(&mut live, at);
    live["metadata"]["resourceVersion"] = json!("1");
    live["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    live
}

fn applied(live: &Value, desired: &Value, manager: &str) -> Value {
    served(merge::apply(live, desired, &writer(manager, desired), true).expect("applies").object)
}

/// What the shell does with a drift: the patch, then the apply.
fn corrected(desired: &Value, live: &Value, drift: &Drift) -> Value {
    let mut now = live.clone();
    if let Some(operations) = &drift.patch {
        let patched = patch::applied(live, operations).expect("the patch applies");
        now = update(live, &served(patched), &writer("toolforge", desired));
    }
    if drift.apply { applied(&now, desired, "toolforge") } else { now }
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "tool-a", "labels": {"app": "web"}}, "spec": spec})
}

/// Each change as `path: from → to by manager`.
fn told(drift: &Drift) -> Vec<String> {
    let side = |shown: &Option<Shown>| shown.as_ref().map_or("-".to_owned(), ToString::to_string);
    let by = |change: &FieldChange| change.by.as_ref().map_or(String::new(), |by| format!(" by {}", by.manager));
    let line =
        |change: &FieldChange| format!("{}: {} → {}{}", change.path, side(&change.from), side(&change.to), by(change));
    drift.changes.iter().map(line).collect()
}

fn edited(live: &Value, manager: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut new = live.clone();
    edit(&mut new);
    update(live, &served(new), &writer(manager, live))
}

#[track_caller]
fn check(desired: &Value, live: &Value, expected: &[&str]) -> Drift {
    let drift = drift(&object(desired), live, &OURS);
    assert_eq!(told(&drift), expected);
    assert_eq!(drift.is_none(), !drift.apply && drift.patch.is_none());
    let after = corrected(desired, live, &drift);
    assert_eq!(told(&super::drift(&object(desired), &after, &OURS)), Vec::<String>::new(), "after the correction");
    drift
}

#[test]
fn an_object_as_applied_has_no_drift() {
    let desired = deployment(json!({"replicas": 2}));
    check(&desired, &applied(&Value::Null, &desired, "toolforge"), &[]);
}

#[test]
fn kubectl_scale_is_reverted_but_an_autoscaler_is_left_alone() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let scaled = edited(&live, "kubectl-scale", |live| live["spec"]["replicas"] = json!(5));
    let drift = check(&desired, &scaled, &["spec.replicas: 5 → 2 by kubectl-scale"]);
    assert_eq!(drift.patch, None);

    let unscaled = deployment(json!({}));
    let live = applied(&Value::Null, &unscaled, "toolforge");
    let scaled = edited(&live, "kube-controller-manager", |live| live["spec"]["replicas"] = json!(5));
    let autoscaled = Ownership { autoscaled: true, ..OURS };
    assert_eq!(told(&super::drift(&object(&unscaled), &scaled, &autoscaled)), Vec::<String>::new());
    check(&unscaled, &scaled, &["spec.replicas: 5 → - by kube-controller-manager"]);
}

#[test]
fn a_container_that_somebody_added_goes_whole() {
    let desired = deployment(json!({"template": {"spec": {"containers": [{"name": "web", "image": "a:1"}]}}}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let live = edited(&live, "kubectl-edit", |live| {
        let containers = live["spec"]["template"]["spec"]["containers"].as_array_mut().expect("containers");
        containers.push(json!({"name": "miner", "image": "b", "terminationMessagePath": "/dev/termination-log"}));
    });
    let drift = drift(&object(&desired), &live, &OURS);
    let [change] = drift.changes.as_slice() else { unreachable!("{:?}", told(&drift)) };
    assert_eq!((change.path.as_str(), change.kind), ("spec.template.spec.containers[miner]", ChangeKind::Intruder));
    let after = corrected(&desired, &live, &drift);
    assert_eq!(after["spec"]["template"]["spec"]["containers"].as_array().map(Vec::len), Some(1));
}

#[test]
fn labels_and_annotations_of_others_are_intruders_whoever_wrote_them() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let live = edited(&live, "kubectl-label", |live| live["metadata"]["labels"]["team"] = json!("x"));
    let live = edited(&live, "some-operator", |live| {
        live["metadata"]["annotations"] = json!({"example.org/a": "1", "deployment.kubernetes.io/revision": "1"});
    });
    let drift = check(
        &desired,
        &live,
        &[
            "metadata.annotations[example.org/a]: 1 → - by some-operator",
            "metadata.labels.team: x → - by kubectl-label",
        ],
    );
    assert!(!drift.apply);
    assert_eq!(
        drift.patch,
        Some(json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
            {"op": "remove", "path": "/metadata/annotations/example.org~1a"},
            {"op": "remove", "path": "/metadata/labels/team"},
        ]))
    );
}

#[test]
fn a_stripped_label_comes_back() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let live = edited(&live, "kubectl-label", |live| live["metadata"]["labels"] = json!({}));
    check(&desired, &live, &["metadata.labels.app: - → web"]);
}

#[test]
fn what_we_no_longer_want_goes_with_the_same_apply() {
    let live = applied(&Value::Null, &deployment(json!({"replicas": 2, "minReadySeconds": 5})), "toolforge");
    let drift = check(&deployment(json!({"replicas": 2})), &live, &["spec.minReadySeconds: 5 → -"]);
    assert!(drift.apply && drift.patch.is_none());
    assert_eq!(drift.changes[0].kind, ChangeKind::Removed);
}

#[test]
fn our_own_update_entries_count_as_ours() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let live = edited(&live, "toolforge", |live| live["spec"]["minReadySeconds"] = json!(5));
    let drift = check(&desired, &live, &["spec.minReadySeconds: 5 → -"]);
    assert!(drift.patch.is_some());
    assert_eq!(drift.changes[0].kind, ChangeKind::Removed);
}

#[test]
fn a_service_port_that_was_changed_is_put_right_in_one_step() {
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": ports}});
    let desired = service(json!([{"port": 8000, "protocol": "TCP"}]));
    let live = applied(&Value::Null, &desired, "toolforge");
    let live = edited(&live, "kubectl-edit", |live| live["spec"]["ports"] = json!([{"port": 9000, "protocol": "TCP"}]));
    let drift = drift(&object(&desired), &live, &OURS);
    let patched = patch::applied(&live, drift.patch.as_ref().expect("a patch")).expect("applies");
    assert_eq!(patched["spec"]["ports"], desired["spec"]["ports"]);
    assert!(drift.apply, "and the server learns that the port is ours");
}

#[test]
fn a_default_of_another_strategy_is_removed_before_the_server_refuses() {
    let desired = deployment(json!({"strategy": {"type": "Recreate"}}));
    let mut live = applied(&Value::Null, &deployment(json!({"replicas": 2})), "toolforge");
    live["spec"]["strategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}});
    let drift = drift(&object(&desired), &live, &OURS);
    let patched = patch::applied(&live, drift.patch.as_ref().expect("a patch")).expect("applies");
    assert_eq!(patched["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn the_order_of_what_we_want_is_kept() {
    let env = |names: [&str; 2]| {
        let env = names.map(|name| json!({"name": name, "value": "1"}));
        deployment(json!({"template": {"spec": {"containers": [{"name": "web", "env": env}]}}}))
    };
    let live = applied(&Value::Null, &env(["A", "B"]), "toolforge");
    let swapped = edited(&live, "kubectl-edit", |live| {
        live["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().expect("env").swap(0, 1);
    });
    check(&env(["A", "B"]), &swapped, &[r#"spec.template.spec.containers[web].env: ["B","A"] → ["A","B"]"#]);
}

/// What the server answers to a dry-run create of this object, where admission adds what `injects` does.
fn made(desired: &Value, injects: impl FnOnce(&mut Value)) -> Value {
    let mut object = desired.clone();
    injects(&mut object);
    served(object)
}

/// As [`check`], with the server's answer to a dry-run create.
#[track_caller]
fn check_said(desired: &Value, live: &Value, said: Said<'_>, expected: &[&str]) -> Drift {
    let ownership = Ownership { said, ..OURS };
    let drift = drift(&object(desired), live, &ownership);
    assert_eq!(told(&drift), expected);
    assert_eq!(drift.needs_dry_run, Vec::<String>::new());
    let after = corrected(desired, live, &drift);
    assert_eq!(told(&super::drift(&object(desired), &after, &ownership)), Vec::<String>::new(), "after the correction");
    drift
}

fn settled(path: &str, wanted: bool) -> Settlement {
    Settlement { path: path.to_owned(), wanted }
}

#[test]
fn cleared_owners_come_back_with_one_apply_and_the_server_says_what_is_no_default() {
    let desired = deployment(json!({"replicas": 2}));
    let mut live = applied(&Value::Null, &desired, "toolforge");
    let metadata = live["metadata"].as_object_mut().expect("metadata");
    metadata.remove("managedFields");
    check(&desired, &live, &["metadata.managedFields: - → ours"]);

    live["spec"]["revisionHistoryLimit"] = json!(10);
    live["spec"]["minReadySeconds"] = json!(7);
    let unasked = drift(&object(&desired), &live, &OURS);
    assert_eq!(unasked.needs_dry_run, ["spec.minReadySeconds"]);
    assert_eq!(unasked.patch, None, "nothing is removed on a guess");
    let plain = made(&desired, |_| {});
    let expected = ["metadata.managedFields: - → ours", "spec.minReadySeconds: 7 → -"];
    check_said(&desired, &live, Said { made: Some(&plain), ..Said::NOTHING }, &expected);
    let injecting = made(&desired, |object| object["spec"]["minReadySeconds"] = json!(7));
    let drift = check_said(&desired, &live, Said { made: Some(&injecting), ..Said::NOTHING }, &expected[..1]);
    assert_eq!(drift.settled, [settled("spec.minReadySeconds", false)]);
}

#[test]
fn what_was_there_before_the_first_apply_waits_for_a_dry_run() {
    let desired = deployment(json!({"replicas": 2}));
    let before = served(deployment(json!({"replicas": 2, "minReadySeconds": 7, "revisionHistoryLimit": 10})));
    let live = applied(&before, &desired, "toolforge");
    let drift = check(&desired, &live, &[]);
    assert_eq!(drift.needs_dry_run, ["spec.minReadySeconds"]);
    let plain = made(&desired, |_| {});
    let said = Said { made: Some(&plain), ..Said::NOTHING };
    check_said(&desired, &live, said, &["spec.minReadySeconds: 7 → - by before-first-apply"]);
}

#[test]
fn a_value_without_an_owner_is_a_default_only_where_the_server_makes_it() {
    let desired = deployment(json!({"template": {"spec": {"containers": [{"name": "web", "image": "a:1"}]}}}));
    let mut live = applied(&Value::Null, &desired, "toolforge");
    let sidecar = json!({"name": "proxy", "image": "mesh:1"});
    let inject = |object: &mut Value| {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array_mut().expect("containers");
        containers.push(sidecar.clone());
    };
    inject(&mut live);
    let live = served(live);
    assert_eq!(drift(&object(&desired), &live, &OURS).needs_dry_run.len(), 2, "its name and its image");
    let injecting = made(&desired, inject);
    let drift = check_said(&desired, &live, Said { made: Some(&injecting), ..Said::NOTHING }, &[]);
    // Once that is known nobody is asked again, whatever we want elsewhere.
    check_said(&desired, &live, Said { settled: &drift.settled, ..Said::NOTHING }, &[]);
    let plain = made(&desired, |_| {});
    let drift = super::drift(
        &object(&desired),
        &live,
        &Ownership { said: Said { made: Some(&plain), ..Said::NOTHING }, ..OURS },
    );
    assert_eq!(
        drift.changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(),
        ["spec.template.spec.containers[proxy]"]
    );
}

#[test]
fn what_our_own_apply_does_not_show_is_admissions_and_not_asked_for_again() {
    let desired = deployment(json!({"replicas": 2, "minReadySeconds": 5}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let admission = |mut answer: Value| {
        answer["spec"]["replicas"] = json!(3);
        answer["spec"].as_object_mut().expect("a spec").remove("minReadySeconds");
        answer
    };
    let live = admission(live);
    let drift = super::drift(&object(&desired), &live, &OURS);
    assert_eq!(told(&drift), ["spec.minReadySeconds: - → 5", "spec.replicas: 3 → 2"]);
    let answer = admission(applied(&live, &desired, "toolforge"));
    let still = still(Some(&drift.changes), Some(&object(&desired)), &answer, "toolforge");
    assert_eq!(still, [settled("spec.minReadySeconds", true), settled("spec.replicas", true)]);
    let said = Said { settled: &still, ..Said::NOTHING };
    let again = super::drift(&object(&desired), &answer, &Ownership { said, ..OURS });
    assert!(again.is_none() && again.settled == still);
    // Somebody's hand on it is another matter.
    let scaled = edited(&answer, "kubectl-scale", |live| live["spec"]["replicas"] = json!(9));
    let drift = super::drift(&object(&desired), &scaled, &Ownership { said, ..OURS });
    assert_eq!(told(&drift), ["spec.replicas: 9 → 2 by kubectl-scale"]);
}

#[test]
fn what_a_patch_removed_and_is_there_again_is_admissions() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let live = edited(&live, "kubectl-label", |live| live["metadata"]["labels"]["team"] = json!("x"));
    let drift = drift(&object(&desired), &live, &OURS);
    assert!(!drift.apply);
    let mut answer = corrected(&desired, &live, &drift);
    assert_eq!(still(Some(&drift.changes), None, &answer, "toolforge"), []);
    answer["metadata"]["labels"]["team"] = json!("default");
    let still = still(Some(&drift.changes), None, &answer, "toolforge");
    assert_eq!(still, [settled("metadata.labels.team", false)]);
    check_said(&desired, &answer, Said { settled: &still, ..Said::NOTHING }, &[]);
}

#[test]
fn what_admission_adds_to_a_new_object_is_settled_at_once() {
    let desired = deployment(json!({"replicas": 2}));
    let mut answer = applied(&Value::Null, &desired, "toolforge");
    answer["metadata"]["annotations"] = json!({"example.org/cost-centre": "7"});
    let still = still(None, Some(&object(&desired)), &answer, "toolforge");
    assert_eq!(still, [settled("metadata.annotations[example.org/cost-centre]", false)]);
}

#[test]
fn lost_ownership_is_taken_back_though_the_value_is_right() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let there = edited(&live, "kubectl-scale", |live| live["spec"]["replicas"] = json!(5));
    let back = edited(&there, "kubectl-scale", |live| live["spec"]["replicas"] = json!(2));
    let drift = check(&desired, &back, &["spec.replicas: 2 → 2 by kubectl-scale"]);
    assert_eq!(drift.changes[0].kind, ChangeKind::TakenBack);
    assert!(drift.apply && drift.patch.is_none());
}

/// `verdict path by manager`.
fn judged(desired: &Value, live: &Value) -> Vec<String> {
    let by = |one: &FieldVerdict| one.by.as_ref().map_or("-".to_owned(), |by| by.manager.clone());
    let all = verdicts(&object(desired), live, &OURS);
    all.iter().map(|one| format!("{} {} by {}: {}", one.verdict, one.path, by(one), one.why)).collect()
}

#[test]
fn every_field_has_a_verdict_with_its_hand() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &deployment(json!({"replicas": 2, "paused": true})), "toolforge");
    let live = edited(&live, "kubectl-scale", |live| live["spec"]["replicas"] = json!(5));
    let live = edited(&live, "kube-controller-manager", |live| {
        live["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    });
    let mut live = edited(&live, "kubectl-label", |live| live["metadata"]["labels"]["team"] = json!("x"));
    live["spec"]["minReadySeconds"] = json!(7);
    let found = judged(&desired, &live);
    for line in [
        "desired metadata.labels.app by toolforge: as we want it",
        "intruder metadata.labels.team by kubectl-label: somebody else put it there",
        "controller's metadata.annotations[deployment.kubernetes.io/revision] by kube-controller-manager: the Deployment controller counts its revisions there",
        "defaulted spec.revisionHistoryLimit by -: the server's default",
        "intruder spec.paused by toolforge: we put it there, and want it no longer",
        "intruder spec.replicas by kubectl-scale: we want another value",
        "undecided spec.minReadySeconds by -: only a dry run can tell whether the server made it",
    ] {
        assert!(found.iter().any(|one| one == line), "{line}\nis not in\n{}", found.join("\n"));
    }
}

#[test]
fn an_atomic_value_is_trusted_while_ours_and_reverted_whole_otherwise() {
    let desired = deployment(json!({"template": {"spec": {"tolerations": [{"key": "a"}]}}}));
    let mut live = applied(&Value::Null, &desired, "toolforge");
    live["spec"]["template"]["spec"]["tolerations"][0]["operator"] = json!("Equal");
    check(&desired, &live, &[]);
    let live =
        edited(&live, "kubectl-edit", |live| live["spec"]["template"]["spec"]["tolerations"][0]["key"] = json!("b"));
    check(
        &desired,
        &live,
        &[r#"spec.template.spec.tolerations: [{"key":"b","operator":"Equal"}] → [{"key":"a"}] by kubectl-edit"#],
    );
}

#[test]
fn immutable_fields_are_named() {
    let selector = |app: &str| deployment(json!({"selector": {"matchLabels": {"app": app}}}));
    let live = applied(&Value::Null, &selector("a"), "toolforge");
    let drift = drift(&object(&selector("b")), &live, &OURS);
    assert_eq!(drift.immutable.iter().map(|row| row.path).collect::<Vec<_>>(), ["spec.selector"]);
}

#[test]
fn a_secret_and_a_copy_of_the_object_are_never_printed() {
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "labels": {"app": "web"}}, "data": {"value": value}});
    let live = applied(&Value::Null, &secret("b2xk"), "toolforge");
    let live = edited(&live, "kubectl-edit", |live| {
        live["data"]["value"] = json!("aHVudGVy");
        live["data"]["more"] = json!("aHVudGVy");
        live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "aHVudGVy"});
    });
    let drift = drift(&object(&secret("bmV3")), &live, &OURS);
    let all = format!("{:?}{}", drift.changes, serde_json::to_string(&drift.changes).expect("serialises"));
    assert_eq!(drift.changes.len(), 3, "{:?}", told(&drift));
    assert!(!all.contains("aHVudGVy") && !all.contains("bmV3"), "{all}");
}

#[test]
fn owners_of_a_field_are_named() {
    let desired = deployment(json!({"replicas": 2}));
    let live = applied(&Value::Null, &desired, "toolforge");
    let live = applied(&live, &desired, "other");
    assert_eq!(owners_of(&live, "spec.replicas"), ["other", "toolforge"]);
    assert_eq!(owners_of(&live, "spec.paused"), Vec::<String>::new());
}

proptest! {
    #[test]
    fn what_was_applied_is_no_drift(desired in arbitrary::object()) {
        let live = applied(&Value::Null, &desired, "toolforge");
        prop_assert_eq!(told(&drift(&object(&desired), &live, &OURS)), Vec::<String>::new());
    }

    #[test]
    fn a_new_revision_converges_in_one_pass([old, new] in arbitrary::objects()) {
        let live = applied(&Value::Null, &old, "toolforge");
        let after = corrected(&new, &live, &drift(&object(&new), &live, &OURS));
        prop_assert_eq!(told(&drift(&object(&new), &after, &OURS)), Vec::<String>::new());
    }

    #[test]
    fn whatever_others_did_is_put_right_in_one_pass(
        [desired, theirs, more, edit] in arbitrary::objects(),
        order in 0..6,
    ) {
        let mut live = applied(&Value::Null, &desired, "toolforge");
        for step in [order % 3, (order + 1 + order / 3) % 3, (order + 2 - order / 3) % 3] {
            live = match step {
                0 => applied(&live, &theirs, "argocd"),
                1 => edited(&live, "kubectl-edit", |live| *live = merged_over(live, &edit)),
                _ => applied(&live, &more, "helm"),
            };
        }
        let found = drift(&object(&desired), &live, &OURS);
        let after = corrected(&desired, &live, &found);
        prop_assert_eq!(told(&drift(&object(&desired), &after, &OURS)), Vec::<String>::new());
    }

    /// Nothing in a live object is without a verdict, and none has two.
    #[test]
    fn each_field_has_one_verdict([desired, theirs, edit] in arbitrary::objects()) {
        let live = applied(&Value::Null, &desired, "toolforge");
        let live = applied(&live, &theirs, "argocd");
        let live = edited(&live, "kubectl-edit", |live| *live = merged_over(live, &edit));
        let found = verdicts(&object(&desired), &live, &OURS);
        for (place, one) in found.iter().enumerate() {
            let others = found.iter().enumerate().filter(|(other, _)| *other != place);
            for (_, other) in others {
                prop_assert!(!other.path.starts_with(&one.path), "{} and {}", one.path, other.path);
            }
        }
        for path in leaves(&live) {
            prop_assert!(found.iter().any(|one| path.starts_with(&one.path) || one.path.starts_with(&path)), "{path} has no verdict");
        }
    }

    #[test]
    fn any_live_object_can_be_judged(desired in arbitrary::object(), mut live in arbitrary::json()) {
        if let Some(live) = live.as_object_mut() {
            live.insert("metadata".to_owned(), json!({"managedFields": [{"manager": "x", "operation": "Update", "fieldsV1": {"f:spec": {}}}]}));
        }
        let found = drift(&object(&desired), &live, &OURS);
        prop_assert!(!found.is_none());
    }
}

/// The fields of a value that hold no others.
fn leaves(value: &Value) -> Vec<Path> {
    let all = FieldSet::of(value, Schema::of_object(value)).paths();
    let has_parts = |path: &Path| all.iter().any(|other| other.len() > path.len() && other.starts_with(path));
    all.iter().filter(|path| !has_parts(path)).cloned().collect()
}

/// An edit as a person makes it: other values here and there, the identity kept.
fn merged_over(live: &Value, edit: &Value) -> Value {
    let mut out = live.clone();
    if let (Some(out), Some(edit)) = (out.as_object_mut(), edit.as_object()) {
        for (name, value) in edit.iter().filter(|(name, _)| *name != "metadata") {
            out.insert(name.clone(), value.clone());
        }
    }
    out["metadata"]["labels"] = edit["metadata"]["labels"].clone();
    out
}
