//! A contract as a file. JSON, so that people and programs can read it, and refused where a single byte of it was
//! changed: it begins with fixed words and the sha256 of all that follows.
//!
//! The sha256 finds accidents and careless hands. It is no signature: who can write the file can write the sha256 too,
//! and gains nothing by it, because a contract is only ever compared with a plan that is made anew.

use super::{Contract, sha256_bytes};

/// What every file begins with, up to the hash.
const HEAD: &str =
    concat!("{\n", "  \"apiVersion\": \"toolforge.org/v1alpha1\",\n", "  \"kind\": \"Plan\",\n", "  \"sha256\": \"");
/// What comes after the hash, before the contract.
const NECK: &str = "\",\n  \"contract\": ";
const TAIL: &str = "\n}\n";
/// Hexadecimal digits of a sha256.
const DIGITS: usize = 64;
const API_VERSION: &str = "toolforge.org/v1alpha1";

/// Why bytes are no contract. Nothing of them is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPlan {
    /// Something else.
    #[error("it is no plan that `toolforge diff --out` wrote")]
    Foreign,
    /// Ours, of another time.
    #[error("it has the format {found}, and this version reads {API_VERSION}")]
    OtherFormat {
        /// Its `apiVersion`.
        found: String,
    },
    /// Ours once.
    #[error("it was changed or cut off after it was written")]
    Altered,
    /// Whole, and with words this version does not know.
    #[error("it is whole, but {made_by} wrote it, and this version does not understand it")]
    Unknown {
        /// Program and version, as far as it says.
        made_by: String,
    },
}

impl NotAPlan {
    /// What helps.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherFormat { .. } | Self::Unknown { .. } => {
                "Use the version of toolforge that wrote it, or make the plan again with this one."
            }
            Self::Foreign | Self::Altered => "Make a plan with `toolforge diff --out plan.json`.",
        }
    }
}

impl Contract {
    /// The whole file.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A contract has text keys only, so serialising it does not fail.
        let contract = serde_json::to_string_pretty(self).unwrap_or_default().replace('\n', "\n  ");
        let rest = format!("{NECK}{contract}{TAIL}");
        format!("{HEAD}{}{rest}", sha256_bytes(rest.as_bytes()))
    }

    /// Reads a file, of which every byte must be as it was written.
    ///
    /// # Errors
    /// As [`NotAPlan`].
    pub fn read(bytes: &[u8]) -> Result<Self, NotAPlan> {
        let whole = || {
            let (hash, rest) = bytes.strip_prefix(HEAD.as_bytes())?.split_at_checked(DIGITS)?;
            (hash == sha256_bytes(rest).as_bytes()).then_some(rest)
        };
        let Some(rest) = whole() else { return Err(what_it_is(bytes)) };
        let contract = rest.strip_prefix(NECK.as_bytes()).and_then(|rest| rest.strip_suffix(TAIL.as_bytes()));
        let contract = contract.ok_or(NotAPlan::Altered)?;
        serde_json::from_slice(contract).map_err(|_| {
            // Refused it is already; what can't be read here is only not named.
            let value: serde_json::Value = serde_json::from_slice(contract).unwrap_or_default();
            let made_by = value.get("madeBy").and_then(serde_json::Value::as_str).unwrap_or("another program");
            NotAPlan::Unknown { made_by: word(made_by) }
        })
    }
}

/// What bytes are that are not as we write them.
fn what_it_is(bytes: &[u8]) -> NotAPlan {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        let ours = bytes.starts_with(HEAD.as_bytes()) || (!bytes.is_empty() && HEAD.as_bytes().starts_with(bytes));
        return if ours { NotAPlan::Altered } else { NotAPlan::Foreign };
    };
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    match (text("kind"), text("apiVersion")) {
        ("Plan", API_VERSION) => NotAPlan::Altered,
        ("Plan", other) if other.starts_with("toolforge.org/") => NotAPlan::OtherFormat { found: word(other) },
        _ => NotAPlan::Foreign,
    }
}

/// A stranger's word, fit for one line of a terminal.
fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
