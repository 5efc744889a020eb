//! A difference in a field that can't be changed: only another object can have it. That is a deletion, and treated as one.
//!
//! It is recognised before any write, by three words that must agree: the table of what can't be changed
//! ([`immutable`]); the server, which refuses our apply in a dry run over nothing but such fields; and the server again,
//! which would take the new object. A refusal over anything else is a mistake of ours or of a tool: then the apply is sent
//! as always, fails in the server's words, and the live object stays.
//!
//! What holds no data and runs nothing is replaced at once. Of a workload and a Service the plan says what it costs, and
//! waits until a person allows this one deletion, as any that the deletion budget holds (`toolforge prune --allow`). The
//! object is deleted under its uid; the next pass finds its name free and makes the new one. A one-off's Job needs none of
//! it: another key is another name.

use crate::compare::Verdict;
use crate::decide::Input;
use crate::drift::Drift;
use crate::identity;
use crate::kinds::{Kind, Replace};
use crate::observed::uid_of;
use crate::plan::{Action, Cause, Held, Request, Step, Why};
use crate::prune::doomed_id;
use crate::question::{self, DryRun, Question, Word};
use crate::schema::immutable;
use renderer::{Object, ObjectId};
use serde_json::Value;

/// What becomes of a difference in fields that can't be changed; none where an apply is what to try.
pub(crate) fn verdict(desired: &Object, live: &Value, drift: &Drift, cause: &Cause, input: &Input) -> Option<Verdict> {
    let id = &desired.id;
    let uid = uid_of(live)?;
    let held = |why| Some(Verdict::Held(Held { id: id.clone(), action: Some(Action::Replace), why }));
    let said = |dry_run| question::answer(&input.observed.answers, desired, dry_run);
    // A patch goes first, and leads to the same object.
    let (tried, question) = match &drift.patch {
        Some(patch) => (question::answer_to_patch(&input.observed.answers, id, patch), Question::patch(id, patch)),
        None => (said(DryRun::Apply), Question::apply(desired)),
    };
    let refusal = match tried {
        None => return Some(Verdict::Asks(Box::new(question))),
        Some(Word::Unknown(why)) => return held(Why::NotObserved(why.clone())),
        Some(Word::Refused { code: 422, fields, message }) if are_immutable(id, fields) => message,
        Some(Word::Refused { .. } | Word::Made(_)) => return None,
    };
    match said(DryRun::Create) {
        None => return Some(Verdict::Asks(Box::new(Question::create(desired)))),
        Some(Word::Unknown(why)) => return held(Why::NotObserved(why.clone())),
        Some(Word::Refused { message, .. }) => return held(Why::Invalid(message.clone())),
        Some(Word::Made(_)) => {}
    }
    match of(id) {
        Replace::Never => held(Why::Invalid(refusal.clone())),
        Replace::Asked(consequence) if !is_allowed(id, uid, input) => {
            held(Why::PruneGuard(terms(id, uid, consequence, input)))
        }
        Replace::Asked(_) | Replace::Freely(_) => Some(Verdict::Step(Step {
            id: id.clone(),
            action: Action::Replace,
            cause: cause.clone(),
            identity: identity::of(id),
            changes: drift.changes.clone(),
            requests: vec![Request::Delete { uid: uid.to_owned() }],
        })),
    }
}

/// How an object may be replaced.
#[must_use]
pub fn of(id: &ObjectId) -> Replace {
    Kind::of_id(id).filter(|row| !row.protected).map_or(Replace::Never, |row| row.replace)
}

/// The server complains of fields that can't be changed, and of nothing else.
fn are_immutable(id: &ObjectId, fields: &[String]) -> bool {
    !fields.is_empty() && fields.iter().all(|field| immutable::explains(id, field))
}

fn is_allowed(id: &ObjectId, uid: &str, input: &Input) -> bool {
    input.pin().allow_prune.as_deref() == Some(doomed_id(&[(id.clone(), uid.to_owned())]).as_str())
}

fn terms(id: &ObjectId, uid: &str, consequence: &str, input: &Input) -> String {
    let allow = doomed_id(&[(id.clone(), uid.to_owned())]);
    let tool = &input.tool.name;
    format!(
        "it differs in a field that can't be changed, and is deleted and made anew only when allowed: {consequence}; \
         `toolforge prune {tool} --allow {allow}` allows it"
    )
}
