//! JSON patches (RFC 6902).

use serde_json::{Map, Value, json};

/// Operations that turn `live` into `wanted`, behind a test that nothing happened meanwhile. `managedFields` is the
/// server's own bookkeeping and stays out of it.
pub(super) fn between(live: &Value, wanted: &Value) -> Value {
    let version = live.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    let mut operations = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
    value(live, wanted, "", &mut operations);
    Value::Array(operations)
}

fn value(live: &Value, wanted: &Value, at: &str, out: &mut Vec<Value>) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => object(live, wanted, at, out),
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            for (index, (live, wanted)) in live.iter().zip(wanted).enumerate() {
                value(live, wanted, &format!("{at}/{index}"), out);
            }
        }
        _ if live == wanted => {}
        _ => out.push(json!({"op": "replace", "path": at, "value": wanted})),
    }
}

fn object(live: &Map<String, Value>, wanted: &Map<String, Value>, at: &str, out: &mut Vec<Value>) {
    let below = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    let ours = |name: &&String| below(name) != "/metadata/managedFields";
    for name in live.keys().filter(ours) {
        match wanted.get(name) {
            Some(wanted) => value(&live[name], wanted, &below(name), out),
            None => out.push(json!({"op": "remove", "path": below(name)})),
        }
    }
    for name in wanted.keys().filter(ours).filter(|name| !live.contains_key(*name)) {
        out.push(json!({"op": "add", "path": below(name), "value": wanted[name]}));
    }
}

/// Applies a patch that [`between`] made.
#[cfg(test)]
pub(super) fn applied(live: &Value, patch: &Value) -> Option<Value> {
    let mut out = live.clone();
    for operation in patch.as_array()? {
        let path = operation["path"].as_str()?;
        let (parent, name) = path.rsplit_once('/')?;
        let name = name.replace("~1", "/").replace("~0", "~");
        match operation["op"].as_str()? {
            "test" => (out.pointer(path) == Some(&operation["value"])).then_some(())?,
            "replace" => *out.pointer_mut(path)? = operation["value"].clone(),
            "add" => drop(out.pointer_mut(parent)?.as_object_mut()?.insert(name, operation["value"].clone())),
            "remove" => drop(out.pointer_mut(parent)?.as_object_mut()?.remove(&name)?),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::arbitrary;
    use proptest::prelude::*;

    #[test]
    fn a_patch_tests_the_version_first_and_escapes_names() {
        let live = json!({"metadata": {"resourceVersion": "7", "annotations": {"a/b~c": "x"}, "managedFields": [1]}});
        let wanted = json!({"metadata": {"resourceVersion": "7", "annotations": {}}});
        assert_eq!(
            between(&live, &wanted),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "remove", "path": "/metadata/annotations/a~1b~0c"},
            ])
        );
    }

    proptest! {
        #[test]
        fn a_patch_leads_where_it_should([live, wanted] in arbitrary::objects()) {
            let versioned = |mut value: Value| { value["metadata"]["resourceVersion"] = json!("1"); value };
            let (live, wanted) = (versioned(live), versioned(wanted));
            prop_assert_eq!(applied(&live, &between(&live, &wanted)), Some(wanted));
        }
    }
}
