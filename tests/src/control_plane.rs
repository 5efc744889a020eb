//! A real Kubernetes for the few tests in which a double could lie.
//!
//! It is etcd, kube-apiserver, kube-controller-manager, kube-scheduler, fake nodes (kwok), kubectl and a registry in
//! one binary, built from the Go modules that `tests/control-plane/go.sum` pins: no Docker, no root, no download at
//! run time, and the same versions on every machine. The first use builds it (see [`build`]), which takes minutes;
//! afterwards a start takes about four seconds.
//!
//! **One per test process.** [`ControlPlane::shared`] starts it on first use; tests stay apart by namespace and
//! platform name, and a pod chooses its own failure by carrying a *fate* (`fate=crash-loop`, `image-pull`,
//! `never-ready`, `exit`, `run-on`) in an argument, environment value or annotation. A test that counts requests takes
//! [`ControlPlane::mark`] and filters by its own user or user agent. A namespace takes ten seconds to go (the namespace
//! controller waits for five first): leave it behind, everything goes at the end.
//!
//! **Nothing outlives the process.** The child reads its stdin, a pipe we hold: when we end, however we end, the pipe
//! closes, the child ends its components and deletes their data. When the start fails, the logs stay.
//!
//! **Instead**, `KUBEBUILDER_ASSETS` may name a folder with `etcd`, `kube-apiserver` and `kubectl`. That is a server
//! without anything behind it: no controllers (no Deployment becomes Available, no Job completes, no namespace ends,
//! no default service account), no nodes, no Gateway API, no registry. Tests that need those call
//! [`ControlPlane::require_controllers`] and fail with a sentence that says so.

mod assets;
mod audit;
pub mod build;
mod process;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub use audit::{Mark, Request};
pub(crate) use process::Process;

use crate::registry::Registry;

/// The user with all rights (`system:masters`). The others, [`TOOLFORGE`], [`MAINTAINER`] and [`INTRUDER`], have none
/// but those a test binds.
pub const ADMIN: &str = "admin";
/// A user for our own reconciler.
pub const TOOLFORGE: &str = "toolforge";
/// A user for a tool's maintainer.
pub const MAINTAINER: &str = "maintainer";
/// A user who should be refused.
pub const INTRUDER: &str = "intruder";

/// What a control plane is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many fake nodes; each has a thousand CPUs.
    pub nodes: u32,
    /// A file of further kwok stages.
    pub stages: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 1, stages: None }
    }
}

/// A running control plane; it ends when this is dropped or the process ends.
#[derive(Debug)]
pub struct ControlPlane {
    _process: Process,
    kubectl: Vec<PathBuf>,
    facts: Facts,
    dir: TempDir,
}

/// The line the binary prints when everything is ready.
#[derive(Debug, Clone, Deserialize)]
struct Facts {
    kubeconfig: PathBuf,
    server: String,
    ca: PathBuf,
    users: BTreeMap<String, String>,
    audit_log: PathBuf,
    /// With its request log; absent when `KUBEBUILDER_ASSETS` is used.
    registry: Option<String>,
    request_log: Option<PathBuf>,
    started_in_ms: u64,
}

/// What a finished `kubectl` left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();

impl ControlPlane {
    /// Starts one of its own, for tests that need other [`Options`] or stop it.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(move || Self::start_blocking(&options)).await?
    }

    /// The one all tests of this process share.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        SHARED.get_or_try_init(|| Self::start(Options::default())).await
    }

    fn start_blocking(options: &Options) -> anyhow::Result<Self> {
        install_crypto();
        let dir = tempfile::Builder::new().prefix("control-plane-").tempdir()?;
        if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS") {
            return assets::start(Path::new(&assets), dir);
        }
        let program = build::binary()?;
        let nodes = options.nodes.to_string();
        let mut args: Vec<&OsStr> = ["up", "--ephemeral", "--nodes", &nodes, "--dir"].map(OsStr::new).into();
        args.push(dir.path().as_os_str());
        if let Some(stages) = &options.stages {
            args.extend(["--stages".as_ref(), stages.as_os_str()]);
        }
        let (process, line) = match Process::start(&program, &args) {
            Ok(started) => started,
            Err(error) => {
                return Err(error.context(format!("the control plane's logs are in {}", dir.keep().display())));
            }
        };
        let facts = serde_json::from_str(&line).with_context(|| format!("not a ready line: {line}"))?;
        Ok(Self { _process: process, kubectl: vec![program, "kubectl".into()], facts, dir })
    }

    /// Fails, in words, when there is only an API server.
    pub fn require_controllers(&self) -> anyhow::Result<()> {
        ensure!(
            self.facts.registry.is_some(),
            "KUBEBUILDER_ASSETS names a control plane without controllers, nodes and Gateway API, and this test needs \
             them; unset it, and the tests build their own (Go is needed)"
        );
        Ok(())
    }

    /// A kubeconfig with one context per user, [`ADMIN`] being current.
    pub fn kubeconfig(&self) -> &Path {
        &self.facts.kubeconfig
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.facts.server
    }

    /// The file with the certificate authority of the server.
    pub fn ca(&self) -> &Path {
        &self.facts.ca
    }

    /// The bearer token of a user.
    pub fn token(&self, user: &str) -> anyhow::Result<&str> {
        let token = self.facts.users.get(user).with_context(|| format!("the control plane has no user {user}"))?;
        Ok(token)
    }

    /// How long the start took, as the binary measured it.
    pub fn started_in_ms(&self) -> u64 {
        self.facts.started_in_ms
    }

    /// Data and logs of the components.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The registry that belongs to it, without a login.
    pub fn registry(&self) -> anyhow::Result<Registry> {
        self.require_controllers()?;
        match (&self.facts.registry, &self.facts.request_log) {
            (Some(address), Some(log)) => Ok(Registry::running(address, log)),
            _ => bail!("the control plane did not say where its registry is"),
        }
    }

    /// A configuration for [`kube::Client`] as a user. The user agent is `tests`; change it to count your own requests.
    pub async fn config(&self, user: &str) -> anyhow::Result<kube::Config> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let options = KubeConfigOptions { context: Some(user.into()), ..Default::default() };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.headers.push(("user-agent".parse()?, "tests".parse()?));
        Ok(config)
    }

    /// A client with all rights. It belongs to the runtime of the test that asks, so it is never shared.
    pub async fn client(&self) -> anyhow::Result<kube::Client> {
        self.client_as(ADMIN).await
    }

    /// A client as a user.
    pub async fn client_as(&self, user: &str) -> anyhow::Result<kube::Client> {
        Ok(kube::Client::try_from(self.config(user).await?)?)
    }

    /// Runs `kubectl` as [`ADMIN`]; add `--context=USER` for somebody else.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<Output> {
        let (program, first) = self.kubectl.split_first().context("no kubectl")?;
        let output = tokio::process::Command::new(program)
            .args(first)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.dir()) // its discovery cache
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("run {}", program.display()))?;
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The present end of the audit log.
    pub fn mark(&self) -> anyhow::Result<Mark> {
        audit::mark(&self.facts.audit_log)
    }

    /// The requests that ended, or the watches that began, since the mark, by anybody.
    ///
    /// The server writes a line when it has written the answer, so the very last request may be missing for an
    /// instant: to count, make one more request and wait until that one is there, or poll.
    pub fn requests_since(&self, mark: Mark) -> anyhow::Result<Vec<Request>> {
        audit::since(&self.facts.audit_log, mark)
    }
}

/// Every TLS client in a test wants this first; a second call changes nothing.
pub fn install_crypto() {
    // An error means that a provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}
