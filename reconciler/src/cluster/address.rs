//! Paths of collections and objects, from the kinds table.

use planner::kinds::{Kind, Scope};
use renderer::ObjectId;
use url::form_urlencoded;

/// Path of all objects of a kind: of one namespace, or of the whole cluster.
#[must_use]
pub fn collection(row: &Kind, namespace: Option<&str>) -> String {
    let root = if row.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", row.group) };
    match namespace {
        Some(namespace) if row.scope != Scope::Cluster => {
            format!("{root}/{}/namespaces/{}/{}", row.version, segment(namespace), row.plural)
        }
        _ => format!("{root}/{}/{}", row.version, row.plural),
    }
}

/// Path of one object.
#[must_use]
pub fn object(row: &Kind, id: &ObjectId) -> String {
    child(&collection(row, id.namespace.as_deref()), &id.name)
}

/// One name below a path.
#[must_use]
pub fn child(path: &str, name: &str) -> String {
    format!("{path}/{}", segment(name))
}

/// `path?key=value&…`, encoded.
#[must_use]
pub fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return path.to_owned();
    }
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{path}?{encoded}")
}

/// A name can never become another path.
fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> String {
        let row = Kind::of(group, kind).expect("a row");
        let namespace = namespace.map(str::to_owned);
        object(row, &ObjectId { group: group.into(), kind: kind.into(), namespace, name: name.into() })
    }

    #[test]
    fn paths_are_those_of_the_api_server() {
        assert_eq!(path("", "Service", Some("tool-a"), "web"), "/api/v1/namespaces/tool-a/services/web");
        assert_eq!(path("apps", "Deployment", Some("a"), "b"), "/apis/apps/v1/namespaces/a/deployments/b");
        assert_eq!(path("", "Namespace", None, "tool-a"), "/api/v1/namespaces/tool-a");
        assert_eq!(path("toolforge.org", "Tool", None, "a"), "/apis/toolforge.org/v1alpha1/tools/a");
        assert_eq!(path("", "Service", Some("a"), "b/../../c?d"), "/api/v1/namespaces/a/services/b%2F..%2F..%2Fc%3Fd");
    }
}
