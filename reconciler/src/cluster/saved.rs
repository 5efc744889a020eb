//! A cluster that is a file: what `kubectl get -o yaml` printed, read as if it were there. It answers the same requests
//! as an API server, so that planning against it is planning, and nothing else: what the file does not hold is absent,
//! and whatever would write is refused.
//!
//! ```text
//! file (List, documents, JSON) ──read──▶ Saved ──client──▶ GET object, GET collection?labelSelector=…
//! ```

use super::Cluster;
use super::address;
use super::door::Requests;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use kube::client::Body;
use planner::kinds::{KINDS, Kind};
use renderer::{Object, ObjectId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

/// Why a file is no saved cluster. Contents are never repeated: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSaved {
    /// No text.
    #[error("it is not UTF-8")]
    NotText,
    /// Neither YAML nor JSON.
    #[error("it is neither YAML nor JSON{}", place.as_deref().unwrap_or_default())]
    Garbage {
        /// ` (line 3, column 5)`.
        place: Option<String>,
    },
    /// A document that is no object.
    #[error("object {number} in it is no Kubernetes object: {missing} is missing")]
    NoObject {
        /// Counted from 1.
        number: usize,
        /// What it lacks.
        missing: &'static str,
    },
    /// An object that no server has seen.
    #[error("{id} in it was not read from a cluster: metadata.{missing} is missing")]
    NotLive {
        /// Which.
        id: ObjectId,
        /// What it lacks.
        missing: &'static str,
    },
    /// Two versions of one object.
    #[error("{id} is in it twice")]
    Twice {
        /// Which.
        id: ObjectId,
    },
    /// No object at all.
    #[error("it holds no objects")]
    Empty,
}

/// The objects of one file.
#[derive(Debug, Clone)]
pub struct Saved {
    objects: Arc<BTreeMap<ObjectId, Value>>,
}

impl Saved {
    /// Reads a file: a List, a list as the server sends it, one object, or several documents of these.
    ///
    /// # Errors
    /// As [`NotSaved`].
    pub fn read(bytes: &[u8]) -> Result<Self, NotSaved> {
        let text = std::str::from_utf8(bytes).map_err(|_| NotSaved::NotText)?;
        let mut objects = BTreeMap::new();
        let all = documents(text)?.into_iter().filter(|document| !document.is_null()).flat_map(items);
        for (number, value) in (1..).zip(all) {
            let missing = |error: renderer::object::NotAnObject| NotSaved::NoObject { number, missing: error.missing };
            let Object { id, mut value } = Object::new(value).map_err(missing)?;
            for missing in ["uid", "resourceVersion"] {
                if value.pointer(&format!("/metadata/{missing}")).and_then(Value::as_str).is_none() {
                    return Err(NotSaved::NotLive { id, missing });
                }
            }
            drop_secrets(&id, &mut value);
            if objects.insert(id.clone(), value).is_some() {
                return Err(NotSaved::Twice { id });
            }
        }
        if objects.is_empty() { Err(NotSaved::Empty) } else { Ok(Self { objects: Arc::new(objects) }) }
    }

    /// Whether this object was saved.
    #[must_use]
    pub fn has(&self, id: &ObjectId) -> bool {
        self.objects.contains_key(id)
    }

    /// Whether it says of any object who wrote what. kubectl leaves that out unless told otherwise.
    #[must_use]
    pub fn names_owners(&self) -> bool {
        self.objects.values().any(|object| object.pointer("/metadata/managedFields").is_some())
    }

    /// A client of these objects, under a name for headers.
    #[must_use]
    pub fn cluster(&self, name: &str, requests: &Requests) -> Cluster {
        let saved = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = saved.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        Cluster::of_service(name, service, requests)
    }

