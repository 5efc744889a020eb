//! A Kubernetes object and the one way its id prints: `deployment/tool-wordcount/web`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Which object: API group, kind, namespace and name. The version is no part of an identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, `Deployment`.
    pub kind: String,
    /// Namespace; none for a cluster-scoped object.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.to_ascii_lowercase())?;
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

/// One object, desired or live: its id, and its whole JSON including `apiVersion`, `kind` and `metadata`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its identity, always equal to what `value` says.
    pub id: ObjectId,
    /// The JSON as the API server takes and gives it.
    pub value: Value,
}

/// A JSON value that is no Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Kubernetes object: {missing} is missing")]
pub struct NotAnObject {
    /// The field that is missing or no text.
    pub missing: &'static str,
}

impl Object {
    /// Reads the identity out of the JSON.
    ///
    /// # Errors
    /// Where `apiVersion`, `kind` or `metadata.name` is missing or no text.
    pub fn new(value: Value) -> Result<Self, NotAnObject> {
        let text = |pointer: &str, missing| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .ok_or(NotAnObject { missing })
        };
        let api_version = text("/apiVersion", "apiVersion")?;
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let id = ObjectId {
            group: group.to_owned(),
            kind: text("/kind", "kind")?.to_owned(),
            namespace: text("/metadata/namespace", "").ok().map(str::to_owned),
            name: text("/metadata/name", "metadata.name")?.to_owned(),
        };
        Ok(Self { id, value })
    }

    /// `apiVersion`, such as `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.value
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_prints_as_kind_namespace_and_name() {
        let object = Object::new(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "tool-wordcount"}}),
        );
        let object = object.expect("an object");
        assert_eq!(object.id.to_string(), "deployment/tool-wordcount/web");
        assert_eq!(object.id.group, "apps");
    }
}
