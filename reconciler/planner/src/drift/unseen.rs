//! Objects whose content is nobody's business here: of a Secret only the metadata is watched. Whose each value is stands
//! in it all the same, and an annotation of ours says which values we wrote last; so what is there is told without being
//! read. A value that we own is the one we wrote, for whoever writes another owns it from then on.

use crate::fields::{FieldSet, Operation, PathElement, entries};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Stands for a value that somebody else wrote.
const UNSEEN: &str = "unseen";

/// The live object with as much of its `hidden` fields as its owners tell.
pub(super) fn completed<'a>(desired: &Value, live: &'a Value, hidden: &[&str], field_manager: &str) -> Cow<'a, Value> {
    if hidden.is_empty() || hidden.iter().any(|field| live.get(field).is_some()) {
        return Cow::Borrowed(live);
    }
    let (entries, _) = entries(live);
    let mut completed = live.clone();
    for field in hidden {
        let element = PathElement::field(field);
        let below =
            |fields: &FieldSet| fields.below(&element).elements().map(|e| e.name().to_owned()).collect::<Vec<_>>();
        let ours = |entry: &&crate::fields::ManagedFieldsEntry| {
            entry.manager == field_manager && entry.operation == Operation::Apply
        };
        let own: BTreeSet<String> = entries.iter().filter(ours).flat_map(|entry| below(&entry.fields)).collect();
        let all: BTreeSet<String> = entries.iter().flat_map(|entry| below(&entry.fields)).collect();
        let wanted = |name: &str| desired.get(field).and_then(|values| values.get(name)).cloned();
        let value = |name: &String| wanted(name).filter(|_| own.contains(name)).unwrap_or_else(|| UNSEEN.into());
        let values: Map<String, Value> = all.iter().map(|name| (name.clone(), value(name))).collect();
        if !values.is_empty() {
            completed[*field] = values.into();
        }
    }
    Cow::Owned(completed)
}

#[cfg(test)]
mod tests {
    use super::super::{ChangeKind, Ownership, drift};
    use renderer::Object;
    use serde_json::{Value, json};

    fn desired(values: Value, mark: &str) -> Object {
        Object::new(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "namespace": "tool-a", "annotations": {"toolforge.org/values": mark}},
            "data": values}))
        .expect("an object")
    }

    fn entry(manager: &str, operation: &str, keys: &[&str]) -> Value {
        let data: serde_json::Map<String, Value> = keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
            "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:data": data}})
    }

    fn live(entries: &[Value]) -> Value {
        let mut ours = entry("toolforge", "Apply", &[]);
        ours["fieldsV1"] = json!({"f:metadata": {"f:annotations": {"f:toolforge.org/values": {}}}});
        let mut entries = entries.to_vec();
        entries[0]["fieldsV1"]["f:metadata"] = ours["fieldsV1"]["f:metadata"].clone();
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "tool-a", "uid": "1",
            "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"toolforge.org/values": "one"}, "managedFields": entries}})
    }

    fn changes(desired: &Object, live: &Value) -> Vec<(String, ChangeKind)> {
        let drift = drift(desired, live, &Ownership::of("toolforge"));
        assert!(!format!("{drift:?}").contains("canary"), "{drift:?}");
        drift.changes.into_iter().map(|change| (change.path, change.kind)).collect()
    }

    #[test]
    fn a_secret_that_nobody_touched_is_in_sync_though_its_values_are_not_read() {
        let ours = live(&[entry("toolforge", "Apply", &["A", "B"])]);
        assert_eq!(changes(&desired(json!({"A": "x", "B": "y"}), "one"), &ours), []);
    }

    #[test]
    fn another_value_an_edited_one_a_stranger_s_and_one_too_few_are_told_by_owner_and_mark() {
        let both = live(&[entry("toolforge", "Apply", &["A", "B"])]);
        let mark = "metadata.annotations[toolforge.org/values]";
        let wanted = || desired(json!({"A": "x", "B": "y"}), "one");
        let told = changes(&desired(json!({"A": "x", "B": "y"}), "two"), &both);
        assert!(matches!(&told[..], [(_, ChangeKind::Reverted)]), "{mark}: {told:?}");
        let edited = live(&[entry("toolforge", "Apply", &["B"]), entry("kubectl-edit", "Update", &["A"])]);
        assert_eq!(changes(&wanted(), &edited), [("data.A".to_owned(), ChangeKind::Reverted)]);
        let added = live(&[entry("toolforge", "Apply", &["A", "B"]), entry("kubectl-edit", "Update", &["C"])]);
        assert_eq!(changes(&wanted(), &added), [("data.C".to_owned(), ChangeKind::Intruder)]);
        let missing = live(&[entry("toolforge", "Apply", &["A"])]);
        assert_eq!(changes(&wanted(), &missing), [("data.B".to_owned(), ChangeKind::Added)]);
        let more = changes(&desired(json!({"A": "x"}), "one"), &both);
        assert_eq!(more, [("data.B".to_owned(), ChangeKind::Removed)]);
    }
}
