//! The folder. `blobs/<hex>` holds bytes once; `repositories/<name>/` says by an empty file in `_blobs`, `_manifests` (there
//! with the media type in it) or by a digest in `_tags` what the repository was given. A name appears by a rename, after
//! what it names.

use super::place::{Key, Name, UploadId};
use super::refusal::Refusal;
use renderer::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the blobs of a repository, its manifests, tags and uploads stand.
const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const UPLOADS: &str = "_uploads";
/// A registry refuses larger ones.
pub(super) const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// A registry's folder.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    /// One change of manifests and tags at a time: a deletion looks at all tags.
    turn: Mutex<()>,
}

/// A manifest as it was put.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

/// What a manifest names.
#[derive(Deserialize)]
struct Names {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
}

impl Store {
    /// Opens a folder, and removes from it what nobody can ask for any more.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("blobs"))?;
        fs::create_dir_all(root.join("repositories"))?;
        let store = Self { root: root.to_owned(), turn: Mutex::default() };
        store.sweep()?;
        Ok(store)
    }

    fn sweep(&self) -> io::Result<()> {
        let mut needed = BTreeSet::new();
        for name in self.repositories()? {
            let own = self.repository(&name);
            absent_is_fine(fs::remove_dir_all(own.join(UPLOADS)))?;
            let mut here = BTreeSet::new();
            for hex in entries(&own.join(MANIFESTS))?.into_iter().filter(|hex| !is_temporary(hex)) {
                // What can't be read says nothing of what it needs: then nothing is removed.
                let bytes = fs::read(self.root.join("blobs").join(&hex))?;
                here.extend(names(&bytes)?.all().map(|digest| hex_of(&digest).to_owned()));
                here.insert(hex);
            }
            for hex in entries(&own.join(BLOBS))?.into_iter().filter(|hex| !here.contains(hex)) {
                absent_is_fine(fs::remove_file(own.join(BLOBS).join(hex)))?;
            }
            needed.append(&mut here);
        }
        for hex in entries(&self.root.join("blobs"))?.into_iter().filter(|hex| !needed.contains(hex)) {
            absent_is_fine(fs::remove_file(self.root.join("blobs").join(hex)))?;
        }
        Ok(())
    }

    fn repository(&self, name: &Name) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(hex_of(digest))
    }

    /// Every repository, in order.
    pub(super) fn repositories(&self) -> io::Result<Vec<Name>> {
        let root = self.root.join("repositories");
        let (mut open, mut found) = (vec![root.clone()], BTreeSet::new());
        while let Some(folder) = open.pop() {
            for entry in entries(&folder)? {
                let path = folder.join(&entry);
                if entry.starts_with('_') {
                    let name = folder.strip_prefix(&root).ok().and_then(|name| Name::new(name.to_str()?).ok());
                    found.extend(name);
                } else if path.is_dir() {
                    open.push(path);
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// A blob of a repository, with its size.
    pub(super) fn open_blob(&self, name: &Name, digest: &Digest) -> Result<(File, u64), Refusal> {
        let unknown = || Refusal::unknown_blob(digest.as_str());
        if !self.holds(name, digest) {
            return Err(unknown());
        }
        let file = File::open(self.blob(digest)).map_err(|error| or(error, unknown))?;
        let size_bytes = file.metadata()?.len();
        Ok((file, size_bytes))
    }

    fn holds(&self, name: &Name, digest: &Digest) -> bool {
        let own = self.repository(name);
        [BLOBS, MANIFESTS].iter().any(|kind| own.join(kind).join(hex_of(digest)).exists()) && self.blob(digest).exists()
    }

    /// Gives a blob of one repository to another one; false where the first does not hold it.
    pub(super) fn mount(&self, from: &Name, to: &Name, digest: &Digest) -> Result<bool, Refusal> {
        let held = self.holds(from, digest);
        if held {
            self.mark(to, BLOBS, hex_of(digest), b"")?;
        }
        Ok(held)
    }

    /// Takes a blob from a repository.
    pub(super) fn forget_blob(&self, name: &Name, digest: &Digest) -> Result<(), Refusal> {
        let gone = fs::remove_file(self.repository(name).join(BLOBS).join(hex_of(digest)));
        gone.map_err(|error| or(error, || Refusal::unknown_blob(digest.as_str())))
    }

    /// A new upload.
    pub(super) fn begin(&self, name: &Name) -> Result<UploadId, Refusal> {
        let id = UploadId::random();
        let path = self.upload(name, &id);
        fs::create_dir_all(parent(&path))?;
        File::create_new(path)?;
        Ok(id)
    }

    /// Where an upload's bytes stand.
    pub(super) fn upload(&self, name: &Name, id: &UploadId) -> PathBuf {
        self.repository(name).join(UPLOADS).join(id.as_str())
    }

    /// The upload becomes a blob, where it is what its digest says.
    pub(super) fn finish(&self, name: &Name, id: &UploadId, digest: &Digest) -> Result<(), Refusal> {
        let path = self.upload(name, id);
        let found = hash(&path).map_err(|error| or(error, Refusal::unknown_upload))?;
        if found != *digest {
            return Err(Refusal::wrong_digest(digest.as_str(), found.as_str()));
        }
        fs::rename(path, self.blob(digest))?;
        self.mark(name, BLOBS, hex_of(digest), b"")?;
        Ok(())
    }

    /// A manifest by tag or digest.
    pub(super) fn manifest(&self, name: &Name, key: &Key) -> Result<Stored, Refusal> {
        let unknown = || Refusal::unknown_manifest(&key.to_string());
        let own = self.repository(name);
        let digest = match key {
            Key::Digest(digest) => digest.clone(),
            Key::Tag(tag) => {
                let text = fs::read_to_string(own.join(TAGS).join(tag)).map_err(|error| or(error, unknown))?;
                Digest::new(text).map_err(io::Error::other)?
            }
        };
        let path = own.join(MANIFESTS).join(hex_of(&digest));
        let media_type = fs::read_to_string(path).map_err(|error| or(error, unknown))?;
        let bytes = fs::read(self.blob(&digest)).map_err(|error| or(error, unknown))?;
        Ok(Stored { digest, media_type, bytes })
    }

    /// Stores a manifest, and then its tag.
    pub(super) fn put(&self, name: &Name, key: &Key, media_type: &str, bytes: &[u8]) -> Result<Digest, Refusal> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = Digest::of_sha256(&Sha256::digest(bytes).into());
        if let Key::Digest(expected) = key
            && *expected != digest
        {
            return Err(Refusal::wrong_digest(expected.as_str(), digest.as_str()));
        }
        let named = names(bytes).map_err(|error| Refusal::bad_manifest(format!("it can't be read: {error}")))?;
        for needed in named.all() {
            if !self.holds(name, &needed) {
                return Err(Refusal::missing_blob(needed.as_str()));
            }
        }
        write(&self.blob(&digest), bytes)?;
        self.mark(name, MANIFESTS, hex_of(&digest), media_type.as_bytes())?;
        if let Key::Tag(tag) = key {
            self.mark(name, TAGS, tag, digest.as_str().as_bytes())?;
        }
        Ok(digest)
    }

    /// Takes a tag, or a manifest with all of its tags.
    pub(super) fn delete(&self, name: &Name, key: &Key) -> Result<(), Refusal> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Refusal::unknown_manifest(&key.to_string());
        let own = self.repository(name);
        let digest = match key {
            Key::Tag(tag) => return fs::remove_file(own.join(TAGS).join(tag)).map_err(|error| or(error, unknown)),
            Key::Digest(digest) => digest,
        };
        for tag in entries(&own.join(TAGS))? {
            let path = own.join(TAGS).join(tag);
            if fs::read_to_string(&path)? == digest.as_str() {
                fs::remove_file(path)?;
            }
        }
        fs::remove_file(own.join(MANIFESTS).join(hex_of(digest))).map_err(|error| or(error, unknown))
    }

    /// The tags of a repository, in order.
    pub(super) fn tags(&self, name: &Name) -> Result<Vec<String>, Refusal> {
        let own = self.repository(name);
        if ![BLOBS, MANIFESTS].iter().any(|kind| own.join(kind).is_dir()) {
            return Err(Refusal::unknown_name(name.as_str()));
        }
        Ok(entries(&own.join(TAGS))?.into_iter().filter(|tag| !is_temporary(tag)).collect())
    }

    fn mark(&self, name: &Name, kind: &str, file: &str, content: &[u8]) -> io::Result<()> {
        write(&self.repository(name).join(kind).join(file), content)
    }
}

impl Names {
    fn all(self) -> impl Iterator<Item = Digest> {
        self.config.into_iter().chain(self.layers).chain(self.manifests).map(|one| one.digest)
    }
}

fn names(bytes: &[u8]) -> Result<Names, serde_json::Error> {
    serde_json::from_slice(bytes)
}

fn hex_of(digest: &Digest) -> &str {
    digest.as_str().trim_start_matches("sha256:")
}

fn hash(path: &Path) -> io::Result<Digest> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::of_sha256(&hash.finalize().into())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// A new file of that name, whole or not at all.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(parent(path))?;
    let temporary = path.with_file_name(format!("{TEMPORARY}{}", UploadId::random().as_str()));
    let written = File::create_new(&temporary).and_then(|mut file| file.write_all(content));
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// No tag and no digest begins so.
const TEMPORARY: &str = ".new-";

fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Names in a folder, in order; none where it is missing.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let all = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        all => all?,
    };
    let mut names = Vec::new();
    for entry in all {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// What is not there is the caller's to name; all else is the disk's.
fn or(error: io::Error, absent: impl FnOnce() -> Refusal) -> Refusal {
    if error.kind() == ErrorKind::NotFound { absent() } else { error.into() }
}
