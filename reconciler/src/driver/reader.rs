//! Reads repositories, apart from passes: a fetch takes as long as a stranger's host likes, and no pass waits for it.
//!
//! ```text
//! branch moved, tool's file changed, builds elsewhere ──Due──▶ Reads ──one job a repository──▶ its own files
//!                                                                ──▶ sources elsewhere ──▶ Book ──tool's name──▶ Queue
//! ```
//! Only the first part takes one of the host's places. What a tool builds from elsewhere is resolved under git's own
//! limits, so that the host elsewhere delays nobody but who builds from it.

use super::book::{PATIENCE, TURN};
use super::newest::{Own, Question};
use super::reads::{Answered, End, Job, Reads};
use super::{Driver, Wakes, send};
use crate::source::SourceError;
use futures::FutureExt as _;
use rand::seq::SliceRandom as _;
use renderer::{Revision, ToolName};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// A tool whose repository is to be read.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub tool: ToolName,
    /// Something of it is new: earlier failures say nothing any more, and it is woken whatever is read. Else it is only
    /// looked whether what it builds from elsewhere has moved.
    pub anew: bool,
}

/// What was read of one tool.
struct Read {
    question: Question,
    result: Result<Part, SourceError>,
}

enum Part {
    /// The tool's own files.
    Own(Own),
    /// All that it is made from.
    Whole(Revision),
}

/// A read of one repository, ended.
type Done = (Job, End);

struct Reader {
    driver: Arc<Driver>,
    wakes: Wakes,
    begun: Instant,
    reads: Reads,
    jobs: JoinSet<Done>,
    elsewhere: JoinSet<()>,
    /// Who is resolving sources elsewhere.
    resolving: BTreeMap<ToolName, AbortHandle>,
    /// Woken when they were read, whatever it was.
    tell: BTreeSet<ToolName>,
    /// When somebody who waits has to be told so.
    late: BTreeSet<(Instant, ToolName)>,
    results: UnboundedSender<Read>,
}

impl Driver {
    /// Reads what is due, until it is dropped.
    pub(super) async fn read_forever(self: Arc<Self>, wakes: Wakes, mut due: UnboundedReceiver<Due>) {
        let (results, mut read) = unbounded_channel();
        let mut reader = Reader {
            driver: self,
            wakes,
            begun: Instant::now(),
            reads: Reads::default(),
            jobs: JoinSet::new(),
            elsewhere: JoinSet::new(),
            resolving: BTreeMap::new(),
            tell: BTreeSet::new(),
            late: BTreeSet::new(),
            results,
        };
        loop {
            reader.start();
            let next = reader.next_moment();
            tokio::select! {
                Some(due) = due.recv() => reader.enter(&due),
                Some(read) = read.recv() => reader.take(read),
                Some(done) = reader.jobs.join_next() => reader.end(done),
                Some(_) = reader.elsewhere.join_next() => {}
                () = tokio::time::sleep_until(next) => reader.tell_late(),
            }
        }
    }
}

impl Reader {
    fn enter(&mut self, due: &Due) {
        let name = &due.tool;
        if due.anew {
            self.tell.insert(name.clone());
            // First, so that it is late when the alarm goes, and not a moment after it: there is only one.
            self.driver.book.begin_to_read(name);
            self.late.insert((Instant::now() + TURN, name.clone()));
        } else if self.resolving.contains_key(name) {
            return;
        }
        let now = self.begun.elapsed();
        match self.driver.book.question(name) {
            Some(question) => self.reads.add(name, question.url.host(), question.url.key().as_str(), due.anew, now),
            // There is nothing to read, or nobody has said yet where.
            None => send(&self.wakes, name.clone(), due.anew),
        }
    }

    /// Begins what there is room for.
    fn start(&mut self) {
        while let Some(job) = self.reads.next(self.begun.elapsed()) {
            let mut questions: Vec<_> = job.tools.iter().filter_map(|tool| self.driver.book.question(tool)).collect();
            // Who moved to another repository meanwhile is due there.
            questions.retain(|question| question.url.key().as_str() == job.what);
            // What hangs is not always the first, so that the others are read in the end.
            questions.shuffle(&mut rand::rng());
            for question in &questions {
                self.driver.book.turn_to_read(&question.tool.name);
                self.late.insert((Instant::now() + PATIENCE, question.tool.name.clone()));
            }
            self.jobs.spawn(read_own(self.driver.clone(), job, questions, self.results.clone()));
        }
    }