    fn answer(&self, request: &Request<Body>) -> Response<Full<Bytes>> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        if request.method() != Method::GET {
            return refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "a saved cluster is read only", None);
        }
        if let Some((_, object)) = self.objects.iter().find(|(id, _)| path_of(id).as_deref() == Some(path)) {
            return answered(StatusCode::OK, object);
        }
        let (parent, last) = path.rsplit_once('/').unwrap_or_default();
        if let Some(row) = KINDS.iter().find(|row| is_collection(row, path)) {
            return answered(StatusCode::OK, &self.list(row, path, query));
        }
        match KINDS.iter().find(|row| is_collection(row, parent)) {
            Some(row) => {
                let about = json!({"name": last, "group": row.group, "kind": row.plural});
                refused(StatusCode::NOT_FOUND, "NotFound", &format!("{} {last:?} not found", row.plural), Some(about))
            }
            None => refused(StatusCode::NOT_FOUND, "NotFound", "a saved cluster does not answer this", None),
        }
    }

    fn list(&self, row: &Kind, path: &str, query: &str) -> Value {
        let selector = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "labelSelector");
        let selector = selector.map(|(_, value)| value.into_owned());
        let below = |id: &ObjectId| path_of(id).is_some_and(|object| object == address::child(path, &id.name));
        let everywhere = path == address::collection(row, None);
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(id, _)| id.group == row.group && id.kind == row.kind && (everywhere || below(id)))
            .filter(|(_, object)| selector.as_deref().is_none_or(|selector| selects(selector, object)))
            .map(|(_, object)| object)
            .collect();
        json!({
            "apiVersion": row.api_version(), "kind": format!("{}List", row.kind),
            "metadata": {"resourceVersion": "1"}, "items": items,
        })
    }
}

/// JSON is YAML too, and its own reader is faster.
fn documents(text: &str) -> Result<Vec<Value>, NotSaved> {
    let json: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    if let Ok(all) = json {
        return Ok(all);
    }
    // The caller has bounded the bytes; a thousand objects have more nodes than a person's file.
    let mut options = serde_yaml::Options::default();
    if let Some(budget) = &mut options.budget {
        budget.max_events = usize::MAX;
        budget.max_nodes = usize::MAX;
        budget.max_documents = usize::MAX;
        budget.max_total_scalar_bytes = usize::MAX;
    }
    serde_yaml::from_multiple_with_options(text, options).map_err(|error| {
        let place = error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column()));
        NotSaved::Garbage { place }
    })
}

/// The objects of a document: those of a list, or the one it is.
fn items(mut document: Value) -> Vec<Value> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let kind = text(&document, "kind").and_then(|kind| kind.strip_suffix("List").map(str::to_owned));
    let (Some(kind), Some(Value::Array(items))) = (kind, document.get_mut("items").map(Value::take)) else {
        return vec![document];
    };
    let api_version = text(&document, "apiVersion");
    // Items of a DeploymentList are Deployments, and don't say so; those of a plain List do.
    let named = |mut item: Value| {
        if let (Some(fields), false) = (item.as_object_mut(), kind.is_empty()) {
            fields.entry("kind").or_insert_with(|| kind.as_str().into());
            fields.entry("apiVersion").or_insert_with(|| api_version.as_deref().into());
        }
        item
    };
    items.into_iter().map(named).collect()
}

/// What nobody here has any business with is not kept.
fn drop_secrets(id: &ObjectId, value: &mut Value) {
    let secret = Kind::of_id(id).map_or(&[][..], |row| row.secret_paths);
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !secret.contains(&name.as_str()));
    }
}

/// None for kinds nobody will ask for.
fn path_of(id: &ObjectId) -> Option<String> {
    Kind::of_id(id).map(|row| address::object(row, id))
}

/// `/apis/apps/v1/deployments`, or the same of one namespace.
fn is_collection(row: &Kind, path: &str) -> bool {
    let everywhere = address::collection(row, None);
    let root = everywhere.strip_suffix(row.plural).unwrap_or_default();
    let rest = path.strip_prefix(root).unwrap_or_default();
    let of_namespace = rest.strip_prefix("namespaces/").and_then(|rest| rest.split_once('/'));
    path == everywhere || of_namespace.is_some_and(|(namespace, plural)| !namespace.is_empty() && plural == row.plural)
}

/// `key`, `key=value`, and several of these.
fn selects(selector: &str, object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels");
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    selector.split(',').all(|part| match part.split_once('=') {
        Some((key, value)) => label(key) == Some(value),
        None => label(part).is_some(),
    })
}

fn refused(code: StatusCode, reason: &str, message: &str, details: Option<Value>) -> Response<Full<Bytes>> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": message, "details": details.unwrap_or_else(|| json!({})),
    });
    answered(code, &status)
}

