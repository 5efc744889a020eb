//! One kind's watch, for the life of the process. It may be late, and then it says so; it never silently misses:
//!
//! - A stream that ends, is cut, or is silent for too long is opened again at once at its last version, and counted.
//! - Every error (refused, out of reach, unreadable, ending again and again) makes the kind a [gap], with why, until the
//!   watch is in step again. What was known is kept beside the gap.
//! - A version the server no longer has (410), or a line nobody can read, lists everything again.
//! - Every six hours the list *exactly at our version* is compared with what we know; differences are counted, and
//!   should be none.
//!
//! [gap]: planner::observed::Gap

use super::reading::{self, Begin, Lines, Listed, Selection, Told};
use super::shelf::Wakes;
use super::{ByKind, Inner};
use crate::cluster::call::CallError;
use kube::Client;
use planner::kinds::Kind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How patient the watches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Longest silence of a watch: servers send a bookmark every minute, so that more is a dead connection.
    pub silence: Duration,
    /// Longest silence while a list is streamed; afterwards it is asked for page by page.
    pub stream_silence: Duration,
    /// Servers are asked to end a watch after this long, give or take a third, so that not all are opened at once.
    pub watch: Duration,
    /// What is known is compared with a list this often, give or take a third.
    pub compare: Duration,
    /// After the first failure; each further one doubles it.
    pub first_delay: Duration,
    /// Longest delay.
    pub last_delay: Duration,
    /// A watch that lived shorter than this is opened again with a delay.
    pub short_life: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(200),
            stream_silence: Duration::from_secs(10),
            watch: Duration::from_secs(45 * 60),
            compare: Duration::from_secs(6 * 3600),
            first_delay: Duration::from_millis(500),
            last_delay: Duration::from_secs(60),
            short_life: Duration::from_secs(5),
        }
    }
}

pub(super) struct Watch {
    client: Client,
    of: Selection,
    shelf: usize,
    inner: Arc<Inner>,
    /// Lists are asked for page by page: the server cannot stream them.
    paged: bool,
    delay: Duration,
}

/// How a watch ended.
enum End {
    /// It goes on from its last version.
    Closed,
    /// It goes on from its last version, after a delay.
    Failed(String),
    /// Its version is of no use any more: everything is listed again.
    Behind(String),
}

/// A watch in step: its version, and its open stream.
struct Position {
    version: String,
    lines: Option<Lines>,
}

impl Watch {
    pub(super) fn new(client: Client, row: &'static Kind, shelf: usize, inner: Arc<Inner>) -> Self {
        let delay = inner.scope.pace.first_delay;
        Self { client, of: Selection::watched(row), shelf, inner, paged: false, delay }
    }

    pub(super) async fn run(mut self) {
        let mut position: Option<Position> = None;
        let mut compare_at = Instant::now() + spread(self.inner.scope.pace.compare);
        loop {
            let begun = Instant::now();
            let end = match &mut position {
                None => match self.list().await {
                    Ok(listed) => {
                        position = Some(listed);
                        continue;
                    }
                    Err(error) => End::Behind(said(&error)),
                },
                Some(position) => self.follow(position, &mut compare_at).await,
            };
            self.recover(end, begun, &mut position).await;
        }
    }

    /// Says what is lost, and waits where going on at once would be rude.
    async fn recover(&mut self, end: End, begun: Instant, position: &mut Option<Position>) {
        let pace = self.inner.scope.pace;
        let lived = begun.elapsed() >= pace.short_life;
        if lived {
            self.delay = pace.first_delay;
        }
        let again = self.delay > pace.first_delay;
        let wait = match end {
            End::Closed => {
                if again {
                    self.inner.lose(self.shelf, "the watch ends again and again".to_owned());
                }
                !lived
            }
            End::Failed(why) => {
                self.inner.lose(self.shelf, why);
                true
            }
            End::Behind(why) => {
                self.inner.lose(self.shelf, why);
                // A watch that fell behind lists at once; a list that failed waits.
                position.take().is_none() || !lived
            }
        };
        if wait {
            self.pause().await;
        }
    }

    /// Reads everything, in whichever way the server can.
    async fn list(&mut self) -> Result<Position, CallError> {
        if !self.paged {
            match self.streamed_list().await {
                Ok(Some(position)) => return Ok(position),
                Ok(None) => self.paged = true,
                Err(error) if matches!(error.code(), Some(400 | 422)) => self.paged = true,
                Err(error) => return Err(error),
            }
        }
        let Listed { version, objects } = reading::list(&self.client, &self.of, None).await?;
        self.inner.update(self.shelf, |shelf| shelf.replace(objects, &version).0);
        Ok(Position { version, lines: None })
    }

