//! Random values for the property tests: any JSON, and values of a type.

use super::{Scalar, Schema, TypeRef};
use crate::fields::item_element;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Any JSON, a few levels deep.
pub fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..100).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,8}".prop_map(Value::from),
    ];
    let name =
        prop_oneof!["metadata|spec|status|template|containers|ports|name|labels|selector|finalizers|kind", ".{0,4}",];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// An object of one of the kinds people meet. Every field fits its type; the identity is fixed.
pub fn object() -> impl Strategy<Value = Value> {
    kind().prop_flat_map(object_of)
}

/// Several objects of one kind and one identity.
pub fn objects<const N: usize>() -> impl Strategy<Value = [Value; N]> {
    kind().prop_flat_map(|kind| std::array::from_fn(|_| object_of(kind)))
}

fn kind() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(
        &[
            ("apps/v1", "Deployment"),
            ("v1", "Service"),
            ("batch/v1", "CronJob"),
            ("networking.k8s.io/v1", "Ingress"),
            ("gateway.networking.k8s.io/v1", "HTTPRoute"),
            ("v1", "ConfigMap"),
        ][..],
    )
}

fn object_of((api_version, kind): (&'static str, &'static str)) -> impl Strategy<Value = Value> {
    let head = json!({"apiVersion": api_version, "kind": kind});
    let fields = Schema::of_object(&head).fields();
    let body = fields.filter(|(name, _)| !["apiVersion", "kind", "metadata", "status"].contains(name));
    let body: Vec<_> = body.map(|(name, at)| (Just(name), value(at, 5))).collect();
    let labels = prop::collection::btree_map("[ab]", "[xyz]", 0..3);
    (body, labels).prop_map(move |(body, labels)| {
        let mut object = head.clone();
        object["metadata"] = json!({"name": "web", "namespace": "tool-a", "labels": labels});
        for (name, value) in body {
            object[name] = value;
        }
        object
    })
}

/// A value of a type, at most `depth` levels deep. Lists that are told apart have no duplicates.
pub fn value(at: TypeRef, depth: u32) -> BoxedStrategy<Value> {
    if let Some(scalar) = at.scalar() {
        return scalar_value(scalar);
    }
    if at.is_map() {
        return map_value(at, depth);
    }
    if at.told_apart().is_none() {
        return "[a-c]".prop_map(Value::from).boxed();
    }
    let count = if depth == 0 { 0..1 } else { 0..3 };
    let items = prop::collection::vec(value(at.items(), depth.saturating_sub(1)), count);
    items.prop_map(move |items| Value::Array(distinct(items, at))).boxed()
}

/// Items with all their keys, each key once.
fn distinct(mut items: Vec<Value>, at: TypeRef) -> Vec<Value> {
    if at.is_atomic() {
        return items;
    }
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        for key in at.keys() {
            let number = matches!(at.items().field(key).scalar(), Some(Scalar::Int32 | Scalar::Int64));
            item.entry(key).or_insert(if number { json!(1) } else { json!("a") });
        }
    }
    let mut seen = BTreeSet::new();
    let new = |item: &Value| item_element(item, at).is_some_and(|name| seen.insert(name));
    items.into_iter().filter(new).collect()
}

fn map_value(at: TypeRef, depth: u32) -> BoxedStrategy<Value> {
    if depth == 0 {
        return Just(json!({})).boxed();
    }
    if let Some(values) = at.values() {
        let map = prop::collection::btree_map("[a-c]", value(values, depth - 1), 0..3);
        return map.prop_map(|map| Value::Object(map.into_iter().collect())).boxed();
    }
    let fields: Vec<_> = at.fields().collect();
    let some = prop::sample::subsequence(fields.clone(), 0..=fields.len().min(4));
    let filled = some.prop_flat_map(move |some| {
        let fields: Vec<_> = some.into_iter().map(|(name, at)| (Just(name), value(at, depth - 1))).collect();
        fields
    });
    let object =
        |fields: Vec<(&str, Value)>| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    filled.prop_map(move |fields| Value::Object(object(fields))).boxed()
}

fn scalar_value(scalar: Scalar) -> BoxedStrategy<Value> {
    let text = |texts: &'static [&'static str]| prop::sample::select(texts).prop_map(Value::from);
    match scalar {
        Scalar::Text | Scalar::Bytes => text(&["a", "b", "c"]).boxed(),
        Scalar::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Scalar::Int32 | Scalar::Int64 | Scalar::Number => (0_i64..4).prop_map(Value::from).boxed(),
        Scalar::Quantity => text(&["1", "500m", "0.5", "1Gi", "1024Mi"]).boxed(),
        Scalar::IntOrText => prop_oneof![(0_i64..4).prop_map(Value::from), text(&["25%", "http"])].boxed(),
        Scalar::DateTime => text(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]).boxed(),
        Scalar::Duration => text(&["10s", "1m", "60s"]).boxed(),
    }
}
