use super::*;
use crate::fields::{PathElement, item_element};
use crate::schema::arbitrary;
use proptest::prelude::*;
use serde_json::json;

static NOTHING: FieldSet = FieldSet::new();

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager, api_version: "apps/v1", subresource: "", time: "2026-01-01T00:00:00Z", resets: &NOTHING }
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "tool-a"}, "spec": spec})
}

fn containers(containers: Value) -> Value {
    deployment(json!({"template": {"spec": {"containers": containers}}}))
}

fn forced(live: &Value, applied: &Value, manager: &str) -> Value {
    apply(live, applied, &writer(manager), true).expect("applies").object
}

fn owned(object: &Value, manager: &str) -> Vec<String> {
    let (entries, unreadable) = entries(object);
    assert_eq!(unreadable, []);
    let ours = entries.iter().filter(|entry| entry.manager == manager);
    ours.flat_map(|entry| entry.fields.paths()).map(|path| path.to_string()).collect()
}

#[test]
fn a_first_apply_owns_what_it_says_but_not_the_identity() {
    let object = forced(&Value::Null, &deployment(json!({"replicas": 2})), "a");
    assert_eq!(owned(&object, "a"), ["spec.replicas"]);
    assert_eq!(object["spec"], json!({"replicas": 2}));
}

#[test]
fn a_field_no_longer_applied_goes_unless_somebody_else_owns_it() {
    let both = deployment(json!({"replicas": 2, "paused": true, "minReadySeconds": 5}));
    let live = forced(&Value::Null, &both, "a");
    let live = forced(&live, &deployment(json!({"paused": true})), "b");
    let live = forced(&live, &deployment(json!({"minReadySeconds": 5})), "a");
    assert_eq!(live["spec"], json!({"paused": true, "minReadySeconds": 5}));
    assert_eq!(owned(&live, "b"), ["spec.paused"]);
}

#[test]
fn a_struct_that_loses_its_last_field_goes_too() {
    let live = forced(&Value::Null, &deployment(json!({"replicas": 1, "strategy": {"type": "Recreate"}})), "a");
    let live = forced(&live, &deployment(json!({"replicas": 1})), "a");
    assert_eq!(live["spec"], json!({"replicas": 1}));
}

#[test]
fn taking_a_field_from_its_owner_needs_force() {
    let live = update(&Value::Null, &deployment(json!({"replicas": 5})), &writer("kubectl-scale"));
    let wanted = deployment(json!({"replicas": 2}));
    let refused = apply(&live, &wanted, &writer("a"), false).expect_err("a conflict");
    let Refused::Conflicts(conflicts) = refused else { unreachable!("{refused}") };
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].owner.manager, "kubectl-scale");
    assert!(conflicts[0].fields.contains(&Path::of_fields(["spec", "replicas"])));

    let applied = apply(&live, &wanted, &writer("a"), true).expect("forced");
    assert_eq!(applied.taken, conflicts);
    assert_eq!(owned(&applied.object, "a"), ["spec.replicas"]);
    assert_eq!(owned(&applied.object, "kubectl-scale"), ["spec"]);
}

#[test]
fn the_same_value_is_owned_by_both_without_a_conflict() {
    let wanted = deployment(json!({"replicas": 2}));
    let live = forced(&Value::Null, &wanted, "a");
    let applied = apply(&live, &wanted, &writer("b"), false).expect("no conflict");
    assert_eq!(owned(&applied.object, "a"), owned(&applied.object, "b"));
    // As on the server: who changed nothing has no time, and stands first.
    let (owners, _) = entries(&applied.object);
    let times: Vec<_> = owners.iter().map(|owner| (owner.manager.as_str(), owner.time.is_some())).collect();
    assert_eq!(times, [("b", false), ("a", true)]);
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner() {
    let object = forced(&deployment(json!({"paused": true})), &deployment(json!({"replicas": 2})), "a");
    assert_eq!(owned(&object, BEFORE_FIRST_APPLY), ["spec", "spec.paused"]);
}

#[test]
fn items_of_a_keyed_list_are_joined_and_keep_the_applied_order() {
    let live = update(
        &Value::Null,
        &containers(json!([{"name": "side", "image": "s"}, {"name": "web", "image": "old", "workingDir": "/"}])),
        &writer("kubectl-edit"),
    );
    let live = forced(&live, &containers(json!([{"name": "first"}, {"name": "web", "image": "new"}])), "a");
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"],
        json!([{"name": "side", "image": "s"}, {"name": "first"}, {"name": "web", "image": "new", "workingDir": "/"}])
    );
}

