//! A path and a query, read once: which resource, which object, which subresource, and what the client asks for.

use crate::resource::Resource;
use crate::select::{FieldSelector, LabelSelector};
use crate::status::ApiError;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/version`.
    Version,
    /// `/healthz` and its kin.
    Health,
    /// `/api`: versions of the core group, or aggregated discovery.
    CoreVersions,
    /// `/apis`: the other groups, or aggregated discovery.
    Groups,
    /// `/apis/{group}`.
    Group(String),
    /// `/api/v1` or `/apis/{group}/{version}`: the resources of a group version.
    Resources(String, String),
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/…` of a group version.
    OpenApi(String, String),
    /// A resource.
    Target(Target),
}

/// A resource, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its row.
    pub resource: &'static Resource,
    /// The namespace in the path.
    pub namespace: Option<String>,
    /// The object's name; none for the collection.
    pub name: Option<String>,
    /// The subresource.
    pub part: Part,
}

/// The part of an object a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The object itself.
    Whole,
    /// `/status`.
    Status,
    /// `/scale`.
    Scale,
    /// `/finalize` of a namespace.
    Finalize,
    /// `/log` of a pod.
    Log,
}

/// Reads a path; none where it names nothing served here.
#[must_use]
pub fn parse(path: &str) -> Option<Route> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Some(Route::Version),
        ["healthz" | "livez" | "readyz", ..] => Some(Route::Health),
        ["api"] => Some(Route::CoreVersions),
        ["apis"] => Some(Route::Groups),
        ["apis", group] => Some(Route::Group((*group).to_owned())),
        ["api", version] => Some(Route::Resources(String::new(), (*version).to_owned())),
        ["apis", group, version] => Some(Route::Resources((*group).to_owned(), (*version).to_owned())),
        ["openapi", "v3"] => Some(Route::OpenApiIndex),
        ["openapi", "v3", "api", version] => Some(Route::OpenApi(String::new(), (*version).to_owned())),
        ["openapi", "v3", "apis", group, version] => Some(Route::OpenApi((*group).to_owned(), (*version).to_owned())),
        ["api", version, rest @ ..] => target("", version, rest).map(Route::Target),
        ["apis", group, version, rest @ ..] => target(group, version, rest).map(Route::Target),
        _ => None,
    }
}

/// A path below a group version that is served, where every 404 is a `Status`.
#[must_use]
pub fn is_inside_served_group(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version) = match parts.as_slice() {
        ["api", version, _, ..] => ("", *version),
        ["apis", group, version, _, ..] => (*group, *version),
        _ => return false,
    };
    crate::resource::RESOURCES.iter().any(|row| row.group == group && row.version == version)
}

fn target(group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let (namespace, rest) = match rest {
        // The Namespace object itself and its own subresources are no collection inside a namespace.
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        _ => (None, rest),
    };
    let (plural, name, part) = match rest {
        [plural] => (*plural, None, Part::Whole),
        [plural, name] => (*plural, Some((*name).to_owned()), Part::Whole),
        [plural, name, part] => (*plural, Some((*name).to_owned()), subresource(part)?),
        _ => return None,
    };
    let resource = Resource::by_path(group, version, plural)?;
    let fits = match part {
        Part::Whole => true,
        Part::Status => resource.has_status(),
        Part::Scale => resource.parts == crate::resource::Parts::Scale,
        Part::Finalize => resource.kind == "Namespace",
        Part::Log => resource.kind == "Pod",
    };
    let scoped = resource.namespaced || namespace.is_none();
    let addressed = !resource.namespaced || namespace.is_some() || name.is_none();
    (fits && scoped && addressed).then_some(Target { resource, namespace, name, part })
}

fn subresource(name: &str) -> Option<Part> {
    match name {
        "status" => Some(Part::Status),
        "scale" => Some(Part::Scale),
        "finalize" => Some(Part::Finalize),
        "log" => Some(Part::Log),
        _ => None,
    }
}

