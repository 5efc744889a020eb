//! The values that stand in the Secrets of a tool's namespace, for what has to know them to hide them.

use crate::cluster::call::{self, CallError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use renderer::{Secret, ToolName};
use serde::Deserialize;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Secrets of one tool that are read; who has more has something else.
const MOST: usize = 200;

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    metadata: Page,
    #[serde(default)]
    items: Vec<Held>,
}

#[derive(Default, Deserialize)]
struct Page {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

/// Each value that is text.
///
/// # Errors
/// As [`CallError`]; nothing of an answer is repeated in it. Also where there are more than 200.
pub async fn values_in_namespace(client: &Client, tool: &ToolName) -> Result<Vec<Secret>, CallError> {
    let path = format!("/api/v1/namespaces/{}/secrets?limit={MOST}", tool.namespace());
    let listed: Listed = call::parse(&call::get(client, &path, None).await?)?;
    if !listed.metadata.next.is_empty() {
        return Err(CallError::Garbage(format!("the namespace has more than {MOST} Secrets")));
    }
    let texts = listed.items.into_iter().filter_map(|held| held.data).flat_map(BTreeMap::into_values).map(Secret::new);
    Ok(texts.filter_map(|base64| text(&base64)).collect())
}

/// What a value of a Secret is in the clear; none where it is no text.
pub(super) fn text(base64: &Secret) -> Option<Secret> {
    let bytes = Zeroizing::new(STANDARD.decode(base64.reveal()).ok()?);
    Some(Secret::new(std::str::from_utf8(&bytes).ok()?))
}
