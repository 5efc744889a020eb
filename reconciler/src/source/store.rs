//! The cache on disk: `<cache>/<repository>/<commit>/`, a bare object folder each.
//!
//! A folder is filled under another name and renamed into place when complete: what is there is whole, or is found
//! corrupt, removed, and fetched again. Old commits' folders are removed whole, so that nothing has to be collected;
//! and so are the folders of repositories that nobody asked for lately, when all of them take too much.

mod cache;

pub(super) use cache::Cache;

use super::SourceError;
use super::fetch::{Filter, Session};
use super::tree::{self, ReadError};
use super::url::Address;
use cache::InUse;
use gix::ObjectId;
use renderer::length_prefixed::hex;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Commits of one repository kept: beta and main and a few more, each with the one before.
const KEPT_COMMITS: usize = 8;

/// One commit's folder in the cache.
pub(super) struct Store {
    pub cache: Arc<Cache>,
    pub address: Address,
    pub commit: ObjectId,
    pub filter: Filter,
}

impl Store {
    /// Runs `what` on the commit's objects; `connect` is called where they have to be fetched.
    pub(super) fn read<T>(
        &self,
        what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>,
        connect: impl Fn() -> Result<Session, SourceError>,
    ) -> Result<T, SourceError> {
        let folder = self.cache.open(&self.name());
        let place = folder.path().join(self.commit.to_string());
        if place.exists() {
            match look(&place, what) {
                Ok(done) => return Ok(done),
                // Left out by the filter, and wanted now: asked for by name, into the same folder.
                Err(ReadError::Missing(ids)) => {
                    let mut session = connect()?;
                    if session.can_filter()
                        && let Ok(done) = complete(&place, &ids, what, &mut session)
                    {
                        folder.changed();
                        return Ok(done);
                    }
                    remove(&place)?;
                    return self.fetch(&folder, &place, what, &mut session);
                }
                // The cache is no authority: what looks corrupt in it is fetched again.
                Err(ReadError::Source(SourceError::Corrupt { .. })) => {}
                Err(verdict) => return Err(unreadable(verdict)),
            }
            remove(&place)?;
        }
        self.fetch(&folder, &place, what, &mut connect()?)
    }

    fn fetch<T>(
        &self,
        folder: &InUse,
        place: &Path,
        what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>,
        session: &mut Session,
    ) -> Result<T, SourceError> {
        let fresh = Fresh::below(&folder.path())?;
        session.fetch(&[self.commit], self.filter, &fresh.0)?;
        let done = match look(&fresh.0, what) {
            Err(ReadError::Missing(ids)) if session.can_filter() => complete(&fresh.0, &ids, what, session)?,
            done => done.map_err(unreadable)?,
        };
        // A commit alone is not worth a folder.
        if self.filter != Filter::Trees {
            match std::fs::rename(&fresh.0, place) {
                Err(error) if !place.exists() => return Err(disk(place, &error)),
                _ => self.evict(&folder.path())?,
            }
            folder.changed();
        }
        Ok(done)
    }

    /// Keeps the newest commits of this repository, as many as fit; also sweeps up what a killed process left.
    fn evict(&self, folder: &Path) -> Result<(), SourceError> {
        let unreadable = |error: std::io::Error| disk(folder, &error);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let modified = entry.metadata().and_then(|meta| meta.modified()).map_err(unreadable)?;
            found.push((modified, entry.path()));
        }
        found.sort();
        let mut bytes = 0;
        for (newer, (_, commit)) in found.iter().rev().enumerate() {
            bytes += cache::size_bytes(commit);
            if newer >= KEPT_COMMITS || newer > 0 && bytes > self.cache.share_bytes() {
                remove(commit)?;
            }
        }
        Ok(())
    }

    /// A name that a stranger can neither choose nor leave.
    fn name(&self) -> String {
        let hash = Sha256::digest(self.address.as_str().as_bytes());
        hex(&hash[..16])
    }
}

/// Asks for the objects that a filter left out, and reads again.
fn complete<T>(
    place: &Path,
    ids: &[ObjectId],
    what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>,
    session: &mut Session,
) -> Result<T, SourceError> {
    session.fetch(ids, Filter::Nothing, place)?;
    look(place, what).map_err(unreadable)
}

fn look<T>(place: &Path, what: &impl Fn(&gix::odb::Handle) -> Result<T, ReadError>) -> Result<T, ReadError> {
    let objects = place.join("objects");
    let handle = tree::open(&objects).map_err(|e| disk(&objects, &e))?;
    what(&handle)
}

/// A folder for one fetch, gone again unless it was renamed.
struct Fresh(PathBuf);

impl Fresh {
    fn below(folder: &Path) -> Result<Self, SourceError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = folder.join(format!(".fresh-{}-{next}", std::process::id()));
        remove(&fresh)?;
        let packs = fresh.join("objects").join("pack");
        std::fs::create_dir_all(&packs).map_err(|error| disk(&packs, &error))?;
        Ok(Self(fresh))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Renamed, or removed; a rest is swept up by the next fetch.
        drop(remove(&self.0));
    }
}

fn remove(folder: &Path) -> Result<(), SourceError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(folder, &error)),
        _ => Ok(()),
    }
}

fn disk(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::Corrupt { why: format!("{}: {error}", path.display()) }
}

pub(super) fn unreadable(error: ReadError) -> SourceError {
    match error {
        ReadError::Source(error) => error,
        ReadError::Missing(ids) => SourceError::Corrupt {
            why: match ids.first() {
                Some(id) => format!("object {id} is missing in the repository"),
                None => "an object is missing in the repository".to_owned(),
            },
        },
    }
}
