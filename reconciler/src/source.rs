//! git, read: refs first, a fetch only where a ref moved, and files out of the object database without a checkout.
//!
//! A repository is hostile until proven otherwise. Every address passes the [`dialer`](crate::dialer); every answer
//! has a size limit and a deadline; nothing of a repository is ever executed, and no configuration of this machine is
//! read for it. An error is never an absence: that a repository has no `toolforge.yaml` is a value
//! ([`renderer::Files`] with none), that it could not be asked is a [`SourceError`].
//!
//! ```text
//! Poller ──one ls-refs per repository and cycle──▶ Refs ──moved?──▶ Git::snapshot ──▶ Revision
//! ```
//! Refs come over http(s) by our own asynchronous ls-refs on the pooled client (one request); over git and ssh by
//! gix; of a local path from its files. Packs come by gix over our transports. The cache on disk can be deleted at
//! any time.

mod budget;
mod checkout;
pub mod config_repo;
mod fetch;
mod git;
pub mod licence;
mod ls_refs;
mod pkt;
mod poller;
mod refs;
mod revision;
pub mod signature;
mod ssh_keys;
mod store;
mod transport;
mod tree;
pub mod url;
pub mod watch_folder;
pub mod worktree;

pub use checkout::Written;
pub use git::{Counts, Git, Settings};
pub use poller::{Poller, Wanted};
pub use refs::Refs;
pub use ssh_keys::{BadSsh, BadSshKey, KeyLookup, MAX_KEYS, Ssh, SshKeys};
pub use tree::{Facts, NotAFile, Snapshot};
pub use url::{RepositoryKey, RepositoryUrl, Scheme};

use crate::dialer::DialError;
use renderer::ToolName;
use renderer::request::{KNOWN_HOSTS, SSH_KEY};

/// Why a repository could not be read. Never an absence of something in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The address is not one.
    #[error(transparent)]
    BadUrl(#[from] url::BadUrl),
    /// The server says that there is no such repository.
    #[error("repository {repository} does not exist")]
    NotFound {
        /// Its address, userinfo masked.
        repository: String,
    },
    /// A folder of this machine that is no git repository.
    #[error("{path} is not a git repository")]
    NotARepository {
        /// The folder.
        path: String,
    },
    /// The server wants credentials, or refuses ours. Some hosts answer so for a repository that does not exist.
    #[error("repository {repository} is private or does not exist")]
    Denied {
        /// Its address, userinfo masked.
        repository: String,
        /// Over ssh: whose key it refused.
        tool: Option<ToolName>,
    },
    /// Over ssh nobody is let in without a key.
    #[error("there is no key for repository {repository}: {why}")]
    NoKey {
        /// Its address, userinfo masked.
        repository: String,
        /// Whose repository it is; none for the config repository.
        tool: Option<ToolName>,
        /// Why, as a fragment.
        why: String,
    },
    /// The host shows a key that is not written down for it: it may be another host.
    #[error("{host} shows the host key {shown}, {}", against(expected))]
    HostKey {
        /// Host.
        host: String,
        /// Fingerprint of what it shows.
        shown: String,
        /// Fingerprints of what is written down; none for a host that nobody wrote down.
        expected: Vec<String>,
    },
    /// The repository answered and has no such ref.
    #[error("no branch, tag or commit {reference:?}")]
    NoSuchRef {
        /// The ref as written.
        reference: String,
        /// The nearest ref that exists.
        nearest: Option<String>,
    },
    /// The repository answered and has no commit at all.
    #[error("the repository is empty")]
    Empty,
    /// No answer in time.
    #[error("{host} did not answer in {secs} s")]
    TimedOut {
        /// Host and port, or path.
        host: String,
        /// The limit that was reached.
        secs: u64,
    },
    /// The rules refuse the host, its address, or the scheme.
    #[error("host {host} is not allowed: {why}")]
    HostNotAllowed {
        /// Host and port.
        host: String,
        /// Why, as a fragment.
        why: String,
    },
    /// Larger than its limit.
    #[error("{what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// What: a path, an answer, a pack.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// A file we read is there, but is no regular file.
    #[error("{path} is {is}, not a file")]
    NotAFile {
        /// Path in the repository.
        path: String,
        /// What it is.
        is: NotAFile,
    },
    /// Name look-up, connection, TLS, or an error status.
    #[error("{why}")]
    Unreachable {
        /// Host and cause, as a fragment.
        why: String,
    },
    /// An answer or an object that is not what git would say.
    #[error("{why}")]
    Corrupt {
        /// What is wrong with it, as a fragment.
        why: String,
    },
}

