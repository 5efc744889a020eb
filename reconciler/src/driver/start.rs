//! From nothing to a running loop: config repository, platform objects, lease, watches, loop. And back: finish the passes
//! under way, free the lease.

use super::images::Images;
use super::space::Space;
use super::{Book, Driver, Inbox, Limits, Listener, lock, platform};
use crate::cluster::Cluster;
use crate::cluster::door::Requests;
use crate::dialer::{Credentials, Dialer};
use crate::events::Recorder;
use crate::lease;
use crate::observe::{Counters, Scope, Wake, Whose, World};
use crate::registry::Registry;
use crate::secrets::{Vault, deploy_keys};
use crate::source::config_repo::bootstrap_rules;
use crate::source::watch_folder::WatchFolder;
use crate::source::{Git, RepositoryUrl, Settings, Ssh};
use crate::web::{self, Metrics};
use anyhow::Context as _;
use renderer::{Platform, Secret};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Prefix of the environment variables that hold the config repository's credentials: `…_USERNAME`, `…_PASSWORD`.
pub const GIT_CREDENTIALS: &str = "TOOLFORGE_GIT";

/// The environment variable that says what the cache of git packs may take on disk, in bytes.
const GIT_CACHE_BYTES: &str = "TOOLFORGE_GIT_CACHE_BYTES";

/// What `toolforge run` is asked to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The config repository.
    pub config: RepositoryUrl,
    /// Which of its platforms; none for the only one.
    pub platform: Option<String>,
    /// How the loop behaves.
    pub limits: Limits,
    /// Where fetched packs are kept; may be deleted at any time.
    pub cache: PathBuf,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub web: Option<SocketAddr>,
    /// Who is told of every pass.
    pub listener: Option<Listener>,
}

/// An environment variable's value. The shell's own environment in `main`, a table in tests.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Reads repositories for one config repository: one dialer, and credentials for that repository alone.
///
/// # Errors
/// Where a variable of the environment holds something else than it should.
pub fn git(config: &RepositoryUrl, cache: PathBuf, environment: Environment) -> anyhow::Result<Git> {
    let dialer = Dialer::new(bootstrap_rules(config));
    let credentials = git_credentials(config, environment);
    let credentials = credentials.map(|found| (config.clone(), found)).into_iter().collect();
    let mut settings = Settings::new(cache);
    settings.ssh = Ssh::from_env(config, environment)?;
    if let Some(bytes) = environment(GIT_CACHE_BYTES) {
        settings.max_cache_bytes = bytes.parse().with_context(|| format!("{GIT_CACHE_BYTES} is no number of bytes"))?;
    }
    Ok(Git::new(dialer, settings, credentials))
}

fn git_credentials(config: &RepositoryUrl, environment: Environment) -> Option<Credentials> {
    config.credentials().or_else(|| Credentials::from_env(GIT_CREDENTIALS, environment))
}

fn registry_credentials(platform: &Platform, environment: Environment) -> Option<Credentials> {
    platform.registry.credentials.as_deref().and_then(|prefix| Credentials::from_env(prefix, environment))
}

/// Asks the platform's registry, with the credentials its settings name.
#[must_use]
pub fn registry(dialer: Dialer, platform: &Platform, environment: Environment) -> Registry {
    let host = platform.registry.host.split('/').next().unwrap_or_default().to_owned();
    let found = registry_credentials(platform, environment);
    Registry::new(dialer, found.map(|credentials| (host, credentials)).into_iter().collect(), Default::default())
}

/// Serves one platform until `stop`, or until somebody else holds its lease. When the platform's own frame changes (its
/// name, namespace, kind of route or registry), everything begins anew with the new one.
///
/// # Errors
/// Where the config repository can't be used at the start, the address can't be listened on, or the lease was lost.
pub async fn serve(
    options: Options,
    cluster: Cluster,
    requests: &Requests,
    environment: Environment<'_>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let counters = Counters::default();
    let metrics = Metrics::new(requests, &counters);
    while !stop.is_cancelled() {
        let start = Start { options: &options, cluster: &cluster, environment, counters: &counters, metrics: &metrics };
        start.serve(&stop).await?;
    }
    Ok(())
}

/// What one beginning needs.
struct Start<'a> {
    options: &'a Options,
    cluster: &'a Cluster,
    environment: Environment<'a>,
    counters: &'a Counters,
    metrics: &'a Metrics,
}

