//! The file's shape, read and written.

use super::limits;
use super::record::FORMAT;
use super::sealed::{Flaw, Sealed};
use crate::config::fields;
use crate::decode::{Level, Section, text, texts, whole};
use crate::diagnostic::{Code, Findings, Place, Report, shown};
use crate::yaml::{self, Entry, Node};
use std::collections::BTreeMap;

const KEYS: &[&str] = &["format", "platform", "recipients", "secrets"];

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsFile {
    /// Name of the platform that the values are for.
    pub platform: String,
    /// Public keys that new values are encrypted to.
    pub recipients: Vec<String>,
    /// The values, by variable.
    pub values: BTreeMap<String, Standing>,
}

/// How one value stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where its key stands.
    pub place: Place,
    /// The ciphertext, or what is wrong with it.
    pub sealed: Result<Sealed, Flaw>,
}

/// Reads a file. None where it can't be used as a whole; else what is good in it, and what is not is in the report.
#[must_use]
pub fn parse(bytes: &[u8], file: &str) -> (Option<SecretsFile>, Report) {
    let mut findings = Findings::new(file);
    let read = if bytes.len() > limits::FILE_BYTES {
        let message = format!("the file has {} bytes; at most {} are allowed", bytes.len(), limits::FILE_BYTES);
        findings.add(Code::FileTooLarge, None, message).with_hint("It holds at most 50 values for 20 recipients: remove those that nobody uses, by `toolforge secrets rm` or by hand.");
        None
    } else {
        yaml::read(bytes, &mut findings).and_then(|root| whole_file(&root, &mut findings))
    };
    (read, findings.finish())
}

fn whole_file(root: &Node, findings: &mut Findings) -> Option<SecretsFile> {
    let level = Level {
        title: "the file",
        keys: KEYS.to_vec(),
        advise: |_| None,
        example: "secrets: {API_KEY: ...}",
        lenient: false,
    };
    let section = Section::open(root, root.place, &level, findings)?;
    whole(section.required("format", findings)?, 1..=i64::from(FORMAT), findings)?;
    let platform = text(section.required("platform", findings)?, findings)?.to_owned();
    let recipients = section.get("recipients").map(|entry| recipients(entry, findings)).unwrap_or_default();
    let values = match section.get("secrets") {
        Some(entry) => values(entry, findings)?,
        None => BTreeMap::new(),
    };
    Some(SecretsFile { platform, recipients, values })
}

fn recipients(entry: &Entry, findings: &mut Findings) -> Vec<String> {
    let mut good = Vec::new();
    for (written, node) in texts(entry, limits::RECIPIENTS, findings) {
        if is_recipient(written) {
            good.push(written.to_owned());
        } else if written.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            // Whatever follows is not shown, and is lost.
            findings
                .add(Code::BadCiphertext, node.place, "this is an identity, the secret half of a key")
                .with_hint("Make a new one and rotate: this one is in the git history. Only `age1...` belongs here.");
        } else {
            findings
                .add(Code::BadCiphertext, node.place, "this is no X25519 recipient of age")
                .with_hint("Write a public key, `age1` and 58 more letters and digits.");
        }
    }
    good
}

