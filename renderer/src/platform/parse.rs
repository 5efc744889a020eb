//! `platform.yaml` from bytes. What is left out is as in [`Platform::builtin`], except the domain, which only operators
//! know, and hosts, which are then those of the config repository.

mod builds;

use super::allowed_hosts::allowed_hosts;
use super::builtin::limits;
use super::credentials::{credentials, need_keys};
use super::git::git;
use super::network::network;
use super::secrets::secrets;
use super::{Backend, Builder, DeletionBudget, Dumps, Limits, LimitsPatch, Platform, Registry, Route, SystemUser};
use crate::config::fields;
use crate::decode::{Section, duration_secs, frame, one_of, open, quantities, quantity, text, text_map, texts, whole};
use crate::diagnostic::{Code, Findings, Report, shown};
use crate::licence;
use crate::names::is_dns_label;
use crate::signers::{Whose, commits};
use crate::yaml::{self, Entry};
use std::collections::BTreeMap;

const KEYS: &[&str] = &[
    "domain",
    "cluster",
    "namespace",
    "registry",
    "builder",
    "builds",
    "route",
    "poll_interval",
    "limits",
    "system_user",
    "dumps",
    "env",
    "credentials",
    "secrets",
    "network",
    "git",
    "commits",
    "licence",
    "allowed_hosts",
    "allowed_images",
    "deletion_budget",
    "removal_grace",
    "progress_deadline",
];
const BUDGET: &[&str] = &["per_pass", "per_pass_percent", "per_hour", "per_hour_percent"];
const LIMITS: &[&str] = &["quota", "max", "min", "default", "default_request"];

/// Reads a platform file. The platform is there where the report holds no error.
#[must_use]
pub fn parse(bytes: &[u8], file: &str) -> (Option<Platform>, Report) {
    let mut findings = Findings::new(file);
    let platform = yaml::read(bytes, &mut findings).and_then(|root| platform(&root, &mut findings));
    let report = findings.finish();
    (platform.filter(|_| report.is_good()), report)
}

fn platform(root: &yaml::Node, findings: &mut Findings) -> Option<Platform> {
    let (name, spec) = frame(root, "Platform", KEYS, findings)?;
    let mut platform =
        Platform { name: label(name, findings).unwrap_or_default(), allowed_hosts: Vec::new(), ..Platform::builtin() };
    if let Some(entry) = spec.required("domain", findings) {
        platform.domain = domain(entry, findings).unwrap_or_default();
    }
    platform.cluster = spec.get("cluster").and_then(|e| text(e, findings)).map(str::to_owned);
    set(&mut platform.namespace, spec.get("namespace").and_then(|e| namespace(e, findings)));
    set(&mut platform.registry, spec.get("registry").and_then(|e| registry(e, findings)));
    set(&mut platform.builder, spec.get("builder").and_then(|e| builder(e, findings)));
    platform.builds = spec.get("builds").and_then(|e| builds::builds(e, findings));
    if let (Some(entry), Some(Backend::Lifecycle(_))) =
        (spec.get("builder"), platform.builds.as_ref().map(|b| &b.backend))
    {
        builds::versions(entry, &platform.builder, findings);
    }
    set(&mut platform.route, spec.get("route").and_then(|e| route(e, findings)));
    set(&mut platform.poll_interval_secs, spec.get("poll_interval").and_then(|e| poll_interval(e, findings)));
    if let Some(patch) = spec.get("limits").and_then(|e| limits_patch(e, findings)) {
        platform.limits = patched(limits(), patch);
    }
    set(&mut platform.system_user, spec.get("system_user").and_then(|e| system_user(e, findings)));
    platform.dumps = spec.get("dumps").and_then(|e| dumps(e, findings));
    platform.env = spec.get("env").map(|e| fields::env(e, findings)).unwrap_or_default();
    platform.credentials = spec.get("credentials").map(|e| credentials(e, findings)).unwrap_or_default();
    platform.secrets = spec.get("secrets").and_then(|e| secrets(e, findings));
    let has_keys = platform.secrets.as_ref().is_some_and(|secrets| secrets.keys.is_some());
    need_keys(spec.get("credentials"), has_keys, findings);
    platform.network = spec.get("network").and_then(|e| network(e, findings));
    platform.git = spec.get("git").and_then(|e| git(e, findings));
    set(&mut platform.commits, spec.get("commits").and_then(|e| commits(e, Whose::Platform, findings)));
    set(&mut platform.licence, spec.get("licence").and_then(|e| licence::wanted(e, findings)));
    platform.allowed_hosts = spec.get("allowed_hosts").map(|e| allowed_hosts(e, findings)).unwrap_or_default();
    platform.allowed_images = list(&spec, "allowed_images", findings);
    if let Some(section) = spec.get("deletion_budget").and_then(|e| open(e, "`deletion_budget`", BUDGET, findings)) {
        deletion_budget(&mut platform.deletion_budget, &section, findings);
    }
    set(&mut platform.removal_grace_secs, spec.get("removal_grace").and_then(|e| duration_secs(e, findings)));
    platform.progress_deadline_secs = spec.get("progress_deadline").and_then(|e| progress_deadline(e, findings));
    Some(platform)
}

