//! Conditions keep the time of their last change.

use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::{Value, json};

/// One condition to be.
pub(super) struct Condition<'a> {
    pub(super) kind: &'a str,
    pub(super) status: bool,
    pub(super) reason: &'a str,
    pub(super) message: String,
}

impl Condition<'_> {
    /// The condition, with the transition time of the one it continues. The API writes most conditions like this.
    pub(super) fn after(&self, object: &Object, now: Timestamp) -> Value {
        let old = current(object, self.kind);
        let status = if self.status { "True" } else { "False" };
        let same = old.filter(|old| old["status"] == status);
        let since = same.map_or_else(|| json!(value::time_text(now)), |old| old["lastTransitionTime"].clone());
        json!({
            "type": self.kind, "status": status, "reason": self.reason, "message": self.message,
            "lastTransitionTime": since,
        })
    }

    /// The same with `lastUpdateTime`, as Deployments have it: the last time anything but the message changed.
    pub(super) fn updated_after(&self, object: &Object, now: Timestamp) -> Value {
        let mut condition = self.after(object, now);
        let old = current(object, self.kind);
        let same = old.filter(|old| old["status"] == condition["status"] && old["reason"] == condition["reason"]);
        condition["lastUpdateTime"] =
            same.map_or_else(|| json!(value::time_text(now)), |old| old["lastUpdateTime"].clone());
        condition
    }
}

/// The condition of a kind that an object has.
pub(super) fn current<'a>(object: &'a Object, kind: &str) -> Option<&'a Value> {
    let conditions = value::at(object, "status.conditions")?.as_array()?;
    conditions.iter().find(|one| one["type"] == kind)
}

/// It has the condition, and it holds.
pub(super) fn holds(object: &Object, kind: &str) -> bool {
    current(object, kind).is_some_and(|one| one["status"] == "True")
}