fn answered(code: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::call::{self, CallError};

    const TWO: &str = "\
apiVersion: v1
kind: List
items:
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: tool-x, uid: a, resourceVersion: '7', labels: {toolforge.org/tool: x}}}
- {apiVersion: v1, kind: Secret, metadata: {name: s, namespace: tool-x, uid: b, resourceVersion: '8'}, data: {p: aHVudGVyMg==}}
";

    async fn get(saved: &Saved, path: &str) -> Result<Value, CallError> {
        let cluster = saved.cluster("file", &Requests::default());
        call::parse(&call::get(&cluster.client, path, None).await?)
    }

    fn count(list: &Value) -> usize {
        list["items"].as_array().map_or(usize::MAX, Vec::len)
    }

    #[tokio::test]
    async fn a_saved_list_answers_as_a_server_and_secrets_are_not_kept() {
        let saved = Saved::read(TWO.as_bytes()).expect("a list");
        let deployments = "/apis/apps/v1/namespaces/tool-x/deployments";
        let web = get(&saved, &format!("{deployments}/web")).await.expect("the object");
        assert_eq!(web["metadata"]["uid"], "a");
        for (path, expected) in [
            (deployments, 1),
            ("/apis/apps/v1/deployments?limit=500", 1),
            ("/apis/apps/v1/namespaces/tool-y/deployments", 0),
            ("/apis/apps/v1/namespaces/tool-x/deployments?labelSelector=toolforge.org%2Ftool", 1),
            ("/apis/apps/v1/namespaces/tool-x/deployments?labelSelector=toolforge.org%2Ftool%3Dx", 1),
            ("/apis/apps/v1/namespaces/tool-x/deployments?labelSelector=toolforge.org%2Ftool%3Dy", 0),
            ("/api/v1/namespaces/tool-x/secrets", 1),
            ("/api/v1/namespaces", 0),
        ] {
            let list = get(&saved, path).await.expect("a list");
            assert_eq!(count(&list), expected, "{path}");
            assert!(!list.to_string().contains("aHVudGVyMg"), "{list}");
        }
    }

    #[tokio::test]
    async fn what_is_not_in_the_file_is_absent_and_what_is_no_name_proves_nothing() {
        let saved = Saved::read(TWO.as_bytes()).expect("a list");
        let error = get(&saved, "/api/v1/namespaces/tool-x").await.expect_err("absent");
        assert!(error.is_not_found("namespaces", "tool-x"), "{error:?}");
        let error = get(&saved, "/apis/apps/v1/namespaces/tool-x/deployments/bot").await.expect_err("absent");
        assert!(error.is_not_found("deployments", "bot"), "{error:?}");
        let error = get(&saved, "/version").await.expect_err("not served");
        assert!(!error.is_not_found("", "version"), "{error:?}");
    }

    #[tokio::test]
    async fn nothing_can_be_written_to_it() {
        let cluster = Saved::read(TWO.as_bytes()).expect("a list").cluster("file", &Requests::default());
        let path = "/api/v1/namespaces/tool-x/services/web";
        let error = call::apply(&cluster.client, path, "x", &json!({})).await.expect_err("read only");
        assert_eq!(error.code(), Some(405));
    }

    #[test]
    fn documents_lists_and_json_are_read_alike() {
        let one = |n: u8| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{n}"), "namespace": "a", "uid": "u", "resourceVersion": "1"}});
        let bare = json!({"metadata": one(2)["metadata"]});
        let yaml = |value: &Value| serde_yaml::to_string(value).expect("YAML");
        for text in [
            json!({"apiVersion": "v1", "kind": "List", "items": [one(1), one(2)]}).to_string(),
            format!("{}\n{}", one(1), one(2)),
            format!("---\n{}---\n{}", yaml(&one(1)), yaml(&one(2))),
            format!(
                "{}---\n{}",
                yaml(&one(1)),
                yaml(&json!({"apiVersion": "v1", "kind": "ServiceList", "items": [bare]}))
            ),
        ] {
            assert_eq!(Saved::read(text.as_bytes()).map(|saved| saved.objects.len()), Ok(2), "{text}");
        }
    }

    #[test]
    fn what_is_no_saved_cluster_is_told_without_its_content() {
        let rendered = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\n";
        let live = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a, uid: u, resourceVersion: '1'}\n";
        for (text, said) in [
            ("", "it holds no objects"),
            ("---\n---\n", "it holds no objects"),
            ("hunter2: [", "it is neither YAML nor JSON"),
            ("hunter2", "object 1 in it is no Kubernetes object: "),
            (rendered, "service/a/s in it was not read from a cluster: metadata.uid is missing"),
            (&format!("{live}---\n{live}"), "service/a/s is in it twice"),
        ] {
            let error = Saved::read(text.as_bytes()).expect_err(text).to_string();
            assert!(error.starts_with(said) && !error.contains("hunter2"), "{text}: {error}");
        }
        assert_eq!(Saved::read(&[0xff]).err(), Some(NotSaved::NotText));
    }
}
