//! What became of a plan: one row per step. A failure is a row; it never hides or stops the others.

use crate::plan::Action;
use crate::settled::Settled;
use renderer::ObjectId;
use serde::{Deserialize, Serialize};

/// One row per step of the plan, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The rows.
    pub rows: Vec<Row>,
    /// What the API server did not give us though it took our writes.
    #[serde(default)]
    pub settled: Vec<Settled>,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The object.
    pub id: ObjectId,
    /// What was to be done.
    pub action: Action,
    /// What came of it.
    pub result: RowResult,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RowResult {
    /// The server took every request.
    Done {
        /// `metadata.uid` of the object; none after a prune.
        uid: Option<String>,
    },
    /// A request failed; the rest of the step was not sent.
    Failed(Failure),
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The server's own words, without secrets.
    pub message: String,
    /// Seconds the server asked us to wait (`Retry-After`), if it did.
    pub retry_after_secs: Option<u64>,
}

/// Kinds of failure, by what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// The world moved on (409, failed test, uid precondition): plan again.
    Stale,
    /// Refused by rights or a rule (401, 403): a person must act.
    Denied,
    /// The server finds the object wrong (400, 422): a person must act.
    Invalid,
    /// The namespace, the kind, or what it is made of is not there (404): plan again.
    Missing,
    /// Too many requests (429): later.
    Throttled,
    /// No answer in time, or a server error (5xx): later.
    Unreachable,
}

impl FailureKind {
    /// In one word, as an Event gives it for its reason.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stale => "Stale",
            Self::Denied => "Denied",
            Self::Invalid => "Invalid",
            Self::Missing => "Missing",
            Self::Throttled => "Throttled",
            Self::Unreachable => "Unreachable",
        }
    }
}

impl Outcome {
    /// How many steps of this action were done.
    #[must_use]
    pub fn done(&self, action: Action) -> usize {
        self.rows.iter().filter(|row| row.action == action && matches!(row.result, RowResult::Done { .. })).count()
    }

    /// The failed rows.
    pub fn failures(&self) -> impl Iterator<Item = (&Row, &Failure)> {
        self.rows.iter().filter_map(|row| match &row.result {
            RowResult::Failed(failure) => Some((row, failure)),
            RowResult::Done { .. } => None,
        })
    }
}
