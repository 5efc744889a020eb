//! The audit log of the API server as rows: who asked what since when.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// A place in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

/// One request: a row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked; empty when the server does not know.
    pub user: String,
    /// As whom, when by impersonation.
    pub impersonated: Option<String>,
    /// The client's User-Agent; empty when it sent none.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// `deployments`, or `deployments/status`; empty for discovery, OpenAPI and health.
    pub resource: String,
    /// Empty for cluster-scoped objects and for lists over all namespaces.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status; 0 when none was sent.
    pub status: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    #[serde(default)]
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

pub(super) fn mark(log: &Path) -> anyhow::Result<Mark> {
    let length = std::fs::metadata(log).with_context(|| format!("read {}", log.display()))?.len();
    Ok(Mark(length))
}

pub(super) fn since(log: &Path, Mark(offset): Mark) -> anyhow::Result<Vec<Request>> {
    let mut file = File::open(log).with_context(|| format!("read {}", log.display()))?;
    // From the byte before: a mark may have been taken within a line that was being written. That one began earlier.
    file.seek(SeekFrom::Start(offset.saturating_sub(1)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let begin = if offset == 0 { Some(0) } else { bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1) };
    // A last line without its end is still being written.
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let whole = begin.and_then(|begin| bytes.get(begin..end)).unwrap_or_default();
    let lines = std::str::from_utf8(whole).context("read the audit log")?.lines();
    let events = lines.map(serde_json::from_str::<Event>).collect::<Result<Vec<_>, _>>();
    Ok(events.context("parse the audit log")?.into_iter().filter(Event::counts).map(Request::from).collect())
}

impl Event {
    /// A watch counts when it begins, everything else when it is over, so that each request is one row. What failed to
    /// say who it is has only a beginning.
    fn counts(&self) -> bool {
        let begins = self.verb == "watch" || self.response_status.code == 401;
        match self.stage.as_str() {
            "ResponseStarted" => begins,
            "ResponseComplete" | "Panic" => !begins,
            _ => false,
        }
    }
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        let ObjectRef { mut resource, subresource, namespace, name } = event.object_ref;
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        Self {
            user: event.user.username,
            impersonated: event.impersonated_user.map(|user| user.username),
            user_agent: event.user_agent,
            verb: event.verb,
            resource,
            namespace,
            name,
            uri: event.request_uri,
            status: event.response_status.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_mark_within_a_line_means_the_next_line() {
        let line =
            |name: &str| format!(r#"{{"stage": "ResponseComplete", "verb": "get", "requestURI": "/{name}"}}"#) + "\n";
        let mut log = tempfile::NamedTempFile::new().expect("a file");
        let all = |log: &Path, at: u64| {
            let found = since(log, Mark(at)).expect("the log");
            found.into_iter().map(|request| request.uri).collect::<Vec<_>>()
        };
        assert!(all(log.path(), 0).is_empty());
        write!(log, "{}{}", line("a"), line("b")).expect("written");
        let end_of_a = line("a").len() as u64;
        assert_eq!(all(log.path(), 0), ["/a", "/b"]);
        assert_eq!(all(log.path(), 5), ["/b"]);
        assert_eq!(all(log.path(), end_of_a), ["/b"]);
        assert!(all(log.path(), end_of_a + 1).is_empty());
        write!(log, "{}{{\"stage\": ", line("c")).expect("written");
        assert_eq!(all(log.path(), end_of_a + 1), ["/c"], "the last line is still being written");
    }
}
