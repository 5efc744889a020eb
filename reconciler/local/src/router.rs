//! `http://<tool>.localhost:<port>/` to the pods of the tool: what an Ingress controller or a Gateway is on a cluster.
//!
//! Watches of Ingresses, HTTPRoutes, Services and Pods fill a table ([`table`]); a request is matched against it and sent
//! to a pod that is Ready, each in turn ([`forward`]). What can't be sent anywhere is answered with words that say why and
//! what to do ([`page`]). It listens on loopback alone.

mod forward;
mod page;
mod table;

use forward::Forward;
use futures::StreamExt as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use table::{Kind, Table};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Who takes longer to say what they want is not served.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);

/// What a router is given.
pub struct Settings {
    /// Where routes, Services and pods are.
    pub client: Client,
    /// The platform's domain: `<tool>.localhost` means `<tool>.<domain>`.
    pub domain: String,
    /// Port of loopback; 0 takes a free one.
    pub port: u16,
}

/// A listening router. It ends when this is dropped.
pub struct Router {
    /// Its port of loopback.
    pub port: u16,
    _tasks: JoinSet<()>,
}

impl Router {
    /// Listens, and begins to watch.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port))).await?;
        let port = listener.local_addr()?.port();
        let table = Arc::new(RwLock::new(Table::new(&settings.domain)));
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            tasks.spawn(watch(settings.client.clone(), kind, table.clone()));
        }
        tasks.spawn(accept(listener, Forward::new(table, port)));
        Ok(Self { port, _tasks: tasks })
    }

    /// Where a tool is found in a browser.
    #[must_use]
    pub fn url(&self, tool: &str) -> String {
        format!("http://{tool}.localhost:{}/", self.port)
    }
}

async fn watch(client: Client, kind: Kind, table: Arc<RwLock<Table>>) {
    let (group, version, name) = kind.names();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, name));
    let objects: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = watcher(objects, watcher::Config::default()).default_backoff().boxed();
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        let mut table = table.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(watcher::Event::Apply(object)) => table.put(kind, &object),
            Ok(watcher::Event::Delete(object)) => table.remove(kind, &object),
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => listed.push(object),
            Ok(watcher::Event::InitDone) => table.replace(kind, &std::mem::take(&mut listed)),
            Err(error) => tracing::warn!(%error, kind = name, "the router's watch was interrupted"),
        }
    }
}

async fn accept(listener: TcpListener, forward: Forward) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let forward = forward.clone();
                    let service = hyper::service::service_fn(move |request| forward.clone().answer(request, from));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADERS_WITHIN)
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    connections.spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "a connection to the router ended early");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the router could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
