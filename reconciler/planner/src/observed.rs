//! What we know of the world, and what we failed to learn. The shell fills it; nothing here asks anyone.
//!
//! Three answers exist for an object, and they are never mixed up: [`Seen::Live`], [`Seen::Absent`] (confirmed by a read
//! of that very name), and *not said* (the watch, which selects by our mark, does not show it: that proves nothing).

use crate::image::Misfit;
use crate::live::Live;
use crate::memo::Memo;
use crate::promotion::Forerunner;
use crate::question::Answered;
use crate::settled::Settled;
use crate::stored::{StoredImage, StoredRevision};
use renderer::{Digest, ObjectId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub use renderer::render::{COMPONENT, MARK};

/// The world of one tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Which cluster this is, as headers name it.
    pub cluster: String,
    /// What is known of objects, by id.
    #[serde(with = "as_pairs")]
    pub objects: BTreeMap<ObjectId, Seen>,
    /// uids the Tool's status lists as ours.
    #[serde(with = "as_pairs")]
    pub inventory: BTreeMap<ObjectId, String>,
    /// What the registry said, by `repository:tag` or by reference as written.
    pub images: BTreeMap<String, ImageSeen>,
    /// Names of Secrets in the tool's namespace; none where they could not be read.
    pub secrets: Option<BTreeSet<String>>,
    /// The Secrets in the platform's namespace that are this tool's, with their versions; none where nobody looked.
    #[serde(default)]
    pub sources: Option<BTreeMap<String, String>>,
    /// Revisions that were Ready, newest first.
    pub stored: Vec<StoredRevision>,
    /// By build id, the image that somebody chose for it: see [`crate::pin::Pin::images`].
    #[serde(default)]
    pub chosen: BTreeMap<String, StoredImage>,
    /// What could not be observed: out of reach of create and prune.
    pub gaps: Vec<Gap>,
    /// Why the builds could not be looked at, where that says nothing of the tool's own namespace: a maintainer may not.
    pub builds_unseen: Option<String>,
    /// The tool that this one is promoted from; none where it is promoted from none.
    #[serde(default)]
    pub forerunner: Option<Forerunner>,
    /// Fields on which the API server insists, as the Tool's status lists them.
    #[serde(default)]
    pub settled: Vec<Settled>,
    /// What it said to dry runs.
    #[serde(default)]
    pub answers: Vec<Answered>,
    /// Nobody is known to have been where this tool's objects go: its namespace is not there as far as the watch shows, or
    /// was made by this process; and no create was refused because its name was taken.
    #[serde(default)]
    pub untrodden: bool,
    /// What was found out before and need not be found out again.
    #[serde(skip)]
    pub memo: Memo,
}

/// What is known of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen {
    /// It is there.
    Live(Live),
    /// A read of its name said 404.
    Absent,
}

/// What the registry said of one reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSeen {
    /// It is there, with this digest.
    Found(Digest),
    /// It is there, and does not run on this platform.
    Unfit {
        /// Its digest.
        digest: Digest,
        /// Why not.
        why: Misfit,
    },
    /// The registry knows no such tag.
    Missing,
    /// The registry could not be asked, or refused.
    Unknown(String),
}

/// A kind that could not be listed or watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Why, as a fragment.
    pub why: String,
}

impl Observed {
    /// The live object, if it is known to be there.
    #[must_use]
    pub fn live(&self, id: &ObjectId) -> Option<&Value> {
        self.seen_live(id).map(|live| &**live)
    }

    /// The live object's uid, without reading it; empty where it has none.
    #[must_use]
    pub fn uid(&self, id: &ObjectId) -> Option<&str> {
        let live = self.seen_live(id)?;
        Some(live.stamp().map_or_else(|| uid_of(live).unwrap_or_default(), |stamp| &stamp.uid))
    }

    /// The live object, not read yet.
    pub(crate) fn seen_live(&self, id: &ObjectId) -> Option<&Live> {
        match self.objects.get(id) {
            Some(Seen::Live(value)) => Some(value),
            _ => None,
        }
    }

    /// Whether the object's absence was confirmed.
    #[must_use]
    pub fn is_absent(&self, id: &ObjectId) -> bool {
        matches!(self.objects.get(id), Some(Seen::Absent))
    }

    /// Why nothing can be said about this object's kind, if so.
    #[must_use]
    pub fn gap(&self, id: &ObjectId) -> Option<&Gap> {
        self.gaps.iter().find(|gap| gap.group == id.group && gap.kind == id.kind)
    }

