//! A cluster to measure on: a control plane of our own, fresh each time, or one of somebody's.

use crate::requests::Requests;
use crate::settings::Settings;
use crate::stage::Run;
use anyhow::Context as _;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use reconciler::cluster::Cluster;
use reconciler::cluster::door;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tests::control_plane::{ADMIN, ControlPlane, Mark, Options, build, install_crypto};
use tokio::process::Command;

pub struct Ground {
    /// None where the cluster is somebody's.
    plane: Option<ControlPlane>,
    kubeconfig: PathBuf,
    context: String,
    /// Of everything that is made here.
    pub name: String,
    /// The benchmark's own: what it asks for is not counted.
    pub client: kube::Client,
    /// As the reconciler has it, and counted as the reconciler.
    pub counted_client: kube::Client,
}

/// Where counting begins.
pub struct Counting {
    mark: Option<Mark>,
    before: BTreeMap<String, usize>,
}

impl Ground {
    /// An empty control plane; of somebody's cluster, names that are new.
    pub async fn new(settings: &Settings) -> anyhow::Result<Self> {
        install_crypto();
        let (plane, kubeconfig, context) = match &settings.cluster {
            Some((kubeconfig, context)) => (None, kubeconfig.canonicalize()?, context.clone()),
            None => {
                let plane = ControlPlane::start(Options::default()).await?;
                plane.require_controllers()?;
                let kubeconfig = plane.kubeconfig().to_owned();
                (Some(plane), kubeconfig, Some(ADMIN.to_owned()))
            }
        };
        let read = Kubeconfig::read_from(&kubeconfig)?;
        let context =
            context.or(read.current_context.clone()).context("ENGINE_CONTEXT: there is no current context")?;
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(read, &options).await?;
        let counted_client = Cluster::of_config(&context, config.clone(), &door::Requests::default())?.client;
        config.headers.push(("user-agent".parse()?, "engine".parse()?));
        let client = kube::Client::try_from(config)?;
        tests::rights::deployer(&client).await?;
        let name = if plane.is_some() { "engine".to_owned() } else { format!("engine-{}", now_ms()?) };
        Ok(Self { plane, kubeconfig, context, name, client, counted_client })
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub fn context(&self) -> &str {
        &self.context
    }

    /// Counts from now on what `toolforge` asks for; without an audit log, what this process says it asked for.
    pub async fn count(&self, run: Option<&Run>) -> anyhow::Result<Counting> {
        let before = match (&self.plane, run) {
            (None, Some(run)) => run.requests().await?,
            _ => BTreeMap::new(),
        };
        Ok(Counting { mark: self.plane.as_ref().map(ControlPlane::mark).transpose()?, before })
    }

    /// What was asked for since.
    pub async fn counted(&self, since: &Counting, run: Option<&Run>) -> anyhow::Result<Requests> {
        match (&self.plane, since.mark, run) {
            (Some(plane), Some(mark), _) => Ok(Requests::of_log(&plane.requests_since(mark)?)),
            (_, _, Some(run)) => Ok(Requests::of_process(&run.requests().await?, &since.before)),
            _ => Ok(Requests::default()),
        }
    }

    /// kubectl: that of the control plane, else the one on the PATH. `home` keeps its discovery cache.
    pub fn kubectl(&self, home: &Path) -> anyhow::Result<Command> {
        let mut command = match &self.plane {
            Some(_) => {
                let mut command = Command::new(build::binary()?);
                command.arg("kubectl");
                command
            }
            None => Command::new("kubectl"),
        };
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--context", &self.context]).env("HOME", home);
        Ok(command)
    }
}

fn now_ms() -> anyhow::Result<u128> {
    Ok(SystemTime::UNIX_EPOCH.elapsed()?.as_millis())
}
