//! The door to the `age` crate: keys from text, sealing and opening. X25519 alone: no passphrases, no SSH keys, no plugins
//! that would run programs.

use age::{DecryptError, Decryptor, Encryptor, x25519};
use renderer::Secret;
use renderer::secrets::{Record, Refusal, Sealed, limits};
use std::io::{Read as _, Write as _};
use zeroize::Zeroizing;

/// Secret halves of keys. There is no way to print them but [`Identities::one_to_text`].
#[derive(Clone, Default)]
pub struct Identities(Vec<x25519::Identity>);

/// Public halves of keys, at least one.
#[derive(Clone)]
pub struct Recipients(Vec<x25519::Recipient>);

/// Why a text holds no keys. Nothing of it is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A line is no identity.
    #[error("line {0} is no identity of age (`AGE-SECRET-KEY-1...`)")]
    Identity(usize),
    /// A public key was given in place of a secret one.
    #[error("line {0} is a public key; an identity begins with `AGE-SECRET-KEY-1`")]
    Public(usize),
    /// There is none.
    #[error("it holds no identity of age (`AGE-SECRET-KEY-1...`)")]
    None,
    /// Too many.
    #[error("it holds more than {} identities", limits::RECIPIENTS)]
    TooMany,
    /// A text is no recipient.
    #[error("{0} is no X25519 recipient of age (`age1...`)")]
    Recipient(String),
    /// There is no recipient.
    #[error("there is no recipient to encrypt to")]
    NoRecipient,
}

impl Identities {
    /// Reads identities as `age-keygen` writes them: one a line, comments behind `#`.
    ///
    /// # Errors
    /// Where a line is none, or none is there.
    pub fn read(text: &str) -> Result<Self, BadKey> {
        let mut all = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with("age1") {
                return Err(BadKey::Public(at + 1));
            }
            all.push(line.parse().map_err(|_| BadKey::Identity(at + 1))?);
        }
        match all.len() {
            0 => Err(BadKey::None),
            count if count > limits::RECIPIENTS => Err(BadKey::TooMany),
            _ => Ok(Self(all)),
        }
    }

    /// A new one, by the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(vec![x25519::Identity::generate()])
    }

    /// The first as it is written into a file of identities.
    #[must_use]
    pub fn one_to_text(&self) -> Option<Secret> {
        use age::secrecy::ExposeSecret as _;
        self.0.first().map(|identity| Secret::new(identity.to_string().expose_secret()))
    }

    /// Their public halves.
    #[must_use]
    pub fn public(&self) -> Vec<String> {
        self.0.iter().map(|identity| identity.to_public().to_string()).collect()
    }

    /// What is encrypted in it, judged by nobody yet.
    ///
    /// # Errors
    /// Where none of these is a recipient, or it was changed.
    pub fn open(&self, sealed: &Sealed) -> Result<Record, Refusal> {
        let armor = age::armor::ArmoredReader::new(sealed.armored().as_bytes());
        let decryptor = Decryptor::new_buffered(std::io::BufReader::new(armor)).map_err(|_| Refusal::Damaged)?;
        let keys = self.0.iter().map(|identity| identity as &dyn age::Identity);
        let reader = decryptor.decrypt(keys).map_err(|error| match error {
            DecryptError::NoMatchingKeys => Refusal::NoIdentity,
            _ => Refusal::Damaged,
        })?;
        // Room for all of it, so that it never moves and leaves a copy behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(limits::CIPHERTEXT_BYTES));
        let most = limits::CIPHERTEXT_BYTES as u64;
        reader.take(most).read_to_end(&mut plaintext).map_err(|_| Refusal::Damaged)?;
        Record::read(&plaintext)
    }
}

