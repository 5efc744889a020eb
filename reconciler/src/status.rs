//! The Tool's status in the cluster: written whole, and only when it says something new.
//!
//! It is *replaced* by one JSON patch instead of applied: an apply leaves what others added, would differ from ours for
//! ever, and be sent in every pass. What it says is decided in `planner::conditions`.

use crate::cluster::address;
use crate::cluster::call::{self, Answer, CallError};
use kube::Client;
use planner::kinds::Kind;
use renderer::ToolName;
use renderer::diagnostic::fit_to_print;
use serde_json::{Value, json};

/// Under which name the status is written.
pub const FIELD_MANAGER: &str = "toolforge-status";

/// Writes the status unless `live` says the same already. Returns the server's answer if something was sent; the watched
/// world may learn from it.
///
/// # Errors
/// As [`CallError`]; 404 where the Tool is not there.
pub async fn publish(
    client: &Client,
    tool: &ToolName,
    status: &Value,
    live: Option<&Value>,
) -> Result<Option<Answer>, CallError> {
    if live == Some(status) {
        return Ok(None);
    }
    let path = address::query(&format!("{}/status", path(tool)), &[("fieldManager", FIELD_MANAGER)]);
    let operations = json!([{"op": "add", "path": "/status", "value": status}]);
    call::patch(client, &path, call::JSON_PATCH, &operations).await.map(|bytes| Some(Answer::Object(bytes)))
}

/// A status that any reader of it may print: what others said is in it (words of pods, of servers, of repositories), and
/// neither kubectl nor a dashboard need know. To be applied before it is compared with what is there.
#[must_use]
pub fn fit(status: Value) -> Value {
    match status {
        Value::String(text) => Value::String(fit_to_print(&text)),
        Value::Array(items) => items.into_iter().map(fit).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, fit(value))).collect(),
        other => other,
    }
}

/// The Tool as it is in the cluster, read now; none where the server says it does not exist.
///
/// # Errors
/// As [`CallError`].
pub async fn read(client: &Client, tool: &ToolName) -> Result<Option<Value>, CallError> {
    match call::get(client, &path(tool), None).await {
        Ok(bytes) => call::parse(&bytes).map(Some),
        Err(error) if error.is_not_found("tools", tool.as_str()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn path(tool: &ToolName) -> String {
    let id = planner::tool_id(tool);
    Kind::of_id(&id).map(|row| address::object(row, &id)).unwrap_or_default()
}
