//! Does a revision's repository carry an open licence, where the platform asks for one?
//!
//! A revision that is stored was taken once and stays; where its files say too little, that is told and nothing follows.

use crate::decide::{Input, Newest};
use crate::plan::Why;
use renderer::Revision;
use renderer::licence::Wanted;

/// Why a revision is not taken; none where it may be.
pub(crate) fn unlicensed(input: &Input, revision: &Revision) -> Option<Why> {
    let commit = revision.commit.as_ref().filter(|_| input.platform.licence == Wanted::Hold)?;
    if input.observed.stored.iter().any(|stored| stored.revision.commit.as_ref() == Some(commit)) {
        return None;
    }
    match &revision.facts.licences {
        None => Some(Why::NotObserved("its licence has not been looked at yet".to_owned())),
        Some(licences) => licences.lacking().map(|why| Why::Unlicensed { commit: commit.clone(), why }),
    }
}

/// What the target's licence lacks, where somebody wants to know.
pub(crate) fn lacking(input: &Input) -> Option<String> {
    let Newest::Revision(revision, _) = input.newest else { return None };
    let licences = revision.facts.licences.as_ref().filter(|_| !input.platform.licence.is_ignored());
    licences?.lacking()
}
