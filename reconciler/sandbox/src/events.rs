//! Events are served twice: as core/v1, which is how they are stored, and as events.k8s.io/v1.

use crate::value::Object;
use serde_json::json;

/// The group of the newer form.
pub const GROUP: &str = "events.k8s.io";

/// Newer name, stored name; equal names need no row.
const RENAMED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// From the newer form to the stored one.
#[must_use]
pub fn to_stored(mut object: Object) -> Object {
    for (newer, stored) in RENAMED {
        rename(&mut object, newer, stored);
    }
    object
}

/// From the stored form to the newer one.
#[must_use]
pub fn to_events_v1(mut object: Object) -> Object {
    for (newer, stored) in RENAMED {
        rename(&mut object, stored, newer);
    }
    // Empty texts are left out here, and there in the older form.
    for field in ["reportingController", "reportingInstance"] {
        if object.get(field) == Some(&json!("")) {
            object.remove(field);
        }
    }
    if !object.contains_key("eventTime") {
        object.insert("eventTime".to_owned(), json!(null));
    }
    object
}

fn rename(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn an_event_survives_both_ways() {
        let stored = value::object(json!({
            "involvedObject": {"name": "web"}, "message": "m", "reason": "R", "eventTime": null,
            "reportingComponent": "c", "reportingInstance": "i", "count": 2,
        }));
        let newer = to_events_v1(stored.clone());
        assert_eq!(newer.get("note"), Some(&json!("m")));
        assert_eq!(newer.get("regarding"), Some(&json!({"name": "web"})));
        assert_eq!(to_stored(newer), stored);
    }
}
