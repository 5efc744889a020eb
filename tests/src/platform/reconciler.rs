//! Our reconciler as a process would run it: in a runtime of its own, so that it can be killed at any point.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use kube::config::AuthInfo;
use reconciler::cluster::Cluster;
use reconciler::cluster::door::Requests;
use reconciler::driver::{Limits, Options, serve};
use reconciler::source::RepositoryUrl;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use super::{Platform, storm};
use crate::rights;

/// Between polls of git: quick, because tests wait for it.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// Between a process that ended with an error and the next one.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const LINES_KEPT: usize = 2_000;

/// A running reconciler. Dropping it is killing it.
pub struct Reconciler {
    runtime: Option<Runtime>,
    serving: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    web: SocketAddr,
}

impl Reconciler {
    /// Starts one for a platform, as the account that operators installed, with its packs in `cache`.
    pub(super) async fn start(platform: &Platform, cache: PathBuf) -> anyhow::Result<Self> {
        let mut config = storm::config(platform).await?;
        let token = rights::token(platform.plane(), &platform.namespace()).await?;
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        // Free now; another program could still take it, which fails the start and nothing else.
        let web = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let options = Options {
            config: RepositoryUrl::parse(&platform.way_to(platform.config().url()))?,
            platform: None,
            limits: Limits { interval: Some(POLL_EVERY), ..Limits::default() },
            cache,
            web: Some(web),
            listener: None,
        };
        let runtime = runtime(platform.log())?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        // As a Deployment would: at the start, and only there, an error ends the process.
        let begins_again = platform.storm().is_ok();
        let serving = runtime.spawn(async move {
            let requests = Requests::default();
            let cluster = Cluster::of_config("test", config, &requests)?;
            loop {
                let served = serve(options.clone(), cluster.clone(), &requests, &|_: &str| None, stopped.clone()).await;
                if let Err(error) = &served {
                    tracing::error!("{error:#}");
                }
                if served.is_ok() || !begins_again {
                    return served;
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        });
        Ok(Self { runtime: Some(runtime), serving, stop, web })
    }

    /// Where its metrics are.
    pub(super) fn web(&self) -> SocketAddr {
        self.web
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        (&mut self.serving).await.context("the reconciler panicked")?
    }

    /// Ends it wherever it is. Each of its futures is dropped where it waits; nothing is finished or freed.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Its threads log into `log`, and into nobody else's.
fn runtime(log: &Log) -> anyhow::Result<Runtime> {
    let filter = tracing_subscriber::EnvFilter::new("info,reconciler=debug");
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(log.clone()).finish();
    let dispatch = tracing::Dispatch::new(subscriber);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("reconciler")
        // The guard would take the subscriber away at the end of this closure; the thread's end is early enough.
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
        .enable_all()
        .build()?;
    Ok(runtime)
}

/// What a reconciler logs: the last lines are kept, over restarts.
#[derive(Debug, Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Log {
    /// The last lines, oldest first.
    pub fn last(&self, count: usize) -> String {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(count);
        lines.iter().skip(skipped).cloned().collect()
    }

    /// Whether any line kept has this text.
    pub fn has(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Log {
    /// The subscriber writes whole lines.
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let mut lines = self.lines();
        lines.push_back(String::from_utf8_lossy(text).into_owned());
        if lines.len() > LINES_KEPT {
            lines.pop_front();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
