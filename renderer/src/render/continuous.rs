//! A component that runs all the time: a Deployment, a disruption budget where it has several pods, and how it is
//! reached.
//!
//! **Replacing pods.** A new pod is Ready before an old one goes (surge 1, none unavailable), also with one replica: no
//! outage. Where the tool's quota does not hold one more pod, the rollout would wait forever; then several replicas
//! give up one at a time, and a single one is recreated, with a note.

use super::meta::{DEPLOYMENT, DISRUPTION_BUDGET, selector};
use super::resources::{Resources, no_room_for_one_more};
use super::{Frame, Note, Refusal, network, pod};
use crate::config::Component;
use crate::diagnostic::Code;
use crate::names::ComponentName;
use crate::object::Object;
use crate::rendered::ComponentKind;
use serde_json::{Map, Value, json};

pub(crate) fn objects(
    frame: &Frame<'_>,
    name: &ComponentName,
    component: &Component,
    replicas: u32,
) -> Result<(Vec<Object>, Option<Note>), Refusal> {
    let labels = selector(name, ComponentKind::Continuous);
    let (strategy, note) = strategy(frame, component, replicas)?;
    // Spread always: a template that depended on the number of replicas would restart pods whenever it changes.
    let spread = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }]);
    let extra = Map::from_iter([("topologySpreadConstraints".to_owned(), spread)]);
    let mut deployment = json!({"spec": {
        "replicas": replicas,
        "strategy": strategy,
        "selector": {"matchLabels": labels},
        "template": pod::template(frame, name, component, extra)?,
    }});
    if let Some(secs) = frame.platform.progress_deadline_secs {
        deployment["spec"]["progressDeadlineSeconds"] = secs.into();
    }
    let mut objects = vec![frame.object(DEPLOYMENT, name, component, deployment)];
    if replicas > 1 {
        // A pod that is not Ready protects nothing: without the policy a crash loop would block a node's drain.
        let budget = json!({"spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": labels},
        }});
        objects.push(frame.object(DISRUPTION_BUDGET, name, component, budget));
    }
    objects.extend(network::objects(frame, name, component)?);
    Ok((objects, note))
}

fn strategy(frame: &Frame<'_>, component: &Component, replicas: u32) -> Result<(Value, Option<Note>), Refusal> {
    let rolling = |surge: u32, unavailable: u32| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
    let full = no_room_for_one_more(&frame.quota, &Resources::of(&component.run, &frame.limits)?);
    let Some(full) = full.filter(|_| replicas > 0) else { return Ok((rolling(1, 0), None)) };
    let (strategy, how) = if replicas > 1 {
        (rolling(0, 1), "its pods are replaced one at a time, with one fewer meanwhile")
    } else {
        (json!({"type": "Recreate"}), "each rollout stops it for a moment")
    };
    let message = format!("the tool's quota ({full}) does not hold one more pod of this size, so {how}");
    Ok((strategy, Some(Note::new(Code::NoRoomToSurge, "run", message))))
}
