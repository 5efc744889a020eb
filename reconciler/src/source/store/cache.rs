//! What all repositories' folders take on disk, and which of them goes when that is too much.
//!
//! A folder that was not used for the longest time goes first, never one that is being read. Nothing but a fetch is
//! lost with it, so the books are kept in memory: a new process takes the folders' own times for their last use. Other
//! processes may use the same cache; each counts what it sees, and finds a folder that another one removed missing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the names of folders begin that are on their way out.
const GONE: &str = ".gone-";

/// The folders of all repositories.
pub(in crate::source) struct Cache {
    folder: PathBuf,
    limit_bytes: u64,
    books: Mutex<Option<Books>>,
}

#[derive(Default)]
struct Books {
    folders: HashMap<String, Entry>,
    uses: u64,
    removed: u64,
}

#[derive(Default)]
struct Entry {
    bytes: u64,
    last_use: u64,
    readers: u32,
}

/// One repository's folder while it is in use.
pub(super) struct InUse {
    cache: Arc<Cache>,
    name: String,
}

impl Cache {
    pub(in crate::source) fn new(folder: PathBuf, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { folder, limit_bytes, books: Mutex::new(None) })
    }

    /// The folder of a repository, which stays until the answer is dropped.
    pub(super) fn open(self: &Arc<Self>, name: &str) -> InUse {
        self.with(|books| {
            books.uses += 1;
            let now = books.uses;
            let entry = books.folders.entry(name.to_owned()).or_default();
            entry.last_use = now;
            entry.readers += 1;
        });
        InUse { cache: self.clone(), name: name.to_owned() }
    }

    /// What one repository may take of all, so that none pushes out all others.
    pub(super) fn share_bytes(&self) -> u64 {
        self.limit_bytes / 4
    }

    fn with<T>(&self, what: impl FnOnce(&mut Books) -> T) -> T {
        let mut books: MutexGuard<'_, _> = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        what(books.get_or_insert_with(|| Books::read(&self.folder)))
    }

    /// Removes folders until the rest fits.
    fn sweep(&self) {
        while let Some(gone) = self.with(|books| books.take_out(&self.folder, self.limit_bytes)) {
            if let Err(error) = std::fs::remove_dir_all(&gone) {
                tracing::warn!(folder = %gone.display(), %error, "a folder of the git cache was not removed");
            }
        }
    }
}

impl Books {
    /// Counts what is there, and removes what a killed process did not.
    fn read(cache: &Path) -> Self {
        let mut found = Vec::new();
        // A cache that cannot be listed is an empty one: the first fetch will say what is wrong with it.
        for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(GONE) {
                drop(std::fs::remove_dir_all(entry.path()));
            } else if name.len() == 32 {
                let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
                found.push((modified, name, size_bytes(&entry.path())));
            }
        }
        found.sort();
        let mut books = Self::default();
        for (_, name, bytes) in found {
            books.uses += 1;
            books.folders.insert(name, Entry { bytes, last_use: books.uses, readers: 0 });
        }
        books
    }

    /// Takes the folder out that was not used for the longest time, if all are too large; it stands under another name
    /// then. None where nothing is left to do.
    fn take_out(&mut self, cache: &Path, limit_bytes: u64) -> Option<PathBuf> {
        loop {
            let total: u64 = self.folders.values().map(|entry| entry.bytes).sum();
            if total <= limit_bytes {
                return None;
            }
            let idle = self.folders.iter().filter(|(_, entry)| entry.readers == 0 && entry.bytes > 0);
            let name = idle.min_by_key(|(_, entry)| entry.last_use).map(|(name, _)| name.clone())?;
            self.folders.remove(&name);
            self.removed += 1;
            let gone = cache.join(format!("{GONE}{}-{}", std::process::id(), self.removed));
            // Where another process was faster there is nothing to rename, and nothing that takes room.
            if std::fs::rename(cache.join(&name), &gone).is_ok() {
                return Some(gone);
            }
        }
    }
}

impl InUse {
    pub(super) fn path(&self) -> PathBuf {
        self.cache.folder.join(&self.name)
    }

    /// Its content changed: it is measured anew, and others make room for it.
    pub(super) fn changed(&self) {
        let bytes = size_bytes(&self.path());
        self.cache.with(|books| books.folders.entry(self.name.clone()).or_default().bytes = bytes);
        self.cache.sweep();
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.cache.with(|books| {
            if let Some(entry) = books.folders.get_mut(&self.name) {
                entry.readers = entry.readers.saturating_sub(1);
                if entry.readers == 0 && entry.bytes == 0 {
                    books.folders.remove(&self.name);
                }
            }
        });
    }
}

/// All files below a folder. What vanishes meanwhile takes no room.
pub(super) fn size_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(letter: char) -> String {
        letter.to_string().repeat(32)
    }

    fn fill(cache: &Arc<Cache>, letter: char, bytes: usize) -> InUse {
        let used = cache.open(&name(letter));
        std::fs::create_dir_all(used.path().join("commit")).expect("a folder");
        std::fs::write(used.path().join("commit").join("pack"), vec![0; bytes]).expect("a file");
        used.changed();
        used
    }

    fn left(folder: &Path) -> String {
        let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut letters: Vec<_> = names.filter_map(|name| name.to_string_lossy().chars().next()).collect();
        letters.sort_unstable();
        letters.into_iter().collect()
    }

    #[test]
    fn the_folder_unused_for_longest_goes_and_one_in_use_never() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path().to_owned(), 100);
        let reading = fill(&cache, 'a', 30);
        drop(fill(&cache, 'b', 30));
        drop(fill(&cache, 'c', 30));
        drop(cache.open(&name('b')));
        assert_eq!(left(folder.path()), "abc");
        drop(fill(&cache, 'd', 30));
        assert_eq!(left(folder.path()), "abd", "a is in use, b was used after c");
        let large = fill(&cache, 'e', 500);
        assert_eq!(left(folder.path()), "ae", "what is in use stays, whatever its size");
        drop((reading, large));
        drop(fill(&cache, 'f', 90));
        assert_eq!(left(folder.path()), "f");
    }

    #[test]
    fn a_new_process_counts_what_is_there_and_sweeps_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = Cache::new(folder.path().to_owned(), 100);
        for letter in ['a', 'b'] {
            drop(fill(&old, letter, 40));
        }
        std::fs::create_dir_all(folder.path().join(".gone-1-1/commit")).expect("a folder");
        let new = Cache::new(folder.path().to_owned(), 100);
        drop(fill(&new, 'c', 50));
        let left = left(folder.path());
        assert!(left == "ac" || left == "bc", "one of the old ones went: {left}");
    }
}