impl Start<'_> {
    /// Until `stop`, or until everything has to begin anew.
    async fn serve(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let git = git(&self.options.config, self.options.cache.clone(), self.environment)?;
        let book = Book::open(&git, self.options.config.clone(), self.options.platform.clone()).await?;
        let settings = book.platform();
        let listener = match self.options.web {
            Some(address) => Some(TcpListener::bind(address).await.with_context(|| address.to_string())?),
            None => None,
        };
        platform::namespace(&self.cluster.client, &settings).await?;
        let Some(held) = claim(self.cluster, &settings, stop).await else { return Ok(()) };
        let admission = book.admission();
        platform::publish(&self.cluster.client, &settings, &admission).await?;
        let rules = platform::publish_rules(&self.cluster.client, &settings, &admission).await;
        let vault = Vault::of_platform(&self.cluster.client, &settings).await;
        vault.keep(self.passwords(&settings));
        let (driver, inbox) = self.driver(git, book, &settings, vault);
        let told = driver.world.secret_told();
        driver.git.look_keys_up_with(deploy_keys::watched_lookup(&self.cluster.client, &settings.namespace, told));
        // Where the cluster does not take them, tools are served all the same, and it is tried again, ever more seldom.
        if let Err(error) = rules {
            tracing::warn!(error = format!("{error:#}"), "the platform's rules were not written");
            lock(&driver.publishing).failed();
        }
        // Not a child of `stop`: the loop ends when it is told to below, and never in a race with that.
        let running = CancellationToken::new();
        let web = listener.map(|listener| {
            tokio::spawn(web::serve(listener, self.metrics.clone(), readiness(&driver), running.clone()))
        });
        driver.watch_folders();
        let mut work = tokio::spawn(driver.clone().run(inbox, running.clone()));
        let lost = held.lost();
        tokio::select! {
            // Somebody else may write from now on: what is under way is cut off, not finished.
            () = lost.cancelled() => work.abort(),
            () = stop.cancelled() => {}
            () = driver.restart.cancelled() => {}
            ended = &mut work => return ended.context("the loop ended by itself"),
        }
        running.cancel();
        let worked = work.await;
        if let Some(web) = web {
            web.await.context("the web server ended by itself")??;
        }
        if lost.is_cancelled() {
            anyhow::bail!("the lease of platform {} was lost: another process writes now", settings.name);
        }
        worked.context("the loop ended by itself")?;
        held.release().await.context("the lease was not freed; it runs out by itself")
    }

    /// What this process gets in with, which nobody may repeat.
    fn passwords(&self, settings: &Platform) -> Vec<Secret> {
        let git = git_credentials(&self.options.config, self.environment);
        let registry = registry_credentials(settings, self.environment);
        [git, registry].into_iter().flatten().map(|found| found.password().clone()).collect()
    }

    fn driver(&self, git: Git, book: Book, settings: &Platform, vault: Vault) -> (Arc<Driver>, Inbox) {
        let client = self.cluster.client.clone();
        let scope = Scope::of(&self.cluster.name, settings);
        let (wakes, woken) = mpsc::unbounded_channel();
        let (due, to_read) = mpsc::unbounded_channel();
        let (images, asks) = Images::new();
        let (space, looks) = Space::new();
        let own_changed = Arc::new(Notify::new());
        let driver = Driver {
            registry: registry(git.dialer().clone(), settings, self.environment),
            vault,
            world: World::start(&client, scope, self.counters, wake(&wakes, &own_changed)),
            cluster: Cluster { name: self.cluster.name.clone(), client },
            git,
            book,
            limits: self.options.limits,
            metrics: self.metrics.clone(),
            recorder: Recorder::default(),
            listener: self.options.listener.clone(),
            images,
            space,
            fights: Default::default(),
            unsaid: Default::default(),
            everyone: Default::default(),
            begun: tokio::time::Instant::now(),
            publishing: Default::default(),
            restart: CancellationToken::new(),
            due,
            folders: Default::default(),
            folder_changed: Default::default(),
            own_changed,
        };
        (Arc::new(driver), Inbox { wakes, woken, due: to_read, asks, looks })
    }
}

/// Waits for the platform's lease; none where we were asked to stop meanwhile.
async fn claim(cluster: &Cluster, platform: &Platform, stop: &CancellationToken) -> Option<lease::Held> {
    let claim = lease::Claim {
        namespace: platform.namespace.clone(),
        name: lease::name(&platform.name),
        identity: lease::identity(),
        term: lease::TERM,
    };
    let waiting = |whom: &str| tracing::info!(platform = platform.name, "waiting for the lease: {whom}");
    tokio::select! {
        held = lease::acquire(&cluster.client, claim, &waiting) => Some(held),
        () = stop.cancelled() => None,
    }
}

/// A watch event says whom it concerns, and nothing else.
fn wake(wakes: &super::Wakes, own_changed: &Arc<Notify>) -> Wake {
    let (wakes, own_changed) = (wakes.clone(), own_changed.clone());
    Box::new(move |whose| match whose {
        Whose::Tool(tool) => super::send(&wakes, tool.clone(), false),
        Whose::Platform => own_changed.notify_one(),
    })
}

fn readiness(driver: &Arc<Driver>) -> web::Ready {
    let driver = driver.clone();
    Arc::new(
        move || if driver.world.is_synced() { Ok(()) } else { Err("the cluster is still being listed".to_owned()) },
    )
}

impl Driver {
    /// A commit in a local repository is seen at once; polling goes on, so that a machine that can't watch only loses
    /// time. Called again whenever the config repository names other ones.
    pub(super) fn watch_folders(self: &Arc<Self>) {
        let repositories = self.book.repositories();
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.is_none() && repositories.iter().any(|one| one.local_path().is_some()) {
            *folders = self.begin_to_watch();
        }
        for error in folders.iter_mut().flat_map(|folders| folders.set(&repositories)) {
            tracing::info!(%error, "a folder is only polled");
        }
    }

    fn begin_to_watch(self: &Arc<Self>) -> Option<WatchFolder> {
        // Its thread may outlive us by a moment; the watches of the cluster must not.
        let driver = Arc::downgrade(self);
        let wake = move |_: &_| {
            if let Some(driver) = driver.upgrade() {
                driver.folder_changed.notify_one();
            }
        };
        WatchFolder::new(wake).inspect_err(|error| tracing::info!(%error, "folders are only polled")).ok()
    }
}
