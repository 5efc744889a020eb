//! The program itself, `toolforge`, as a person's shell or a Deployment runs it: a process with an environment of its own.

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::control_plane::{ADMIN, ControlPlane};

/// How long the end of a process may take.
const END: Duration = Duration::from_secs(30);

/// A place to run it: a home of its own, and a cluster.
pub struct Program {
    command: PathBuf,
    kubeconfig: PathBuf,
    context: String,
    home: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Data.
    pub out: String,
    /// Talk.
    pub err: String,
}

impl Ran {
    /// stdout as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {self:?}"))
    }
}

impl Program {
    /// This binary, on this control plane, with all rights.
    pub fn on(plane: &ControlPlane, binary: &Path) -> anyhow::Result<Self> {
        Self::with(binary, plane.kubeconfig(), ADMIN)
    }

    /// This binary, on the cluster of a context.
    pub fn with(binary: &Path, kubeconfig: &Path, context: &str) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("home-").tempdir()?;
        Ok(Self {
            command: binary.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            context: context.to_owned(),
            home,
            environment: Vec::new(),
        })
    }

    /// The same with more in its environment.
    #[must_use]
    pub fn with_env(mut self, pairs: &[(&str, &str)]) -> Self {
        self.environment.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// The binary.
    pub fn binary(&self) -> &Path {
        &self.command
    }

    /// A folder of its own.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = self.command_alone(folder, args);
        command.args(["--cluster", &self.context]);
        command
    }

    fn command_alone(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.command);
        command.args(args).current_dir(folder).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("KUBECONFIG", &self.kubeconfig);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs it to its end, at home.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<Ran> {
        self.run_in(self.home.path(), args).await
    }

    /// Runs it to its end in a folder, such as a working tree.
    pub async fn run_in(&self, folder: &Path, args: &[&str]) -> anyhow::Result<Ran> {
        ran(self.command(folder, args)).await
    }

    /// Runs one that asks no cluster to its end, in a folder.
    pub async fn run_local(&self, folder: &Path, args: &[&str]) -> anyhow::Result<Ran> {
        ran(self.command_alone(folder, args)).await
    }

    /// Starts it.
    pub fn start(&self, args: &[&str]) -> anyhow::Result<Running> {
        let mut child = self.command(self.home.path(), args).spawn()?;
        let (out, err) = (Lines::default(), Lines::default());
        out.follow(child.stdout.take().context("no stdout")?);
        err.follow(child.stderr.take().context("no stderr")?);
        Ok(Running { child, out, err })
    }
}

async fn ran(mut command: Command) -> anyhow::Result<Ran> {
    let output = command.output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) })
}

/// A process under way; dropping it kills it.
pub struct Running {
    child: Child,
    /// Data so far.
    pub out: Lines,
    /// Talk so far.
    pub err: Lines,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// Sends it a signal and returns its exit code; none where the signal itself ended it.
    pub async fn end(mut self, signal: &str) -> anyhow::Result<Option<i32>> {
        let pid = self.child.id().context("it has ended already")?.to_string();
        ensure!(Command::new("kill").args([signal, &pid]).status().await?.success(), "kill {signal} {pid}");
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(status) => Ok(status?.code()),
            Err(_) => bail!("it did not end within {END:?} of {signal}:\n{}", self.err.all().join("\n")),
        }
    }
}

/// The lines that a process has printed.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// All of them so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn follow(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let lines = self.clone();
        tokio::spawn(async move {
            let mut read = BufReader::new(stream).lines();
            while let Ok(Some(line)) = read.next_line().await {
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }
}
