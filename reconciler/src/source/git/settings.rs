//! What reading repositories may take, and where it is kept.

use crate::source::ssh_keys::Ssh;
use std::path::PathBuf;

/// Budgets and places.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the cache; may be deleted at any time.
    pub cache: PathBuf,
    /// What the cache may take, in bytes; the repository that was read last stays, whatever its size.
    pub max_cache_bytes: u64,
    /// Threads that may block in git at once; an eighth of them at one host.
    pub threads: usize,
    /// Requests to one host at once.
    pub per_host: usize,
    /// Seconds for one ls-refs.
    pub ls_refs_timeout_secs: u64,
    /// Seconds for one fetch.
    pub fetch_timeout_secs: u64,
    /// Seconds for which the answer about a ref that only builds look at is good.
    pub fresh_secs: u64,
    /// Largest pack, in bytes.
    pub max_pack_bytes: u64,
    /// Largest pack, in bytes of all its objects and deltas unpacked.
    pub max_unpacked_bytes: u64,
    /// What ssh goes by, beside the platform.
    pub ssh: Ssh,
}

impl Settings {
    /// The defaults, with the cache in `cache`.
    #[must_use]
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            max_cache_bytes: 2 << 30,
            threads: 32,
            per_host: 8,
            ls_refs_timeout_secs: 15,
            fetch_timeout_secs: 60,
            fresh_secs: 60,
            max_pack_bytes: 512 << 20,
            max_unpacked_bytes: 2 << 30,
            ssh: Ssh::default(),
        }
    }
}
