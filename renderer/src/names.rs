//! Names and ids as types: each prints one way and is checked once, where it enters.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Why a text is not the id or name it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {expected}")]
pub struct BadName {
    /// What was expected, such as `tool name`.
    pub what: &'static str,
    /// The text as given.
    pub text: String,
    /// The rule it breaks, as a fragment.
    pub expected: &'static str,
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text, checked.
            ///
            /// # Errors
            /// Where the text breaks the type's rule.
            pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err(BadName { what: $what, text, expected: $expected })
                }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }
    };
}

text_type!(
    /// A tool: a DNS label of at most 53 characters, so that `tool-<name>` is a namespace (today's rule: < 54).
    ToolName, "tool name", |t| is_dns_label(t, 53), "lower-case letters, digits and '-', at most 53 characters, starting and ending with a letter or digit"
);
text_type!(
    /// A component: a DNS label of at most 52 characters (the limit of a CronJob's name, used for every kind).
    ComponentName, "component name", |t| is_dns_label(t, 52), "lower-case letters, digits and '-', at most 52 characters, starting and ending with a letter or digit"
);
text_type!(
    /// A git commit id: 40 lower-case hexadecimal digits.
    CommitId, "commit", |t| is_hex(t, 40), "40 lower-case hexadecimal digits"
);
text_type!(
    /// A git tree id: 40 lower-case hexadecimal digits.
    TreeId, "tree", |t| is_hex(t, 40), "40 lower-case hexadecimal digits"
);
text_type!(
    /// What a build depends on, hashed (`renderer::build`): 64 lower-case hexadecimal digits, and the image's tag.
    BuildId, "build id", |t| is_hex(t, 64), "64 lower-case hexadecimal digits"
);
text_type!(
    /// An image's content: `sha256:` and 64 lower-case hexadecimal digits.
    Digest, "digest", |t| t.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64)), "sha256: and 64 lower-case hexadecimal digits"
);

impl ToolName {
    /// The tool's namespace, `tool-<name>`.
    #[must_use]
    pub fn namespace(&self) -> String {
        format!("tool-{}", self.0)
    }
}

impl CommitId {
    /// The first seven digits, as people write commits.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl BuildId {
    /// The id that a hash makes.
    #[must_use]
    pub fn of_sha256(hash: &[u8; 32]) -> Self {
        Self(crate::length_prefixed::hex(hash))
    }

    /// The first six digits, as progress lines show it.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..6]
    }
}

impl Digest {
    /// The digest that a hash makes.
    #[must_use]
    pub fn of_sha256(hash: &[u8; 32]) -> Self {
        Self(format!("sha256:{}", crate::length_prefixed::hex(hash)))
    }

    /// The first twelve digits, as people compare images.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[7..19]
    }
}

/// An RFC 1123 label of at most `max` characters.
#[must_use]
pub fn is_dns_label(text: &str, max: usize) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= max
        && bytes.first().is_some_and(|b| edge(*b))
        && bytes.last().is_some_and(|b| edge(*b))
        && bytes.iter().all(|b| edge(*b) || *b == b'-')
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A Job's name becomes a label, so it has at most 63 characters: 50, a hyphen and 12 digits of what it does.
const STEM_MAX: usize = 50;

/// What a Job's name begins with: the whole name, or as much as fits and 8 digits of its hash.
pub(crate) fn stem(name: &str) -> String {
    if name.len() <= STEM_MAX {
        return name.to_owned();
    }
    format!("{}-{}", &name[..STEM_MAX - 9], &crate::length_prefixed::hex(&Sha256::digest(name.as_bytes()))[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_will_refuse_are_refused_here() {
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"a".repeat(54)] {
            assert!(ToolName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "0", "a-b", &"a".repeat(53)] {
            assert!(ToolName::new(good).is_ok(), "{good:?}");
        }
    }
}
