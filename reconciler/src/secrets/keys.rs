//! The platform's keys: a Secret in its namespace, which operators make and nobody else reads.

use super::cipher::{BadKey, Identities};
use super::known;
use crate::cluster::call::{self, CallError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use kube::Client;
use renderer::length_prefixed::LengthPrefixed;
use renderer::secrets::Tag;
use renderer::{Platform, Secret};
use serde::Deserialize;
use sha2::Sha256;
use std::collections::BTreeMap;

/// Key of the Secret that holds the identities, as `age-keygen` writes them: one a line, any number.
pub const IDENTITIES: &str = "identities";
/// Key of the Secret that holds the text that tags are made with.
pub const HMAC: &str = "hmac";
/// Least bytes of it: as many as the hash gives.
const LEAST_HMAC: usize = 32;

/// What opens values and marks them.
#[derive(Clone)]
pub struct Keys {
    identities: Identities,
    hmac: Secret,
}

/// There are no keys at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoKeys {
    /// Why, as a fragment.
    pub why: String,
    /// Whoever asked may not read them.
    pub denied: bool,
}

impl NoKeys {
    /// For a reason that has nothing to do with rights.
    #[must_use]
    pub fn because(why: &str) -> Self {
        Self { why: why.to_owned(), denied: false }
    }
}

/// Why the platform's keys are not at hand. Contents are never repeated.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The Secret could not be read.
    #[error("secret {name} can't be read: {why}")]
    Unread {
        /// Namespace and name.
        name: String,
        /// The server's words about it.
        why: String,
        /// Whoever asked may not read it.
        denied: bool,
    },
    /// It is not there.
    #[error("secret {0} does not exist")]
    Missing(String),
    /// A key of it is missing or no text.
    #[error("secret {name} has no `{key}` that is text")]
    NoKey {
        /// Namespace and name.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// The text tags are made with could be guessed.
    #[error("`{HMAC}` of secret {0} has fewer than {LEAST_HMAC} bytes")]
    Short(String),
    /// No identities.
    #[error("`{IDENTITIES}` of secret {name} can't be used")]
    Bad {
        /// Namespace and name.
        name: String,
        /// What is wrong with it.
        source: BadKey,
    },
}

#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// A Secret of the platform's namespace, as it was read.
pub(super) struct Stored {
    /// Namespace and name.
    pub name: String,
    base64: BTreeMap<String, Secret>,
}

impl Stored {
    pub(super) async fn read(client: &Client, namespace: &str, secret: &str) -> Result<Self, KeysError> {
        let name = format!("{namespace}/{secret}");
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
        let bytes = match call::get(client, &path, None).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found("secrets", secret) => return Err(KeysError::Missing(name)),
            Err(CallError::Refused(refusal)) => {
                let denied = matches!(refusal.code, 401 | 403);
                return Err(KeysError::Unread { name, why: format!("{} {}", refusal.code, refusal.reason), denied });
            }
            Err(error) => return Err(KeysError::Unread { name, why: error.to_string(), denied: false }),
        };
        let garbage =
            |_| KeysError::Unread { name: name.clone(), why: "the answer is no Secret".to_owned(), denied: false };
        let held: Held = serde_json::from_slice(&bytes).map_err(garbage)?;
        let base64 = held.data.into_iter().map(|(key, base64)| (key, Secret::new(base64))).collect();
        Ok(Self { name, base64 })
    }

    /// The text under a key that need not be there.
    pub(super) fn optional_text(&self, key: &'static str) -> Result<Option<Secret>, KeysError> {
        self.base64.contains_key(key).then(|| self.text(key)).transpose()
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Secret, KeysError> {
        let found = self.base64.get(key).and_then(known::text);
        found.ok_or_else(|| KeysError::NoKey { name: self.name.clone(), key })
    }
}

impl Keys {
    /// Keys from their parts.
    #[must_use]
    pub fn new(identities: Identities, hmac: Secret) -> Self {
        Self { identities, hmac }
    }

    /// Reads them from the Secret that the platform file names.
    ///
    /// # Errors
    /// Where it is not there, can't be read, or holds something else.
    pub async fn from_cluster(client: &Client, namespace: &str, secret: &str) -> Result<Self, KeysError> {
        let held = Stored::read(client, namespace, secret).await?;
        let (identities, hmac) = (held.text(IDENTITIES)?, held.text(HMAC)?);
        let name = held.name;
        if hmac.len() < LEAST_HMAC {
            return Err(KeysError::Short(name));
        }
        let identities =
            Identities::read(identities.reveal()).map_err(|source| KeysError::Bad { name: name.clone(), source })?;
        Ok(Self { identities, hmac })
    }

    /// Those of a platform, or why there are none, as a fragment.
    pub(super) async fn of_platform(client: &Client, platform: &Platform) -> Result<Self, NoKeys> {
        let Some(secret) = platform.secrets.as_ref().and_then(|secrets| secrets.keys.as_ref()) else {
            return Err(NoKeys::because("platform.yaml names no `secrets.keys`"));
        };
        Self::from_cluster(client, &platform.namespace, secret).await.map_err(|error| {
            let below = std::error::Error::source(&error).map(|below| format!(": {below}"));
            let denied = matches!(&error, KeysError::Unread { denied: true, .. });
            NoKeys { why: format!("{error}{}", below.unwrap_or_default()), denied }
        })
    }

    /// Whether both open and mark the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.hmac == other.hmac && self.identities.public() == other.identities.public()
    }

    pub(super) fn identities(&self) -> &Identities {
        &self.identities
    }

    /// The tag of a tool's value. It names the tool, so that two tools with one password are not seen to have it.
    pub(super) fn tag(&self, tool: &str, key: &str, value: &Secret) -> Tag {
        let mut named = LengthPrefixed::new("toolforge value 1");
        named.text(tool).text(key);
        let mac = Hmac::<Sha256>::new_from_slice(self.hmac.reveal().as_bytes()).expect("a key of any length is taken");
        let mac = mac.chain_update(named.into_text()).chain_update(value.reveal()).finalize();
        Tag::of(&mac.into_bytes()[..16])
    }
}
