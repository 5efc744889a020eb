//! Asks registries, apart from passes: a look-up takes as long as a stranger's registry likes, and no pass waits for it.
//!
//! ```text
//! pass ──what it needs──▶ Wishes ──known──▶ pass
//!                           └──Ask──▶ Reads ──one look-up a reference──▶ Wishes ──tool's name──▶ Queue
//! ```
//! A pass takes what is known. What is not is asked, and the answer wakes the tool: for a moment a pass is put off, because
//! the answer is on its way. Then it goes on without: drift is healed, and the condition says what it waits for.

mod tags;
mod wishes;

use super::reads::{Answered, End, Job, Reads};
use super::{Driver, Wakes, lock, send};
use crate::dialer::DialError;
use crate::pass::{Subject, seen};
use crate::queue::Moment;
use crate::registry::{Reference, RegistryError};
use futures::FutureExt as _;
use planner::observed::{ImageSeen, Observed};
use planner::outcome::{Outcome, RowResult};
use planner::pin::Pin;
use planner::plan::{Action, Plan, Request, Step};
use renderer::ToolName;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tags::Tags;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use wishes::{Occasion, Wishes};

/// A tool needs to know an image.
#[derive(Debug)]
pub(super) struct Ask {
    tool: ToolName,
    reference: String,
    /// Earlier failures say nothing any more.
    anew: bool,
}

/// What tools need to know of images, and what is known.
pub(super) struct Images {
    wishes: Mutex<Wishes>,
    tags: Mutex<Tags>,
    asks: UnboundedSender<Ask>,
}

/// What a pass has of the images it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// All that can be known.
    All,
    /// Some are on their way: a pass now would have to be made again.
    Soon {
        /// It goes on without them after this.
        patience: Duration,
    },
    /// Some take too long. The answer will wake the tool.
    Late,
}

impl Images {
    pub(super) fn new() -> (Self, UnboundedReceiver<Ask>) {
        let (asks, to_ask) = unbounded_channel();
        (Self { wishes: Mutex::default(), tags: Mutex::default(), asks }, to_ask)
    }

    /// Adds what registries said of the images that this pass needs, and asks for the rest.
    pub(super) fn add(
        &self,
        subject: &Subject,
        needed: BTreeSet<String>,
        observed: &mut Observed,
        now: Moment,
    ) -> Answers {
        let tool = &subject.tool.name;
        let pin = Pin::of(observed.live(&planner::tool_id(tool)), subject.circumstances.now);
        let commit = subject.newest.as_ref().ok().and_then(|revision| revision.commit.clone());
        let builds = subject.platform.builds.as_ref().map(|builds| builds.namespace(&subject.platform));
        let mut built = builds.map(|namespace| planner::builds::succeeded(observed, &namespace)).unwrap_or_default();
        built.extend(observed.forerunner.iter().flat_map(|forerunner| forerunner.built.iter().cloned()));
        let known = lock(&self.wishes).needs(tool, Occasion { commit, retry: pin.retry, built }, needed, now);
        for (reference, anew) in known.ask {
            self.ask(Ask { tool: tool.clone(), reference, anew });
        }
        observed.images.extend(known.images);
        lock(&self.tags).add(tool, observed);
        for reference in &known.open {
            observed.images.insert(reference.clone(), ImageSeen::Unknown(format!("no answer yet for {reference}")));
        }
        match known.patience {
            Some(patience) => Answers::Soon { patience },
            None if known.open.is_empty() => Answers::All,
            None => Answers::Late,
        }
    }

    /// What was taken over is there: nobody need be asked.
    pub(super) fn learn(&self, plan: &Plan, outcome: &Outcome, now: Moment) {
        let done = |step: &&Step| {
            outcome.rows.iter().any(|row| row.id == step.id && matches!(row.result, RowResult::Done { .. }))
        };
        let steps = plan.steps.iter().filter(|step| step.action == Action::Promote).filter(done);
        for request in steps.flat_map(|step| &step.requests) {
            if let Request::Promote { digest, to, .. } = request {
                lock(&self.wishes).answered(&plan.tool, to, &ImageSeen::Found(digest.clone()), now);
            }
        }
    }

    /// Nobody tells when an image that was missing, or made for others, is pushed.
    pub(super) fn look_again(&self) {
        self.ask_again(false, |answer| matches!(answer, ImageSeen::Missing | ImageSeen::Unfit { .. }));
    }

    /// What may be asked, or with which credentials, is another now.
    pub(super) fn ask_anew(&self) {
        self.ask_again(true, |answer| matches!(answer, ImageSeen::Unknown(_) | ImageSeen::Unfit { .. }));
    }

    pub(super) fn forget(&self, tool: &ToolName) {
        lock(&self.wishes).forget(tool);
        lock(&self.tags).forget(tool);
    }

