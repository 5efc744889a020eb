//! One desired object against the world: the same, a step, or held. Nothing here knows of other objects.

use crate::decide::Input;
use crate::drift::{self, ChangeKind, FieldChange};
use crate::fight;
use crate::identity;
use crate::kinds::Identity;
use crate::plan::{Action, Cause, Held, NotReady, Request, Step, Why};
use crate::question::Question;
use crate::rebased;
use crate::record::{newest_digest, platform_digest};
use crate::replace;
use crate::stored::StoredRevision;
use crate::terms::{Judged, Noted, Terms, is_tool};
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
    /// Only a dry run can tell.
    Asks(Box<Question>),
}

impl Verdict {
    /// The same, sent as somebody else.
    pub(crate) fn said_as(self, identity: Identity) -> Self {
        match self {
            Self::Step(step) => Self::Step(Step { identity, ..step }),
            Self::Asks(question) => Self::Asks(Box::new(Question { identity, ..*question })),
            other => other,
        }
    }
}

/// Compares one desired object with what is observed.
pub(crate) fn compare(desired: &Object, input: &Input) -> (Verdict, Option<Noted>) {
    match difference(desired, input) {
        (Verdict::Step(step), noted) => {
            let verdict = fight::left_alone(&step, input).map_or(Verdict::Step(step), Verdict::Held);
            (verdict, noted)
        }
        other => other,
    }
}

fn difference(desired: &Object, input: &Input) -> (Verdict, Option<Noted>) {
    let (id, observed) = (&desired.id, input.observed);
    let held = |why| (Verdict::Held(Held { id: id.clone(), action: None, why }), None);
    if let Some(gap) = observed.gap(id) {
        return held(Why::NotObserved(gap.why.clone()));
    }
    let Some(live) = observed.seen_live(id) else {
        let absent = known_absent(id, input) || presumed_absent(input);
        let verdict = if absent { create(desired, input) } else { Verdict::Unconfirmed(id.clone()) };
        return (verdict, Some(Noted::default()));
    };
    let terms = Terms::of(desired, input);
    let proof = terms.proof(live);
    if proof.is_some_and(|proof| observed.memo.holds(&proof)) {
        return (Verdict::Same(None), Some(Noted { proof, ..Noted::default() }));
    }
    let (judged, mut noted) = terms.judge(live);
    let verdict = match judged {
        Judged::Terminating => return held(Why::Terminating),
        Judged::NotOurs => return held(Why::NotOurs),
        Judged::Unclear => Verdict::Asks(Box::new(Question::create(desired))),
        Judged::Same(not_ready) => Verdict::Same(not_ready),
        Judged::Differs(drift) => differs(desired, live, drift, input),
    };
    if let (Verdict::Same(None), Some(noted)) = (&verdict, &mut noted) {
        // With a proof nothing else may be left to say.
        noted.proof = proof.filter(|_| noted.settled.is_empty() && noted.remark.is_none());
    }
    (verdict, noted)
}

/// A read said so; or its namespace is gone, and everything in it.
fn known_absent(id: &ObjectId, input: &Input) -> bool {
    let namespace = id.namespace.as_ref().map(|name| namespace_id(name));
    input.observed.is_absent(id) || namespace.is_some_and(|ns| input.observed.is_absent(&ns))
}

/// Before anything was Ready, where nobody has been but us, no read is worth its cost: a create is refused where the name
/// is taken, and then the next pass reads.
fn presumed_absent(input: &Input) -> bool {
    input.observed.untrodden && input.observed.stored.is_empty()
}

/// The id of a namespace.
pub(crate) fn namespace_id(name: &str) -> ObjectId {
    ObjectId { group: String::new(), kind: "Namespace".to_owned(), namespace: None, name: name.to_owned() }
}

fn create(desired: &Object, input: &Input) -> Verdict {
    let listed = input.observed.inventory.contains_key(&desired.id);
    let stored = input.observed.stored.first();
    let same_commit = |stored: &&StoredRevision| stored.revision.commit.as_ref() == input.newest_commit();
    let renders_otherwise =
        stored.filter(same_commit).is_some_and(|stored| stored.rendered.is_some() && we_changed(&[], stored, input));
    let cause = match (listed, renders_otherwise) {
        (true, _) => Cause::Drift { manager: None, time: None },
        (false, true) => Cause::PlatformChange,
        (false, false) => Cause::NewRevision,
    };
    Verdict::Step(Step {
        id: desired.id.clone(),
        action: Action::Create,
        cause,
        identity: identity::of(&desired.id),
        changes: Vec::new(),
        requests: vec![Request::Create { body: desired.value.clone() }],
    })
}

fn differs(desired: &Object, live: &Value, drift: drift::Drift, input: &Input) -> Verdict {
    let cause = cause(&drift.changes, input);
    let replaced =
        (!drift.immutable.is_empty()).then(|| replace::verdict(desired, live, &drift, &cause, input)).flatten();
    replaced.unwrap_or_else(|| configure(desired, drift, cause))
}

fn configure(desired: &Object, drift: drift::Drift, cause: Cause) -> Verdict {
    let mut requests = Vec::new();
    requests.extend(drift.patch.map(|operations| Request::Patch { operations }));
    if drift.apply {
        requests.push(Request::Apply { body: desired.value.clone() });
    }
    let (id, identity) = (desired.id.clone(), identity::of(&desired.id));
    Verdict::Step(Step { id, action: Action::Configure, cause, identity, changes: drift.changes, requests })
}

/// Somebody else's hand, if there is one; else what is new on our side; else somebody's hand all the same: who removes a
/// field leaves no trace, nor does who wipes out his own.
fn cause(changes: &[FieldChange], input: &Input) -> Cause {
    let foreign = changes.iter().filter_map(|change| change.by.as_ref()).find(|by| by.manager != input.field_manager);
    if let Some(by) = foreign {
        return Cause::Drift { manager: Some(by.manager.clone()), time: by.time.clone() };
    }
    let unknown = Cause::Drift { manager: None, time: None };
    let (Some(stored), Some(commit)) = (input.observed.stored.first(), input.newest_commit()) else {
        return Cause::NewRevision;
    };
    if stored.revision.commit.as_ref() != Some(commit) {
        Cause::NewRevision
    } else if changes.iter().all(|change| change.path.ends_with(".image")) {
        if rebased::is_pending(input) { Cause::NewRunImage } else { Cause::ImageReady }
    } else if changes.iter().any(|change| change.kind == ChangeKind::Intruder) || !we_changed(changes, stored, input) {
        unknown
    } else {
        Cause::PlatformChange
    }
}

/// We want something else than when this revision was stored: the platform file says so, or a version of ours does.
fn we_changed(changes: &[FieldChange], stored: &StoredRevision, input: &Input) -> bool {
    match (&stored.rendered, newest_digest(input)) {
        (Some(then), Some(now)) => *then != now,
        // Of a record from before there were digests only what is missing can be told.
        _ => changes.iter().any(|change| change.kind != ChangeKind::Added) || config_is_new(&stored.platform, input),
    }
}

/// The config repository says something that this tool has not had before.
fn config_is_new(stored_platform: &str, input: &Input) -> bool {
    let mut tool = input.frame.iter().filter(|object| is_tool(&object.id, input.tool.name.as_str()));
    let differs = |desired: &Object| {
        let live = input.observed.live(&desired.id);
        live.is_none_or(|live| !drift::drift(desired, live, &input.ownership(&desired.id)).is_none())
    };
    stored_platform != platform_digest(input.platform) || tool.any(differs)
}
