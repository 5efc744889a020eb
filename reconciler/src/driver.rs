//! The loop of `toolforge run`: wake-ups in, passes out. It keeps no truth: refs and revisions are caches of what git said
//! last, and everything else is read from the watches at the beginning of each pass.
//!
//! ```text
//! poll, folder event ──refs──▶ Book ──moved──▶ reader ──▶ Book
//!                                └─────────────────┴──tool's name──┐
//! watch event ─────────────────────────────────────────tool's name─┴▶ Queue ──longest waiting first──▶ pass ──▶ Queue
//! ```
//! Polling and reading go their own ways beside the passes: whatever a git host does, a pass finds in the book what is
//! known, and waits for nobody.

mod book;
mod build_places;
mod deletions;
mod everyone;
mod fights;
mod heard;
mod images;
mod newest;
pub mod platform;
mod polling;
mod publishing;
mod reader;
mod reads;
mod saying;
mod space;
mod start;
mod unsaid;

pub use book::{Book, BookError};
pub use heard::{Heard, Listener, listener};
pub use newest::newest;
pub use start::{Environment, Options, git, registry, serve};

use crate::cluster::Cluster;
use crate::events::Recorder;
use crate::execute::Doors;
use crate::observe::World;
use crate::pass::{self, Decided, Missed, Told};
use crate::queue::{Ended, Queue};
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::source::Git;
use crate::source::watch_folder::WatchFolder;
use everyone::Everyone;
use fights::Fights;
use images::{Answers, Ask, Images};
use planner::outcome::Outcome;
use publishing::Publishing;
use reader::Due;
use renderer::platform::{Backend, Credentials, Registry as RegistrySettings, Route, Secrets};
use renderer::{Platform, ToolName};
use space::{Look, Space};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use unsaid::Unsaid;

/// How the loop behaves.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Passes at once.
    pub passes: usize,
    /// Between polls of git; none means the platform's own interval.
    pub interval: Option<Duration>,
    /// A pass that takes longer is given up; its tool is tried again later.
    pub pass: Duration,
    /// So long after a step of ours it goes unsaid what the cluster is about to do by itself.
    pub patience: Duration,
    /// Between looks at the tags of builds that run: nobody tells when one is moved by hand.
    pub tags: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            passes: 8,
            interval: None,
            pass: Duration::from_secs(120),
            patience: Duration::from_secs(2),
            tags: Duration::from_secs(6 * 3600),
        }
    }
}

/// Everything the loop works with.
pub struct Driver {
    cluster: Cluster,
    git: Git,
    registry: Registry,
    vault: Vault,
    world: World,
    book: Book,
    limits: Limits,
    metrics: crate::web::Metrics,
    recorder: Recorder,
    listener: Option<Listener>,
    images: Images,
    space: Space,
    fights: Mutex<Fights>,
    unsaid: Mutex<Unsaid>,
    everyone: Everyone,
    /// The beginning of this driver's time.
    begun: Instant,
    publishing: Mutex<Publishing>,
    /// What was fixed at the start is no longer so: everything begins anew.
    restart: CancellationToken,
    /// What the reader is to read.
    due: mpsc::UnboundedSender<Due>,
    /// None where this machine can't watch folders, or there is nothing to watch yet.
    folders: Mutex<Option<WatchFolder>>,
    folder_changed: Notify,
    /// Somebody changed an object of the platform's own.
    own_changed: Arc<Notify>,
}

/// What wakes the loop. A name, and whether something new is known of it.
#[derive(Debug)]
pub struct WakeUp {
    /// Whom.
    pub tool: ToolName,
    /// Git said something new: earlier failures say nothing any more.
    pub anew: bool,
}

/// Where wake-ups go in.
pub type Wakes = mpsc::UnboundedSender<WakeUp>;

/// What comes in, of which the loop is the only reader.
struct Inbox {
    wakes: Wakes,
    woken: mpsc::UnboundedReceiver<WakeUp>,
    due: mpsc::UnboundedReceiver<Due>,
    asks: mpsc::UnboundedReceiver<Ask>,
    looks: mpsc::UnboundedReceiver<Look>,
}

