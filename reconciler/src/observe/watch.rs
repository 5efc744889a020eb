//! One kind's watch, for the life of the process. It may be late, and then it says so; it never silently misses:
//!
//! - A stream that ends, is cut, or is silent for too long is opened again at once at its last version, and counted.
//! - A version the server no longer has (410) lists everything again; only what differs wakes anybody.
//! - Trouble that stays makes the kind a [gap], with why, until the watch is in step again: [`super::patience`] says when.
//!   Before the first list, without the right to read (401, 403), and where an answer can't be read, it does so at once.
//!   What was known is kept beside the gap.
//! - Every six hours the list *exactly at our version* is compared with what we know; what was missed is counted and
//!   repaired, and should be none.
//!
//! [gap]: planner::observed::Gap

use super::patience::Patience;
use super::raw::Raw;
use super::reading::{self, Begin, Lines, Listed, Selection, Told};
use super::shelf::Wakes;
use super::{ByKind, Inner};
use crate::cluster::call::CallError;
use kube::Client;
use planner::kinds::Kind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(super) struct Watch {
    client: Client,
    of: Selection,
    shelf: usize,
    inner: Arc<Inner>,
    /// Lists are asked for page by page: the server cannot stream them.
    paged: bool,
    patience: Patience,
}

/// How a watch ended.
enum End {
    /// It goes on from its last version.
    Closed,
    /// It goes on from its last version, after a delay.
    Failed(CallError),
    /// Its version is of no use any more: everything is listed again.
    Behind(CallError),
}

/// A watch in step: its version, and its open stream.
struct Position {
    version: String,
    lines: Option<Lines>,
}

