//! Does a value fit its type? Server-side apply refuses what does not ([`Wrong::is_structural`]); the rest is what the
//! server's validation refuses and OpenAPI can say. All findings at once, in document order.

use super::{Facets, Form, Scalar, TypeRef};
use crate::fields::{Path, PathElement, item_element};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One place that does not fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// Where.
    pub path: Path,
    /// What is wrong there.
    pub wrong: Wrong,
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// A field that the type does not have.
    #[error("field not declared in schema")]
    Undeclared,
    /// Another type.
    #[error("expected {0}")]
    Type(&'static str),
    /// A second item with the same key in a list that is told apart by keys.
    #[error("duplicate entry")]
    Duplicate,
    /// An item of such a list without any key, or of a set that is no scalar.
    #[error("item has no key")]
    NoKey,
    /// A required field is missing.
    #[error("required")]
    Missing,
    /// None of the allowed values.
    #[error("none of the allowed values")]
    NotOneOf,
    /// A number outside its bounds.
    #[error("out of range")]
    OutOfRange,
    /// Too short or too long, in characters or items.
    #[error("length out of range")]
    Length,
}

impl Wrong {
    /// Server-side apply cannot even read the value.
    #[must_use]
    pub const fn is_structural(&self) -> bool {
        matches!(self, Self::Undeclared | Self::Type(_) | Self::Duplicate | Self::NoKey)
    }
}

/// Every place where `value` does not fit `at`.
#[must_use]
pub fn check(value: &Value, at: TypeRef) -> Vec<Mismatch> {
    let mut found = Check::default();
    found.value(value, at);
    found.mismatches
}

#[derive(Default)]
struct Check {
    path: Path,
    mismatches: Vec<Mismatch>,
}

impl Check {
    fn report(&mut self, wrong: Wrong) {
        self.mismatches.push(Mismatch { path: self.path.clone(), wrong });
    }

    fn below(&mut self, element: PathElement, value: &Value, at: TypeRef) {
        self.path.push(element);
        self.value(value, at);
        self.path.pop();
    }

    fn value(&mut self, value: &Value, at: TypeRef) {
        if value.is_null() {
            return;
        }
        if let Some(expected) = mismatched(value, at) {
            return self.report(Wrong::Type(expected));
        }
        match value {
            Value::Object(object) => self.object(object, at),
            Value::Array(items) => self.items(items, at),
            _ => {}
        }
        if let Some(wrong) = outside(value, at.facets()) {
            self.report(wrong);
        }
    }

    fn object(&mut self, object: &Map<String, Value>, at: TypeRef) {
        for name in at.required().iter().filter(|name| !object.contains_key(*name)) {
            self.path.push(PathElement::field(name));
            self.report(Wrong::Missing);
            self.path.pop();
        }
        for (name, value) in object {
            if at.declared(name).is_none() && at.values().is_none() {
                self.path.push(PathElement::field(name));
                self.report(Wrong::Undeclared);
                self.path.pop();
            } else {
                self.below(PathElement::field(name), value, at.field(name));
            }
        }
    }

    fn items(&mut self, items: &[Value], at: TypeRef) {
        let told_apart = matches!(at.form(&Value::Null), Form::Set | Form::Keyed(_));
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let key = told_apart.then(|| item_element(item, at)).flatten();
            let element = key.clone().unwrap_or(PathElement::Index(index));
            self.path.push(element);
            let is_new = key.as_ref().is_none_or(|key| seen.insert(key.clone()));
            match key {
                None if told_apart => self.report(Wrong::NoKey),
                Some(_) if !is_new => self.report(Wrong::Duplicate),
                _ => self.value(item, at.items()),
            }
            self.path.pop();
        }
    }
}

