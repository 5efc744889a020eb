//! `secrets` of a platform: to whom tools encrypt their values, and where the platform keeps what opens them.

use crate::decode::{open, text, texts};
use crate::diagnostic::{Code, Findings};
use crate::names::is_dns_label;
use crate::secrets::{is_recipient, limits};
use crate::yaml::Entry;
use serde::{Deserialize, Serialize};

/// How a platform's tools encrypt values for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Public keys of the platform, `age1...`: values are encrypted to all of them. Several while one takes over from
    /// another.
    pub recipients: Vec<String>,
    /// Name of the Secret in the platform's namespace that holds the identities; none where another program opens them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
}

/// Reads it.
pub(super) fn secrets(entry: &Entry, findings: &mut Findings) -> Option<Secrets> {
    let section = open(entry, "`secrets`", &["recipients", "keys"], findings)?;
    let written = section.required("recipients", findings)?;
    let mut recipients = Vec::new();
    for (written, node) in texts(written, limits::RECIPIENTS, findings) {
        if is_recipient(written) {
            recipients.push(written.to_owned());
        } else {
            findings
                .add(Code::BadCiphertext, node.place, "this is no X25519 recipient of age")
                .with_hint("Write a public key, `age1` and 58 more letters and digits: `toolforge secrets keygen`.");
        }
    }
    let keys = match section.get("keys") {
        Some(entry) => Some(name(entry, findings)?),
        None => None,
    };
    Some(Secrets { recipients, keys })
}

fn name(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let name = text(entry, findings)?;
    if is_dns_label(name, 63) {
        return Some(name.to_owned());
    }
    findings
        .add(Code::BadName, entry.value.place, "`keys` is no name of a Secret")
        .with_hint("Name a Secret in the platform's namespace, such as `toolforge-keys`.");
    None
}
