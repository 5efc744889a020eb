//! Rebase and promotion: an image under another tag, without its layers ever being downloaded where the registry can
//! mount them. What is written is decided by [`planner::image::rebase()`]; the tag is the image's last step, and one that
//! holds something else is left alone.

use super::{Manifest, Moved, Reference, Registry, RegistryError};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use planner::image::{self, Blob, Image, Rebased, Refusal, RunImage, Target};
use renderer::Digest;

/// Blobs that are brought over at once.
const AT_ONCE: usize = 4;
/// An index lists images, and no index again.
const MAX_DEPTH: usize = 1;

/// A run image that is put under others.
#[derive(Debug, Clone)]
pub struct Base {
    /// Where it is.
    pub at: Reference,
    /// As operators write it.
    pub written: String,
    /// The image.
    pub image: Image,
}

/// What is to be done with an image; nothing is written yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// It stands on that run image already.
    Already(Digest),
    /// This is to be written.
    Write(Box<Rebased>),
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebase {
    /// It stands on that run image already.
    Already(Digest),
    /// Somebody has rebased it before: the tag is there, and right.
    Known(Digest),
    /// It is there now.
    Written {
        /// Its digest.
        digest: Digest,
        /// How the layers of the run image came there.
        moved: Moved,
    },
}

/// Why an image was not rebased.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebaseError {
    /// It must not be.
    #[error("{image}: {why}")]
    Refused {
        /// The image.
        image: String,
        /// Why.
        why: Refusal,
    },
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl RebaseError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused { why, .. } => why.hint(),
            Self::Registry(error) => error.hint(),
        }
    }
}

impl Rebase {
    /// The digest of the image on the new run image.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Already(digest) | Self::Known(digest) | Self::Written { digest, .. } => digest,
        }
    }
}

impl Registry {
    /// Reads a run image, once for any number of rebases.
    ///
    /// # Errors
    /// Where it is not there, or not for these machines.
    pub async fn base(&self, written: &str, target: &Target) -> Result<Base, RegistryError> {
        let at = Reference::parse(written)?;
        let image = self.image(&at, target).await?;
        Ok(Base { at, written: written.to_owned(), image })
    }

    /// What an image becomes on another run image. Reads its manifest and configuration, and writes nothing.
    ///
    /// # Errors
    /// Where the images don't fit, or can't be read.
    pub async fn plan_rebase(&self, app: &Reference, base: &Base) -> Result<Planned, RebaseError> {
        let found = self.image(app, &base.image.target()).await?;
        let run = RunImage { reference: &base.written, image: &base.image };
        let refused = |why| RebaseError::Refused { image: app.to_string(), why };
        let rebased = image::rebase(&found, run).map_err(refused)?;
        Ok(rebased.map_or_else(|| Planned::Already(found.digest().clone()), |new| Planned::Write(Box::new(new))))
    }

    /// Puts another run image under `app`, under a tag of its own. `app` itself stays as it is.
    ///
    /// # Errors
    /// Where the images don't fit, or the registry refuses. Then the tag is not written.
    pub async fn rebase(&self, app: &Reference, base: &Base, tag: &str) -> Result<Rebase, RebaseError> {
        let rebased = match self.plan_rebase(app, base).await? {
            Planned::Already(digest) => return Ok(Rebase::Already(digest)),
            Planned::Write(rebased) => *rebased,
        };
        let to = app.tagged(tag);
        if self.is_there(&to, &rebased.digest).await? {
            return Ok(Rebase::Known(rebased.digest));
        }
        let layers = rebased.base.iter().map(|l| Blob { digest: l.digest.clone(), size_bytes: l.size_bytes }).collect();
        let moved = self.copy_blobs(&base.at, &to, layers).await?;
        self.push_blob(&to, rebased.config).await?;
        let digest = self.push_manifest(&to, &rebased.media_type, &rebased.manifest).await?;
        Ok(Rebase::Written { digest, moved })
    }

    /// Gives an image a place in another repository, with the digest it has. Every manifest and blob of it comes
    /// before the tag.
    ///
    /// # Errors
    /// Where the registry refuses, or `to` names another image already.
    pub async fn promote(&self, from: &Reference, to: &Reference) -> Result<(Digest, Moved), RegistryError> {
        let manifest = self.needed(from).await?;
        let mut moved = Moved::default();
        if !self.is_there(to, &manifest.digest).await? {
            self.copy(from, to, &manifest, MAX_DEPTH, &mut moved).await?;
        }
        Ok((manifest.digest, moved))
    }

    async fn copy(
        &self,
        from: &Reference,
        to: &Reference,
        manifest: &Manifest,
        depth: usize,
        moved: &mut Moved,
    ) -> Result<(), RegistryError> {
        match manifest.parts().map_err(|why| from.no_image(why))? {
            None => {
                let (config, layers) = image::blobs(&manifest.bytes).map_err(|why| from.no_image(why))?;
                moved.add(self.copy_blobs(from, to, layers.into_iter().chain([config]).collect()).await?);
            }
            Some(_) if depth == 0 => {
                let why = image::Malformed("it is an index within an index".to_owned());
                return Err(from.no_image(why));
            }
            Some(parts) => {
                for part in parts {
                    let (from, to) = (from.pinned(part.digest.clone()), to.pinned(part.digest));
                    let part = self.needed(&from).await?;
                    Box::pin(self.copy(&from, &to, &part, depth - 1, moved)).await?;
                }
            }
        }
        self.push_manifest(to, &manifest.media_type, &manifest.bytes).await.map(drop)
    }

    async fn copy_blobs(&self, from: &Reference, to: &Reference, mut blobs: Vec<Blob>) -> Result<Moved, RegistryError> {
        blobs.sort();
        blobs.dedup();
        let copies: Vec<_> = blobs.iter().map(|blob| self.copy_blob(from, to, blob)).collect();
        let add = async |mut sum: Moved, moved| {
            sum.add(moved);
            Ok(sum)
        };
        stream::iter(copies).buffer_unordered(AT_ONCE).try_fold(Moved::default(), add).await
    }

    /// Whether a tag holds this digest; one that holds another was moved by hand, for it means one image.
    async fn is_there(&self, to: &Reference, digest: &Digest) -> Result<bool, RegistryError> {
        match self.manifest_of(to).await? {
            None => Ok(false),
            Some(found) if found.digest == *digest => Ok(true),
            Some(found) => Err(RegistryError::TagMoved {
                reference: to.to_string(),
                expected: digest.clone(),
                found: found.digest,
            }),
        }
    }
}
