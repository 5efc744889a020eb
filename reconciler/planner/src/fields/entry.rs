//! `metadata.managedFields`: who owns what.

use super::{FieldSet, UnreadableSet};
use serde_json::{Map, Value, json};

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Server-side apply: the manager states its whole opinion each time.
    Apply,
    /// Everything else: the manager owns what it changed.
    Update,
}

impl Operation {
    /// The word the API uses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedFieldsEntry {
    /// Field manager, `kubectl-edit`.
    pub manager: String,
    /// How it wrote.
    pub operation: Operation,
    /// The version its paths are written in, `apps/v1`.
    pub api_version: String,
    /// RFC 3339, as the server wrote it.
    pub time: Option<String>,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: String,
    /// What it owns.
    pub fields: FieldSet,
}

/// An entry that cannot be read. What it owns is unknown, so nothing on the object may be called unowned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("managedFields[{index}] of {manager:?} is unreadable")]
pub struct UnreadableEntry {
    /// Its place in the list.
    pub index: usize,
    /// The manager, as far as it can be read.
    pub manager: String,
    /// What is wrong.
    #[source]
    pub why: Malformed,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The list or the entry has the wrong shape.
    #[error("{0} is missing or has the wrong type")]
    Part(&'static str),
    /// Another format than FieldsV1.
    #[error("fieldsType is {0:?}")]
    FieldsType(String),
    /// The set itself.
    #[error(transparent)]
    Set(#[from] UnreadableSet),
}

/// The readable entries of an object's `metadata.managedFields`, and the unreadable ones beside them.
#[must_use]
pub fn entries(object: &Value) -> (Vec<ManagedFieldsEntry>, Vec<UnreadableEntry>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let list = match object.pointer("/metadata/managedFields") {
        None | Some(Value::Null) => return (good, bad),
        Some(Value::Array(list)) => list.as_slice(),
        Some(other) => std::slice::from_ref(other),
    };
    for (index, json) in list.iter().enumerate() {
        match ManagedFieldsEntry::from_json(json) {
            Ok(entry) => good.push(entry),
            Err(why) => {
                let manager = json["manager"].as_str().unwrap_or_default().to_owned();
                bad.push(UnreadableEntry { index, manager, why });
            }
        }
    }
    (good, bad)
}

/// The list as the server writes it: applied entries first, then by time, manager, version and subresource.
#[must_use]
pub fn write_entries(entries: &[ManagedFieldsEntry]) -> Value {
    let mut sorted: Vec<_> = entries.iter().filter(|entry| !entry.fields.is_empty()).collect();
    sorted.sort_by_key(|entry| (entry.operation, &entry.time, &entry.manager, &entry.api_version, &entry.subresource));
    sorted.into_iter().map(ManagedFieldsEntry::to_json).collect()
}

impl ManagedFieldsEntry {
    /// Reads one entry.
    ///
    /// # Errors
    /// Where a part of it is missing or unreadable.
    pub fn from_json(json: &Value) -> Result<Self, Malformed> {
        let object = json.as_object().ok_or(Malformed::Part("entry"))?;
        let text = |key: &'static str| match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Malformed::Part(key)),
        };
        let operation = match text("operation")?.as_deref() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            _ => return Err(Malformed::Part("operation")),
        };
        if let Some(other) = text("fieldsType")?.filter(|name| name != "FieldsV1") {
            return Err(Malformed::FieldsType(other));
        }
        let empty = Value::Object(Map::new());
        let fields = object.get("fieldsV1").filter(|set| !set.is_null());
        Ok(Self {
            manager: text("manager")?.unwrap_or_default(),
            operation,
            api_version: text("apiVersion")?.unwrap_or_default(),
            time: text("time")?,
            subresource: text("subresource")?.unwrap_or_default(),
            fields: FieldSet::from_fields_v1(fields.unwrap_or(&empty))?,
        })
    }

    /// The entry as the server writes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "manager": self.manager,
            "operation": self.operation.word(),
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_fields_v1(),
        });
        if let Some(time) = &self.time {
            json["time"] = json!(time);
        }
        if !self.subresource.is_empty() {
            json["subresource"] = json!(self.subresource);
        }
        json
    }

    /// Both entries stand for one writer in one way: the server merges them.
    #[must_use]
    pub fn is_same_writer(&self, other: &Self) -> bool {
        let who = |entry: &Self| (entry.manager.clone(), entry.operation, entry.subresource.clone());
        who(self) == who(other) && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}
