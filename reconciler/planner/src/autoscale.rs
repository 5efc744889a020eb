//! An autoscaler is declared by an observed HorizontalPodAutoscaler whose `scaleTargetRef` names the Deployment. Then
//! `replicas` is its business: we keep applying what is live until it owns the field, and leave it out from then on.

use crate::drift::owners_of;
use crate::observed::{Observed, Seen};
use renderer::{Object, ObjectId};
use serde_json::Value;
use std::borrow::Cow;

/// Whether an observed autoscaler names this Deployment.
pub(crate) fn is_autoscaled(id: &ObjectId, observed: &Observed) -> bool {
    // Where autoscalers can't be seen there may be one: its word is not taken back by guess.
    let unseen = observed.gaps.iter().any(|gap| gap.kind == "HorizontalPodAutoscaler");
    id.kind == "Deployment" && (unseen || has_autoscaler(id, observed))
}

fn has_autoscaler(id: &ObjectId, observed: &Observed) -> bool {
    observed.objects.iter().any(|(hpa, seen)| match seen {
        Seen::Live(value) => hpa.kind == "HorizontalPodAutoscaler" && hpa.namespace == id.namespace && names(value, id),
        Seen::Absent => false,
    })
}

fn names(autoscaler: &Value, id: &ObjectId) -> bool {
    let part = |key| autoscaler.pointer(&format!("/spec/scaleTargetRef/{key}")).and_then(Value::as_str);
    part("kind") == Some(id.kind.as_str()) && part("name") == Some(id.name.as_str())
}

/// The desired object with its autoscaler's word on `replicas`.
pub(crate) fn desired<'a>(object: &'a Object, observed: &Observed, field_manager: &str) -> Cow<'a, Object> {
    if !is_autoscaled(&object.id, observed) {
        return Cow::Borrowed(object);
    }
    let Some(live) = observed.live(&object.id) else { return Cow::Borrowed(object) };
    let mut object = object.clone();
    let Some(spec) = object.value.get_mut("spec").and_then(Value::as_object_mut) else { return Cow::Owned(object) };
    let somebody_else = owners_of(live, "spec.replicas").iter().any(|manager| manager != field_manager);
    match live.pointer("/spec/replicas") {
        Some(replicas) if !somebody_else => spec.insert("replicas".to_owned(), replicas.clone()),
        _ => spec.remove("replicas"),
    };
    Cow::Owned(object)
}
