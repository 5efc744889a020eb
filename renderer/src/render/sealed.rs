//! Values that stand encrypted in the repository: a Secret for each component that uses some, and the mark in its pods by
//! which they restart when one of them changes, and only then.
//!
//! The Secret is the component's and not the tool's, so that it goes the way of everything else the component has: it is
//! held with it, and comes back with its last good revision. Its `data` holds the *ciphertexts*: no value exists before
//! the last door of the shell, and nothing that is rendered, planned, stored or shown can give one away.

use super::meta::{self, SECRET};
use super::{Frame, Refusal, pod};
use crate::config::fields::is_reserved;
use crate::config::{Component, ParseContext};
use crate::diagnostic::{Code, Diagnostic, Findings, Report};
use crate::length_prefixed::LengthPrefixed;
use crate::names::ComponentName;
use crate::object::{Head, Object};
use crate::secrets::{self, FILE, Known, Opened, SecretsFile, Standing, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

/// Annotation of such a Secret and of the pods that use it: a keyed hash of all its values.
pub const VALUES: &str = "toolforge.org/values";

/// The tool's encrypted values.
pub(crate) struct Shelf<'a> {
    bytes: usize,
    /// None where the file can't be used as a whole.
    file: Option<SecretsFile>,
    pub(super) report: Report,
    known: &'a Known,
}

impl<'a> Shelf<'a> {
    pub(super) fn new(bytes: Option<&[u8]>, known: &'a Known) -> Self {
        let (file, report) = match bytes {
            Some(bytes) => secrets::parse(bytes, FILE),
            None => (Some(SecretsFile::default()), Report::default()),
        };
        Self { bytes: bytes.map_or(0, <[u8]>::len), file, report, known }
    }

    /// What its values can take in the objects of one component.
    pub(super) fn most_bytes(&self) -> usize {
        2 * self.bytes
    }

    /// What the platform has not for this tool.
    pub(super) fn lacks(&self) -> Vec<String> {
        self.known.given.values().filter_map(|given| given.as_ref().err().cloned()).collect()
    }

    /// Whether nobody knows what runs has of that.
    pub(super) fn is_blind(&self) -> bool {
        self.known.live.is_none() && self.known.given.values().any(Result::is_err)
    }

    /// Says which values nobody asked for, and which nobody can ask for.
    pub(super) fn notes(&self, frame: &Frame<'_>) -> Vec<Diagnostic> {
        let asked: BTreeSet<&str> = frame.config.components.values().flat_map(|c| pod::secrets(frame, c)).collect();
        let mut findings = Findings::new(FILE);
        let all = self.file.iter().flat_map(|file| &file.values);
        let context = LazyCell::new(|| ParseContext::new(frame.platform, frame.tool));
        for (key, standing) in all.filter(|(key, _)| !asked.contains(key.as_str())) {
            if is_reserved(key, &context) {
                findings
                    .add(Code::ReservedEnvName, standing.place, format!("`{key}` is reserved"))
                    .with_hint(format!("Choose another name, and run `toolforge secrets rm {key}`."));
                continue;
            }
            findings
                .add(Code::IgnoredKey, standing.place, format!("no component declares `{key}`"))
                .with_hint(format!("Name it under `secrets:` in toolforge.yaml, or run `toolforge secrets rm {key}`."));
        }
        findings.finish().diagnostics
    }
}

/// What one component uses: of the encrypted values those that it declares, of the platform's credentials all.
#[derive(Default)]
pub(crate) struct Used {
    /// The ciphertexts, by variable; of a credential, where it comes from. Neither says a value.
    values: BTreeMap<String, String>,
    /// The mark; none where nobody tried a key.
    mark: Option<String>,
}

impl Used {
    /// Whether this variable's value comes from here.
    pub(super) fn has(&self, variable: &str) -> bool {
        self.values.contains_key(variable)
    }

    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        self.mark.iter().map(|mark| (VALUES.to_owned(), mark.clone())).collect()
    }
}

/// How the names of such Secrets begin.
pub const SEALED: &str = "toolforge-secrets.";

/// The name of a component's Secret. A dot keeps it apart from those of single variables.
#[must_use]
pub fn sealed_name(component: &ComponentName) -> String {
    format!("{SEALED}{component}")
}

