//! Runs the binary as a person's shell would: no terminal, no kubeconfig, a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// stdout as JSON, or a failure that shows it.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let read = serde_json::from_str(&self.out);
        assert!(read.is_ok(), "no JSON on stdout: {self:#?}");
        read.expect("just checked")
    }
}

/// `toolforge` with these arguments, in a folder.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolforge"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder.join("no-home"))
        .stdin(Stdio::null());
    command
}

/// Runs `toolforge` in a folder and waits for its end.
pub fn toolforge(folder: &Path, arguments: &[&str]) -> Ran {
    ran(command(folder, arguments).output().expect("the binary runs"))
}

pub fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { exit: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder with these files.
pub fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("toolforge-cli-").tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

/// A platform, of which nothing is said but its domain.
pub const PLATFORM: &str = "\
apiVersion: toolforge.org/v1alpha1
kind: Platform
metadata: {name: p}
spec: {domain: d.example}
";
/// A tool that follows the repository beside the config repository.
pub const TOOL: &str = "\
apiVersion: toolforge.org/v1alpha1
kind: Tool
metadata: {name: bot}
spec: {repository: ../bot}
";
/// Its file: one component, whose image is known.
pub const BOT: &str = "\
env: {GREETING: hello-from-git}
components:
  bot:
    image: r.example/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    run: {command: bot, replicas: 1}
";

/// A folder with repositories, `config` and `bot` among them, and a sandbox.
pub struct Home(tempfile::TempDir);

impl Home {
    /// With these files, committed.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let home = Self(folder(files));
        for repository in ["config", "bot"] {
            home.git(repository, &["init", "-q", "-b", "main"]);
            home.commit(repository, "x");
        }
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs git in one of the repositories; returned is what it says.
    pub fn git(&self, repository: &str, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(arguments);
        // So that commits have the same names each time.
        git.envs([("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"), ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")]);
        let output = git.env("HOME", self.0.path()).current_dir(self.path(repository)).output().expect("git runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// Commits everything in a repository.
    pub fn commit(&self, repository: &str, message: &str) {
        self.git(repository, &["add", "--all"]);
        self.git(repository, &["commit", "-q", "-m", message]);
    }

    /// A command in a folder of it, with the config repository and a sandbox of that name.
    pub fn run(&self, folder: &str, sandbox: &str, arguments: &[&str]) -> Ran {
        let (config, sandbox) = (self.path("config"), self.path(sandbox));
        let (config, sandbox) = (config.to_str().expect("UTF-8"), sandbox.to_str().expect("UTF-8"));
        toolforge(
            &self.path(folder),
            &[arguments, &["--config", config, "--sandbox", "--sandbox-folder", sandbox]].concat(),
        )
    }
}

/// The examples of the repository.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}
