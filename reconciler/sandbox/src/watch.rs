//! A watch as a stream of lines. The stream reads the store's history; nothing is pushed into it, so a slow reader costs
//! no memory, and one that is too slow gets the 410 that a real server would send.

use crate::call::{View, Watch, bytes_of};
use crate::route::Query;
use crate::server::Shared;
use crate::status::ApiError;
use crate::store::{Entry, Event, Happened};
use crate::view::Renderer;
use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a watch lives if the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How often a quiet watch says how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// One open watch.
struct Open {
    shared: Arc<Shared>,
    watch: Watch,
    changed: tokio::sync::watch::Receiver<u64>,
    since: u64,
    deadline: Instant,
    next_bookmark: Instant,
    lines: VecDeque<Bytes>,
    columns_sent: bool,
    ended: bool,
}

/// The lines of a watch, each one event.
pub(crate) fn lines(shared: Arc<Shared>, watch: Watch) -> impl Stream<Item = Bytes> + Send {
    let open = Open::new(shared, watch);
    futures::stream::unfold(open, |mut open| async move {
        let line = open.next().await?;
        Some((line, open))
    })
}

impl Open {
    fn new(shared: Arc<Shared>, watch: Watch) -> Self {
        let secs = watch.query.timeout_secs.filter(|secs| *secs > 0);
        let timeout = secs.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        let now = Instant::now();
        let mut open = Self {
            changed: shared.revisions(),
            since: watch.since,
            deadline: now + timeout,
            next_bookmark: now + BOOKMARK_EVERY,
            lines: VecDeque::new(),
            columns_sent: false,
            ended: false,
            shared,
            watch,
        };
        if open.watch.initial {
            open.send_everything();
        }
        open
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            // From here on every change wakes, also one that comes while the history is read.
            self.changed.mark_unchanged();
            self.ended = self.shared.is_stopped();
            self.read_history();
            if self.lines.is_empty() && !self.ended {
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        let wake = self.deadline.min(self.next_bookmark);
        tokio::select! {
            changed = self.changed.changed() => self.ended = changed.is_err() || self.shared.is_stopped(),
            () = tokio::time::sleep_until(wake) => {
                self.bookmark(false);
                self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                self.ended = Instant::now() >= self.deadline;
            }
        }
    }

    /// The moment itself as events: what is there now, and then a mark that this was it.
    fn send_everything(&mut self) {
        let (entries, revision) = self.shared.with(|cluster| {
            let watch = &self.watch;
            let namespace = watch.namespace.as_deref();
            let entries = cluster.matching(watch.resource, namespace, &watch.query);
            (entries, cluster.store.revision())
        });
        for entry in entries {
            self.push("ADDED", &entry);
        }
        self.since = revision;
        if self.watch.query.send_initial_events == Some(true) {
            self.bookmark(true);
        }
    }

    fn read_history(&mut self) {
        let kind = self.watch.resource.kind;
        let since = self.since;
        let (events, newest) = self.shared.with(|cluster| {
            let newest = cluster.store.revision();
            (cluster.store.events_since(kind, since), newest)
        });
        match events {
            Ok(events) if since <= newest => {
                for event in &events {
                    self.push_event(event);
                }
                self.since = newest;
            }
            Ok(_) => self.fail(&ApiError::too_large(since, newest)),
            Err(oldest) => self.fail(&ApiError::expired(since, oldest)),
        }
    }

    fn push_event(&mut self, event: &Event) {
        let key = &event.now.key;
        let mut namespaces = self.watch.namespace.iter();
        if namespaces.any(|namespace| *namespace != key.namespace) {
            return;
        }
        let takes = |entry: &Entry| crate::read::takes(&self.watch.query, entry);
        let was_in = event.before.as_ref().is_some_and(|before| takes(before));
        let is_in = event.happened != Happened::Deleted && takes(&event.now);
        match (was_in, is_in) {
            (false, true) => self.push("ADDED", &event.now),
            (true, true) => self.push("MODIFIED", &event.now),
            (true, false) => self.push("DELETED", &event.now),
            (false, false) => {}
        }
    }

    fn push(&mut self, kind: &str, entry: &Entry) {
        let object = self.renderer().event(entry, !self.columns_sent);
        self.columns_sent = true;
        self.lines.push_back(line(kind, &object));
    }

    fn bookmark(&mut self, ends_initial_events: bool) {
        if !self.watch.query.bookmarks {
            return;
        }
        let object = self.renderer().bookmark(self.since, ends_initial_events);
        self.lines.push_back(line("BOOKMARK", &bytes_of(&object)));
    }

    fn fail(&mut self, error: &ApiError) {
        let object = bytes_of(&error.to_value());
        self.lines.push_back(line("ERROR", &object));
        self.ended = true;
    }

    fn renderer(&self) -> Renderer<'_> {
        let query: &Query = &self.watch.query;
        let view: View = self.watch.view;
        Renderer { resource: self.watch.resource, view, query, now: self.shared.now() }
    }
}

fn line(kind: &str, object: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.put_slice(b"{\"type\":");
    out.put_slice(json!(kind).to_string().as_bytes());
    out.put_slice(b",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}
