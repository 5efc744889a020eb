//! A text that nobody may see: no Display, no Debug, no Serialize, so that what holds one can't have them either; wiped
//! where it ends; compared in a time that does not tell how much of it was right.
//!
//! It stands in the lowest crate because values are decoded here, from the first moment on as this type.

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// A password, token, key or value. The only way to its text is [`Secret::reveal`], so that a search for it finds every
/// use.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        // Into a box without spare room: shrinking may leave a copy behind, so callers should not have grown the text.
        Self(SecretString::from(text.into()))
    }

    /// The text, for where it has to be said and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// Bytes of it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reveal().len()
    }

    /// True where it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether two are the same takes as long as their length says, and nothing else.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reveal().as_bytes().ct_eq(other.reveal().as_bytes()).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_by_all_of_their_text() {
        assert!(Secret::new("one") == Secret::new("one"));
        for other in ["", "on", "ond", "One", "one "] {
            assert!(Secret::new("one") != Secret::new(other), "{other}");
        }
    }
}