/// What was expected, where the JSON type is another one.
fn mismatched(value: &Value, at: TypeRef) -> Option<&'static str> {
    let Some(scalar) = at.scalar() else {
        return match value {
            _ if at.is_any() => None,
            Value::Object(_) => (!at.is_map()).then_some("list"),
            Value::Array(_) => at.is_map().then_some("map"),
            _ => Some(if at.is_map() { "map" } else { "list" }),
        };
    };
    let (fits, expected) = match scalar {
        Scalar::Text | Scalar::DateTime | Scalar::Duration | Scalar::Bytes => (value.is_string(), "string"),
        Scalar::Boolean => (value.is_boolean(), "boolean"),
        Scalar::Int32 => (value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()), "integer of 32 bits"),
        Scalar::Int64 => (value.is_i64() || is_whole(value), "integer"),
        Scalar::Number => (value.is_number(), "number"),
        Scalar::Quantity => (value.is_number() || value.is_string(), "quantity"),
        Scalar::IntOrText => (value.is_i64() || value.is_string(), "integer or string"),
    };
    (!fits).then_some(expected)
}

/// JSON has one kind of number: `1e3` is an integer.
fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn outside(value: &Value, facets: &Facets) -> Option<Wrong> {
    if !facets.one_of.is_empty() && !facets.one_of.contains(value) {
        return Some(Wrong::NotOneOf);
    }
    let below = |bound: Option<u64>, count: u64| bound.is_some_and(|bound| count < bound);
    let above = |bound: Option<u64>, count: u64| bound.is_some_and(|bound| count > bound);
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(0.0);
            let low = facets.minimum.is_some_and(|bound| number < bound);
            (low || facets.maximum.is_some_and(|bound| number > bound)).then_some(Wrong::OutOfRange)
        }
        Value::String(text) => {
            let count = text.chars().count() as u64;
            (below(facets.min_length, count) || above(facets.max_length, count)).then_some(Wrong::Length)
        }
        Value::Array(items) => {
            let count = items.len() as u64;
            (below(facets.min_items, count) || above(facets.max_items, count)).then_some(Wrong::Length)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Schema, arbitrary};
    use proptest::prelude::*;
    use serde_json::json;

    fn found(value: &Value) -> Vec<String> {
        let found = check(value, Schema::of_object(value));
        found.iter().map(|one| format!("{}: {}", one.path, one.wrong)).collect()
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {
            "replicas": "3",
            "typo": 1,
            "strategy": [],
            "template": {"spec": {"containers": [
                {"name": "web", "command": "sh", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]},
                {"name": "web"},
                {"image": "x"},
            ]}},
        }});
        assert_eq!(
            found(&value),
            [
                "spec.selector: required",
                "spec.replicas: expected integer of 32 bits",
                "spec.strategy: expected map",
                "spec.template.spec.containers[web].command: expected list",
                "spec.template.spec.containers[web].ports[80,TCP]: duplicate entry",
                "spec.template.spec.containers[web]: duplicate entry",
                "spec.template.spec.containers[2]: item has no key",
                "spec.typo: field not declared in schema",
            ]
        );
    }

    #[test]
    fn bounds_of_a_custom_resource_are_checked() {
        let value = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "spec": {
            "hostnames": [""],
            "rules": [{"backendRefs": [{"name": "web", "port": 70000}], "matches": [{"path": {"type": "Wildcard"}}]}],
        }});
        assert_eq!(
            found(&value),
            [
                "spec.hostnames[0]: length out of range",
                "spec.rules[0].backendRefs[0].port: out of range",
                "spec.rules[0].matches[0].path.type: none of the allowed values",
            ]
        );
    }

    #[test]
    fn quantities_and_ports_may_be_numbers_or_text() {
        let value = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [
            {"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8000}
        ]}});
        assert_eq!(found(&value), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn any_json_can_be_checked_against_any_type(value in arbitrary::json()) {
            for (_, kind) in Schema::kinds() {
                let found = check(&value, kind);
                prop_assert!(value.is_object() || value.is_null() || !found.is_empty());
            }
        }
    }
}
