use super::*;
use crate::schema::Schema;
use proptest::prelude::*;
use serde_json::json;

fn set(json: Value) -> FieldSet {
    FieldSet::from_fields_v1(&json).expect("readable")
}

fn deployment() -> crate::schema::TypeRef {
    Schema::of("apps", "v1", "Deployment").expect("a known kind")
}

fn printed(set: &FieldSet) -> Vec<String> {
    set.paths().iter().map(ToString::to_string).collect()
}

#[test]
fn paths_print_as_people_write_them() {
    let fields = set(json!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:annotations": {"f:example.org/owner": {}}, "f:finalizers": {"v:\"x\"": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:ports": {"k:{\"containerPort\":8000,\"protocol\":\"TCP\"}": {}}}}, "f:list": {"i:2": {}}},
    }));
    assert_eq!(
        printed(&fields),
        [
            "metadata.annotations[example.org/owner]",
            "metadata.finalizers[x]",
            "metadata.labels",
            "metadata.labels.app",
            "spec.containers[web]",
            "spec.containers[web].ports[8000,TCP]",
            "spec.list[2]",
        ]
    );
}

#[test]
fn fields_v1_survives_reading_and_writing() {
    let json = json!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}},
    });
    assert_eq!(set(json.clone()).to_fields_v1(), json);
}

#[test]
fn garbage_is_an_error_and_never_skipped() {
    for json in [
        json!([]),
        json!({"f:a": 1}),
        json!({"x:a": {}}),
        json!({"a": {}}),
        json!({"k:{": {}}),
        json!({"v:": {}}),
        json!({"i:-1": {}}),
    ] {
        assert!(FieldSet::from_fields_v1(&json).is_err(), "{json}");
    }
}

#[test]
fn an_unreadable_entry_is_reported_beside_the_good_ones() {
    let object = json!({"metadata": {"managedFields": [
        {"manager": "good", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}},
        {"manager": "odd", "operation": "Update", "fieldsType": "FieldsV2", "fieldsV1": {}},
        {"manager": "broken", "operation": "Update", "fieldsV1": {"nonsense": {}}},
        "not an object",
    ]}});
    let (good, bad) = entries(&object);
    assert_eq!(good.len(), 1);
    let who: Vec<_> = bad.iter().map(|entry| (entry.index, entry.manager.as_str())).collect();
    assert_eq!(who, [(1, "odd"), (2, "broken"), (3, "")]);
}

#[test]
fn numbers_are_one_key_whatever_their_notation() {
    assert_eq!(Key(json!(80)), Key(json!(80.0)));
    assert_ne!(Key(json!(80)), Key(json!("80")));
}

#[test]
fn applied_fields_are_counted_as_the_server_counts_them() {
    let value = json!({
        "metadata": {"labels": {"app": "x"}, "annotations": {}, "finalizers": ["a"]},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "strategy": {},
            "template": {"spec": {"containers": [{"name": "web", "command": ["a", "b"], "ports": [{"containerPort": 80}], "env": []}]}},
        },
    });
    assert_eq!(
        printed(&FieldSet::of(&value, deployment())),
        [
            "metadata.annotations",
            "metadata.finalizers[a]",
            "metadata.labels.app",
            "spec.selector",
            "spec.strategy",
            "spec.template.spec.containers[web]",
            "spec.template.spec.containers[web].command",
            "spec.template.spec.containers[web].name",
            "spec.template.spec.containers[web].ports[80,TCP]",
            "spec.template.spec.containers[web].ports[80,TCP].containerPort",
        ]
    );
}

#[test]
fn without_a_schema_objects_have_parts_and_lists_are_atomic() {
    let value = json!({"a": {"b": [1, {"c": 2}], "d": null, "e": {}}});
    let fields = FieldSet::of(&value, crate::schema::TypeRef::ANY);
    assert_eq!(printed(&fields), ["a", "a.b", "a.d", "a.e"]);
}

#[test]
fn items_with_one_key_are_owned_together() {
    let twice = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "a"}, {"name": "web", "image": "b"}
    ]}}}});
    let fields = FieldSet::of(&twice, deployment());
    assert_eq!(printed(&fields), ["spec.template.spec.containers[web]"]);
}

#[test]
fn a_tree_without_trees_loses_what_hangs_below() {
    let ours = set(json!({"f:a": {"f:b": {".": {}, "f:c": {}}, "f:d": {}}}));
    assert_eq!(printed(&ours.difference(&set(json!({"f:a": {"f:b": {}}})))), ["a.b.c", "a.d"]);
    assert_eq!(printed(&ours.without_trees(&set(json!({"f:a": {"f:b": {}}})))), ["a.d"]);
}

/// Any set over a small alphabet, so that sets meet.
fn any_set() -> impl Strategy<Value = FieldSet> {
    let element = prop_oneof![
        "[abc]".prop_map(PathElement::Field),
        (0_i64..3).prop_map(|key| PathElement::key(vec![("k".to_owned(), Key(json!(key)))])),
        "[xy]".prop_map(|value| PathElement::Value(Key(json!(value)))),
        (0_usize..3).prop_map(PathElement::Index),
    ];
    let path = prop::collection::vec(element, 1..4).prop_map(Path);
    prop::collection::vec(path, 0..12).prop_map(FieldSet::from_iter)
}

proptest! {
    #[test]
    fn sets_obey_the_laws_of_sets(a in any_set(), b in any_set()) {
        let (union, both) = (a.union(&b), a.intersection(&b));
        prop_assert_eq!(&union, &b.union(&a));
        prop_assert_eq!(&both, &b.intersection(&a));
        prop_assert_eq!(&a.difference(&b).union(&both), &a);
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        for path in union.paths() {
            prop_assert!(a.contains(&path) || b.contains(&path));
            prop_assert_eq!(both.contains(&path), a.contains(&path) && b.contains(&path));
            prop_assert_eq!(a.difference(&b).contains(&path), a.contains(&path) && !b.contains(&path));
        }
    }

    #[test]
    fn every_set_survives_fields_v1(a in any_set()) {
        prop_assert_eq!(&FieldSet::from_fields_v1(&a.to_fields_v1()).expect("own writing"), &a);
        prop_assert_eq!(&a.paths().into_iter().collect::<FieldSet>(), &a);
    }

    #[test]
    fn any_json_has_fields_of_any_type(value in crate::schema::arbitrary::json()) {
        for (_, kind) in Schema::kinds() {
            let fields = FieldSet::of(&value, kind);
            prop_assert_eq!(&FieldSet::from_fields_v1(&fields.to_fields_v1()).expect("own writing"), &fields);
        }
    }
}
