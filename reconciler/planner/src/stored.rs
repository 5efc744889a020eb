//! A revision that was Ready, as it is kept in the platform's namespace: an `apps/v1` ControllerRevision, so that drift
//! is healed and a broken HEAD is survived with no repository, registry or cache at hand (invariant 2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use renderer::licence::Licences;
use renderer::revision::{Facts, ResolvedSource};
use renderer::{CommitId, ComponentName, Digest, Files, Object, ObjectId, Revision, Tool, ToolName, TreeId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many stored revisions a tool keeps.
pub const KEPT: usize = 10;

/// One stored revision. What it is made of is immutable; only its number says how new it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRevision {
    /// Counts up with each stored revision of the tool.
    pub number: i64,
    /// What they said.
    pub revision: Revision,
    /// Where in the repository these files were read: [`renderer::Tool::path`]. None in records from before it was noted.
    pub path: Option<String>,
    /// Which image each component ran.
    pub images: BTreeMap<ComponentName, StoredImage>,
    /// sha256 of the platform's settings it was rendered with.
    pub platform: String,
    /// Keys of the one-offs that have succeeded, now or in an earlier revision: they never run again.
    pub one_offs: BTreeSet<String>,
    /// What it was rendered to, hashed: see [`crate::record::rendered_digest`]. None in records from before there was one.
    pub rendered: Option<String>,
}

/// The image a component ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// `repository:tag`, or the reference as written.
    pub source: String,
    /// What it was.
    pub digest: Digest,
}

/// The `data` of the ControllerRevision. Bytes are base64, so that any file survives.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitId>,
    branch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    licences: Option<Licences>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree: Option<TreeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    procfile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secrets: Option<String>,
    #[serde(default)]
    resolved: BTreeMap<String, ResolvedSource>,
    images: BTreeMap<ComponentName, StoredImage>,
    platform: String,
    one_offs: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rendered: Option<String>,
}

/// Of the ControllerRevision what we read.
#[derive(Deserialize)]
struct Kept {
    revision: Option<i64>,
    data: Option<Data>,
}

/// Why a ControllerRevision under our mark could not be read. It is then held, never taken for "no revision".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored revision {name}: {why}")]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// What is wrong with it, as a fragment.
    pub why: String,
}

const FORMAT: u32 = 1;

