//! What is known of a commit besides what it says: facts, read by whoever reads repositories, and judged by pure code.

use crate::diagnostic::on_one_line;
use crate::licence::Licences;

/// Characters of a name that are shown: nobody's is longer, and a hostile one says no more.
const MAX_AUTHOR_CHARS: usize = 60;

/// Facts of one commit. None of them is part of what the commit says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The author's name as git has it: bounded, and fit to stand in a line of ours. Whoever makes a commit writes it, so
    /// it tells whom to ask and proves nothing. The address is left out: who wrote what is seen by more people than an
    /// address was given to.
    pub author: Option<String>,
    /// Whether it is signed, and with which key.
    pub signature: Signature,
    /// The licences it carries; none where nobody has looked.
    pub licences: Option<Licences>,
}

/// What a commit's signature is worth, by itself: who may sign is another question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Signature {
    /// Nobody has looked.
    #[default]
    Unread,
    /// It has none.
    Absent,
    /// It has one, which nobody has verified yet.
    Unverified(Box<Signed>),
    /// Whoever holds this key has signed this very commit.
    Good(SigningKey),
    /// Only its key could tell, and none of the signers has it.
    UnknownKey {
        /// Its id or fingerprint.
        key: String,
    },
    /// It proves nothing.
    Worthless {
        /// Whose it is said to be.
        key: Option<String>,
        /// Why, as a fragment.
        why: String,
    },
}

/// A signature as it stands in a commit, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The commit's bytes but for the signature.
    pub payload: Vec<u8>,
    /// The signature, in armor.
    pub armor: Vec<u8>,
}

/// The key of a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// A key that came with the signature: whether somebody lists it is another question.
    Ssh {
        /// `SHA256:` and the hash of the key.
        fingerprint: String,
        /// `ssh-ed25519`.
        algorithm: String,
    },
    /// A key of a signers' file.
    OpenPgp {
        /// The fingerprint of the key's owner, in capital hexadecimal digits.
        fingerprint: String,
        /// In seconds since 1970; none where it does not end.
        valid_before: Option<i64>,
        /// [`crate::signers::Signers::digest`] of the files it was looked for in.
        signers: String,
    },
}

/// The name of a commit's author, out of its bytes; none where there is nothing to read.
#[must_use]
pub fn author(name: &[u8]) -> Option<String> {
    // A character has at most four bytes, and escaping makes no text shorter.
    let head = &name[..name.len().min(4 * MAX_AUTHOR_CHARS + 4)];
    let text = String::from_utf8_lossy(head);
    // It is quoted where it stands.
    let safe = on_one_line(text.trim()).replace('"', "'");
    let mut shown: String = safe.chars().take(MAX_AUTHOR_CHARS).collect();
    if safe.chars().nth(MAX_AUTHOR_CHARS).is_some() || head.len() < name.len() {
        shown.push_str("...");
    }
    (!safe.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::steers;

    #[test]
    fn a_hostile_name_of_an_author_is_bounded_and_steers_nothing() {
        for (name, shown) in [
            ("Ada Lovelace", Some("Ada Lovelace")),
            ("  gr\u{fc}n\n", Some("gr\u{fc}n")),
            ("a\", by platform", Some("a', by platform")),
            ("\u{1b}]0;x\u{7}", Some("\\u{1b}]0;x\\u{7}")),
            ("a\nb", Some("a\\u{a}b")),
            (" \t", None),
            ("", None),
        ] {
            assert_eq!(author(name.as_bytes()).as_deref(), shown, "{name:?}");
        }
        assert_eq!(author(b"\xff\xfe").as_deref(), Some("\u{fffd}\u{fffd}"));
        for hostile in ["\u{1b}[2J", "\u{202e}", "x", "\u{1f600}", "\u{7}a"] {
            let shown = author(hostile.repeat(1 << 20).as_bytes()).expect("a name");
            assert!(shown.chars().count() <= MAX_AUTHOR_CHARS + 3 && !shown.contains(steers), "{shown:?}");
        }
    }
}
