//! `toolforge.yaml` from bytes to components. Everything that is wrong is told at once; a bad component is withheld,
//! and only what makes the whole file's meaning unsure makes the whole file unusable.

use super::component::{self, Draft};
use super::keys::At;
use super::{Config, ParseContext, Parsed, Places, Source, advice, env, foreign};
use crate::decode::{Section, text};
use crate::diagnostic::{Code, Findings, named, shown};
use crate::names::ComponentName;
use crate::rendered::Withheld;
use crate::yaml::{self, Entry, Node};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most components of one file.
pub const MAX_COMPONENTS: usize = 200;

/// Most places a file's map holds.
const MAX_PLACES: usize = 10_000;
/// Longest key whose place is kept, in bytes.
const MAX_KEY: usize = 128;

/// Reads the bytes of a `toolforge.yaml`.
pub(super) fn from_yaml(bytes: &[u8], context: &ParseContext) -> Parsed {
    let mut findings = Findings::new(&context.file);
    let Some(root) = yaml::read(bytes, &mut findings) else {
        return unusable(findings, &[]);
    };
    if foreign::is_other_format(&root, &mut findings) {
        return unusable(findings, &[]);
    }
    let Some(file) = Section::open(&root, root.place, &advice::level(At::File), &mut findings) else {
        return unusable(findings, &[]);
    };
    version(&file, &mut findings);
    ignored(&file, &mut findings);
    let mut config = Config {
        env: file.get("env").map(|e| env::env(e, context, &mut findings)).unwrap_or_default(),
        secrets: file.get("secrets").map(|e| env::secrets(e, context, &mut findings)).unwrap_or_default(),
        components: BTreeMap::new(),
    };
    env::both(&file, &config.env, &config.secrets, &mut findings);
    let entries = components(&file, &mut findings).unwrap_or_default();
    let mut drafts = Vec::new();
    for entry in entries {
        findings.enter(Some(&entry.key));
        drafts.push(component::draft(entry, context, &mut findings));
    }
    reuse(&drafts, &mut findings);
    publishers(&drafts, &mut findings);
    findings.enter(None);
    let names: Vec<&str> = drafts.iter().map(|draft| draft.name).collect();
    if findings.blamed().contains(&None) {
        return unusable(findings, &names);
    }
    let withheld = keep_good(drafts, &mut config, &findings);
    Parsed { config, withheld, unusable: false, places: places(&root).into(), report: findings.finish() }
}

/// A file whose meaning is unsure: every component it names is withheld.
pub(super) fn unusable(findings: Findings, names: &[&str]) -> Parsed {
    let why = findings.first_error(None).unwrap_or("the file cannot be used").to_owned();
    let withheld =
        names.iter().map(|name| Withheld { component: named(name), why: why.clone(), gates: true }).collect();
    Parsed {
        config: Config::default(),
        withheld,
        unusable: true,
        places: Default::default(),
        report: findings.finish(),
    }
}

fn version(file: &Section<'_>, findings: &mut Findings) {
    let Some(entry) = file.get("config_version") else {
        return;
    };
    let written = entry.value.scalar().map(|scalar| scalar.text.as_str());
    if written != Some("v1beta1") {
        let shown = written.map_or_else(|| entry.value.described().to_owned(), shown);
        findings.add(
            Code::ConfigVersion,
            entry.value.place,
            format!("`config_version` must be `v1beta1`, but is {shown}"),
        );
    }
}

fn ignored(file: &Section<'_>, findings: &mut Findings) {
    if let Some(entry) = file.get("source_url") {
        text(entry, findings);
        findings
            .add(Code::IgnoredKey, entry.key_place, "`source_url` does nothing here: the file is read from git")
            .with_hint("Remove the key.");
    }
    if let Some(entry) = file.get("defaults") {
        findings
            .add(Code::IgnoredKey, entry.key_place, "`defaults` does nothing here")
            .with_hint("Remove the key; what is watched is listed by `toolforge status`.");
    }
}

fn components<'t>(file: &Section<'t>, findings: &mut Findings) -> Option<&'t [Entry]> {
    let entry = file.required("components", findings)?;
    let Some(mapping) = entry.value.mapping() else {
        let message =
            format!("`components` must be a mapping of names to components, but is {}", entry.value.described());
        let hint = if entry.value.sequence().is_some() {
            "Write each name as a key, without `- name:`: `components: {web: {run: {...}}}`."
        } else {
            "Write one component's name a line, and its keys indented below."
        };
        findings.add(Code::WrongType, entry.value.place, message).with_hint(hint);
        return None;
    };
    for (key, first, second) in &mapping.duplicates {
        let message = format!(
            "the component {} stands here again; the first is on line {}, column {}",
            shown(key),
            first.line,
            first.column
        );
        findings.enter(Some(key));
        findings.add(Code::DuplicateKey, *second, message).with_hint("Rename or remove one of the two.");
    }
    findings.enter(None);
    if mapping.entries.is_empty() {
        findings.add(Code::EmptyValue, entry.key_place, "`components` is empty").with_hint("Add a component.");
    }
    if let Some(beyond) = mapping.entries.get(MAX_COMPONENTS) {
        let message =
            format!("the file has {} components; at most {MAX_COMPONENTS} are allowed", mapping.entries.len());
        findings.add(Code::TooMany, beyond.key_place, message);
        return None;
    }
    Some(&mapping.entries)
}

