//! Label selectors.

use crate::document::{Requirement, Selector, SelectorOperator};
use serde_json::Value;

impl Selector {
    /// Whether it says nothing, and so selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether these labels are selected; `label` looks one up.
    pub(crate) fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.match_labels.iter().all(|(key, value)| label(key) == Some(value.as_str()))
            && self.match_expressions.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Whether it selects this object.
    pub(crate) fn matches_object(&self, object: &Value) -> bool {
        self.matches(|key| object["metadata"]["labels"].get(key).and_then(Value::as_str))
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let listed = value.is_some_and(|value| self.values.iter().any(|one| one == value));
        match self.operator {
            SelectorOperator::In => listed,
            SelectorOperator::NotIn => !listed,
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    }
}
