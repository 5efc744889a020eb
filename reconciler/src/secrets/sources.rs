//! The platform's credentials for each tool: Secrets in the platform's namespace, one a tool and source. They are read when
//! their version is a new one, for the tags of their values, and once more when the Secret that carries them is sent; in
//! between, nobody has them.

use super::known;
use crate::cluster::call::{self, CallError};
use kube::Client;
use renderer::platform::SecretKey;
use renderer::{Platform, Secret, ToolName};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Which variables come from where.
#[derive(Default)]
pub(super) struct Sources {
    namespace: String,
    pub(super) credentials: BTreeMap<String, SecretKey>,
}

/// One Secret, as it was read.
pub(super) struct Source {
    pub(super) version: String,
    data: BTreeMap<String, Secret>,
}

#[derive(Deserialize)]
struct Held {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

impl Sources {
    pub(super) fn of(platform: &Platform) -> Self {
        Self { namespace: platform.namespace.clone(), credentials: platform.credentials.clone() }
    }

    /// The Secrets of a tool.
    pub(super) fn names(&self, tool: &ToolName) -> BTreeSet<String> {
        self.credentials.values().map(|at| at.secret_of(tool)).collect()
    }

    /// The variables of a tool that come from one of them.
    pub(super) fn variables<'a>(&'a self, tool: &ToolName, name: &str) -> Vec<(&'a str, &'a str)> {
        let of_it = self.credentials.iter().filter(|(_, at)| at.secret_of(tool) == name);
        of_it.map(|(variable, at)| (variable.as_str(), at.key.as_str())).collect()
    }

    /// What stands in one; none where the server says that it does not exist.
    pub(super) async fn read(&self, client: &Client, name: &str) -> Result<Option<Source>, CallError> {
        let path = format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace);
        let held: Held = match call::get(client, &path, None).await {
            Ok(bytes) => call::parse(&bytes)?,
            Err(error) if error.is_not_found("secrets", name) => return Ok(None),
            Err(error) => return Err(error),
        };
        let data = held.data.into_iter().map(|(key, base64)| (key, Secret::new(base64))).collect();
        Ok(Some(Source { version: held.metadata.resource_version, data }))
    }

    /// As people find it.
    pub(super) fn told(&self, name: &str) -> String {
        format!("secret {}/{name}", self.namespace)
    }
}

impl Source {
    /// The text under a key.
    pub(super) fn text(&self, key: &str) -> Option<Secret> {
        self.data.get(key).and_then(known::text)
    }
}
