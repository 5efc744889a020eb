//! `/openapi/v3`.
use serde_json::{Value, json};

/// The index.
#[must_use]
pub fn index() -> Value {
    json!({"paths": {}})
}

/// The document of a group version.
#[must_use]
pub fn document(_group: &str, _version: &str) -> Option<Value> {
    None
}
