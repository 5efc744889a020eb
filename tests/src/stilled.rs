//! What a server answered, without what only that server can have: uids, times, versions and addresses are replaced, so
//! that a second recording differs only where the server does.

use serde_json::{Value, json};

/// One object, or several that name one another.
#[must_use]
pub fn stilled(mut live: Value) -> Value {
    let (mut uids, mut times) = (Vec::new(), Vec::new());
    texts(&mut live, &mut |text| {
        let known = if is_uid(text) { &mut uids } else { &mut times };
        if (is_uid(text) || is_time(text)) && !known.contains(text) {
            known.push(text.clone());
        }
    });
    times.sort();
    texts(&mut live, &mut |text| {
        if let Some(place) = uids.iter().position(|uid| uid == text) {
            *text = format!("00000000-0000-0000-0000-{:012}", place + 1);
        } else if let Some(place) = times.iter().position(|time| time == text) {
            *text = format!("2026-01-01T{:02}:{:02}:00Z", place / 60, place % 60);
        }
    });
    match &mut live {
        Value::Array(objects) => objects.iter_mut().for_each(unversioned),
        object => unversioned(object),
    }
    live
}

fn unversioned(object: &mut Value) {
    object["metadata"]["resourceVersion"] = json!("1");
    if object["spec"]["clusterIP"].is_string() {
        object["spec"]["clusterIP"] = json!("10.0.0.1");
        object["spec"]["clusterIPs"] = json!(["10.0.0.1"]);
    }
}

fn texts(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, visit)),
        Value::Object(fields) => fields.values_mut().for_each(|field| texts(field, visit)),
        _ => {}
    }
}

fn is_uid(text: &str) -> bool {
    text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

fn is_time(text: &str) -> bool {
    text.len() == 20 && text.starts_with("20") && text.ends_with('Z') && text.contains('T')
}
