//! With what a private repository is asked over ssh. A key is for one repository: that of the tool it was made for, or the
//! one that its owner names beside it. No agent is asked, and no file of whoever runs us is read.

use super::SourceError;
use super::url::{RepositoryKey, RepositoryUrl};
use crate::dialer::Secret;
use futures::future::BoxFuture;
use renderer::ToolName;
use renderer::platform::{KnownHost, fingerprint};
use renderer::request::{HOST_SSH_KEY, KNOWN_HOSTS, SSH_KEY, SSH_KEY_HOST};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use zeroize::Zeroizing;

/// Keys of one repository: the newest, and those that may not have been replaced at the git host yet.
pub const MAX_KEYS: usize = 3;
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

/// Private keys of one repository, the newest first. The keys are wiped with the last clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SshKeys(Arc<[Arc<PrivateKey>]>);

/// Why a text holds no keys. It is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSshKey {
    /// There is none in it.
    #[error("it holds no private key in OpenSSH's format")]
    None,
    /// There is something else in it.
    #[error("it holds something that is no private key in OpenSSH's format")]
    Garbage,
    /// Nobody is there who could type the passphrase.
    #[error("its private key is encrypted with a passphrase")]
    Encrypted,
    /// More than a server would look at.
    #[error("it holds more than {MAX_KEYS} private keys")]
    TooMany,
}

impl SshKeys {
    /// Reads keys as `ssh-keygen` writes them, one after another.
    ///
    /// # Errors
    /// Where there is none, or something else.
    pub fn read(text: &Secret) -> Result<Self, BadSshKey> {
        let mut keys = Vec::new();
        let mut rest = text.reveal().trim();
        while !rest.is_empty() {
            let end = rest.find(END).ok_or(BadSshKey::Garbage)? + END.len();
            let key = PrivateKey::from_openssh(&rest.as_bytes()[..end]).map_err(|_| BadSshKey::Garbage)?;
            if key.is_encrypted() {
                return Err(BadSshKey::Encrypted);
            }
            keys.push(Arc::new(key));
            rest = rest[end..].trim_start();
        }
        match keys.len() {
            0 => Err(BadSshKey::None),
            1..=MAX_KEYS => Ok(Self(keys.into())),
            _ => Err(BadSshKey::TooMany),
        }
    }

    /// A new Ed25519 key; `comment` says to people whose it is.
    #[must_use]
    pub fn generate(comment: &str) -> Self {
        let seed = Zeroizing::new(rand::random::<[u8; 32]>());
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
        let key = PrivateKey::new(pair, comment).expect("an Ed25519 key needs no further check");
        Self(Arc::new([Arc::new(key)]))
    }

    /// A new key before those that are there; what is more than [`MAX_KEYS`] goes.
    #[must_use]
    pub fn rotated(&self, comment: &str) -> Self {
        let Self(newest) = Self::generate(comment);
        Self(newest.iter().chain(self.0.iter()).take(MAX_KEYS).cloned().collect())
    }

    /// As [`SshKeys::read`] reads them: for the Secret that holds them, and nothing else.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        let all: Vec<_> = self.iter().map(|key| key.to_openssh(LineEnding::LF).expect("a key that was read")).collect();
        let mut text = Zeroizing::new(String::with_capacity(all.iter().map(|one| one.len()).sum()));
        all.iter().for_each(|one| text.push_str(one));
        Secret::new(text.as_str())
    }

    /// The public halves, as a git host takes them.
    #[must_use]
    pub fn public(&self) -> Vec<String> {
        self.iter().map(|key| key.public_key().to_openssh().expect("a public key is text")).collect()
    }

    /// What people compare, of each.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        let wire = |key: &Arc<PrivateKey>| key.public_key().to_bytes().expect("a public key has a form");
        self.iter().map(|key| fingerprint(&wire(key))).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<PrivateKey>> {
        self.0.iter()
    }
}

impl fmt::Debug for SshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshKeys({})", self.fingerprints().join(", "))
    }
}

