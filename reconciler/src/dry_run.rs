//! Asks the API server what it would do. Nothing is written: every request says so (`dryRun=All`).

use crate::cluster::address;
use crate::cluster::call::{self, CallError};
use crate::execute::{FIELD_MANAGER, Speakers};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use http::Method;
use kube::Client;
use planner::kinds::Kind;
use planner::question::{Answered, DryRun, Question, Word};
use renderer::ToolName;

/// Questions in flight at once.
const AT_ONCE: usize = 4;

/// The answer to each question; what was not answered is known to be unknown, and why.
pub async fn ask(client: &Client, tool: &ToolName, questions: &[Question]) -> Vec<(Answered, Option<CallError>)> {
    let speakers = &Speakers::of(client, tool);
    // Collected: a closure over borrowed questions, kept across an await, makes the future unfit for `spawn`.
    let asked: Vec<_> = questions
        .iter()
        .map(|question| async move {
            let (word, error) = match ask_one(speakers, question).await {
                Ok(word) => (word, None),
                Err(error) => (Word::Unknown(error.to_string()), Some(error)),
            };
            // What the server says of it may repeat what it found, so it is told with the plan, which hides that.
            if let Word::Refused { code, .. } = &word {
                tracing::debug!(object = %question.id, code, "a dry run was refused");
            }
            (question.answered(word), error)
        })
        .collect();
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

async fn ask_one(speakers: &Speakers<'_>, question: &Question) -> Result<Word, CallError> {
    let Some(row) = Kind::of_id(&question.id) else {
        return Err(CallError::Garbage(format!("{} is no kind we speak", question.id.kind)));
    };
    let by = speakers.by(question.identity)?;
    let asking = [("dryRun", "All"), ("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")];
    let answer = match question.dry_run {
        DryRun::Create => {
            let path = address::collection(row, question.id.namespace.as_deref());
            call::send(by, Method::POST, &address::query(&path, &asking), &question.body).await
        }
        DryRun::Patch => {
            let path = address::query(&address::object(row, &question.id), &asking);
            call::patch(by, &path, call::JSON_PATCH, &question.body).await
        }
        DryRun::Apply => {
            let path = address::object(row, &question.id);
            let pairs = [&asking[..], &[("force", "true")]].concat();
            call::patch(by, &address::query(&path, &pairs), call::APPLY, &question.body).await
        }
    };
    word(answer)
}

fn word(answer: Result<Bytes, CallError>) -> Result<Word, CallError> {
    match answer.and_then(|bytes| call::parse(&bytes)) {
        Ok(made) => Ok(Word::Made(made)),
        Err(CallError::Refused(refusal)) if (400..500).contains(&refusal.code) && refusal.code != 429 => {
            let causes = refusal.details.as_ref().map(|details| &details.causes);
            let fields = causes.into_iter().flatten().map(|cause| cause.field.clone()).collect();
            Ok(Word::Refused { code: refusal.code, fields, message: refusal.message.clone() })
        }
        Err(error) => Err(error),
    }
}
