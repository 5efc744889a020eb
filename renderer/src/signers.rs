//! Who may sign commits: files in `signers/` of the config repository, and whether they are asked for.
//!
//! A file holds either SSH keys, a line each as `ssh-keygen` reads `gpg.ssh.allowedSignersFile`, or OpenPGP public keys in
//! armor. What is not understood is refused by name and counts for nothing: a key that is missing holds a commit, and lets
//! none through.

mod line;
mod settings;
mod time;

pub use settings::{Commits, SignedCommits, idle, place_of, told_idle, wanted};
pub(crate) use settings::{Whose, commits};

use crate::diagnostic::{Code, Findings, Place, Report};
use crate::length_prefixed::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The folder of such files, beside platform.yaml.
pub const FOLDER: &str = "signers";
/// Largest of them, in bytes: 600 SSH keys, or 20 of OpenPGP. All of it is published with the platform or the tool.
pub const MAX_FILE_BYTES: usize = 64 << 10;
/// Most of them that a platform or a tool may name.
pub const MAX_FILES: usize = 4;

/// Files of keys by their names in `signers/`, with their texts; the text of one that is not there is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signers(pub BTreeMap<String, String>);

/// One SSH key that may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Whose it is: the principals as written.
    pub principals: String,
    /// `SHA256:` and the hash of the key.
    pub fingerprint: String,
    /// What it may sign; none is everything.
    pub namespaces: Option<Vec<String>>,
    /// From when, in seconds since 1970.
    pub valid_after: Option<i64>,
    /// Until when.
    pub valid_before: Option<i64>,
    /// In which file.
    pub file: String,
}

impl Signers {
    /// Whether none are named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All SSH keys of all files.
    #[must_use]
    pub fn ssh(&self) -> Vec<Signer> {
        self.0.iter().filter(|(_, text)| !is_openpgp(text)).flat_map(|(name, text)| read(name, text).0).collect()
    }

    /// The texts with OpenPGP keys, by file.
    pub fn openpgp(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        texts.filter(|(_, text)| is_openpgp(text))
    }

    /// Other keys have another one: half a sha256 in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.0.iter().flat_map(|(name, text)| [name, text]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex(&hash.finalize()[..16])
    }

    /// The files, as people are told of them: `signers/operators`.
    #[must_use]
    pub fn named(&self) -> String {
        self.0.keys().map(|name| format!("{FOLDER}/{name}")).collect::<Vec<_>>().join(", ")
    }

    /// The same files with the texts that were found; names whose file is missing are returned.
    #[must_use]
    pub fn filled(&self, found: &BTreeMap<String, String>) -> (Self, Vec<String>) {
        let text = |name: &String| (name.clone(), found.get(name).cloned().unwrap_or_default());
        let missing = self.0.keys().filter(|name| !found.contains_key(*name)).cloned().collect();
        (Self(self.0.keys().map(text).collect()), missing)
    }
}

/// Whether a text holds OpenPGP keys, and not SSH keys.
#[must_use]
pub fn is_openpgp(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("-----BEGIN PGP"))
}

/// The SSH keys of a text, and what is wrong with it. Of OpenPGP keys only what needs no cryptography is looked at.
#[must_use]
pub fn read(file: &str, text: &str) -> (Vec<Signer>, Report) {
    let (mut findings, mut signers) = (Findings::new(file), Vec::new());
    let private = |line: &str| line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY");
    for (number, text) in (1u32..).zip(text.lines()).filter(|(_, line)| private(line)) {
        findings
            .add(Code::BadSigners, whole(number, text), "this is a private key")
            .with_hint("Write the public key in its place, and make a new pair: this one is in the git history.");
    }
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {MAX_FILE_BYTES} bytes");
        findings.add(Code::BadSigners, None, message).with_hint("Name several files, at most four, or fewer keys.");
    } else if !is_openpgp(text) {
        let lines = (1u32..).zip(text.lines()).filter(|(_, line)| !private(line));
        signers.extend(lines.filter_map(|(number, text)| line::signer(file, (number, text), &mut findings)));
        if signers.is_empty() && findings.blamed().is_empty() {
            findings.add(Code::BadSigners, None, "the file holds no key").with_hint(
                "Write a line `name@example.org ssh-ed25519 AAAA...`, or a public key as `gpg --armor --export` prints it.",
            );
        }
    }
    (signers, findings.finish())
}

