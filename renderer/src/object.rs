//! A Kubernetes object and the one way its id prints: `deployment/tool-wordcount/web`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
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

/// What stands before an object's own content: which kind it is, where it lives and what is written on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Group, version and kind.
    pub kind: Gvk,
    /// Namespace; none for a cluster-scoped object.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
}

/// Group, version and kind of a Kubernetes resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version, `v1`.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
}

impl Gvk {
    /// `apps/v1`, or `v1` for core.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl Object {
    /// An object from its head and its content, the fields that stand beside `metadata` (`spec`, `data`).
    #[must_use]
    pub fn with(head: Head, content: Map<String, Value>) -> Self {
        let mut metadata = Map::new();
        metadata.insert("name".into(), head.name.clone().into());
        if let Some(namespace) = &head.namespace {
            metadata.insert("namespace".into(), namespace.clone().into());
        }
        for (field, texts) in [("labels", head.labels), ("annotations", head.annotations)] {
            if !texts.is_empty() {
                let texts: Map<String, Value> = texts.into_iter().map(|(key, text)| (key, text.into())).collect();
                metadata.insert(field.into(), texts.into());
            }
        }
        let mut value = content;
        value.insert("apiVersion".into(), head.kind.api_version().into());
        value.insert("kind".into(), head.kind.kind.into());
        value.insert("metadata".into(), Value::Object(metadata));
        let id = ObjectId {
            group: head.kind.group.to_owned(),
            kind: head.kind.kind.to_owned(),
            namespace: head.namespace,
            name: head.name,
        };
        Self { id, value: Value::Object(value) }
    }

    /// Reads the identity out of the JSON.
    ///
    /// # Errors
    /// Where `apiVersion`, `kind` or `metadata.name` is missing or no text.
    pub fn new(value: Value) -> Result<Self, NotAnObject> {
        let text =
            |pointer: &str, missing| value.pointer(pointer).and_then(Value::as_str).ok_or(NotAnObject { missing });
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
        self.value.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
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
