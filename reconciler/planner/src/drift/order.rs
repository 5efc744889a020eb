//! The order of a list whose items are told apart: `env` and `initContainers` are read from the top.

use crate::fields::{PathElement, item_element};
use crate::schema::TypeRef;
use serde_json::Value;
use std::collections::BTreeSet;

/// The names of the wanted items in the order they are wanted and in the order they stand, where that differs.
pub(super) fn disorder(desired: &[Value], live: &[Value], at: TypeRef) -> Option<(Vec<String>, Vec<String>)> {
    // A set has no order.
    if at.keys().is_empty() {
        return None;
    }
    let names = |items: &[Value]| items.iter().filter_map(|item| item_element(item, at)).collect::<Vec<_>>();
    let (wanted, standing) = (names(desired), names(live));
    let (in_wanted, in_live): (BTreeSet<_>, BTreeSet<_>) = (wanted.iter().collect(), standing.iter().collect());
    let wanted: Vec<_> = wanted.iter().filter(|name| in_live.contains(name)).collect();
    let standing: Vec<_> = standing.iter().filter(|name| in_wanted.contains(name)).collect();
    (wanted.len() == standing.len() && wanted != standing).then(|| (print(&wanted), print(&standing)))
}

fn print(names: &[&PathElement]) -> Vec<String> {
    let one = |name: &&PathElement| match name {
        PathElement::Key(keys) => keys.iter().map(|(_, key)| key.to_string()).collect::<Vec<_>>().join(","),
        PathElement::Value(key) => key.to_string(),
        PathElement::Field(name) => name.clone(),
        PathElement::Index(index) => index.to_string(),
    };
    names.iter().map(one).collect()
}
