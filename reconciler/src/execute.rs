//! Does what a plan says, and nothing else: no decision is left, no failure is hidden, nothing is tried twice.
//!
//! Steps go in the plan's order. Neighbours of one kind order have nothing to wait for in each other and go side by
//! side; the next order begins when they are done. A failed request ends its own step and no other: whoever depends on
//! it fails with the server's own words, and the next pass plans anew. Only where a name is taken that was to be new,
//! nothing of a later order is sent: the plan did not know the place.
//!
//! A step says as whom it is sent; a tool's deployer is the one of the plan's tool, whatever the step is about.

use crate::cluster::address;
use crate::cluster::call::{self, Answer, By, CallError};
use crate::registry::{Reference, Registry, RegistryError};
use crate::secrets::{Unfilled, Vault};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::{HeaderValue, Method};
use kube::Client;
use planner::identity;
use planner::kinds::{self, Identity, Kind};
use planner::observed::uid_of;
use planner::outcome::{Failure, FailureKind, Outcome, Row, RowResult};
use planner::plan::{Action, Plan, Request, Step};
use planner::settled::{self, Settled};
use renderer::{Digest, ObjectId, ToolName};
use serde_json::{Value, json};

/// Under which name we apply: all our fields in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "toolforge";

/// A version that no object ever has: the store counts every write from 2 on.
const NO_VERSION: &str = "1";

/// What the server says of it in other words.
const TAKEN: &str = "the name was taken by the time it was to be made";

/// Steps of one order in flight at once.
const AT_ONCE: usize = 8;

/// Where steps are sent.
#[derive(Clone, Copy)]
pub struct Doors<'a> {
    /// The cluster.
    pub client: &'a Client,
    /// The registry.
    pub registry: &'a Registry,
    /// What opens the values of Secrets, which stand encrypted in the plan.
    pub vault: &'a Vault,
}

/// Executes a plan. `learn` is given the server's answers as they come; see `World::learn`.
pub async fn execute(doors: Doors<'_>, plan: &Plan, learn: &(dyn Fn(&ObjectId, &Answer) + Sync)) -> Outcome {
    let mut outcome = Outcome::default();
    let speakers = Speakers::of(doors.client, &plan.tool);
    for together in plan.steps.chunk_by(|a, b| place(a) == place(b)) {
        if outcome.failures().any(|(row, failure)| is_taken(row.action, failure)) {
            outcome.rows.extend(together.iter().map(unsent));
            continue;
        }
        // Collected: a closure over borrowed steps, kept across an await, makes the future unfit for `spawn`.
        let steps: Vec<_> = together.iter().map(|step| execute_step(doors, &speakers, step, learn)).collect();
        for (row, settled) in stream::iter(steps).buffered(AT_ONCE).collect::<Vec<_>>().await {
            outcome.rows.push(row);
            outcome.settled.extend(settled);
        }
    }
    outcome
}

/// The plan took for absent what is there: whatever stands on it waits for a better one.
fn is_taken(action: Action, failure: &Failure) -> bool {
    action == Action::Create && failure.kind == FailureKind::Stale
}

fn unsent(step: &Step) -> Row {
    let message = "not sent: the plan did not know of an object that is there".to_owned();
    let failure = Failure { kind: FailureKind::Stale, message, retry_after_secs: None };
    Row { id: step.id.clone(), action: step.action, result: RowResult::Failed(failure) }
}

/// Neighbours with the same place go side by side.
fn place(step: &Step) -> (u8, bool, bool) {
    (kinds::order(&step.id), step.action == Action::Prune, step.is_scale_down())
}

/// As whom requests are sent.
pub(crate) struct Speakers<'a> {
    client: &'a Client,
    deployer: Option<HeaderValue>,
}

impl<'a> Speakers<'a> {
    /// Ourselves, and the deployer of this tool.
    pub(crate) fn of(client: &'a Client, tool: &ToolName) -> Self {
        Self { client, deployer: HeaderValue::try_from(identity::deployer(tool)).ok() }
    }

    /// Whoever it is; an error where nobody could be named, so that nothing is ever sent with more rights.
    pub(crate) fn by(&self, identity: Identity) -> Result<By<'_>, CallError> {
        match (identity, &self.deployer) {
            (Identity::Platform, _) => Ok(self.client.into()),
            (Identity::Deployer, Some(user)) => Ok(By::user(self.client, Some(user))),
            (Identity::Deployer, None) => Err(CallError::NoAnswer("the tool's name makes no header".to_owned())),
        }
    }
}

