//! Values that can't be known, by somebody who may not read the platform's keys or because the platform has them no more:
//! they are taken for unchanged, by the Secrets that stand in the cluster, so that everything else of a component is planned
//! and healed as it would be.

use super::Subject;
use planner::observed::Observed;
use renderer::render::{SEALED, VALUES, sealed_name};
use renderer::secrets::LiveSecret;
use renderer::{ComponentName, RenderedComponent};
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

/// Each component's Secret, as it is there and as what runs refers to it: a Secret that lost its mark, its record of who set
/// what, or its life takes nothing from what runs. None where they could not be read: that is not "none".
pub(super) fn live(observed: &Observed) -> Option<BTreeMap<String, LiveSecret>> {
    observed.secrets.as_ref()?;
    let mut all: BTreeMap<String, LiveSecret> = BTreeMap::new();
    let live = || observed.objects.keys().filter_map(|id| Some((id, observed.live(id)?)));
    for (id, secret) in live().filter(|(id, _)| id.kind == "Secret") {
        let Some(component) = id.name.strip_prefix(SEALED) else { continue };
        all.insert(component.to_owned(), LiveSecret { mark: mark(secret), keys: keys(secret) });
    }
    let templates = ["/spec/template", "/spec/jobTemplate/spec/template"];
    for template in live().flat_map(|(_, object)| templates.iter().filter_map(|at| object.pointer(at))) {
        for (component, key) in referred(template) {
            let secret = all.entry(component.to_owned()).or_default();
            secret.keys.insert(key.to_owned());
            secret.mark = secret.mark.take().or_else(|| mark(template));
        }
    }
    Some(all)
}

fn mark(object: &Value) -> Option<String> {
    object.pointer("/metadata/annotations")?.get(VALUES)?.as_str().map(str::to_owned)
}

/// The keys of its `data`, which is not read: whoever set one is on record.
fn keys(secret: &Value) -> BTreeSet<String> {
    let sets = secret.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let data = sets.filter_map(|set| set.pointer("/fieldsV1/f:data")?.as_object());
    data.flat_map(|data| data.keys()).filter_map(|key| key.strip_prefix("f:")).map(str::to_owned).collect()
}

/// The components' Secrets that pods take variables from, with the keys.
fn referred(template: &Value) -> impl Iterator<Item = (&str, &str)> {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let env = containers.filter_map(|container| container.get("env")?.as_array()).flatten();
    env.filter_map(|variable| {
        let from = variable.pointer("/valueFrom/secretKeyRef")?;
        let text = |field: &str| from.get(field).and_then(Value::as_str);
        Some((text("name")?.strip_prefix(SEALED)?, text("key")?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::observed::Seen;
    use renderer::ObjectId;
    use serde_json::json;

    #[test]
    fn the_keys_of_a_secret_are_known_without_its_data() {
        let set = |keys: Value| json!({"manager": "m", "fieldsV1": {"f:data": keys, "f:metadata": {"f:labels": {}}}});
        let fields = [set(json!({".": {}, "f:USER": {}})), set(json!({"f:PASSWORD": {}})), json!({"manager": "n"})];
        let secret = json!({"metadata": {"managedFields": fields}});
        assert_eq!(keys(&secret), ["PASSWORD", "USER"].map(str::to_owned).into());
    }

    fn object(kind: &str, name: &str, value: Value) -> (ObjectId, Seen) {
        let (namespace, group) = (Some("tool-a".to_owned()), String::new());
        (ObjectId { group, kind: kind.to_owned(), namespace, name: name.to_owned() }, Seen::Live(value.into()))
    }

    #[test]
    fn what_runs_says_what_it_has_whatever_became_of_the_secret_and_what_is_unread_is_unknown() {
        let from = json!({"name": "toolforge-secrets.web", "key": "USER"});
        let container =
            json!({"env": [{"name": "USER", "valueFrom": {"secretKeyRef": from}}, {"name": "X", "value": "y"}]});
        let template = json!({"metadata": {"annotations": {VALUES: "m1"}}, "spec": {"containers": [container]}});
        let mut observed = Observed::default();
        observed.objects.extend([object("Deployment", "web", json!({"spec": {"template": template}}))]);
        assert_eq!(live(&observed), None, "Secrets could not be read");
        observed.secrets = Some(BTreeSet::new());
        let expected = LiveSecret { mark: Some("m1".to_owned()), keys: ["USER".to_owned()].into() };
        assert_eq!(live(&observed), Some([("web".to_owned(), expected)].into()));
        // Its own mark counts first.
        let secret = json!({"metadata": {"annotations": {VALUES: "m2"}}});
        observed.objects.extend([object("Secret", "toolforge-secrets.web", secret)]);
        let found = live(&observed).expect("known");
        assert_eq!((found["web"].mark.as_deref(), found["web"].keys.len()), (Some("m2"), 1));
    }
}