/// The values that a component uses; or what keeps it from being used.
pub(super) fn used(frame: &Frame<'_>, name: &ComponentName, component: &Component) -> Result<Used, Refusal> {
    let shelf = &frame.sealed;
    let declared = pod::secrets(frame, component);
    let nothing = SecretsFile::default();
    let Some(file) = shelf.file.as_ref().or_else(|| declared.is_empty().then_some(&nothing)) else {
        let message = format!("{FILE} can't be used, so the secrets of `{name}` are unknown");
        return Err(Refusal::new(Code::BadCiphertext, "secrets", message).hint(format!("Correct {FILE}.")));
    };
    let (mut used, mut hash, mut tags) = (Used::default(), LengthPrefixed::new("toolforge values 1"), 0);
    for (key, standing) in declared.iter().filter_map(|key| Some((*key, file.values.get(*key)?))) {
        let refused =
            |(why, hint): Told| Refusal::new(Code::BadCiphertext, "secrets", why).hint(hint).sealed_at(standing.place);
        let tag = tag(&shelf.known.opened, key).map_err(refused)?;
        used.values.insert(key.to_owned(), sealed(key, standing).map_err(refused)?);
        hash.text(key).optional(tag);
        tags += usize::from(tag.is_some());
    }
    let live = shelf.known.live.as_ref().and_then(|live| live.get(name.as_str()));
    let is_there = |variable: &str| live.is_some_and(|live| live.keys.contains(variable));
    let mut keeps = shelf.known.opened.is_elsewhere();
    for (variable, at) in &frame.platform.credentials {
        // What the platform has no more stays as it is, and what it never had is no reason to touch what runs.
        if let Some(Err(_)) = shelf.known.given.get(variable) {
            if !is_there(variable) {
                continue;
            }
            keeps = true;
        }
        used.values.insert(variable.clone(), STANDARD.encode(format!("{}/{}", at.secret_of(&frame.tool.name), at.key)));
        let tag = shelf.known.given.get(variable).and_then(|given| given.as_ref().ok());
        hash.text(variable).optional(tag.map(Tag::as_str));
        tags += usize::from(tag.is_some());
    }
    used.mark = match keeps {
        true => live.and_then(|live| live.mark.clone()).filter(|_| !used.values.is_empty()),
        false => (tags > 0).then(|| hash.hex()[..32].to_owned()),
    };
    Ok(used)
}

/// What is wrong, and a sentence with a next step.
type Told = (String, String);

/// The tag of a value that the platform's keys open; none where nobody tried.
fn tag<'a>(opened: &'a Opened, key: &str) -> Result<Option<&'a str>, Told> {
    match opened {
        Opened::Unasked | Opened::Elsewhere => Ok(None),
        Opened::NoKeys(why) => {
            Err((format!("`{key}` can't be decrypted: {why}"), "Ask the operators for the platform's key.".to_owned()))
        }
        Opened::Read(values) => match values.get(key) {
            Some(Ok(tag)) => Ok(Some(tag.as_str())),
            Some(Err(refusal)) => Err((format!("`{key}` is refused: {refusal}"), refusal.hint(key))),
            // It has a flaw, which is told where it is looked at.
            None => Ok(None),
        },
    }
}

fn sealed(key: &str, standing: &Standing) -> Result<String, Told> {
    let sealed = standing.sealed.as_ref().map_err(|flaw| (flaw.told(key), flaw.hint(key)))?;
    Ok(STANDARD.encode(sealed.armored()))
}

/// The Secret of a component that uses encrypted values or credentials.
pub(super) fn object(frame: &Frame<'_>, name: &ComponentName, component: &Component, used: &Used) -> Option<Object> {
    if used.values.is_empty() {
        return None;
    }
    let head = Head {
        kind: SECRET,
        namespace: Some(frame.namespace.clone()),
        name: sealed_name(name),
        labels: meta::component_labels(frame, name, component),
        annotations: used.annotations(),
    };
    let data: Map<String, Value> =
        used.values.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let mut content = Map::new();
    content.insert("data".to_owned(), data.into());
    Some(Object::with(head, content))
}
