//! `toolforge.secrets.yaml`: values that stand in a tool's repository encrypted, one `age` ciphertext each.
//!
//! Nothing here decrypts. This module reads and writes the file's shape ([`SecretsFile`]), says what a ciphertext must
//! look like before anybody spends a key on it ([`Sealed`]), and judges what came out of one ([`Record`]): a ciphertext
//! proves nothing about who made it, for everyone can encrypt to a public key, and everyone can copy a ciphertext from a
//! stranger's repository. So the value inside is a record that says for which platform, tools and key it was made; under
//! any other it is refused.

mod file;
pub mod limits;
mod record;
mod sealed;

pub(crate) use file::is_recipient;
pub use file::{SecretsFile, Standing, parse};
pub use record::{FORMAT, Record, Refusal, Terms};
pub use sealed::{Flaw, Sealed};

use crate::config::{ParseContext, fields};
use crate::platform::Platform;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The file's name, beside `toolforge.yaml`.
pub const FILE: &str = "toolforge.secrets.yaml";

/// What stands for a value where values must not stand: a keyed hash under a key of the platform, in hexadecimal. Two tags
/// of one tool and key are equal where the values are, and nobody without the platform's key can find a value by trying.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Of the bytes of a keyed hash.
    #[must_use]
    pub fn of(mac: &[u8]) -> Self {
        Self(crate::length_prefixed::hex(mac))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text can name a value: it is a variable's name.
#[must_use]
pub fn is_key(text: &str) -> bool {
    crate::config::fields::is_variable(text) && text.len() <= limits::KEY_BYTES
}

/// Whether somebody else sets this variable: the cluster, an image, or the platform where one is known. A value for it would
/// be refused.
#[must_use]
pub fn is_reserved(key: &str, platform: Option<&Platform>) -> bool {
    let of_platform = |platform: &Platform| platform.env.contains_key(key) || platform.credentials.contains_key(key);
    fields::is_reserved(key, &ParseContext::default()) || platform.is_some_and(of_platform)
}

/// What a tool has of the platform's credentials, by variable: a tag, or what is not there, as a fragment. Empty where
/// nobody looked.
pub type Given = BTreeMap<String, Result<Tag, String>>;

/// All that is known of a tool's values.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Of those that stand encrypted in its repository.
    pub opened: Arc<Opened>,
    /// Of those that the platform gives it.
    pub given: Arc<Given>,
    /// By component, the Secret that it runs with: what can't be known here is taken for unchanged. None where nobody has
    /// seen what runs.
    pub live: Option<Arc<BTreeMap<String, LiveSecret>>>,
}

/// A component's Secret as what runs refers to it, without its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveSecret {
    /// The mark it bears.
    pub mark: Option<String>,
    /// The keys of its `data`.
    pub keys: BTreeSet<String>,
}

/// What the platform's keys made of a file's values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Opened {
    /// Nobody tried: a person looks at files on a laptop.
    #[default]
    Unasked,
    /// There are no keys to try, and why, as a fragment.
    NoKeys(String),
    /// Whoever looks may not have the keys, and only looks.
    Elsewhere,
    /// Each value that was well formed, by key.
    Read(BTreeMap<String, Result<Tag, Refusal>>),
}

impl Opened {
    /// Whether the values are taken for unchanged.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        *self == Self::Elsewhere
    }
}
