//! A platform on a sandbox, served by the real driver in this runtime.

use anyhow::{Context as _, bail, ensure};
use planner::kinds::{KINDS, Kind};
use reconciler::cluster::call;
use reconciler::cluster::door::Requests;
use reconciler::cluster::{Cluster, address};
use reconciler::driver::{Limits, Options, serve};
use reconciler::source::RepositoryUrl;
use renderer::ObjectId;
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tests::git_server::{GitServer, Repository};
use tests::platform::{Route, kind_of};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Less than any time limit of git: whoever waits for a host that hangs is late.
const SOON: Duration = Duration::from_secs(12);
const POLL_EVERY: Duration = Duration::from_millis(300);

/// A platform. Everything of it ends with it.
pub struct Stage {
    pub git: GitServer,
    pub config: Repository,
    /// As a spectator sees it.
    pub cluster: Cluster,
    pub sandbox: Sandbox,
    cache: TempDir,
    /// Between polls of git.
    pub poll_every: Duration,
    /// Between looks at the tags of builds that run.
    pub tags_every: Duration,
    local: bool,
    web_port: u16,
    serving: Option<(JoinHandle<anyhow::Result<()>>, CancellationToken)>,
}

impl Stage {
    /// A platform whose config repository is on a git host.
    pub async fn new() -> anyhow::Result<Self> {
        Self::with(false).await
    }

    /// One whose config repository is a folder: nothing waits for a socket, and time may be paused.
    pub async fn local() -> anyhow::Result<Self> {
        Self::with(true).await
    }

    async fn with(local: bool) -> anyhow::Result<Self> {
        let git = GitServer::start().await?;
        let config = git.repository("config")?;
        config.commit(&[("platform.yaml", &platform_yaml("stage"))])?;
        let sandbox = Sandbox::in_memory();
        let cluster = Cluster::of_service("spectator", sandbox.service(), &Requests::default());
        let cache = tempfile::tempdir()?;
        // Free a moment ago.
        let web_port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            git,
            config,
            cluster,
            sandbox,
            cache,
            poll_every: POLL_EVERY,
            tags_every: Limits::default().tags,
            local,
            web_port,
            serving: None,
        })
    }

    /// Starts the driver, as `toolforge run` does.
    pub fn run(&mut self) -> anyhow::Result<()> {
        self.run_behind(|_| None)
    }

    /// The same, before an API server that takes its time with some requests.
    pub fn run_behind(
        &mut self,
        delay: impl Fn(&http::Request<kube::client::Body>) -> Option<Duration> + Send + 'static,
    ) -> anyhow::Result<()> {
        let config = if self.local {
            RepositoryUrl::local(self.config.path())
        } else {
            RepositoryUrl::parse(self.config.url())?
        };
        let options = Options {
            config,
            platform: None,
            limits: Limits { interval: Some(self.poll_every), tags: self.tags_every, ..Limits::default() },
            cache: self.cache.path().to_owned(),
            web: Some(SocketAddr::from(([127, 0, 0, 1], self.web_port))),
            listener: None,
        };
        let requests = Requests::default();
        let server = self.sandbox.service();
        let slow = tower::service_fn(move |request| {
            let (pause, mut server) = (delay(&request), server.clone());
            async move {
                tokio::time::sleep(pause.unwrap_or_default()).await;
                server.call(request).await
            }
        });
        let cluster = Cluster::of_service("sandbox", slow, &requests);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = async move { serve(options, cluster, &requests, &|_: &str| None, stopped).await };
        self.serving = Some((tokio::spawn(serving), stop));
        Ok(())
    }

    /// What was read of git is gone.
    pub fn lose_cache(&mut self) -> anyhow::Result<()> {
        self.cache = tempfile::tempdir()?;
        Ok(())
    }

    /// Asks the driver to end, and waits for what it says.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let (serving, stop) = self.serving.take().context("the driver runs")?;
        stop.cancel();
        serving.await?
    }

    /// Waits for the driver to end by itself.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        let (serving, _) = self.serving.take().context("the driver runs")?;
        serving.await?
    }

    /// Writes a tool's file; `more` are further lines of its spec.
    pub fn tool(&self, name: &str, repository: &str, more: &str) -> anyhow::Result<()> {
        let text = format!(
            "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\nspec:\n  repository: {repository}\n{more}"
        );
        self.config.commit(&[(&format!("tools/{name}.yaml"), &text)]).map(drop)
    }

    /// Commits a file to each repository of as many tools, and to `near` on the stage's own host, and runs until all are
    /// Ready. Returned is the repository of `near`.
    pub async fn ready_with_near(&mut self, far: &[(String, Repository)], file: &str) -> anyhow::Result<Repository> {
        for (name, repository) in far {
            repository.commit(&[("toolforge.yaml", file)])?;
            self.tool(name, repository.url(), "")?;
        }
        let near = self.git.repository("near")?;
        near.commit(&[("toolforge.yaml", &web("one"))])?;
        self.tool("near", near.url(), "")?;
        self.run()?;
        for name in far.iter().map(|(name, _)| name.as_str()).chain(["near"]) {
            self.until_ready_says(name, "Ready", "").await?;
        }
        Ok(near)
    }

    /// While the far hosts hang: what `near` commits is there soon, and the far tools are healed against what they had.
    pub async fn nobody_waits(&self, near: &Repository, far: &[(String, Repository)]) -> anyhow::Result<()> {
        near.commit(&[("toolforge.yaml", &web("two"))])?;
        soon(self.until_object("Deployment", "near", "web", |web| runs(web, "two"))).await?;
        for (name, _) in far {
            self.meddle("Deployment", name, "web", &json!({"spec": {"replicas": 7}})).await?;
        }
        soon(async {
            for (name, _) in far {
                let healed = self.until_object("Deployment", name, "web", |web| web["spec"]["replicas"] == 1).await?;
                ensure!(runs(&healed, "one"), "{name} is healed against what it had");
            }
            Ok(())
        })
        .await
    }

    /// One object of a tool, or the Tool itself; none where it does not exist.
    pub async fn object(&self, kind: &str, tool: &str, name: &str) -> anyhow::Result<Option<Value>> {
        let (row, id) = id(kind, tool, name)?;
        match call::get(&self.cluster.client, &address::object(row, &id), None).await {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Somebody else's hand: a merge patch under another field manager.
    pub async fn meddle(&self, kind: &str, tool: &str, name: &str, patch: &Value) -> anyhow::Result<()> {
        let (row, id) = id(kind, tool, name)?;
        let path = address::query(&address::object(row, &id), &[("fieldManager", "meddler")]);
        call::patch(&self.cluster.client, &path, "application/merge-patch+json", patch).await?;
        Ok(())
    }

    /// Deletes an object, whoever's it is.
    pub async fn delete(&self, kind: &str, tool: &str, name: &str) -> anyhow::Result<()> {
        let (row, id) = id(kind, tool, name)?;
        call::send(&self.cluster.client, http::Method::DELETE, &address::object(row, &id), &Value::Null).await?;
        Ok(())
    }

    /// What the driver says at `/metrics`.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        Ok(reqwest::get(format!("http://127.0.0.1:{}/metrics", self.web_port)).await?.text().await?)
    }

    /// The version of everything there is, but for the leases.
    pub async fn versions(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        for row in KINDS {
            let path = if row.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", row.group) };
            let path = format!("{path}/{}/{}", row.version, row.plural);
            let list = match call::get(&self.cluster.client, &path, None).await {
                Ok(bytes) => serde_json::from_slice::<Value>(&bytes)?,
                Err(error) if error.code() == Some(404) => continue,
                Err(error) => return Err(error.into()),
            };
            for item in list["items"].as_array().into_iter().flatten() {
                let metadata = &item["metadata"];
                let name = format!("{} {} {}", row.kind, metadata["namespace"], metadata["name"]);
                found.insert(name, metadata["resourceVersion"].to_string());
            }
        }
        Ok(found)
    }

    /// Asks again and again; an error when it takes too long.
    pub async fn until<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if let Some(found) = ask().await? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let tools = call::get(&self.cluster.client, "/apis/toolforge.org/v1alpha1/tools", None).await?;
        let tools: Value = serde_json::from_slice(&tools)?;
        let conditions: Vec<_> = tools["items"].as_array().into_iter().flatten().map(said).collect();
        bail!("not within {DEADLINE:?}: {what}\n{}", conditions.join("\n"))
    }

    /// Waits until an object is as wanted.
    pub async fn until_object(
        &self,
        kind: &str,
        tool: &str,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let arrived = async || Ok(self.object(kind, tool, name).await?.filter(|object| wanted(object)));
        self.until(&format!("{kind} {tool}/{name}"), arrived).await
    }

    /// Waits until the Tool's condition Ready has this reason and a message with this text.
    pub async fn until_ready_says(&self, tool: &str, reason: &str, text: &str) -> anyhow::Result<String> {
        let arrived = async || {
            let Some(object) = self.object("Tool", tool, tool).await? else { return Ok(None) };
            let ready = condition(&object, "Ready");
            let message = ready["message"].as_str().unwrap_or_default().to_owned();
            Ok((ready["reason"] == reason && message.contains(text)).then_some(message))
        };
        self.until(&format!("{tool} says {reason}: {text}"), arrived).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((serving, _)) = &self.serving {
            serving.abort();
        }
    }
}