impl Driver {
    /// Runs until `stop`, then lets the passes under way finish. Dropped, it ends with everything it began.
    async fn run(self: Arc<Self>, inbox: Inbox, stop: CancellationToken) {
        let Inbox { wakes, mut woken, due, asks, looks } = inbox;
        self.world.synced().await;
        self.count_builds();
        for tool in self.book.names() {
            self.read_soon(Due { tool, anew: true });
        }
        let mut beside = JoinSet::new();
        beside.spawn(self.clone().poll_forever(wakes.clone()));
        beside.spawn(self.clone().read_forever(wakes.clone(), due));
        beside.spawn(self.clone().ask_registries(wakes.clone(), asks));
        beside.spawn(self.clone().look_at_spaces(wakes.clone(), looks));
        beside.spawn(self.clone().wake_all_on_turns(wakes.clone()));
        beside.spawn(self.clone().count_events());
        let begun = self.begun;
        let mut queue = Queue::default();
        let mut passes: JoinSet<(ToolName, Ended)> = JoinSet::new();
        while !stop.is_cancelled() {
            while passes.len() < self.limits.passes
                && let Some(name) = queue.next(begun.elapsed())
            {
                let Ok(tool) = ToolName::new(name) else { continue };
                passes.spawn(self.clone().contained_pass(tool, wakes.clone()));
            }
            let now = begun.elapsed();
            let pause = queue.next_due(now).map_or(Duration::from_secs(3600), |due| due.saturating_sub(now));
            tokio::select! {
                () = stop.cancelled() => {}
                Some(wake) = woken.recv() => enter(&mut queue, &wake, begun.elapsed()),
                Some(ended) = passes.join_next() => leave(&mut queue, ended, begun.elapsed()),
                () = tokio::time::sleep(pause), if passes.len() < self.limits.passes => {}
            }
            self.metrics.busy(queue.busy());
        }
        drop(beside);
        while passes.join_next().await.is_some() {}
        self.recorder.finish(&self.cluster.client).await;
    }

    /// A pass that panics or hangs costs its own tool a pass, and nobody else anything.
    async fn contained_pass(self: Arc<Self>, tool: ToolName, wakes: Wakes) -> (ToolName, Ended) {
        let pass = futures::FutureExt::catch_unwind(AssertUnwindSafe(self.pass(&tool, &wakes)));
        let mut seen = None;
        let ended = match tokio::time::timeout(self.limits.pass, pass).await {
            Ok(Ok((ended, builds))) => {
                seen = builds;
                ended
            }
            Ok(Err(_)) => {
                tracing::error!(%tool, "a pass panicked; this is a defect in toolforge");
                self.metrics.panicked();
                heard::tell(self.listener.as_ref(), Heard::given_up(&tool));
                Ended::Failed { retry_after: None }
            }
            Err(_) => {
                tracing::warn!(%tool, secs = self.limits.pass.as_secs(), "a pass took too long and was given up");
                heard::tell(self.listener.as_ref(), Heard::given_up(&tool));
                Ended::Failed { retry_after: None }
            }
        };
        for next in self.give_back(&tool, seen) {
            send(&wakes, next, false);
        }
        (tool, ended)
    }

