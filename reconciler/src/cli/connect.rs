//! The cluster a command speaks of: chosen by the rules of [`reconciler::cluster`], and opened.
//!
//! A sandbox keeps its state in a folder, which one process has at a time. While `run` or `demo` has it, other commands
//! speak to that process over loopback, by the kubeconfig it leaves in the folder; otherwise they open the folder
//! themselves.

use crate::ui::{Failure, failed, wrong_use};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use reconciler::cluster::call::{self, CallError};
use reconciler::cluster::door::Requests;
use reconciler::cluster::{self, AtHand, Choice, Cluster, ConnectError, SANDBOX, SANDBOX_TITLE};
use renderer::Platform;
use sandbox::{OpenError, Sandbox};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Which cluster.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which cluster")]
pub struct ClusterArgs {
    /// `sandbox`, `in-cluster`, or a context of the kubeconfig
    #[arg(long, visible_alias = "context", value_name = "NAME", conflicts_with = "sandbox")]
    pub cluster: Option<String>,
    /// The sandbox: a Kubernetes API on this machine that runs no containers
    #[arg(long)]
    pub sandbox: bool,
    /// Where the sandbox keeps its state
    #[arg(long, value_name = "FOLDER")]
    pub sandbox_folder: Option<PathBuf>,
    /// A kubeconfig, instead of $KUBECONFIG or ~/.kube/config; its current context unless `--context` names one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sandbox", "sandbox_folder"])]
    pub kubeconfig: Option<PathBuf>,
}

/// A cluster we speak to.
pub struct Connected {
    /// The cluster.
    pub cluster: Cluster,
    /// What is sent to it, by verb.
    pub requests: Requests,
    /// The sandbox, where it is ours: it ends when this is dropped.
    pub sandbox: Option<Sandbox>,
}

impl Connected {
    fn real(cluster: Cluster, requests: Requests) -> Self {
        Self { cluster, requests, sandbox: None }
    }

    /// Whether it is a sandbox, ours or another process': its version says so.
    pub async fn is_sandbox(&self) -> Result<bool, CallError> {
        let version: Value = call::parse(&call::get(&self.cluster.client, "/version", None).await?)?;
        let version = version.get("gitVersion").and_then(Value::as_str);
        Ok(version.is_some_and(|version| version.contains("toolforge-sandbox")))
    }
}

impl ClusterArgs {
    /// What is open already, or the cluster that is chosen.
    pub async fn open(&self, open: Option<Connected>, platform: Option<&Platform>) -> anyhow::Result<Connected> {
        match open {
            Some(connected) => Ok(connected),
            None => self.connect(platform).await,
        }
    }

    /// Chooses and opens, for a command that asks and ends. No request is sent yet.
    pub async fn connect(&self, platform: Option<&Platform>) -> anyhow::Result<Connected> {
        self.reach(platform, Cluster::on_one_connection).await
    }

    /// The same for who stays and watches.
    pub async fn connect_to_stay(&self, platform: Option<&Platform>) -> anyhow::Result<Connected> {
        self.reach(platform, Cluster::of_config).await
    }

    async fn reach(&self, platform: Option<&Platform>, open: Opens) -> anyhow::Result<Connected> {
        let requests = Requests::default();
        let (name, config, hint) = match &self.kubeconfig {
            Some(file) => {
                let (name, config) = by_file(file, self.cluster.as_deref()).await?;
                (name, config, CONTEXTS)
            }
            None => match self.choice(platform)? {
                Choice::Sandbox => return self.open_sandbox(requests, open).await,
                Choice::InCluster => {
                    let config = cluster::config_of_service_account().map_err(|error| unusable(IN_POD, error))?;
                    (cluster::IN_CLUSTER.to_owned(), config, IN_POD)
                }
                Choice::Context(name) => {
                    let config = cluster::config_of_context(&name).await.map_err(|error| unusable(CONTEXTS, error))?;
                    (name, config, CONTEXTS)
                }
            },
        };
        let cluster = open(&name, config, &requests).map_err(|error| unusable(hint, error))?;
        Ok(Connected::real(cluster, requests))
    }

    /// Whether flags, platform and machine choose the sandbox.
    fn choice(&self, platform: Option<&Platform>) -> Result<Choice, Failure> {
        let sandbox = self.sandbox || self.sandbox_folder.is_some() && self.cluster.is_none();
        let flag = if sandbox { Some(SANDBOX) } else { self.cluster.as_deref() };
        let platform = platform.and_then(|platform| platform.cluster.as_deref());
        cluster::choose(flag, platform, &AtHand::look())
            .map_err(|error| wrong_use(error.to_string()).hint(error.hint()))
    }

    /// The folder of the sandbox.
    pub fn sandbox_folder(&self) -> PathBuf {
        self.sandbox_folder.clone().unwrap_or_else(cluster::sandbox_dir)
    }

    async fn open_sandbox(&self, requests: Requests, open: Opens) -> anyhow::Result<Connected> {
        let folder = self.sandbox_folder();
        match Sandbox::open(&folder) {
            Ok(sandbox) => {
                let cluster = Cluster::of_service(SANDBOX_TITLE, sandbox.service(), &requests);
                Ok(Connected { sandbox: Some(sandbox), ..Connected::real(cluster, requests) })
            }
            Err(OpenError::Taken(sandbox::Taken::By { pid, .. })) => {
                let file = folder.join("kubeconfig");
                if !file.exists() {
                    let message = format!("the sandbox in {} is in use by process {pid}", folder.display());
                    return Err(failed(message).hint("Wait for it, or choose another `--sandbox-folder`.").into());
                }
                let (_, config) = by_file(&file, None).await?;
                let cluster = open(&format!("sandbox (process {pid})"), config, &requests);
                let cluster = cluster.map_err(|error| unusable(CONTEXTS, error))?;
                Ok(Connected::real(cluster, requests))
            }
            Err(error) => {
                let message = format!("cannot open the sandbox in {}", folder.display());
                Err(failed(message).hint("Choose another `--sandbox-folder`.").because(error).into())
            }
        }
    }
}

const CONTEXTS: &str = "Run `kubectl config get-contexts` to see what there is.";
const IN_POD: &str = "`in-cluster` works in a pod that has a service account.";

/// How a cluster is spoken to, once its settings are known.
type Opens = fn(&str, Config, &Requests) -> Result<Cluster, ConnectError>;

async fn by_file(file: &Path, context: Option<&str>) -> Result<(String, Config), Failure> {
    let wrong = |error: kube::config::KubeconfigError| {
        wrong_use(format!("cannot use the kubeconfig {}", file.display())).hint(CONTEXTS).because(error)
    };
    let read = Kubeconfig::read_from(file).map_err(wrong)?;
    let name = context.map(str::to_owned).or(read.current_context.clone()).unwrap_or_default();
    let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(read, &options).await.map_err(wrong)?;
    Ok((name, config))
}

fn unusable(hint: &str, error: ConnectError) -> Failure {
    wrong_use("cannot use that cluster").hint(hint).because(error)
}
