//! Whatever a server says, drift answers; and whatever a hand did, drift's answer takes it back.
//!
//! The recorded answers of a real API server (`tests/live`) are changed at random, in two ways. *Garbage*: any JSON at any
//! place, the books of owners included; nothing may panic, and no answer may say that it is sure of what it cannot read.
//! *A hand*: an edit that keeps every type, written down as the server writes it down; what drift asks for is done to the
//! object in memory, and then there is no drift. One seed, so that every run is the same; what once failed is kept in
//! `mutations.regressions`.

#![expect(clippy::disallowed_methods, reason = "the recorded answers lie beside the test")]

use planner::drift::{self, Drift, Ownership, drift};
use planner::fields::{FieldSet, Path, entries};
use planner::merge::{self, Writer};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{FailurePersistence, FileFailurePersistence, RngSeed};
use renderer::Object;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

const MANAGER: &str = "toolforge";

struct Case {
    name: String,
    desired: Object,
    live: Value,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live");
    let entries = std::fs::read_dir(folder).expect("the recorded answers");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let mut case: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        let desired = Object::new(case["desired"].take()).expect("an object");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        Case { name, desired, live: case["live"].take() }
    };
    paths.into_iter().map(read).collect()
});

fn judged(desired: &Object, live: &Value) -> Drift {
    drift(desired, live, &Ownership::of(MANAGER))
}

fn writer<'a>(manager: &'a str, desired: &'a Object, resets: &'a FieldSet) -> Writer<'a> {
    Writer { manager, api_version: desired.api_version(), subresource: "", time: "2026-01-01T00:00:00Z", resets }
}

/// Every place of a value, as JSON pointers; parents before children.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| pointers(item, &format!("{at}/{n}"), out));
        }
        _ => {}
    }
}

fn parent(pointer: &str) -> (&str, String) {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer below the root");
    (parent, last.replace("~1", "/").replace("~0", "~"))
}

/// One operation of a JSON patch.
fn operate(object: &mut Value, operation: &Value) {
    let pointer = operation["path"].as_str().expect("a path");
    let value = operation["value"].clone();
    let (above, last) = parent(pointer);
    match (operation["op"].as_str(), object.pointer_mut(above)) {
        (Some("test"), _) => assert_eq!(object.pointer(pointer), Some(&value), "test {pointer}"),
        (Some("remove"), Some(Value::Object(fields))) => drop(fields.remove(&last).expect("what is removed is there")),
        (Some("add" | "replace"), Some(Value::Object(fields))) => drop(fields.insert(last, value)),
        (Some("remove"), Some(Value::Array(items))) => drop(items.remove(last.parse().expect("a place"))),
        (Some("replace"), Some(Value::Array(items))) => items[last.parse::<usize>().expect("a place")] = value,
        (Some("add"), Some(Value::Array(items))) => items.insert(last.parse().unwrap_or(items.len()), value),
        (op, _) => unreachable!("{op:?} {pointer}"),
    }
}

/// What the server makes of the requests that drift asks for.
fn corrected(desired: &Object, live: &Value, drift: &Drift) -> Value {
    let resets: FieldSet = [Path::of_fields(["status"])].into_iter().collect();
    let by = writer(MANAGER, desired, &resets);
    let mut now = live.clone();
    if let Some(patch) = &drift.patch {
        let mut patched = now.clone();
        patch.as_array().expect("operations").iter().for_each(|operation| operate(&mut patched, operation));
        now = merge::update(&now, &patched, &by);
    }
    if drift.apply {
        now = merge::apply(&now, &desired.value, &by, true).expect("the server takes it").object;
    }
    now
}

/// Any small JSON, with the words that managedFields are made of.
fn garbage() -> impl Strategy<Value = Value> {
    let word = select(vec![
        "",
        ".",
        "f:",
        "f:spec",
        "k:{\"name\":\"web\"}",
        "k:{\"name\":",
        "k:[]",
        "k:{}",
        "v:\"a\"",
        "v:",
        "i:0",
        "i:-1",
        "i:x",
        "spec",
        "metadata",
        "name",
        "1Gi",
        "0.5",
        "1e999",
        "8000",
        "a\u{0}b",
        "Apply",
        "apps/v1",
        "\u{202e}",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..4).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
            }),
        ]
    })
}

/// Replaces what stands at some places of the live object.
fn spoilt() -> impl Strategy<Value = (usize, Value)> {
    let places = prop::collection::vec((any::<Index>(), any::<bool>(), garbage()), 1..4);
    (0..CASES.len(), places).prop_map(|(case, places)| {
        let mut live = CASES[case].live.clone();
        for (place, books, put) in places {
            let mut found = Vec::new();
            pointers(&live, "", &mut found);
            let owners: Vec<_> = found.iter().filter(|at| at.starts_with("/metadata/managedFields")).collect();
            let at = if books && !owners.is_empty() { place.get(&owners) } else { &&found[place.index(found.len())] };
            if let Some(place) = live.pointer_mut(at) {
                *place = put;
            }
        }
        (case, live)
    })
}

/// What a person may edit: not who it is, not what the server writes itself.
fn is_editable(pointer: &str) -> bool {
    let mine = ["/spec/", "/data/", "/metadata/labels/", "/metadata/annotations/"];
    mine.iter().any(|start| pointer.starts_with(start))
}