/// `reuse_from`: its target exists and has a build of its own.
fn reuse(drafts: &[Draft<'_>], findings: &mut Findings) {
    let sources: BTreeMap<&str, Option<&Source>> =
        drafts.iter().map(|draft| (draft.name, draft.source.as_ref())).collect();
    for draft in drafts {
        let Some(Source::Reuse(target)) = &draft.source else {
            continue;
        };
        findings.enter(Some(draft.name));
        let (code, message, hint) = match sources.get(target.as_str()) {
            None => {
                let near = crate::diagnostic::nearest(target.as_str(), sources.keys().copied());
                let hint = near
                    .map_or_else(|| Code::ReuseFromMissing.fix().to_owned(), |near| format!("Did you mean `{near}`?"));
                (Code::ReuseFromMissing, format!("there is no component `{target}`"), hint)
            }
            Some(Some(Source::Reuse(_))) if leads_back(draft.name, &sources) => (
                Code::ReuseFromCycle,
                format!("`reuse_from: {target}` leads back to itself"),
                Code::ReuseFromCycle.fix().to_owned(),
            ),
            Some(Some(Source::Reuse(next))) => (
                Code::ReuseFromChain,
                format!("`{target}` has no build of its own: it reuses `{next}`"),
                format!("Write `reuse_from: {next}`."),
            ),
            Some(Some(Source::Image(_))) => (
                Code::ReuseFromChain,
                format!("`{target}` has no build of its own: it has an `image`"),
                "Write the same `image:` here.".to_owned(),
            ),
            Some(Some(Source::Build(_)) | None) => continue,
        };
        findings.add(code, draft.reuse_place, message).with_hint(hint);
    }
    withheld_targets(drafts, findings);
}

fn leads_back(name: &str, sources: &BTreeMap<&str, Option<&Source>>) -> bool {
    let mut at = name;
    for _ in 0..sources.len() {
        match sources.get(at) {
            Some(Some(Source::Reuse(next))) if next.as_str() == name => return true,
            Some(Some(Source::Reuse(next))) => at = next.as_str(),
            _ => return false,
        }
    }
    false
}

/// A component whose target has errors has no image to take.
fn withheld_targets(drafts: &[Draft<'_>], findings: &mut Findings) {
    let blamed: BTreeSet<String> = findings.blamed().into_iter().flatten().map(str::to_owned).collect();
    for draft in drafts {
        if let Some(Source::Reuse(target)) = &draft.source
            && blamed.contains(target.as_str())
            && !blamed.contains(draft.name)
        {
            findings.enter(Some(draft.name));
            findings.add(
                Code::ReuseFromWithheld,
                draft.reuse_place,
                format!("`{target}` has errors, so its image cannot be used"),
            );
        }
    }
}

/// Each path has one publisher; where it has two, neither is believed.
fn publishers(drafts: &[Draft<'_>], findings: &mut Findings) {
    let mut by_path: BTreeMap<&str, Vec<(&str, crate::diagnostic::Place)>> = BTreeMap::new();
    for draft in drafts {
        for (path, place) in &draft.publish {
            by_path.entry(path).or_default().push((draft.name, *place));
        }
    }
    for (path, claims) in by_path.iter().filter(|(_, claims)| claims.len() > 1) {
        for (at, (name, place)) in claims.iter().enumerate() {
            let (other, there) = claims[usize::from(at == 0)];
            findings.enter(Some(name));
            findings.add(
                Code::PublishConflict,
                *place,
                format!("`{path}` is published by `{other}` too, on line {}", there.line),
            );
        }
    }
}

fn keep_good(drafts: Vec<Draft<'_>>, config: &mut Config, findings: &Findings) -> Vec<Withheld> {
    let blamed = findings.blamed();
    let mut withheld = Vec::new();
    for draft in drafts {
        let name = ComponentName::new(draft.name);
        match (draft.component, name) {
            (Some(component), Ok(name)) if !blamed.contains(&Some(name.as_str())) => {
                config.components.insert(name, component);
            }
            _ => withheld.push(Withheld {
                component: named(draft.name),
                why: findings.first_error(Some(&named(draft.name))).unwrap_or("it could not be read").to_owned(),
                gates: draft.may_gate,
            }),
        }
    }
    withheld
}

/// Where each key's value stands: `components.web.run.port`; of a list or mapping, where its key stands. The outer keys
/// first, so that what is beyond [`MAX_PLACES`] matters least.
fn places(root: &Node) -> Places {
    let mut places = Places::new();
    let mut todo = VecDeque::from([(String::new(), root)]);
    while let Some((path, node)) = todo.pop_front() {
        for entry in node.mapping().map(|m| m.entries.as_slice()).unwrap_or_default() {
            if entry.key.len() > MAX_KEY || places.len() >= MAX_PLACES {
                continue;
            }
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            let is_scalar = entry.value.scalar().is_some() && !entry.value.is_null();
            places.insert(path.clone(), if is_scalar { entry.value.place } else { entry.key_place });
            // components, a name, build or env, a variable: nothing that matters is deeper.
            if path.matches('.').count() < 4 {
                todo.push_back((path, &entry.value));
            }
        }
    }
    places
}
