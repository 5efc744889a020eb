//! `plan(Input) → Plan`: the one place where everything known about a tool becomes what will be done.
//!
//! The order of a rollout falls out of three rules, each visible as a reason in `held`:
//! 1. nothing is made before what it stands on is Ready (namespace, quota, one-offs);
//! 2. a component is changed whole or not at all, so that a route never points at nothing;
//! 3. nothing is pruned before everything else is done and Ready.

use crate::admission::Admission;
use crate::course::{Course, course};
use crate::draft::Draft;
use crate::drift::Ownership;
use crate::fight::Fight;
use crate::memo::Memo;
use crate::moment::Moment;
use crate::observed::{Observed, label};
use crate::pin::Pin;
use crate::plan::{Cause, Plan, Why};
use crate::{autoscale, rebased, removal};
use renderer::render::PLATFORM_MARK;
use renderer::{CommitId, Object, ObjectId, Platform, Rendered, Revision, Tool, ToolName};
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The tool, from the config repository.
    pub tool: &'a Tool,
    /// The platform.
    pub platform: &'a Platform,
    /// The tool's namespace.
    pub namespace: String,
    /// Tool-wide objects; they follow from the tool and the platform alone.
    pub frame: &'a [Object],
    /// What the repository says now.
    pub newest: Newest<'a>,
    /// The stored revision that was Ready last, rendered.
    pub last_good: Option<&'a Rendered>,
    /// The stored revision that [`crate::pinned_revision`] names, rendered.
    pub pinned: Option<&'a Rendered>,
    /// The world.
    pub observed: &'a Observed,
    /// Our field manager.
    pub field_manager: &'a str,
    /// The repository can't be asked now; `newest` is what it said last.
    pub trouble: Option<&'a str>,
    /// The tool's file is gone from the config repository.
    pub forgotten: bool,
    /// What depends on the time and on the other tools.
    pub circumstances: &'a Circumstances,
    /// The platform's rules.
    pub admission: &'a Admission,
}

/// What a plan depends on besides its tool and the platform: the clock, and what happens to everyone else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// The time.
    pub now: Moment,
    /// Whether this tool's turn has come for changes that touch every tool.
    pub wave: Wave,
    /// Whether its turn has come for another run image.
    pub rebase: Wave,
    /// How many objects may still be deleted in this hour, over all tools.
    pub deletions_left: u32,
    /// How many builds may still be started, over all tools.
    pub builds_left: u32,
    /// What the tool's images take in the registry, where somebody looked: a builder asks for no more room than there is.
    pub space_taken_bytes: Option<u64>,
    /// So many tools vanished from the config repository at once that it looks like an accident.
    pub removals_held: Option<String>,
    /// What somebody sets back each time it is corrected.
    pub fights: BTreeMap<ObjectId, Fight>,
}

/// Changes that come from the platform touch every tool, and are made to a few at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wave {
    /// It is this tool's turn.
    Now,
    /// Others come first.
    Later,
    /// Too many tools failed with the change: nobody else gets it.
    Stopped,
}

impl Circumstances {
    /// Why a step of this cause waits for its turn, if it does.
    pub(crate) fn awaited(&self, cause: &Cause) -> Option<Why> {
        let (wave, rebase) = match cause {
            Cause::PlatformChange => (self.wave, false),
            Cause::NewRunImage => (self.rebase, true),
            Cause::NewRevision | Cause::ImageReady | Cause::Drift { .. } => return None,
        };
        (wave != Wave::Now).then_some(Why::AwaitingWave { stopped: wave == Wave::Stopped, rebase })
    }

    /// At this time, with nothing else in the way.
    #[must_use]
    pub fn at(now: Moment) -> Self {
        Self {
            now,
            wave: Wave::Now,
            rebase: Wave::Now,
            deletions_left: u32::MAX,
            builds_left: u32::MAX,
            space_taken_bytes: None,
            removals_held: None,
            fights: BTreeMap::new(),
        }
    }
}

/// What the repository says now.
#[derive(Debug, Clone, Copy)]
pub enum Newest<'a> {
    /// A revision, rendered; it may still be unusable.
    Revision(&'a Revision, &'a Rendered),
    /// It could not be read: an error is never an absence.
    Unavailable(&'a str),
    /// There is none to be led to: what is there stays.
    Nothing,
}

