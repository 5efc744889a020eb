//! `commits` of platform.yaml and of a tool's file.

use super::{MAX_FILES, Signers};
use crate::decode::{one_of, open, text, texts};
use crate::diagnostic::{Code, Findings, Place, Report, shown};
use crate::names::ToolName;
use crate::platform::Platform;
use crate::tool::Tool;
use crate::yaml::{self, Entry};
use serde::{Deserialize, Serialize};

/// What commits must bring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commits {
    /// Whether they have to be signed.
    #[serde(default, skip_serializing_if = "SignedCommits::is_ignored")]
    pub signed: SignedCommits,
    /// By whom.
    #[serde(default, skip_serializing_if = "Signers::is_empty")]
    pub signers: Signers,
}

/// Whether commits have to be signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignedCommits {
    /// Nobody looks.
    #[default]
    Ignore,
    /// What is not signed by one of the signers is held.
    Require,
}

impl SignedCommits {
    /// Whether nobody looks.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_ignored(&self) -> bool {
        *self == Self::Ignore
    }
}

impl Commits {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who has to have signed the commits of a tool; none where nobody has. A tool's own signers take the place of the
/// platform's.
#[must_use]
pub fn wanted<'a>(platform: &'a Platform, tool: &'a Tool) -> Option<&'a Signers> {
    let own = &tool.commits;
    let required = [platform.commits.signed, own.signed].contains(&SignedCommits::Require);
    required.then_some(if own.signers.is_empty() { &platform.commits.signers } else { &own.signers })
}

/// Whose signers count for nothing: those of a tool where nobody has to sign, and the platform's (no name) where no tool
/// goes by them either. Whoever wrote them down may take them for a rule.
#[must_use]
pub fn idle<'a>(platform: &Platform, tools: &'a [Tool]) -> Vec<Option<&'a ToolName>> {
    let goes_by_them = |tool: &Tool| tool.commits.signers.is_empty() && wanted(platform, tool).is_some();
    let idles = platform.commits.signed == SignedCommits::Ignore && !tools.iter().any(goes_by_them);
    let own = (idles && !platform.commits.signers.is_empty()).then_some(None);
    let of_tools = tools.iter().filter(|tool| !tool.commits.signers.is_empty() && wanted(platform, tool).is_none());
    own.into_iter().chain(of_tools.map(|tool| Some(&tool.name))).collect()
}

/// What is told of [`idle`] signers, where their file names them.
#[must_use]
pub fn told_idle(file: &str, bytes: &[u8]) -> Report {
    let mut findings = Findings::new(file);
    let root = yaml::read(bytes, &mut Findings::new(""));
    let place = root.as_ref().and_then(named).map(|named| named.place);
    findings.add(Code::IdleSigners, place, "nobody has to sign, so every commit is taken, whoever signed it");
    findings.finish()
}

/// Where a platform's or a tool's file names these signers: for whoever finds that they are not there.
#[must_use]
pub fn place_of(file: &[u8], signers: &str) -> Option<Place> {
    let root = yaml::read(file, &mut Findings::new(""))?;
    let named = named(&root)?;
    let items = named.sequence().unwrap_or(std::slice::from_ref(named));
    let is_it = |node: &&yaml::Node| node.scalar().is_some_and(|scalar| scalar.text == signers);
    items.iter().find(is_it).map(|node| node.place)
}

/// `spec.commits.signers`.
fn named(root: &yaml::Node) -> Option<&yaml::Node> {
    let spec = &root.mapping()?.get("spec")?.value;
    let commits = &spec.mapping()?.get("commits")?.value;
    Some(&commits.mapping()?.get("signers")?.value)
}

/// In whose file it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Platform,
    Tool,
}

/// Reads it.
pub(crate) fn commits(entry: &Entry, whose: Whose, findings: &mut Findings) -> Option<Commits> {
    let section = open(entry, "`commits`", &["signed", "signers"], findings)?;
    let signed = match section.get("signed") {
        Some(entry) => signed(entry, whose, findings)?,
        None => SignedCommits::Ignore,
    };
    let names = section.get("signers").map(|e| texts(e, MAX_FILES, findings)).unwrap_or_default();
    let mut signers = Signers::default();
    for (name, node) in names {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
        if name.is_empty() || name.len() > 100 || name.starts_with(['.', '-']) || name.contains(odd) {
            findings
                .add(Code::BadPath, node.place, format!("{} is no name of a file in `signers/`", shown(name)))
                .with_hint("Name a file of the folder `signers` beside platform.yaml, such as `operators`.");
        } else {
            signers.0.insert(name.to_owned(), String::new());
        }
    }
    Some(Commits { signed, signers })
}

fn signed(entry: &Entry, whose: Whose, findings: &mut Findings) -> Option<SignedCommits> {
    if whose == Whose::Tool && text(entry, findings)? == "ignore" {
        findings
            .add(Code::UnknownValue, entry.value.place, "a tool can ask for more than its platform, and not for less")
            .with_hint("Leave `signed` out: then the platform's `commits.signed` holds.");
        return None;
    }
    let aliases = [("required", "require"), ("always", "require"), ("optional", "ignore"), ("never", "ignore")];
    let word = one_of(entry, &["require", "ignore"], &aliases, findings)?;
    Some(if word == "require" { SignedCommits::Require } else { SignedCommits::Ignore })
}
