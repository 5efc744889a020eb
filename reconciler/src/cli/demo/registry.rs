//! A registry that plays the builder: an image that is asked for is there, as if it had been built, unless the show
//! holds it back. It answers which digest a tag has and for which machines it is, and holds no images.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use renderer::length_prefixed::hex;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A listening registry. It ends when this is dropped.
pub struct Registry {
    /// Host and port.
    pub host: String,
    shelf: Arc<Mutex<Shelf>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shelf {
    /// Indexes by `/<name>:<tag>`.
    built: BTreeMap<String, String>,
    /// New images of this tool are not built yet.
    held_back: Option<String>,
}

impl Registry {
    /// Listens on loopback.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let host = listener.local_addr()?.to_string();
        let shelf = Arc::<Mutex<Shelf>>::default();
        let routes = Router::new().route("/v2/{*path}", get(manifest)).with_state(shelf.clone());
        let serving = tokio::spawn(async move {
            // It ends with the demo; whoever asks then is told by the connection.
            drop(axum::serve(listener, routes).await);
        });
        Ok(Self { host, shelf, serving })
    }

    /// From now on, new images of this tool are not there.
    pub fn hold_back(&self, tool: &str) {
        lock(&self.shelf).held_back = Some(format!("/tool-{tool}/"));
    }

    /// Everything is built again at once.
    pub fn let_go(&self) {
        lock(&self.shelf).held_back = None;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// `/v2/<name>/manifests/<tag or digest>`; axum answers HEAD from it, too.
async fn manifest(State(shelf): State<Arc<Mutex<Shelf>>>, Path(path): Path<String>) -> Response {
    let Some((name, tag)) = path.split_once("/manifests/") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let image = format!("/{name}:{tag}");
    let mut shelf = lock(&shelf);
    if tag.starts_with("sha256:") {
        let found = shelf.built.values().find(|index| digest(index) == tag).map(|index| answer(index));
        return found.unwrap_or_else(unknown);
    }
    let missing = shelf.held_back.as_ref().is_some_and(|tool| image.contains(tool.as_str()));
    if missing && !shelf.built.contains_key(&image) {
        return unknown();
    }
    answer(shelf.built.entry(image.clone()).or_insert_with(|| index(&image)))
}

fn unknown() -> Response {
    let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    (StatusCode::NOT_FOUND, unknown).into_response()
}

fn answer(index: &str) -> Response {
    ([("docker-content-digest", digest(index)), ("content-type", INDEX.to_owned())], index.to_owned()).into_response()
}

/// An index that says for which machines it is: nothing else is asked of it.
fn index(image: &str) -> String {
    let part = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest("{}"),
        "size": 2,
        "platform": {"os": "linux", "architecture": "amd64"},
    });
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [part], "annotations": {"of": image}}).to_string()
}

fn digest(bytes: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes.as_bytes())))
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}
