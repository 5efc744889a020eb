//! `run:`. All keys are read whatever the component type is, so that every error is told; then those of other types.

use super::advice;
use super::command::command;
use super::continuous::continuous;
use super::ending::{ending, no_timeout, schedule};
use super::keys::{At, run_kinds};
use super::resources::{cpu, memory};
use super::{ParseContext, Run, RunKind};
use crate::decode::{Section, one_of};
use crate::diagnostic::{Code, Findings, Place, shown};
use crate::rendered::ComponentKind;
use crate::yaml::Entry;

/// A component type, and where it was said; without a place it was inferred.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typed {
    pub kind: ComponentKind,
    pub said: Option<Place>,
}

/// Opens `run:`, which stands in this component.
pub(super) fn open<'t>(entry: &'t Entry, component: &Section<'t>, findings: &mut Findings) -> Option<Section<'t>> {
    let section = Section::open(&entry.value, entry.key_place, &advice::level(At::Run), findings)?;
    Some(section.beside(component))
}

/// What `run:` says.
pub(super) fn run(
    section: &Section<'_>,
    typed: Option<Typed>,
    context: &ParseContext,
    findings: &mut Findings,
) -> Option<Run> {
    ignored(section, findings);
    let command = section.required("command", findings).and_then(|e| command(e, findings));
    let cpu = section.get("cpu").and_then(|e| cpu(e, context, findings));
    let memory = section.get("memory").and_then(|e| memory(e, context, findings));
    let mount_dumps = section.get("mount").is_some_and(|e| mount(e, context, findings));
    let emails = section.get("emails").and_then(|e| emails(e, findings));
    let may_be_continuous = typed.is_none_or(|typed| typed.kind == ComponentKind::Continuous);
    let continuous = continuous(section, may_be_continuous, findings);
    let ending = ending(section, findings);
    let scheduled = section.get("schedule").and_then(|e| schedule(e, findings));
    let typed = typed?;
    foreign_keys(section, typed, findings);
    let kind = match typed.kind {
        ComponentKind::Continuous => continuous,
        ComponentKind::OneOff => {
            RunKind::OneOff { retry: ending.retry, timeout_secs: ending.timeout_secs, run_id: ending.run_id }
        }
        ComponentKind::Scheduled => {
            no_timeout(section, &ending, findings);
            section.required("schedule", findings)?;
            RunKind::Scheduled { schedule: scheduled?, retry: ending.retry, timeout_secs: ending.timeout_secs }
        }
    };
    Some(Run { command: command?, cpu, memory, mount_dumps, emails, kind })
}

/// Keys of another component type than this one's.
fn foreign_keys(section: &Section<'_>, typed: Typed, findings: &mut Findings) {
    let own = typed.kind.as_str();
    for entry in section.entries() {
        let kinds = run_kinds(&entry.key);
        if kinds.is_empty() || kinds.contains(&typed.kind) {
            continue;
        }
        let theirs = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" and ");
        let message = format!("{} belongs to {theirs} components, but this one is {own}", shown(&entry.key));
        let hint = match typed.said {
            Some(place) => format!("Remove it, or change `component_type` on line {}.", place.line),
            None if typed.kind == ComponentKind::Scheduled => {
                "It is scheduled because it has a `schedule`; remove one of the two.".to_owned()
            }
            None => {
                format!("Remove it, or write `component_type: {}`.", kinds.first().map_or(own, |kind| kind.as_str()))
            }
        };
        findings.add(Code::WrongKind, entry.key_place, message).with_hint(hint);
    }
}

fn ignored(section: &Section<'_>, findings: &mut Findings) {
    for key in ["filelog", "filelog_stdout", "filelog_stderr"] {
        if let Some(entry) = section.get(key)
            && entry.value.scalar().is_none_or(|s| s.text.to_lowercase() != "false")
        {
            findings
                .add(
                    Code::IgnoredKey,
                    entry.key_place,
                    format!("`{key}` does nothing here: logs go to stdout and stderr"),
                )
                .with_hint("Read them with `toolforge logs`, and remove the key.");
        }
    }
}

pub(crate) fn mount(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> bool {
    match one_of(entry, &["none", "dumps", "all"], &[("nfs", "all"), ("dump", "dumps")], findings) {
        Some("dumps") if !context.dumps => {
            findings.add(Code::DumpsUnavailable, entry.value.place, "this platform has no dumps to mount");
            false
        }
        Some("dumps") => true,
        Some("all") => {
            let message = if context.dumps {
                "`mount: all` mounts the read-only dumps only; /data/project, /data/scratch and the tool's home are missing"
            } else {
                "`mount: all` mounts nothing here; dumps, /data/project, /data/scratch and the tool's home are missing"
            };
            let hint = if context.dumps { "Write `mount: dumps`" } else { "Remove `mount`" };
            findings
                .add(Code::MountAll, entry.value.place, message)
                .with_hint(format!("{hint}, and keep data in a database."));
            context.dumps
        }
        _ => false,
    }
}

fn emails(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let word = one_of(
        entry,
        &["none", "all", "onfinish", "onfailure"],
        &[("on-finish", "onfinish"), ("on-failure", "onfailure"), ("never", "none"), ("always", "all")],
        findings,
    )?;
    if word != "none" {
        findings.add(Code::EmailsLabel, entry.value.place, "`emails` is kept as a label; this platform sends no mail");
    }
    Some(word.to_owned())
}
