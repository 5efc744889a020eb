//! What a value becomes when another is applied over it.

use crate::fields::{PathElement, item_element};
use crate::schema::{Form, TypeRef};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// `live` with `applied` laid over it: leaves and atomic values are replaced, maps and keyed lists are joined. Nothing
/// is ever removed here.
pub(super) fn merged(live: &Value, applied: &Value, at: TypeRef) -> Value {
    let form = at.form(applied);
    if at.form(live) != form {
        return applied.clone();
    }
    match form {
        Form::Leaf => applied.clone(),
        // Two blanks are one leaf, so that `null` and `{}` stay what they are; else a blank adds nothing.
        _ if is_blank(applied) && !is_blank(live) => live.clone(),
        _ => match (live, applied) {
            (Value::Object(live), Value::Object(applied)) => merged_map(live, applied, at).into(),
            (Value::Array(live), Value::Array(applied)) => merged_items(live, applied, at).into(),
            _ => applied.clone(),
        },
    }
}

/// `null`, or without any part.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn merged_map(live: &Map<String, Value>, applied: &Map<String, Value>, at: TypeRef) -> Map<String, Value> {
    let mut out = live.clone();
    for (name, value) in applied {
        let joined = match live.get(name) {
            Some(live) => merged(live, value, at.field(name)),
            None => value.clone(),
        };
        out.insert(name.clone(), joined);
    }
    out
}

/// The items of both lists: applied items in their order, and each live item that is not applied where it stood in
/// relation to the items that both lists share.
fn merged_items(live: &[Value], applied: &[Value], at: TypeRef) -> Vec<Value> {
    let live_items = named(live, at);
    let applied_items = named(applied, at);
    let live_of = |name: &PathElement| {
        let mut same = live_items.iter().filter(|(other, _)| other == name);
        // An item that live has twice can't be merged with: the applied one stands alone.
        same.next().filter(|_| same.next().is_none()).map(|(_, value)| *value)
    };
    let in_applied: BTreeSet<_> = applied_items.iter().map(|(name, _)| name).collect();
    let in_live: BTreeSet<_> = live_items.iter().map(|(name, _)| name).collect();
    let mut shared: VecDeque<_> =
        applied_items.iter().map(|(name, _)| name).filter(|name| in_live.contains(name)).collect();

    let mut out = Vec::with_capacity(live.len().max(applied.len()));
    let mut waiting = live_items.iter().peekable();
    for (name, value) in &applied_items {
        // Live items that stand before this one, until the next item that both lists share.
        while let Some((before, kept)) = waiting.peek() {
            if !in_applied.contains(before) {
                out.push((*kept).clone());
            } else if shared.front() == Some(&before) {
                break;
            }
            waiting.next();
        }
        if shared.front() == Some(&name) {
            shared.pop_front();
        }
        out.push(live_of(name).map_or_else(|| (*value).clone(), |live| merged(live, value, at.items())));
    }
    let rest = waiting.filter(|(name, _)| !in_applied.contains(name));
    out.extend(rest.map(|(_, kept)| (*kept).clone()));
    out
}

/// Items with their names. Items without one are dropped: [`crate::schema::check`] has refused them before.
fn named(items: &[Value], at: TypeRef) -> Vec<(PathElement, &Value)> {
    items.iter().filter_map(|item| Some((item_element(item, at)?, item))).collect()
}

/// Items by name, in name order.
pub(super) fn grouped(items: &[Value], at: TypeRef) -> BTreeMap<PathElement, Vec<&Value>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, item) in named(items, at) {
        groups.entry(name).or_default().push(item);
    }
    groups
}
