//! The values that a log must not show: those of the Secrets in the tool's namespace, as far as whoever asks may read them.
//! Who may not can't be protected from a program that prints them to somebody who may read what it prints.

use crate::cli::connect::Connected;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler::cluster::call;
use reconciler::secrets::Mask;
use renderer::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    items: Vec<Held>,
}

#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

/// What hides them.
pub(super) async fn mask(connected: &Connected, tool: &str) -> Mask {
    let path = format!("/api/v1/namespaces/tool-{tool}/secrets");
    let listed = match call::get(&connected.cluster.client, &path, None).await {
        Ok(bytes) => call::parse::<Listed>(&bytes),
        Err(error) => Err(error),
    };
    let listed = listed.unwrap_or_else(|error| {
        tracing::info!(tool, %error, "secrets can't be read, so their values are not hidden in logs");
        Listed { items: Vec::new() }
    });
    let texts = listed.items.into_iter().filter_map(|held| held.data).flat_map(BTreeMap::into_values).map(Secret::new);
    let values: Vec<Secret> = texts.filter_map(|base64| Some(Secret::new(decoded(&base64)?))).collect();
    Mask::new(&values)
}

fn decoded(base64: &Secret) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64.reveal()).ok()?).ok()
}
