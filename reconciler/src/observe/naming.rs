//! Who names an image? Read whole and unselected, because an image that is deleted has to be missed by nobody: also not
//! by what is not ours.

use super::raw;
use super::reading::{self, Selection};
use crate::cluster::call::{self, CallError};
use kube::Client;
use planner::kinds::{KINDS, Kind};
use planner::observed::{MARK, label};
use planner::stored::{StoredRevision, Unreadable};
use renderer::ToolName;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Kinds whose objects name images. What else runs pods is seen by its pods.
const NAMING: [&str; 4] = ["Pod", "Deployment", "Job", "CronJob"];

/// The stored revisions of one tool, newest first, or why one of them can't be read.
pub type Stored = Result<Vec<StoredRevision>, Unreadable>;

/// The stored revisions of every tool that has some, or of one, by the tool's name.
///
/// # Errors
/// Where they can't be listed.
pub async fn stored(
    client: &Client,
    platform_namespace: &str,
    tool: Option<&ToolName>,
) -> Result<BTreeMap<String, Stored>, CallError> {
    let label_of = tool.map_or(MARK.to_owned(), |tool| format!("{MARK}={tool}"));
    let mut found: BTreeMap<String, Stored> = BTreeMap::new();
    for object in list(client, "ControllerRevision", platform_namespace, Some(label_of)).await? {
        let Some(tool) = label(&object, MARK) else { continue };
        let of_tool = found.entry(tool.to_owned()).or_insert_with(|| Ok(Vec::new()));
        match (StoredRevision::from_value(&object), of_tool) {
            (Ok(revision), Ok(revisions)) => revisions.push(revision),
            (Err(unreadable), of_tool) => *of_tool = Err(unreadable),
            (Ok(_), Err(_)) => {}
        }
    }
    for revisions in found.values_mut().flatten() {
        revisions.sort_by_key(|revision| Reverse(revision.number));
    }
    Ok(found)
}

/// Every object of a tool's namespace that may name an image, whoever made it.
///
/// # Errors
/// Where one of the kinds can't be listed.
pub async fn naming_images(client: &Client, tool: &ToolName) -> Result<Vec<Value>, CallError> {
    let mut found = Vec::new();
    for kind in NAMING {
        found.extend(list(client, kind, &tool.namespace(), None).await?);
    }
    Ok(found)
}

async fn list(client: &Client, kind: &str, namespace: &str, label: Option<String>) -> Result<Vec<Value>, CallError> {
    let rows: Vec<&'static Kind> = KINDS.iter().filter(|row| row.kind == kind).collect();
    let mut found = Vec::new();
    for row in rows {
        let selection = Selection { row, namespace: Some(namespace.to_owned()), label: label.clone() };
        for object in reading::list(client, &selection, None, |object| object).await?.objects {
            let whole = raw::whole(row, &object.json.bytes());
            found.push(whole.map_err(|error| CallError::Garbage(call::place(&error)))?);
        }
    }
    Ok(found)
}