impl Input<'_> {
    /// The commit of the newest revision.
    #[must_use]
    pub(crate) fn newest_commit(&self) -> Option<&CommitId> {
        match self.newest {
            Newest::Revision(revision, _) => revision.commit.as_ref(),
            Newest::Unavailable(_) | Newest::Nothing => None,
        }
    }

    /// The Tool as it is in the cluster.
    pub(crate) fn live_tool(&self) -> Option<&Value> {
        self.observed.live(&self.tool_id())
    }

    /// The Tool's status.
    pub(crate) fn status(&self) -> Option<&Value> {
        self.live_tool()?.get("status")
    }

    /// What a person asked of it, as far as it is in force.
    pub(crate) fn pin(&self) -> Pin {
        Pin::of(self.live_tool(), self.circumstances.now)
    }

    pub(crate) fn ownership(&self, id: &ObjectId) -> Ownership<'_> {
        Ownership { autoscaled: autoscale::is_autoscaled(id, self.observed), ..Ownership::of(self.field_manager) }
    }

    pub(crate) fn tool_id(&self) -> ObjectId {
        tool_id(&self.tool.name)
    }

    /// Why nothing at all can be planned. Without the stored revisions nobody knows what ran, and a one-off might run
    /// twice; without the Tool nobody knows whether somebody suspended it, or whether another platform serves it.
    fn unknown_or_foreign(&self) -> Option<Why> {
        let gap = |group, kind| self.observed.gaps.iter().find(|gap| gap.group == group && gap.kind == kind);
        if let Some(gap) = gap("apps", "ControllerRevision").or_else(|| gap("toolforge.org", "Tool")) {
            return Some(Why::NotObserved(format!("{}: {}", gap.kind, gap.why)));
        }
        let live = self.observed.live(&self.tool_id())?;
        is_anothers(live, &self.platform.name).then_some(Why::NotOurs)
    }

    /// Nothing is planned at all, and why.
    fn held_whole(&self, pin: &Pin) -> Option<Why> {
        if self.tool.suspend || pin.suspend {
            return Some(Why::Suspended);
        }
        if let Some(why) = &pin.unreadable {
            let tool = &self.tool.name;
            return Some(Why::Invalid(format!(
                "spec.pin can't be read: {why}; correct it with `kubectl edit tool {tool}`"
            )));
        }
        self.unknown_or_foreign()
    }
}

/// Whether a Tool says that another platform serves it: nothing of it is ours to write, its status neither.
#[must_use]
pub fn is_anothers(tool: &Value, platform: &str) -> bool {
    label(tool, PLATFORM_MARK).is_some_and(|other| other != platform)
}

/// The id of a Tool.
#[must_use]
pub fn tool_id(name: &ToolName) -> ObjectId {
    ObjectId {
        group: "toolforge.org".to_owned(),
        kind: "Tool".to_owned(),
        namespace: None,
        name: name.as_str().to_owned(),
    }
}

/// Decides everything one pass will do for one tool.
#[must_use]
pub fn plan(input: &Input) -> Plan {
    plan_and_memo(input).0
}

/// The same, and what need not be found out again: the memo for the next [`Observed`].
#[must_use]
pub fn plan_and_memo(input: &Input) -> (Plan, Memo) {
    let pin = input.pin();
    if let Some(why) = input.held_whole(&pin) {
        let mut draft = Draft::new(input);
        draft.hold_tool(why);
        return draft.finish(&pin);
    }
    if input.forgotten {
        return removal::plan(input, &pin);
    }
    let way = course(input, &pin);
    match rebased::left_out(input, &pin, &way) {
        None => lead(input, way, &pin),
        Some(failed) => {
            let observed = Observed { chosen: BTreeMap::new(), ..input.observed.clone() };
            let input = Input { observed: &observed, ..input.clone() };
            let way = course(&input, &pin);
            lead(&input, Course { kept_back: way.kept_back.clone().or(failed), ..way }, &pin)
        }
    }
}

fn lead<'a>(input: &Input<'a>, way: Course<'a>, pin: &Pin) -> (Plan, Memo) {
    let mut draft = Draft::new(&Input { newest: way.to, ..input.clone() });
    draft.rollout(way);
    draft.finish(pin)
}
