//! What a ciphertext must look like, as far as that can be told without a key.

use super::limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
const VERSION: &[u8] = b"age-encryption.org/v1\n";
/// A body has at least a nonce and the mark of its one chunk.
const LEAST_BODY: usize = 16 + 16;

/// One armored `age` ciphertext: whole, of this version, for a bounded number of recipients, without a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(String);

/// Why a text is no ciphertext that anybody should try a key on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not armored: probably the value itself.
    #[error("is not encrypted")]
    Clear,
    /// Cut off, or changed by hand.
    #[error("is cut off or garbled: it is no whole age ciphertext")]
    Garbled,
    /// Of another version of age.
    #[error("is not of the format age-encryption.org/v1")]
    Version,
    /// Encrypted with a passphrase.
    #[error("is encrypted with a passphrase, which no platform knows")]
    Passphrase,
    /// For nobody with an X25519 key.
    #[error("is encrypted for no X25519 key (`age1...`)")]
    NoRecipient,
    /// Too many recipients.
    #[error("is encrypted for more than {} recipients", limits::STANZAS)]
    Recipients,
    /// Too long.
    #[error("has {0} bytes; at most {most} are allowed", most = limits::CIPHERTEXT_BYTES)]
    TooLong(usize),
}

impl Sealed {
    /// Reads one.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(text: &str) -> Result<Self, Flaw> {
        if text.len() > limits::CIPHERTEXT_BYTES {
            return Err(Flaw::TooLong(text.len()));
        }
        let inner = text.trim().strip_prefix(BEGIN).ok_or(Flaw::Clear)?;
        let inner = inner.strip_suffix(END).ok_or(Flaw::Garbled)?;
        let base64: String = inner.lines().map(str::trim).collect();
        let bytes = STANDARD.decode(base64).map_err(|_| Flaw::Garbled)?;
        let body = header(bytes.strip_prefix(VERSION).ok_or(Flaw::Version)?)?;
        if body.len() < LEAST_BODY {
            return Err(Flaw::Garbled);
        }
        Ok(Self(inner_to_armor(inner)))
    }

    /// The armored text, with a line end.
    #[must_use]
    pub fn armored(&self) -> &str {
        &self.0
    }
}

/// As `age` writes it, whatever the lines were indented by.
fn inner_to_armor(inner: &str) -> String {
    let lines: Vec<&str> = inner.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
}

/// Goes over the recipients; answers with what follows the header.
fn header(bytes: &[u8]) -> Result<&[u8], Flaw> {
    let (mut rest, mut stanzas, mut ours) = (bytes, 0, 0);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Flaw::Garbled)?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if line.starts_with(b"---") {
            return if ours == 0 { Err(Flaw::NoRecipient) } else { Ok(rest) };
        }
        if let Some(stanza) = line.strip_prefix(b"-> ") {
            stanzas += 1;
            ours += usize::from(stanza.starts_with(b"X25519 "));
            if stanza.starts_with(b"scrypt ") {
                return Err(Flaw::Passphrase);
            }
            if stanzas > limits::STANZAS {
                return Err(Flaw::Recipients);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armored(header: &str, body: usize) -> String {
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(std::iter::repeat_n(7, body));
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(bytes))
    }

    const ONE: &str = "age-encryption.org/v1\n-> X25519 abc\nbody\n--- mac\n";

    #[test]
    fn what_is_no_whole_ciphertext_is_refused_before_a_key_is_tried() {
        let many = format!("age-encryption.org/v1\n{}--- mac\n", "-> X25519 a\nb\n".repeat(10_000));
        let good = armored(ONE, 40);
        for (text, flaw) in [
            ("hunter2".to_owned(), Flaw::Clear),
            (String::new(), Flaw::Clear),
            (good[..good.len() - 20].to_owned(), Flaw::Garbled),
            (good.replace('=', ""), Flaw::Garbled),
            (format!("{BEGIN}\nnot base64!\n{END}"), Flaw::Garbled),
            (armored(ONE, 31), Flaw::Garbled),
            (armored("age-encryption.org/v1\n-> X25519 abc\nbody\n", 0), Flaw::Garbled),
            (armored("age-encryption.org/v2\n-> X25519 abc\nbody\n--- mac\n", 40), Flaw::Version),
            (armored("age-encryption.org/v1\n-> scrypt abc 30\nbody\n--- mac\n", 40), Flaw::Passphrase),
            (armored("age-encryption.org/v1\n-> ssh-rsa abc\nbody\n--- mac\n", 40), Flaw::NoRecipient),
            (armored(&many[..40_000], 0), Flaw::Recipients),
            (armored(&many, 40), Flaw::TooLong(armored(&many, 40).len())),
        ] {
            assert_eq!(Sealed::read(&text), Err(flaw), "{}", text.chars().take(120).collect::<String>());
        }
        let indented = good.replace('\n', "\n    ");
        assert_eq!(Sealed::read(&indented).expect("it is whole").armored(), good);
    }
}
