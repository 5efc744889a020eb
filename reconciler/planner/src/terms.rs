//! One live object against one desired: is it ours, is it as it should be, is it Ready? A function of exactly two things,
//! the live object and the [`Terms`], so that what was found once can be remembered ([`crate::memo`]).

use crate::autoscale;
use crate::decide::Input;
use crate::drift::{self, Drift, Ownership, Said, Settlement};
use crate::live::Live;
use crate::memo::Proof;
use crate::observed::{is_ours, is_terminating};
use crate::plan::NotReady;
use crate::question::{self, Answered, DryRun, Word};
use crate::readiness::{self, Readiness};
use crate::settled::{self, Settled};
use renderer::{Object, ObjectId};
use serde_json::Value;

/// Everything beside the live object that its judgement reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    desired: &'a Object,
    /// The tool's name.
    tool: &'a str,
    field_manager: &'a str,
    /// The uid under which the inventory lists it.
    listed: Option<&'a str>,
    autoscaled: bool,
    /// On what the server is known to insist, and what it answered, about whichever object.
    settled: &'a [Settled],
    answers: &'a [Answered],
}

/// What is true of the live object.
#[derive(Debug)]
pub(crate) enum Judged {
    Terminating,
    NotOurs,
    /// Only a dry run can tell.
    Unclear,
    /// It is as it should be, Ready or not.
    Same(Option<NotReady>),
    Differs(Drift),
}

/// What is worth noting about an object that could be looked at.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// Fields on which the API server insists.
    pub settled: Vec<Settled>,
    /// What could not be found out.
    pub remark: Option<String>,
    /// That there is nothing else to say.
    pub proof: Option<Proof>,
}

/// What the server has said about one desired object.
pub(crate) struct Known<'a> {
    settled: Vec<Settlement>,
    /// Its answer to a dry-run create.
    answer: Option<&'a Word>,
}

impl<'a> Terms<'a> {
    pub(crate) fn of(desired: &'a Object, input: &Input<'a>) -> Self {
        let observed = input.observed;
        Self {
            desired,
            tool: input.tool.name.as_str(),
            field_manager: input.field_manager,
            listed: observed.inventory.get(&desired.id).map(String::as_str),
            autoscaled: autoscale::is_autoscaled(&desired.id, observed),
            settled: &observed.settled,
            answers: &observed.answers,
        }
    }

    /// Judges it; what is to be noted is about what could be looked at.
    pub(crate) fn judge(&self, live: &Value) -> (Judged, Option<Noted>) {
        if is_terminating(live) {
            return (Judged::Terminating, None);
        }
        if !is_ours(live, self.listed, self.tool, self.field_manager) && !self.is_tool_itself() {
            return (Judged::NotOurs, None);
        }
        let known = self.known(live);
        let drift = drift::drift(self.desired, live, &known.ownership(self));
        let noted = Noted {
            settled: settled::rows(self.desired, live, drift.settled.clone()),
            remark: known.answer.and_then(|word| untold(&self.desired.id, &drift, word)),
            proof: None,
        };
        let judged = match (drift.needs_dry_run.is_empty(), known.answer) {
            // Who could not be told has been asked about already: what can't be told stays.
            (false, None) => Judged::Unclear,
            _ if drift.is_none() => Judged::Same(not_ready(&self.desired.id, live)),
            _ => Judged::Differs(drift),
        };
        (judged, Some(noted))
    }

    /// What it would take to know the judgement of this object without reading it. None where it has no stamp, or where
    /// the server has said something about it: that is rare.
    pub(crate) fn proof(&self, live: &Live) -> Option<Proof> {
        // Every field is named: what is added to the terms has to be added here.
        let Self { desired, tool, field_manager, listed, autoscaled, settled, answers } = self;
        let said = settled.iter().any(|row| row.is_of(&desired.id)) || answers.iter().any(|one| one.id == desired.id);
        let stamp = live.stamp().filter(|_| !said)?;
        let all = (&stamp.uid, stamp.digest, &desired.id, &desired.value, tool, field_manager, listed, autoscaled);
        serde_json::to_vec(&all).ok().map(|bytes| Proof::of(&bytes))
    }

    /// What the server has said about this desired object, as far as it is about this live one.
    pub(crate) fn known(&self, live: &Value) -> Known<'a> {
        let answer = question::answer(self.answers, self.desired, DryRun::Create);
        Known { settled: settled::known(self.settled, self.desired, live), answer }
    }

    /// The Tool is made by us under the tool's own name: nobody else has the right to make one, and its status is where
    /// the inventory lives, so it can't be listed in it before it exists.
    fn is_tool_itself(&self) -> bool {
        is_tool(&self.desired.id, self.tool)
    }
}

impl Known<'_> {
    /// Who owns what, in the light of it.
    pub(crate) fn ownership<'b>(&'b self, terms: &Terms<'b>) -> Ownership<'b> {
        let made = match self.answer {
            Some(Word::Made(made)) => Some(made),
            _ => None,
        };
        let Terms { field_manager, autoscaled, .. } = *terms;
        Ownership { field_manager, autoscaled, said: Said { made, settled: &self.settled } }
    }
}

/// Whether this is the id of the tool's own Tool.
pub(crate) fn is_tool(id: &ObjectId, tool: &str) -> bool {
    id.group == "toolforge.org" && id.kind == "Tool" && id.name == tool
}

/// Fields that nobody can tell about, because the dry run was refused.
fn untold(id: &ObjectId, drift: &Drift, word: &Word) -> Option<String> {
    let first = drift.needs_dry_run.first()?;
    let why = match word {
        Word::Made(_) => return None,
        Word::Refused { message, .. } | Word::Unknown(message) => message,
    };
    Some(format!("{id} {first}: left alone, because a dry run did not tell whose it is: {why}"))
}

fn not_ready(id: &ObjectId, live: &Value) -> Option<NotReady> {
    let (why, failed) = match readiness::of(live) {
        Readiness::Ready => return None,
        Readiness::InProgress(why) => (why, false),
        Readiness::Failed(why) => (why, true),
    };
    Some(NotReady { id: id.clone(), why, failed })
}
