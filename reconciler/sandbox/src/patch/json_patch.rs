//! RFC 6902.

use serde_json::Value;

/// How many operations the server takes at once.
const MAX_OPERATIONS: usize = 10_000;

/// Why a patch did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The patch itself is malformed.
    #[error("{0}")]
    Malformed(String),
    /// It does not fit the document: a missing path, or a failed `test`.
    #[error("{0}")]
    DoesNotFit(String),
}

/// Applies the operations in order, all or nothing.
///
/// # Errors
/// Where the patch is malformed, or does not fit.
pub fn apply(target: &Value, patch: &Value) -> Result<Value, Failed> {
    let operations =
        patch.as_array().ok_or_else(|| Failed::Malformed("a JSON patch is a list of operations".to_owned()))?;
    if operations.len() > MAX_OPERATIONS {
        let text = format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}");
        return Err(Failed::Malformed(text));
    }
    let mut value = target.clone();
    for operation in operations {
        run(&mut value, operation)?;
    }
    Ok(value)
}

fn run(value: &mut Value, operation: &Value) -> Result<(), Failed> {
    let op = field(operation, "op")?;
    let path = pointer(&field(operation, "path")?)?;
    match op.as_str() {
        "add" => add(value, &path, argument(operation)?.clone()),
        "replace" => {
            let slot = find(value, &path)?;
            *slot = argument(operation)?.clone();
            Ok(())
        }
        "remove" => remove(value, &path).map(drop),
        "test" => test(value, &path, operation.get("value").unwrap_or(&Value::Null)),
        "move" => {
            let from = pointer(&field(operation, "from")?)?;
            let moved = remove(value, &from)?;
            add(value, &path, moved)
        }
        "copy" => {
            let from = pointer(&field(operation, "from")?)?;
            let copied = find(value, &from)?.clone();
            add(value, &path, copied)
        }
        other => Err(Failed::Malformed(format!("unexpected kind: {other}"))),
    }
}

fn field(operation: &Value, name: &str) -> Result<String, Failed> {
    let text = operation.get(name).and_then(Value::as_str);
    let missing = || Failed::Malformed(format!("operation {operation} has no {name}"));
    text.map(str::to_owned).ok_or_else(missing)
}

fn argument(operation: &Value) -> Result<&Value, Failed> {
    let missing = || Failed::Malformed(format!("operation {operation} has no value"));
    operation.get("value").ok_or_else(missing)
}

fn pointer(text: &str) -> Result<Vec<String>, Failed> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest =
        text.strip_prefix('/').ok_or_else(|| Failed::Malformed(format!("path {text:?} does not start with '/'")))?;
    let part = |part: &str| part.replace("~1", "/").replace("~0", "~");
    Ok(rest.split('/').map(part).collect())
}

fn missing(path: &[String]) -> Failed {
    Failed::DoesNotFit(format!("missing path: /{}: missing value", path.join("/")))
}

fn find<'a>(value: &'a mut Value, path: &[String]) -> Result<&'a mut Value, Failed> {
    let mut slot = value;
    for part in path {
        let next = match slot {
            Value::Object(map) => map.get_mut(part),
            Value::Array(list) => index(part, list.len()).and_then(|at| list.get_mut(at)),
            _ => None,
        };
        slot = next.ok_or_else(|| missing(path))?;
    }
    Ok(slot)
}

/// A list index; the server's library also counts from the end.
fn index(text: &str, len: usize) -> Option<usize> {
    if let Some(back) = text.strip_prefix('-') {
        return len.checked_sub(back.parse().ok()?);
    }
    text.parse().ok()
}

fn add(value: &mut Value, path: &[String], new: Value) -> Result<(), Failed> {
    let Some((last, parents)) = path.split_last() else {
        *value = new;
        return Ok(());
    };
    match find(value, parents)? {
        Value::Object(map) => {
            map.insert(last.clone(), new);
            Ok(())
        }
        Value::Array(list) if last == "-" => {
            list.push(new);
            Ok(())
        }
        Value::Array(list) => match index(last, list.len()) {
            Some(at) if at <= list.len() => {
                list.insert(at, new);
                Ok(())
            }
            _ => Err(missing(path)),
        },
        _ => Err(missing(path)),
    }
}

fn remove(value: &mut Value, path: &[String]) -> Result<Value, Failed> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(std::mem::take(value));
    };
    let removed = match find(value, parents)? {
        Value::Object(map) => map.remove(last),
        Value::Array(list) => index(last, list.len()).filter(|at| *at < list.len()).map(|at| list.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| missing(path))
}

fn test(value: &mut Value, path: &[String], want: &Value) -> Result<(), Failed> {
    let failed = || Failed::DoesNotFit(format!("testing path /{} failed", path.join("/")));
    match find(value, path) {
        Ok(have) if have == want => Ok(()),
        // A missing value equals null, as in the server's library.
        Err(_) if want.is_null() => Ok(()),
        _ => Err(failed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_run_in_order() {
        let target = json!({"a": {"b/c": 1}, "l": [1, 3]});
        let patch = json!([
            {"op": "test", "path": "/a/b~1c", "value": 1},
            {"op": "add", "path": "/l/1", "value": 2},
            {"op": "add", "path": "/l/-", "value": 4},
            {"op": "remove", "path": "/a/b~1c"},
            {"op": "copy", "from": "/l/0", "path": "/a/x"},
            {"op": "move", "from": "/l/0", "path": "/a/y"},
            {"op": "replace", "path": "/a/x", "value": null},
        ]);
        let patched = apply(&target, &patch).expect("fits");
        assert_eq!(patched, json!({"a": {"x": null, "y": 1}, "l": [2, 3, 4]}));
    }

    #[test]
    fn what_does_not_fit_changes_nothing_and_says_so() {
        let target = json!({"a": 1, "l": []});
        for operation in [
            json!({"op": "test", "path": "/a", "value": 2}),
            json!({"op": "test", "path": "/b", "value": 2}),
            json!({"op": "remove", "path": "/b"}),
            json!({"op": "replace", "path": "/b", "value": 1}),
            json!({"op": "add", "path": "/b/c", "value": 1}),
            json!({"op": "add", "path": "/l/1", "value": 1}),
            json!({"op": "remove", "path": "/l/0"}),
        ] {
            let failed = apply(&target, &json!([operation])).expect_err("does not fit");
            assert!(matches!(failed, Failed::DoesNotFit(_)), "{operation}");
        }
        for malformed in [
            json!({}),
            json!([{"op": "explode", "path": "/a"}]),
            json!([{"op": "add", "path": "/a"}]),
            json!([{"op": "remove", "path": "a"}]),
        ] {
            let failed = apply(&target, &malformed).expect_err("malformed");
            assert!(matches!(failed, Failed::Malformed(_)), "{malformed}");
        }
    }
}
