//! A working tree as commits of a scratch repository: each the files as they are now, without what git ignores.

use crate::cli::place::ToolPlace;
use crate::cli::scratch;
use crate::ui::{failed, plain};
use anyhow::Context as _;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};

/// An editor writes several files for one save; they make one snapshot.
const DEBOUNCE: Duration = Duration::from_millis(150);

/// The scratch repository of a folder.
pub struct Snapshot {
    folder: PathBuf,
    repo: PathBuf,
    /// Its own address, as its toolforge.yaml may name it: there it means this repository.
    origin: Option<String>,
}

impl Snapshot {
    /// Takes the first one.
    pub fn new(place: &ToolPlace, repo: &Path) -> anyhow::Result<Self> {
        let folder = place.folder.canonicalize().context("the folder is gone")?;
        fs::create_dir_all(repo)?;
        scratch::git(repo, &["init", "-q", "-b", "main"])?;
        let origin = place.worktree.origin.as_ref().map(|origin| origin.without_userinfo().to_string());
        let snapshot = Self { folder, repo: repo.to_owned(), origin };
        snapshot.take()?;
        Ok(snapshot)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the files as they are; false where nothing changed.
    pub fn take(&self) -> anyhow::Result<bool> {
        let files = self.files()?;
        self.clear()?;
        for file in &files {
            self.copy(file).with_context(|| file.display().to_string())?;
        }
        scratch::git(&self.repo, &["add", "--all", "--force"])?;
        let changed = !scratch::git(&self.repo, &["status", "--porcelain"])?.is_empty();
        if changed {
            scratch::git(&self.repo, &["commit", "-q", "-m", "As it is saved"])?;
        }
        Ok(changed)
    }

    /// What git would take in, or, without git, everything.
    fn files(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let listed = scratch::git(&self.folder, &["ls-files", "-z", "--cached", "--others", "--exclude-standard", "."]);
        let Ok(listed) = listed else { return Ok(self.walk()?) };
        let paths = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).filter(|path| is_below(path)).collect())
    }

    fn walk(&self) -> std::io::Result<BTreeSet<PathBuf>> {
        let (mut found, mut open) = (BTreeSet::new(), vec![PathBuf::new()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(self.folder.join(&folder))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                if entry.file_name() == ".git" {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path);
                }
            }
        }
        Ok(found)
    }

    fn clear(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.repo)? {
            let entry = entry?;
            match entry.file_type()? {
                _ if entry.file_name() == ".git" => {}
                kind if kind.is_dir() => fs::remove_dir_all(entry.path())?,
                _ => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    fn copy(&self, file: &Path) -> anyhow::Result<()> {
        let (from, to) = (self.folder.join(file), self.repo.join(file));
        // Deleted and not yet told to git, or saved away this moment.
        let Ok(found) = fs::symlink_metadata(&from) else { return Ok(()) };
        fs::create_dir_all(to.parent().unwrap_or(&self.repo))?;
        if found.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if found.is_file() {
            fs::copy(&from, &to)?;
            if file == Path::new("toolforge.yaml") {
                self.be_its_own(&to)?;
            }
        }
        Ok(())
    }

    /// Without an address a build is of the repository that the file is in.
    fn be_its_own(&self, file: &Path) -> anyhow::Result<()> {
        let Some(origin) = &self.origin else { return Ok(()) };
        let text = fs::read_to_string(file)?;
        let own = format!("repository: {origin}");
        let lines = text.lines().filter(|line| line.trim() != own).map(|line| line.replace(&format!("{own}, "), ""));
        fs::write(file, lines.collect::<Vec<_>>().join("\n") + "\n")?;
        Ok(())
    }
}

fn is_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Hints that something below a folder was saved.
pub struct Changes {
    hints: Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Begins to watch.
    pub fn below(folder: &Path) -> anyhow::Result<Self> {
        let (hint, hints) = channel(1);
        let root = folder.to_owned();
        let observe = move |event: notify::Result<notify::Event>| {
            let is_saved = event.is_ok_and(|event| {
                let of_git = |path: &PathBuf| path.strip_prefix(&root).is_ok_and(|path| path.starts_with(".git"));
                !matches!(event.kind, EventKind::Access(_)) && !event.paths.iter().all(of_git)
            });
            if is_saved {
                // One that waits already says the same.
                let _ = hint.try_send(());
            }
        };
        let unwatched = |error: notify::Error| {
            failed(format!("{} can't be watched: {}", folder.display(), plain(&std::io::Error::other(error))))
        };
        let mut watcher = notify::recommended_watcher(observe).map_err(unwatched)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(unwatched)?;
        Ok(Self { hints, _watcher: watcher })
    }

    /// Waits for a hint, and for those that come with it.
    pub async fn next(&mut self) {
        if self.hints.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        while tokio::time::timeout(DEBOUNCE, self.hints.recv()).await.is_ok() {}
    }
}