impl Watch {
    pub(super) fn new(client: Client, row: &'static Kind, shelf: usize, inner: Arc<Inner>) -> Self {
        let patience = Patience::new(inner.scope.pace);
        let of = Selection::watched(row, &inner.scope.platform);
        Self { client, of, shelf, inner, paged: false, patience }
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
                    Err(error) => End::Failed(error),
                },
                Some(position) => self.follow(position, &mut compare_at).await,
            };
            self.recover(end, begun, &mut position).await;
        }
    }

    /// Says what is lost, and waits where going on at once would be rude.
    async fn recover(&mut self, end: End, begun: Instant, position: &mut Option<Position>) {
        let now = Instant::now();
        let lived = now.duration_since(begun) >= self.inner.scope.pace.short_life;
        if lived {
            self.patience.calm();
        }
        let (wait, error) = match end {
            End::Closed => (!lived, None),
            End::Failed(error) => (true, Some(error)),
            End::Behind(error) => {
                *position = None;
                (!lived, Some(error))
            }
        };
        if error.is_some() || !lived {
            let over = self.patience.failed(now);
            if over || !self.inner.is_listed(self.shelf) || error.as_ref().is_some_and(has_no_grace) {
                self.inner.lose(self.shelf, said(error.as_ref()));
            } else {
                tracing::debug!(kind = self.of.row.kind, why = said(error.as_ref()), "the watch is in trouble");
            }
        }
        if wait {
            let asked = error.as_ref().and_then(|error| error.refusal()?.retry_after_secs).map(Duration::from_secs);
            self.pause(now, asked).await;
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
        let Listed { version, objects } = reading::list(&self.client, &self.of, None, self.pack()).await?;
        self.replace(objects, &version);
        Ok(Position { version, lines: None })
    }

    fn pack(&self) -> impl Fn(Raw) -> Raw {
        |raw| self.inner.pack(self.shelf, raw)
    }

    /// Takes in a whole list: after it the watch is in step.
    fn replace(&mut self, objects: Vec<Raw>, version: &str) {
        let missed = self.inner.update_counting(self.shelf, |shelf| shelf.replace(objects, version));
        if missed > 0 {
            let kind = self.of.row.kind;
            self.inner.counters.missed.get_or_create(&ByKind { kind }).inc_by(missed);
            tracing::warn!(kind, missed, "the watch had missed changes");
        }
        self.in_step();
    }

    fn in_step(&mut self) {
        self.patience.in_step();
        self.inner.regain(self.shelf);
    }

    /// Reads everything as the beginning of a watch. None where the server does not know how.
    async fn streamed_list(&mut self) -> Result<Option<Position>, CallError> {
        let mut lines = self.open(Begin::List).await?;
        let mut objects = Vec::new();
        loop {
            let Ok(line) = timeout(self.inner.scope.pace.stream_silence, lines.next()).await else { return Ok(None) };
            match line? {
                Some(Told::Put(raw)) => objects.push(self.inner.pack(self.shelf, raw)),
                Some(Told::Bookmark { version, list_ends: true }) => {
                    self.replace(objects, &version);
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
                Err(error) if error.code() == Some(410) => return End::Behind(error),
                Err(error) => return End::Failed(error),
            },
        };
        let pace = self.inner.scope.pace;
        // That it could be opened says little: some servers end it at once. It is in step when it tells, or stays.
        let (stays_at, mut in_step) = (Instant::now() + pace.short_life, false);
        loop {
            let told = tokio::select! {
                line = timeout(pace.silence, lines.next()) => line,
                () = sleep_until(stays_at), if !in_step => {
                    in_step = true;
                    self.in_step();
                    continue;
                }
                () = sleep_until(*compare_at) => match self.compare(&position.version).await {
                    Ok(pause) => {
                        *compare_at = Instant::now() + pause;
                        continue;
                    }
                    Err(error) => return End::Behind(error),
                },
            };
            match told {
                // Silent, cut or ended: its version says exactly where to go on.
                Err(_) | Ok(Ok(None) | Err(CallError::NoAnswer(_))) => return End::Closed,
                Ok(Err(error)) => return End::Behind(error),
                Ok(Ok(Some(Told::Error(error)))) if error.code() == Some(410) => return End::Behind(error),
                Ok(Ok(Some(Told::Error(error)))) => return End::Failed(error),
                Ok(Ok(Some(told))) => self.take(position, told),
            }
            if !in_step {
                in_step = true;
                self.in_step();
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

    /// Compares what is known with the list at exactly our version, and says when to do so again. A comparison that
    /// fails loses nothing: the watch goes on, and it is tried again soon. The error is that of a server that cannot give
    /// that version: then everything is listed again, and only older differences can be called missed.
    async fn compare(&mut self, at: &str) -> Result<Duration, CallError> {
        let pace = self.inner.scope.pace;
        match reading::list(&self.client, &self.of, Some(at), self.pack()).await {
            Ok(Listed { version, objects }) => {
                self.replace(objects, &version);
                Ok(spread(pace.compare))
            }
            Err(error) if matches!(error.code(), Some(400 | 410 | 422)) => Err(error),
            Err(error) => {
                tracing::warn!(kind = self.of.row.kind, %error, "the watch could not be compared with a list");
                Ok(spread(pace.compare_again))
            }
        }
    }

    async fn open(&self, from: Begin<'_>) -> Result<Lines, CallError> {
        self.inner.counters.opened.get_or_create(&ByKind { kind: self.of.row.kind }).inc();
        let secs = spread(self.inner.scope.pace.watch).as_secs();
        reading::watch(&self.client, &self.of, from, secs).await
    }

    /// Waits, longer each time, or until somebody has a reason to look again.
    async fn pause(&mut self, now: Instant, asked: Option<Duration>) {
        let pause = self.patience.pause(now, rand::random(), asked);
        tokio::select! {
            () = sleep(pause) => {}
            () = self.inner.look_again.notified() => self.patience.calm(),
        }
    }
}

/// Whatever was known before is no excuse: we may not read, or can't read what we are told.
fn has_no_grace(error: &CallError) -> bool {
    matches!(error, CallError::Garbage(_)) || matches!(error.code(), Some(401 | 403))
}

fn spread(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.67..1.33))
}

/// Why, in the words of a gap.
fn said(error: Option<&CallError>) -> String {
    match error {
        None => "the watch ends again and again".to_owned(),
        Some(error) if error.code() == Some(404) => "404 the cluster does not know this kind".to_owned(),
        Some(error) => error.to_string(),
    }
}
