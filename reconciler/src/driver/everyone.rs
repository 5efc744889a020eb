//! What one tool's pass depends on besides the tool: changes that touch everyone, what was deleted everywhere, and how many
//! tools vanished at once. Nothing of it is asked of anybody.

use super::build_places::{BuildPlaces, Rank, Room, Seen};
use super::deletions::Deletions;
use super::{Driver, lock};
use crate::pass::{Decided, Subject};
use planner::observed::{label, resource_version_of};
use planner::outcome::{Outcome, RowResult};
use planner::pin::Pin;
use planner::plan::{Action, Plan, Why};
use planner::waves::{Came, Waves};
use planner::{Forerunner, Wave};
use renderer::ToolName;
use renderer::render::PLATFORM_MARK;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer about vanished tools holds: each of them asks.
const FRESH: Duration = Duration::from_secs(2);

/// What is remembered over all tools.
#[derive(Default)]
pub struct Everyone {
    waves: Mutex<Waves>,
    /// Of another run image, by which one: two that come at the same time don't stop each other.
    rebases: Mutex<BTreeMap<String, Waves>>,
    deletions: Mutex<Deletions>,
    builds: Mutex<BuildPlaces>,
    vanished: Mutex<Option<(Instant, Option<String>)>>,
    /// The version of each forerunner's Tool of which those that are promoted from it were told last.
    forerunners: Mutex<BTreeMap<ToolName, String>>,
}

impl Driver {
    /// Says what the subject's plan must know of everyone else.
    pub(super) fn surround(&self, subject: &mut Subject) {
        subject.vault = self.vault.clone();
        let objects = self.world.count();
        let budget = &subject.platform.deletion_budget;
        let circumstances = &mut subject.circumstances;
        circumstances.deletions_left = lock(&self.everyone.deletions).left(budget, objects, Instant::now());
        let later = |stopped: bool| if stopped { Wave::Stopped } else { Wave::Later };
        circumstances.wave = later(lock(&self.everyone.waves).is_stopped());
        circumstances.rebase = later(self.rebase_has_stopped(&subject.tool.name));
        if let Some(builds) = &subject.platform.builds {
            let tool = &subject.tool.name;
            let lent = lock(&self.everyone.builds).lend(tool, self.rank(tool), Room::of(builds));
            circumstances.builds_left = u32::try_from(lent).unwrap_or(u32::MAX);
            circumstances.space_taken_bytes = self.space.taken(tool);
        }
        if subject.forgotten {
            circumstances.removals_held = self.vanished(budget.per_hour_percent);
        }
    }

    /// Whether the run image that was chosen for this tool goes no further.
    fn rebase_has_stopped(&self, tool: &ToolName) -> bool {
        let rebases = lock(&self.everyone.rebases);
        // Mostly there are none, and nobody looks at the Tool for them.
        if !rebases.values().any(Waves::is_stopped) {
            return false;
        }
        let chosen = Pin::of(self.world.tool(tool).as_ref(), crate::pass::now()).images;
        planner::run_image_chosen(&chosen).and_then(|run| rebases.get(run)).is_some_and(Waves::is_stopped)
    }

    /// Whether the tool, whose plan waits for the wave of a change of the platform, may go on now.
    pub(super) fn takes_its_turn(&self, subject: &mut Subject, decided: &Decided) -> bool {
        let change = format!("{} {}", env!("CARGO_PKG_VERSION"), planner::platform_digest(&subject.platform));
        let admitted = awaits(&decided.plan, false)
            && lock(&self.everyone.waves).admit(
                &decided.plan.tool,
                &change,
                decided.plan.not_ready.is_empty(),
                self.book.count(),
            );
        if admitted {
            subject.circumstances.wave = Wave::Now;
        }
        admitted
    }

    /// The same for another run image.
    pub(super) fn takes_its_rebase(&self, subject: &mut Subject, decided: &Decided) -> bool {
        let run = planner::run_image_chosen(&decided.observed.chosen).filter(|_| awaits(&decided.plan, true));
        let admitted = run.is_some_and(|run| {
            let mut rebases = lock(&self.everyone.rebases);
            let waves = rebases.entry(run.to_owned()).or_default();
            waves.admit(&decided.plan.tool, run, decided.plan.not_ready.is_empty(), self.book.count())
        });
        if admitted {
            subject.circumstances.rebase = Wave::Now;
        }
        admitted
    }