/// What ssh goes by that no platform says: for the config repository, which is read before there is a platform, and for
/// the one repository of a build.
#[derive(Debug, Clone, Default)]
pub struct Ssh {
    /// Keys of hosts, beside those of the platform.
    pub known_hosts: Vec<KnownHost>,
    /// The keys of one repository.
    pub keys: Option<(RepositoryUrl, SshKeys)>,
}

/// What is wrong with a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSsh {
    /// [`SSH_KEY`].
    #[error("{SSH_KEY} can't be used: {0}")]
    Key(#[from] BadSshKey),
    /// A line of [`KNOWN_HOSTS`].
    #[error("line {line} of {KNOWN_HOSTS} is no key of a host: {why}")]
    KnownHost {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Ssh {
    /// For `repository`, out of the environment.
    ///
    /// # Errors
    /// Where a variable holds something else.
    pub fn from_env(repository: &RepositoryUrl, variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadSsh> {
        let named = |name| variable(name).filter(|text| !text.trim().is_empty());
        let is_for_it = named(SSH_KEY_HOST).is_none_or(|host| host.trim() == repository.host());
        let own = named(SSH_KEY).filter(|_| is_for_it);
        let keys = match own.or_else(|| named(HOST_SSH_KEY)) {
            Some(text) => Some((repository.clone(), SshKeys::read(&Secret::new(text))?)),
            None => None,
        };
        let mut known_hosts = Vec::new();
        for (at, line) in variable(KNOWN_HOSTS).unwrap_or_default().lines().enumerate() {
            if !line.trim().is_empty() && !line.starts_with('#') {
                let known = KnownHost::parse(line).map_err(|why| BadSsh::KnownHost { line: at + 1, why })?;
                known_hosts.push(known);
            }
        }
        Ok(Self { known_hosts, keys })
    }
}

/// Looks up the keys for a tool's own repository on this host: none, or why it is not known whether there are any.
pub type KeyLookup = Arc<dyn Fn(ToolName, String) -> BoxFuture<'static, Result<SshKeys, String>> + Send + Sync>;

/// Keys by whom they are for. One that was found is used until a host refuses it.
#[derive(Default)]
pub(super) struct KeyRing {
    given: Option<(RepositoryKey, SshKeys)>,
    lookup: OnceLock<KeyLookup>,
    found: Mutex<HashMap<(ToolName, String), SshKeys>>,
}

impl KeyRing {
    pub(super) fn new(ssh: &Ssh) -> Self {
        let given = ssh.keys.as_ref().map(|(url, keys)| (url.key(), keys.clone()));
        Self { given, ..Self::default() }
    }

    /// From now on; the first one stays.
    pub(super) fn look_up_with(&self, lookup: KeyLookup) {
        drop(self.lookup.set(lookup));
    }

    /// The keys for this repository.
    pub(super) async fn of(&self, url: &RepositoryUrl) -> Result<SshKeys, SourceError> {
        let Some(tool) = url.tool() else {
            let given = self.given.as_ref().filter(|(repository, _)| *repository == url.key());
            let why = || no_key(url, format!("{SSH_KEY} holds none for {}", url.host()));
            return given.map(|(_, keys)| keys.clone()).ok_or_else(why);
        };
        let whose = (tool.clone(), url.host().to_owned());
        if let Some(keys) = self.found().get(&whose) {
            return Ok(keys.clone());
        }
        self.look_up(url, whose).await
    }

    /// Other keys than those that were refused, where there are any by now.
    pub(super) async fn instead_of(&self, refused: &SshKeys, url: &RepositoryUrl) -> Option<SshKeys> {
        let whose = (url.tool()?.clone(), url.host().to_owned());
        self.found().remove(&whose);
        self.look_up(url, whose).await.ok().filter(|keys| keys != refused)
    }

    async fn look_up(&self, url: &RepositoryUrl, whose: (ToolName, String)) -> Result<SshKeys, SourceError> {
        let Some(lookup) = self.lookup.get() else { return Err(no_key(url, "no cluster is known".to_owned())) };
        let (tool, host) = whose.clone();
        let keys = lookup(tool, host).await.map_err(|why| no_key(url, why))?;
        self.found().insert(whose, keys.clone());
        Ok(keys)
    }

    fn found(&self) -> MutexGuard<'_, HashMap<(ToolName, String), SshKeys>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_key(url: &RepositoryUrl, why: String) -> SourceError {
    SourceError::NoKey { repository: url.to_string(), tool: url.tool().cloned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written_and_a_new_one_comes_first() {
        let first = SshKeys::generate("toolforge wordcount");
        let second = first.rotated("toolforge wordcount");
        let read = SshKeys::read(&second.to_secret()).expect("two keys");
        assert_eq!(read, second);
        assert_eq!(read.public()[1], first.public()[0]);
        assert!(read.public()[0].starts_with("ssh-ed25519 ") && read.public()[0].ends_with(" toolforge wordcount"));
        let many = second.rotated("x").rotated("x");
        assert_eq!((many.public().len(), &many.public()[2]), (MAX_KEYS, &read.public()[0]));
    }

    #[test]
    fn what_is_no_key_is_told_without_repeating_it() {
        let key = SshKeys::generate("a").to_secret();
        let text = key.reveal();
        let many = text.repeat(MAX_KEYS + 1);
        for (text, wrong) in [
            ("", BadSshKey::None),
            ("canary", BadSshKey::Garbage),
            (&text[..text.len() - 20], BadSshKey::Garbage),
            (&format!("{text}canary"), BadSshKey::Garbage),
            (&many, BadSshKey::TooMany),
        ] {
            assert_eq!(SshKeys::read(&Secret::new(text)).err(), Some(wrong));
        }
        let body = text.lines().nth(1).expect("base64");
        let keys = SshKeys::read(&key).expect("a key");
        assert!(!format!("{keys:?}").contains(body));
    }

    #[test]
    fn a_key_that_was_made_for_another_host_is_none_and_one_of_the_platform_s_is_then() {
        let url = RepositoryUrl::parse("git@git.example:x").expect("a URL");
        let (own, platforms) = (SshKeys::generate("own"), SshKeys::generate("platform"));
        let found = |made_for: Option<&str>, with_platforms: bool| {
            let ssh = Ssh::from_env(&url, |name| match name {
                SSH_KEY => Some(own.to_secret().reveal().to_owned()),
                SSH_KEY_HOST => made_for.map(str::to_owned),
                HOST_SSH_KEY if with_platforms => Some(platforms.to_secret().reveal().to_owned()),
                _ => None,
            });
            ssh.expect("good").keys.map(|(_, keys)| keys)
        };
        for made_for in [None, Some(""), Some("git.example"), Some("git.example\n")] {
            assert_eq!(found(made_for, true).as_ref(), Some(&own), "{made_for:?}");
        }
        assert_eq!(found(Some("other.example"), true).as_ref(), Some(&platforms));
        assert_eq!(found(Some("other.example"), false), None);
    }

    #[test]
    fn the_environment_says_what_the_config_repository_is_asked_with() {
        let url = RepositoryUrl::parse("git@git.example:config").expect("a URL");
        let key = SshKeys::generate("a");
        let line = format!("git.example {}", key.public()[0]);
        let text = key.to_secret().reveal().to_owned();
        let lines = format!("# comment\n\n{line}\n");
        let ssh = Ssh::from_env(&url, |name| match name {
            SSH_KEY => Some(text.clone()),
            KNOWN_HOSTS => Some(lines.clone()),
            _ => None,
        });
        let ssh = ssh.expect("good");
        assert_eq!((ssh.known_hosts.len(), ssh.keys), (1, Some((url.clone(), key))));
        let wrong = Ssh::from_env(&url, |name| (name == KNOWN_HOSTS).then(|| format!("{line}\ncanary\n")));
        assert_eq!(
            wrong.err().map(|error| error.to_string()).as_deref(),
            Some(
                "line 2 of TOOLFORGE_GIT_KNOWN_HOSTS is no key of a host: it does not hold a host, a kind of key and a key"
            )
        );
    }
}