    async fn pass(&self, tool: &ToolName, wakes: &Wakes) -> (Ended, Option<build_places::Seen>) {
        let begun = Instant::now();
        let Some(mut subject) = self.book.subject(tool, &self.world) else {
            self.forget(tool);
            return (Ended::Well, None);
        };
        self.surround(&mut subject);
        let now = subject.circumstances.now;
        subject.circumstances.fights = lock(&self.fights).of(tool, self.begun.elapsed(), now);
        let mut observed = self.world.observed(tool);
        observed.forerunner = self.forerunner(&subject);
        let unread = self.vault.look(&self.cluster.client, tool, observed.sources_now()).await;
        let draft = subject.draft(&observed);
        let bounded = Self::bounded(&subject, &draft, &observed);
        let answers = self.images.add(&subject, draft.images_needed(&observed), &mut observed, self.begun.elapsed());
        if let Answers::Soon { patience } = answers {
            return (Ended::Rests { pause: patience }, None);
        }
        let client = &self.cluster.client;
        let mut decided = draft.decide(observed, client).await;
        decided.missed = unread.as_ref().map(|error| Missed::of(error).and(decided.missed)).or(decided.missed);
        let turns = [Self::takes_its_turn, Self::takes_its_rebase];
        for takes_its_turn in turns {
            if !takes_its_turn(self, &mut subject, &decided) {
                continue;
            }
            // What was asked for the first plan answers the second, too.
            let before = decided.missed;
            decided = subject.draft(&decided.observed).decide(decided.observed, client).await;
            decided.missed = before.map(|before| before.and(decided.missed)).or(decided.missed);
        }
        self.world.remember(tool, decided.observed.memo.clone());
        let outcome = self.execute(&decided).await;
        lock(&self.fights).note(&decided.plan, &outcome, self.begun.elapsed());
        let told = self.say(&subject, &decided, &outcome).await;
        if let Some(repositories) = bounded {
            self.look_at_space(repositories, &decided, &outcome);
        }
        for next in self.account(&decided, &outcome) {
            send(wakes, next, false);
        }
        for next in self.promoted_anew(tool, &outcome) {
            send(wakes, next, false);
        }
        self.metrics.pass(&decided.plan, &outcome, begun.elapsed());
        if let Told::Unheard(missed) = told {
            decided.missed = Some(missed.and(decided.missed));
        }
        let mut ended = ended(&decided, &outcome, now);
        if told == Told::Unsaid {
            ended = ended.at_latest(self.limits.patience);
        }
        let asking = answers == Answers::Late;
        let builds = subject.platform.builds.as_ref().map(|builds| build_places::Seen {
            under_way: planner::builds::under_way(
                &decided.observed,
                &builds.namespace(&subject.platform),
                outcome.done(planner::plan::Action::Build),
            ),
            // Who comes back only after a pause keeps no place from others meanwhile.
            waits: decided.plan.queued > 0 && !matches!(ended, Ended::Failed { .. }),
        });
        heard::tell(self.listener.as_ref(), Heard { tool: tool.clone(), pass: Some((decided.plan, outcome)), asking });
        (ended, builds)
    }

    async fn execute(&self, decided: &Decided) -> Outcome {
        let doors = Doors { client: &self.cluster.client, registry: &self.registry, vault: &self.vault };
        let outcome = pass::execute(decided, doors, &|id, answer| self.world.learn(id, answer)).await;
        self.images.learn(&decided.plan, &outcome, self.begun.elapsed());
        outcome
    }

    /// Drops what is kept of a tool that is neither in the config repository nor in the cluster any more.
    fn forget(&self, tool: &ToolName) {
        if self.book.knows(tool) {
            return;
        }
        self.book.forget(tool);
        self.world.remember(tool, planner::Memo::default());
        self.metrics.forget(tool);
        self.images.forget(tool);
        self.space.forget(tool);
        lock(&self.fights).forget(tool);
        lock(&self.unsaid).forget(tool);
        self.forget_place(tool);
    }

    /// Its repository is read as soon as its host has room.
    fn read_soon(&self, due: Due) {
        if self.due.send(due).is_err() {
            tracing::debug!("the reader has ended");
        }
    }

    /// When a kind could not be observed, or can be again, every tool may have something to do.
    async fn wake_all_on_turns(self: Arc<Self>, wakes: Wakes) {
        let mut turns = self.world.turns();
        while turns.changed().await.is_ok() {
            for tool in self.book.names() {
                send(&wakes, tool, false);
            }
        }
    }
}

