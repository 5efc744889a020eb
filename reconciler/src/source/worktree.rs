//! Repositories on this machine: read in place, without the git program and without copying anything.
//!
//! Two different things are read. A *local repository*, named in the config repository, is like any other: its refs
//! and commits count, never its working tree. A *working tree* is what a person edits: `check`, `render` and `diff`
//! read its files as they are. It may be a stranger's: nothing that its configuration or attributes name is run.

mod dirty;

use super::SourceError;
use super::fetch::commit_id;
use super::refs::Refs;
use super::tree::{self, MAX_FILE_BYTES, NotAFile};
use super::url::RepositoryUrl;
use renderer::{CommitId, Files, TreeId};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What a person has before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// Root of the working tree; none outside of any repository.
    pub root: Option<PathBuf>,
    /// The folder's path below the root, with `/`; empty for the root itself.
    pub path: String,
    /// URL of the remote `origin`, if it has one that we understand.
    pub origin: Option<RepositoryUrl>,
    /// The branch that is checked out; none where HEAD is detached.
    pub branch: Option<String>,
    /// The commit of HEAD; none before the first commit.
    pub commit: Option<CommitId>,
    /// Whether tracked files differ from HEAD, or untracked ones are there; none where that could not be told.
    pub dirty: Option<bool>,
    /// HEAD's tree at `path`, where the working tree equals it.
    pub tree: Option<TreeId>,
    /// The files in the folder as they are now.
    pub files: Files,
}

/// Reads `folder` and the repository around it, if any.
///
/// # Errors
/// Where a file cannot be read or is no file; a missing one is no error.
pub fn read(folder: &Path) -> Result<Worktree, SourceError> {
    let folder = folder.canonicalize().map_err(|e| unreadable(folder, &e))?;
    let files = files(&folder)?;
    let bare = Worktree {
        root: None,
        path: String::new(),
        origin: None,
        branch: None,
        commit: None,
        dirty: None,
        tree: None,
        files,
    };
    let Some(root) = root_of(&folder) else {
        return Ok(bare);
    };
    let repository = open(&root)?;
    let head = repository.head().map_err(|e| corrupt(&root, &e))?;
    let branch = head.referent_name().and_then(|name| name.shorten().to_string().into());
    let id = repository.head_id().ok().map(gix::Id::detach);
    let dirty = dirty::is_dirty(&repository, &root);
    let below = folder.strip_prefix(&root).unwrap_or(Path::new(""));
    let tree = match (dirty, id) {
        (Some(false), Some(_)) => tree_at(&repository, below).map_err(|e| corrupt(&root, &e))?,
        _ => None,
    };
    Ok(Worktree {
        path: below.to_string_lossy().into_owned(),
        origin: origin(&repository, &root),
        branch,
        commit: id.map(commit_id).transpose()?,
        dirty,
        tree,
        root: Some(root),
        ..bare
    })
}

/// The files below a folder that git holds, or would take in, by their paths in it; none outside of any repository.
#[must_use]
pub fn listed(folder: &Path) -> Option<Vec<PathBuf>> {
    let folder = folder.canonicalize().ok()?;
    let root = root_of(&folder)?;
    dirty::listed(&open(&root).ok()?, &root, &folder)
}

/// The tree of HEAD at a path below the root; none where HEAD has no such folder.
fn tree_at(repository: &gix::Repository, path: &Path) -> anyhow::Result<Option<TreeId>> {
    let root = repository.head_tree()?;
    if path.as_os_str().is_empty() {
        return Ok(TreeId::new(root.id.to_string()).ok());
    }
    let entry = root.lookup_entry_by_path(path)?.filter(|entry| entry.mode().is_tree());
    Ok(entry.and_then(|entry| TreeId::new(entry.object_id().to_string()).ok()))
}