#[test]
fn a_missing_protocol_is_tcp() {
    let port = |port: Value| containers(json!([{"name": "web", "ports": [port]}]));
    let live = forced(&Value::Null, &port(json!({"containerPort": 80, "protocol": "TCP"})), "a");
    let live = forced(&live, &port(json!({"containerPort": 80, "name": "http"})), "b");
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 80, "protocol": "TCP", "name": "http"}])
    );
}

#[test]
fn atomic_values_are_replaced_whole() {
    let live = forced(&Value::Null, &deployment(json!({"selector": {"matchLabels": {"a": "1"}}})), "a");
    let live = forced(&live, &deployment(json!({"selector": {"matchLabels": {"b": "2"}}})), "a");
    assert_eq!(live["spec"]["selector"], json!({"matchLabels": {"b": "2"}}));
    assert_eq!(owned(&live, "a"), ["spec.selector"]);
}

#[test]
fn duplicate_items_and_unknown_fields_are_refused() {
    let twice = containers(json!([{"name": "web"}, {"name": "web"}]));
    assert!(
        matches!(apply(&Value::Null, &twice, &writer("a"), true), Err(Refused::Mismatched(found)) if found.len() == 1)
    );
    let typo = deployment(json!({"replica": 1}));
    assert!(matches!(apply(&Value::Null, &typo, &writer("a"), true), Err(Refused::Mismatched(_))));
}

#[test]
fn an_unreadable_owner_stops_an_apply() {
    let mut live = deployment(json!({}));
    live["metadata"]["managedFields"] = json!([{"manager": "x", "operation": "Update", "fieldsV1": {"?": {}}}]);
    let answer = apply(&live, &deployment(json!({"replicas": 1})), &writer("a"), true);
    assert!(matches!(answer, Err(Refused::Unreadable(_))));
}

#[test]
fn an_update_owns_exactly_what_it_changed() {
    let live = forced(&Value::Null, &deployment(json!({"replicas": 2, "paused": false})), "a");
    let mut edited = live.clone();
    edited["spec"]["replicas"] = json!(5);
    edited["metadata"]["labels"] = json!({"x": "y"});
    let live = update(&live, &edited, &writer("kubectl-edit"));
    assert_eq!(owned(&live, "a"), ["spec.paused"]);
    assert_eq!(owned(&live, "kubectl-edit"), ["metadata.labels", "metadata.labels.x", "spec.replicas"]);
}

#[test]
fn cleared_owners_stay_cleared_until_somebody_applies() {
    let mut live = forced(&Value::Null, &deployment(json!({"replicas": 2})), "a");
    live["metadata"]["managedFields"] = json!([{}]);
    let mut cleared = update(&live, &live, &writer("kubectl"));
    cleared["spec"]["replicas"] = json!(3);
    let cleared = update(&cleared, &cleared, &writer("kubectl"));
    assert_eq!(cleared["metadata"].get("managedFields"), None);
    let live = forced(&cleared, &deployment(json!({"replicas": 2})), "a");
    assert_eq!(owned(&live, "a"), ["spec.replicas"]);
}

#[test]
fn a_reset_status_is_never_owned() {
    let resets: FieldSet = [Path::of_fields(["status"])].into_iter().collect();
    let by = Writer { resets: &resets, ..writer("a") };
    let mut wanted = deployment(json!({"replicas": 2}));
    wanted["status"] = json!({"replicas": 2});
    let applied = apply(&Value::Null, &wanted, &by, false).expect("applies").object;
    assert_eq!(owned(&applied, "a"), ["spec.replicas"]);
}