fn whole(line: u32, text: &str) -> Place {
    Place { line, column: 1, width: u32::try_from(text.chars().count().clamp(1, 80)).unwrap_or(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for this test; the fingerprint is what `ssh-keygen -l` says of it.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    const PRINT: &str = "SHA256:RXm/ruZ0eTzRXKwi1AQEDynB0VgHQ2ac9KPSFdf/YnA";

    fn told(text: &str) -> (Vec<Signer>, Vec<String>) {
        let (signers, report) = read("signers/x", text);
        let place = |place: Place| format!("{}:{}", place.line, place.column);
        let line =
            |found: &crate::Diagnostic| format!("{} {}", found.place.map_or("-".to_owned(), place), found.message);
        (signers, report.diagnostics.iter().map(line).collect())
    }

    #[test]
    fn lines_are_read_as_ssh_keygen_reads_them() {
        let text = format!(
            "# who may sign\n\n  ada@example.org,*@example.com {KEY} a comment\n\
             \"bob b\" namespaces=\"git,file\",valid-after=\"20260101\",valid-before=20270101Z {KEY}\n"
        );
        let (signers, told) = told(&text);
        assert_eq!(told, [""; 0]);
        let short: Vec<_> = signers
            .iter()
            .map(|s| (s.principals.as_str(), s.namespaces.clone(), s.valid_after, s.valid_before))
            .collect();
        let both = Some(vec!["git".to_owned(), "file".to_owned()]);
        let [ada, bob] = short.as_slice() else { unreachable!("{short:?}") };
        assert_eq!(*ada, ("ada@example.org,*@example.com", None, None, None));
        assert_eq!(*bob, ("bob b", both, Some(1_767_225_600), Some(1_798_761_600)));
        assert!(signers.iter().all(|signer| signer.fingerprint == PRINT), "{signers:?}");
    }

    #[test]
    fn what_is_not_understood_is_told_by_line_and_column_and_lets_nobody_sign() {
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAIQDIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyA==";
        for (line, at) in [
            (format!("a cert-authority {KEY}"), "1:3 `cert-authority` is not supported"),
            (format!("a namespaces=\"g*\" {KEY}"), "1:3 `g*` is a pattern"),
            (format!("a valid-befor=\"20260101\" {KEY}"), "1:3 `valid-befor` is no option"),
            (format!("a valid-before=\"tomorrow\" {KEY}"), "1:3 `tomorrow` is no time"),
            ("a ssh-ed25519".to_owned(), "1:1 the line holds no key"),
            ("a".to_owned(), "1:1 the line holds no key"),
            (KEY.to_owned(), "1:1 the line holds no key"),
            (KEY.replace("ssh-ed25519 ", "a ssh-ed2551 "), "1:3 `ssh-ed2551` is no type"),
            (KEY.replace("ssh-ed25519 ", "a ssh-rsa "), "1:11 this is no key of type ssh-rsa"),
            (KEY.replace("ssh-ed25519 ", "a ssh-dss "), "1:3 `ssh-dss` signs with SHA-1"),
            (
                KEY.replace("ssh-ed25519 ", "a ssh-ed25519-cert-v01@openssh.com "),
                "1:3 `ssh-ed25519-cert-v01@openssh.com` is a c",
            ),
            ("a ssh-ed25519 AAAA".to_owned(), "1:15 this is no key"),
            (format!("a {rsa}"), "1:11 an RSA key of 256 bits"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "1:1 this is a private key"),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----".to_owned(), "1:1 this is a private key"),
            ("# nobody".to_owned(), "- the file holds no key"),
            (String::new(), "- the file holds no key"),
            (format!("a {KEY}\n").repeat(1000), "- the file is larger than 65536 bytes"),
        ] {
            let (signers, told) = told(&line);
            let short: String = line.chars().take(60).collect();
            assert!(told.len() == 1 && told[0].starts_with(at), "{short}: {told:?}");
            assert_eq!(signers, [], "{short}");
        }
    }
}
