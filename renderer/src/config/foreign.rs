//! Files named `toolforge.yaml` that are something else: of twenty public ones, seven. A list of unknown keys would not
//! help their owners; the format's name and the way from it do.

use crate::diagnostic::{Code, Findings};
use crate::yaml::{Mapping, Node};

/// Tells what the file is, where it is nothing of ours.
pub(super) fn is_other_format(root: &Node, findings: &mut Findings) -> bool {
    let said = match root.sequence() {
        Some(items) => Some(list(items)),
        None => root.mapping().and_then(mapping).or_else(|| text(root)),
    };
    let Some((what, hint)) = said else {
        return false;
    };
    findings
        .add(Code::OtherFormat, root.place, format!("this is {what}; a toolforge.yaml holds `components:`"))
        .with_hint(hint);
    true
}

type Said = (&'static str, &'static str);

fn list(items: &[Node]) -> Said {
    let has = |item: &Node, key: &str| item.mapping().is_some_and(|m| m.has(key));
    if items
        .iter()
        .any(|item| has(item, "name") && (has(item, "command") || has(item, "image") || has(item, "imagename")))
    {
        return (
            "a jobs list for `toolforge jobs load`",
            "Write `components:`, and below it each job's name as a key with `run:` holding `command`, `schedule`, `cpu` and `mem` as `memory`; `continuous: true` becomes `component_type: continuous`, `image` stands beside `run`.",
        );
    }
    if items.iter().all(|item| item.scalar().is_some()) {
        return (
            "a list of words",
            "Languages and buildpacks are detected from the code: write `components:` with what runs, or run `toolforge init`.",
        );
    }
    if items.iter().any(|item| item.mapping().is_some_and(|m| m.has("apiVersion") && m.has("kind"))) {
        return MANIFEST;
    }
    ("a list", "Write `components:`, and below it each component's name as a key.")
}

const MANIFEST: Said = (
    "a Kubernetes manifest",
    "Manifests are made for you: write `components:`, with the container's command, port and resources under `run:`, or run `toolforge init`.",
);

/// Keys by which other formats are known, and what to do with each.
const MARKS: &[(&[&str], Said)] = &[
    (&["apiVersion", "kind"], MANIFEST),
    (
        &["services"],
        (
            "a Compose file",
            "Write each service as a component: `command` and `ports` go under `run:`, `image` beside it.",
        ),
    ),
    (&["stages"], ("a CI pipeline", "Pipelines stay in their own file: write `components:` with what runs.")),
    (&["on", "jobs"], ("a CI workflow", "Workflows stay in their own file: write `components:` with what runs.")),
    (&["processes"], ("a process list", "Write each process as a component: its command goes under `run:`.")),
    (
        &["type", "backend"],
        ("a service.template", "Name the file service.template, or run `toolforge init` to write it as components."),
    ),
    (
        &["backend"],
        ("a service.template", "Name the file service.template, or run `toolforge init` to write it as components."),
    ),
    (
        &["language"],
        (
            "a language setting",
            "Languages are detected from the code: write `components:` with what runs, or run `toolforge init`.",
        ),
    ),
    (
        &["languages"],
        (
            "a language list",
            "Languages are detected from the code: write `components:` with what runs, or run `toolforge init`.",
        ),
    ),
];

/// Keys by which our own format is known, also when the rest is wrong.
const OWN: &[&str] = &["components", "config_version", "source_url"];

fn mapping(mapping: &Mapping) -> Option<Said> {
    let api = mapping.get("apiVersion").and_then(|entry| entry.value.scalar());
    if api.is_some_and(|api| api.text.starts_with("toolforge.org/")) {
        return Some((
            "a file of the operators' config repository",
            "Keep it there; here, write `components:` with what runs.",
        ));
    }
    if OWN.iter().any(|key| mapping.has(key)) {
        return None;
    }
    let marked = MARKS.iter().find(|(keys, _)| keys.iter().all(|key| mapping.has(key))).map(|(_, said)| *said);
    if marked.is_some() {
        return marked;
    }
    let processes = ["web", "worker", "release"];
    let is_line = |entry: &crate::yaml::Entry| entry.value.scalar().is_some() && !entry.value.is_null();
    if processes.iter().any(|name| mapping.has(name)) && mapping.entries.iter().all(is_line) {
        return Some(("a Procfile", "Name the file `Procfile`; it is enough without a toolforge.yaml."));
    }
    let looks_like_component =
        |m: &Mapping| m.has("run") || m.has("build") || m.has("component_type") || m.has("command");
    if looks_like_component(mapping)
        || mapping.entries.iter().any(|e| e.value.mapping().is_some_and(looks_like_component))
    {
        return Some((
            "a component without what it belongs to",
            "Write `components:` first, and below it the component's name as a key: `components: {web: {run: {...}}}`.",
        ));
    }
    // Near misses of our own keys (`component:`) are better told by their spelling.
    let near = |key: &str| crate::diagnostic::nearest(key, OWN.iter().copied()).is_some();
    let settings = !mapping.entries.is_empty() && !mapping.entries.iter().any(|e| near(&e.key));
    settings.then_some((
        "a settings file",
        "Settings are read by your program, not by the platform: keep them in another file; what is secret goes into a secret, and must be changed where it stands in the git history.",
    ))
}

fn text(root: &Node) -> Option<Said> {
    if root.scalar()?.text.starts_with('<') {
        return Some(("a web page", "Fetch the file itself, not the page that shows it."));
    }
    root.scalar().map(|_| ("plain text", "Write `components:`, or run `toolforge init`."))
}
