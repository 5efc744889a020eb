//! A config as `toolforge.yaml`: what `toolforge init` writes. Reading it again gives the same config.

use crate::config::{Build, Component, Config, HealthCheck, Protocol, RunKind, Source};
use crate::yaml::{Plain, Scalar};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The config as text, with one comment line at its head. What says nothing is left out.
#[must_use]
pub fn to_yaml(config: &Config) -> String {
    let mut file = Writer::default();
    file.out.push_str("# Every key: docs/toolforge-yaml.md, or `toolforge schema`.\n");
    file.plain("config_version", "v1beta1");
    file.map("env", &config.env);
    file.list("secrets", &config.secrets);
    file.block("components", |file| {
        for (name, one) in &config.components {
            file.block(name.as_str(), |file| component(file, one));
        }
    });
    file.out
}

fn component(file: &mut Writer, component: &Component) {
    file.plain("component_type", component.run.kind.component_kind().as_str());
    match &component.source {
        Source::Build(source) => file.block("build", |file| build(file, source)),
        Source::Reuse(name) => file.block("build", |file| file.plain("reuse_from", name.as_str())),
        Source::Image(image) => file.plain("image", image),
    }
    file.map("env", &component.env);
    file.list("secrets", &component.secrets);
    file.block("run", |file| run(file, component));
}

fn build(file: &mut Writer, build: &Build) {
    file.some("repository", build.repository.as_deref());
    file.some("ref", build.reference.as_deref());
    file.list("packages", &build.packages);
    file.list("buildpacks", &build.buildpacks);
    file.map("envvars", &build.envvars);
    file.raw("use_latest_versions", build.use_latest_versions.then_some("true"));
    file.some("nonce", build.nonce.as_deref());
}

fn run(file: &mut Writer, component: &Component) {
    let run = &component.run;
    file.plain("command", &run.command);
    file.some("cpu", run.cpu.as_deref());
    file.some("memory", run.memory.as_deref());
    file.raw("mount", run.mount_dumps.then_some("dumps"));
    file.some("emails", run.emails.as_deref());
    match &run.kind {
        RunKind::Continuous { port, publish, replicas, health_check, allow_from } => {
            file.raw("port", port.map(|port| port.number));
            file.raw("port_protocol", port.filter(|port| port.protocol == Protocol::Udp).map(|_| "udp"));
            match publish.as_slice() {
                [one] => file.plain("publish", one),
                more => file.list("publish", more),
            }
            file.raw("replicas", Some(replicas).filter(|replicas| **replicas != 1));
            match health_check {
                Some(HealthCheck::Http(path)) => file.plain("health_check_http", path),
                Some(HealthCheck::Script(script)) => file.plain("health_check_script", script),
                None => {}
            }
            file.list("allow_from", allow_from);
        }
        RunKind::Scheduled { schedule, retry, timeout_secs } => {
            file.plain("schedule", schedule);
            ending(file, *retry, *timeout_secs);
        }
        RunKind::OneOff { retry, timeout_secs, run_id } => {
            ending(file, *retry, *timeout_secs);
            file.some("run_id", run_id.as_deref());
        }
    }
}

fn ending(file: &mut Writer, retry: u32, timeout_secs: Option<u64>) {
    file.raw("retry", Some(retry).filter(|retry| *retry > 0));
    file.raw("timeout", timeout_secs);
}

/// Block style, two spaces a level.
#[derive(Default)]
struct Writer {
    out: String,
    level: usize,
}

impl Writer {
    fn line(&mut self, key: &str, value: &str) {
        let gap = if value.is_empty() { "" } else { " " };
        let _ = writeln!(self.out, "{:indent$}{}:{gap}{value}", "", scalar(key), indent = self.level * 2);
    }

    fn raw(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.line(key, &value.to_string());
        }
    }

    fn plain(&mut self, key: &str, text: &str) {
        self.line(key, &scalar(text));
    }

    fn some(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.plain(key, text);
        }
    }

    fn list(&mut self, key: &str, items: &[String]) {
        if !items.is_empty() {
            let items: Vec<String> = items.iter().map(|item| scalar(item)).collect();
            self.line(key, &format!("[{}]", items.join(", ")));
        }
    }

    fn map(&mut self, key: &str, map: &BTreeMap<String, String>) {
        self.block(key, |file| map.iter().for_each(|(key, value)| file.plain(key, value)));
    }

    /// A key with lines below it; nothing where there are none.
    fn block(&mut self, key: &str, lines: impl FnOnce(&mut Self)) {
        let before = self.out.len();
        self.line(key, "");
        let head = self.out.len();
        self.level += 1;
        lines(self);
        self.level -= 1;
        if self.out.len() == head {
            self.out.truncate(before);
        }
    }
}

/// Plain where every reader takes it for text; else in double quotes.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let word = Scalar { text: text.to_owned(), is_plain: true };
    // PyYAML keeps them as text, other readers of YAML 1.1 do not.
    let short_bool = matches!(text, "y" | "Y" | "n" | "N");
    if starts_well && text.chars().all(plain) && word.plain() == Plain::Text && !short_bool {
        return text.to_owned();
    }
    quoted(text)
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
