//! An object as it is read: its key, its mark and version, and its JSON as bytes. 12,000 trees do not fit the memory
//! aim; 12,000 packed texts do.

use super::text::Text;
use planner::Stamp;
use planner::kinds::{Kind, Scope, Watched};
use planner::observed::MARK;
use renderer::ObjectId;
use renderer::request::BUILD_OF;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Which object of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: Option<Box<str>>,
    pub(super) name: Box<str>,
}

impl Key {
    pub(super) fn of(id: &ObjectId) -> Self {
        Self { namespace: id.namespace.as_deref().map(Box::from), name: id.name.as_str().into() }
    }

    pub(super) fn id(&self, row: &Kind) -> ObjectId {
        ObjectId {
            group: row.group.to_owned(),
            kind: row.kind.to_owned(),
            namespace: self.namespace.as_deref().map(str::to_owned),
            name: self.name.to_string(),
        }
    }
}

/// One object, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) key: Key,
    pub(super) mark: Option<Box<str>>,
    pub(super) version: Box<str>,
    pub(super) stamp: Stamp,
    /// Empty for kinds of which only names are kept.
    pub(super) json: Text,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, default)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl Raw {
    /// Reads what is needed to file an object. Of metadata-only kinds the content is dropped here: it is never kept,
    /// whatever the server sent; and of what has no mark of ours all but the name.
    pub(super) fn read(row: &Kind, json: &str) -> Result<Self, serde_json::Error> {
        let Head { metadata } = serde_json::from_str(json)?;
        let mark = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(MARK).or_else(|| labels.get(BUILD_OF)))
            .map(|mark| Box::from(&**mark));
        let json: Box<[u8]> = match row.watched {
            // One of the platform's own, of which a tool has to hear when it changes.
            Watched::Metadata if is_source(&metadata) => {
                let version = &*metadata.resource_version;
                serde_json::json!({"metadata": {}, "version": version}).to_string().into_bytes().into()
            }
            Watched::Metadata if mark.is_none() => Box::default(),
            Watched::Metadata => without_content(row, json)?.into_bytes().into(),
            Watched::Troubles => {
                let distilled = planner::pods::distilled(&serde_json::from_str(json)?);
                distilled.to_string().into_bytes().into()
            }
            Watched::Marked | Watched::All | Watched::Own | Watched::Never => json.as_bytes().into(),
        };
        let namespace = metadata.namespace.filter(|namespace| !namespace.is_empty()).map(|text| Box::from(&*text));
        let stamp = Stamp::of(metadata.uid.as_deref().unwrap_or_default(), &json);
        let key = Key { namespace, name: Box::from(&*metadata.name) };
        Ok(Self { key, mark, version: Box::from(&*metadata.resource_version), stamp, json: Text::Plain(json) })
    }

    /// Whose it is: its namespace says so; in the platform's namespaces and for cluster-scoped kinds the mark does. None
    /// for what belongs to no tool.
    pub(super) fn tool(&self, row: &Kind, platform_namespace: &str) -> Option<&str> {
        let of_namespace =
            |namespace: &'_ str| namespace.len() > TOOL_PREFIX.len() && namespace.starts_with(TOOL_PREFIX);
        match self.key.namespace.as_deref() {
            Some(namespace) if of_namespace(namespace) => Some(&namespace[TOOL_PREFIX.len()..]),
            // A credential of the tool, which is named after it.
            Some(namespace) if namespace == platform_namespace && row.watched == Watched::Metadata => {
                self.key.name.rsplit_once('.').map(|(_, tool)| tool)
            }
            Some(namespace) if namespace == platform_namespace => self.mark.as_deref(),
            // Of Secrets, those of the platform's own namespace alone are a tool's.
            Some(_) if row.watched == Watched::Metadata => None,
            Some(namespace) if namespace.strip_suffix("-builds") == Some(platform_namespace) => self.mark.as_deref(),
            Some(_) => None,
            None => match row.kind {
                "Tool" => Some(&self.key.name),
                "Namespace" if of_namespace(&self.key.name) => Some(&self.key.name[TOOL_PREFIX.len()..]),
                // Several platforms may share a cluster.
                "Namespace"
                    if self.key.name.strip_suffix("-builds").unwrap_or(&self.key.name) != platform_namespace =>
                {
                    None
                }
                _ => self.mark.as_deref(),
            },
        }
    }
}

/// The metadata alone.
fn without_content(row: &Kind, json: &str) -> Result<String, serde_json::Error> {
    let mut value: Value = serde_json::from_str(json)?;
    let metadata = value.get_mut("metadata").map(Value::take).unwrap_or_default();
    Ok(serde_json::json!({"apiVersion": row.api_version(), "kind": row.kind, "metadata": metadata}).to_string())
}

/// Whether it may be a tool's credential: those stand in no tool's namespace.
fn is_source(metadata: &Metadata<'_>) -> bool {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    metadata.name.contains('.') && !namespace.starts_with(TOOL_PREFIX)
}

const TOOL_PREFIX: &str = "tool-";

/// The whole object. Items of a list come without `apiVersion` and `kind`; here every object has them.
pub(super) fn whole(row: &Kind, json: &[u8]) -> Result<Value, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(json)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("apiVersion".to_owned(), row.api_version().into());
        object.insert("kind".to_owned(), row.kind.into());
    }
    Ok(value)
}

/// Whether two texts of an object differ in more than their resourceVersion. Texts nobody can read differ. Of the
/// platform's `own` nobody asks how it is, so what controllers write down there is no difference.
pub(super) fn differ(row: &Kind, own: bool, before: &[u8], after: &[u8]) -> bool {
    if before == after {
        return false;
    }
    let meaning = |json: &[u8]| {
        let mut value = whole(row, json).ok()?;
        let metadata = value.get_mut("metadata")?.as_object_mut()?;
        metadata.remove("resourceVersion");
        if own {
            metadata.remove("managedFields");
            value.as_object_mut()?.remove("status");
        }
        Some(value)
    };
    meaning(before).zip(meaning(after)).is_none_or(|(before, after)| before != after)
}

/// Whether kinds of this row have objects of their own in each tool's namespace.
pub(super) fn in_tool_namespace(row: &Kind) -> bool {
    row.scope == Scope::Tool
}
