//! One connection for everything that a command asks: its first request opens it, and all that are on their way at once
//! share it. A handshake costs the server more than an answer, and a command asks for twenty things at the same moment.
//!
//! That is HTTP/2. A server that speaks HTTP/1.1 alone, such as a sandbox in another process, is asked as ever, a request
//! a connection; it costs one more to learn that. `run` stays with connections of its own: its watches and its passes
//! have nothing to do with each other, and a connection that dies takes all that is on it along.

use super::CONNECT_LIMIT;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt as _};
use kube::config::Config;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Mutex;
use tower::{BoxError, Service};

/// A server that says nothing for so long is asked whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// And is not, where it does not answer that in this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The connection; clones are the same one.
#[derive(Clone)]
pub(super) struct OneConnection(Arc<Inner>);

struct Inner {
    server: Uri,
    connector: HttpsConnector<HttpConnector>,
    open: Mutex<Option<Open>>,
    /// For a server that knows no other way.
    several: legacy::Client<HttpsConnector<HttpConnector>, Body>,
}

#[derive(Clone)]
enum Open {
    Shared(SendRequest<Body>),
    Several,
}

impl OneConnection {
    /// To the server that `config` names. Nothing is sent yet.
    pub(super) fn to(config: &Config) -> Result<Self, kube::Error> {
        let mut tls = config.rustls_client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnector::new(tcp, tls, false, server_name(config)?);
        let several = legacy::Client::builder(TokioExecutor::new()).build(connector.clone());
        let (server, open) = (config.cluster_url.clone(), Mutex::default());
        Ok(Self(Arc::new(Inner { server, connector, open, several })))
    }

    /// The connection that is open, or a new one: whoever comes meanwhile waits for it.
    async fn open(&self) -> Result<Open, BoxError> {
        let mut open = self.0.open.lock().await;
        match &*open {
            Some(Open::Shared(line)) if line.is_closed() => {}
            Some(known) => return Ok(known.clone()),
            None => {}
        }
        let stream = self.0.connector.clone().call(self.0.server.clone()).await?;
        let now = if stream.connected().is_negotiated_h2() {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(ASK_AFTER).keep_alive_timeout(ANSWER_WITHIN);
            let (line, connection) = builder.handshake(stream).await?;
            tokio::spawn(async move {
                // Whoever waits for an answer is told, too.
                connection.await.unwrap_or_else(|error| tracing::debug!(%error, "the connection ended"));
            });
            Open::Shared(line)
        } else {
            Open::Several
        };
        *open = Some(now.clone());
        Ok(now)
    }
}

impl Service<Request<Body>> for OneConnection {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            match this.open().await? {
                Open::Shared(mut line) => Ok(line.send_request(request).await?),
                Open::Several => Ok(this.0.several.request(request).await?),
            }
        })
    }
}

/// Whose certificate is expected: the address's, unless the kubeconfig says another.
fn server_name(config: &Config) -> Result<Arc<dyn ResolveServerName + Send + Sync>, kube::Error> {
    let Some(name) = config.tls_server_name.clone() else { return Ok(Arc::new(DefaultServerNameResolver::default())) };
    let name = ServerName::try_from(name).map_err(|error| kube::Error::Service(error.into()))?;
    Ok(Arc::new(FixedServerNameResolver::new(name)))
}
