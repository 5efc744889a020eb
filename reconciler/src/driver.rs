//! The loop of `toolforge run`: wake-ups in, passes out. It keeps no truth: refs, revisions and tips are caches of what
//! git said last, and everything else is read from the watches at the beginning of each pass.
//!
//! ```text
//! poll tick, watch event, folder event ──tool's name──▶ Queue ──longest waiting first──▶ pass ──▶ Queue
//! ```

mod book;
pub mod platform;
mod start;

pub use book::{Book, BookError, newest};
pub use start::{Environment, Options, git, registry, serve};

use crate::cluster::Cluster;
use crate::events::Recorder;
use crate::observe::World;
use crate::pass::{self, Decided, Subject, decide};
use crate::queue::{Ended, Queue};
use crate::registry::Registry;
use crate::source::Git;
use crate::status;
use planner::drift::FieldChange;
use planner::outcome::Outcome;
use renderer::{ObjectId, ToolName};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How the loop behaves.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Passes at once.
    pub passes: usize,
    /// Between polls of git; none means the platform's own interval.
    pub interval: Option<Duration>,
    /// A pass that takes longer is given up; its tool is tried again later.
    pub pass: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { passes: 8, interval: None, pass: Duration::from_secs(120) }
    }
}

/// Everything the loop works with.
pub struct Driver {
    cluster: Cluster,
    git: Git,
    registry: Registry,
    world: World,
    book: Book,
    limits: Limits,
    metrics: crate::web::Metrics,
    recorder: Recorder,
    /// Tools that wait for an image: asked about at each poll, and only then.
    awaiting_images: Mutex<BTreeSet<ToolName>>,
    /// What each tool's last pass changed. The same again means that somebody else insists: then we back off.
    last_changes: Mutex<BTreeMap<ToolName, Changes>>,
    poll_now: Notify,
}

/// What a pass changed, field by field.
type Changes = Vec<(ObjectId, Vec<FieldChange>)>;

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

impl Driver {
    /// Runs until `stop`, then lets the passes under way finish.
    pub async fn run(
        self: Arc<Self>,
        wakes: Wakes,
        mut woken: mpsc::UnboundedReceiver<WakeUp>,
        stop: CancellationToken,
    ) {
        self.world.synced().await;
        let polling = tokio::spawn(self.clone().poll_forever(wakes.clone(), stop.clone()));
        let turning = tokio::spawn(self.clone().wake_all_on_turns(wakes, stop.clone()));
        let begun = Instant::now();
        let mut queue = Queue::default();
        let mut passes: JoinSet<(ToolName, Ended)> = JoinSet::new();
        while !stop.is_cancelled() {
            while passes.len() < self.limits.passes
                && let Some(name) = queue.next(begun.elapsed())
            {
                let Ok(tool) = ToolName::new(name) else { continue };
                passes.spawn(self.clone().contained_pass(tool));
            }
            let pause = queue.next_due().map_or(Duration::from_secs(3600), |due| due.saturating_sub(begun.elapsed()));
            tokio::select! {
                () = stop.cancelled() => {}
                Some(wake) = woken.recv() => enter(&mut queue, &wake, begun.elapsed()),
                Some(ended) = passes.join_next() => leave(&mut queue, ended, begun.elapsed()),
                () = tokio::time::sleep(pause), if passes.len() < self.limits.passes => {}
            }
            self.metrics.busy(queue.busy());
        }
        polling.abort();
        turning.abort();
        while passes.join_next().await.is_some() {}
    }

