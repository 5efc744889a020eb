//! Values as people see them. What is secret cannot be shown: it is replaced where the text is made.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// What stands for a secret.
const MASK: &str = "***";
/// The longest text shown, in characters; a config file in a ConfigMap is not for a terminal.
const MAX_CHARS: usize = 160;
/// Annotations whose value is a copy of the whole object, secrets included.
const COPIES: [&str; 1] = ["kubectl.kubernetes.io/last-applied-configuration"];

/// A value in one line, masked and bounded by construction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    /// In place of a value that must not leave this machine.
    pub(crate) fn hidden() -> Self {
        Self(MASK.to_owned())
    }

    /// What is shown, for whoever takes more out of it.
    pub(crate) fn text(&mut self) -> &mut String {
        &mut self.0
    }

    /// The value at a path of field names, in an object whose fields under `secret` are never shown.
    pub(super) fn of(value: &Value, path: &[&str], secret: &[&str]) -> Self {
        let text = match without_secrets(value, &mut path.to_vec(), secret) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match text.char_indices().nth(MAX_CHARS) {
            Some((end, _)) => Self(format!("{}…", &text[..end])),
            None => Self(text),
        }
    }
}

/// A whole object with everything replaced that is never shown: the fields under `secret`, and copies of the object.
#[must_use]
pub fn masked(object: &Value, secret: &[&str]) -> Value {
    without_secrets(object, &mut Vec::new(), secret)
}

/// The value with every secret in it replaced.
fn without_secrets<'a>(value: &'a Value, path: &mut Vec<&'a str>, secret: &[&str]) -> Value {
    if is_secret(path, secret) {
        return Value::from(MASK);
    }
    let Value::Object(object) = value else {
        return value.clone();
    };
    let masked = object.iter().map(|(name, value)| {
        path.push(name);
        let masked = without_secrets(value, path, secret);
        path.pop();
        (name.clone(), masked)
    });
    Value::Object(masked.collect())
}

fn is_secret(path: &[&str], secret: &[&str]) -> bool {
    let under =
        |prefix: &&str| prefix.split('.').zip(path).filter(|(a, b)| a == *b).count() == prefix.split('.').count();
    secret.iter().any(under) || path.last().is_some_and(|name| COPIES.contains(name))
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(value: &Value, path: &[&str]) -> String {
        Shown::of(value, path, &["data", "stringData"]).to_string()
    }

    #[test]
    fn secrets_are_masked_wherever_they_hang() {
        assert_eq!(shown(&json!("aHVudGVy"), &["data", "password"]), "***");
        assert_eq!(shown(&json!({"password": "aHVudGVy"}), &["data"]), "***");
        assert_eq!(shown(&json!({"data": {"p": "x"}, "type": "Opaque"}), &[]), r#"{"data":"***","type":"Opaque"}"#);
        assert_eq!(shown(&json!("not secret"), &["database"]), "not secret");
    }

    #[test]
    fn a_copy_of_the_object_is_never_shown() {
        let copy = "kubectl.kubernetes.io/last-applied-configuration";
        assert_eq!(shown(&json!({"data": "x"}), &["metadata", "annotations", copy]), "***");
        let all = json!({copy: "{}", "a": "b"});
        assert_eq!(shown(&all, &["metadata", "annotations"]), format!(r#"{{"a":"b","{copy}":"***"}}"#));
    }

    #[test]
    fn long_and_many_lined_text_stays_one_bounded_line() {
        let text = shown(&json!("a\nb".repeat(100)), &["spec"]);
        assert_eq!(text.chars().count(), MAX_CHARS + 1);
        assert!(!text.contains('\n'));
    }
}
