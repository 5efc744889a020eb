//! What components that end have: `schedule`, `retry`, `timeout`, `run_id`.

use super::schedule::{self, BadSchedule};
use super::source::short;
use crate::decode::{Section, seconds, text, whole};
use crate::diagnostic::{Code, Findings};
use crate::yaml::Entry;

/// The cron line, as Kubernetes takes it.
pub(super) fn schedule(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let written = text(entry, findings)?;
    match schedule::normalised(written) {
        Ok(line) => Some(line),
        Err(BadSchedule::Unreadable(why, hint)) => {
            findings.add(Code::BadSchedule, entry.value.place, why).with_hint(hint);
            None
        }
        Err(BadSchedule::Never(why)) => {
            findings.add(Code::ScheduleNeverRuns, entry.value.place, why);
            None
        }
    }
}

/// What both scheduled and one-off components have.
pub(super) struct Ending {
    pub retry: u32,
    pub timeout_secs: Option<u64>,
    pub run_id: Option<String>,
}

pub(super) fn ending(section: &Section<'_>, findings: &mut Findings) -> Ending {
    let number = |key, max, findings: &mut Findings| section.get(key).and_then(|e| whole(e, 0..=max, findings));
    Ending {
        retry: number("retry", 5, findings).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        timeout_secs: section.get("timeout").and_then(|e| timeout(e, findings)),
        run_id: section.get("run_id").and_then(|e| short(e, findings)),
    }
}

fn timeout(entry: &Entry, findings: &mut Findings) -> Option<u64> {
    if let Some(secs) = entry.value.scalar().and_then(|scalar| seconds(&scalar.text)) {
        let message = "`timeout` must be a whole number of seconds, but is a duration";
        findings.add(Code::WrongType, entry.value.place, message).with_hint(format!("Write `timeout: {secs}`."));
        return None;
    }
    whole(entry, 0..=i64::from(i32::MAX), findings).and_then(|n| u64::try_from(n).ok())
}

/// Tells a schedule that one hanging run could block.
pub(super) fn no_timeout(section: &Section<'_>, ending: &Ending, findings: &mut Findings) {
    if ending.timeout_secs.unwrap_or(0) > 0
        || section.means("timeout")
        || section.get("timeout").is_some_and(|e| !matches!(ending.timeout_secs, Some(0)) && e.value.scalar().is_some())
    {
        return;
    }
    let place = section.get("schedule").map_or(section.place(), |entry| entry.key_place);
    findings
        .add(Code::NoTimeout, place, "there is no `timeout`: one run that hangs blocks all later ones")
        .with_hint("Add `timeout: 3600` (seconds) under `run:`.");
}
