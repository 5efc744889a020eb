//! An object as a plan found it: which one, and what people and programs want of it, without what moves by itself.

use super::{sha256, without_secrets};
use crate::autoscale;
use crate::drift::{self, By};
use crate::fields::{Path, PathElement};
use crate::observed::{Observed, resource_version_of, uid_of};
use renderer::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One object before the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Which.
    pub id: ObjectId,
    /// How it was.
    pub was: State,
}

/// How an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Confirmed not to be there.
    Absent,
    /// Nobody looked: names of stored revisions are ours alone.
    Unseen,
    /// It is there.
    #[serde(rename_all = "camelCase")]
    Live {
        /// `metadata.uid`.
        uid: String,
        /// `metadata.resourceVersion`; told, and not compared.
        resource_version: String,
        /// sha256 of what people and programs want of it: without status and bookkeeping.
        content: String,
        /// Who wrote what stands there, status aside; told, and not compared.
        hands: Vec<By>,
    },
}

impl State {
    pub(super) fn of(id: &ObjectId, observed: &Observed) -> Self {
        let namespace = id.namespace.as_deref().map(crate::compare::namespace_id);
        match observed.live(id) {
            // Only an object from a file can be without: what a server gives has both. So an empty uid matches no object
            // that a plan could be carried out on.
            Some(live) => Self::Live {
                uid: uid_of(live).unwrap_or_default().to_owned(),
                resource_version: resource_version_of(live).unwrap_or_default().to_owned(),
                content: content(id, live, observed),
                hands: hands(live),
            },
            None if observed.is_absent(id) => Self::Absent,
            None if namespace.is_some_and(|namespace| observed.is_absent(&namespace)) => Self::Absent,
            None => Self::Unseen,
        }
    }
}

/// sha256 of a live object without what is nobody's wish: status, bookkeeping, what an autoscaler says, and secrets.
fn content(id: &ObjectId, live: &Value, observed: &Observed) -> String {
    let mut object = without_secrets(id, live);
    without_bookkeeping(id, &mut object, &mut Path(Vec::new()));
    if let (true, Some(spec)) = (autoscale::is_autoscaled(id, observed), object.get_mut("spec")) {
        spec.as_object_mut().map(|spec| spec.remove("replicas"));
    }
    sha256(&object)
}

fn without_bookkeeping(id: &ObjectId, value: &mut Value, path: &mut Path) {
    let Some(fields) = value.as_object_mut() else { return };
    fields.retain(|name, value| {
        path.0.push(PathElement::field(name));
        let counts = !drift::is_bookkeeping(id, path);
        let was_empty = is_empty(value);
        if counts {
            without_bookkeeping(id, value, path);
        }
        path.0.pop();
        // A map that held nothing but bookkeeping was made for it.
        counts && (was_empty || !is_empty(value))
    });
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Everyone who wrote anything but a status.
fn hands(live: &Value) -> Vec<By> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let hands = entries.into_iter().flatten().filter(|entry| text(entry, "subresource").as_deref() != Some("status"));
    hands.filter_map(|entry| Some(By { manager: text(entry, "manager")?, time: text(entry, "time") })).collect()
}
