//! Bare repositories, written without a work tree.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};

/// A repository on the server. Its methods run git and block for some milliseconds.
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
    name: String,
    url: String,
    /// Seconds: each commit is a minute later than the one before.
    clock: AtomicU64,
}

/// What a commit puts at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// An ordinary file.
    File(&'a [u8]),
    /// One with the executable bit.
    Executable(&'a [u8]),
    /// A symbolic link, to wherever.
    Link(&'a str),
    /// A submodule at a commit, 40 hex digits.
    Submodule(&'a str),
    /// Nothing: the file or folder goes.
    Gone,
}

impl Repository {
    pub(super) fn create(root: &Path, name: &str, url: String) -> anyhow::Result<Self> {
        let path = root.join(format!("{name}.git"));
        ensure!(!path.exists(), "repository {name} exists already");
        let repository = Self { path, name: name.into(), url, clock: AtomicU64::new(1_700_000_000) };
        let mut init = git(root);
        run(init.args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&repository.path), "")?;
        // Hosts allow both, and clients of ours may want a commit by its id.
        repository.git(&["config", "uploadpack.allowFilter", "true"])?;
        repository.git(&["config", "uploadpack.allowReachableSHA1InWant", "true"])?;
        Ok(repository)
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the server serves it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bare repository itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits files to `main` and returns the commit's id. What is not named stays.
    pub fn commit(&self, files: &[(&str, &str)]) -> anyhow::Result<String> {
        self.commit_to("main", files)
    }

    /// Commits files to a branch, which begins with this commit if it does not exist.
    pub fn commit_to(&self, branch: &str, files: &[(&str, &str)]) -> anyhow::Result<String> {
        let entries: Vec<_> = files.iter().map(|(path, text)| (*path, Entry::File(text.as_bytes()))).collect();
        self.commit_entries(branch, &entries)
    }

    /// Commits anything to a branch.
    pub fn commit_entries(&self, branch: &str, entries: &[(&str, Entry<'_>)]) -> anyhow::Result<String> {
        let date = self.clock.fetch_add(60, Ordering::Relaxed);
        let exists = self.resolve(&format!("refs/heads/{branch}")).is_ok();
        let mut stream = format!(
            "commit refs/heads/{branch}\nmark :1\ncommitter Tester <tester@example.org> {date} +0000\ndata 6\ncommit\n"
        )
        .into_bytes();
        if exists {
            writeln!(stream, "from refs/heads/{branch}^0")?;
        }
        for (path, entry) in entries {
            write_entry(&mut stream, path, *entry)?;
        }
        stream.extend_from_slice(b"get-mark :1\ndone\n");
        self.git_with_input(&["fast-import", "--quiet", "--done", "--force"], &stream)
    }

    /// The id a ref, or any other expression such as `main:toolforge.yaml`, has now.
    pub fn resolve(&self, expression: &str) -> anyhow::Result<String> {
        self.git(&["rev-parse", "--verify", "--quiet", expression])
    }

    /// Moves a branch to a commit, or makes it; forced, like a force push.
    pub fn set_branch(&self, branch: &str, commit: &str) -> anyhow::Result<()> {
        self.git(&["update-ref", &format!("refs/heads/{branch}"), commit]).map(drop)
    }

    /// Deletes a branch.
    pub fn delete_branch(&self, branch: &str) -> anyhow::Result<()> {
        self.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]).map(drop)
    }

    /// Makes HEAD name another branch.
    pub fn set_head(&self, branch: &str) -> anyhow::Result<()> {
        self.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]).map(drop)
    }

    /// A light tag: the ref itself names the commit.
    pub fn tag(&self, name: &str, commit: &str) -> anyhow::Result<()> {
        self.git(&["tag", name, commit]).map(drop)
    }

    /// An annotated tag: the ref names an object of its own, whose id is returned.
    pub fn annotated_tag(&self, name: &str, commit: &str) -> anyhow::Result<String> {
        self.git(&["tag", "--annotate", "--message", name, name, commit])?;
        self.resolve(&format!("refs/tags/{name}"))
    }

    /// Runs git here, with fixed people and without anybody's configuration, and returns what it printed.
    pub fn git(&self, args: &[&str]) -> anyhow::Result<String> {
        self.git_with_input(args, b"")
    }

    fn git_with_input(&self, args: &[&str], input: impl AsRef<[u8]>) -> anyhow::Result<String> {
        run(git(&self.path).args(args), input)
    }
}

fn write_entry(stream: &mut Vec<u8>, path: &str, entry: Entry<'_>) -> anyhow::Result<()> {
    let path = quote(path)?;
    let (mode, content) = match entry {
        Entry::File(content) => ("100644", content),
        Entry::Executable(content) => ("100755", content),
        Entry::Link(to) => ("120000", to.as_bytes()),
        Entry::Submodule(commit) => return Ok(writeln!(stream, "M 160000 {commit} {path}")?),
        Entry::Gone => return Ok(writeln!(stream, "D {path}")?),
    };
    writeln!(stream, "M {mode} inline {path}\ndata {}", content.len())?;
    stream.extend_from_slice(content);
    stream.push(b'\n');
    Ok(())
}

/// A path as fast-import reads it, whatever it holds.
fn quote(path: &str) -> anyhow::Result<String> {
    let mut quoted = String::from("\"");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => write!(quoted, "\\{}", char::from(byte))?,
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => write!(quoted, "\\{byte:03o}")?,
        }
    }
    quoted.push('"');
    Ok(quoted)
}

/// git in a folder, with nobody's configuration; also for the server.
pub(super) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for (name, value) in [("NAME", "Tester"), ("EMAIL", "tester@example.org"), ("DATE", "1700000000 +0000")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    command
}

fn run(command: &mut Command, input: impl AsRef<[u8]>) -> anyhow::Result<String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("run git")?;
    // It fails when git gave up before the end; git's words and status say more.
    drop(child.stdin.take().context("no stdin")?.write_all(input.as_ref()));
    let output = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed ({}): {words}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
