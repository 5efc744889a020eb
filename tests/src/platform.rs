//! A whole platform under test: config repository, tools' repositories, and our reconciler on the real control plane.
//!
//! One control plane serves all tests of a process, so that each test brings a platform of its own: its name, its
//! namespace, its git host, and tools whose names begin with the platform's. The reconciler speaks as an account of its
//! own, so that its requests can be told apart in the audit log, and has the rights that operators install and no more.
//!
//! ```text
//! let platform = Platform::start("heals").await?;
//! let web = platform.tool("web")?;
//! web.commit(WEB)?;
//! web.ready().await?;
//! ```
//! Nothing sleeps for a fixed time: [`Platform::until`] asks again until there is an answer, and when the deadline
//! comes first it says what the Tools and the reconciler's log had to say.

mod asked;
mod frame;
mod once;
mod reconciler;
mod route_status;
mod steady;
mod storm;
mod tool;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kube::api::{Api, DynamicObject, ListParams};
use kube::config::AuthInfo;
use kube::core::{ApiResource, GroupVersionKind};
use planner::kinds::{KINDS, Kind, Scope};
use planner::rights::TOOLFORGE;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::control_plane::{ADMIN, ControlPlane};
use crate::git_server::{Entry, GitServer, Repository, Service};
use crate::registry::Registry;
use crate::rights;

pub use frame::platform_yaml;
pub use once::Planned;
pub use reconciler::{Log, Reconciler};
pub use steady::steady;
pub use storm::Storm;
pub use tool::{Condition, Tool};

/// How long anything may take. Generous: the machine may be busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The config repository's name on the git host.
pub const CONFIG: &str = "config";

/// How a platform publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// By Ingress.
    Ingress,
    /// By HTTPRoute of the Gateway API; the harness plays the gateway and accepts every route.
    Gateway,
}

/// A platform. Its reconciler ends with it; what it made in the cluster stays until the control plane ends.
pub struct Platform {
    plane: &'static ControlPlane,
    name: String,
    client: kube::Client,
    git: GitServer,
    config: Repository,
    log: Log,
    running: Mutex<Option<Reconciler>>,
    cache: TempDir,
    gateway: Option<JoinHandle<()>>,
    storm: Option<Storm>,
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Some(gateway) = &self.gateway {
            gateway.abort();
        }
    }
}

impl Platform {
    /// A platform that publishes by Ingress, with its reconciler running.
    pub async fn start(name: &str) -> anyhow::Result<Self> {
        let platform = Self::prepare(name, Route::Ingress).await?;
        platform.run().await?;
        Ok(platform)
    }

    /// A platform whose reconciler has yet to be started.
    pub async fn prepare(name: &str, route: Route) -> anyhow::Result<Self> {
        let platform = Self::not_installed(name, route).await?;
        rights::install(&platform.client, &frame::installed(name)).await?;
        Ok(platform)
    }

    /// A platform for which nobody has installed anything yet: it has neither a namespace nor rights.
    pub async fn not_installed(name: &str, route: Route) -> anyhow::Result<Self> {
        let plane = ControlPlane::shared().await?;
        let registry = plane.registry()?;
        let git = GitServer::start().await?;
        let config = git.repository(CONFIG)?;
        config.commit(&[("platform.yaml", &platform_yaml(name, route, registry.address()))])?;
        let client = plane.client().await?;
        let gateway = (route == Route::Gateway).then(|| tokio::spawn(route_status::accept_all(client.clone())));
        let (log, running) = (Log::default(), Mutex::default());
        let cache = tempfile::Builder::new().prefix("platform-").tempdir()?;
        Ok(Self { plane, name: name.into(), client, git, config, log, running, cache, gateway, storm: None })
    }

