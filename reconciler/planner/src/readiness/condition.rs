//! `status.conditions`, and the generation they speak of.

use super::Readiness;
use serde_json::Value;

/// One entry of a list of conditions.
pub(super) struct Condition<'a> {
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    message: &'a str,
    observed: Option<i64>,
}

impl Condition<'_> {
    pub(super) fn is(&self, status: &str) -> bool {
        self.status == status
    }

    /// It speaks of an older generation than this one.
    pub(super) fn is_older_than(&self, generation: i64) -> bool {
        self.observed.is_some_and(|seen| seen < generation)
    }

    /// The controller's own words: they say more than ours would.
    pub(super) fn words(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => "its controller does not say why".to_owned(),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// A condition of the object.
pub(super) fn condition<'a>(object: &'a Value, name: &str) -> Option<Condition<'a>> {
    condition_in(at(object, "/status/conditions"), name)
}

/// A condition of a list.
pub(super) fn condition_in<'a>(conditions: Option<&'a Value>, name: &str) -> Option<Condition<'a>> {
    let found = conditions?.as_array()?.iter().find(|entry| entry.get("type").and_then(Value::as_str) == Some(name))?;
    let part = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or("");
    Some(Condition {
        status: part("status"),
        reason: part("reason"),
        message: part("message"),
        observed: found.get("observedGeneration").and_then(Value::as_i64),
    })
}

/// `metadata.generation`; 0 of objects that have none.
pub(super) fn generation(object: &Value) -> i64 {
    number(object, "/metadata/generation").unwrap_or(0)
}

/// A controller that always says which generation it has seen has not seen this one: what its status says is old.
pub(super) fn not_observed(object: &Value) -> Option<Readiness> {
    let seen = number(object, "/status/observedGeneration").unwrap_or(0);
    (seen < generation(object)).then(unseen)
}

/// What to say of a status that is older than the spec.
pub(super) fn unseen() -> Readiness {
    Readiness::InProgress("its controller has not seen this generation".to_owned())
}

/// The value behind these names. [`Value::pointer`] copies each name before it looks it up, and this is asked of every
/// object in every pass; no name here has a `/` in it.
pub(super) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(object, |value, name| value.get(name))
}

pub(super) fn number(object: &Value, path: &str) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}

pub(super) fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    at(object, path).and_then(Value::as_str)
}

pub(super) fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
