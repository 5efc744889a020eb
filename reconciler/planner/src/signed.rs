//! Is a revision's commit signed by somebody who may sign for the tool?
//!
//! Only the newest commit's own signature counts: a commit names its tree and its parents by their hashes, so whoever
//! signs a merge answers for all that it brings, and a commit nobody deploys harms nobody. A revision that is stored was
//! admitted once and stays so, whatever became of its key: it is what everything is healed against.
//!
//! The time that counts is now. When a commit was made is written by whoever made it, so a key that was stolen could sign
//! for a time before it was given up.
//!
//! A source elsewhere is not in the tool's tree: a signed file vouches for it only where it names a commit by its whole id.

use crate::decide::Input;
use crate::moment::Moment;
use crate::plan::Why;
use renderer::revision::{ResolvedSource, Signature, SigningKey};
use renderer::signers::{self, Signers};
use renderer::{CommitId, Revision};

/// The namespace in which git signs.
const NAMESPACE: &str = "git";

/// Why a revision is not taken; none where it may be.
pub(crate) fn unsigned(input: &Input, revision: &Revision) -> Option<Why> {
    let signers = signers::wanted(input.platform, input.tool)?;
    let commit = revision.commit.as_ref()?;
    let mut stored = input.observed.stored.iter().map(|stored| &stored.revision);
    let admitted = stored.clone().any(|stored| stored.commit.as_ref() == Some(commit));
    let unsigned = |key: Option<&str>, why: String| {
        Some(Why::Unsigned { commit: commit.clone(), key: key.map(str::to_owned), why, until: None })
    };
    if let Some(source) = moving_source(revision).filter(|_| !stored.any(|stored| stored.resolved == revision.resolved))
    {
        let why = "what it builds from can move without a signature; write the commit's whole id as its `ref`";
        return unsigned(None, format!("{source}: {why}"));
    }
    if admitted {
        return None;
    }
    let files = signers.named();
    let advice = "sign with a key that is listed there, `git commit --amend -S`, or ask the operators to add this one";
    match &revision.facts.signature {
        _ if signers.is_empty() => {
            let why = "nobody may sign: the operators have to name files of keys in `commits.signers`";
            unsigned(None, why.to_owned())
        }
        Signature::Unread | Signature::Unverified(_) => Some(not_verified()),
        Signature::Absent => {
            let why = format!("it has no signature; `git commit --amend -S` signs it, with a key of {files}");
            unsigned(None, why)
        }
        Signature::UnknownKey { key } => unsigned(Some(key), format!("key {key} is not in {files}; {advice}")),
        Signature::Worthless { key, why } => {
            let by = key.as_ref().map(|key| format!(" by key {key}")).unwrap_or_default();
            let again = format!("`git commit --amend -S` signs it anew, with a key of {files}");
            unsigned(key.as_deref(), format!("the signature{by} proves nothing: {why}; {again}"))
        }
        Signature::Good(SigningKey::OpenPgp { fingerprint, valid_before, signers: checked }) => {
            if *checked != signers.digest() {
                return Some(not_verified());
            }
            let over = valid_before.map(Moment::from_unix_secs).filter(|end| *end <= input.circumstances.now)?;
            unsigned(Some(fingerprint), format!("key {fingerprint} of {files} was valid until {over}; {advice}"))
        }
        Signature::Good(SigningKey::Ssh { fingerprint, algorithm }) => {
            let refusal = ssh(signers, fingerprint, input.circumstances.now)?;
            let (reason, until) = refusal.told(&files);
            let key = format!("{fingerprint} ({algorithm})");
            let why = format!("key {key} {reason}; {advice}");
            Some(Why::Unsigned { commit: commit.clone(), key: Some(fingerprint.clone()), why, until })
        }
    }
}

/// Its signers have changed since somebody looked, or nobody has yet.
fn not_verified() -> Why {
    Why::NotObserved("its signature has not been verified yet".to_owned())
}

/// The first source elsewhere that is not named by a commit.
fn moving_source(revision: &Revision) -> Option<&str> {
    let moves = |source: &str| source.rsplit_once('#').is_none_or(|(_, name)| CommitId::new(name).is_err());
    let mut found = revision.resolved.iter().filter(|(_, found)| matches!(found, ResolvedSource::Found { .. }));
    found.find(|(source, _)| moves(source)).map(|(source, _)| source.as_str())
}

/// Why an SSH key may not sign now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    Unlisted,
    Namespace(Vec<String>),
    Before(Moment),
    Over(Moment),
}

/// None where one of its lines allows it; else what is wrong with the one that was nearest to it.
fn ssh(signers: &Signers, fingerprint: &str, now: Moment) -> Option<Refusal> {
    let mut nearest = Refusal::Unlisted;
    for line in signers.ssh().into_iter().filter(|line| line.fingerprint == fingerprint) {
        let may = |names: &Vec<String>| names.iter().any(|name| name == NAMESPACE || name == "*");
        nearest = match (line.namespaces, line.valid_after, line.valid_before) {
            (Some(names), ..) if !may(&names) => Refusal::Namespace(names),
            (_, Some(from), _) if now < Moment::from_unix_secs(from) => Refusal::Before(Moment::from_unix_secs(from)),
            (_, _, Some(to)) if now >= Moment::from_unix_secs(to) => Refusal::Over(Moment::from_unix_secs(to)),
            _ => return None,
        };
    }
    Some(nearest)
}

impl Refusal {
    fn told(self, files: &str) -> (String, Option<Moment>) {
        match self {
            Self::Unlisted => (format!("is not in {files}"), None),
            Self::Namespace(names) => (
                format!("may sign only in the namespaces {} by {files}, and git signs in `git`", names.join(", ")),
                None,
            ),
            Self::Before(from) => (format!("of {files} is valid from {from}"), Some(from)),
            Self::Over(to) => (format!("of {files} was valid until {to}"), None),
        }
    }
}
