//! What hides values in a log: those of the Secrets in the tool's namespace, as far as whoever asks may read them. Who may
//! not can't be protected from a program that prints them to somebody who may read what it prints.

use crate::ui::failed;
use kube::Client;
use reconciler::secrets::{Mask, values_in_namespace};
use renderer::ToolName;

/// What hides them.
///
/// # Errors
/// Where they may be read, and can't be for now: nothing is shown with them in it.
pub async fn mask(client: &Client, tool: &str) -> anyhow::Result<Mask> {
    let Ok(tool) = ToolName::new(tool) else { return Ok(Mask::new([])?) };
    let values = match values_in_namespace(client, &tool).await {
        Err(error) if matches!(error.code(), Some(401 | 403)) => {
            tracing::info!(%tool, %error, "secrets may not be read, so their values are not hidden");
            Vec::new()
        }
        values => values.map_err(|error| unread().because(error))?,
    };
    Ok(Mask::new(&values).map_err(|error| unread().because(error))?)
}

fn unread() -> crate::ui::Failure {
    failed("the tool's secrets can't be hidden in its logs").hint("Try again; `kubectl logs` shows logs as they are.")
}
