//! A component that runs on a schedule: a CronJob that never overlaps itself and whose pods leave soon.
//!
//! Two defaults are missing on purpose: one failed Job is kept anyway, and of successful ones one is enough. The time
//! zone is spelled out because its default is whatever the controller manager runs in.

use super::meta::CRON_JOB;
use super::{Frame, Refusal, pod};
use crate::config::Component;
use crate::names::ComponentName;
use crate::object::Object;
use crate::schedule;
use serde_json::{Map, Value, json};

/// Annotation: the schedule before its macro was spread.
pub const SCHEDULE: &str = "toolforge.org/schedule";
/// As today: a start that is later than this is skipped, and a finished Job goes after this.
const LATE_SECS: u32 = 30;
const KEPT_SECS: u32 = 30;

pub(crate) fn objects(
    frame: &Frame<'_>,
    name: &ComponentName,
    component: &Component,
    written: &str,
) -> Result<Vec<Object>, Refusal> {
    let mut job = job_spec(frame, name, component)?;
    job.insert("ttlSecondsAfterFinished".into(), KEPT_SECS.into());
    let spec = json!({"spec": {
        "schedule": schedule::spread(written, frame.tool.name.as_str(), name.as_str()),
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": LATE_SECS,
        "successfulJobsHistoryLimit": 1,
        "jobTemplate": {"spec": job},
    }});
    let mut object = frame.object(CRON_JOB, name, component, spec);
    object.value["metadata"]["annotations"] = json!({SCHEDULE: written});
    Ok(vec![object])
}

/// What a CronJob's and a one-off's Job have in common.
pub(crate) fn job_spec(
    frame: &Frame<'_>,
    name: &ComponentName,
    component: &Component,
) -> Result<Map<String, Value>, Refusal> {
    let (retry, timeout_secs) = component.run.kind.attempts();
    let extra = Map::from_iter([("restartPolicy".to_owned(), "Never".into())]);
    let mut spec = Map::new();
    spec.insert("backoffLimit".into(), retry.into());
    if let Some(timeout_secs) = timeout_secs.filter(|secs| *secs > 0) {
        spec.insert("activeDeadlineSeconds".into(), timeout_secs.into());
    }
    spec.insert("template".into(), pod::template(frame, name, component, extra)?);
    Ok(spec)
}

impl crate::config::RunKind {
    /// `retry` and `timeout`; a continuous component has neither.
    fn attempts(&self) -> (u32, Option<u64>) {
        match self {
            Self::Continuous { .. } => (0, None),
            Self::Scheduled { retry, timeout_secs, .. } | Self::OneOff { retry, timeout_secs, .. } => {
                (*retry, *timeout_secs)
            }
        }
    }
}