    /// One tool's own files are there, or all of it, or it failed.
    fn take(&mut self, Read { question, result }: Read) {
        let name = question.tool.name.clone();
        if let Some(before) = self.resolving.remove(&name) {
            before.abort();
        }
        let result = match result {
            Ok(Part::Own(own)) if !own.elsewhere.is_empty() => {
                let resolved = resolve(self.driver.clone(), own, question, self.results.clone());
                self.resolving.insert(name, self.elsewhere.spawn(resolved));
                return;
            }
            Ok(Part::Own(own)) => Ok(own.revision),
            Ok(Part::Whole(revision)) => Ok(revision),
            Err(error) => Err(error),
        };
        let again = self.reads.is_due(&name, question.url.host(), question.url.key().as_str());
        let news = self.driver.book.end_to_read(&question, result, again);
        if self.tell.remove(&name) || news {
            send(&self.wakes, name, true);
        }
    }

    fn end(&mut self, done: Result<Done, tokio::task::JoinError>) {
        // Reads are contained: a join fails only when the runtime is going down.
        if let Ok((job, end)) = done {
            self.reads.ended(&job, end, self.begun.elapsed(), rand::random());
        }
    }

    fn next_moment(&self) -> Instant {
        let now = self.begun.elapsed();
        let read = self.reads.next_due(now).map(|due| self.begun + due);
        let late = self.late.first().map(|(at, _)| *at);
        read.into_iter().chain(late).min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    /// Wakes those who wait for so long that their condition has to say why.
    fn tell_late(&mut self) {
        while self.late.first().is_some_and(|(at, _)| *at <= Instant::now()) {
            if let Some((_, name)) = self.late.pop_first()
                && self.driver.book.is_late(&name)
            {
                send(&self.wakes, name, false);
            }
        }
    }
}

/// The own files of each tool in turn. What is true of the whole repository is asked once.
async fn read_own(driver: Arc<Driver>, job: Job, questions: Vec<Question>, results: UnboundedSender<Read>) -> Done {
    let (mut failed, mut of_all) = (BTreeSet::new(), None);
    for question in questions {
        let result = match &of_all {
            Some(error) => Err(SourceError::clone(error)),
            None => contained(&driver, &question.tool.name, own(&driver, &question)).await,
        };
        if let Err(error) = &result {
            if error.is_of_the_repository() {
                of_all = Some(error.clone());
            }
            if !error.is_an_answer() {
                failed.insert(question.tool.name.clone());
            }
        }
        report(&results, Read { question, result: result.map(Part::Own) });
    }
    let answered = if matches!(of_all, Some(SourceError::TimedOut { .. })) { Answered::No } else { Answered::Yes };
    (job, End { failed, answered, retry_after: None })
}

/// What is stored of the commit in the cluster need not be fetched: after a start that is nearly all of it.
async fn own(driver: &Driver, question: &Question) -> Result<Own, SourceError> {
    question.own(&driver.git, |commit| driver.world.stored(&question.tool, commit)).await
}

async fn resolve(driver: Arc<Driver>, own: Own, question: Question, results: UnboundedSender<Read>) {
    let whole = async { Ok(own.resolve(&question.tool, &driver.git).await) };
    let result = contained(&driver, &question.tool.name, whole).await.map(Part::Whole);
    report(&results, Read { question, result });
}

/// A stranger's file that makes us panic costs its own tool a read.
async fn contained<T>(
    driver: &Driver,
    tool: &ToolName,
    read: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    AssertUnwindSafe(read).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(%tool, "a read panicked; this is a defect in toolforge");
        driver.metrics.panicked();
        Err(SourceError::Corrupt { why: "reading it failed by a defect in toolforge".to_owned() })
    })
}

/// The reader is the receiver's only owner; when it is gone nobody needs to know.
fn report(results: &UnboundedSender<Read>, read: Read) {
    if results.send(read).is_err() {
        tracing::debug!("the reader has ended");
    }
}
