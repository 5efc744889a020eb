//! Every text of a plan that others may have written: pods, servers, hosts, people. Whoever must not repeat something takes
//! it out here, and nowhere else has to think of it.
//!
//! A plan that does nothing and in which nobody has a say gives none: nothing has to be known to search it.

use super::{Cause, Plan, Step, Why};
use crate::Moment;
use crate::deployments::{self, State};
use crate::drift::{ChangeKind, FieldChange};
use crate::outcome::{Outcome, RowResult};
use serde_json::Value;

/// From its beginning, a deployment's verdict is put off for so long: three deadlines of a rollout by default.
const PUT_OFF_SECS: u64 = 1_800;

fn began(status: Option<&Value>, id: &str) -> Option<Moment> {
    deployments::listed(status).into_iter().find(|entry| entry.deployment.id == id)?.started_at
}

impl Plan {
    /// What others said, wherever a plan repeats it.
    pub fn said(&mut self) -> Vec<&mut String> {
        let held = self.held.iter_mut().flat_map(|held| held.why.said());
        let rows = self.not_ready.iter_mut().map(|row| &mut row.why);
        let why = self.deployment.as_mut().and_then(|deployment| deployment.why.as_mut());
        let steps = self.steps.iter_mut().flat_map(Step::said);
        held.chain(rows).chain(why).chain(&mut self.remarks).chain(&mut self.target.author).chain(steps).collect()
    }

    /// Puts off the verdict that the deployment has failed, where its words may not be told for now: it is written down
    /// once, and nobody corrects it. Until it is, what fails goes on, and the next pass finds it again. A verdict that the
    /// Tool's status has already stays as it stands there. What is broken is not kept for ever over it: some time after the
    /// deployment began it fails without words.
    pub fn put_off_verdict(&mut self, status: Option<&Value>, now: Moment) {
        let Some(deployment) = self.deployment.as_mut().filter(|deployment| deployment.state == State::Failed) else {
            return;
        };
        let written = deployments::failed(status, &deployment.id);
        if written.is_none() && began(status, &deployment.id).is_some_and(|at| now >= at.plus_secs(PUT_OFF_SECS)) {
            return;
        }
        if written.is_none() {
            deployment.state = State::Progressing;
            // What was to follow at once follows when it can be said.
            self.due = None;
        }
        deployment.why = written;
    }
}

impl Step {
    /// What somebody else wrote on the cluster.
    fn said(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { cause, changes, .. } = self;
        let theirs = changes.iter_mut().filter(|change| is_anothers(change, cause));
        theirs.filter_map(|change| change.from.as_mut()).map(|shown| shown.text())
    }
}

/// The value that is there may be somebody else's: a hand is known, or there must have been one. What only has to be taken
/// back is as we want it.
pub(crate) fn is_anothers(change: &FieldChange, cause: &Cause) -> bool {
    let by_hand = change.by.is_some() || change.kind == ChangeKind::Intruder || matches!(cause, Cause::Drift { .. });
    by_hand && change.kind != ChangeKind::TakenBack
}

impl Why {
    fn said(&mut self) -> Vec<&mut String> {
        match self {
            Self::BuildFailed { why, .. }
            | Self::GateFailed { why, .. }
            | Self::RolledBack { why, .. }
            | Self::Unsigned { why, .. }
            | Self::Unlicensed { why, .. } => vec![why],
            Self::Invalid(why)
            | Self::Denied(why)
            | Self::OverQuota(why)
            | Self::NotObserved(why)
            | Self::SourceUnavailable(why)
            | Self::PruneGuard(why) => vec![why],
            Self::Pinned { unknown, terms, .. } => unknown.iter_mut().chain([terms]).collect(),
            Self::Fighting { manager, field, .. } => manager.iter_mut().chain(field).collect(),
            Self::AwaitingBuild { .. }
            | Self::Unfit { .. }
            | Self::AwaitingStep(_)
            | Self::AwaitingReady(_)
            | Self::MissingSecret(_)
            | Self::NoRoom(_)
            | Self::MissingCredential(_)
            | Self::NotOurs
            | Self::Suspended
            | Self::Soaking { .. }
            | Self::AwaitingWave { .. }
            | Self::Terminating => Vec::new(),
        }
    }
}

impl Outcome {
    /// What servers said to what was sent.
    pub fn said(&mut self) -> Vec<&mut String> {
        let failed = self.rows.iter_mut().filter_map(|row| match &mut row.result {
            RowResult::Failed(failure) => Some(&mut failure.message),
            RowResult::Done { .. } => None,
        });
        failed.collect()
    }
}