    /// A pass that panics or hangs costs its own tool a pass, and nobody else anything.
    async fn contained_pass(self: Arc<Self>, tool: ToolName) -> (ToolName, Ended) {
        let pass = futures::FutureExt::catch_unwind(AssertUnwindSafe(self.pass(&tool)));
        let ended = match tokio::time::timeout(self.limits.pass, pass).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => {
                tracing::error!(%tool, "a pass panicked; this is a defect in toolforge");
                self.metrics.panicked();
                Ended::Failed { retry_after: None }
            }
            Err(_) => {
                tracing::warn!(%tool, secs = self.limits.pass.as_secs(), "a pass took too long and was given up");
                Ended::Failed { retry_after: None }
            }
        };
        (tool, ended)
    }

    async fn pass(&self, tool: &ToolName) -> Ended {
        let begun = Instant::now();
        let Some(subject) = self.book.subject(tool, &self.git, &self.world).await else { return Ended::Well };
        let decided = decide(&subject, self.world.observed(tool), &self.cluster.client, &self.registry).await;
        self.remember_images(tool, &decided);
        let outcome = self.execute(&decided).await;
        self.say(&subject, &decided, &outcome).await;
        self.metrics.pass(&decided.plan, &outcome, begun.elapsed());
        self.ended(&decided, &outcome)
    }

    /// A step that failed is tried again later, also when nothing changes. A pass that did something looks again at
    /// once, unless it did the very same as the one before: then somebody else insists on another value.
    fn ended(&self, decided: &Decided, outcome: &Outcome) -> Ended {
        let plan = &decided.plan;
        let changes: Changes = plan.steps.iter().map(|step| (step.id.clone(), step.changes.clone())).collect();
        let again = {
            let mut last = lock(&self.last_changes);
            let again = !changes.is_empty() && last.get(&plan.tool) == Some(&changes);
            if changes.is_empty() {
                drop(last.remove(&plan.tool))
            } else {
                drop(last.insert(plan.tool.clone(), changes))
            }
            again
        };
        let retry_after = outcome.failures().filter_map(|(_, failure)| failure.retry_after_secs).max();
        let failed = outcome.failures().next().is_some() || !decided.violations.is_empty();
        if failed || again {
            Ended::Failed { retry_after: retry_after.map(Duration::from_secs) }
        } else if plan.steps.is_empty() {
            Ended::Well
        } else {
            Ended::Again
        }
    }

    async fn execute(&self, decided: &Decided) -> Outcome {
        pass::execute(decided, &self.cluster.client, &|id, answer| self.world.learn(id, answer)).await
    }

    /// Status, events and one log line; each only when there is something to say.
    async fn say(&self, subject: &Subject, decided: &Decided, outcome: &Outcome) {
        let plan = &decided.plan;
        if !plan.steps.is_empty() {
            let commit = plan.target.commit.as_ref().map_or("", |commit| commit.short());
            tracing::info!(tool = %plan.tool, commit, plan = planner::explain::totals(plan), "pass");
        }
        let Some(live) = self.world.tool(&subject.tool.name) else { return };
        let written = pass::tell(&self.cluster.client, &self.recorder, &live, decided, outcome).await;
        if let Some(answer) = written {
            self.world.learn(&status::id(&plan.tool), &answer);
        }
    }

    fn remember_images(&self, tool: &ToolName, decided: &Decided) {
        let waits = decided.plan.held.iter().any(|held| held.why.awaits_image());
        let mut awaiting = lock(&self.awaiting_images);
        if waits {
            awaiting.insert(tool.clone())
        } else {
            awaiting.remove(tool)
        };
    }

    async fn poll_forever(self: Arc<Self>, wakes: Wakes, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.poll(&wakes).await;
            let interval = self.limits.interval.unwrap_or_else(|| self.book.poll_interval());
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.poll_now.notified() => {}
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// One poll: the config repository, then each distinct repository once. Wakes whom it concerns.
    async fn poll(&self, wakes: &Wakes) {
        let platform_changed = self.book.poll(&self.git, &|tool| send(wakes, tool, true)).await;
        if platform_changed && let Err(error) = platform::publish(&self.cluster.client, &self.book.platform()).await {
            tracing::warn!(%error, "the platform's own objects were not written");
        }
        for tool in self.world.tools().into_iter().filter(|tool| !self.book.knows(tool)) {
            send(wakes, tool, false);
        }
        for tool in lock(&self.awaiting_images).clone() {
            send(wakes, tool, false);
        }
        self.metrics.git(self.git.counts());
    }

    /// Polls at once: a folder we watch has changed. It says nothing else.
    fn poll_now(&self) {
        self.poll_now.notify_one();
    }

    /// When a kind could not be observed, or can be again, every tool may have something to do.
    async fn wake_all_on_turns(self: Arc<Self>, wakes: Wakes, stop: CancellationToken) {
        let mut turns = self.world.turns();
        while !stop.is_cancelled() && turns.changed().await.is_ok() {
            for tool in self.book.names() {
                send(&wakes, tool, false);
            }
        }
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
