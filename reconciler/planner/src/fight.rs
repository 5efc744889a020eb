//! A fight: somebody sets back what we correct, each time. We leave off for a while, longer each time, and say who it is;
//! everything else of the tool goes on.

use crate::decide::Input;
use crate::moment::Moment;
use crate::plan::{Action, Cause, Held, Step, Why};
use std::collections::BTreeSet;

/// A fight over one object, as long as we leave off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fight {
    /// What it is over.
    pub fields: BTreeSet<Matter>,
    /// The field manager who insists, where the server knows one.
    pub manager: Option<String>,
    /// How often it was corrected.
    pub times: u32,
    /// Within so many seconds.
    pub secs: u64,
    /// Until when it is left alone.
    pub until: Moment,
}

/// What a fight is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// Whether the object exists.
    Existence,
    /// A field, as paths print.
    Field(String),
}

impl Matter {
    /// What somebody may fight about, if this step corrects what somebody else did.
    #[must_use]
    pub fn all_of(step: &Step) -> BTreeSet<Self> {
        match step.action {
            Action::Create if matches!(step.cause, Cause::Drift { .. }) => BTreeSet::from([Self::Existence]),
            Action::Configure => step.changes.iter().map(|change| Self::Field(change.path.clone())).collect(),
            Action::Create
            | Action::Build
            | Action::Promote
            | Action::Replace
            | Action::Prune
            | Action::ScaleDown
            | Action::Restore => BTreeSet::new(),
        }
    }
}

/// The step as held, where all it would do is fought over now. A step that does something else as well is taken: what is
/// new has nothing to do with the fight.
pub(crate) fn left_alone(step: &Step, input: &Input) -> Option<Held> {
    let fight = input.circumstances.fights.get(&step.id).filter(|fight| input.circumstances.now < fight.until)?;
    let over = Matter::all_of(step);
    if over.is_empty() || !over.is_subset(&fight.fields) {
        return None;
    }
    let mut fields = over.iter().filter_map(|matter| match matter {
        Matter::Field(path) => Some(path.clone()),
        Matter::Existence => None,
    });
    let field = fields.next();
    let more = fields.count();
    let field = field.map(|first| if more == 0 { first } else { format!("{first} and {more} more") });
    let why = Why::Fighting { manager: fight.manager.clone(), field, times: fight.times, secs: fight.secs };
    Some(Held { id: step.id.clone(), action: Some(step.action), why })
}

/// Whether it only leaves a field of something that is there: then nothing else has to wait for it.
pub(crate) fn stands(held: &Held) -> bool {
    matches!(held.why, Why::Fighting { .. }) && held.action == Some(Action::Configure)
}