/// What the watches, the lease and the registry's credentials were set up for.
fn is_fixed(
    platform: &Platform,
) -> (&str, &str, &Route, &RegistrySettings, Option<bool>, Option<&Secrets>, &Credentials) {
    let tekton = platform.builds.as_ref().map(|builds| matches!(builds.backend, Backend::Tekton(_)));
    (
        &platform.name,
        &platform.namespace,
        &platform.route,
        &platform.registry,
        tekton,
        platform.secrets.as_ref(),
        &platform.credentials,
    )
}

/// What failed is tried again later, also when nothing changes; a pass that did something looks again at once. What was
/// missed, and what has its time, keeps nothing else waiting. Git, registries and watches tell by themselves when they
/// can be read again.
fn ended(decided: &Decided, outcome: &Outcome, now: planner::Moment) -> Ended {
    let plan = &decided.plan;
    let failures = || outcome.failures().map(|(_, failure)| failure);
    if failures().next().is_some() || !decided.violations.is_empty() {
        let asked = failures().filter_map(|failure| failure.retry_after_secs).max().map(Duration::from_secs);
        return Ended::Failed { retry_after: asked };
    }
    if !plan.steps.is_empty() {
        return Ended::Again;
    }
    let left_secs = |due: planner::Moment| u64::try_from(due.unix_secs() - now.unix_secs()).unwrap_or(0);
    let due = plan.due.map(|due| Duration::from_secs(left_secs(due)));
    match decided.missed {
        Some(Missed { retry_after_secs }) => {
            Ended::Missed { retry_after: retry_after_secs.map(Duration::from_secs), pause: due }
        }
        None => due.map_or(Ended::Well, |pause| Ended::Rests { pause }),
    }
}

fn enter(queue: &mut Queue, wake: &WakeUp, now: Duration) {
    if wake.anew {
        queue.wake_anew(wake.tool.as_str(), now);
    } else {
        queue.wake(wake.tool.as_str(), now);
    }
}

fn leave(queue: &mut Queue, ended: Result<(ToolName, Ended), tokio::task::JoinError>, now: Duration) {
    // Passes are contained: a join fails only when the runtime is going down.
    if let Ok((tool, how)) = ended {
        queue.ended(tool.as_str(), how, now, rand::random());
    }
}

/// The loop is the receiver's only owner; when it is gone nobody needs to be woken.
fn send(wakes: &Wakes, tool: ToolName, anew: bool) {
    if wakes.send(WakeUp { tool, anew }).is_err() {
        tracing::debug!("the loop has ended");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::Hidden;
    use planner::plan::Plan;
    use serde_json::json;

    const NOW: planner::Moment = planner::Moment::from_unix_secs(0);

    fn end(missed: Option<Missed>, due: Option<planner::Moment>) -> Ended {
        let plan = json!({
            "tool": "a", "cluster": "x", "target": {"branch": "main"}, "steps": [], "held": [], "unchanged": 0,
            "notReady": [], "unconfirmed": [], "remarks": [],
        });
        let plan = Plan { due, ..serde_json::from_value(plan).expect("a plan") };
        let (violations, observed, report) = Default::default();
        let hidden = Hidden::of_tool(&Vault::default(), &plan.tool, &renderer::Siblings::default(), &observed);
        ended(&Decided { plan, violations, observed, report, missed, hidden }, &Outcome::default(), NOW)
    }

    #[test]
    fn what_was_missed_has_a_growing_pause_and_hides_neither_the_servers_wish_nor_what_is_due() {
        let (busy, mute) = (Missed { retry_after_secs: Some(7) }, Missed::default());
        let (wish, due) = (Some(Duration::from_secs(7)), Some(Duration::from_secs(30)));
        assert_eq!(end(None, None), Ended::Well);
        assert_eq!(end(None, Some(NOW.plus_secs(30))), Ended::Rests { pause: Duration::from_secs(30) });
        assert_eq!(end(Some(mute), None), Ended::Missed { retry_after: None, pause: None });
        assert_eq!(
            end(Some(mute.and(Some(busy))), Some(NOW.plus_secs(30))),
            Ended::Missed { retry_after: wish, pause: due }
        );
    }
}
