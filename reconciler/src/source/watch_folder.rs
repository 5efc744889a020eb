//! A commit in a local repository is seen at once: a hint, never a fact. Polling goes on beside it, and what a wake-up
//! finds is read like any other cycle's.

use super::url::{RepositoryKey, RepositoryUrl};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One `git commit` writes several files; they make one wake-up.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Why a repository is only polled.
#[derive(Debug, thiserror::Error)]
#[error("{path} is not watched, only polled: {why}")]
pub struct WatchError {
    /// The folder.
    pub path: String,
    /// What the system says.
    pub why: String,
}

/// git's own folders → whose they are.
type Folders = Arc<Mutex<BTreeMap<PathBuf, RepositoryKey>>>;

/// Watches the refs of local repositories. Ends when it is dropped.
pub struct WatchFolder {
    watcher: RecommendedWatcher,
    folders: Folders,
}

impl WatchFolder {
    /// Starts watching nothing. `wake` is called, on a thread of its own, with the name of a repository whose refs may
    /// have moved.
    ///
    /// # Errors
    /// Where this machine cannot watch files.
    pub fn new(wake: impl Fn(&RepositoryKey) + Send + 'static) -> Result<Self, WatchError> {
        let folders = Folders::default();
        let (changed, changes) = channel();
        let watcher = notify::recommended_watcher(observer(folders.clone(), changed))
            .map_err(|error| failed(Path::new("this machine"), &error))?;
        std::thread::Builder::new()
            .name("watch-folder".to_owned())
            .spawn(move || debounce(&changes, &wake))
            .map_err(|error| failed(Path::new("this machine"), &error))?;
        Ok(Self { watcher, folders })
    }

    /// Watches these repositories and no others; remote ones, and those watched already, cost nothing. Returned is why
    /// some are only polled.
    pub fn set(&mut self, repositories: &[RepositoryUrl]) -> Vec<WatchError> {
        let wanted: BTreeSet<_> = repositories.iter().map(RepositoryUrl::key).collect();
        self.remove_all_but(&wanted);
        let watched: BTreeSet<_> = lock(&self.folders).values().cloned().collect();
        let fresh = repositories.iter().filter(|repository| !watched.contains(&repository.key()));
        fresh.filter_map(|repository| self.add(repository).err()).collect()
    }

    fn add(&mut self, repository: &RepositoryUrl) -> Result<(), WatchError> {
        let Some(path) = repository.local_path() else {
            return Ok(());
        };
        let opened = gix::open_opts(&path, gix::open::Options::isolated()).map_err(|error| failed(&path, &error))?;
        for folder in [opened.git_dir(), opened.common_dir()] {
            let folder = folder.canonicalize().map_err(|error| failed(folder, &error))?;
            let known = lock(&self.folders).insert(folder.clone(), repository.key());
            if known.is_some() {
                continue;
            }
            // HEAD and packed-refs are replaced by renaming, so the folder is watched and not the files.
            self.watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(|error| failed(&folder, &error))?;
            for below in below(&folder) {
                self.watcher.watch(&below, RecursiveMode::Recursive).map_err(|error| failed(&below, &error))?;
            }
        }
        Ok(())
    }

    fn remove_all_but(&mut self, wanted: &BTreeSet<RepositoryKey>) {
        let mut gone = Vec::new();
        lock(&self.folders).retain(|folder, key| {
            let stays = wanted.contains(key);
            if !stays {
                gone.push(folder.clone());
            }
            stays
        });
        for folder in gone.iter().flat_map(|folder| std::iter::once(folder.clone()).chain(below(folder))) {
            // A folder that was removed is not watched any more either.
            drop(self.watcher.unwatch(&folder));
        }
    }
}

/// Where refs are, in one of git's own folders.
fn below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    ["refs", "reftable"].map(|name| folder.join(name)).into_iter().filter(|path| path.is_dir())
}

fn observer(folders: Folders, changed: Sender<RepositoryKey>) -> impl Fn(notify::Result<notify::Event>) {
    move |event| {
        // An error means missed events: polling sees what they would have said.
        let Ok(event) = event else { return };
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let folders = lock(&folders);
        for path in event.paths.iter().filter(|path| is_ref(path)) {
            let owner = path.ancestors().find_map(|above| folders.get(above));
            if let Some(key) = owner {
                // Nobody listens any more while everything is being dropped.
                drop(changed.send(key.clone()));
            }
        }
    }
}

fn is_ref(path: &Path) -> bool {
    let lock = path.extension().is_some_and(|extension| extension == "lock");
    let named = path.file_name().is_some_and(|name| name == "HEAD" || name == "packed-refs");
    let below = path.components().any(|part| part.as_os_str() == "refs" || part.as_os_str() == "reftable");
    !lock && (named || below)
}

fn debounce(changes: &Receiver<RepositoryKey>, wake: &impl Fn(&RepositoryKey)) {
    while let Ok(first) = changes.recv() {
        let mut changed = BTreeSet::from([first]);
        loop {
            match changes.recv_timeout(DEBOUNCE) {
                Ok(key) => {
                    changed.insert(key);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        changed.iter().for_each(wake);
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> WatchError {
    WatchError { path: path.display().to_string(), why: error.to_string() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
