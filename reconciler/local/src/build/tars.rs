//! Layers as tars, the same bytes for the same content: entries in order, one owner, one date, no extended attributes.

use super::trouble::{BuildError, at};
use planner::image::Blob;
use renderer::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// As buildpacks' images have it: 1980-01-01T00:00:01Z.
const MTIME_SECS: u64 = 315_532_801;
/// The user and group of buildpacks' images.
pub(super) const USER: u64 = 1000;
/// Most bytes of one layer.
const MAX_BYTES: u64 = 4 << 30;
/// Most files, links and folders of one layer.
const MAX_ENTRIES: u64 = 500_000;

/// The blobs of an OCI layout.
pub(super) struct Shelf {
    folder: PathBuf,
}

/// A layer being written.
pub(super) struct Archive {
    tar: tar::Builder<Hashing>,
    entries: u64,
    bytes: u64,
}

struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Shelf {
    /// In the folder of a layout.
    pub(super) fn new(layout: &Path) -> Result<Self, BuildError> {
        let folder = layout.join("blobs/sha256");
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        Ok(Self { folder })
    }

    /// Where a blob stands.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.as_str().trim_start_matches("sha256:"))
    }

    /// Bytes as a blob.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<Blob, BuildError> {
        let digest = Digest::of_sha256(&Sha256::digest(bytes).into());
        let path = self.path(&digest);
        fs::write(&path, bytes).map_err(at(&path))?;
        Ok(Blob { digest, size_bytes: bytes.len() as u64 })
    }

    /// What `fill` puts into a tar, as a blob. Not compressed: its digest is its diff id, and it goes nowhere far.
    pub(super) fn layer(
        &self,
        what: &str,
        fill: impl FnOnce(&mut Archive) -> io::Result<()>,
    ) -> Result<Blob, BuildError> {
        let path = self.folder.join(".new");
        let file = BufWriter::with_capacity(1 << 18, File::create(&path).map_err(at(&path))?);
        let mut archive =
            Archive { tar: tar::Builder::new(Hashing { file, hash: Sha256::new(), bytes: 0 }), entries: 0, bytes: 0 };
        fill(&mut archive).map_err(|error| match error.downcast::<TooLarge>() {
            Ok(TooLarge { limit, unit }) => BuildError::TooLarge { what: what.to_owned(), limit, unit },
            Err(error) => at(Path::new(what))(error),
        })?;
        let mut done = archive.tar.into_inner().map_err(at(&path))?;
        done.flush().map_err(at(&path))?;
        let digest = Digest::of_sha256(&done.hash.finalize().into());
        fs::rename(&path, self.path(&digest)).map_err(at(&path))?;
        Ok(Blob { digest, size_bytes: done.bytes })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more than {limit} {unit}")]
struct TooLarge {
    limit: u64,
    unit: &'static str,
}

impl Archive {
    /// The folders above something, each root's as in any image.
    pub(super) fn above(&mut self, path: &Path) -> io::Result<()> {
        let mut all: Vec<_> = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        all.reverse();
        all.into_iter().try_for_each(|folder| self.folder(folder, 0o755, 0))
    }

    /// One folder.
    pub(super) fn folder(&mut self, path: &Path, mode: u32, user: u64) -> io::Result<()> {
        let mut header = self.header(EntryType::Directory, mode, user)?;
        self.tar.append_data(&mut header, path, io::empty())
    }

    /// One file.
    pub(super) fn file(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, mode, USER)?;
        header.set_size(bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes)
    }

    /// One symbolic link.
    pub(super) fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let mut header = self.header(EntryType::Symlink, 0o777, USER)?;
        self.tar.append_link(&mut header, path, target)
    }

    /// A folder of this machine with everything in it, at `path`. Links stay links; sockets, pipes and devices, which no
    /// image needs, are left out.
    pub(super) fn tree(&mut self, from: &Path, path: &Path) -> io::Result<()> {
        let found = fs::symlink_metadata(from)?;
        let mode = found.permissions().mode() & 0o777;
        if found.is_symlink() {
            return self.link(path, &fs::read_link(from)?);
        }
        if found.is_file() {
            return self.copy(from, path, mode);
        }
        if !found.is_dir() {
            return Ok(());
        }
        self.folder(path, mode, USER)?;
        let mut names = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        names.into_iter().try_for_each(|name| self.tree(&from.join(&name), &path.join(&name)))
    }

    fn copy(&mut self, from: &Path, path: &Path, mode: u32) -> io::Result<()> {
        let file = crate::file::open(from)?;
        let size_bytes = file.metadata()?.len();
        self.bytes += size_bytes;
        if self.bytes > MAX_BYTES {
            return Err(io::Error::other(TooLarge { limit: MAX_BYTES, unit: "bytes" }));
        }
        let mut header = self.header(EntryType::Regular, mode, USER)?;
        header.set_size(size_bytes);
        self.tar.append_data(&mut header, path, file.take(size_bytes))
    }

    fn header(&mut self, kind: EntryType, mode: u32, user: u64) -> io::Result<Header> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(io::Error::other(TooLarge { limit: MAX_ENTRIES, unit: "files" }));
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(user);
        header.set_gid(user);
        header.set_mtime(MTIME_SECS);
        header.set_size(0);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree_of(order: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        for name in order {
            fs::write(folder.path().join(name), name).expect("a file");
        }
        symlink("/etc/shadow", folder.path().join("link")).expect("a link");
        folder
    }

    #[test]
    fn the_same_content_is_the_same_bytes_and_a_link_stays_a_link() {
        let layout = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::new(layout.path()).expect("a shelf");
        let long = "x".repeat(150);
        let tar = |order: &[&str]| {
            let tree = tree_of(order);
            shelf.layer("app", |tar| tar.tree(tree.path(), Path::new("workspace"))).expect("a layer")
        };
        let first = tar(&["b", "a", &long]);
        assert_eq!(first, tar(&[&long, "a", "b"]));
        assert_ne!(first, tar(&["a", "b"]));

        let mut found = Vec::new();
        let mut archive = tar::Archive::new(File::open(shelf.path(&first.digest)).expect("a blob"));
        for entry in archive.entries().expect("entries") {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!(
                (header.uid().ok(), header.gid().ok(), header.mtime().ok()),
                (Some(1000), Some(1000), Some(MTIME_SECS))
            );
            let link = entry.link_name().expect("a name").map(|link| link.into_owned());
            found.push((entry.path().expect("a path").into_owned(), link));
        }
        let link = (PathBuf::from("workspace/link"), Some(PathBuf::from("/etc/shadow")));
        let plain = |path: &str| (PathBuf::from(path), None);
        let long = plain(&format!("workspace/{long}"));
        assert_eq!(found, [plain("workspace"), plain("workspace/a"), plain("workspace/b"), link, long]);
    }
}