    /// [`Self::sources`], where they can be believed: where Secrets can't be watched for now, what was seen last may be over.
    #[must_use]
    pub fn sources_now(&self) -> Option<&BTreeMap<String, String>> {
        self.secrets.as_ref().and(self.sources.as_ref())
    }

    /// Whether a live object is ours: its uid is in the tool's inventory, or it carries our mark *and* an Apply entry of
    /// our field manager. A label alone proves nothing, and what a controller owns is never ours.
    #[must_use]
    pub fn is_ours(&self, id: &ObjectId, tool: &str, field_manager: &str) -> bool {
        let listed = self.inventory.get(id).map(String::as_str);
        self.live(id).is_some_and(|live| is_ours(live, listed, tool, field_manager))
    }
}

/// Whether this live object is ours, as [`Observed::is_ours`] says; the inventory lists it under the uid `listed`.
pub(crate) fn is_ours(live: &Value, listed: Option<&str>, tool: &str, field_manager: &str) -> bool {
    if has_controller(live) {
        return false;
    }
    let listed = listed.is_some_and(|uid| Some(uid) == uid_of(live));
    listed || (label(live, MARK) == Some(tool) && applied_by(live, field_manager))
}

/// `metadata.uid`.
#[must_use]
pub fn uid_of(live: &Value) -> Option<&str> {
    metadata(live, "uid")?.as_str()
}

/// `metadata.resourceVersion`.
#[must_use]
pub fn resource_version_of(live: &Value) -> Option<&str> {
    metadata(live, "resourceVersion")?.as_str()
}

/// Whether it is on its way out.
#[must_use]
pub fn is_terminating(live: &Value) -> bool {
    metadata(live, "deletionTimestamp").is_some()
}

/// One of its labels.
#[must_use]
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    metadata(object, "labels")?.get(key)?.as_str()
}

/// One field of its metadata. A JSON pointer is copied each time it is followed, and these are asked all the time.
pub(crate) fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}

fn has_controller(live: &Value) -> bool {
    let owners = metadata(live, "ownerReferences").and_then(Value::as_array);
    owners.is_some_and(|owners| owners.iter().any(|o| o.get("controller").and_then(Value::as_bool) == Some(true)))
}

/// Whether this manager has an Apply entry in it.
#[must_use]
pub fn applied_by(live: &Value, field_manager: &str) -> bool {
    let entries = metadata(live, "managedFields").and_then(Value::as_array);
    let part = |entry: &Value, key: &str, is: &str| entry.get(key).and_then(Value::as_str) == Some(is);
    entries.is_some_and(|all| all.iter().any(|e| part(e, "manager", field_manager) && part(e, "operation", "Apply")))
}

/// JSON has text keys only: a map by id is written as a list of pairs.
mod as_pairs {
    use renderer::ObjectId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<T: Serialize, S: Serializer>(map: &BTreeMap<ObjectId, T>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<ObjectId, T>, D::Error> {
        Ok(Vec::<(ObjectId, T)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id() -> ObjectId {
        ObjectId { group: String::new(), kind: "Service".into(), namespace: Some("tool-a".into()), name: "web".into() }
    }

    fn ours(metadata: Value, listed: Option<&str>) -> bool {
        let mut observed = Observed::default();
        observed.objects.insert(id(), Seen::Live(json!({ "metadata": metadata }).into()));
        observed.inventory.extend(listed.map(|uid| (id(), uid.to_owned())));
        observed.is_ours(&id(), "a", "toolforge")
    }

    #[test]
    fn a_label_alone_proves_nothing_and_a_missing_label_on_a_listed_uid_is_still_ours() {
        let applied = json!([{"manager": "toolforge", "operation": "Apply"}]);
        let updated = json!([{"manager": "toolforge", "operation": "Update"}]);
        let labels = json!({"toolforge.org/tool": "a"});
        assert!(!ours(json!({"uid": "1", "labels": labels}), None), "label alone");
        assert!(!ours(json!({"uid": "1", "labels": labels, "managedFields": updated}), None), "no Apply entry");
        assert!(!ours(json!({"uid": "1", "managedFields": applied}), None), "no mark");
        assert!(!ours(json!({"uid": "1"}), Some("2")), "another uid under our name");
        assert!(ours(json!({"uid": "1", "labels": labels, "managedFields": applied}), None));
        assert!(ours(json!({"uid": "1"}), Some("1")), "labels stripped, uid listed");
        let owned = json!([{"controller": true, "kind": "Deployment"}]);
        assert!(!ours(json!({"uid": "1", "ownerReferences": owned}), Some("1")), "a controller's");
    }
}