/// Another value of the same type.
fn other(value: &Value, seed: u8) -> Option<Value> {
    Some(match value {
        Value::Bool(set) => json!(!set),
        Value::Number(number) => json!(number.as_i64()? + 1 + i64::from(seed)),
        // A quantity and an enumeration stay what they are, where the text says so.
        Value::String(text) if text.parse::<f64>().is_ok() => json!(format!("{}", 1 + u32::from(seed))),
        Value::String(text) if text.ends_with("Mi") || text.ends_with("Gi") => {
            json!(format!("{}Mi", 1 + u32::from(seed)))
        }
        Value::String(text) => json!(format!("{text}-{seed}")),
        _ => return None,
    })
}

/// Names by which a list's items are told apart: another one is another item.
const KEYS: [&str; 6] = ["name", "containerPort", "port", "mountPath", "protocol", "topologyKey"];

/// Edits by hands, each recorded under its manager.
fn edited() -> impl Strategy<Value = (usize, Value, Vec<String>)> {
    let hand = select(vec!["kubectl-edit", "kubectl-patch", "some-controller"]);
    let edits = prop::collection::vec((any::<Index>(), any::<u8>(), hand, 0..4u8), 1..4);
    (0..CASES.len(), edits).prop_map(|(case, edits)| {
        let Case { desired, live, .. } = &CASES[case];
        let resets: FieldSet = [Path::of_fields(["status"])].into_iter().collect();
        let (mut live, mut told) = (live.clone(), Vec::new());
        for (place, seed, hand, what) in edits {
            let mut new = live.clone();
            let Some(did) = edit(&mut new, place, seed, what) else { continue };
            told.push(format!("{hand}: {did}"));
            live = merge::update(&live, &new, &writer(hand, desired, &resets));
        }
        (case, live, told)
    })
}

fn edit(new: &mut Value, place: Index, seed: u8, what: u8) -> Option<String> {
    let mut found = Vec::new();
    pointers(new, "", &mut found);
    found.retain(|pointer| is_editable(pointer) && !KEYS.contains(&parent(pointer).1.as_str()));
    let pointer = found.get(place.index(found.len().max(1)))?.clone();
    let (above, last) = parent(&pointer);
    match what {
        0 => {
            let labels = new.pointer_mut("/metadata/labels")?.as_object_mut()?;
            labels.insert(format!("label-{seed}"), json!("x"));
            Some(format!("label-{seed}"))
        }
        1 => {
            new.pointer_mut(above)?.as_object_mut()?.remove(&last)?;
            Some(format!("removed {pointer}"))
        }
        _ => {
            let value = new.pointer_mut(&pointer)?;
            *value = other(value, seed)?;
            Some(format!("changed {pointer}"))
        }
    }
}

fn one_seed(cases: u32) -> ProptestConfig {
    let regressions = FileFailurePersistence::Direct("tests/mutations.regressions");
    let failure_persistence: Option<Box<dyn FailurePersistence>> = Some(Box::new(regressions));
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x746f_6f6c), failure_persistence, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(one_seed(500))]

    #[test]
    fn any_set_of_fields_is_read_or_refused_and_what_is_read_is_written_again(json in garbage(), beside in garbage()) {
        let Ok(set) = FieldSet::from_fields_v1(&json) else { return Ok(()) };
        prop_assert_eq!(FieldSet::from_fields_v1(&set.to_fields_v1()), Ok(set.clone()));
        prop_assert!(set.paths().iter().all(|path| set.contains(path) && set.touches(path)));
        let other = FieldSet::from_fields_v1(&beside).unwrap_or_default();
        let (both, rest) = (set.intersection(&other), set.difference(&other));
        prop_assert!(both.difference(&set).is_empty() && rest.intersection(&other).is_empty());
        prop_assert_eq!(both.union(&rest), set);
    }

    #[test]
    fn no_answer_of_a_server_makes_drift_panic((case, live) in spoilt()) {
        let Case { desired, .. } = &CASES[case];
        let found = judged(desired, &live);
        prop_assert_eq!(&found, &judged(desired, &live), "drift is deterministic");
        let (_, unreadable) = entries(&live);
        let resets = FieldSet::new();
        let by = writer(MANAGER, desired, &resets);
        let applied = merge::apply(&live, &desired.value, &by, true);
        prop_assert!(unreadable.is_empty() || applied.is_err(), "nothing is taken where owners cannot be read");
        drop(merge::update(&live, &desired.value, &by));
        drop(merge::update(&desired.value, &live, &by));
        drop(drift::masked(&live, &["/data", "/stringData"]));
    }
}

proptest! {
    #![proptest_config(one_seed(600))]

    #[test]
    fn what_a_hand_did_is_taken_back_and_then_there_is_no_drift((case, live, told) in edited()) {
        let Case { name, desired, .. } = &CASES[case];
        let mut now = live;
        for _ in 0..3 {
            let found = judged(desired, &now);
            if found.is_none() {
                prop_assert!(found.patch.is_none() && !found.apply, "{}: no drift, no write", name);
                return Ok(());
            }
            // What only a dry run can tell is another test's.
            if found.patch.is_none() && !found.apply {
                return Ok(());
            }
            now = corrected(desired, &now, &found);
        }
        let left = judged(desired, &now);
        prop_assert!(left.is_none(), "{}: {:?} leaves {:#?}", name, told, left.changes);
    }
}
