//! Values that can't be known, by somebody who may not read the platform's keys or because the platform has them no more:
//! they are taken for unchanged, by the Secrets that stand in the cluster, so that everything else of a component is planned
//! and healed as it would be.

use super::Subject;
use planner::observed::{Observed, Seen};
use renderer::render::{SEALED, VALUES, sealed_name};
use renderer::secrets::LiveSecret;
use renderer::{ComponentName, ObjectId, RenderedComponent};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

impl Subject {
    /// Components of the newest revision whose values whoever looks can't know, so that they are taken for unchanged.
    #[must_use]
    pub fn unseen(&self) -> Vec<ComponentName> {
        let Some(newest) = self.newest.as_ref().ok().filter(|_| self.vault.is_elsewhere()) else { return Vec::new() };
        let has_values = |component: &RenderedComponent| {
            component.objects.iter().any(|object| object.id.name == sealed_name(&component.name))
        };
        self.render(newest).components.into_iter().filter(has_values).map(|component| component.name).collect()
    }
}

/// Each component's Secret, as it is there.
pub(super) fn live(observed: &Observed) -> BTreeMap<String, LiveSecret> {
    let of = |(id, seen): (&ObjectId, &Seen)| {
        let (Some(component), Seen::Live(live)) = (id.name.strip_prefix(SEALED), seen) else { return None };
        let mark = live.pointer("/metadata/annotations").and_then(|marks| marks.get(VALUES)).and_then(Value::as_str);
        let secret = LiveSecret { mark: mark.map(str::to_owned), keys: keys(live) };
        (id.kind == "Secret").then(|| (component.to_owned(), secret))
    };
    observed.objects.iter().filter_map(of).collect()
}

/// The keys of its `data`, which is not read: whoever set one is on record.
fn keys(secret: &Value) -> BTreeSet<String> {
    let sets = secret.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let data = sets.filter_map(|set| set.pointer("/fieldsV1/f:data")?.as_object());
    data.flat_map(|data| data.keys()).filter_map(|key| key.strip_prefix("f:")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_keys_of_a_secret_are_known_without_its_data() {
        let set = |keys: Value| json!({"manager": "m", "fieldsV1": {"f:data": keys, "f:metadata": {"f:labels": {}}}});
        let fields = [set(json!({".": {}, "f:USER": {}})), set(json!({"f:PASSWORD": {}})), json!({"manager": "n"})];
        let secret = json!({"metadata": {"managedFields": fields}});
        assert_eq!(keys(&secret), ["PASSWORD", "USER"].map(str::to_owned).into());
    }
}