impl Recipients {
    /// Reads them.
    ///
    /// # Errors
    /// Where one is none, or there is none.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadKey> {
        let read = |text: &str| text.parse().map_err(|_| BadKey::Recipient(renderer::diagnostic::shown(text)));
        let all = texts.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() { Err(BadKey::NoRecipient) } else { Ok(Self(all)) }
    }

    /// Encrypts a record to all of them.
    ///
    /// # Errors
    /// Where the crate fails: it has no randomness, or there are more recipients than a ciphertext may have.
    pub fn seal(&self, record: &Record) -> Result<Sealed, SealError> {
        let keys = self.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(keys).map_err(|error| SealError(error.to_string()))?;
        let json = record.to_json();
        let failed = |error: std::io::Error| SealError(error.to_string());
        let armor = age::armor::ArmoredWriter::wrap_output(Vec::new(), age::armor::Format::AsciiArmor);
        let mut writer = encryptor.wrap_output(armor.map_err(failed)?).map_err(failed)?;
        writer.write_all(json.reveal().as_bytes()).map_err(failed)?;
        let bytes = writer.finish().and_then(age::armor::ArmoredWriter::finish).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|error| SealError(error.to_string()))?;
        Sealed::read(&text).map_err(|flaw| SealError(format!("what was encrypted {flaw}")))
    }
}

/// A value could not be encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealError(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let (platform, tools, key) = ("tools".to_owned(), vec!["a".to_owned()], "K".to_owned());
        Record { platform, tools, key, value: Secret::new("canary") }
    }

    fn recipients(of: &[&Identities]) -> Recipients {
        let public: Vec<String> = of.iter().flat_map(|one| one.public()).collect();
        Recipients::read(public.iter().map(String::as_str)).expect("recipients")
    }

    #[test]
    fn what_is_sealed_is_opened_by_each_recipient_and_nobody_else() {
        let [one, other, stranger] = std::array::from_fn(|_| Identities::generate());
        let sealed = recipients(&[&one, &other]).seal(&record()).expect("it is sealed");
        assert!(!sealed.armored().contains("canary"));
        for identities in [&one, &other] {
            assert!(identities.open(&sealed).is_ok_and(|record| record.value.reveal() == "canary"));
        }
        assert_eq!(stranger.open(&sealed).err(), Some(Refusal::NoIdentity));
        let kept = one.one_to_text().expect("a key");
        let file = format!("# created: today\n# public key: {}\n{}\n", one.public()[0], kept.reveal());
        let again = Identities::read(&file).expect("as age-keygen writes it");
        assert!(again.open(&sealed).is_ok());
    }

    #[test]
    fn a_ciphertext_with_one_changed_byte_is_damaged() {
        let one = Identities::generate();
        let sealed = recipients(&[&one]).seal(&record()).expect("it is sealed");
        let lines: Vec<&str> = sealed.armored().lines().collect();
        for at in 1..lines.len() - 1 {
            let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            let swapped = if changed[at].starts_with('A') { "B" } else { "A" };
            changed[at].replace_range(..1, swapped);
            // What is still whole to look at is refused by its own seal.
            let Ok(changed) = Sealed::read(&changed.join("\n")) else { continue };
            let refused = one.open(&changed).err();
            assert!(matches!(refused, Some(Refusal::Damaged | Refusal::NoIdentity)), "{at}: {refused:?}");
        }
    }

    #[test]
    fn keys_are_read_or_refused_without_a_word_of_them() {
        let good = Identities::generate();
        let text = good.one_to_text().expect("a key");
        let cut = &text.reveal()[..40];
        for (text, refused) in [
            ("", BadKey::None),
            ("# nothing\n", BadKey::None),
            (&good.public()[0], BadKey::Public(1)),
            (&format!("\n{cut}\n"), BadKey::Identity(2)),
            (&format!("{}\n", text.reveal()).repeat(21), BadKey::TooMany),
        ] {
            let told = Identities::read(text).err();
            assert!(!format!("{told:?}").contains(cut));
            assert_eq!(told, Some(refused));
        }
        assert_eq!(Recipients::read([]).err(), Some(BadKey::NoRecipient));
        assert_eq!(Recipients::read(["age1x"]).err(), Some(BadKey::Recipient("`age1x`".into())));
    }
}
