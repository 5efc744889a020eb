//! Environment variables and secret names.

use super::ParseContext;
use crate::credentials;
use crate::decode::{Section, text_map, texts};
use crate::diagnostic::{Code, Findings, shown};
use crate::yaml::Entry;
use std::collections::BTreeMap;

const MAX_VARIABLES: usize = 200;
const MAX_SECRETS: usize = 50;
/// Longest value, in bytes.
const MAX_VALUE: usize = 16 * 1024;
/// Set by the platform, the cluster or the image's launcher.
const RESERVED: &[&str] = &["PORT", "HOME", "NO_HOME", "HOSTNAME"];
const RESERVED_PREFIXES: &[&str] = &["KUBERNETES_", "CNB_"];

/// A name that every program can read.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `env:` or `build.envvars:`.
pub(super) fn env(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (item, value) in text_map(entry, MAX_VARIABLES, findings) {
        if good_name(item, context, findings) && good_value(item, value, findings) {
            env.insert(item.key.clone(), value.to_owned());
        }
    }
    env
}

/// `env:` of a platform: nothing but the image's own names is reserved there.
pub(crate) fn platform_env(entry: &Entry, findings: &mut Findings) -> BTreeMap<String, String> {
    env(entry, &ParseContext::default(), findings)
}

fn good_name(item: &Entry, context: &ParseContext, findings: &mut Findings) -> bool {
    let name = item.key.as_str();
    if !is_name(name) || name.len() > 128 {
        findings.add(
            Code::BadEnvName,
            item.key_place,
            format!("{} is no name for an environment variable", shown(name)),
        );
        return false;
    }
    if is_reserved(name, context) {
        let hint = match name {
            "PORT" => "Write `port:` under `run:`; the platform sets `PORT` from it.",
            _ => "Choose another name: the platform, the cluster or the image sets this one.",
        };
        findings.add(Code::ReservedEnvName, item.key_place, format!("{} is reserved", shown(name))).with_hint(hint);
        return false;
    }
    true
}

fn good_value(item: &Entry, value: &str, findings: &mut Findings) -> bool {
    if value.len() > MAX_VALUE {
        let message =
            format!("the value of {} has {} bytes; at most {MAX_VALUE} are allowed", shown(&item.key), value.len());
        findings.add(Code::TooLong, item.key_place, message).with_hint("Put large data into the repository.");
        return false;
    }
    if value.contains('\0') {
        findings.add(
            Code::ControlCharacter,
            item.key_place,
            format!("the value of {} holds a NUL character", shown(&item.key)),
        );
        return false;
    }
    if credentials::of_key(&item.key, value) || credentials::first(value).is_some() {
        findings.add(
            Code::ClearTextSecret,
            item.key_place,
            format!("the value of {} looks like a credential in clear text", shown(&item.key)),
        );
    }
    true
}

/// `secrets:`, names of variables whose values are kept as secrets.
pub(super) fn secrets(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Vec<String> {
    if entry.value.mapping().is_some() {
        let message = "`secrets` is a list of names; values must not stand in the file";
        findings
            .add(Code::WrongType, entry.value.place, message)
            .with_hint("Write one `- name` a line, and change any value that stood here: it is in the git history.");
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    for (name, node) in texts(entry, MAX_SECRETS, findings) {
        if !is_name(name) || name.len() > 128 {
            // A wrong name may well be a value pasted by mistake, so it is not shown, unless it is a plain word.
            let finding = findings.add(Code::BadSecretName, node.place, "this is no name of an environment variable");
            let word = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b"-.".contains(&b));
            if word && !name.is_empty() {
                finding.with_hint(format!("Write `{}`.", name.to_ascii_uppercase().replace(['-', '.'], "_")));
            }
        } else if is_reserved(name, context) {
            findings.add(Code::ReservedEnvName, node.place, format!("{} is reserved", shown(name)));
        } else if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Somebody else sets this variable.
pub(crate) fn is_reserved(name: &str, context: &ParseContext) -> bool {
    RESERVED.contains(&name)
        || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || context.reserved_env.contains(name)
}

/// A variable that is both in `env` and a secret has two values.
pub(super) fn both(section: &Section<'_>, env: &BTreeMap<String, String>, secrets: &[String], findings: &mut Findings) {
    let Some(entry) = section.get("secrets") else {
        return;
    };
    for variable in secrets.iter().filter(|name| env.contains_key(*name)) {
        let message = format!("{} stands in `env` and in `secrets`", shown(variable));
        findings.add(Code::DuplicateKey, entry.key_place, message);
    }
}
