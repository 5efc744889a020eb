//! Under which licence a repository stands, as far as its files say so; and whether that is one of the Open Source
//! Initiative's.

use crate::decode::one_of;
use crate::diagnostic::{Code, Findings, Report, Severity};
use crate::yaml::Entry;
use serde::{Deserialize, Serialize};

/// What operators want of a repository: `licence` of platform.yaml.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Nobody looks.
    #[default]
    Ignore,
    /// What has none is told so.
    Warn,
    /// And a new revision of it is held.
    Hold,
}

impl Wanted {
    /// Whether nobody looks.
    #[must_use]
    pub fn is_ignored(&self) -> bool {
        *self == Self::Ignore
    }
}

/// Reads it.
pub(crate) fn wanted(entry: &Entry, findings: &mut Findings) -> Option<Wanted> {
    let aliases = [("none", "ignore"), ("off", "ignore"), ("note", "warn"), ("require", "hold"), ("required", "hold")];
    one_of(entry, &["ignore", "warn", "hold"], &aliases, findings).map(|word| match word {
        "warn" => Wanted::Warn,
        "hold" => Wanted::Hold,
        _ => Wanted::Ignore,
    })
}

/// What the files of a repository say, in name order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Licences(pub Vec<Licence>);

/// One file, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// Its path in the repository.
    pub file: String,
    /// What it says.
    pub says: Says,
}

/// What a file says of the licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Says {
    /// One that the Open Source Initiative has approved, by its SPDX name, or an expression that comes to such.
    Approved(String),
    /// Another one.
    Other(String),
    /// No text that is known.
    Unknown,
    /// It could not be read: too large, a link, not text.
    Unreadable(String),
}

impl Licences {
    /// What is missing, with what to do, as a fragment; none where one file names a licence that is approved.
    #[must_use]
    pub fn lacking(&self) -> Option<String> {
        let says = |wanted: fn(&Says) -> bool| self.0.iter().find(|licence| wanted(&licence.says));
        if says(|says| matches!(says, Says::Approved(_))).is_some() {
            return None;
        }
        let first = says(|says| matches!(says, Says::Other(_)))
            .or_else(|| says(|says| matches!(says, Says::Unknown)))
            .or_else(|| self.0.first());
        let Some(Licence { file, says }) = first else {
            return Some(
                "the repository has no licence; commit a file LICENSE with the text of one of \
                 https://opensource.org/licenses"
                    .to_owned(),
            );
        };
        Some(match says {
            Says::Other(name) | Says::Approved(name) => {
                format!(
                    "{file} is {name}, which the OSI has not approved; choose one of https://opensource.org/licenses"
                )
            }
            Says::Unknown => {
                format!("{file} is no licence that is known; put the whole text of one there, as its authors wrote it")
            }
            Says::Unreadable(why) => format!("{file} {why}; commit a file LICENSE with the text of a licence"),
        })
    }
}

/// What is told of a folder whose files say this, where `file` is the one that is missing: what would be held is an error.
#[must_use]
pub fn judged(wanted: Wanted, licences: &Licences, file: &str) -> Report {
    let mut findings = Findings::new(file);
    let severity = match wanted {
        Wanted::Ignore => return findings.finish(),
        Wanted::Warn => Severity::Note,
        Wanted::Hold => Severity::Error,
    };
    if let Some(why) = licences.lacking() {
        let (message, next) = why.split_once("; ").unwrap_or((&why, "commit a file LICENSE"));
        let mut hint = next.to_owned();
        hint.get_mut(..1).map(str::make_ascii_uppercase);
        let found = findings.add(Code::NoLicence, None, message);
        found.severity = severity;
        found.with_hint(format!("{hint}."));
    }
    findings.finish()
}

/// Whether a file of this name, at the root of a repository, is where its licence stands.
#[must_use]
pub fn is_licence_file(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["LICENSE", "LICENCE", "COPYING", "UNLICENSE"].iter().any(|stem| {
        let rest = upper.strip_prefix(stem);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn licences(all: &[(&str, Says)]) -> Licences {
        Licences(all.iter().map(|(file, says)| Licence { file: (*file).to_owned(), says: says.clone() }).collect())
    }

    #[test]
    fn one_approved_licence_is_enough_and_without_one_it_is_said_what_to_do() {
        let mit = ("LICENSE", Says::Approved("MIT".to_owned()));
        let art = ("LICENSES/CC-BY-4.0.txt", Says::Other("CC-BY-4.0".to_owned()));
        let own = ("COPYING", Says::Unknown);
        let large = ("LICENSE.txt", Says::Unreadable("is larger than 131072 bytes".to_owned()));
        assert_eq!(licences(&[own.clone(), mit, art.clone()]).lacking(), None);
        for (found, begins) in [
            (licences(&[]), "the repository has no licence; commit a file LICENSE"),
            (licences(&[own.clone(), art]), "LICENSES/CC-BY-4.0.txt is CC-BY-4.0, which the OSI has not approved"),
            (licences(&[large.clone(), own]), "COPYING is no licence that is known"),
            (licences(&[large]), "LICENSE.txt is larger than 131072 bytes; commit"),
        ] {
            let told = found.lacking().expect("something is missing");
            assert!(told.starts_with(begins), "{told}");
        }
    }

    #[test]
    fn licences_stand_under_the_names_that_people_use() {
        for name in ["LICENSE", "license.md", "LICENCE.txt", "COPYING", "COPYING.LESSER", "LICENSE-MIT", "UNLICENSE"] {
            assert!(is_licence_file(name), "{name}");
        }
        for name in ["LICENSES", "licensed.py", "README", "COPYINGS", "src/LICENSE", ""] {
            assert!(!is_licence_file(name), "{name}");
        }
    }
}
