//! `builds` of a platform file.

use super::{label, pinned, set};
use crate::decode::{Section, duration_secs, one_of, open, quantity, whole};
use crate::diagnostic::{Code, Findings};
use crate::platform::{Backend, Builder, Builds, Lifecycle, Tekton, buildpack_version};
use crate::yaml::Entry;

const BACKENDS: &[&str] = &["lifecycle", "tekton", "local"];
const KEYS: &[&str] = &["backend", "at_once", "at_once_per_tool", "timeout", "lifecycle", "tekton"];

pub(super) fn builds(entry: &Entry, findings: &mut Findings) -> Option<Builds> {
    let section = open(entry, "`builds`", KEYS, findings)?;
    let backend = section.required("backend", findings)?;
    let kind = one_of(backend, BACKENDS, &[("cnb", "lifecycle"), ("kpack", "lifecycle")], findings)?;
    for other in ["lifecycle", "tekton"].iter().filter(|other| **other != kind).filter_map(|other| section.get(other)) {
        findings
            .add(Code::WrongKind, other.key_place, format!("`{}` does not belong to the backend {kind}", other.key))
            .with_hint("Remove it, or change `backend`.");
    }
    let backend = match kind {
        "lifecycle" => Backend::Lifecycle(lifecycle(section.required("lifecycle", findings)?, findings)?),
        "tekton" => Backend::Tekton(tekton(section.get("tekton"), findings)?),
        _ => Backend::Local,
    };
    let mut builds = Builds::by(backend);
    set(&mut builds.at_once, count(&section, "at_once", findings));
    set(&mut builds.at_once_per_tool, count(&section, "at_once_per_tool", findings));
    set(&mut builds.timeout_secs, section.get("timeout").and_then(|e| timeout(e, findings)));
    Some(builds)
}

/// A lifecycle finds a buildpack in its builder by name and version.
pub(super) fn versions(entry: &Entry, builder: &Builder, findings: &mut Findings) {
    let without = builder.buildpacks.iter().filter(|(_, reference)| buildpack_version(reference).is_none());
    let names: Vec<_> = without.map(|(name, _)| name.as_str()).collect();
    if !names.is_empty() {
        let message = format!("no version of {}, and the lifecycle finds a buildpack by it", names.join(", "));
        findings
            .add(Code::BadImage, entry.key_place, message)
            .with_hint("Write the version as the tag, before the digest: `registry.example/python:1.2.3@sha256:...`.");
    }
}

fn count(section: &Section<'_>, key: &str, findings: &mut Findings) -> Option<u32> {
    let number = section.get(key).and_then(|e| whole(e, 1..=1000, findings))?;
    u32::try_from(number).ok()
}

fn timeout(entry: &Entry, findings: &mut Findings) -> Option<u64> {
    let secs = duration_secs(entry, findings)?;
    if (60..=86_400).contains(&secs) {
        return Some(secs);
    }
    findings
        .add(Code::OutOfRange, entry.value.place, format!("`timeout` must be from 1m to 1d, but is {secs}s"))
        .with_hint("Most builds take minutes; `30m` is usual.");
    None
}

fn lifecycle(entry: &Entry, findings: &mut Findings) -> Option<Lifecycle> {
    let section = open(entry, "`lifecycle`", &["image", "registry_secret", "cpu", "memory", "disk"], findings)?;
    let image = section.required("image", findings).and_then(|e| pinned(e, findings));
    let registry_secret = section.get("registry_secret").and_then(|e| label(e, findings));
    let usual = Lifecycle::of(image.clone().unwrap_or_default());
    let mut of = |key, usual: &str| match section.get(key) {
        Some(entry) => quantity(entry, findings),
        None => Some(usual.to_owned()),
    };
    let (cpu, memory, disk) = (of("cpu", &usual.cpu), of("memory", &usual.memory), of("disk", &usual.disk));
    image?;
    Some(Lifecycle { registry_secret, cpu: cpu?, memory: memory?, disk: disk?, ..usual })
}

fn tekton(entry: Option<&Entry>, findings: &mut Findings) -> Option<Tekton> {
    let mut settings = Tekton { pipeline: "buildpacks".to_owned(), service_account: None };
    if let Some(entry) = entry {
        let section = open(entry, "`tekton`", &["pipeline", "service_account"], findings)?;
        set(&mut settings.pipeline, section.get("pipeline").and_then(|e| label(e, findings)));
        settings.service_account = section.get("service_account").and_then(|e| label(e, findings));
    }
    Some(settings)
}
