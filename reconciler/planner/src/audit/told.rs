//! Writes as others read them: `audit --json`, and the annotation of an Event.

use super::Entry;
use renderer::diagnostic::on_one_line;
use serde::{Deserialize, Serialize};

/// Bytes of objects that are told field by field; the rest is counted. An object's annotations may have 256 KiB.
const WROTE_BYTES: usize = 16 * 1024;

/// Writes that have who asked for them, and why, in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// At whose word: `commit 35b594f of "Ada"`, `platform`, `pin of ada`.
    pub who: String,
    /// Why.
    pub cause: String,
    /// What.
    pub objects: Vec<Written>,
    /// How many there are besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_objects: usize,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// `deployment/tool-x/web`.
    pub object: String,
    /// What was done, in one word.
    pub action: String,
    /// Which fields differed, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// How many there are besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_fields: usize,
    /// How it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Told {
    /// What these have in common is read off the first.
    #[must_use]
    pub fn of(entries: &[&Entry]) -> Option<Self> {
        let first = entries.first()?;
        let (mut objects, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            let written = Written::of(entry);
            bytes += written.object.len() + written.fields.iter().map(String::len).sum::<usize>();
            if bytes > WROTE_BYTES {
                break;
            }
            objects.push(written);
        }
        let more_objects = entries.len() - objects.len();
        let [who, cause] = [first.who.to_string(), first.cause.to_string()].map(|text| on_one_line(&text));
        Some(Self { who, cause, objects, more_objects })
    }
}

impl Written {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            object: entry.object.to_string(),
            action: entry.action.to_string(),
            fields: entry.fields.iter().map(|path| on_one_line(path)).collect(),
            more_fields: entry.more_fields,
            failed: entry.failed.as_ref().map(|failure| failure.kind.word().to_owned()),
        }
    }

    /// `deployment/tool-x/web [spec.replicas and 3 more]`.
    #[must_use]
    pub fn what(&self) -> String {
        if self.fields.is_empty() {
            return self.object.clone();
        }
        let more = if self.more_fields > 0 { format!(" and {} more", self.more_fields) } else { String::new() };
        format!("{} [{}{more}]", self.object, self.fields.join(", "))
    }
}
