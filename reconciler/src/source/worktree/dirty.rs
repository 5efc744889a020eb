//! Whether a working tree differs from HEAD.
//!
//! git is asked, whose rules for the index, line ends and ignored files are many. But a folder may be a stranger's, and
//! its `.git/config` names programs: filters that run whenever a file's time changed, monitors, hooks, helpers of
//! remotes. So git gets a repository of our own in front of the stranger's objects and index: its configuration says
//! nothing but a few words about files, and an attribute that asks for a filter finds none of that name. Neither the
//! user's nor the system's configuration counts, for it may define what the attributes then call. Submodules have
//! configurations of their own, and are compared by their commit only.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What changes how files compare, and is never a program.
const KEPT: &[(&str, &str)] = &[
    ("core.fileMode", "filemode"),
    ("core.symlinks", "symlinks"),
    ("core.ignoreCase", "ignorecase"),
    ("core.autocrlf", "autocrlf"),
    ("core.eol", "eol"),
];

/// The values these have.
const WORDS: &[&str] = &["true", "false", "input", "lf", "crlf", "native"];

/// Whether tracked files differ from HEAD, or untracked ones are there; none where that could not be told.
pub(super) fn is_dirty(repository: &gix::Repository, root: &Path) -> Option<bool> {
    let args = ["--no-optional-locks", "status", "--porcelain", "-z", "--ignore-submodules=dirty"];
    git(repository, root, root, &args).map(|output| !output.is_empty())
}

/// The files below a folder that git holds, or would take in; none where that could not be told.
pub(super) fn listed(repository: &gix::Repository, root: &Path, folder: &Path) -> Option<Vec<PathBuf>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "."];
    let output = git(repository, root, folder, &args)?;
    let paths = output.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Some(paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect())
}

/// What git says, of a repository of our own in front of the stranger's.
fn git(repository: &gix::Repository, root: &Path, folder: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let own = tempfile::tempdir().ok()?;
    write_own(repository, own.path()).ok()?;
    let output = Command::new("git")
        .args(args)
        .current_dir(folder)
        .env("GIT_DIR", own.path())
        .env("GIT_WORK_TREE", root)
        .env("GIT_INDEX_FILE", repository.git_dir().join("index"))
        .env("GIT_OBJECT_DIRECTORY", repository.objects.store_ref().path())
        .env_remove("GIT_COMMON_DIR")
        .env_remove("GIT_CONFIG_PARAMETERS")
        .env("GIT_CONFIG_COUNT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

/// The least that git takes for a repository, at the stranger's commit.
fn write_own(repository: &gix::Repository, own: &Path) -> io::Result<()> {
    let head = match repository.head_id() {
        Ok(id) => format!("{id}\n"),
        Err(_) => "ref: refs/heads/main\n".to_owned(),
    };
    let mut config = "[core]\n\tbare = false\n".to_owned();
    let theirs = repository.config_snapshot();
    for (key, name) in KEPT {
        let value = theirs.string(*key).map(|value| value.to_string().to_lowercase());
        if let Some(word) = value.and_then(|value| WORDS.iter().find(|word| **word == value)) {
            config.push_str(&format!("\t{name} = {word}\n"));
        }
    }
    std::fs::create_dir(own.join("refs"))?;
    std::fs::create_dir(own.join("info"))?;
    std::fs::write(own.join("HEAD"), head)?;
    std::fs::write(own.join("config"), config)?;
    // What its owner ignores here; a missing or unreadable file ignores nothing.
    if let Ok(Some(excluded)) = super::file(&repository.common_dir().join("info").join("exclude")) {
        std::fs::write(own.join("info").join("exclude"), excluded)?;
    }
    Ok(())
}
