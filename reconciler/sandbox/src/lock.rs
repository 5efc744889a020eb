//! One process per directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Why a directory can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Taken {
    /// Somebody has it.
    #[error("{dir} is in use by process {pid}")]
    By {
        /// The directory.
        dir: PathBuf,
        /// The process, or `unknown` for the instant in which it has the lock and has not written its id.
        pid: String,
    },
    /// The disk says no.
    #[error("can't lock {dir}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// The lock of a directory. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of a directory, made if it is missing.
    ///
    /// # Errors
    /// Where another process has it, or the disk refuses.
    pub fn take(dir: &Path) -> Result<Self, Taken> {
        let io = |source| Taken::Io { dir: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(io)?;
                let pid = match pid.trim() {
                    "" => "unknown".to_owned(),
                    pid => pid.to_owned(),
                };
                return Err(Taken::By { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io)?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Let go of at once, also where a child that is just being started still has a copy of the open file.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the lock goes with its file");
        }
    }
}