/// How strictly unknown and duplicate fields are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped, with a warning in the response: the server's default.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// The query parameters that mean something here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// `watch=true`.
    pub watch: bool,
    /// `resourceVersion`, as given: empty and `0` mean different things.
    pub resource_version: Option<String>,
    /// `resourceVersionMatch`.
    pub version_match: Option<String>,
    /// `sendInitialEvents`.
    pub send_initial_events: Option<bool>,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `timeoutSeconds`.
    pub timeout_secs: Option<u64>,
    /// `limit`; 0 is none.
    pub limit: usize,
    /// `continue`.
    pub continue_token: Option<String>,
    /// `labelSelector`.
    pub labels: LabelSelector,
    /// `fieldSelector`.
    pub fields: FieldSelector,
    /// `dryRun=All`.
    pub dry_run: bool,
    /// Another value of `dryRun`, which is refused once it is known who asks.
    pub bad_dry_run: Option<String>,
    /// `fieldManager`.
    pub manager: Option<String>,
    /// `force=true` of an apply.
    pub force: bool,
    /// `fieldValidation`.
    pub validation: FieldValidation,
    /// `propagationPolicy` of a delete.
    pub propagation: Option<String>,
    /// `gracePeriodSeconds` of a delete.
    pub grace_secs: Option<i64>,
    /// `includeObject` of a table.
    pub include_object: Option<String>,
}

impl Query {
    /// Reads a query string.
    ///
    /// # Errors
    /// 400 where a parameter has a value the server would refuse.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut read = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            read.set(&key, &value)?;
        }
        Ok(read)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ApiError> {
        let text = || Some(value.to_owned());
        match key {
            "watch" => self.watch = flag(value),
            "resourceVersion" => self.resource_version = text().filter(|v| !v.is_empty()),
            "resourceVersionMatch" => self.version_match = text().filter(|v| !v.is_empty()),
            "sendInitialEvents" => self.send_initial_events = Some(flag(value)),
            "allowWatchBookmarks" => self.bookmarks = flag(value),
            "timeoutSeconds" => self.timeout_secs = Some(number(key, value)?),
            "limit" => self.limit = number(key, value)?,
            "continue" => self.continue_token = text().filter(|v| !v.is_empty()),
            "labelSelector" => self.labels = LabelSelector::parse(value)?,
            "fieldSelector" => self.fields = FieldSelector::parse(value)?,
            "dryRun" => {
                self.dry_run = value == "All";
                self.bad_dry_run = text().filter(|value| !matches!(value.as_str(), "" | "All"));
            }
            "fieldManager" => self.manager = text().filter(|v| !v.is_empty()),
            "force" => self.force = flag(value),
            "fieldValidation" => self.validation = field_validation(value)?,
            "propagationPolicy" => self.propagation = text(),
            "gracePeriodSeconds" => self.grace_secs = Some(number(key, value)?),
            "includeObject" => self.include_object = text(),
            // The server ignores what it does not know, too.
            _ => {}
        }
        Ok(())
    }
}

fn flag(value: &str) -> bool {
    matches!(value, "true" | "1" | "")
}

fn number<N: std::str::FromStr>(key: &str, value: &str) -> Result<N, ApiError> {
    let bad = |_| ApiError::bad_request(format!("invalid value for {key}: \"{value}\""));
    value.parse().map_err(bad)
}

fn field_validation(value: &str) -> Result<FieldValidation, ApiError> {
    match value {
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Ignore" => Ok(FieldValidation::Ignore),
        "Strict" => Ok(FieldValidation::Strict),
        other => Err(ApiError::unprocessable(format!(
            "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(path: &str) -> Option<Target> {
        match parse(path) {
            Some(Route::Target(target)) => Some(target),
            _ => None,
        }
    }

    #[test]
    fn a_namespace_is_an_object_and_a_place() {
        let object = target_of("/api/v1/namespaces/a").expect("the object");
        assert_eq!((object.namespace, object.name.as_deref()), (None, Some("a")));
        let status = target_of("/api/v1/namespaces/a/status").expect("its status");
        assert_eq!(status.part, Part::Status);
        let inside = target_of("/api/v1/namespaces/a/pods").expect("a collection inside");
        assert_eq!(inside.namespace.as_deref(), Some("a"));
        assert_eq!(inside.name, None);
    }

    #[test]
    fn what_has_no_row_is_not_found() {
        for path in [
            "/apis/apps/v1/namespaces/a/daemonsets",
            "/apis/apps/v1/deployments/web",
            "/apis/toolforge.org/v1alpha1/namespaces/a/tools",
            "/apis/apps/v1/namespaces/a/controllerrevisions/x/status",
            "/apis/batch/v1/namespaces/a/jobs/x/scale",
            "/api/v1/namespaces/a/pods/x/exec",
            "/metrics",
        ] {
            assert_eq!(target_of(path), None, "{path}");
        }
    }
}
