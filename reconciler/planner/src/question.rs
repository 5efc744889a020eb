//! Questions that only the API server can answer, asked by a dry run: it goes the whole way, defaults and admission
//! included, and writes nothing. A plan that depends on an answer holds the question ([`crate::plan::Plan::questions`]);
//! the shell asks, adds the answer to [`crate::observed::Observed`] and plans again, as with names to be confirmed.
//!
//! *Create* asks what the server makes of our object alone. It can't be asked under the object's own name, for that is
//! taken, and not under a generated one, for then admission sees no name at all. So it is asked under a name of its own,
//! made from the object's and as long as the strictest kind allows (a CronJob's 52 characters). Admission that judges by
//! names, or by what stands beside an object (two routes for one host), may refuse it: then nothing was learned, and
//! nothing is removed.
//!
//! *Apply* and *patch* ask whether the server would take what we are about to send.
//!
//! Whoever may only read is refused, and plans without the answer.

use crate::drift::digest;
use crate::identity;
use crate::kinds::Identity;
use renderer::{Object, ObjectId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands at the end of the name under which a create is asked about.
const SUFFIX: &str = "-dry-run";
/// Longest name that every kind of ours allows, in bytes.
const NAME_BYTES: usize = 52;

/// One question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The object it is about.
    pub id: ObjectId,
    /// What is asked.
    pub dry_run: DryRun,
    /// As whom: an answer to somebody else would be another one.
    pub identity: Identity,
    /// What is sent.
    pub body: Value,
    /// sha256 of the desired object, or of the patch: an answer is about this one and no other.
    pub desired: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DryRun {
    /// A create of the desired object under a name of its own.
    Create,
    /// Our apply of the desired object.
    Apply,
    /// Our JSON patch of the live one.
    Patch,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The object it is about.
    pub id: ObjectId,
    /// What was asked.
    pub dry_run: DryRun,
    /// sha256 of the desired object, or of the patch.
    pub desired: String,
    /// The answer.
    pub word: Word,
}

/// The server's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Word {
    /// What it would store.
    Made(Value),
    /// It would refuse.
    Refused {
        /// HTTP status.
        code: u16,
        /// The fields it names, as far as it does.
        fields: Vec<String>,
        /// Its words.
        message: String,
    },
    /// It was not reached, or not understood.
    Unknown(String),
}

impl Question {
    /// What does the server make of this object alone?
    #[must_use]
    pub fn create(desired: &Object) -> Self {
        let mut body = desired.value.clone();
        body["metadata"]["name"] = Value::from(other_name(&desired.id.name));
        let (id, identity) = (desired.id.clone(), identity::of(&desired.id));
        Self { id, dry_run: DryRun::Create, identity, body, desired: digest(&desired.value) }
    }

    /// Would the server take our apply of this object?
    #[must_use]
    pub fn apply(desired: &Object) -> Self {
        let body = desired.value.clone();
        let (id, identity) = (desired.id.clone(), identity::of(&desired.id));
        Self { id, dry_run: DryRun::Apply, identity, desired: digest(&body), body }
    }

    /// Would the server take our patch of this object?
    #[must_use]
    pub fn patch(id: &ObjectId, operations: &Value) -> Self {
        let (body, desired) = (operations.clone(), digest(operations));
        Self { id: id.clone(), dry_run: DryRun::Patch, identity: identity::of(id), body, desired }
    }

    /// The answer to it.
    #[must_use]
    pub fn answered(&self, word: Word) -> Answered {
        Answered { id: self.id.clone(), dry_run: self.dry_run, desired: self.desired.clone(), word }
    }
}

/// The answer about this desired object, where it was asked for.
pub(crate) fn answer<'a>(answers: &'a [Answered], desired: &Object, dry_run: DryRun) -> Option<&'a Word> {
    answer_about(answers, &desired.id, &desired.value, dry_run)
}

/// The answer about this patch, where it was asked for.
pub(crate) fn answer_to_patch<'a>(answers: &'a [Answered], id: &ObjectId, operations: &Value) -> Option<&'a Word> {
    answer_about(answers, id, operations, DryRun::Patch)
}

fn answer_about<'a>(answers: &'a [Answered], id: &ObjectId, what: &Value, dry_run: DryRun) -> Option<&'a Word> {
    let about = |answer: &&Answered| answer.id == *id && answer.dry_run == dry_run;
    let mut found = answers.iter().filter(about).peekable();
    // Nearly nobody was asked about, and needs no digest.
    found.peek()?;
    let digest = digest(what);
    found.find(|answer| answer.desired == digest).map(|answer| &answer.word)
}

fn other_name(name: &str) -> String {
    // Names are ASCII; a cut never ends in what no name ends in.
    let end = name.len().min(NAME_BYTES - SUFFIX.len());
    format!("{}{SUFFIX}", name.get(..end).unwrap_or_default().trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, replicas: u32) -> Object {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "tool-a"}, "spec": {"replicas": replicas}});
        Object::new(value).expect("an object")
    }

    #[test]
    fn a_create_is_asked_under_a_name_that_every_kind_takes() {
        assert_eq!(other_name("web"), "web-dry-run");
        let long = other_name(&format!("{}-{}", "a".repeat(43), "b".repeat(19)));
        assert_eq!(long, format!("{}-dry-run", "a".repeat(43)));
        let question = Question::create(&object("web", 1));
        assert_eq!(question.body["metadata"]["name"], "web-dry-run");
        assert_eq!(question.body["spec"], json!({"replicas": 1}));
        assert_eq!(question.id.name, "web");
    }

    #[test]
    fn an_answer_is_about_one_desired_object_and_one_question() {
        let answers = [Question::create(&object("web", 1)).answered(Word::Unknown("no answer".into()))];
        assert!(answer(&answers, &object("web", 1), DryRun::Create).is_some());
        assert!(answer(&answers, &object("web", 2), DryRun::Create).is_none());
        assert!(answer(&answers, &object("web", 1), DryRun::Apply).is_none());
        assert!(answer(&answers, &object("bot", 1), DryRun::Create).is_none());
    }
}
