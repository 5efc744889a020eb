//! The patches that are computed on the client's side of ownership: JSON patch, JSON merge patch, strategic merge patch.
//! Server-side apply is another thing: see `crate::managed`.

pub mod json_patch;
pub mod strategic;

use serde_json::Value;

/// RFC 7396: maps are merged, `null` removes, everything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, change) in patch {
        if change.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_merges_maps_and_replaces_lists() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        merge(&mut value, &json!({"a": {"b": null, "d": 3}, "l": [3], "n": {"x": null, "y": 1}}));
        assert_eq!(value, json!({"a": {"c": 2, "d": 3}, "l": [3], "n": {"y": 1}}));
    }
}