impl StoredRevision {
    /// The object that stores it, named `<tool>-<number>`.
    #[must_use]
    pub fn to_object(&self, tool: &ToolName, namespace: &str) -> Object {
        let files = &self.revision.files;
        let data = Data {
            format: FORMAT,
            commit: self.revision.commit.clone(),
            branch: self.revision.branch.clone(),
            author: self.revision.facts.author.clone(),
            licences: self.revision.facts.licences.clone(),
            path: self.path.clone(),
            tree: self.revision.tree.clone(),
            config: files.config.as_deref().map(|bytes| STANDARD.encode(bytes)),
            procfile: files.procfile.as_deref().map(|bytes| STANDARD.encode(bytes)),
            service_template: files.service_template.as_deref().map(|bytes| STANDARD.encode(bytes)),
            secrets: files.secrets.as_deref().map(|bytes| STANDARD.encode(bytes)),
            resolved: self.revision.resolved.clone(),
            images: self.images.clone(),
            platform: self.platform.clone(),
            one_offs: self.one_offs.clone(),
            rendered: self.rendered.clone(),
        };
        let name = format!("{tool}-{}", self.number);
        let value = json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {"name": name, "namespace": namespace, "labels": {(crate::observed::MARK): tool.as_str()}},
            "revision": self.number,
            "data": data,
        });
        let id = ObjectId {
            group: "apps".to_owned(),
            kind: "ControllerRevision".to_owned(),
            namespace: Some(namespace.to_owned()),
            name,
        };
        Object { id, value }
    }

    /// Reads a ControllerRevision back.
    ///
    /// # Errors
    /// Where its number or data is missing, of another format, or garbage.
    pub fn from_value(value: &Value) -> Result<Self, Unreadable> {
        let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name");
        Self::of(name, Kept::deserialize(value))
    }

    /// The same from the text of the one with this name, of which nothing else is taken apart: a tool has ten, and each
    /// pass goes by all of them.
    ///
    /// # Errors
    /// As [`Self::from_value`].
    pub fn from_json(name: &str, json: &[u8]) -> Result<Self, Unreadable> {
        Self::of(name, serde_json::from_slice(json))
    }

    fn of(name: &str, read: serde_json::Result<Kept>) -> Result<Self, Unreadable> {
        let bad = |why: String| Unreadable { name: name.to_owned(), why };
        let Kept { revision, data } = read.map_err(|error| bad(error.to_string()))?;
        let number = revision.ok_or_else(|| bad("no number".to_owned()))?;
        let data = data.ok_or_else(|| bad("no data".to_owned()))?;
        if data.format != FORMAT {
            return Err(bad(format!("format {}, expected {FORMAT}", data.format)));
        }
        let bytes =
            |text: Option<String>| text.map(|t| STANDARD.decode(t).map_err(|error| bad(error.to_string()))).transpose();
        let files = Files {
            config: bytes(data.config)?,
            procfile: bytes(data.procfile)?,
            service_template: bytes(data.service_template)?,
            secrets: bytes(data.secrets)?,
        };
        let facts = Facts { author: data.author, licences: data.licences, ..Facts::default() };
        let Data { commit, branch, tree, resolved, .. } = data;
        let revision = Revision { commit, branch, tree, files, resolved, facts };
        Ok(Self {
            number,
            revision,
            path: data.path,
            images: data.images,
            platform: data.platform,
            one_offs: data.one_offs,
            rendered: data.rendered,
        })
    }

    /// The revision of this commit as git would tell it, if it was read where the tool's files are now: a commit never
    /// changes, so nobody has to be asked for it again. What it builds from elsewhere is left out, for that moves.
    #[must_use]
    pub fn as_read(&self, tool: &Tool, commit: &CommitId) -> Option<Revision> {
        let same = self.revision.commit.as_ref() == Some(commit) && self.path.as_ref() == Some(&tool.path);
        let revision = Revision { branch: tool.branch.clone(), resolved: BTreeMap::new(), ..self.revision.clone() };
        same.then_some(revision)
    }

    /// Whether it says the same as `other`, whatever their numbers: then there is nothing to store.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self { number: _, revision, path, images, platform, one_offs, rendered } = self;
        // A record without a digest or a path is no reason to write 3,000 new ones.
        let same = |ours: &Option<String>, theirs| ours.is_none() || ours == theirs;
        same(rendered, &other.rendered)
            && same(path, &other.path)
            && *revision == other.revision
            && *images == other.images
            && *platform == other.platform
            && *one_offs == other.one_offs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredRevision {
        let digest = Digest::new(format!("sha256:{}", "a".repeat(64))).expect("a digest");
        let files = Files { config: Some(vec![0xff, 0, b'x']), ..Files::default() };
        let revision = Revision {
            commit: CommitId::new("1".repeat(40)).ok(),
            branch: "main".into(),
            tree: TreeId::new("2".repeat(40)).ok(),
            files,
            resolved: BTreeMap::new(),
            facts: Facts {
                author: Some("Ada Lovelace".into()),
                licences: Some(Licences(vec![renderer::licence::Licence {
                    file: "LICENSE".into(),
                    says: renderer::licence::Says::Approved("MIT".into()),
                }])),
                ..Facts::default()
            },
        };
        let web = ComponentName::new("web").expect("a name");
        StoredRevision {
            number: 3,
            revision,
            path: Some("src".into()),
            images: [(web, StoredImage { source: "r/x:1".into(), digest })].into(),
            platform: "p".into(),
            one_offs: ["key".to_owned()].into(),
            rendered: Some("r".into()),
        }
    }

    #[test]
    fn a_stored_revision_comes_back_byte_for_byte() {
        let tool = ToolName::new("wordcount").expect("a name");
        let object = stored().to_object(&tool, "toolforge");
        assert_eq!(object.id.to_string(), "controllerrevision/toolforge/wordcount-3");
        assert_eq!(StoredRevision::from_value(&object.value), Ok(stored()));
        let facts = StoredRevision::from_value(&object.value).map(|stored| stored.revision.facts);
        assert_eq!(facts, Ok(stored().revision.facts), "equality does not look at them");
        assert_eq!(StoredRevision::from_json("wordcount-3", object.value.to_string().as_bytes()), Ok(stored()));
    }

    #[test]
    fn a_record_from_before_says_the_same_and_one_of_something_else_does_not() {
        let before = StoredRevision { rendered: None, path: None, ..stored() };
        assert!(before.says_the_same(&stored()));
        assert!(!stored().says_the_same(&StoredRevision { path: Some(String::new()), ..stored() }));
        assert!(!stored().says_the_same(&StoredRevision { rendered: Some("other".into()), ..stored() }));
    }

    #[test]
    fn garbage_under_our_mark_is_an_error_and_not_an_absence() {
        let tool = ToolName::new("wordcount").expect("a name");
        for (pointer, garbage) in
            [("/revision", json!("x")), ("/data", json!({})), ("/data/format", json!(9)), ("/data/config", json!("?"))]
        {
            let mut value = stored().to_object(&tool, "toolforge").value;
            *value.pointer_mut(pointer).expect("the field") = garbage;
            let whole = StoredRevision::from_value(&value).expect_err("garbage");
            let text = StoredRevision::from_json("wordcount-3", value.to_string().as_bytes()).expect_err("garbage");
            assert_eq!((whole.name.as_str(), &whole.name), ("wordcount-3", &text.name), "{pointer}");
        }
    }
}
