//! Files out of an object database, without a checkout: exactly the three that describe a tool, and what a build
//! should know of the tree. Symbolic links are not followed, anywhere.

use super::SourceError;
use super::signature::MAX_SIGNATURE_BYTES;
use gix::ObjectId;
use gix::objs::tree::EntryKind;
use gix::objs::{FindObjectOrHeader as Objects, Kind, TreeRefIter};
use renderer::revision::{Facts as CommitFacts, Signature, Signed};
use renderer::{Files, TreeId};
use std::fmt;
use std::io;
use std::path::Path;

/// A `toolforge.yaml` of this size has 20,000 lines.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 20;
/// A folder of 400,000 files.
const MAX_TREE_BYTES: u64 = 16 << 20;
/// A commit message is a stranger's, too.
const MAX_COMMIT_BYTES: u64 = 1 << 20;

/// How a pointer to git LFS begins.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// To unpack one object: its base, its deltas and what they make, each allocation. A small file may be built upon what
/// is large.
const MAX_UNPACKING_BYTES: usize = 256 << 20;

/// The object database in a folder.
pub(super) fn open(objects: &Path) -> io::Result<gix::odb::Handle> {
    let options = gix::odb::store::init::Options { alloc_limit_bytes: Some(MAX_UNPACKING_BYTES), ..Default::default() };
    gix::odb::at_opts(objects, gix::hash::Kind::Sha1, None, options)
}

/// What stands where a file was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAFile {
    /// A symbolic link.
    SymbolicLink,
    /// A folder.
    Folder,
    /// A submodule.
    Submodule,
    /// A pipe, a socket or a device: only a folder of this machine has them.
    Device,
    /// A pointer to git LFS, whose content is elsewhere.
    LfsPointer,
}

impl NotAFile {
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::SymbolicLink => "Commit the file itself; links are not followed.",
            Self::Folder => "Rename the folder, or set the tool's path to the right one.",
            Self::Submodule => "Commit the file itself; submodules are not fetched.",
            Self::Device => "Put a file in its place.",
            Self::LfsPointer => "Take the file out of git LFS: `git lfs untrack` it and commit.",
        }
    }
}

impl fmt::Display for NotAFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SymbolicLink => "a symbolic link",
            Self::Folder => "a folder",
            Self::Submodule => "a submodule",
            Self::Device => "a pipe or a device",
            Self::LfsPointer => "a git LFS pointer",
        })
    }
}

/// What a build should know of a tree: it gets no git metadata, so neither of these is filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The repository has submodules; their folders stay empty.
    pub submodules: bool,
    /// Some files are kept in git LFS; they stay pointers.
    pub lfs: bool,
}

/// One path of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit's root tree.
    pub tree: TreeId,
    /// The tree at the path; none where the path does not exist.
    pub subtree: Option<TreeId>,
    /// The files at the path: an absent one is absent, not unread.
    pub files: Files,
    /// What a build should know.
    pub facts: Facts,
    /// What is known of the commit besides.
    pub commit: CommitFacts,
}

impl Snapshot {
    /// What it takes in memory, about.
    pub(super) fn size_bytes(&self) -> usize {
        let Files { config, procfile, service_template, secrets } = &self.files;
        let files = [config, procfile, service_template, secrets].into_iter().flatten().map(Vec::len).sum::<usize>();
        match &self.commit.signature {
            Signature::Unverified(signed) => files + signed.payload.len() + signed.armor.len(),
            _ => files,
        }
    }
}

/// What reading ran into.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Objects that are not here: a filtered pack leaves blobs out.
    Missing(Vec<ObjectId>),
    /// Anything else.
    Source(SourceError),
}

impl From<SourceError> for ReadError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// The files of `commit` at `path` (`""` is the root).
pub(super) fn snapshot(objects: &dyn Objects, commit: ObjectId, path: &str) -> Result<Snapshot, ReadError> {
    let root_id = root_tree(objects, commit)?;
    let root = Folder::read(objects, root_id, String::new())?;
    let folder = descend(objects, &root, path)?;
    let mut wanted = vec![root.file(".gitattributes").ok().flatten()];
    let mut files = Files::default();
    if let Some(folder) = &folder {
        let config = folder.file("toolforge.yaml")?;
        // The others count only where there is no toolforge.yaml.
        let (procfile, template) = match config {
            Some(_) => (None, None),
            None => (folder.file("Procfile")?, folder.file("service.template")?),
        };
        let secrets = folder.file(renderer::secrets::FILE)?;
        wanted.extend([config.clone(), procfile.clone(), template.clone(), secrets.clone()]);
        present(objects, &wanted)?;
        files = Files {
            config: read_file(objects, config)?,
            procfile: read_file(objects, procfile)?,
            service_template: read_file(objects, template)?,
            secrets: read_file(objects, secrets)?,
        };
    } else {
        present(objects, &wanted)?;
    }
    let attributes = wanted.swap_remove(0);
    let lfs = match blob(objects, attributes.as_ref().map(|(_, id)| *id)) {
        Ok(bytes) => bytes.is_some_and(|b| contains(&b, b"filter=lfs")),
        // Too large to be read as a hint: then the hint is missing.
        Err(ReadError::Source(SourceError::TooLarge { .. })) => false,
        Err(error) => return Err(error),
    };
    Ok(Snapshot {
        tree: tree_id(root_id)?,
        subtree: folder.map(|folder| tree_id(folder.id)).transpose()?,
        files,
        facts: Facts { submodules: root.entries.iter().any(|(name, ..)| name == b".gitmodules"), lfs },
        commit: commit_facts(objects, commit)?,
    })
}

