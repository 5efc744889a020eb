//! Examples of what a policy allows and denies, in a file beside it. They are tests of the rule and its documentation,
//! and each is put to the real API server as well.
//!
//! ```yaml
//! bases:
//!   web: {apiVersion: v1, kind: Service, ...}
//! cases:
//! - name: a service inside the cluster
//!   base: web
//! - name: a port on every node
//!   base: web
//!   merge: {spec: {type: NodePort}}               # RFC 7386: a null removes
//!   denied: [a Service is of type ClusterIP]
//! ```

use crate::problem::{Findings, Problem};
use crate::read;
use crate::request::{Operation, Request, User};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The examples of one file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// Objects that cases start from, by name.
    #[serde(default)]
    bases: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

/// One request and what is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence fragment.
    pub name: String,
    /// Name of the object in `bases` that it starts from.
    base: String,
    /// What differs from it, as a merge patch.
    #[serde(default)]
    merge: Value,
    /// For an update, the object as it was: what differs from the base, as a merge patch.
    #[serde(default)]
    old: Option<Value>,
    /// The subresource that is written, as in `ephemeralcontainers`.
    #[serde(default)]
    pub subresource: String,
    /// Who asks; a person of no special right where it is left out.
    #[serde(default)]
    pub user: Option<String>,
    /// The messages of the denials, of all policies together and in any order; none, and the request is admitted.
    #[serde(default)]
    pub denied: Vec<String>,
    #[serde(skip)]
    objects: (Value, Option<Value>),
    /// The resource of the object's kind.
    #[serde(skip)]
    resource: String,
}

impl Cases {
    /// Reads a file of examples.
    ///
    /// # Errors
    ///
    /// What can't be read, and cases without their base.
    pub fn read(file: &str, text: &str) -> Result<Vec<Case>, Vec<Problem>> {
        let mut findings = Findings { file, problems: Vec::new() };
        let Some(read) = read::parse::<Self>(text, &mut findings) else { return Err(findings.problems) };
        let mut cases = Vec::new();
        for mut case in read.cases {
            let Some(base) = read.bases.get(&case.base) else {
                let message = format!("case `{}`: no base `{}`", case.name, case.base);
                let hint = "Write the object under `bases`.";
                findings.refuse((1, 1), "cases", crate::problem::Refusal::new(message, hint));
                continue;
            };
            let old = case.old.as_ref().map(|old| merged(base, old));
            case.objects = (merged(base, &case.merge), old);
            let Some(kind) = base["kind"].as_str() else {
                let message = format!("base `{}` has no `kind`, so no rule would look at it", case.base);
                let hint = "Write the whole object.";
                findings.refuse((1, 1), "bases", crate::problem::Refusal::new(message, hint));
                continue;
            };
            case.resource = resource(kind);
            cases.push(case);
        }
        if findings.problems.is_empty() { Ok(cases) } else { Err(findings.problems) }
    }
}

impl Case {
    /// The request, of the object as it shall be and as it is: the case's own, or what the server's defaults made of
    /// them.
    #[must_use]
    pub fn request<'a>(
        &'a self,
        (object, old_object): (&'a Value, Option<&'a Value>),
        namespace_labels: &'a BTreeMap<String, String>,
        user: &'a User,
    ) -> Request<'a> {
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        let api_version = text(&object["apiVersion"]);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let metadata = &object["metadata"];
        let namespace = if self.resource == "namespaces" { &metadata["name"] } else { &metadata["namespace"] };
        Request {
            operation: if old_object.is_some() { Operation::Update } else { Operation::Create },
            group,
            version,
            resource: &self.resource,
            subresource: &self.subresource,
            kind: text(&object["kind"]),
            namespace: text(namespace),
            namespace_labels,
            name: text(&metadata["name"]),
            user,
            object: Some(object),
            old_object,
        }
    }

    /// The resource of its object, as in a URL.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The object as it shall be, and for an update as it is.
    #[must_use]
    pub fn objects(&self) -> (&Value, Option<&Value>) {
        (&self.objects.0, self.objects.1.as_ref())
    }
}

/// The plural, as Kubernetes has it.
fn resource(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if kind == "endpoints" => kind,
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

fn merged(base: &Value, patch: &Value) -> Value {
    let mut object = base.clone();
    merge(&mut object, patch);
    object
}

/// RFC 7386, except that no patch at all changes nothing.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        if !patch.is_null() {
            *target = patch.clone();
        }
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    for (key, value) in fields {
        match target.as_object_mut() {
            Some(object) if value.is_null() => drop(object.remove(key)),
            Some(object) => merge(object.entry(key).or_insert(Value::Null), value),
            None => {}
        }
    }
}
