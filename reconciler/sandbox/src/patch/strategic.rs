//! Strategic merge patch, as kubectl sends it: lists with a merge key are merged item by item, and directives
//! (`$patch`, `$deleteFromPrimitiveList`, `$setElementOrder`, `$retainKeys`) steer the rest.
//!
//! Which lists merge, and by which key, is what OpenAPI calls `x-kubernetes-patch-strategy` and
//! `x-kubernetes-patch-merge-key`; it differs from the keys of server-side apply (a container's ports merge by number
//! here, and by number and protocol there).

use planner::schema::TypeRef;
use serde_json::{Map, Value};

/// Why a patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// An item of a merged list has no merge key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoKey {
        /// The item.
        item: String,
        /// The key that is missing.
        key: String,
    },
    /// A directive that does not exist.
    #[error("unknown patch type found: {0}")]
    Directive(String),
}

const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Merges a patch into a value of a type.
///
/// # Errors
/// Where an item has no merge key, or a directive is unknown.
pub fn merge(target: &mut Value, patch: &Value, place: TypeRef) -> Result<(), Failed> {
    let (Value::Object(have), Value::Object(change)) = (&mut *target, patch) else {
        *target = cleaned(patch);
        return Ok(());
    };
    merge_map(have, change, place)
}

fn merge_map(target: &mut Map<String, Value>, patch: &Map<String, Value>, place: TypeRef) -> Result<(), Failed> {
    match directive(patch) {
        None => {}
        Some("replace") => {
            *target = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some("merge") => {}
        Some(other) => return Err(Failed::Directive(other.to_owned())),
    }
    retain_keys(target, patch);
    let before = target.clone();
    let items = |list: &str| before.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    for (key, change) in patch {
        if let Some(list) = key.strip_prefix(DELETE) {
            delete_values(target, list, change);
        } else if !key.starts_with('$') {
            merge_field(target, key, change, place.field(key))?;
        }
    }
    for (key, order) in patch {
        if let Some(list) = key.strip_prefix(ORDER) {
            reorder(target, list, order, place.field(list), &items(list));
        }
    }
    Ok(())
}

fn merge_field(target: &mut Map<String, Value>, key: &str, change: &Value, place: TypeRef) -> Result<(), Failed> {
    let strategy = place.facets().patch.as_deref().unwrap_or_default();
    match change {
        Value::Null => {
            target.remove(key);
        }
        Value::Array(items) if strategy.contains("merge") => {
            let have = target.entry(key).or_insert_with(|| Value::Array(vec![]));
            if !have.is_array() {
                *have = Value::Array(vec![]);
            }
            if let Value::Array(have) = have {
                merge_list(have, items, place)?;
            }
        }
        Value::Object(change) if !strategy.split(',').any(|one| one == "replace") => {
            let have = target.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if !have.is_object() {
                *have = Value::Object(Map::new());
            }
            if let Value::Object(have) = have {
                merge_map(have, change, place)?;
            }
        }
        other => {
            target.insert(key.to_owned(), cleaned(other));
        }
    }
    Ok(())
}

fn merge_list(have: &mut Vec<Value>, items: &[Value], place: TypeRef) -> Result<(), Failed> {
    let whole = |item: &&Value| item.as_object().and_then(directive) == Some("replace");
    if items.iter().any(|item| whole(&item) && item.as_object().is_some_and(|map| map.len() == 1)) {
        let rest = items.iter().filter(|item| !whole(item));
        *have = rest.map(cleaned).collect();
        return Ok(());
    }
    let Some(key) = place.facets().patch_key.as_deref() else {
        for item in items.iter().filter(|item| !item.is_object()) {
            if !have.contains(item) {
                have.push(item.clone());
            }
        }
        return Ok(());
    };
    let before = have.clone();
    for item in items {
        merge_item(have, item, key, place.items())?;
    }
    arrange(have, items, &before, Some(key));
    Ok(())
}

fn merge_item(have: &mut Vec<Value>, item: &Value, key: &str, place: TypeRef) -> Result<(), Failed> {
    let Some(id) = item.get(key) else {
        return Err(Failed::NoKey { item: go_text(item), key: key.to_owned() });
    };
    if item.as_object().and_then(directive) == Some("delete") {
        have.retain(|one| one.get(key) != Some(id));
        return Ok(());
    }
    match have.iter_mut().find(|one| one.get(key) == Some(id)) {
        Some(same) => merge(same, item, place),
        None => {
            have.push(cleaned(item));
            Ok(())
        }
    }
}

/// A value as Go prints it: the server's message has it so.
fn go_text(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn directive(map: &Map<String, Value>) -> Option<&str> {
    map.get("$patch").and_then(Value::as_str)
}

fn retain_keys(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if let Some(Value::Array(keys)) = patch.get("$retainKeys") {
        target.retain(|key, _| keys.iter().any(|kept| kept == key));
    }
}

fn delete_values(target: &mut Map<String, Value>, list: &str, gone: &Value) {
    if let (Some(Value::Array(have)), Value::Array(gone)) = (target.get_mut(list), gone) {
        have.retain(|one| !gone.contains(one));
    }
}

/// Brings a list into the order of `$setElementOrder`.
fn reorder(target: &mut Map<String, Value>, list: &str, order: &Value, place: TypeRef, before: &[Value]) {
    if let (Some(Value::Array(have)), Value::Array(order)) = (target.get_mut(list), order) {
        arrange(have, order, before, place.facets().patch_key.as_deref());
    }
}

/// Items of the order come as the order has them. The others keep their own order, each before the first item of the
/// order that it stood before when both were there; items of the order come first where nothing is known.
fn arrange(list: &mut Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) {
    let id = |item: &Value| match key {
        Some(key) => item.get(key).cloned().unwrap_or(Value::Null),
        None => item.clone(),
    };
    let rank = |item: &Value, all: &[Value]| all.iter().position(|one| id(one) == id(item));
    let (mut ordered, mut others): (Vec<_>, Vec<_>) = list.drain(..).partition(|item| rank(item, order).is_some());
    ordered.sort_by_key(|item| rank(item, order));
    others.sort_by_key(|item| rank(item, before));
    let mut others = others.into_iter().peekable();
    for item in ordered {
        let at = rank(&item, before);
        while let Some(other) =
            others.next_if(|other| at.is_some() && rank(other, before).is_some_and(|one| Some(one) < at))
        {
            list.push(other);
        }
        list.push(item);
    }
    list.extend(others);
}

/// A value as it is stored: directives and nulls are instructions, not content.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(list) => list.iter().map(cleaned).collect(),
        other => other.clone(),
    }
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    let content = map.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
    content.map(|(key, value)| (key.clone(), cleaned(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::schema::Schema;
    use serde_json::json;

    fn patched(mut value: Value, patch: &Value) -> Result<Value, Failed> {
        let place = Schema::of("apps", "v1", "Deployment").expect("a known kind");
        merge(&mut value, patch, place)?;
        Ok(value)
    }

    fn deployment(containers: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn containers_merge_by_name_and_arguments_are_replaced() {
        let before = deployment(json!([{"name": "a", "image": "x", "args": ["1"]}, {"name": "b"}]));
        let patch = deployment(json!([{"name": "a", "args": ["2"]}, {"name": "c", "image": null}]));
        let after = patched(before, &patch).expect("merges");
        let expect = json!([{"name": "a", "image": "x", "args": ["2"]}, {"name": "c"}, {"name": "b"}]);
        assert_eq!(after, deployment(expect));
    }

    #[test]
    fn directives_delete_replace_order_and_retain() {
        let before = deployment(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]));
        let patch = json!({"spec": {"template": {"spec": {
            "containers": [{"name": "b", "$patch": "delete"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        }}}});
        let after = patched(before.clone(), &patch).expect("merges");
        assert_eq!(after, deployment(json!([{"name": "c"}, {"name": "a"}])));

        let replace = deployment(json!([{"$patch": "replace"}, {"name": "z"}]));
        let after = patched(before, &replace).expect("merges");
        assert_eq!(after, deployment(json!([{"name": "z"}])));

        let before = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}});
        let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
        let after = patched(before, &patch).expect("merges");
        assert_eq!(after, json!({"spec": {"strategy": {"type": "Recreate"}}}));
    }

    #[test]
    fn an_item_without_its_merge_key_is_refused() {
        let patch = deployment(json!([{"image": "x"}]));
        let failed = patched(deployment(json!([])), &patch).expect_err("no name");
        assert!(matches!(failed, Failed::NoKey { .. }));
    }
}
