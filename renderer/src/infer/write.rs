//! A config as `toolforge.yaml`: what `toolforge init` writes. Reading it again gives the same config.

use crate::config::{Build, Component, Config, HealthCheck, Protocol, RunKind, Source};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The config as text, with one comment line at its head.
#[must_use]
pub fn to_yaml(config: &Config) -> String {
    let mut file = Map::new();
    file.insert("config_version".into(), "v1beta1".into());
    put(&mut file, "env", json!(config.env));
    put(&mut file, "secrets", json!(config.secrets));
    let components: Vec<(String, Value)> =
        config.components.iter().map(|(name, c)| (name.to_string(), component(c))).collect();
    let mut out = String::from("# Every key: docs/toolforge-yaml.md, or `toolforge schema`.\n");
    mapping(&mut out, &file.into_iter().collect::<Vec<_>>(), 0);
    out.push_str("components:\n");
    mapping(&mut out, &components, 1);
    out
}

type Pairs = Vec<(String, Value)>;

/// Leaves out what says nothing.
fn put(into: &mut Map<String, Value>, key: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if !empty {
        into.insert(key.to_owned(), value);
    }
}

fn component(component: &Component) -> Value {
    let mut map = Map::new();
    let kind = match component.run.kind {
        RunKind::Continuous { .. } => "continuous",
        RunKind::Scheduled { .. } => "scheduled",
        RunKind::OneOff { .. } => "one-off",
    };
    map.insert("component_type".into(), kind.into());
    match &component.source {
        Source::Build(source) => put(&mut map, "build", build(source)),
        Source::Reuse(name) => put(&mut map, "build", json!({ "reuse_from": name })),
        Source::Image(image) => put(&mut map, "image", json!(image)),
    }
    put(&mut map, "env", json!(component.env));
    put(&mut map, "secrets", json!(component.secrets));
    map.insert("run".into(), run(component));
    Value::Object(map)
}

fn build(build: &Build) -> Value {
    let mut map = Map::new();
    put(&mut map, "repository", json!(build.repository));
    put(&mut map, "ref", json!(build.reference));
    put(&mut map, "packages", json!(build.packages));
    put(&mut map, "buildpacks", json!(build.buildpacks));
    put(&mut map, "envvars", json!(build.envvars));
    put(&mut map, "use_latest_versions", if build.use_latest_versions { true.into() } else { Value::Null });
    put(&mut map, "nonce", json!(build.nonce));
    Value::Object(map)
}

fn run(component: &Component) -> Value {
    let run = &component.run;
    let mut map = Map::new();
    map.insert("command".into(), json!(run.command));
    put(&mut map, "cpu", json!(run.cpu));
    put(&mut map, "memory", json!(run.memory));
    put(&mut map, "mount", if run.mount_dumps { "dumps".into() } else { Value::Null });
    put(&mut map, "emails", json!(run.emails));
    match &run.kind {
        RunKind::Continuous { port, publish, replicas, health_check, allow_from } => {
            put(&mut map, "port", json!(port.map(|port| port.number)));
            put(
                &mut map,
                "port_protocol",
                if port.is_some_and(|p| p.protocol == Protocol::Udp) { "udp".into() } else { Value::Null },
            );
            put(&mut map, "publish", if let [one] = publish.as_slice() { json!(one) } else { json!(publish) });
            put(&mut map, "replicas", if *replicas == 1 { Value::Null } else { json!(replicas) });
            match health_check {
                Some(HealthCheck::Http(path)) => put(&mut map, "health_check_http", json!(path)),
                Some(HealthCheck::Script(script)) => put(&mut map, "health_check_script", json!(script)),
                None => {}
            }
            put(&mut map, "allow_from", json!(allow_from));
        }
        RunKind::Scheduled { schedule, retry, timeout_secs } => {
            map.insert("schedule".into(), json!(schedule));
            ending(&mut map, *retry, *timeout_secs);
        }
        RunKind::OneOff { retry, timeout_secs, run_id } => {
            ending(&mut map, *retry, *timeout_secs);
            put(&mut map, "run_id", json!(run_id));
        }
    }
    Value::Object(map)
}

fn ending(map: &mut Map<String, Value>, retry: u32, timeout_secs: Option<u64>) {
    put(map, "retry", if retry == 0 { Value::Null } else { json!(retry) });
    put(map, "timeout", json!(timeout_secs));
}

/// Block style, two spaces a level; the order of the pairs is the order of the lines.
fn mapping(out: &mut String, pairs: &[(String, Value)], level: usize) {
    let indent = "  ".repeat(level);
    for (key, value) in pairs {
        let key = scalar(key);
        match value {
            Value::Object(map) => {
                let _ = writeln!(out, "{indent}{key}:");
                let pairs: Pairs = map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                mapping(out, &pairs, level + 1);
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(leaf).collect();
                let _ = writeln!(out, "{indent}{key}: [{}]", items.join(", "));
            }
            other => {
                let _ = writeln!(out, "{indent}{key}: {}", leaf(other));
            }
        }
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Plain where every reader takes it for text; else in double quotes, whose escapes are those of JSON.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let word = crate::yaml::Scalar { text: text.to_owned(), is_plain: true };
    let short_bool = matches!(text, "y" | "Y" | "n" | "N");
    if starts_well && text.chars().all(plain) && word.plain() == crate::yaml::Plain::Text && !short_bool {
        return text.to_owned();
    }
    escaped(text)
}

fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
