//! What hides values in a log: those of the Secrets in the tool's namespace, as far as whoever asks may read them. Who may
//! not can't be protected from a program that prints them to somebody who may read what it prints.

use kube::Client;
use reconciler::secrets::{Mask, values_in_namespace};
use renderer::ToolName;

/// What hides them.
pub async fn mask(client: &Client, tool: &str) -> Mask {
    let Ok(tool) = ToolName::new(tool) else { return Mask::new([]) };
    let values = values_in_namespace(client, &tool).await.unwrap_or_else(|error| {
        tracing::info!(%tool, %error, "secrets can't be read, so their values are not hidden");
        Vec::new()
    });
    Mask::new(&values)
}