async fn execute_step(
    doors: Doors<'_>,
    speakers: &Speakers<'_>,
    step: &Step,
    learn: &(dyn Fn(&ObjectId, &Answer) + Sync),
) -> (Row, Vec<Settled>) {
    let row = |result| Row { id: step.id.clone(), action: step.action, result };
    let mut last = None;
    for request in &step.requests {
        match send(doors, speakers, step, request).await {
            Ok(None) => {}
            Ok(Some(answer)) => {
                learn(&step.id, &answer);
                last = Some(answer);
            }
            Err(failure) => {
                if is_taken(step.action, &failure) {
                    learn(&step.id, &Answer::Taken);
                }
                return (row(RowResult::Failed(failure)), Vec::new());
            }
        }
    }
    let made = last.filter(|_| !matches!(step.action, Action::Prune | Action::Replace)).as_ref().and_then(object_of);
    let settled = made.as_ref().map_or_else(Vec::new, |made| settled::learnt(step, made, FIELD_MANAGER));
    let uid = made.as_ref().and_then(uid_of).map(str::to_owned);
    (row(RowResult::Done { uid }), settled)
}

/// The API server's answer; none where it was not asked.
async fn send(
    doors: Doors<'_>,
    speakers: &Speakers<'_>,
    step: &Step,
    request: &Request,
) -> Result<Option<Answer>, Failure> {
    let id = &step.id;
    if let Request::Promote { from, digest, to } = request {
        let promoted = promote(doors.registry, from, digest, to).await;
        return promoted.map(|()| None).map_err(|error| unpromoted(&error));
    }
    let Some(row) = Kind::of_id(id) else {
        let message = format!("{} is no kind we speak", id.kind);
        return Err(Failure { kind: FailureKind::Invalid, message, retry_after_secs: None });
    };
    let path = address::object(row, id);
    let filled = filled(doors, (row, id), request).await?;
    let request = filled.as_ref().unwrap_or(request);
    let by = speakers.by(step.identity).map_err(|error| failure(row, request, &error))?;
    let answer = match request {
        Request::Create { body } => {
            let made = create(by, &path, body).await.map(|bytes| Answer::Made(without_content(row, bytes)));
            return made.map(Some).map_err(|error| failure(row, request, &error));
        }
        Request::Apply { body } => call::apply(by, &path, FIELD_MANAGER, body).await,
        Request::Patch { operations } => {
            let path = address::query(&path, &[("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]);
            call::patch(by, &path, call::JSON_PATCH, operations).await
        }
        Request::Delete { uid } => {
            let deleted = delete(by, row, &path, uid).await;
            return deleted.map(Some).map_err(|error| failure(row, request, &error));
        }
        Request::Promote { .. } => return Ok(None),
    };
    answer.map(|bytes| Some(Answer::Object(without_content(row, bytes)))).map_err(|error| failure(row, request, &error))
}

/// The request with values in it, where the plan has ciphertexts. It lives as long as it takes to send it.
async fn filled(
    doors: Doors<'_>,
    (row, id): (&Kind, &ObjectId),
    request: &Request,
) -> Result<Option<Request>, Failure> {
    let refused = |why: Unfilled| {
        let message = why.to_string();
        let kind = match why {
            Unfilled::Unread { error, .. } => return Failure { message, ..failure(row, request, &error) },
            Unfilled::NoKeys => FailureKind::Denied,
            Unfilled::NoCredential(_) => FailureKind::Missing,
            Unfilled::NoCiphertext(_) | Unfilled::Refused { .. } => FailureKind::Invalid,
        };
        Failure { kind, message, retry_after_secs: None }
    };
    let (Request::Create { body } | Request::Apply { body } | Request::Patch { operations: body }) = request else {
        return Ok(None);
    };
    let credentials = doors.vault.credentials(doors.client, id, body).await.map_err(refused)?;
    let filled = doors.vault.fill(id, body, &credentials).map_err(refused)?;
    Ok(filled.map(|body| match request {
        Request::Create { .. } => Request::Create { body },
        Request::Patch { .. } => Request::Patch { operations: body },
        _ => Request::Apply { body },
    }))
}

/// What nobody may see is not taken further than here.
fn without_content(row: &Kind, answer: Bytes) -> Bytes {
    if row.secret_paths.is_empty() {
        return answer;
    }
    let Ok(Value::Object(mut object)) = serde_json::from_slice(&answer) else { return Bytes::new() };
    object.retain(|field, _| !row.secret_paths.contains(&field.as_str()));
    Bytes::from(Value::Object(object).to_string())
}

/// The digest counts, whatever the tag it was found under says by now.
async fn promote(registry: &Registry, from: &str, digest: &Digest, to: &str) -> Result<(), RegistryError> {
    let (from, to) = (Reference::parse(from)?.pinned(digest.clone()), Reference::parse(to)?);
    let (_, moved) = registry.promote(&from, &to).await?;
    tracing::debug!(%to, mounted = moved.mounted, copied = moved.copied, "image taken over");
    Ok(())
}

/// What a registry's refusal means for people and for the next pass.
fn unpromoted(error: &RegistryError) -> Failure {
    let kind = match error {
        RegistryError::Denied { .. } | RegistryError::ReadOnly { .. } | RegistryError::Full { .. } => {
            FailureKind::Denied
        }
        RegistryError::Missing { .. } => FailureKind::Stale,
        RegistryError::Status { status: 429, .. } => FailureKind::Throttled,
        RegistryError::Dial(_) | RegistryError::Status { .. } | RegistryError::Garbage { .. } => {
            FailureKind::Unreachable
        }
        _ => FailureKind::Invalid,
    };
    let retry_after_secs = error.retry_after().map(|pause| pause.as_secs());
    Failure { kind, message: error.to_string(), retry_after_secs }
}

/// An apply that was made for a version which no object ever has: where there is one, it is not that version, and the
/// server answers 409.
async fn create(by: By<'_>, path: &str, body: &Value) -> Result<Bytes, CallError> {
    let mut body = body.clone();
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(NO_VERSION));
    }
    call::apply(by, path, FIELD_MANAGER, &body).await
}

async fn delete(by: By<'_>, row: &Kind, path: &str, uid: &str) -> Result<Answer, CallError> {
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": {"uid": uid}, "propagationPolicy": "Background",
    });
    let deleted = Answer::Deleted { uid: uid.to_owned() };
    match call::send(by, Method::DELETE, path, &options).await {
        // Finalizers keep the object for a while, and the server shows it; otherwise it answers with a Status.
        Ok(bytes) => {
            let answer: Value = call::parse(&bytes)?;
            let stays = answer.get("kind").and_then(Value::as_str) == Some(row.kind);
            Ok(if stays { Answer::Object(bytes) } else { deleted })
        }
        Err(error) if error.code() == Some(404) => Ok(deleted),
        Err(error) => Err(error),
    }
}

