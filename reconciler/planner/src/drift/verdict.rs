//! A verdict for every field of a live object. The same walk that finds drift, with its reasons written down.

use super::owners::OwnersOf;
use super::{By, Ownership, walk};
use crate::fields::Path;
use crate::schema::Schema;
use renderer::Object;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// What a field is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// We want it.
    Desired,
    /// The server filled it in, or chose it.
    Defaulted,
    /// A controller is entitled to it.
    Controllers,
    /// It should not be there.
    Intruder,
    /// Nobody can tell yet: a dry run must.
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Desired => "desired",
            Self::Defaulted => "defaulted",
            Self::Controllers => "controller's",
            Self::Intruder => "intruder",
            Self::Undecided => "undecided",
        })
    }
}

/// One field, with all below it, and what it is to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldVerdict {
    /// Where.
    pub path: Path,
    /// What it is to us.
    pub verdict: Verdict,
    /// Who wrote it last, us included, where the server knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Why, as a fragment.
    pub why: String,
}

/// Verdicts as the walk comes to them.
#[derive(Debug, Default)]
pub(super) struct Judged(Vec<(Path, Verdict, String)>);

impl Judged {
    pub(super) fn push(&mut self, path: &Path, verdict: Verdict, why: &str) {
        self.0.push((path.clone(), verdict, why.to_owned()));
    }

    /// What is below this path will be looked at again.
    pub(super) fn forget(&mut self, path: &Path) {
        self.0.retain(|(judged, ..)| !judged.starts_with(path));
    }
}

/// Judges every field of a live object, and every field we want that is not there, in the order of their paths.
#[must_use]
pub fn verdicts(desired: &Object, live: &Value, ownership: &Ownership<'_>) -> Vec<FieldVerdict> {
    let at = Schema::of_object(&desired.value);
    let owners = OwnersOf::new(&desired.value, live, at, ownership.field_manager);
    let mut judged = Judged::default();
    walk::walk(desired, live, at, &owners, ownership, Some(&mut judged));
    let (entries, _) = crate::fields::entries(live);
    let named = |(path, verdict, why): (Path, Verdict, String)| {
        let by = super::owners::latest(entries.iter(), &path);
        FieldVerdict { path, verdict, by, why }
    };
    let mut verdicts: Vec<_> = judged.0.into_iter().map(named).collect();
    verdicts.sort_by(|a, b| a.path.cmp(&b.path));
    verdicts
}
