//! How much a process may take. Limits are each process's own, so they stop accidents and not a crowd of
//! processes; a [group](super::Group) does.

use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};

/// Limits of each process in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Writable memory that is its own; what is only reserved does not count. None is no limit.
    pub memory_bytes: Option<u64>,
    /// Largest file that it writes.
    pub file_bytes: u64,
    /// Processes and threads of its user; within the cell where the kernel counts so.
    pub processes: u64,
    /// Files open at once.
    pub files: u64,
}

impl Default for Limits {
    /// What a build of a small tool needs, many times over.
    fn default() -> Self {
        Self { memory_bytes: Some(4 << 30), file_bytes: 2 << 30, processes: 1024, files: 4096 }
    }
}

impl Limits {
    /// From now on, and for good: no limit can be raised again. `counts_alone` says that the user's processes outside are
    /// not counted; else their number is not limited, lest the person at this machine can start nothing more.
    pub(super) fn set(&self, counts_alone: bool) -> nix::Result<()> {
        let mut all = vec![
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_FSIZE, self.file_bytes),
            (Resource::RLIMIT_NOFILE, self.files),
        ];
        all.extend(self.memory_bytes.map(|bytes| (Resource::RLIMIT_DATA, bytes)));
        all.extend(counts_alone.then_some((Resource::RLIMIT_NPROC, self.processes)));
        for (resource, most) in all {
            let (_, hard) = nix::sys::resource::getrlimit(resource)?;
            let most = most.min(hard);
            setrlimit(resource, most, most)?;
        }
        Ok(())
    }
}
