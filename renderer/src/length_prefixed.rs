//! Hashing several values as one, so that no two different lists of values feed the same bytes: each value stands
//! behind its length, as in a netstring (`3:web,`).

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A sha256 over length-prefixed values.
pub struct LengthPrefixed {
    text: String,
}

impl LengthPrefixed {
    /// Starts with what is hashed and in which format: another format never collides.
    #[must_use]
    pub fn new(format: &str) -> Self {
        let mut this = Self { text: String::new() };
        this.text(format);
        this
    }

    /// One value.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.text.push_str(&format!("{}:{value},", value.len()));
        self
    }

    /// A list: its length, then its values.
    pub fn list<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) -> &mut Self {
        let values: Vec<&str> = values.into_iter().collect();
        self.text(&values.len().to_string());
        for value in values {
            self.text(value);
        }
        self
    }

    /// A map, in key order.
    pub fn map(&mut self, values: &BTreeMap<String, String>) -> &mut Self {
        self.list(values.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]))
    }

    /// A value that may be absent; absent differs from empty.
    pub fn optional(&mut self, value: Option<&str>) -> &mut Self {
        self.list(value)
    }

    /// What would be hashed: readable, and fit to stand inside another hash.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// The hash.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }

    /// The hash as 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.sha256())
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(feed: impl Fn(&mut LengthPrefixed)) -> String {
        let mut hash = LengthPrefixed::new("test 1");
        feed(&mut hash);
        hash.hex()
    }

    #[test]
    fn values_cannot_be_moved_across_their_borders() {
        let all = [
            hash(|h| {
                h.text("ab").text("c");
            }),
            hash(|h| {
                h.text("a").text("bc");
            }),
            hash(|h| {
                h.text("abc");
            }),
            hash(|h| {
                h.list(["a", "bc"]);
            }),
            hash(|h| {
                h.list(["a"]).text("bc");
            }),
            hash(|h| {
                h.optional(None).text("abc");
            }),
            hash(|h| {
                h.optional(Some("")).text("abc");
            }),
            hash(|h| {
                h.text("a:1,b");
            }),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
