//! `service.template`: how today's webservice runs. Its keys say what `web` needs; what it cannot say here is told.

use crate::config::{Component, HealthCheck, ParseContext, RunKind, Source, fields};
use crate::decode::{Level, Section, text, texts, whole};
use crate::diagnostic::{Code, Findings};
use crate::yaml;

const KEYS: &[&str] = &[
    "backend",
    "type",
    "cpu",
    "mem",
    "replicas",
    "buildservice-image",
    "extra_args",
    "mount",
    "health-check-path",
    "release",
];

/// `web` as the template wants it, starting from what the Procfile says.
pub(super) fn web(
    bytes: &[u8],
    mut component: Component,
    context: &ParseContext,
    findings: &mut Findings,
) -> Option<Component> {
    let root = yaml::read(bytes, findings)?;
    // Unknown keys are a warning today, and no more here.
    let level = Level {
        title: "service.template",
        keys: root.mapping().map(|_| KEYS.to_vec()).unwrap_or_default(),
        advise: |_| None,
        example: "",
        lenient: true,
    };
    let section = Section::open(&root, root.place, &level, findings)?;
    // From here on only `web` is at stake.
    findings.enter(Some("web"));
    ignored(&section, findings);
    source(&section, &mut component, context, findings);
    component.run.cpu = section.get("cpu").and_then(|e| fields::cpu(e, context, findings)).or(component.run.cpu);
    component.run.memory =
        section.get("mem").and_then(|e| fields::memory(e, context, findings)).or(component.run.memory);
    component.run.mount_dumps = section.get("mount").is_some_and(|e| fields::mount(e, context, findings));
    let replicas_said = section.get("replicas").and_then(|e| whole(e, 0..=100, findings));
    let health = section.get("health-check-path").and_then(|e| fields::health_path(e, findings));
    if let RunKind::Continuous { replicas, health_check, .. } = &mut component.run.kind {
        *replicas = replicas_said.and_then(|n| u32::try_from(n).ok()).unwrap_or(*replicas);
        *health_check = health.map(HealthCheck::Http);
    }
    extra_args(&section, &mut component, findings);
    Some(component)
}

fn ignored(section: &Section<'_>, findings: &mut Findings) {
    for key in ["backend", "release"] {
        if let Some(entry) = section.get(key) {
            findings
                .add(Code::IgnoredKey, entry.key_place, format!("`{key}` does nothing here"))
                .with_hint("Remove the key.");
        }
    }
}

/// `type: buildservice` builds this repository, as every other type does here: the language is detected.
fn source(section: &Section<'_>, component: &mut Component, context: &ParseContext, findings: &mut Findings) {
    if let Some(entry) = section.get("type")
        && let Some(kind) = text(entry, findings)
        && kind != "buildservice"
    {
        findings
            .add(
                Code::IgnoredKey,
                entry.key_place,
                "`type` does nothing here: the image is built from this repository, and its language is detected",
            )
            .with_hint("Add a Procfile with a line such as `web: python app.py`.");
    }
    let Some(entry) = section.get("buildservice-image") else {
        return;
    };
    // `tool-<name>/<image>` is what today's build service made of this repository; here it is built again.
    if entry.value.scalar().is_some_and(|image| image.text.starts_with("tool-")) {
        findings
            .add(
                Code::IgnoredKey,
                entry.key_place,
                "`buildservice-image` does nothing here: the image is built from this repository",
            )
            .with_hint("Remove the key.");
    } else if let Some(image) = fields::image(entry, context, findings) {
        component.source = Source::Image(image);
    }
}

fn extra_args(section: &Section<'_>, component: &mut Component, findings: &mut Findings) {
    let Some(entry) = section.get("extra_args") else {
        return;
    };
    for (argument, _) in texts(entry, 100, findings) {
        component.run.command.push(' ');
        component.run.command.push_str(&quoted(argument));
    }
}

/// As one word of a command line.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