/// Whether a text has the form of an X25519 recipient; its checksum is seen to when it is used.
pub(crate) fn is_recipient(text: &str) -> bool {
    text.len() == 62 && text.starts_with("age1") && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn values(entry: &Entry, findings: &mut Findings) -> Option<BTreeMap<String, Standing>> {
    let mut all = BTreeMap::new();
    let Some(mapping) = entry.value.mapping() else {
        let message =
            format!("`secrets` must be a mapping of names to ciphertexts, but is {}", entry.value.described());
        findings.add(Code::WrongType, entry.value.place, message).with_hint("Let `toolforge secrets set` write it.");
        return None;
    };
    for (key, _, second) in &mapping.duplicates {
        findings.add(Code::DuplicateKey, *second, format!("{} stands here again", shown(key)));
    }
    if let Some(beyond) = mapping.entries.get(limits::VALUES) {
        let message =
            format!("the file holds {} values; at most {} are allowed", mapping.entries.len(), limits::VALUES);
        findings.add(Code::TooMany, beyond.key_place, message);
    }
    for item in mapping.entries.iter().take(limits::VALUES) {
        if !fields::is_variable(&item.key) || item.key.len() > limits::KEY_BYTES {
            findings.add(
                Code::BadSecretName,
                item.key_place,
                format!("{} is no name of an environment variable", shown(&item.key)),
            );
            continue;
        }
        let sealed = sealed(item, findings);
        all.insert(item.key.clone(), Standing { place: item.key_place, sealed });
    }
    Some(all)
}

fn sealed(item: &Entry, findings: &mut Findings) -> Result<Sealed, Flaw> {
    // A text that YAML reads as a number is no ciphertext either, and is not to be shown.
    let read = item.value.scalar().map_or(Err(Flaw::Clear), |scalar| Sealed::read(&scalar.text));
    if let Err(flaw) = &read {
        findings.add(Code::BadCiphertext, item.key_place, flaw.told(&item.key)).with_hint(flaw.hint(&item.key));
    }
    read
}

impl Flaw {
    /// What is wrong with the value of this key.
    #[must_use]
    pub fn told(&self, key: &str) -> String {
        format!("{} {self}", shown(key))
    }

    /// A sentence with a next step.
    #[must_use]
    pub fn hint(&self, key: &str) -> String {
        match self {
            Self::Clear => {
                format!("Set it by `toolforge secrets set {key}`, with another value: this one is in the git history.")
            }
            _ => format!("Set it again: `toolforge secrets set {key}`."),
        }
    }
}

impl SecretsFile {
    /// The file's text. What had a flaw is not written: it was told, and a person decided to write all the same.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = format!(
            "# Values that only the platform can read; written by `toolforge secrets`, safe to commit.\nformat: {FORMAT}\nplatform: {}\n",
            self.platform
        );
        if !self.recipients.is_empty() {
            text.push_str("recipients:\n");
            self.recipients.iter().for_each(|recipient| text.push_str(&format!("  - {recipient}\n")));
        }
        let sealed = self.values.iter().filter_map(|(key, standing)| Some((key, standing.sealed.as_ref().ok()?)));
        for (at, (key, sealed)) in sealed.enumerate() {
            text.push_str(if at == 0 { "secrets:\n" } else { "" });
            text.push_str(&format!("  {key}: |\n"));
            sealed.armored().lines().for_each(|line| text.push_str(&format!("    {line}\n")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn armored() -> String {
        let mut bytes = b"age-encryption.org/v1\n-> X25519 abc\nbody\n--- mac\n".to_vec();
        bytes.extend([7; 40]);
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!("-----BEGIN AGE ENCRYPTED FILE-----\n{text}\n-----END AGE ENCRYPTED FILE-----\n")
    }

    fn file() -> SecretsFile {
        let sealed = Sealed::read(&armored());
        let place = Place { line: 7, column: 3, width: 7 };
        let values = [("API_KEY".to_owned(), Standing { place, sealed })].into();
        SecretsFile { platform: "tools".into(), recipients: vec![RECIPIENT.into()], values }
    }

    #[test]
    fn a_written_file_reads_back() {
        let text = file().to_yaml();
        let (read, report) = parse(text.as_bytes(), super::super::FILE);
        assert_eq!((read, report.diagnostics), (Some(file()), Vec::new()), "{text}");
        let empty = SecretsFile { platform: "tools".into(), ..SecretsFile::default() };
        assert_eq!(parse(empty.to_yaml().as_bytes(), "f").0, Some(empty));
    }

    /// Codes with line and column, of the file with one text in it changed.
    fn told(from: &str, to: &str) -> Vec<String> {
        let text = file().to_yaml().replace(from, to);
        let (_, report) = parse(text.as_bytes(), super::super::FILE);
        let printed = crate::diagnostic::print(&report, &[(super::super::FILE, text.as_bytes())], false);
        assert!(!printed.contains("canary"), "{printed}");
        let at =
            |place: Option<Place>| place.map_or(String::new(), |place| format!("{}:{} ", place.line, place.column));
        report.diagnostics.iter().map(|found| format!("{}{}", at(found.place), found.code)).collect()
    }

    #[test]
    fn every_flaw_is_told_at_its_place_and_no_value_is_shown() {
        let long = "    canary\n".repeat(30_000);
        for (from, to, expected) in [
            ("format: 1", "format: 2", &["2:9 out-of-range"][..]),
            ("platform: tools\n", "", &["2:1 missing-key"]),
            ("API_KEY: |", "API_KEY: canary\n  OTHER: |", &["7:3 bad-ciphertext"]),
            ("API_KEY: |", "OTHER: {canary: canary}\n  API_KEY: |", &["7:3 bad-ciphertext"]),
            ("-----END AGE ENCRYPTED FILE-----", "canary", &["7:3 bad-ciphertext"]),
            ("API_KEY", "api-key", &["7:3 bad-secret-name"]),
            (RECIPIENT, "AGE-SECRET-KEY-1CANARYCANARYCANARY2canary", &["5:5 bad-ciphertext"]),
            (RECIPIENT, "ssh-ed25519", &["5:5 bad-ciphertext"]),
            ("secrets:\n", &format!("secrets:\n  BIG: |\n{long}"), &["file-too-large"]),
            ("secrets:", "values: canary\nsecrets:", &["6:1 unknown-key"]),
        ] {
            assert_eq!(told(from, to), expected, "{from} -> {}", to.chars().take(40).collect::<String>());
        }
    }
}
