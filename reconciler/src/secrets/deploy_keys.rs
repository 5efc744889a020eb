//! Keys for private repositories, each in a Secret of its own in the platform's namespace: one for a tool's repository, or
//! one of the platform for all repositories of a host. Operators make them (`toolforge deploy-key`); we read one where a
//! repository has to be asked with it, and again where a host refused it.

use super::keys::{KeysError, Stored};
use crate::cluster::call::{self, CallError};
use crate::source::{KeyLookup, SshKeys};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use kube::Client;
use renderer::ToolName;
use renderer::request::{DEPLOY_KEY, deploy_key_secret, host_key_secret};
use serde_json::json;
use std::sync::Arc;

/// Looks up a tool's own key, and where there is none that of the platform for the host.
#[must_use]
pub fn lookup(client: &Client, namespace: &str) -> KeyLookup {
    let (client, namespace) = (client.clone(), namespace.to_owned());
    Arc::new(move |tool: ToolName, host: String| {
        let (client, namespace) = (client.clone(), namespace.clone());
        async move { find(&client, &namespace, &tool, &host).await }.boxed()
    })
}

async fn find(client: &Client, namespace: &str, tool: &ToolName, host: &str) -> Result<SshKeys, String> {
    let own = read(client, namespace, &deploy_key_secret(tool)).await?;
    let found = match (own, host_key_secret(host)) {
        (None, Some(secret)) => read(client, namespace, &secret).await?,
        (own, _) => own,
    };
    found.ok_or_else(|| format!("secret {namespace}/{} does not exist", deploy_key_secret(tool)))
}

/// The keys in a Secret; none where it does not exist.
///
/// # Errors
/// Why it is not known, as a fragment. The content is never repeated.
pub async fn read(client: &Client, namespace: &str, secret: &str) -> Result<Option<SshKeys>, String> {
    let stored = match Stored::read(client, namespace, secret).await {
        Ok(stored) => stored,
        Err(KeysError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let text = stored.text(DEPLOY_KEY).map_err(|error| error.to_string())?;
    let keys = SshKeys::read(&text).map_err(|error| format!("secret {} can't be used: {error}", stored.name))?;
    Ok(Some(keys))
}

/// Puts keys into a Secret, which is made where there is none; by whoever asks, with their own rights.
///
/// # Errors
/// Where the server refuses it.
pub async fn write(
    client: &Client,
    namespace: &str,
    secret: &str,
    keys: &SshKeys,
    manager: &str,
) -> Result<(), CallError> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": secret},
        "type": "kubernetes.io/ssh-auth",
        "data": {DEPLOY_KEY: STANDARD.encode(keys.to_secret().reveal())},
    });
    // The answer repeats what was sent.
    call::apply(client, &path, manager, &object).await.map(drop)
}
