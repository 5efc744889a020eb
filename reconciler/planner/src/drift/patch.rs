//! JSON patches (RFC 6902).

use super::meaning::{covers, same_meaning};
use crate::fields::item_element;
use crate::schema::TypeRef;
use serde_json::{Map, Value, json};

/// Operations that turn `live` into `wanted`, behind a test that nothing happened meanwhile. What means the same stays as
/// the server wrote it, and `managedFields` is the server's own bookkeeping.
pub(super) fn between(live: &Value, wanted: &Value, at: TypeRef) -> Value {
    let version = live.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    let mut operations = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
    value(live, wanted, at, "", &mut operations);
    Value::Array(operations)
}

fn value(live: &Value, wanted: &Value, at: TypeRef, path: &str, out: &mut Vec<Value>) {
    match (live, wanted) {
        _ if at.is_atomic() && covers(wanted, live, at, false) => {}
        (Value::Object(live), Value::Object(wanted)) => object(live, wanted, at, path, out),
        (Value::Array(live), Value::Array(wanted)) if are_aligned(live, wanted, at) => {
            for (index, (live, wanted)) in live.iter().zip(wanted).enumerate() {
                value(live, wanted, at.items(), &format!("{path}/{index}"), out);
            }
        }
        _ if same_meaning(wanted, live, at) => {}
        _ => out.push(json!({"op": "replace", "path": path, "value": wanted})),
    }
}

/// The items at each place are the same ones.
fn are_aligned(live: &[Value], wanted: &[Value], at: TypeRef) -> bool {
    live.len() == wanted.len() && live.iter().zip(wanted).all(|(a, b)| item_element(a, at) == item_element(b, at))
}

fn object(live: &Map<String, Value>, wanted: &Map<String, Value>, at: TypeRef, path: &str, out: &mut Vec<Value>) {
    let below = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
    let ours = |name: &&String| below(name) != "/metadata/managedFields";
    for name in live.keys().filter(ours) {
        match wanted.get(name) {
            Some(wanted) => value(&live[name], wanted, at.field(name), &below(name), out),
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
    use crate::schema::{Schema, arbitrary};
    use proptest::prelude::*;

    #[test]
    fn a_patch_tests_the_version_first_and_escapes_names() {
        let live = json!({"metadata": {"resourceVersion": "7", "annotations": {"a/b~c": "x"}, "managedFields": [1]}});
        let wanted = json!({"metadata": {"resourceVersion": "7", "annotations": {}}});
        assert_eq!(
            between(&live, &wanted, TypeRef::object()),
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
            let at = Schema::of_object(&live);
            let arrived = applied(&live, &between(&live, &wanted, at)).expect("the patch applies");
            prop_assert_eq!(between(&arrived, &wanted, at), between(&arrived, &arrived, at));
        }
    }
}
