//! What `kubectl describe tool` shows: Kubernetes Events about a Tool, in the plan's own words.
//!
//! One event per word, cause and pass, not per object; the same event again within [`QUIET`] is counted, and the count told
//! when that time ends; and a tool may cause [`BUDGET`] of them in that time, after which it is told how many were not
//! sent. So a pass that finds what the last one found sends nothing, and no tool can flood the namespace that all of them
//! share (Events about cluster-scoped objects live in `default`).
//!
//! What was written stands field by field in the annotation [`WROTE`], for programs; the message is for people.

mod lately;

pub use lately::NOT_SENT;

use crate::cluster::address;
use crate::cluster::call::{self, CallError};
use crate::execute::FIELD_MANAGER;
use jiff::Timestamp;
use kube::Client;
use lately::Lately;
use planner::audit::{Entry, Told, Written};
use planner::observed::uid_of;
use planner::outcome::FailureKind;
use planner::plan::{Action, Plan};
use renderer::diagnostic::on_one_line;
use renderer::length_prefixed::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the same event is only counted.
pub const QUIET: Duration = Duration::from_secs(600);
/// Events a tool may cause within [`QUIET`].
pub const BUDGET: u32 = 25;
/// Kubernetes refuses longer messages.
const NOTE_BYTES: usize = 1024;
/// Room for how many objects a message does not name.
const MORE_BYTES: usize = 40;
/// The annotation of an Event that has what was written, as JSON of [`Told`].
pub const WROTE: &str = "toolforge.org/wrote";
/// The reason of an Event about what a person wrote on the Tool.
pub const PIN: &str = "Pin";

/// Remembers what was said lately. Lost with the process, as it may be: then things are said once more.
#[derive(Debug, Default)]
pub struct Recorder {
    lately: Mutex<Lately>,
}

/// What was done, and at whose word.
#[derive(Clone)]
pub struct Wrote<'a> {
    /// The plan: what waits stands in it.
    pub plan: &'a Plan,
    /// What came of its steps, and of those of earlier passes of which nothing was told.
    pub entries: &'a [Entry],
}

/// Whom an event is about.
#[derive(Debug, Clone)]
struct About {
    name: String,
    uid: String,
    kind: Value,
    api_version: Value,
}

/// One event before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    reason: String,
    lead: String,
    notes: Vec<String>,
    warning: bool,
    wrote: Option<Told>,
}

impl Recorder {
    /// Says about a Tool what was done, and what waits for somebody. Failures to say so are logged: nothing depends on it.
    pub async fn publish(&self, client: &Client, tool: &Value, wrote: &Wrote<'_>) {
        self.publish_late(client).await;
        let Some(about) = About::of(tool) else { return };
        for event in events(wrote) {
            let now = (Instant::now(), &*wall());
            let body = self.lately.lock().unwrap_or_else(PoisonError::into_inner).admit(&about, &event, now);
            if let Some(body) = body {
                send(client, &body).await;
            }
        }
    }

    /// Tells the counts of what was said again, and of what was not said, of which the quiet time is over.
    pub async fn publish_late(&self, client: &Client) {
        self.publish_until(client, Instant::now()).await;
    }

    /// The same of all that is left, for who ends.
    pub async fn finish(&self, client: &Client) {
        self.publish_until(client, Instant::now() + QUIET).await;
    }

    async fn publish_until(&self, client: &Client, end: Instant) {
        let late = self.lately.lock().unwrap_or_else(PoisonError::into_inner).late(end, &wall());
        for body in late {
            send(client, &body).await;
        }
    }

    /// When [`Self::publish_late`] may next have something to tell.
    pub fn next(&self) -> Instant {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now())
    }
}

/// Says about a Tool what a person wrote on it.
///
/// # Errors
/// As [`CallError`].
pub async fn person_wrote(client: &Client, tool: &Value, told: Told) -> Result<(), CallError> {
    let Some(about) = About::of(tool) else { return Ok(()) };
    let (lead, notes) = (format!("by {}, {}", told.who, told.cause), told.objects.iter().map(Written::what).collect());
    let event = Event { reason: PIN.to_owned(), wrote: Some(told), ..Event::of(lead, notes) };
    let time = wall();
    // Each time is another one, though the words be the same.
    let name = format!("{}.{}", about.name, hash([&about.uid, &event.lead, &time]));
    call::apply(client, &path(&name), FIELD_MANAGER, &body(&about, &name, &event, &time)).await.map(drop)
}

async fn send(client: &Client, body: &Value) {
    let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if let Err(error) = call::apply(client, &path(name), FIELD_MANAGER, body).await {
        tracing::warn!(event = name, %error, "event was not recorded");
    }
}