    /// Reads everything as the beginning of a watch. None where the server does not know how.
    async fn streamed_list(&mut self) -> Result<Option<Position>, CallError> {
        let mut lines = self.open(Begin::List).await?;
        let mut objects = Vec::new();
        loop {
            let Ok(line) = timeout(self.inner.scope.pace.stream_silence, lines.next()).await else { return Ok(None) };
            match line? {
                Some(Told::Put(raw)) => objects.push(raw),
                Some(Told::Bookmark { version, list_ends: true }) => {
                    self.inner.update(self.shelf, |shelf| shelf.replace(objects, &version).0);
                    self.inner.regain(self.shelf);
                    return Ok(Some(Position { version, lines: Some(lines) }));
                }
                Some(Told::Bookmark { .. }) => {}
                Some(Told::Gone(_)) | None => return Ok(None),
                Some(Told::Error(error)) => return Err(error),
            }
        }
    }

    /// Follows the watch until it ends.
    async fn follow(&mut self, position: &mut Position, compare_at: &mut Instant) -> End {
        let mut lines = match position.lines.take() {
            Some(lines) => lines,
            None => match self.open(Begin::Version(&position.version)).await {
                Ok(lines) => lines,
                Err(error) if error.code() == Some(410) => return End::Behind(said(&error)),
                Err(error) => return End::Failed(said(&error)),
            },
        };
        self.inner.regain(self.shelf);
        let pace = self.inner.scope.pace;
        loop {
            let told = tokio::select! {
                line = timeout(pace.silence, lines.next()) => line,
                () = tokio::time::sleep_until(*compare_at) => {
                    *compare_at = Instant::now() + spread(pace.compare);
                    match self.compare(&position.version).await {
                        Some(end) => return end,
                        None => continue,
                    }
                }
            };
            match told {
                // Silent, cut or ended: its version says exactly where to go on.
                Err(_) | Ok(Ok(None) | Err(CallError::NoAnswer(_))) => return End::Closed,
                Ok(Err(error)) => return End::Behind(said(&error)),
                Ok(Ok(Some(Told::Error(error)))) if error.code() == Some(410) => return End::Behind(said(&error)),
                Ok(Ok(Some(Told::Error(error)))) => return End::Failed(said(&error)),
                Ok(Ok(Some(told))) => self.take(position, told),
            }
        }
    }

    fn take(&self, position: &mut Position, told: Told) {
        match told {
            Told::Put(raw) => {
                position.version = raw.version.to_string();
                self.inner.update(self.shelf, |shelf| shelf.put(raw));
            }
            Told::Gone(raw) => {
                position.version = raw.version.to_string();
                self.inner.update(self.shelf, |shelf| shelf.remove(&raw));
            }
            Told::Bookmark { version, .. } => {
                self.inner.update(self.shelf, |shelf| {
                    shelf.advance(&version);
                    Wakes::new()
                });
                position.version = version;
            }
            Told::Error(_) => {}
        }
    }

    /// Compares what is known with the list at exactly our version. A server that cannot give that version gets asked
    /// for a new beginning, in which nothing can be called missed.
    async fn compare(&self, at: &str) -> Option<End> {
        match reading::list(&self.client, &self.of, Some(at)).await {
            Ok(Listed { version, objects }) if version == at => {
                let missed = self.inner.update_counting(self.shelf, |shelf| shelf.replace(objects, &version));
                self.inner.counters.missed.get_or_create(&ByKind { kind: self.of.row.kind }).inc_by(missed);
                if missed > 0 {
                    tracing::warn!(kind = self.of.row.kind, missed, "the watch had missed changes");
                }
                None
            }
            Ok(_) => Some(End::Behind("listing again".to_owned())),
            Err(error) if matches!(error.code(), Some(400 | 410 | 422)) => {
                Some(End::Behind("listing again".to_owned()))
            }
            Err(error) => Some(End::Failed(said(&error))),
        }
    }

    async fn open(&self, from: Begin<'_>) -> Result<Lines, CallError> {
        self.inner.counters.opened.get_or_create(&ByKind { kind: self.of.row.kind }).inc();
        let secs = spread(self.inner.scope.pace.watch).as_secs();
        reading::watch(&self.client, &self.of, from, secs).await
    }

    /// Waits, longer each time, or until somebody has a reason to look again.
    async fn pause(&mut self) {
        let pace = self.inner.scope.pace;
        let wait = self.delay.mul_f64(rand::random_range(0.5..1.0));
        self.delay = (self.delay * 2).min(pace.last_delay);
        tokio::select! {
            () = sleep(wait) => {}
            () = self.inner.look_again.notified() => self.delay = pace.first_delay,
        }
    }
}

fn spread(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.67..1.33))
}

/// Why, in the words of a gap.
fn said(error: &CallError) -> String {
    match error.code() {
        Some(404) => "404 the cluster does not know this kind".to_owned(),
        _ => error.to_string(),
    }
}
