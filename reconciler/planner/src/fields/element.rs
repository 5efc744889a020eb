//! One step of a path, and paths.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// One step into a value. The order is the one in which the server writes sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// A field of a struct or a key of a map.
    Field(String),
    /// An item of a list, by the values of its associative keys, in the order of their names.
    Key(Vec<(String, Key)>),
    /// An item of a set.
    Value(Key),
    /// An item of a list by its place.
    Index(usize),
}

/// A scalar that identifies an item. Numbers are equal by value: `80` and `80.0` are one port.
#[derive(Debug, Clone)]
pub struct Key(pub Value);

impl Key {
    fn rank(&self) -> u8 {
        match &self.0 {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
            },
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            // The server keeps no such keys; any total order will do.
            (a, b) => {
                let by_rank = self.rank().cmp(&other.rank());
                by_rank.then_with(|| a.to_string().cmp(&b.to_string()))
            }
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

impl PathElement {
    /// A field by name.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// An item by its keys.
    #[must_use]
    pub fn key(mut keys: Vec<(String, Key)>) -> Self {
        keys.sort();
        Self::Key(keys)
    }

    /// The name of a field; empty for an item of a list.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Field(name) => name,
            _ => "",
        }
    }

    /// Reads `f:name`, `k:{"name":"web"}`, `v:"x"` or `i:0`.
    pub(super) fn from_fields_v1(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::field(rest)),
            "v" => Some(Self::Value(Key(serde_json::from_str(rest).ok()?))),
            "i" => Some(Self::Index(rest.parse().ok()?)),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let keys = keys.into_iter().map(|(name, value)| (name, Key(value)));
                Some(Self::key(keys.collect()))
            }
            _ => None,
        }
    }

    pub(super) fn to_fields_v1(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(Key(value)) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
            Self::Key(keys) => {
                let pair = |(name, Key(value)): &(String, Key)| format!("{}:{value}", Value::from(name.as_str()));
                let pairs: Vec<_> = keys.iter().map(pair).collect();
                format!("k:{{{}}}", pairs.join(","))
            }
        }
    }
}

/// The way to one field. Prints as people write it: `spec.containers[web].ports[8000,TCP]`, and names that hold dots or
/// slashes in brackets: `metadata.annotations[example.org/owner]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<PathElement>);

impl Path {
    /// A path of plain field names, `["spec", "replicas"]`.
    #[must_use]
    pub fn of_fields<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(PathElement::field).collect())
    }

    /// This path and one step more.
    #[must_use]
    pub fn with(&self, element: PathElement) -> Self {
        let mut path = self.clone();
        path.push(element);
        path
    }
}

impl Deref for Path {
    type Target = Vec<PathElement>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Path {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, element) in self.0.iter().enumerate() {
            match element {
                PathElement::Field(name) if name.contains(['.', '/', '[', ']', ' ']) => write!(f, "[{name}]")?,
                PathElement::Field(name) if place == 0 => f.write_str(name)?,
                PathElement::Field(name) => write!(f, ".{name}")?,
                PathElement::Value(value) => write!(f, "[{value}]")?,
                PathElement::Index(index) => write!(f, "[{index}]")?,
                PathElement::Key(keys) => {
                    let values: Vec<_> = keys.iter().map(|(_, value)| value.to_string()).collect();
                    write!(f, "[{}]", values.join(","))?;
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