    /// Notes what a pass did. Returned are tools whose turn has come.
    pub(super) fn account(&self, decided: &Decided, outcome: &Outcome) -> Vec<ToolName> {
        let gone = outcome.rows.iter().filter(|row| {
            matches!(row.action, Action::Prune | Action::Replace)
                && row.id.kind != "ControllerRevision"
                && matches!(row.result, RowResult::Done { .. })
        });
        lock(&self.everyone.deletions).add(u32::try_from(gone.count()).unwrap_or(u32::MAX), Instant::now());
        let plan = &decided.plan;
        let came = Came::of(plan, outcome);
        let mut next = self.note(&mut lock(&self.everyone.waves), "a change of the platform", &plan.tool, came);
        // Who went back to the image before is well again, and that is no praise of the new one.
        let went_back = plan.held.iter().any(|held| matches!(held.why, Why::RolledBack { .. }));
        let came = if went_back { Came::Failed } else { came };
        for waves in lock(&self.everyone.rebases).values_mut() {
            next.extend(self.note(waves, "another run image", &plan.tool, came));
        }
        next
    }

    fn note(&self, waves: &mut Waves, change: &str, tool: &ToolName, came: Came) -> Vec<ToolName> {
        let was_stopped = waves.is_stopped();
        let next = waves.came(tool, came, self.book.count());
        if waves.is_stopped() && !was_stopped {
            tracing::error!(waiting = waves.waiting(), "too many tools failed with {change}: it goes no further");
        }
        next
    }

    /// Gives back the places for builds that a pass was lent. Returned is who may be woken for what is free.
    pub(super) fn give_back(&self, tool: &ToolName, seen: Option<Seen>) -> Vec<ToolName> {
        let Some(builds) = self.book.platform().builds else { return Vec::new() };
        lock(&self.everyone.builds).ended(tool, self.rank(tool), seen, Room::of(&builds))
    }

    /// Counts the builds that are under way at the start: no pass may begin one before.
    pub(super) fn count_builds(&self) {
        lock(&self.everyone.builds).count(self.world.builds_under_way());
    }

    fn rank(&self, tool: &ToolName) -> Rank {
        if self.book.is_promoted_from(tool) { Rank::Beta } else { Rank::Main }
    }

    /// Drops what is remembered of a tool that is no more.
    pub(super) fn forget_place(&self, tool: &ToolName) {
        lock(&self.everyone.builds).forget(tool);
        lock(&self.everyone.waves).forget(tool);
        lock(&self.everyone.rebases).values_mut().for_each(|waves| waves.forget(tool));
        lock(&self.everyone.forerunners).remove(tool);
    }

    /// What is known of the tool that this one is promoted from.
    pub(super) fn forerunner(&self, subject: &Subject) -> Option<Forerunner> {
        let from = &subject.tool.promotion.as_ref()?.from;
        let builds = subject.platform.builds.as_ref().map(|builds| builds.namespace(&subject.platform));
        Some(Forerunner::of(from, &self.world.observed(from), builds.as_deref()))
    }

    /// Tools that are promoted from this one, where there is something new to know of it: what it did, or what anybody has
    /// written on its Tool.
    pub(super) fn promoted_anew(&self, tool: &ToolName, outcome: &Outcome) -> BTreeSet<ToolName> {
        let promoted = self.book.promoted_from(tool);
        if promoted.is_empty() {
            return promoted;
        }
        let live = self.world.tool(tool);
        let version = live.as_ref().and_then(resource_version_of).unwrap_or_default().to_owned();
        let before = lock(&self.everyone.forerunners).insert(tool.clone(), version.clone());
        if outcome.rows.is_empty() && before == Some(version) { BTreeSet::new() } else { promoted }
    }

    /// Why the tools that vanished from the config repository are left alone, if they are too many.
    fn vanished(&self, percent: u32) -> Option<String> {
        let mut known = lock(&self.everyone.vanished);
        match known.as_ref() {
            Some((at, answer)) if at.elapsed() < FRESH => answer.clone(),
            _ => {
                let answer = self.count_vanished(percent);
                *known = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }

    fn count_vanished(&self, percent: u32) -> Option<String> {
        let platform = self.book.platform().name;
        let now = crate::pass::now();
        let gone = self.world.tools().into_iter().filter(|name| !self.book.knows(name));
        let gone = gone.filter_map(|name| self.world.tool(&name));
        let ours = gone.filter(|tool| label(tool, PLATFORM_MARK) == Some(&platform));
        let gone = ours.filter(|tool| planner::left_recently(tool, now)).count();
        planner::left_alone(gone, self.book.count() + gone, percent)
    }
}

/// Whether something in a plan waits for a wave: of a change of the platform, or of another run image.
fn awaits(plan: &Plan, of_rebase: bool) -> bool {
    plan.held.iter().any(|held| matches!(held.why, Why::AwaitingWave { rebase, .. } if rebase == of_rebase))
}
