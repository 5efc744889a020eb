//! What is judged: one request to the API server, as admission sees it.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Makes the object; an apply to a name that is free, too.
    Create,
    /// Changes it.
    Update,
    /// Deletes it.
    Delete,
    /// Opens a stream to it: `exec`, `attach`, `port-forward`, `proxy`.
    Connect,
}

impl Operation {
    /// As admission writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name, as in `system:serviceaccount:tool-wordcount:toolforge-deployer`.
    pub name: String,
    /// Groups, in the server's order; an authenticated user's hold `system:authenticated`.
    pub groups: Vec<String>,
}

/// A request to the API server.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it does.
    pub operation: Operation,
    /// API group of the resource; empty for the core group.
    pub group: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The resource, as in a URL: `deployments`.
    pub resource: &'a str,
    /// The subresource, as in a URL; empty for the object itself.
    pub subresource: &'a str,
    /// The kind of the object that is sent.
    pub kind: &'a str,
    /// The namespace; empty for what stands in none. A Namespace stands in itself, as the server has it.
    pub namespace: &'a str,
    /// Labels of that namespace. The one that the API server writes itself may be missing.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// Name of the object.
    pub name: &'a str,
    /// Who asks.
    pub user: &'a User,
    /// The object as it shall be; absent in a deletion.
    pub object: Option<&'a Value>,
    /// The object as it is; absent in a creation.
    pub old_object: Option<&'a Value>,
}

/// The label that the server writes on every namespace.
const OWN_NAME: &str = "kubernetes.io/metadata.name";

impl<'a> Request<'a> {
    /// A label of its namespace; of a Namespace that is written, as it shall be.
    pub(crate) fn label_of_namespace(&self, key: &str) -> Option<&'a str> {
        match self.object {
            _ if key == OWN_NAME => Some(self.namespace),
            Some(object) if self.is_namespace() && self.subresource.is_empty() => {
                object["metadata"]["labels"].get(key).and_then(Value::as_str)
            }
            _ => self.namespace_labels.get(key).map(String::as_str),
        }
    }

    /// Whether it is about a Namespace, or a part of one.
    pub(crate) fn is_namespace(&self) -> bool {
        (self.group, self.resource) == ("", "namespaces")
    }

    /// The variable `request`: what is empty is absent, as in the server's JSON.
    pub(crate) fn described(&self) -> Value {
        let kind = json!({"group": self.group, "version": self.version, "kind": self.kind});
        let resource = json!({"group": self.group, "version": self.version, "resource": self.resource});
        let mut described = json!({
            "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
            "operation": self.operation.as_str(),
            "userInfo": {"username": self.user.name, "groups": self.user.groups},
        });
        let texts = [
            ("subResource", self.subresource),
            ("requestSubResource", self.subresource),
            ("name", self.name),
            ("namespace", self.namespace),
        ];
        for (key, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            described[key] = value.into();
        }
        described
    }

    /// The variable `namespaceObject`, as far as a rule may ask for it.
    pub(crate) fn namespace_object(&self) -> Value {
        if self.namespace.is_empty() || self.is_namespace() {
            return Value::Null;
        }
        let mut labels = json!(self.namespace_labels);
        labels[OWN_NAME] = json!(self.namespace);
        json!({"metadata": {"name": self.namespace, "labels": labels}})
    }
}

/// ConfigMaps that bindings name as parameters, by namespace and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(BTreeMap<(String, String), Value>);

impl Params {
    /// Adds one: `data` as in the ConfigMap.
    #[must_use]
    pub fn with(mut self, namespace: &str, name: &str, data: &BTreeMap<String, String>) -> Self {
        self.0.insert((namespace.to_owned(), name.to_owned()), json!({"data": data}));
        self
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.0.get(&(namespace.to_owned(), name.to_owned()))
    }
}
