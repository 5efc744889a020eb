//! One line of an allowed-signers file: `principals [options] type key [comment]`.

use super::{Signer, time, whole};
use crate::diagnostic::{Code, Findings, Place, nearest, shown};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Keys that may sign.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];
const OPTIONS: [&str; 4] = ["namespaces", "valid-after", "valid-before", "cert-authority"];
/// A shorter RSA key proves nothing any more.
const MIN_RSA_BITS: usize = 2048;

/// A word of a line, and the column it begins at.
#[derive(Debug, Clone, Copy)]
struct Word<'t> {
    text: &'t str,
    at: Place,
}

/// The key of a line; none where there is none, or where it is wrong, which is told.
pub(super) fn signer(file: &str, (number, text): (u32, &str), findings: &mut Findings) -> Option<Signer> {
    let mut words = words(number, text).peekable();
    let principals = words.next().filter(|word| !word.text.starts_with('#'))?;
    let next = words.peek().copied();
    let is_type = |word: &Word<'_>| !word.text.contains('=') && word.text != "cert-authority";
    let options = match next.filter(|word| !is_type(word)) {
        Some(word) => {
            words.next();
            options(word, findings)?
        }
        None => Options::default(),
    };
    let (Some(kind), Some(key)) = (words.next(), words.next()) else {
        findings
            .add(Code::BadSigners, whole(number, text), "the line holds no key")
            .with_hint("Write a name, a key's type and the key: `name@example.org ssh-ed25519 AAAA...`.");
        return None;
    };
    let blob = blob(kind, key, findings)?;
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
    let Options { namespaces, valid_after, valid_before } = options;
    let principals = principals.text.trim_matches('"').to_owned();
    Some(Signer { principals, fingerprint, namespaces, valid_after, valid_before, file: file.to_owned() })
}

#[derive(Default)]
struct Options {
    namespaces: Option<Vec<String>>,
    valid_after: Option<i64>,
    valid_before: Option<i64>,
}

fn options(word: Word<'_>, findings: &mut Findings) -> Option<Options> {
    let mut found = Options::default();
    for option in split(word.text, ',') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = value.trim_matches('"');
        let mut refuse = |message: String, hint: String| {
            findings.add(Code::BadSigners, word.at, message).with_hint(hint);
        };
        match name.to_ascii_lowercase().as_str() {
            "namespaces" => {
                let names: Vec<_> = value.split(',').map(str::to_owned).collect();
                if names.iter().any(|name| name != "*" && name.contains(['*', '?', '!'])) {
                    let message = format!("{} is a pattern, and those are not read here", shown(value));
                    refuse(message, "Write the namespaces out: `namespaces=\"git\"`.".to_owned());
                    return None;
                }
                found.namespaces = Some(names);
            }
            "valid-after" | "valid-before" => {
                let Some(secs) = time::parse(value) else {
                    let message = format!("{} is no time", shown(value));
                    refuse(message, format!("Write `{name}=\"20260131Z\"`: year, month and day, in UTC."));
                    return None;
                };
                let field = if name.eq_ignore_ascii_case("valid-after") {
                    &mut found.valid_after
                } else {
                    &mut found.valid_before
                };
                *field = Some(secs);
            }
            "cert-authority" => {
                let message = "`cert-authority` is not supported: a certificate counts for nothing here".to_owned();
                refuse(message, "Write a line for the key of each who signs.".to_owned());
                return None;
            }
            other => {
                let near = nearest(other, OPTIONS).map(|near| format!("Did you mean `{near}`?"));
                let hint = near.unwrap_or_else(|| "Leave it out.".to_owned());
                refuse(format!("{} is no option of a signer", shown(other)), hint);
                return None;
            }
        }
    }
    Some(found)
}

/// The key's bytes, if they are a key of that type.
fn blob(kind: Word<'_>, key: Word<'_>, findings: &mut Findings) -> Option<Vec<u8>> {
    if !TYPES.contains(&kind.text) {
        let certificate = kind.text.contains("-cert-");
        let (message, hint) = match kind.text {
            "ssh-dss" => ("`ssh-dss` signs with SHA-1, which proves nothing".to_owned(), None),
            _ if certificate => (format!("{} is a certificate, not a key", shown(kind.text)), None),
            other => (format!("{} is no type of a key", shown(other)), nearest(other, TYPES)),
        };
        let hint = hint.map_or("Write a public key such as `ssh-ed25519 AAAA...`.".to_owned(), |near| {
            format!("Did you mean `{near}`?")
        });
        findings.add(Code::BadSigners, kind.at, message).with_hint(hint);
        return None;
    }
    let decoded = STANDARD.decode(key.text).or_else(|_| STANDARD_NO_PAD.decode(key.text)).ok();
    let found = decoded.filter(|blob| part(blob).is_some_and(|(name, _)| name == kind.text.as_bytes()));
    let Some(blob) = found else {
        findings
            .add(Code::BadSigners, key.at, format!("this is no key of type {}", kind.text))
            .with_hint("Copy the whole line of the file that ends in `.pub`.");
        return None;
    };
    match rsa_bits(&blob) {
        Some(bits) if bits < MIN_RSA_BITS => {
            let message = format!("an RSA key of {bits} bits proves nothing");
            findings.add(Code::BadSigners, key.at, message).with_hint("Make another key: `ssh-keygen -t ed25519`.");
            None
        }
        _ => Some(blob),
    }
}

/// The first of the parts of a key, each with its length before it, and the rest.
fn part(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// How long the modulus of an RSA key is; none where it is another key.
fn rsa_bits(blob: &[u8]) -> Option<usize> {
    let (kind, rest) = part(blob)?;
    let (_exponent, rest) = part(rest).filter(|_| kind == b"ssh-rsa")?;
    let (modulus, _) = part(rest)?;
    let zeros = modulus.iter().position(|byte| *byte != 0).unwrap_or(modulus.len());
    let (first, rest) = modulus.get(zeros..)?.split_first().unwrap_or((&0, &[]));
    Some(8 * (rest.len() + 1) - first.leading_zeros() as usize)
}

/// The words of a line: what stands in quotes is part of one.
fn words(line: u32, text: &str) -> impl Iterator<Item = Word<'_>> {
    let parts = split(text, ' ').into_iter().filter(|part| !part.is_empty());
    parts.map(move |part| {
        // Part of the line, so its offset is how far it begins from there.
        let offset = part.as_ptr().addr() - text.as_ptr().addr();
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let before = text.get(..offset).map_or(0, count);
        Word { text: part, at: Place { line, column: before + 1, width: count(part).clamp(1, 80) } }
    })
}

/// Cut at a character that stands outside of quotes; a tab is a blank.
fn split(text: &str, at: char) -> Vec<&str> {
    let mut quoted = false;
    let outside = |c: char| {
        quoted ^= c == '"';
        !quoted && (c == at || at == ' ' && c == '\t')
    };
    text.split(outside).collect()
}
