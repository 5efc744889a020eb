//! A registry over one folder, on loopback: what the OCI distribution specification asks of pull, push, listing and
//! deletion, for one machine.
//!
//! What is there is whole: bytes come into a temporary file, are compared with their digest, and are then renamed. A
//! manifest is taken only when everything it names is in its repository, so a tag never leads to half an image. Blobs are
//! stored once for all repositories, and seen only in those that were given them. Nobody is asked for a password:
//! whoever can reach loopback can write, and no web page can, because requests from one carry an Origin or a foreign Host.

mod blobs;
mod manifests;
mod place;
mod refusal;
mod store;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode};
use place::Place;
use refusal::Refusal;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A listening registry. It ends when this is dropped; its folder stays.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What every request needs.
struct Shop {
    store: Store,
    address: SocketAddr,
}

impl Registry {
    /// Serves `folder`, which is made where it is missing, at this port of 127.0.0.1; 0 is any free one. What an earlier
    /// process left half done is removed, and so are blobs that no image needs any more.
    ///
    /// # Errors
    /// Where the folder can't be used or the port is taken.
    pub async fn start(folder: &Path, port: u16) -> io::Result<Self> {
        let folder = folder.to_owned();
        let store = tokio::task::spawn_blocking(move || Store::open(&folder)).await.map_err(io::Error::other)??;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let address = listener.local_addr()?;
        let routes = Router::new().fallback(answer).with_state(Arc::new(Shop { store, address }));
        let serving = tokio::spawn(async move {
            // It ends with its owner; whoever asks then is told by the connection.
            drop(axum::serve(listener, routes).await);
        });
        Ok(Self { address, serving })
    }

    /// `127.0.0.1:<port>`, as images name it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(shop): State<Arc<Shop>>, request: Request) -> Response {
    route(shop, request).await.unwrap_or_else(|refusal| refusal.into_response())
}

async fn route(shop: Arc<Shop>, request: Request) -> Result<Response, Refusal> {
    no_web_page(request.headers(), shop.address)?;
    let place = Place::of(request.uri().path())?;
    let method = request.method().clone();
    match (place, method) {
        (Place::Base, Method::GET | Method::HEAD) => Ok(StatusCode::OK.into_response()),
        (Place::Catalog, Method::GET) => manifests::catalog(shop, request.uri()).await,
        (Place::Tags(name), Method::GET) => manifests::tags(shop, name, request.uri()).await,
        (Place::Manifest(name, key), Method::GET | Method::HEAD) => manifests::get(shop, name, key).await,
        (Place::Manifest(name, key), Method::PUT) => manifests::put(shop, name, key, request).await,
        (Place::Manifest(name, key), Method::DELETE) => manifests::delete(shop, name, key).await,
        (Place::Blob(name, digest), Method::GET | Method::HEAD) => blobs::get(shop, name, digest).await,
        (Place::Blob(name, digest), Method::DELETE) => blobs::delete(shop, name, digest).await,
        (Place::Uploads(name), Method::POST) => blobs::begin(shop, name, request).await,
        (Place::Upload(name, id), Method::PATCH) => blobs::append(shop, name, id, request).await,
        (Place::Upload(name, id), Method::PUT) => blobs::finish(shop, name, id, request).await,
        (Place::Upload(name, id), Method::GET) => blobs::how_far(shop, name, id).await,
        (Place::Upload(name, id), Method::DELETE) => blobs::give_up(shop, name, id).await,
        (_, method) => Err(Refusal::unsupported(&method)),
    }
}

/// A browser says where a page came from, and a name that leads to loopback is not our name.
fn no_web_page(headers: &HeaderMap, address: SocketAddr) -> Result<(), Refusal> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let ours = [address.to_string(), format!("localhost:{}", address.port())];
    if headers.contains_key(ORIGIN) || !host.is_some_and(|host| ours.iter().any(|one| one == host)) {
        return Err(Refusal::denied("this registry answers to no web page, and to no name but its own"));
    }
    Ok(())
}

/// What touches the disk, beside the threads that answer.
async fn on_disk<T: Send + 'static>(
    shop: Arc<Shop>,
    work: impl FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(move || work(&shop.store)).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}

/// One parameter of a query.
fn parameter(uri: &http::Uri, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
