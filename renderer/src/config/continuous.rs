//! What only continuous components have: a port, and what depends on it.

use super::command::command;
use super::{HealthCheck, Port, Protocol, RunKind};
use crate::decode::{Section, one_of, text, texts, whole};
use crate::diagnostic::{Code, Findings, Place, shown};
use crate::names::ToolName;
use crate::yaml::{Entry, Plain, Scalar};

const MAX_PATHS: usize = 10;

/// Everything that a Deployment, its Service and its route need. What is missing among it is told only where it is
/// wanted: where a component of another type says `publish`, that is the mistake, and not the port it lacks.
pub(super) fn continuous(section: &Section<'_>, is_wanted: bool, findings: &mut Findings) -> RunKind {
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
    if is_wanted {
        needs_port(section, &publish, protocol, findings);
    }
    RunKind::Continuous {
        port: number.map(|number| Port { number, protocol }),
        publish: publish.into_iter().map(|(path, _)| path).collect(),
        replicas: replicas.unwrap_or(1),
        health_check,
        allow_from,
    }
}

/// Tells what needs a port and has none; a port that stands there under another name is no second mistake.
fn needs_port(section: &Section<'_>, publish: &[(String, Place)], protocol: Protocol, findings: &mut Findings) {
    let has_port = section.get("port").is_some() || section.means("port");
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
    if let Some(Plain::Bool(value) | Plain::OldBool(value)) = entry.value.scalar().map(Scalar::plain) {
        let hint = if value { "Write `publish: /`." } else { "Remove the key." };
        findings.add(Code::WrongType, entry.value.place, "`publish` must be a path, but is a boolean").with_hint(hint);
        return paths;
    }
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