/// A value without empty lists and maps: they own nothing, so nothing can take them away.
fn solid(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(object) => {
            let kept: Map<_, _> =
                object.iter().filter_map(|(name, value)| Some((name.clone(), solid(value)?))).collect();
            (!kept.is_empty()).then_some(kept.into())
        }
        Value::Array(items) => {
            let kept: Vec<_> = items.iter().filter_map(solid).collect();
            (!kept.is_empty()).then_some(kept.into())
        }
        scalar => Some(scalar.clone()),
    }
}

/// A random object without some of the fields of its spec.
fn subset(object: &Value, keep: u64) -> Value {
    let mut out = object.clone();
    if let Some(spec) = out.get_mut("spec").and_then(Value::as_object_mut) {
        let mut bit = 0;
        spec.retain(|name, _| {
            bit += 1;
            name == "selector" || keep >> (bit % 64) & 1 == 1
        });
    }
    out
}

fn exists(value: &Value, path: &[PathElement], at: TypeRef) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match first {
        PathElement::Field(name) => value.get(name).is_some_and(|value| exists(value, rest, at.field(name))),
        item => {
            let mut items = value.as_array().into_iter().flatten();
            items.any(|value| item_element(value, at).as_ref() == Some(item) && exists(value, rest, at.items()))
        }
    }
}

proptest! {
    #[test]
    fn apply_is_idempotent(wanted in arbitrary::object()) {
        let once = forced(&Value::Null, &wanted, "a");
        prop_assert_eq!(&forced(&once, &wanted, "a"), &once);
    }

    #[test]
    fn what_is_applied_is_there([wanted, other] in arbitrary::objects()) {
        let live = forced(&forced(&Value::Null, &other, "b"), &wanted, "a");
        let at = Schema::of_object(&wanted);
        let again = value::merged(&without_managers(&live), &wanted, at);
        prop_assert!(compare::is_equal(&again, &without_managers(&live)));
    }

    #[test]
    fn applying_less_removes_the_rest(wanted in arbitrary::object(), keep in any::<u64>()) {
        let less = subset(&wanted, keep);
        let live = forced(&forced(&Value::Null, &wanted, "a"), &less, "a");
        let direct = forced(&Value::Null, &less, "a");
        prop_assert_eq!(solid(&without_managers(&live)), solid(&without_managers(&direct)));
    }

    #[test]
    fn appliers_never_lose_each_others_fields([ours, theirs] in arbitrary::objects(), keep in any::<u64>()) {
        let Ok(live) = apply(&forced(&Value::Null, &theirs, "theirs"), &ours, &writer("ours"), false) else {
            return Ok(());
        };
        let live = forced(&live.object, &subset(&ours, keep), "ours");
        let at = Schema::of_object(&theirs);
        let (owners, _) = entries(&live);
        for owner in owners {
            for path in owner.fields.paths() {
                prop_assert!(exists(&live, &path, at), "{} lost {}", owner.manager, path);
            }
        }
    }

    #[test]
    fn any_json_can_be_merged_into_any_other(live in arbitrary::json(), applied in arbitrary::json(), new in arbitrary::json()) {
        let named = |mut value: Value| {
            if let Some(object) = value.as_object_mut() {
                object.insert("apiVersion".to_owned(), json!("apps/v1"));
                object.insert("kind".to_owned(), json!("Deployment"));
            }
            value
        };
        let (live, applied, new) = (named(live), named(applied), named(new));
        let _ = apply(&live, &applied, &writer("a"), true);
        let tracked = update(&live, &new, &writer("b"));
        let _ = apply(&tracked, &applied, &writer("a"), true);
        let at = Schema::of_object(&live);
        let merged = value::merged(&live, &applied, at);
        let gone = FieldSet::of(&applied, at);
        let _ = without(&merged, &gone, at, Remains::Empty);
        prop_assert!(Comparison::of(&live, &live, at, &NOTHING).is_empty());
    }

    #[test]
    fn a_comparison_tells_what_changed(old in arbitrary::json(), new in arbitrary::json()) {
        // The root itself belongs to nobody, so only what is in it can change.
        let (old, new) = (json!({"root": old}), json!({"root": new}));
        let comparison = Comparison::of(&old, &new, TypeRef::ANY, &NOTHING);
        prop_assert_eq!(comparison.is_empty(), compare::is_equal(&old, &new));
        prop_assert!(comparison.added.intersection(&comparison.removed).is_empty());
    }
}
