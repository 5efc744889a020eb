//! An image from this machine's disk into a registry: blobs first, the configuration with them, the tag last. What is
//! there already is not sent again, and a layer is never whole in memory.

use super::write::{Begun, CHUNK_BYTES, Moved};
use super::{Reference, Registry, RegistryError};
use planner::image::Blob;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt as _;

/// Why an image did not get there.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The disk.
    #[error("{}: {error}", path.display())]
    File {
        /// A blob.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl PushError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.hint(),
            Self::File { .. } => "Build it again.",
        }
    }
}

impl Registry {
    /// Stores a file as the blob that it is, unless the repository has it.
    ///
    /// # Errors
    /// Where the registry does not take it, or the file can't be read.
    pub async fn push_file(&self, to: &Reference, blob: &Blob, path: &Path) -> Result<Moved, PushError> {
        if self.has_blob(to, &blob.digest).await? {
            return Ok(Moved::default());
        }
        let Begun::Upload(mut upload) = self.begin(to, None).await? else { return Ok(Moved::default()) };
        let failed = |error| PushError::File { path: path.to_owned(), error };
        let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let mut part = (&mut file).take(CHUNK_BYTES as u64);
            part.read_to_end(&mut chunk).await.map_err(failed)?;
            if chunk.len() < CHUNK_BYTES {
                upload.finish(chunk, &blob.digest).await?;
                return Ok(Moved { copied: 1, copied_bytes: blob.size_bytes, ..Moved::default() });
            }
            upload.chunk(chunk).await?;
        }
    }
}
