//! From texts to [`Observed`], the same for the watched world and for one look.

use super::raw;
use super::text::Text;
use planner::kinds::{Kind, Watched};
use planner::observed::{Gap, Observed, Seen};
use planner::pin::Pin;
use planner::stored::StoredRevision;
use planner::{Live, Moment, Stamp};
use renderer::{ObjectId, ToolName};
use serde::Deserialize;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Adds what is known of one kind. What is marked is ours for the most part, and as it was: it is read where something may
/// have to be done about it. The others say something about the whole tool. A stored revision that cannot be read makes a
/// gap: it is not "none".
pub(super) fn add<'a>(
    observed: &mut Observed,
    row: &'static Kind,
    objects: impl Iterator<Item = (ObjectId, &'a Stamp, &'a Text)>,
    gap: Option<&str>,
) {
    if let Some(why) = gap {
        observed.gaps.push(gap_of(row.group, row.kind, why));
    }
    if row.watched == Watched::Metadata {
        let mut names = BTreeSet::new();
        for (id, stamp, json) in objects {
            let bytes = json.bytes();
            if !in_a_tools_namespace(&id) {
                observed.sources.get_or_insert_default().insert(id.name, version(&bytes));
                continue;
            }
            names.insert(id.name.clone());
            // Of strangers' objects nothing but the name is kept.
            if is_marked(&bytes) {
                observed.objects.insert(id, Seen::Live(later(row, stamp, json)));
            }
        }
        if row.kind == "Secret" && gap.is_none() {
            observed.secrets = Some(names);
        }
        return;
    }
    for (id, stamp, json) in objects {
        if row.kind == "ControllerRevision" {
            match StoredRevision::from_json(&id.name, &json.bytes()) {
                Ok(stored) => observed.stored.push(stored),
                Err(error) => observed.gaps.push(gap_of(row.group, row.kind, &error.to_string())),
            }
        }
        if row.watched == Watched::Marked {
            observed.objects.insert(id, Seen::Live(later(row, stamp, json)));
            continue;
        }
        match raw::whole(row, &json.bytes()) {
            Ok(value) => {
                observed.objects.insert(id, Seen::Live(value.into()));
            }
            Err(error) => {
                let why = format!("{id}: {}", crate::cluster::call::place(&error));
                observed.gaps.push(gap_of(row.group, row.kind, &why));
            }
        }
    }
}

fn in_a_tools_namespace(id: &ObjectId) -> bool {
    id.namespace.as_deref().is_some_and(|namespace| namespace.starts_with("tool-"))
}

/// Of a stranger's object, where anything of it is kept, that is its version alone.
fn is_marked(bytes: &[u8]) -> bool {
    !bytes.is_empty() && version(bytes).is_empty()
}

fn version(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Kept {
        #[serde(default)]
        version: String,
    }
    serde_json::from_slice(bytes).map(|kept: Kept| kept.version).unwrap_or_default()
}

/// The object, unpacked when somebody asks. What can't be read then, which would be a defect of ours, is nobody's.
fn later(row: &'static Kind, stamp: &Stamp, json: &Text) -> Live {
    let json = json.clone();
    Live::packed(stamp.clone(), move || raw::whole(row, &json.bytes()).unwrap_or_default())
}

/// Reads the inventory out of the Tool, where it can be read; and brings the stored revisions into their order.
pub(super) fn finish(observed: &mut Observed, tool: &ToolName) {
    let tool_id = planner::tool_id(tool);
    let listed = observed.live(&tool_id).and_then(|live| live.pointer("/status/inventory")).map(inventory);
    match listed {
        Some(Ok(listed)) => observed.inventory = listed.into_iter().collect(),
        Some(Err(why)) => observed.gaps.push(gap_of(&tool_id.group, &tool_id.kind, &why)),
        None => {}
    }
    let settled = observed.live(&tool_id).and_then(|live| live.pointer("/status/settled"));
    // What can't be read is asked again, and written anew.
    observed.settled = settled.and_then(|list| Vec::deserialize(list).ok()).unwrap_or_default();
    // A pin that can't be read holds the tool, whatever it chose.
    observed.chosen = Pin::of(observed.live(&tool_id), Moment::from_unix_secs(0)).images;
    observed.stored.sort_by_key(|stored| Reverse(stored.number));
}

#[derive(Deserialize)]
struct Listed {
    uid: String,
    #[serde(default)]
    group: String,
    kind: String,
    #[serde(default)]
    namespace: Option<String>,
    name: String,
}

fn inventory(list: &Value) -> Result<Vec<(ObjectId, String)>, String> {
    let listed = Vec::<Listed>::deserialize(list).map_err(|error| format!("status.inventory: {error}"))?;
    let pair = |one: Listed| {
        let namespace = one.namespace.filter(|namespace| !namespace.is_empty());
        (ObjectId { group: one.group, kind: one.kind, namespace, name: one.name }, one.uid)
    };
    Ok(listed.into_iter().map(pair).collect())
}

fn gap_of(group: &str, kind: &str, why: &str) -> Gap {
    Gap { group: group.to_owned(), kind: kind.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn observed_of(kind: &str, objects: &[Value]) -> Observed {
        let row = planner::kinds::KINDS.iter().find(|row| row.kind == kind).expect("a row");
        let texts: Vec<_> = objects.iter().map(|object| Text::Plain(object.to_string().into_bytes().into())).collect();
        let stamp = Stamp::default();
        let id = |value: &Value| {
            let text = |pointer| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let name = text("/metadata/name").expect("a name");
            ObjectId { group: row.group.into(), kind: kind.into(), namespace: text("/metadata/namespace"), name }
        };
        let mut observed = Observed::default();
        add(&mut observed, row, objects.iter().map(id).zip(&texts).map(|(id, text)| (id, &stamp, text)), None);
        finish(&mut observed, &ToolName::new("a").expect("a name"));
        observed
    }

    #[test]
    fn the_inventory_is_read_from_the_tools_status() {
        let entry = json!({"uid": "u1", "group": "apps", "kind": "Deployment", "namespace": "tool-a", "name": "web"});
        let tool = json!({"metadata": {"name": "a"}, "status": {"inventory": [entry]}});
        let observed = observed_of("Tool", &[tool]);
        let (id, uid) = observed.inventory.iter().next().expect("one entry");
        assert_eq!((id.to_string().as_str(), uid.as_str()), ("deployment/tool-a/web", "u1"));
        assert!(observed.gaps.is_empty());
    }

    #[test]
    fn an_inventory_nobody_can_read_is_a_gap_and_not_an_empty_one() {
        let tool = json!({"metadata": {"name": "a"}, "status": {"inventory": [{"name": "web"}]}});
        let observed = observed_of("Tool", &[tool]);
        assert_eq!(observed.gaps.len(), 1, "{:?}", observed.gaps);
    }

    #[test]
    fn a_stored_revision_nobody_can_read_is_a_gap_of_its_kind() {
        let garbage = json!({"metadata": {"name": "a-1", "namespace": "toolforge"}, "revision": 1, "data": {}});
        let observed = observed_of("ControllerRevision", &[garbage]);
        assert!(observed.stored.is_empty());
        assert_eq!(observed.gaps[0].kind, "ControllerRevision");
        assert!(observed.gaps[0].why.contains("a-1"), "{:?}", observed.gaps);
    }
}
