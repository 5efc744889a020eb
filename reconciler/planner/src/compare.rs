//! One desired object against the world: the same, a step, or held. Nothing here knows of other objects.

use crate::decide::Input;
use crate::drift::{self, ChangeKind, FieldChange};
use crate::fight;
use crate::observed::is_terminating;
use crate::plan::{Action, Cause, Held, NotReady, Request, Step, Why};
use crate::readiness::{self, Readiness};
use crate::record::platform_digest;
use renderer::{Object, ObjectId};
use serde_json::Value;

/// What is to be done about one desired object.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is as it should be, Ready or not.
    Same(Option<NotReady>),
    /// It differs.
    Step(Step),
    /// It can't be touched.
    Held(Held),
    /// Whether it exists is not known.
    Unconfirmed(ObjectId),
}

/// Compares one desired object with what is observed.
pub(crate) fn compare(desired: &Object, input: &Input) -> Verdict {
    match difference(desired, input) {
        Verdict::Step(step) => fight::left_alone(&step, input).map_or(Verdict::Step(step), Verdict::Held),
        verdict => verdict,
    }
}

fn difference(desired: &Object, input: &Input) -> Verdict {
    let (id, observed) = (&desired.id, input.observed);
    let held = |why| Verdict::Held(Held { id: id.clone(), action: None, why });
    if let Some(gap) = observed.gap(id) {
        return held(Why::NotObserved(gap.why.clone()));
    }
    let Some(live) = observed.live(id) else {
        return if known_absent(id, input) { create(desired, input) } else { Verdict::Unconfirmed(id.clone()) };
    };
    if is_terminating(live) {
        return held(Why::Terminating);
    }
    if !observed.owns(id, live, input.tool.name.as_str(), input.field_manager) && !is_tool_itself(id, input) {
        return held(Why::NotOurs);
    }
    let drift = drift::drift(desired, live, &input.ownership(id));
    if drift.is_none() { Verdict::Same(not_ready(id, live)) } else { configure(desired, drift, input) }
}

/// A read said so; or its namespace is gone, and everything in it.
fn known_absent(id: &ObjectId, input: &Input) -> bool {
    let namespace = id.namespace.as_ref().map(|name| namespace_id(name));
    input.observed.is_absent(id) || namespace.is_some_and(|ns| input.observed.is_absent(&ns))
}

/// The Tool is made by us under the tool's own name: nobody else has the right to make one, and its status is where the
/// inventory lives, so it can't be listed in it before it exists.
fn is_tool_itself(id: &ObjectId, input: &Input) -> bool {
    id.group == "toolforge.org" && id.kind == "Tool" && id.name == input.tool.name.as_str()
}

/// The id of a namespace.
pub(crate) fn namespace_id(name: &str) -> ObjectId {
    ObjectId { group: String::new(), kind: "Namespace".to_owned(), namespace: None, name: name.to_owned() }
}

fn create(desired: &Object, input: &Input) -> Verdict {
    let listed = input.observed.inventory.contains_key(&desired.id);
    let cause = if listed { Cause::Drift { manager: None, time: None } } else { Cause::NewRevision };
    Verdict::Step(Step {
        id: desired.id.clone(),
        action: Action::Create,
        cause,
        changes: Vec::new(),
        requests: vec![Request::Apply { body: desired.value.clone() }],
    })
}

fn configure(desired: &Object, drift: drift::Drift, input: &Input) -> Verdict {
    let mut requests = Vec::new();
    requests.extend(drift.patch.map(|operations| Request::Patch { operations }));
    if drift.apply {
        requests.push(Request::Apply { body: desired.value.clone() });
    }
    let cause = cause(&drift.changes, input);
    Verdict::Step(Step { id: desired.id.clone(), action: Action::Configure, cause, changes: drift.changes, requests })
}

/// Somebody else's hand, if there is one; else what is new on our side; else somebody's hand all the same: who removes a
/// field leaves no trace.
fn cause(changes: &[FieldChange], input: &Input) -> Cause {
    let foreign = changes.iter().filter_map(|change| change.by.as_ref()).find(|by| by.manager != input.field_manager);
    if let Some(by) = foreign {
        return Cause::Drift { manager: Some(by.manager.clone()), time: by.time.clone() };
    }
    let (Some(stored), Some(commit)) = (input.observed.stored.first(), input.newest_commit()) else {
        return Cause::NewRevision;
    };
    let is_missing = |change: &FieldChange| change.kind == ChangeKind::Added;
    if stored.revision.commit.as_ref() != Some(commit) {
        Cause::NewRevision
    } else if changes.iter().all(|change| change.path.ends_with(".image")) {
        Cause::ImageReady
    } else if changes.iter().all(is_missing) && !config_is_new(&stored.platform, input) {
        Cause::Drift { manager: None, time: None }
    } else {
        Cause::PlatformChange
    }
}

/// The config repository says something that this tool has not had before.
fn config_is_new(stored_platform: &str, input: &Input) -> bool {
    let mut tool = input.frame.iter().filter(|object| is_tool_itself(&object.id, input));
    let differs = |desired: &Object| {
        let live = input.observed.live(&desired.id);
        live.is_none_or(|live| !drift::drift(desired, live, &input.ownership(&desired.id)).is_none())
    };
    stored_platform != platform_digest(input.platform) || tool.any(differs)
}

fn not_ready(id: &ObjectId, live: &Value) -> Option<NotReady> {
    let (why, failed) = match readiness::of(live) {
        Readiness::Ready => return None,
        Readiness::InProgress(why) => (why, false),
        Readiness::Failed(why) => (why, true),
    };
    Some(NotReady { id: id.clone(), why, failed })
}
