//! What `kubectl describe tool` shows: Kubernetes Events about a Tool, in the plan's own words.
//!
//! One event per word, cause and pass, not per object; the same event again within [`QUIET`] is only counted; and a tool may
//! cause [`BUDGET`] of them in that time. So a pass that finds what the last one found sends nothing, and no tool can
//! flood the namespace that all of them share (Events about cluster-scoped objects live in `default`).

use crate::cluster::address;
use crate::cluster::call;
use crate::execute::FIELD_MANAGER;
use jiff::Timestamp;
use kube::Client;
use planner::audit::Entry;
use planner::observed::uid_of;
use planner::outcome::FailureKind;
use planner::plan::{Action, Plan};
use renderer::diagnostic::on_one_line;
use renderer::length_prefixed::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the same event is only counted.
pub const QUIET: Duration = Duration::from_secs(600);
/// Events a tool may cause within [`QUIET`].
pub const BUDGET: u32 = 25;
/// Kubernetes refuses longer messages.
const NOTE_BYTES: usize = 1024;

/// Remembers what was said lately. Lost with the process, as it may be: then things are said once more.
#[derive(Debug, Default)]
pub struct Recorder {
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    events: HashMap<String, Sent>,
    budgets: HashMap<String, (Instant, u32)>,
}

#[derive(Debug)]
struct Sent {
    first: String,
    at: Instant,
    count: u32,
}

/// What was done, and at whose word.
#[derive(Clone)]
pub struct Wrote<'a> {
    /// The plan: what waits stands in it.
    pub plan: &'a Plan,
    /// What came of its steps, and of those of earlier passes of which nothing was told.
    pub entries: &'a [Entry],
}

/// One event before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    reason: String,
    note: String,
    warning: bool,
}

impl Recorder {
    /// Says about a Tool what was done, and what waits for somebody. Failures to say so are logged: nothing depends on it.
    pub async fn publish(&self, client: &Client, tool: &Value, wrote: &Wrote<'_>) {
        for event in events(wrote) {
            let Some(body) = self.admit(tool, &event, Instant::now()) else { continue };
            let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let path = address::child("/api/v1/namespaces/default/events", name);
            if let Err(error) = call::apply(client, &path, FIELD_MANAGER, &body).await {
                tracing::warn!(tool = %wrote.plan.tool, reason = event.reason, %error, "event was not recorded");
            }
        }
    }

    /// The Event to send, or none where it was said lately or too much was.
    fn admit(&self, tool: &Value, event: &Event, now: Instant) -> Option<Value> {
        let tool_name = tool.pointer("/metadata/name")?.as_str()?;
        let name = name(tool_name, uid_of(tool)?, event);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.events.retain(|_, sent| now.duration_since(sent.at) < 6 * QUIET);
        if let Some(sent) = said.events.get_mut(&name)
            && now.duration_since(sent.at) < QUIET
        {
            sent.count += 1;
            return None;
        }
        let (since, used) = said.budgets.entry(tool_name.to_owned()).or_insert((now, 0));
        if now.duration_since(*since) >= QUIET {
            (*since, *used) = (now, 0);
        }
        if *used >= BUDGET {
            return None;
        }
        *used += 1;
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let sent = said.events.entry(name.clone()).or_insert(Sent { first: time.clone(), at: now, count: 0 });
        sent.count += 1;
        sent.at = now;
        Some(body(tool, &name, event, sent, &time))
    }
}

fn body(tool: &Value, name: &str, event: &Event, sent: &Sent, time: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {
            "apiVersion": tool.get("apiVersion"),
            "kind": tool.get("kind"),
            "name": tool.pointer("/metadata/name"),
            "uid": tool.pointer("/metadata/uid"),
        },
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "message": event.note,
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": sent.first,
        "lastTimestamp": time,
        "count": sent.count,
    })
}

/// What a pass has to say. What was written is told with who asked for it, once for all objects of which that is so: who
/// scaled something up wants to know why it did not last.
fn events(Wrote { plan, entries }: &Wrote<'_>) -> Vec<Event> {
    let mut notes: BTreeMap<(bool, String, String), Vec<String>> = BTreeMap::new();
    let mut say = |warning, reason: &str, lead: String, note: String| {
        notes.entry((warning, reason.to_owned(), lead)).or_default().push(note);
    };
    for entry in *entries {
        match &entry.failed {
            None => say(false, word(entry.action), entry.why(), entry.what()),
            // The next pass plans anew; there is nothing to tell yet.
            Some(failure) if failure.kind == FailureKind::Stale => {}
            Some(failure) => {
                let note = format!("{} {}: {failure}", entry.action, entry.object);
                say(true, &format!("{:?}", failure.kind), entry.why(), note);
            }
        }
    }
    for held in plan.held.iter().filter(|held| !held.why.passes()) {
        say(true, held.why.word(), String::new(), format!("{}: {}", held.id, held.why));
    }
    let joined = |((warning, reason, lead), notes): ((bool, String, String), Vec<String>)| {
        let notes = notes.join(if warning { "; " } else { ", " });
        let text = if lead.is_empty() { notes } else { format!("{lead}: {notes}") };
        Event { reason, note: note(&text), warning }
    };
    notes.into_iter().map(joined).collect()
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

/// Whoever reads Events prints them as they are.
fn note(text: &str) -> String {
    let mut text = on_one_line(text);
    if text.len() > NOTE_BYTES {
        let end = (0..=NOTE_BYTES - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The same words about the same Tool are the same Event, also after a restart.
fn name(tool: &str, uid: &str, event: &Event) -> String {
    let mut hash = Sha256::new();
    for part in [uid, &event.reason, &event.note] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("{tool}.{}", hex(&hash.finalize()[..8]))
}