    /// The control plane it runs on.
    pub fn plane(&self) -> &'static ControlPlane {
        self.plane
    }

    /// A client with all rights, for the test itself.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// A client with the rights of the platform's own account.
    pub async fn own_client(&self) -> anyhow::Result<kube::Client> {
        let mut config = self.plane.config(ADMIN).await?;
        let token = rights::token(self.plane, &self.namespace()).await?;
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        Ok(kube::Client::try_from(config)?)
    }

    /// The git host with the config repository ([`CONFIG`]) and those of the tools.
    pub fn git(&self) -> &GitServer {
        &self.git
    }

    /// The config repository.
    pub fn config(&self) -> &Repository {
        &self.config
    }

    /// The registry of the control plane.
    pub fn registry(&self) -> anyhow::Result<Registry> {
        self.plane.registry()
    }

    /// What the reconciler logged so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The platform's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Namespace of the platform's own objects.
    pub fn namespace(&self) -> String {
        format!("platform-{}", self.name)
    }

    /// The user the reconciler is; tools' deployers are whom it speaks as.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{TOOLFORGE}", self.namespace())
    }

    /// A tool with a repository of its own, and its file in the config repository.
    pub fn tool(&self, name: &str) -> anyhow::Result<Tool<'_>> {
        let tool = self.tool_without_file(name)?;
        self.commit_tool_file(tool.name(), &format!("  repository: {}\n", self.way_to(tool.repository().url())))?;
        Ok(tool)
    }

    /// A tool with a repository of its own that nobody has written a tool file for.
    pub fn tool_without_file(&self, name: &str) -> anyhow::Result<Tool<'_>> {
        let name = format!("{}-{name}", self.name);
        Ok(Tool::new(self, &name, self.git.repository(&name)?, "main"))
    }

    /// Another tool that follows a branch of a tool's repository; `more` are further lines of its spec.
    pub fn tool_on_branch<'a>(
        &'a self,
        name: &str,
        of: &Tool<'a>,
        branch: &str,
        more: &str,
    ) -> anyhow::Result<Tool<'a>> {
        let name = format!("{}-{name}", self.name);
        let spec = format!("  repository: {}\n  branch: {branch}\n{more}", self.way_to(of.repository().url()));
        self.commit_tool_file(&name, &spec)?;
        Ok(Tool::new(self, &name, of.repository_handle(), branch))
    }

    /// Commits `tools/<name>.yaml` with these lines of spec.
    pub fn commit_tool_file(&self, name: &str, spec: &str) -> anyhow::Result<()> {
        let text = format!("apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\nspec:\n{spec}");
        self.config.commit(&[(&format!("tools/{name}.yaml"), &text)]).map(drop)
    }

    /// Deletes a tool's file from the config repository.
    pub fn delete_tool_file(&self, tool: &Tool<'_>) -> anyhow::Result<()> {
        let path = format!("tools/{}.yaml", tool.name());
        self.config.commit_entries("main", &[(&path, Entry::Gone)]).map(drop)
    }

    /// Starts the reconciler, as `toolforge run` would.
    pub async fn run(&self) -> anyhow::Result<()> {
        let running = Reconciler::start(self, self.cache()).await?;
        ensure!(self.running().replace(running).is_none(), "the reconciler runs already");
        Ok(())
    }

    /// Ends the reconciler as SIGTERM does: passes under way are finished, the lease is freed.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let running = self.running().take().context("the reconciler does not run")?;
        running.stop().await
    }

    /// Ends the reconciler as SIGKILL does: whatever it was doing, it does not finish.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.running().take().context("the reconciler does not run")?.kill();
        Ok(())
    }

    /// One of the reconciler's metrics by its whole name, labels included; none where it does not say it (yet).
    pub async fn metric(&self, name: &str) -> anyhow::Result<Option<u64>> {
        let web = self.running().as_ref().context("the reconciler does not run")?.web();
        let text = match reqwest::get(format!("http://{web}/metrics")).await {
            Err(error) if error.is_connect() => return Ok(None),
            answer => answer?.text().await?,
        };
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.trim().parse().with_context(|| format!("{name} {value}"))).transpose()
    }

    /// Deletes everything the reconciler kept on disk; it must not be running.
    pub fn delete_cache(&self) -> anyhow::Result<()> {
        ensure!(self.running().is_none(), "the reconciler runs");
        for entry in std::fs::read_dir(self.cache.path())? {
            let path = entry?.path();
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        Ok(())
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.cache.path().to_owned()
    }

    fn running(&self) -> MutexGuard<'_, Option<Reconciler>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks again and again until there is an answer. When the deadline comes first, the error says what was awaited,
    /// what the Tools' conditions say and what the reconciler logged last.
    pub async fn until<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let asking = async {
            loop {
                if let Some(found) = ask().await? {
                    return anyhow::Ok(found);
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        match tokio::time::timeout(DEADLINE, asking).await {
            Ok(found) => found.with_context(|| format!("until {what}")),
            Err(_) => {
                let state = self.state().await.unwrap_or_else(|error| error.to_string());
                bail!("not within {DEADLINE:?}: {what}\n{state}\n{}", self.log.last(60))
            }
        }
    }

    /// Waits until the reconciler has asked git twice more, so that it has certainly begun and ended a poll since.
    pub async fn polled(&self) -> anyhow::Result<()> {
        self.polled_times(2).await
    }

    /// Waits until the reconciler has asked the git host for the config repository this many times more.
    pub async fn polled_times(&self, times: usize) -> anyhow::Result<()> {
        let before = self.git.count(CONFIG, Service::LsRefs);
        let enough = async || Ok((self.git.count(CONFIG, Service::LsRefs) >= before + times).then_some(()));
        self.until(&format!("{times} further polls"), enough).await
    }

    async fn state(&self) -> anyhow::Result<String> {
        let tools = self.api(kind_of("Tool")?, None).list(&ListParams::default()).await?;
        let ours =
            tools.items.iter().filter(|tool| tool.metadata.name.as_deref().is_some_and(|n| n.starts_with(&self.name)));
        let lines: Vec<_> = ours
            .map(|tool| {
                let conditions = &tool.data["status"]["conditions"];
                let line = |c: &Value| format!("  {} {} {}: {}", c["type"], c["status"], c["reason"], c["message"]);
                let all: Vec<_> = conditions.as_array().into_iter().flatten().map(line).collect();
                format!("{}\n{}", tool.metadata.name.as_deref().unwrap_or_default(), all.join("\n"))
            })
            .collect();
        Ok(lines.join("\n"))
    }

    /// One object as it is now; nothing where it does not exist.
    pub async fn object(&self, kind: &str, namespace: Option<&str>, name: &str) -> anyhow::Result<Option<Value>> {
        let found = match self.api(kind_of(kind)?, namespace).get(name).await {
            // Also while nobody has defined the kind yet.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            found => found?,
        };
        Ok(Some(serde_json::to_value(found)?))
    }

    /// All objects of a kind in a namespace.
    pub async fn objects(&self, kind: &str, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let found = self.api(kind_of(kind)?, Some(namespace)).list(&ListParams::default()).await?;
        found.items.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
    }

    /// Requests by kind of the planner's table, for the test itself.
    pub fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        api_of(self.client.clone(), kind, namespace)
    }

    /// Runs kubectl with all rights; an error when it fails.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.plane.kubectl(args).await?;
        ensure!(output.code == 0, "kubectl {}: {}", args.join(" "), output.stderr);
        Ok(output.stdout)
    }
}

/// Requests by kind of the planner's table.
pub fn api_of(client: kube::Client, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
    match namespace {
        Some(namespace) if kind.scope != Scope::Cluster => Api::namespaced_with(client, namespace, &resource),
        _ => Api::all_with(client, &resource),
    }
}

/// The row of a kind by its name alone, as kubectl does it.
pub fn kind_of(kind: &str) -> anyhow::Result<&'static Kind> {
    KINDS.iter().find(|row| row.kind == kind).with_context(|| format!("{kind} is not in the table of kinds"))
}