/// The describing files in `folder` as they are now.
///
/// # Errors
/// Where one cannot be read, is too large, is no file, or is a link out of the repository; a missing one is no error.
pub fn files(folder: &Path) -> Result<Files, SourceError> {
    let folder = folder.canonicalize().map_err(|e| unreadable(folder, &e))?;
    let root = root_of(&folder).unwrap_or_else(|| folder.clone());
    let inside = |name: &str| file_below(&root, &folder.join(name));
    let config = inside("toolforge.yaml")?;
    let (procfile, service_template) = match config {
        Some(_) => (None, None),
        None => (inside("Procfile")?, inside("service.template")?),
    };
    let secrets = inside(renderer::secrets::FILE)?;
    Ok(Files { config, procfile, service_template, secrets })
}

/// Like [`file`], and a link may not lead out of `root`: who cloned a stranger's repository did not mean to show or
/// send what it points to.
fn file_below(root: &Path, path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    match path.canonicalize() {
        Ok(real) if real.starts_with(root) => file(&real),
        Ok(_) => Err(SourceError::NotAFile { path: path.display().to_string(), is: NotAFile::SymbolicLink }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// One file, bounded; none where there is none. A link is no file.
///
/// # Errors
/// Where it cannot be read, is too large, or is something else.
pub(super) fn file(path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    // Looked at before it is opened: a pipe would wait for whoever writes into it.
    let is = match std::fs::symlink_metadata(path).map(|meta| meta.file_type()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
        Ok(is) if is.is_file() => None,
        Ok(is) if is.is_symlink() => Some(NotAFile::SymbolicLink),
        Ok(is) if is.is_dir() => Some(NotAFile::Folder),
        Ok(_) => Some(NotAFile::Device),
    };
    if let Some(is) = is {
        return Err(SourceError::NotAFile { path: path.display().to_string(), is });
    }
    let opened = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::new();
    opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(SourceError::TooLarge { what: path.display().to_string(), limit_bytes: MAX_FILE_BYTES });
    }
    Ok(Some(bytes))
}

/// Refs of the local repository at `path`, without a process and without the network.
pub(super) fn refs(path: &Path, prefixes: &[String]) -> Result<Refs, SourceError> {
    let repository = open(path)?;
    let head = repository.head().map_err(|e| corrupt(path, &e))?;
    let mut refs = Refs {
        head: head
            .referent_name()
            .filter(|name| name.as_bstr().starts_with(b"refs/heads/"))
            .map(|name| name.shorten().to_string()),
        ..Refs::default()
    };
    drop(head);
    if let Ok(id) = repository.head_id() {
        refs.head_commit = Some(commit_id(id.detach())?);
    }
    let all = repository.references().map_err(|e| corrupt(path, &e))?;
    for reference in all.all().map_err(|e| corrupt(path, &e))? {
        let mut reference = reference.map_err(|e| corrupt(path, &e))?;
        let Ok(name) = std::str::from_utf8(reference.name().as_bstr()).map(str::to_owned) else {
            continue;
        };
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            let id = reference.peel_to_id().map_err(|e| corrupt(path, &e))?;
            refs.insert(&name, commit_id(id.detach())?);
        }
    }
    Ok(refs)
}

/// The objects of the local repository at `path`.
pub(super) fn objects(path: &Path) -> Result<gix::odb::Handle, SourceError> {
    let repository = open(path)?;
    let objects = repository.objects.store_ref().path().to_owned();
    tree::open(&objects).map_err(|error| unreadable(&objects, &error))
}

/// Isolated: neither the system's nor the user's git configuration counts.
fn open(path: &Path) -> Result<gix::Repository, SourceError> {
    if !path.is_dir() {
        return Err(SourceError::NotFound { repository: path.display().to_string() });
    }
    gix::open_opts(path, gix::open::Options::isolated())
        .map_err(|_| SourceError::NotARepository { path: path.display().to_string() })
}

fn root_of(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|at| at.join(".git").exists()).map(Path::to_owned)
}

fn origin(repository: &gix::Repository, root: &Path) -> Option<RepositoryUrl> {
    let config = repository.config_snapshot();
    let url = config.string("remote.origin.url")?;
    RepositoryUrl::parse_in(&url.to_string(), root).ok()
}

fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::Unreachable { why: format!("{}: {error}", path.display()) }
}

fn corrupt(path: &Path, error: &dyn std::fmt::Display) -> SourceError {
    SourceError::Corrupt { why: format!("{}: {error}", path.display()) }
}
