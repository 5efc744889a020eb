//! What is done to the text of an address.

use std::path::{Component, Path, PathBuf};

/// Replaces everything between `://` and the last `@`: a password may hold a `/`. Where there is no `@` after all, what
/// would be a port and is no number could be the password.
pub(super) fn mask(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let ended = rest.rfind('@').map(|at| at + 1).max(rest.rfind("%40").map(|at| at + 3));
    let host = match ended {
        Some(ended) => format!("***@{}", &rest[ended..]),
        None if scheme.is_empty() || !holds_more_than_a_port(rest) => return text.to_owned(),
        None => "***".to_owned(),
    };
    if scheme.is_empty() { host } else { format!("{scheme}://{host}") }
}

fn holds_more_than_a_port(rest: &str) -> bool {
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    after_host.split_once(':').is_some_and(|(_, port)| !port.chars().all(|c| c.is_ascii_digit()))
}

pub(super) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Resolves `.` and `..` in the text alone, so that equal paths compare equal.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}