/// The root tree of a commit.
pub(super) fn root_tree(objects: &dyn Objects, commit: ObjectId) -> Result<ObjectId, ReadError> {
    let data = read(objects, commit, Kind::Commit, MAX_COMMIT_BYTES)?;
    let commit = gix::objs::CommitRefIter::from_bytes(&data, gix::hash::Kind::Sha1)
        .tree_id()
        .map_err(|error| corrupt(&format!("commit {commit} cannot be read: {error}")))?;
    Ok(commit)
}

/// What is known of a commit besides its files.
pub(super) fn commit_facts(objects: &dyn Objects, commit: ObjectId) -> Result<CommitFacts, ReadError> {
    let data = read(objects, commit, Kind::Commit, MAX_COMMIT_BYTES)?;
    // Whose name can't be read has none: it is shown, and nothing follows from it.
    let author = gix::objs::CommitRefIter::from_bytes(&data, gix::hash::Kind::Sha1).author().ok();
    let author = author.and_then(|author| renderer::revision::author(author.name));
    Ok(CommitFacts { author, signature: signature(&data), licences: None })
}

fn signature(commit: &[u8]) -> Signature {
    let worthless = |why: String| Signature::Worthless { key: None, why };
    match gix::objs::CommitRefIter::signature(commit, gix::hash::Kind::Sha1) {
        Ok(None) => Signature::Absent,
        Ok(Some((armor, _))) if armor.len() > MAX_SIGNATURE_BYTES => {
            worthless(format!("it is larger than {MAX_SIGNATURE_BYTES} bytes"))
        }
        Ok(Some((armor, payload))) => {
            let (payload, armor) = (payload.to_bstring().into(), armor.to_vec());
            Signature::Unverified(Box::new(Signed { payload, armor }))
        }
        Err(_) => worthless("the commit cannot be read to its end".to_owned()),
    }
}

/// When a commit was made, in seconds since 1970.
pub(super) fn committed_secs(objects: &dyn Objects, commit: ObjectId) -> Result<i64, ReadError> {
    let data = read(objects, commit, Kind::Commit, MAX_COMMIT_BYTES)?;
    let committer = gix::objs::CommitRefIter::from_bytes(&data, gix::hash::Kind::Sha1)
        .committer()
        .map_err(|error| corrupt(&format!("commit {commit} cannot be read: {error}")))?;
    Ok(committer.seconds())
}

/// A name in a folder, and what it is.
pub(super) type Listed = (String, EntryKind, ObjectId);

/// Everything directly in the folder `path` of `commit`; none where there is no such folder.
pub(super) fn list(objects: &dyn Objects, commit: ObjectId, path: &str) -> Result<Option<Vec<Listed>>, ReadError> {
    let root = Folder::read(objects, root_tree(objects, commit)?, String::new())?;
    Ok(descend(objects, &root, path)?.map(Folder::listed))
}

/// Everything directly in the tree `id`; `path` names it in errors.
pub(super) fn list_tree(objects: &dyn Objects, id: ObjectId, path: &str) -> Result<Vec<Listed>, ReadError> {
    Ok(Folder::read(objects, id, path.to_owned())?.listed())
}

/// One blob of at most so many bytes, and no pointer to git LFS; `path` names it in errors.
pub(super) fn bounded_file(
    objects: &dyn Objects,
    path: &str,
    id: ObjectId,
    limit_bytes: u64,
) -> Result<Vec<u8>, ReadError> {
    let bytes = match read(objects, id, Kind::Blob, limit_bytes) {
        Err(ReadError::Source(SourceError::TooLarge { limit_bytes, .. })) => {
            return Err(SourceError::TooLarge { what: path.to_owned(), limit_bytes }.into());
        }
        bytes => bytes?,
    };
    if bytes.starts_with(LFS) { Err(not_a_file(path.to_owned(), NotAFile::LfsPointer)) } else { Ok(bytes) }
}

/// One blob, bounded; `path` names it in errors.
pub(super) fn file(objects: &dyn Objects, path: &str, id: ObjectId) -> Result<Vec<u8>, ReadError> {
    read_file(objects, Some((path.to_owned(), id))).map(Option::unwrap_or_default)
}

struct Folder {
    id: ObjectId,
    path: String,
    entries: Vec<(Vec<u8>, EntryKind, ObjectId)>,
}

