//! How a build stands: a pure reading of its Job or PipelineRun.

use crate::observed::is_terminating;
use crate::readiness::{self, Readiness};
use serde_json::Value;

/// Reasons with which a controller ends what took too long.
const LATE: [&str; 2] = ["DeadlineExceeded", "PipelineRunTimeout"];
/// Reasons with which Tekton ends what a person cancelled.
const CANCELLED: [&str; 4] = ["Cancelled", "CancelledRunFinally", "StoppedRunFinally", "PipelineRunCancelled"];
/// Words of what has not begun.
const NOT_BEGUN: [&str; 3] = ["not started", "suspended", "PipelineRunPending"];

/// How a build stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildState {
    /// It was asked for and has not begun.
    Pending,
    /// It is under way.
    Running,
    /// It made its image, as far as it knows.
    Succeeded,
    /// It will not make it, and why.
    Failed(String),
    /// It took longer than it may.
    TimedOut,
    /// Somebody, or a newer commit, took it back.
    Cancelled {
        /// It has ended; else it is about to.
        over: bool,
    },
}

impl BuildState {
    /// Of a live Job or PipelineRun.
    #[must_use]
    pub fn of(live: &Value) -> Self {
        if is_terminating(live) {
            return Self::Cancelled { over: false };
        }
        match readiness::of(live) {
            Readiness::Ready => Self::Succeeded,
            Readiness::InProgress(why) if NOT_BEGUN.iter().any(|word| why.starts_with(word)) => Self::Pending,
            Readiness::InProgress(_) => Self::Running,
            Readiness::Failed(why) => match end(live).map_or("", |condition| text(condition, "reason")) {
                reason if LATE.contains(&reason) => Self::TimedOut,
                reason if CANCELLED.contains(&reason) => Self::Cancelled { over: true },
                _ => Self::Failed(why),
            },
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed(_) | Self::TimedOut | Self::Cancelled { over: true })
    }

    /// In one word, as people are shown it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed out",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// The condition that says how it ended. One of Tekton says so whether it went well or not.
pub(super) fn end(live: &Value) -> Option<&Value> {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array)?;
    let ends = |condition: &&Value| match (text(condition, "type"), text(condition, "status")) {
        ("Complete" | "Failed", "True") => true,
        ("Succeeded", status) => status == "True" || status == "False",
        _ => false,
    };
    conditions.iter().find(ends)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is(kind: &str, status: &Value, word: &str, over: bool) {
        let version = if kind == "Job" { "batch/v1" } else { "tekton.dev/v1" };
        let state = BuildState::of(&json!({"apiVersion": version, "kind": kind, "status": status}));
        assert_eq!((state.word(), state.is_over()), (word, over), "{kind} {status}: {state:?}");
    }

    fn condition(name: &str, status: &str, reason: &str) -> Value {
        let message = "a DeadlineExceeded that somebody else talks of";
        json!({"conditions": [{"type": name, "status": status, "reason": reason, "message": message}]})
    }

    #[test]
    fn a_job_is_told_by_its_conditions_and_a_timeout_apart_from_a_failure() {
        for (status, word, over) in [
            (json!({}), "pending", false),
            (json!({"active": 1}), "running", false),
            (condition("Suspended", "True", "JobSuspended"), "pending", false),
            (condition("Complete", "True", "CompletionsReached"), "succeeded", true),
            (condition("Failed", "True", "BackoffLimitExceeded"), "failed", true),
            (condition("Failed", "True", "DeadlineExceeded"), "timed out", true),
        ] {
            is("Job", &status, word, over);
        }
    }

    #[test]
    fn a_pipeline_run_is_told_the_same_way() {
        for (status, reason, word, over) in [
            ("Unknown", "PipelineRunPending", "pending", false),
            ("Unknown", "Running", "running", false),
            ("True", "Completed", "succeeded", true),
            ("False", "CouldntGetTask", "failed", true),
            ("False", "PipelineRunTimeout", "timed out", true),
            ("False", "Cancelled", "cancelled", true),
        ] {
            is("PipelineRun", &condition("Succeeded", status, reason), word, over);
        }
        is("PipelineRun", &json!({}), "pending", false);
    }

    #[test]
    fn what_is_taken_back_is_cancelled_and_counts_until_it_is_gone() {
        let live = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"active": 1}});
        assert_eq!(BuildState::of(&live), BuildState::Cancelled { over: false });
        assert!(!BuildState::of(&live).is_over());
    }
}
