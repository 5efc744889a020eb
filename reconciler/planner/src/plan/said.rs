//! Every text of a plan that others may have written: pods, servers, hosts, people. Whoever must not repeat something takes
//! it out here, and nowhere else has to think of it.

use super::{Plan, Why};
use crate::outcome::{Outcome, RowResult};

impl Plan {
    /// What others said, wherever a plan repeats it.
    pub fn said(&mut self) -> Vec<&mut String> {
        let held = self.held.iter_mut().flat_map(|held| held.why.said());
        let rows = self.not_ready.iter_mut().map(|row| &mut row.why);
        let why = self.deployment.as_mut().and_then(|deployment| deployment.why.as_mut());
        held.chain(rows).chain(why).chain(&mut self.remarks).chain(&mut self.target.author).collect()
    }
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