impl Folder {
    fn read(objects: &dyn Objects, id: ObjectId, path: String) -> Result<Self, ReadError> {
        let data = read(objects, id, Kind::Tree, MAX_TREE_BYTES)?;
        let mut entries = Vec::new();
        for entry in TreeRefIter::from_bytes(&data, gix::hash::Kind::Sha1) {
            let entry = entry.map_err(|e| corrupt(&format!("tree {id} cannot be read: {e}")))?;
            let (name, kind) = (entry.filename.to_vec(), entry.mode.kind());
            entries.push((name, kind, entry.oid.to_owned()));
        }
        Ok(Self { id, path, entries })
    }

    fn listed(self) -> Vec<Listed> {
        let named = |(name, kind, id): (Vec<u8>, _, _)| (String::from_utf8_lossy(&name).into_owned(), kind, id);
        self.entries.into_iter().map(named).collect()
    }

    fn entry(&self, name: &str) -> Option<(EntryKind, ObjectId)> {
        let found = self.entries.iter().find(|(n, ..)| n == name.as_bytes())?;
        Some((found.1, found.2))
    }

    fn join(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        }
    }

    fn file(&self, name: &str) -> Result<Option<(String, ObjectId)>, ReadError> {
        let is = match self.entry(name) {
            None => return Ok(None),
            Some((EntryKind::Blob | EntryKind::BlobExecutable, id)) => {
                return Ok(Some((self.join(name), id)));
            }
            Some((EntryKind::Link, _)) => NotAFile::SymbolicLink,
            Some((EntryKind::Commit, _)) => NotAFile::Submodule,
            Some((EntryKind::Tree, _)) => NotAFile::Folder,
        };
        Err(not_a_file(self.join(name), is))
    }
}

fn descend(objects: &dyn Objects, root: &Folder, path: &str) -> Result<Option<Folder>, ReadError> {
    let mut at = Folder { id: root.id, path: String::new(), entries: root.entries.clone() };
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let path = at.join(part);
        at = match at.entry(part) {
            None | Some((EntryKind::Blob | EntryKind::BlobExecutable, _)) => return Ok(None),
            Some((EntryKind::Tree, id)) => Folder::read(objects, id, path)?,
            Some((EntryKind::Link, _)) => return Err(not_a_file(path, NotAFile::SymbolicLink)),
            Some((EntryKind::Commit, _)) => return Err(not_a_file(path, NotAFile::Submodule)),
        };
    }
    Ok(Some(at))
}

/// All missing blobs at once, so that they cost one request.
pub(super) fn present(objects: &dyn Objects, wanted: &[Option<(String, ObjectId)>]) -> Result<(), ReadError> {
    let mut missing = Vec::new();
    for (_, id) in wanted.iter().flatten() {
        if header(objects, *id)?.is_none() {
            missing.push(*id);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(ReadError::Missing(missing)) }
}

fn read_file(objects: &dyn Objects, file: Option<(String, ObjectId)>) -> Result<Option<Vec<u8>>, ReadError> {
    let Some((path, id)) = file else {
        return Ok(None);
    };
    bounded_file(objects, &path, id, MAX_FILE_BYTES).map(Some)
}

fn blob(objects: &dyn Objects, id: Option<ObjectId>) -> Result<Option<Vec<u8>>, ReadError> {
    id.map(|id| read(objects, id, Kind::Blob, MAX_FILE_BYTES)).transpose()
}

fn header(objects: &dyn Objects, id: ObjectId) -> Result<Option<(Kind, u64)>, ReadError> {
    let header = objects.try_header(&id).map_err(|error| corrupt(&format!("object {id} cannot be read: {error}")))?;
    Ok(header.map(|header| (header.kind, header.size)))
}

/// The size is looked at before the object is unpacked.
fn read(objects: &dyn Objects, id: ObjectId, kind: Kind, limit_bytes: u64) -> Result<Vec<u8>, ReadError> {
    match header(objects, id)? {
        None => return Err(ReadError::Missing(vec![id])),
        Some((found, _)) if found != kind => {
            return Err(corrupt(&format!("object {id} is a {found}, not a {kind}")));
        }
        Some((_, size)) if size > limit_bytes => {
            return Err(ReadError::Source(SourceError::TooLarge { what: format!("{kind} {id}"), limit_bytes }));
        }
        Some(_) => {}
    }
    let mut buffer = Vec::new();
    let found = objects
        .try_find(&id, &mut buffer)
        .map_err(|error| corrupt(&format!("object {id} cannot be read: {error}")))?
        .is_some();
    if found { Ok(buffer) } else { Err(ReadError::Missing(vec![id])) }
}

fn tree_id(id: ObjectId) -> Result<TreeId, SourceError> {
    TreeId::new(id.to_string()).map_err(|error| SourceError::Corrupt { why: error.to_string() })
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn not_a_file(path: String, is: NotAFile) -> ReadError {
    ReadError::Source(SourceError::NotAFile { path, is })
}

fn corrupt(why: &str) -> ReadError {
    ReadError::Source(SourceError::Corrupt { why: why.to_owned() })
}