impl SourceError {
    /// Whether the repository has spoken: asked again about the same refs, it would say the same.
    #[must_use]
    pub fn is_an_answer(&self) -> bool {
        matches!(
            self,
            Self::NoSuchRef { .. } | Self::Empty | Self::NotAFile { .. } | Self::TooLarge { .. } | Self::BadUrl(_)
        )
    }

    /// Whether it is the same for everything in that repository.
    #[must_use]
    pub fn is_of_the_repository(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::NotARepository { .. }
            | Self::Denied { .. }
            | Self::NoKey { .. }
            | Self::HostKey { .. }
            | Self::TimedOut { .. }
            | Self::HostNotAllowed { .. }
            | Self::Unreachable { .. } => true,
            Self::BadUrl(_)
            | Self::NoSuchRef { .. }
            | Self::Empty
            | Self::TooLarge { .. }
            | Self::NotAFile { .. }
            | Self::Corrupt { .. } => false,
        }
    }

    /// A sentence with a next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchRef { nearest: Some(nearest), .. } => Some(format!("Did you mean {nearest:?}?")),
            Self::NotARepository { path } => Some(format!("Run `git init {path}` and commit what it should hold.")),
            Self::Empty => Some("Commit a toolforge.yaml and push it.".to_owned()),
            Self::HostNotAllowed { .. } => {
                Some("Ask the operators to list the host in allowed_hosts of platform.yaml.".to_owned())
            }
            Self::Denied { tool: Some(tool), .. } => Some(format!(
                "Add the key that `toolforge deploy-key {tool}` shows to the repository, for reading, and check the address."
            )),
            Self::Denied { repository, .. } if repository.starts_with("ssh:") => {
                Some(format!("Check the address, and give the key in {SSH_KEY} the right to read the repository."))
            }
            Self::Denied { .. } => Some("Check the address, and make the repository public.".to_owned()),
            Self::NoKey { tool: Some(tool), .. } => Some(format!(
                "Run `toolforge deploy-key {tool}`, and add the key that it shows to the repository, for reading."
            )),
            Self::NoKey { tool: None, .. } => Some(format!("Give its private key in {SSH_KEY}.")),
            Self::HostKey { expected, .. } if expected.is_empty() => Some(format!(
                "Compare it with what the host publishes; operators add the host's line to `git.known_hosts` of platform.yaml, \
                 or to {KNOWN_HOSTS} for the config repository."
            )),
            Self::HostKey { .. } => Some(
                "Somebody may stand in between: operators compare it with what the host publishes, and only then \
                 change `git.known_hosts` of platform.yaml."
                    .to_owned(),
            ),
            Self::NotFound { .. } => Some("Check the address for typing errors.".to_owned()),
            Self::NotAFile { is, .. } => Some(is.hint().to_owned()),
            _ => None,
        }
    }
}

fn against(expected: &[String]) -> String {
    if expected.is_empty() {
        return "which nobody has written down".to_owned();
    }
    format!("but should show {}", expected.join(" or "))
}

impl From<DialError> for SourceError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::HostNotAllowed(refusal) => Self::HostNotAllowed { host: refusal.host, why: refusal.why },
            DialError::TimedOut { host, secs } => Self::TimedOut { host, secs },
            DialError::TooLarge { host, limit_bytes } => {
                Self::TooLarge { what: format!("the answer of {host}"), limit_bytes }
            }
            unreachable @ DialError::Unreachable { .. } => Self::Unreachable { why: unreachable.to_string() },
        }
    }
}

impl From<pkt::Garbage> for SourceError {
    fn from(garbage: pkt::Garbage) -> Self {
        Self::Corrupt { why: garbage.0 }
    }
}
