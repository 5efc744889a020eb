//! Where a process finds its folders.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::Command;

const SCRIPT: &str = include_str!("place.sh");
/// The PATH of a container.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Generous: packages come from an index, and the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(300);

/// What came of a process.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed, stdout before stderr.
    pub log: String,
}

impl Ran {
    /// Of a process that had to succeed: what it printed.
    pub fn good(self) -> anyhow::Result<String> {
        ensure!(self.code == 0, "exit code {}:\n{}", self.code, self.log);
        Ok(self.log)
    }
}

/// A folder of this machine at another place.
#[derive(Debug, Clone)]
pub struct Mount {
    from: PathBuf,
    at: String,
    read_only: bool,
}

impl Mount {
    /// To be read.
    pub fn read_only(from: &Path, at: &str) -> Self {
        Self { from: from.to_owned(), at: at.to_owned(), read_only: true }
    }

    /// To be written.
    pub fn writable(from: &Path, at: &str) -> Self {
        Self { read_only: false, ..Self::read_only(from, at) }
    }
}

/// The file system, environment and user of processes; the rest is this machine's.
#[derive(Debug)]
pub struct Place {
    root: TempDir,
    tmp: TempDir,
    mounts: Vec<Mount>,
    env: BTreeMap<String, String>,
    user: (u32, u32),
    folder: String,
}

impl Place {
    /// With an empty `/tmp`, for a user and a group.
    pub fn new(user: (u32, u32)) -> anyhow::Result<Self> {
        let folder = || tempfile::Builder::new().prefix("place-").tempdir();
        let (root, tmp) = (folder()?, folder()?);
        std::fs::set_permissions(tmp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777))?;
        // A runtime's home for a user whom the image does not know.
        let env = [("PATH", PATH), ("HOME", "/")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Ok(Self { root, tmp, mounts: Vec::new(), env, user, folder: "/".to_owned() })
    }

    /// Adds a folder.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets where processes begin.
    #[must_use]
    pub fn folder(mut self, folder: &str) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// Runs a process there to its end.
    pub async fn run(&self, argv: &[impl AsRef<str>]) -> anyhow::Result<Ran> {
        let ended = tokio::time::timeout(DEADLINE, self.command(argv)?.output()).await;
        let output = ended.with_context(|| format!("it did not end within {DEADLINE:?}"))??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let log = format!("{}{}", text(&output.stdout), text(&output.stderr));
        Ok(Ran { code: output.status.code().unwrap_or(-1), log })
    }

    /// A process there, with everything that it says piped. It is killed when it is dropped.
    pub fn command(&self, argv: &[impl AsRef<str>]) -> anyhow::Result<Command> {
        let is_root = std::fs::metadata("/proc/self").context("who these tests are")?.uid() == 0;
        let mut command = Command::new("/usr/bin/unshare");
        command.arg("--mount");
        if !is_root {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["/bin/sh", "-c", SCRIPT, "place.sh", if is_root { "root" } else { "anybody" }]);
        command.arg(self.root.path()).args([self.user.0.to_string(), self.user.1.to_string()]).arg(&self.folder);
        let tmp = Mount::writable(self.tmp.path(), "/tmp");
        for Mount { from, at, read_only } in std::iter::once(&tmp).chain(&self.mounts) {
            command.arg(from).arg(at).arg(if *read_only { "ro" } else { "rw" });
        }
        command.arg("--").args(argv.iter().map(AsRef::as_ref)).env_clear().envs(&self.env);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }
}