/// Kubernetes takes no zero; and what has not come in an hour is not on its way.
fn progress_deadline(entry: &Entry, findings: &mut Findings) -> Option<u64> {
    let secs = duration_secs(entry, findings)?;
    if (1..=3600).contains(&secs) {
        return Some(secs);
    }
    findings
        .add(Code::OutOfRange, entry.value.place, format!("`progress_deadline` must be from 1s to 1h, but is {secs}s"))
        .with_hint("Leave it out for the ten minutes of Kubernetes.");
    None
}

fn deletion_budget(budget: &mut DeletionBudget, section: &Section<'_>, findings: &mut Findings) {
    let fields = [
        ("per_pass", 100_000, &mut budget.per_pass),
        ("per_pass_percent", 100, &mut budget.per_pass_percent),
        ("per_hour", 1_000_000, &mut budget.per_hour),
        ("per_hour_percent", 100, &mut budget.per_hour_percent),
    ];
    for (key, most, field) in fields {
        let number = section.get(key).and_then(|e| whole(e, 0..=most, findings));
        set(field, number.and_then(|number| u32::try_from(number).ok()));
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn list(spec: &Section<'_>, key: &str, findings: &mut Findings) -> Vec<String> {
    spec.get(key)
        .map(|e| texts(e, 200, findings))
        .unwrap_or_default()
        .into_iter()
        .map(|(text, _)| text.to_owned())
        .collect()
}

fn label(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let name = text(entry, findings)?;
    if is_dns_label(name, 63) {
        return Some(name.to_owned());
    }
    findings.add(Code::BadName, entry.value.place, format!("{} is a name Kubernetes will refuse", shown(name)));
    None
}

/// Of the platform's own objects. What starts with `tool-` is a tool's.
fn namespace(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let name = label(entry, findings)?;
    if !name.starts_with("tool-") {
        return Some(name);
    }
    findings
        .add(Code::BadName, entry.value.place, format!("{} would be taken for a tool's namespace", shown(&name)))
        .with_hint("Choose a name that does not start with `tool-`.");
    None
}

fn domain(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let domain = text(entry, findings)?;
    if domain.len() <= 200 && domain.split('.').all(|part| is_dns_label(part, 63)) {
        return Some(domain.to_owned());
    }
    findings
        .add(Code::BadName, entry.value.place, format!("{} is no domain", shown(domain)))
        .with_hint("Write a lower-case domain without scheme, such as `tools.example.org`.");
    None
}

fn registry(entry: &Entry, findings: &mut Findings) -> Option<Registry> {
    let section = open(entry, "`registry`", &["host", "credentials", "quota"], findings)?;
    let host = section.required("host", findings)?;
    let written = text(host, findings)?;
    // Together with any image's name it must be a reference.
    if !fields::is_reference(&format!("{written}/tool/component")) {
        findings
            .add(Code::BadImage, host.value.place, format!("{} is no registry", shown(written)))
            .with_hint("Write host, port and path without scheme, such as `registry.example:5000/toolforge`.");
        return None;
    }
    let credentials = section.get("credentials").and_then(|e| variable(e, findings));
    let quota = section.get("quota").and_then(|e| quantity(e, findings));
    Some(Registry { host: written.to_owned(), credentials, quota })
}

fn variable(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let name = text(entry, findings)?;
    if fields::is_variable(name) {
        return Some(name.to_owned());
    }
    findings
        .add(Code::BadEnvName, entry.value.place, "this is no prefix of environment variables")
        .with_hint("Write the prefix of the variables that hold user and password, never the values.");
    None
}

fn builder(entry: &Entry, findings: &mut Findings) -> Option<Builder> {
    let section = open(entry, "`builder`", &["image", "run_image", "buildpacks", "target"], findings)?;
    let image = section.required("image", findings).and_then(|e| pinned(e, findings));
    let run_image = section.required("run_image", findings).and_then(|e| pinned(e, findings));
    let mut buildpacks = BTreeMap::new();
    for (item, reference) in section.get("buildpacks").map(|e| text_map(e, 100, findings)).unwrap_or_default() {
        if pinned(item, findings).is_some() {
            buildpacks.insert(item.key.clone(), reference.to_owned());
        }
    }
    let target = section
        .get("target")
        .map_or(Some("linux/amd64"), |e| one_of(e, &["linux/amd64", "linux/arm64"], &[], findings));
    Some(Builder { image: image?, run_image: run_image?, buildpacks, target: target?.to_owned() })
}

/// An image with its digest: what a build depends on must not move.
fn pinned(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let image = fields::image_reference(entry, findings)?;
    if image.contains("@sha256:") {
        return Some(image);
    }
    findings
        .add(
            Code::BadImage,
            entry.value.place,
            format!("{} names no digest, so builds could not be repeated", shown(&image)),
        )
        .with_hint("Add `@sha256:` and the image's digest.");
    None
}

fn route(entry: &Entry, findings: &mut Findings) -> Option<Route> {
    let section = open(entry, "`route`", &["kind", "class", "namespace", "name"], findings)?;
    let kind = section.required("kind", findings)?;
    let kind =
        one_of(kind, &["ingress", "gateway"], &[("httproute", "gateway"), ("gateway-api", "gateway")], findings)?;
    let foreign: &[&str] = if kind == "ingress" { &["namespace", "name"] } else { &["class"] };
    for entry in foreign.iter().filter_map(|key| section.get(key)) {
        findings
            .add(Code::WrongKind, entry.key_place, format!("`{}` does not belong to a route of kind {kind}", entry.key))
            .with_hint("Remove it, or change `kind`.");
    }
    if kind == "ingress" {
        let class = section.get("class").map(|e| label(e, findings));
        return Some(Route::Ingress { class: class.flatten() });
    }
    let namespace = section.required("namespace", findings).and_then(|e| label(e, findings));
    let name = section.required("name", findings).and_then(|e| label(e, findings));
    Some(Route::Gateway { namespace: namespace?, name: name? })
}

fn poll_interval(entry: &Entry, findings: &mut Findings) -> Option<u64> {
    let secs = duration_secs(entry, findings)?;
    if (5..=86_400).contains(&secs) {
        return Some(secs);
    }
    findings
        .add(Code::OutOfRange, entry.value.place, format!("`poll_interval` must be from 5s to 1d, but is {secs}s"))
        .with_hint("Hosts block those who ask too often; `60s` is usual.");
    None
}

/// `limits`, of a platform or a tool.
pub(crate) fn limits_patch(entry: &Entry, findings: &mut Findings) -> Option<LimitsPatch> {
    let section = open(entry, "`limits`", LIMITS, findings)?;
    let mut of = |key| section.get(key).map(|e| quantities(e, findings)).unwrap_or_default();
    Some(LimitsPatch {
        quota: of("quota"),
        max: of("max"),
        min: of("min"),
        default: of("default"),
        default_request: of("default_request"),
    })
}

fn patched(mut limits: Limits, patch: LimitsPatch) -> Limits {
    limits.quota.extend(patch.quota);
    limits.max.extend(patch.max);
    limits.min.extend(patch.min);
    limits.default.extend(patch.default);
    limits.default_request.extend(patch.default_request);
    limits
}

fn system_user(entry: &Entry, findings: &mut Findings) -> Option<SystemUser> {
    let section = open(entry, "`system_user`", &["uid", "gid"], findings)?;
    let mut id = |key| section.required(key, findings).and_then(|e| user_id(e, findings));
    let (uid, gid) = (id("uid"), id("gid"));
    Some(SystemUser { uid: uid?, gid: gid? })
}

/// Below 1000 are the system's own users.
pub(crate) fn user_id(entry: &Entry, findings: &mut Findings) -> Option<u32> {
    whole(entry, 1000..=4_294_967_294, findings).and_then(|n| u32::try_from(n).ok())
}

fn dumps(entry: &Entry, findings: &mut Findings) -> Option<Dumps> {
    let section = open(entry, "`dumps`", &["persistent_volume_claim", "csi"], findings)?;
    match (section.get("persistent_volume_claim"), section.get("csi")) {
        (Some(claim), None) => {
            let name = open(claim, "`persistent_volume_claim`", &["claim_name"], findings)?;
            let claim_name = name.required("claim_name", findings).and_then(|e| label(e, findings))?;
            Some(Dumps::PersistentVolumeClaim { claim_name })
        }
        (None, Some(csi)) => {
            let csi = open(csi, "`csi`", &["driver", "attributes"], findings)?;
            let driver = csi.required("driver", findings).and_then(|e| text(e, findings))?.to_owned();
            let attributes = csi.get("attributes").map(|e| text_map(e, 50, findings)).unwrap_or_default();
            Some(Dumps::Csi {
                driver,
                attributes: attributes.into_iter().map(|(item, value)| (item.key.clone(), value.to_owned())).collect(),
            })
        }
        _ => {
            findings
                .add(Code::MissingKey, section.place(), "`dumps` needs one of `persistent_volume_claim` and `csi`")
                .with_hint("Name the volume that holds the dumps, or remove `dumps`.");
            None
        }
    }
}