fn path(name: &str) -> String {
    address::child("/api/v1/namespaces/default/events", name)
}

fn wall() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl About {
    fn of(tool: &Value) -> Option<Self> {
        let get = |key: &str| tool.get(key).cloned().unwrap_or_default();
        let name = tool.pointer("/metadata/name")?.as_str()?.to_owned();
        Some(Self { name, uid: uid_of(tool)?.to_owned(), kind: get("kind"), api_version: get("apiVersion") })
    }
}

fn body(about: &About, name: &str, event: &Event, time: &str) -> Value {
    let wrote = event.wrote.as_ref().and_then(|told| serde_json::to_string(told).ok());
    let mut metadata = json!({"name": name, "namespace": "default"});
    if let Some(wrote) = wrote {
        metadata["annotations"] = json!({WROTE: wrote});
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata,
        "involvedObject": {"apiVersion": about.api_version, "kind": about.kind, "name": about.name, "uid": about.uid},
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "message": event.message(),
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

/// What belongs into one event: words, and the writes that they are about.
type Said<'a> = (Vec<String>, Vec<&'a Entry>);

/// What a pass has to say. What was written is told with who asked for it, once for all objects of which that is so: who
/// scaled something up wants to know why it did not last.
fn events(Wrote { plan, entries }: &Wrote<'_>) -> Vec<Event> {
    let mut said: BTreeMap<(bool, &str, String), Said<'_>> = BTreeMap::new();
    for entry in *entries {
        let (warning, reason, note) = match &entry.failed {
            None => (false, word(entry.action), entry.what()),
            // The next pass plans anew; there is nothing to tell yet.
            Some(failure) if failure.kind == FailureKind::Stale => continue,
            Some(failure) => (true, failure.kind.word(), format!("{} {}: {failure}", entry.action, entry.object)),
        };
        let (notes, writes) = said.entry((warning, reason, entry.why())).or_default();
        notes.push(note);
        writes.push(entry);
    }
    for held in plan.held.iter().filter(|held| !held.why.passes()) {
        let (notes, _) = said.entry((true, held.why.word(), String::new())).or_default();
        notes.push(format!("{}: {}", held.id, held.why));
    }
    let event = |((warning, reason, lead), (notes, writes)): (_, Said<'_>)| {
        let (reason, wrote) = (str::to_owned(reason), Told::of(&writes));
        Event { reason, warning, wrote, ..Event::of(lead, notes) }
    };
    said.into_iter().map(event).collect()
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Create => "Create",
        Action::Build => "Build",
        Action::Promote => "Promote",
        Action::Configure => "Configure",
        Action::Replace => "Replace",
        Action::Prune => "Prune",
        Action::ScaleDown => "ScaleDown",
        Action::Restore => "Restore",
    }
}

impl Event {
    fn of(lead: String, notes: Vec<String>) -> Self {
        Self { reason: String::new(), lead, notes, warning: false, wrote: None }
    }

    /// Whoever reads Events prints them as they are. What finds no room is counted.
    fn message(&self) -> String {
        let lead = if self.lead.is_empty() { String::new() } else { format!("{}: ", self.lead) };
        let mut text = cut(&on_one_line(&lead), NOTE_BYTES / 2);
        let between = if self.warning { "; " } else { ", " };
        for (told, note) in self.notes.iter().enumerate() {
            let note = on_one_line(note);
            let (last, begin) = (told + 1 == self.notes.len(), if told == 0 { "" } else { between });
            let room = (NOTE_BYTES - text.len() - begin.len()).saturating_sub(if last { 0 } else { MORE_BYTES });
            if told > 0 && note.len() > room {
                let more = self.notes.len() - told;
                text.push_str(&format!(" and {more} more {}", if more == 1 { "object" } else { "objects" }));
                break;
            }
            text.push_str(begin);
            text.push_str(&cut(&note, room));
        }
        text
    }

    /// The same words about the same Tool are the same Event, also after a restart.
    fn name(&self, about: &About) -> String {
        let notes = self.notes.join("\n");
        format!("{}.{}", about.name, hash([&about.uid, &self.reason, &self.lead, &notes]))
    }
}

fn cut(text: &str, most_bytes: usize) -> String {
    if text.len() <= most_bytes {
        return text.to_owned();
    }
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=most_bytes.saturating_sub('…'.len_utf8())).rev().find(fits).unwrap_or(0);
    format!("{}…", &text[..end])
}

fn hash<const N: usize>(parts: [&String; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()[..8])
}
