//! `run:`. All keys are read whatever the component type is, so that every error is told; then those of other types.

use super::advice;
use super::command::{Look, look};
use super::keys::{At, run_kinds};
use super::schedule::{self, BadSchedule};
use super::source::{empty, short};
use super::{HealthCheck, ParseContext, Port, Protocol, Run, RunKind};
use crate::decode::{Section, one_of, text, text_or_number, texts, whole};
use crate::diagnostic::{Code, Findings, Place, shown};
use crate::names::ToolName;
use crate::quantity::Quantity;
use crate::rendered::ComponentKind;
use crate::yaml::Entry;

const MAX_COMMAND: usize = 4096;
const MAX_PATHS: usize = 10;

/// A component type, and where it was said; without a place it was inferred.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typed {
    pub kind: ComponentKind,
    pub said: Option<Place>,
}

/// What `run:` says.
pub(super) fn run(entry: &Entry, typed: Option<Typed>, context: &ParseContext, findings: &mut Findings) -> Option<Run> {
    let section = Section::open(&entry.value, entry.key_place, &advice::level(At::Run), findings)?;
    ignored(&section, findings);
    let command = section.required("command", findings).and_then(|e| command(e, findings));
    let cpu = section.get("cpu").and_then(|e| cpu(e, context, findings));
    let memory = section.get("memory").and_then(|e| memory(e, context, findings));
    let mount_dumps = section.get("mount").is_some_and(|e| mount(e, context, findings));
    let emails = section.get("emails").and_then(|e| emails(e, findings));
    let continuous = continuous(&section, findings);
    let ending = ending(&section, findings);
    let scheduled = section.get("schedule").and_then(|e| self::schedule(e, findings));
    let typed = typed?;
    foreign_keys(&section, typed, findings);
    let kind = match typed.kind {
        ComponentKind::Continuous => continuous,
        ComponentKind::OneOff => {
            RunKind::OneOff { retry: ending.retry, timeout_secs: ending.timeout_secs, run_id: ending.run_id }
        }
        ComponentKind::Scheduled => {
            no_timeout(&section, &ending, findings);
            section.required("schedule", findings)?;
            RunKind::Scheduled { schedule: scheduled?, retry: ending.retry, timeout_secs: ending.timeout_secs }
        }
    };
    Some(Run { command: command?, cpu, memory, mount_dumps, emails, kind })
}

/// Keys of another component type than this one's.
fn foreign_keys(section: &Section<'_>, typed: Typed, findings: &mut Findings) {
    let own = name(typed.kind);
    for entry in section.entries() {
        let kinds = run_kinds(&entry.key);
        if kinds.is_empty() || kinds.contains(&typed.kind) {
            continue;
        }
        let theirs = kinds.iter().map(|kind| name(*kind)).collect::<Vec<_>>().join(" and ");
        let message = format!("{} belongs to {theirs} components, but this one is {own}", shown(&entry.key));
        let hint = match typed.said {
            Some(place) => format!("Remove it, or change `component_type` on line {}.", place.line),
            None if typed.kind == ComponentKind::Scheduled => {
                "It is scheduled because it has a `schedule`; remove one of the two.".to_owned()
            }
            None => format!("Remove it, or write `component_type: {}`.", kinds.first().map_or(own, |kind| name(*kind))),
        };
        findings.add(Code::WrongKind, entry.key_place, message).with_hint(hint);
    }
}