fn id(kind: &str, tool: &str, name: &str) -> anyhow::Result<(&'static Kind, ObjectId)> {
    let row = kind_of(kind)?;
    let namespace = (row.scope != planner::kinds::Scope::Cluster).then(|| format!("tool-{tool}"));
    Ok((row, ObjectId { group: row.group.into(), kind: row.kind.into(), namespace, name: name.into() }))
}

/// An error where it takes as long as a host that hangs.
pub async fn soon<T>(what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(SOON, what).await.context("it waits for a host that hangs")?
}

/// A condition of a Tool.
pub fn condition(tool: &Value, name: &str) -> Value {
    let all = tool.pointer("/status/conditions").and_then(Value::as_array);
    all.and_then(|all| all.iter().find(|one| one["type"] == name)).cloned().unwrap_or_default()
}

fn said(tool: &Value) -> String {
    let ready = condition(tool, "Ready");
    format!("{} {} {} {}", tool["metadata"]["name"], tool["status"]["commit"], ready["reason"], ready["message"])
}

/// Settings of a platform with this name.
pub fn platform_yaml(name: &str) -> String {
    tests::platform::platform_yaml(name, Route::Ingress, "registry.example")
}

/// A published web component with this command; its image needs neither a build nor the registry.
pub fn web(command: &str) -> String {
    let digest = "a".repeat(64);
    format!(
        "components:\n  web:\n    image: registry.example/library/web@sha256:{digest}\n    \
         run: {{command: {command}, port: 8000, publish: /}}\n"
    )
}

/// The command that a Deployment of [`web`] runs.
pub fn runs(deployment: &Value, command: &str) -> bool {
    deployment["spec"]["template"]["spec"]["containers"][0].to_string().contains(command)
}
