//! A commit's files on disk, for a build and nothing else: no git metadata, no hook, no filter, and no file outside.
//!
//! A tree is a stranger's, so each of its names is looked at before anything is written: nothing climbs out, nothing is
//! called `.git`, and a symbolic link is made only where it leads to somewhere inside. What a build could not see as it
//! is in the repository (a submodule, a file in git LFS) is an error that says so, not a hole in the image.

use super::fetch::Filter;
use super::git::{Git, object_id};
use super::tree::{self, NotAFile, ReadError};
use super::{RepositoryUrl, SourceError};
use gix::ObjectId;
use gix::objs::tree::EntryKind;
use renderer::CommitId;
use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Largest file; what is larger belongs elsewhere than in git.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most bytes of all files.
const MAX_BYTES: u64 = 2 << 30;
/// Most files and folders.
const MAX_ENTRIES: usize = 200_000;
/// Deepest folder.
const MAX_DEPTH: usize = 64;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Files and links.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// When the commit was made, in seconds since 1970.
    pub committed_secs: i64,
}

impl Git {
    /// Writes the files of `commit` below `path` (`""` is the root) into the empty folder `into`.
    ///
    /// # Errors
    /// Where they could not be read or written, or are more, larger or other than a build may have. Then the folder may
    /// hold a part of them.
    pub async fn checkout(
        &self,
        url: &RepositoryUrl,
        commit: &CommitId,
        path: &str,
        into: &Path,
    ) -> Result<Written, SourceError> {
        let (id, path, into) = (object_id(commit)?, path.to_owned(), into.to_owned());
        self.read(url, id, Filter::Nothing, move |objects| {
            let written = Written { committed_secs: tree::committed_secs(objects, id)?, ..Written::default() };
            let mut writer = Writer { objects, root: into.clone(), written, entries: 0 };
            let Some(listed) = tree::list(objects, id, &path)? else {
                return Err(corrupt(format!("commit {id} has no folder {path}")).into());
            };
            writer.folder(listed, &PathBuf::new(), 0)?;
            Ok(writer.written)
        })
        .await
    }
}

struct Writer<'a> {
    objects: &'a gix::odb::Handle,
    root: PathBuf,
    written: Written,
    entries: usize,
}

impl Writer<'_> {
    fn folder(&mut self, listed: Vec<tree::Listed>, at: &Path, depth: usize) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(corrupt(format!("{} lies more than {MAX_DEPTH} folders deep", at.display())).into());
        }
        for (name, kind, id) in listed {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let what = "the number of files".to_owned();
                return Err(SourceError::TooLarge { what, limit_bytes: MAX_ENTRIES as u64 }.into());
            }
            let path = at.join(plain(&name, at)?);
            self.entry(kind, id, &path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, kind: EntryKind, id: ObjectId, path: &Path, depth: usize) -> Result<(), ReadError> {
        let shown = path.display().to_string();
        match kind {
            EntryKind::Tree => {
                fs::create_dir(self.root.join(path)).map_err(|error| unwritable(path, &error))?;
                let listed = tree::list_tree(self.objects, id, &shown)?;
                self.folder(listed, path, depth + 1)
            }
            EntryKind::Blob | EntryKind::BlobExecutable => {
                let bytes = tree::bounded_file(self.objects, &shown, id, MAX_FILE_BYTES)?;
                let mode = if kind == EntryKind::BlobExecutable { 0o755 } else { 0o644 };
                self.count(bytes.len() as u64)?;
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).create_new(true).mode(mode).open(self.root.join(path));
                let wrote = file.and_then(|mut file| io::Write::write_all(&mut file, &bytes));
                Ok(wrote.map_err(|error| unwritable(path, &error))?)
            }
            EntryKind::Link => {
                let target = tree::bounded_file(self.objects, &shown, id, 4096)?;
                let target = std::str::from_utf8(&target).ok().filter(|target| stays_inside(path, target));
                let target =
                    target.ok_or_else(|| corrupt(format!("{shown} is a link that leads out of the repository")))?;
                self.count(0)?;
                Ok(symlink(target, self.root.join(path)).map_err(|error| unwritable(path, &error))?)
            }
            EntryKind::Commit => Err(SourceError::NotAFile { path: shown, is: NotAFile::Submodule }.into()),
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), SourceError> {
        self.written.files += 1;
        self.written.bytes += bytes;
        if self.written.bytes > MAX_BYTES {
            return Err(SourceError::TooLarge { what: "the source".to_owned(), limit_bytes: MAX_BYTES });
        }
        Ok(())
    }
}

/// A name that is one step down, and no git folder in any spelling that some file system takes for one.
fn plain<'n>(name: &'n str, at: &Path) -> Result<&'n str, SourceError> {
    let is_git = name.trim_end_matches(['.', ' ']).eq_ignore_ascii_case(".git");
    let climbs = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
    // What was no UTF-8 is not the name it had.
    if is_git || climbs || name.contains('\u{fffd}') {
        return Err(corrupt(format!("{:?} in {:?} is no name for a file", name, at.display().to_string())));
    }
    Ok(name)
}

/// Whether a link at `path` with this target leads to somewhere below the root, by its words alone. It may climb only at
/// its beginning, where what it climbs are folders of ours: behind a name, which may be a link itself, `..` is anywhere.
fn stays_inside(path: &Path, target: &str) -> bool {
    let parts = || target.split('/').filter(|part| !part.is_empty() && *part != ".");
    let climbs = parts().take_while(|part| *part == "..").count();
    let sinks_only = parts().skip(climbs).all(|part| part != "..");
    let depth = path.components().count().saturating_sub(1);
    climbs <= depth && sinks_only && !target.starts_with('/') && !target.is_empty() && !target.contains('\0')
}

fn unwritable(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Unreachable { why: format!("{} can't be written: {error}", path.display()) }
}

fn corrupt(why: String) -> SourceError {
    SourceError::Corrupt { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_inside_by_its_words_or_is_none() {
        for (path, target) in [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/./e"), ("a/b", "..")] {
            assert!(stays_inside(Path::new(path), target), "{path} {target}");
        }
        for (path, target) in
            [("a", ".."), ("a/b", "../../c"), ("a", "/etc/passwd"), ("a", "b/../../c"), ("a", ""), ("a", "p/q/link/..")]
        {
            assert!(!stays_inside(Path::new(path), target), "{path} {target}");
        }
    }

    #[test]
    fn a_name_is_one_step_down() {
        for name in ["a", "...", ".gitignore", "a b", "ü"] {
            assert!(plain(name, Path::new("")).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a\0", ".git", ".GIT", ".git ", ".git.", "\u{fffd}"] {
            assert!(plain(name, Path::new("")).is_err(), "{name:?}");
        }
    }
}