    fn wants(&self, tool: &ToolName, reference: &str) -> bool {
        lock(&self.wishes).wants(tool, reference) || lock(&self.tags).has(tool, reference)
    }

    /// Returns whether that is news for the tool.
    fn answered(&self, tool: &ToolName, reference: &str, answer: &ImageSeen, asked: Moment) -> bool {
        let moved = lock(&self.tags).answered(tool, reference, answer);
        lock(&self.wishes).answered(tool, reference, answer, asked) || moved
    }

    fn ask_again(&self, anew: bool, which: impl Fn(&ImageSeen) -> bool) {
        for (tool, reference) in lock(&self.wishes).with(which) {
            self.ask(Ask { tool, reference, anew });
        }
    }

    fn ask(&self, ask: Ask) {
        if self.asks.send(ask).is_err() {
            tracing::debug!("nobody asks registries any more");
        }
    }
}

/// A look-up that ended, and when it began.
type Done = (Job, Moment, Result<ImageSeen, RegistryError>);

struct Asker {
    driver: Arc<Driver>,
    wakes: Wakes,
    reads: Reads,
    jobs: JoinSet<Done>,
}

impl Driver {
    /// Asks registries what passes need to know, until it is dropped.
    pub(super) async fn ask_registries(self: Arc<Self>, wakes: Wakes, mut asks: UnboundedReceiver<Ask>) {
        let mut asker = Asker { driver: self, wakes, reads: Reads::default(), jobs: JoinSet::new() };
        let mut look = tokio::time::interval_at(Instant::now() + asker.driver.limits.tags, asker.driver.limits.tags);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            asker.start();
            let now = asker.driver.begun.elapsed();
            let pause = asker.reads.next_due(now).map_or(Duration::from_secs(3600), |due| due.saturating_sub(now));
            tokio::select! {
                Some(ask) = asks.recv() => asker.enter(ask),
                Some(done) = asker.jobs.join_next() => asker.end(done),
                _ = look.tick() => asker.look_at_tags(),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl Asker {
    /// Tags of builds that run, however many: a host is asked a few at a time.
    fn look_at_tags(&mut self) {
        let all = lock(&self.driver.images.tags).all();
        for (tool, reference) in all {
            self.enter(Ask { tool, reference, anew: false });
        }
    }

    fn enter(&mut self, Ask { tool, reference, anew }: Ask) {
        let now = self.driver.begun.elapsed();
        match Reference::parse(&reference) {
            Ok(parsed) => self.reads.add(&tool, &parsed.host, &reference, anew, now),
            // An answer that never changes.
            Err(bad) => self.tell(&reference, &[tool].into(), &ImageSeen::Unknown(bad.to_string()), now),
        }
    }

    /// Begins what there is room for.
    fn start(&mut self) {
        let now = self.driver.begun.elapsed();
        while let Some(mut job) = self.reads.next(now) {
            job.tools.retain(|tool| self.driver.images.wants(tool, &job.what));
            if job.tools.is_empty() {
                self.reads.ended(&job, End::not_asked(), now, 0.0);
                continue;
            }
            self.jobs.spawn(look_up(self.driver.clone(), job, now));
        }
    }

    fn end(&mut self, done: Result<Done, tokio::task::JoinError>) {
        // Look-ups are contained: a join fails only when the runtime is going down.
        let Ok((job, began, answer)) = done else { return };
        let now = self.driver.begun.elapsed();
        let answered = match &answer {
            Err(RegistryError::Dial(DialError::TimedOut { .. })) => Answered::No,
            _ => Answered::Yes,
        };
        let failed = if answer.is_err() { job.tools.clone() } else { BTreeSet::new() };
        let retry_after = answer.as_ref().err().and_then(RegistryError::retry_after);
        self.reads.ended(&job, End { failed, answered, retry_after }, now, rand::random());
        let answer = seen(answer);
        self.tell(&job.what, &job.tools, &answer, began);
        for (what, tools) in self.reads.give_up(&job.host, now, rand::random) {
            self.tell(&what, &tools, &answer, now);
        }
    }

    fn tell(&self, reference: &str, tools: &BTreeSet<ToolName>, answer: &ImageSeen, asked: Moment) {
        for tool in tools {
            if self.driver.images.answered(tool, reference, answer, asked) {
                send(&self.wakes, tool.clone(), true);
            }
        }
    }
}

async fn look_up(driver: Arc<Driver>, job: Job, began: Moment) -> Done {
    let platform = driver.book.platform();
    let asked = AssertUnwindSafe(driver.registry.seen(&job.what, &platform)).catch_unwind().await;
    let answer = asked.unwrap_or_else(|_| {
        tracing::error!(reference = job.what, "a look-up panicked; this is a defect in toolforge");
        driver.metrics.panicked();
        Err(RegistryError::Garbage { registry: job.host.clone(), why: "what a defect in toolforge can't read" })
    });
    (job, began, answer)
}