/// As `component_type` spells it.
pub(super) fn name(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Continuous => "continuous",
        ComponentKind::Scheduled => "scheduled",
        ComponentKind::OneOff => "one-off",
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

fn command(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let command = text(entry, findings)?;
    if command.trim().is_empty() {
        empty(entry, findings);
        return None;
    }
    if command.len() > MAX_COMMAND {
        findings
            .add(
                Code::TooLong,
                entry.value.place,
                format!("`{}` has {} bytes; at most {MAX_COMMAND} are allowed", entry.key, command.len()),
            )
            .with_hint("Put it into a script in the repository.");
        return None;
    }
    match look(command) {
        Look::Words => {}
        Look::Unclosed => {
            findings.add(Code::BadCommand, entry.value.place, format!("a quote in `{}` is not closed", entry.key));
            return None;
        }
        Look::Shell(operator) => {
            findings
                .add(
                    Code::ShellInCommand,
                    entry.value.place,
                    format!("`{operator}` in `{}` has no effect: no shell reads the line", entry.key),
                )
                .with_hint("Write `bash -c '...'`, or put the line into the Procfile and name the process here.");
        }
    }
    Some(command.to_owned())
}

/// What a quantity may be.
struct Measure {
    key: &'static str,
    example: &'static str,
}

const CPU: Measure = Measure { key: "cpu", example: "`0.5`, `500m` or `1`" };
const MEMORY: Measure = Measure { key: "memory", example: "`512Mi` or `1Gi`" };

/// `cpu` of one component.
pub(crate) fn cpu(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    quantity(entry, &CPU, context, findings)
}

/// `memory` of one component.
pub(crate) fn memory(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    quantity(entry, &MEMORY, context, findings)
}

fn quantity(entry: &Entry, measure: &Measure, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    // Numbers are taken as typed: `1.10` and 1.1 are the same quantity.
    let typed = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
    let number = typed.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let written = if number && !typed.is_empty() { typed } else { text_or_number(entry, findings)?.trim() };
    let Ok(amount) = written.parse::<Quantity>() else {
        let message = format!("`{}` must be a quantity, but is {}", measure.key, shown(written));
        findings.add(Code::BadQuantity, entry.value.place, message).with_hint(format!(
            "Write {}.{}",
            measure.example,
            unit_hint(written)
        ));
        return None;
    };
    if let Some((why, hint)) = unlikely(written, amount.nanos(), measure) {
        findings.add(Code::BadQuantity, entry.value.place, format!("`{}` {why}", measure.key)).with_hint(hint);
        return None;
    }
    within(entry, &amount, measure.key, context, findings).then(|| written.to_owned())
}

fn unit_hint(written: &str) -> String {
    let end = written.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(written.len());
    let unit = match written[end..].trim().to_lowercase().as_str() {
        "mb" | "mib" | "mi" | "meg" => "Mi",
        "gb" | "gib" | "gi" => "Gi",
        "kb" | "kib" | "ki" => "Ki",
        "g" => "G",
        _ => return String::new(),
    };
    if end == 0 { String::new() } else { format!(" You may have meant `{}{unit}`.", &written[..end]) }
}

/// Quantities that Kubernetes reads but nobody means.
fn unlikely(written: &str, nanos: i128, measure: &Measure) -> Option<(String, String)> {
    const UNIT: i128 = 1_000_000_000;
    let digits = written.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if nanos <= 0 {
        return Some(("must be more than 0".to_owned(), format!("Write {}.", measure.example)));
    }
    if measure.key == "cpu" && (written.ends_with('i') || nanos > 1000 * UNIT) {
        return Some((
            format!("is {} cores, which no machine has", nanos / UNIT),
            format!("Write {}; a thousandth of a core is `1m`.", measure.example),
        ));
    }
    if measure.key == "memory" && nanos < (1 << 20) * UNIT {
        return Some((
            format!("is {} bytes, too little to start", nanos / UNIT),
            format!("Write the unit: `{digits}Mi`."),
        ));
    }
    None
}

fn within(entry: &Entry, amount: &Quantity, key: &str, context: &ParseContext, findings: &mut Findings) -> bool {
    let limit = |limits: &std::collections::BTreeMap<String, String>| {
        limits.get(key).and_then(|q| Some((q.clone(), q.parse::<Quantity>().ok()?.nanos())))
    };
    let over = limit(&context.max).filter(|(_, max)| amount.nanos() > *max).map(|(max, _)| ("more", "at most", max));
    let under = limit(&context.min).filter(|(_, min)| amount.nanos() < *min).map(|(min, _)| ("less", "at least", min));
    let Some((word, bound, limit)) = over.or(under) else {
        return true;
    };
    findings
        .add(
            Code::OutOfRange,
            entry.value.place,
            format!("`{key}` is {word} than this tool's limit of {limit} a component"),
        )
        .with_hint(format!("Write {bound} `{limit}`, or ask the operators for other limits."));
    false
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
            findings.add(Code::MountAll, entry.value.place, message);
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

fn schedule(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let written = text(entry, findings)?;
    match schedule::normalised(written) {
        Ok(line) => Some(line),
        Err(BadSchedule::Unreadable(why, hint)) => {
            findings.add(Code::BadSchedule, entry.value.place, why).with_hint(hint);
            None
        }
        Err(BadSchedule::Never(why)) => {
            findings.add(Code::ScheduleNeverRuns, entry.value.place, why);
            None
        }
    }
}

struct Ending {
    retry: u32,
    timeout_secs: Option<u64>,
    run_id: Option<String>,
}

fn ending(section: &Section<'_>, findings: &mut Findings) -> Ending {
    let number = |key, max, findings: &mut Findings| section.get(key).and_then(|e| whole(e, 0..=max, findings));
    Ending {
        retry: number("retry", 5, findings).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        timeout_secs: number("timeout", i64::from(i32::MAX), findings).and_then(|n| u64::try_from(n).ok()),
        run_id: section.get("run_id").and_then(|e| short(e, findings)),
    }
}

fn no_timeout(section: &Section<'_>, ending: &Ending, findings: &mut Findings) {
    if ending.timeout_secs.unwrap_or(0) > 0
        || section.get("timeout").is_some_and(|e| !matches!(ending.timeout_secs, Some(0)) && e.value.scalar().is_some())
    {
        return;
    }
    let place = section.get("schedule").map_or(section.place(), |entry| entry.key_place);
    findings
        .add(Code::NoTimeout, place, "there is no `timeout`: one run that hangs blocks all later ones")
        .with_hint("Add `timeout: 3600` (seconds) under `run:`.");
}

fn continuous(section: &Section<'_>, findings: &mut Findings) -> RunKind {
    let number = section.get("port").and_then(|e| whole(e, 1..=65535, findings)).and_then(|n| u16::try_from(n).ok());
    let protocol = section
        .get("port_protocol")
        .and_then(|e| one_of(e, &["tcp", "udp"], &[("http", "tcp"), ("https", "tcp")], findings));
    let protocol = if protocol == Some("udp") { Protocol::Udp } else { Protocol::Tcp };
    let replicas =
        section.get("replicas").and_then(|e| whole(e, 0..=100, findings)).and_then(|n| u32::try_from(n).ok());
    let publish = section.get("publish").map(|e| self::publish(e, findings)).unwrap_or_default();
    let health_check = health_check(section, findings);
    let allow_from = section.get("allow_from").map(|e| self::allow_from(e, findings)).unwrap_or_default();
    needs_port(section, &publish, protocol, findings);
    RunKind::Continuous {
        port: number.map(|number| Port { number, protocol }),
        publish: publish.into_iter().map(|(path, _)| path).collect(),
        replicas: replicas.unwrap_or(1),
        health_check,
        allow_from,
    }
}

fn needs_port(section: &Section<'_>, publish: &[(String, Place)], protocol: Protocol, findings: &mut Findings) {
    let has_port = section.get("port").is_some();
    let has_tcp = has_port && protocol == Protocol::Tcp;
    let (lack, fix) = if has_port {
        ("its port is udp", "Remove `port_protocol: udp`.")
    } else {
        ("there is no `port`", "Add `port: 8000`, or the port the program listens on.")
    };
    if let (false, Some((_, place))) = (has_tcp, publish.first()) {
        findings.add(Code::PublishNeedsPort, *place, format!("`publish` needs a tcp port, but {lack}")).with_hint(fix);
    }
    if let (false, Some(entry)) = (has_tcp, section.get("health_check_http")) {
        findings
            .add(
                Code::HealthCheckNeedsPort,
                entry.key_place,
                format!("`health_check_http` needs a tcp port, but {lack}"),
            )
            .with_hint(fix);
    }
    if let (false, Some(entry)) = (has_port, section.get("allow_from")) {
        findings.add(
            Code::AllowFromNeedsPort,
            entry.key_place,
            "`allow_from` opens a port to other tools, but there is no `port`",
        );
    }
    if let (false, Some(entry)) = (has_port, section.get("port_protocol")) {
        findings
            .add(Code::MissingKey, entry.key_place, "`port_protocol` stands without `port`")
            .with_hint("Add `port:`, or remove `port_protocol`.");
    }
}

/// The published prefixes, without a closing slash.
pub(super) fn publish(entry: &Entry, findings: &mut Findings) -> Vec<(String, Place)> {
    let mut paths: Vec<(String, Place)> = Vec::new();
    for (path, node) in texts(entry, MAX_PATHS, findings) {
        // Today's default, written out.
        if path.is_empty() && entry.value.scalar().is_some() {
            continue;
        }
        if !is_path(path) {
            let hint = if path.contains("://") {
                "Write the path only: the host is the tool's own."
            } else {
                "Write a path such as `/` or `/api`."
            };
            findings.add(Code::BadPath, node.place, format!("{} is no path to publish", shown(path))).with_hint(hint);
            continue;
        }
        let trimmed = path.trim_end_matches('/');
        let path = if trimmed.is_empty() { "/" } else { trimmed };
        if !paths.iter().any(|(known, _)| known == path) {
            paths.push((path.to_owned(), node.place));
        }
    }
    paths
}

fn is_path(path: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    path.starts_with('/')
        && path.len() <= 200
        && path.bytes().all(good)
        && !path.contains("//")
        && !path.split('/').any(|part| part == "." || part == "..")
}

fn health_check(section: &Section<'_>, findings: &mut Findings) -> Option<HealthCheck> {
    let http = section.get("health_check_http");
    let script = section.get("health_check_script");
    if let (Some(http), Some(script)) = (http, script) {
        let later = if http.key_place > script.key_place { http } else { script };
        findings.add(Code::TwoHealthChecks, later.key_place, "a component has one health check, but this is a second");
    }
    let script = script.and_then(|e| command(e, findings)).map(HealthCheck::Script);
    let http = http.and_then(|e| health_path(e, findings)).map(HealthCheck::Http);
    http.or(script)
}

pub(crate) fn health_path(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let path = text(entry, findings)?;
    if !path.starts_with('/') || path.len() > 200 || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        findings
            .add(
                Code::BadPath,
                entry.value.place,
                format!("`{}` must be a path that starts with `/`, but is {}", entry.key, shown(path)),
            )
            .with_hint("Write a path such as `/healthz`.");
        return None;
    }
    Some(path.to_owned())
}

fn allow_from(entry: &Entry, findings: &mut Findings) -> Vec<String> {
    let mut tools: Vec<String> = Vec::new();
    for (name, node) in texts(entry, 50, findings) {
        if ToolName::new(name).is_err() {
            let hint = match name.strip_prefix("tool-").or_else(|| name.strip_prefix("tools.")) {
                Some(bare) => format!("Write the tool's name alone: `{bare}`."),
                None => Code::BadToolName.fix().to_owned(),
            };
            findings
                .add(Code::BadToolName, node.place, format!("{} is no name of a tool", shown(name)))
                .with_hint(hint);
        } else if !tools.iter().any(|t| t == name) {
            tools.push(name.to_owned());
        }
    }
    tools
}
