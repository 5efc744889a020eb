//! A YAML text as a tree in which every value knows its place.
//!
//! Built on parser events and not on serde, for four reasons: a wrong value must not hide the next one, a key given
//! twice must be told with both places, a plain scalar must keep the text a person typed (`1.10` is not 1.1), and the
//! place of every value must survive. Size, depth, count and alias expansion are bounded before anything is decoded.

mod fault;
mod read;
mod scalar;

pub(crate) use fault::text;
pub use read::{MAX_BYTES, MAX_DEPTH, MAX_NODES, read};
pub use scalar::{Plain, Scalar};

use crate::diagnostic::Place;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text as typed.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping.
    Mapping(Mapping),
}

/// A mapping in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapping {
    /// Each key once: the first of its name.
    pub entries: Vec<Entry>,
    /// Keys given again: name, place of the first and of the second.
    pub duplicates: Vec<(String, Place, Place)>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// Its value.
    pub value: Node,
}

impl Mapping {
    /// The entry of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// True where the key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

impl Node {
    /// The mapping, if it is one.
    #[must_use]
    pub fn mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The scalar, if it is one.
    #[must_use]
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// True for `~`, `null` and nothing at all.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|s| s.plain() == Plain::Null)
    }

    /// As messages name it: `a list`, `text`, `the number 1.10`.
    #[must_use]
    pub fn described(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) => scalar.plain().described(),
        }
    }
}
