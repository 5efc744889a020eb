//! A live object that is read when somebody asks. Most passes find most objects as they were when they were judged last
//! ([`crate::memo`]), and need neither their JSON unpacked nor a tree of it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// What tells one state of one object from every other without reading it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// Half a sha256 of its JSON. Not its resourceVersion: a server that was restored from a backup gives one twice.
    pub digest: [u8; 16],
}

impl Stamp {
    /// Of an object's JSON text, whose uid this is.
    #[must_use]
    pub fn of(uid: &str, json: &[u8]) -> Self {
        Self { uid: uid.into(), digest: half(json) }
    }
}

/// The first half of a sha256.
pub(crate) fn half(bytes: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(Sha256::digest(bytes)).for_each(|(to, from)| *to = from);
    half
}

/// A live object.
#[derive(Clone)]
pub struct Live {
    value: OnceLock<Value>,
    packed: Option<Packed>,
}

#[derive(Clone)]
struct Packed {
    stamp: Stamp,
    read: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl Live {
    /// One that `read` reads, whenever it is called: the same value each time, that of `stamp`.
    #[must_use]
    pub fn packed(stamp: Stamp, read: impl Fn() -> Value + Send + Sync + 'static) -> Self {
        Self { value: OnceLock::new(), packed: Some(Packed { stamp, read: Arc::new(read) }) }
    }

    /// What tells it from every other state; none of one that came as a value.
    #[must_use]
    pub fn stamp(&self) -> Option<&Stamp> {
        self.packed.as_ref().map(|packed| &packed.stamp)
    }
}

impl Deref for Live {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.value.get_or_init(|| self.packed.as_ref().map_or(Value::Null, |packed| (packed.read)()))
    }
}

impl From<Value> for Live {
    fn from(value: Value) -> Self {
        Self { value: value.into(), packed: None }
    }
}

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for Live {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Live {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(Self::from)
    }
}