fn object_of(answer: &Answer) -> Option<Value> {
    match answer {
        Answer::Object(bytes) | Answer::Made(bytes) => serde_json::from_slice(bytes).ok(),
        Answer::Deleted { .. } | Answer::Taken => None,
    }
}

/// What a failed request means for people and for the next pass.
fn failure(row: &Kind, request: &Request, error: &CallError) -> Failure {
    let kind = match error {
        CallError::Refused(refusal) => match refusal.code {
            409 => FailureKind::Stale,
            // A patch begins with a test of the version we planned with.
            422 if matches!(request, Request::Patch { .. }) => FailureKind::Stale,
            403 if is_terminating(error) => FailureKind::Stale,
            401 | 403 => FailureKind::Denied,
            // Admission policies refuse with 422 and these words.
            400 | 422 if refusal.message.contains("denied request") => FailureKind::Denied,
            404 => FailureKind::Missing,
            429 => FailureKind::Throttled,
            // An apply with a field the server does not know, or of the wrong type, is answered like a crash.
            500 if refusal.message.contains("failed to create typed patch object") => FailureKind::Invalid,
            408 | 500.. => FailureKind::Unreachable,
            _ => FailureKind::Invalid,
        },
        CallError::NoAnswer(_) | CallError::Garbage(_) => FailureKind::Unreachable,
    };
    let retry_after_secs = error.refusal().and_then(|refusal| refusal.retry_after_secs);
    let is_taken = matches!(request, Request::Create { .. }) && error.code() == Some(409);
    let message = if is_taken { TAKEN.to_owned() } else { message(row, error) };
    Failure { kind, message, retry_after_secs }
}

/// The server's words; of kinds with secret content only the code, because servers quote what they refuse.
fn message(row: &Kind, error: &CallError) -> String {
    match error.refusal() {
        Some(refusal) if !row.secret_paths.is_empty() => format!("{} {}", refusal.code, refusal.reason),
        Some(refusal) if !refusal.message.is_empty() => refusal.message.clone(),
        _ => error.to_string(),
    }
}

/// The namespace is on its way out: the refusal passes by itself.
fn is_terminating(error: &CallError) -> bool {
    let causes = error.refusal().and_then(|refusal| refusal.details.as_ref()).map(|details| &details.causes);
    causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
}
