//! The order of a list whose items are told apart: `env` and `initContainers` are read from the top.

use crate::fields::{PathElement, item_element};
use crate::schema::TypeRef;
use serde_json::Value;
use std::collections::BTreeSet;

/// More items than this are sorted by name, where fewer are compared with each other.
const FEW: usize = 32;

/// Items of one name stand at each place, and no name stands twice: then both lists can be read side by side.
pub(super) fn are_paired(desired: &[Value], live: &[Value], at: TypeRef) -> bool {
    let keys = at.keys();
    let is_named = |item: &Value| keys.iter().any(|key| item.get(key).is_some());
    let same = |a: &Value, b: &Value| keys.iter().all(|key| a.get(key) == b.get(key));
    let twice = |at: usize| desired[..at].iter().any(|before| same(before, &desired[at]));
    desired.len() == live.len()
        && desired.len() <= FEW
        && desired.iter().zip(live).all(|(a, b)| is_named(a) && same(a, b))
        && !(0..desired.len()).any(twice)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;
    use serde_json::json;

    #[test]
    fn lists_are_read_side_by_side_only_where_each_name_stands_once_at_one_place() {
        let deployment = Schema::of("apps", "v1", "Deployment").expect("a known kind");
        let at = ["spec", "template", "spec", "containers"].iter().fold(deployment, |at, name| at.field(name));
        let env = at.items().field("env");
        for (desired, live, paired) in [
            (json!([{"name": "A", "value": "1"}, {"name": "B"}]), json!([{"name": "A"}, {"name": "B"}]), true),
            (json!([{"name": "A"}, {"name": "B"}]), json!([{"name": "B"}, {"name": "A"}]), false),
            (json!([{"name": "A"}, {"name": "A"}]), json!([{"name": "A"}, {"name": "A"}]), false),
            (json!([{"name": "A"}]), json!([{"name": "A"}, {"name": "B"}]), false),
            (json!([{"value": "1"}]), json!([{"value": "2"}]), false),
            (json!(["A"]), json!(["A"]), false),
        ] {
            let (a, b) = (desired.as_array().expect("a list"), live.as_array().expect("a list"));
            assert_eq!(are_paired(a, b, env), paired, "{desired} and {live}");
        }
    }

    #[test]
    fn json_maps_are_in_name_order() {
        // The walk reads two maps side by side; a feature of serde_json, switched on by any crate, would end that.
        let map = json!({"b": 1, "a": 2, "B": 3});
        let names: Vec<_> = map.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["B", "a", "b"]);
    }
}
