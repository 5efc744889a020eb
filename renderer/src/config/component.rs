//! One component: its type, its image, what runs.

use super::keys::{At, KINDS};
use super::run::{self, Typed};
use super::{Component, ParseContext, Source, advice, continuous, env, source};
use crate::credentials::first;
use crate::decode::{Section, one_of};
use crate::diagnostic::{Code, Findings, Place, shown};
use crate::names::ComponentName;
use crate::rendered::ComponentKind;
use crate::yaml::Entry;

/// What one entry of `components` says, good or not: enough to judge its neighbours.
pub(super) struct Draft<'t> {
    pub name: &'t str,
    /// The component; none where something without a default is missing or wrong.
    pub component: Option<Component>,
    /// Its source, also where the rest is wrong.
    pub source: Option<Source>,
    /// Where `reuse_from` stands.
    pub reuse_place: Place,
    /// Published prefixes with their places, also where the rest is wrong; none of a component that cannot publish.
    pub publish: Vec<(String, Place)>,
    /// It is a one-off, or its type can't be read: it may be one.
    pub may_gate: bool,
}

/// Words of similar systems, and the type they mean.
const ALIASES: &[(&str, &str)] = &[
    ("web", "continuous"),
    ("webservice", "continuous"),
    ("worker", "continuous"),
    ("service", "continuous"),
    ("deployment", "continuous"),
    ("daemon", "continuous"),
    ("cron", "scheduled"),
    ("cronjob", "scheduled"),
    ("schedule", "scheduled"),
    ("periodic", "scheduled"),
    ("job", "one-off"),
    ("oneoff", "one-off"),
    ("once", "one-off"),
    ("release", "one-off"),
    ("migration", "one-off"),
    ("task", "one-off"),
];

pub(super) fn draft<'t>(entry: &'t Entry, context: &ParseContext, findings: &mut Findings) -> Draft<'t> {
    let mut draft = Draft {
        name: &entry.key,
        component: None,
        source: None,
        reuse_place: entry.key_place,
        publish: Vec::new(),
        may_gate: true,
    };
    check_name(entry, findings);
    let Some(section) = Section::open(&entry.value, entry.key_place, &advice::level(At::Component), findings) else {
        return draft;
    };
    let run = section.required("run", findings);
    let keys = run.and_then(|run| run::open(run, &section, findings));
    let typed = typed(&section, keys.as_ref(), findings);
    draft.may_gate = typed.as_ref().is_none_or(|typed| typed.kind == ComponentKind::OneOff);
    draft.source = source::source(&section, context, findings);
    draft.reuse_place = source::reuse_place(&section);
    let env = section.get("env").map(|e| env::env(e, context, findings)).unwrap_or_default();
    let secrets = section.get("secrets").map(|e| env::secrets(e, context, findings)).unwrap_or_default();
    env::both(&section, &env, &secrets, findings);
    let Some(run) = run else {
        return draft;
    };
    if typed.as_ref().is_none_or(|typed| typed.kind == ComponentKind::Continuous) {
        draft.publish = published(run);
    }
    service_name(entry, run, findings);
    let run = keys.and_then(|keys| run::run(&keys, typed, context, findings));
    if let (Some(source), Some(run)) = (draft.source.clone(), run) {
        draft.component = Some(Component { source, run, env, secrets });
    }
    draft
}

fn check_name(entry: &Entry, findings: &mut Findings) {
    let Err(bad) = ComponentName::new(entry.key.as_str()) else {
        return;
    };
    let folded: String =
        entry.key.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    // A token that was pasted here is as good as known in lower case.
    let better = ComponentName::new(folded.trim_matches('-')).ok().filter(|_| first(&entry.key).is_none());
    let hint = better.map_or_else(|| format!("Use {}.", bad.expected), |name| format!("Write `{name}`."));
    findings
        .add(Code::BadName, entry.key_place, format!("{} is a name Kubernetes will refuse", shown(&entry.key)))
        .with_hint(hint);
}

/// A component with a port gets a Service, whose name must start with a letter.
fn service_name(entry: &Entry, run: &Entry, findings: &mut Findings) {
    let port = run.value.mapping().and_then(|run| run.get("port"));
    if port.is_some_and(|port| !port.value.is_null()) && entry.key.starts_with(|c: char| c.is_ascii_digit()) {
        let message = format!("{} has a port, so its name must start with a letter", shown(&entry.key));
        findings
            .add(Code::BadName, entry.key_place, message)
            .with_hint(format!("Write `c{}`, or another name.", entry.key));
    }
}

/// The type that is said, or that follows from `run`; none where it is said under another name or in another place.
fn typed(section: &Section<'_>, run: Option<&Section<'_>>, findings: &mut Findings) -> Option<Typed> {
    let Some(entry) = section.get("component_type") else {
        if [Some(section), run].into_iter().flatten().any(|keys| keys.means("component_type")) {
            return None;
        }
        let scheduled = run.is_some_and(|run| run.get("schedule").is_some() || run.means("schedule"));
        let kind = if scheduled { ComponentKind::Scheduled } else { ComponentKind::Continuous };
        return Some(Typed { kind, said: None });
    };
    let words: Vec<&str> = KINDS.iter().map(|kind| kind.as_str()).collect();
    let word = one_of(entry, &words, ALIASES, findings)?;
    let kind = KINDS.iter().copied().find(|kind| kind.as_str() == word)?;
    Some(Typed { kind, said: Some(entry.value.place) })
}

/// Read apart from the rest of `run`, without findings: they were or will be made there.
fn published(run: &Entry) -> Vec<(String, Place)> {
    let publish = run.value.mapping().and_then(|run| run.get("publish"));
    publish.map(|entry| continuous::publish(entry, &mut Findings::new(""))).unwrap_or_default()
}
