//! Keys for private repositories, each in a Secret of its own in the platform's namespace: one for a tool's repository, or
//! one of the platform for all repositories of a host. Operators make them (`toolforge deploy-key`); we read one where a
//! repository has to be asked with it, and again where a host refused it. Where Secrets are watched, none is read that is
//! not there, and none twice in one version.

use super::keys::{KeysError, Stored};
use crate::cluster::call::{self, CallError};
use crate::observe::{SecretTold, Told};
use crate::source::{KeyLookup, SshKeys};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use kube::Client;
use renderer::ToolName;
use renderer::request::{DEPLOY_KEY, DEPLOY_KEY_HOST, deploy_key_secret, host_key_secret};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// What stands in one of the Secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The keys.
    pub keys: SshKeys,
    /// The one host that they were made for; none where nobody wrote it down: then whatever host the tool's file names.
    pub host: Option<String>,
}

impl Made {
    /// Whether they may be shown to this host.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        self.host.as_deref().is_none_or(|made_for| made_for == host)
    }
}

/// Looks up a tool's own key, and where there is none that of the platform for the host.
#[must_use]
pub fn lookup(client: &Client, namespace: &str) -> KeyLookup {
    watched_lookup(client, namespace, Arc::new(|_| Told::Unknown))
}

/// The same as [`lookup`], for as long as Secrets are watched.
#[must_use]
pub fn watched_lookup(client: &Client, namespace: &str, told: SecretTold) -> KeyLookup {
    let (client, namespace) = (client.clone(), namespace.to_owned());
    let secrets = Arc::new(Secrets { client, namespace, told, known: Mutex::default() });
    Arc::new(move |tool: ToolName, host: String| {
        let secrets = Arc::clone(&secrets);
        async move { secrets.find(&tool, &host).await }.boxed()
    })
}

/// The Secrets of one namespace.
struct Secrets {
    client: Client,
    namespace: String,
    told: SecretTold,
    /// What stands in each, in the version in which it was read.
    known: Mutex<HashMap<String, (u64, Content)>>,
}

/// Keys, or why it holds none.
type Content = Result<Made, String>;

impl Secrets {
    async fn find(&self, tool: &ToolName, host: &str) -> Result<SshKeys, String> {
        let own = deploy_key_secret(tool);
        let made = self.made(&own).await?;
        let none = || match made.as_ref().and_then(|made| made.host.as_deref()) {
            Some(elsewhere) => format!("secret {}/{own} holds one for {elsewhere} alone", self.namespace),
            None => format!("secret {}/{own} does not exist", self.namespace),
        };
        let found = match (made.as_ref().filter(|made| made.is_for(host)), host_key_secret(host)) {
            (Some(made), _) => Some(made.clone()),
            (None, Some(secret)) => self.made(&secret).await?,
            (None, None) => None,
        };
        found.map(|made| made.keys).ok_or_else(none)
    }

    async fn made(&self, secret: &str) -> Result<Option<Made>, String> {
        let version = match (self.told)(secret) {
            Told::Unknown => None,
            Told::At(version) => Some(version),
            Told::Absent => {
                self.known(|known| known.remove(secret));
                return Ok(None);
            }
        };
        let known = self.known(|known| known.get(secret).cloned()).filter(|(at, _)| Some(*at) == version);
        if let Some((_, content)) = known {
            return content.map(Some);
        }
        let Some(stored) = stored(&self.client, &self.namespace, secret).await? else { return Ok(None) };
        let content = content(&stored);
        if let Some(version) = version {
            // It may be a newer one already: then it is read once more when the watch says so.
            self.known(|known| known.insert(secret.to_owned(), (version, content.clone())));
        }
        content.map(Some)
    }

    fn known<T>(&self, look: impl FnOnce(&mut HashMap<String, (u64, Content)>) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The keys in a Secret; none where it does not exist.
///
/// # Errors
/// Why it is not known, as a fragment. The content is never repeated.
pub async fn read(client: &Client, namespace: &str, secret: &str) -> Result<Option<Made>, String> {
    stored(client, namespace, secret).await?.as_ref().map(content).transpose()
}

async fn stored(client: &Client, namespace: &str, secret: &str) -> Result<Option<Stored>, String> {
    match Stored::read(client, namespace, secret).await {
        Ok(stored) => Ok(Some(stored)),
        Err(KeysError::Missing(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn content(stored: &Stored) -> Content {
    let parts = || Ok((stored.text(DEPLOY_KEY)?, stored.optional_text(DEPLOY_KEY_HOST)?));
    let (text, host) = parts().map_err(|error: KeysError| error.to_string())?;
    let keys = SshKeys::read(&text).map_err(|error| format!("secret {} can't be used: {error}", stored.name))?;
    Ok(Made { keys, host: host.map(|host| host.reveal().trim().to_owned()) })
}

/// Puts keys into a Secret, which is made where there is none; by whoever asks, with their own rights.
///
/// # Errors
/// Where the server refuses it.
pub async fn write(
    client: &Client,
    namespace: &str,
    secret: &str,
    made: &Made,
    manager: &str,
) -> Result<(), CallError> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
    let mut data = BTreeMap::from([(DEPLOY_KEY, STANDARD.encode(made.keys.to_secret().reveal()))]);
    data.extend(made.host.as_ref().map(|host| (DEPLOY_KEY_HOST, STANDARD.encode(host))));
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": secret},
        "type": "kubernetes.io/ssh-auth",
        "data": data,
    });
    // The answer repeats what was sent.
    call::apply(client, &path, manager, &object).await.map(drop)
}
