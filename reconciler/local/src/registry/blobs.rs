//! Blobs, and how they come: whole, in chunks, or from another repository.

use super::manifests::DIGEST;
use super::place::{Name, UploadId};
use super::refusal::Refusal;
use super::{Shop, on_disk, parameter};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, StatusCode, Uri};
use renderer::Digest;
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

/// Larger than any layer that a build here may make.
const MAX_BLOB_BYTES: u64 = 16 << 30;

/// HEAD too: whoever answers leaves the body out.
pub(super) async fn get(shop: Arc<Shop>, name: Name, digest: Digest) -> Result<Response, Refusal> {
    let said = digest.to_string();
    let (file, size_bytes) = on_disk(shop, move |store| store.open_blob(&name, &digest)).await?;
    let headers = [
        (CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (CONTENT_LENGTH.as_str(), size_bytes.to_string()),
        (DIGEST, said),
    ];
    let body = Body::from_stream(ReaderStream::with_capacity(tokio::fs::File::from_std(file), 1 << 18));
    Ok((headers, body).into_response())
}

pub(super) async fn delete(shop: Arc<Shop>, name: Name, digest: Digest) -> Result<Response, Refusal> {
    on_disk(shop, move |store| store.forget_blob(&name, &digest)).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// A mount where the blob is at hand, one request where the digest is given, else an upload that goes on.
pub(super) async fn begin(shop: Arc<Shop>, name: Name, request: Request) -> Result<Response, Refusal> {
    let uri = request.uri().clone();
    if let (Some(mount), Some(from)) = (parameter(&uri, "mount"), parameter(&uri, "from")) {
        let digest = Digest::new(mount).map_err(|_| Refusal::no_digest())?;
        let (from, to, wanted) = (Name::new(&from)?, name.clone(), digest.clone());
        if on_disk(shop.clone(), move |store| store.mount(&from, &to, &wanted)).await? {
            return Ok(created(&name, &digest));
        }
    }
    let of = name.clone();
    let id = on_disk(shop.clone(), move |store| store.begin(&of)).await?;
    if parameter(&uri, "digest").is_some() {
        return finish(shop, name, id, request).await;
    }
    Ok(goes_on(StatusCode::ACCEPTED, &name, &id, 0))
}

pub(super) async fn append(shop: Arc<Shop>, name: Name, id: UploadId, request: Request) -> Result<Response, Refusal> {
    let size_bytes = receive(&shop, &name, &id, request).await?;
    Ok(goes_on(StatusCode::ACCEPTED, &name, &id, size_bytes))
}

pub(super) async fn finish(shop: Arc<Shop>, name: Name, id: UploadId, request: Request) -> Result<Response, Refusal> {
    let digest = wanted(request.uri())?;
    receive(&shop, &name, &id, request).await?;
    let (of, expected) = (name.clone(), digest.clone());
    let done = on_disk(shop.clone(), move |store| {
        let done = store.finish(&of, &id, &expected);
        if done.is_err() {
            // What is not its digest is of no use to anybody.
            drop(std::fs::remove_file(store.upload(&of, &id)));
        }
        done
    });
    done.await?;
    Ok(created(&name, &digest))
}

pub(super) async fn how_far(shop: Arc<Shop>, name: Name, id: UploadId) -> Result<Response, Refusal> {
    let path = shop.store.upload(&name, &id);
    let found = tokio::fs::metadata(path).await.map_err(unknown)?;
    Ok(goes_on(StatusCode::NO_CONTENT, &name, &id, found.len()))
}

pub(super) async fn give_up(shop: Arc<Shop>, name: Name, id: UploadId) -> Result<Response, Refusal> {
    tokio::fs::remove_file(shop.store.upload(&name, &id)).await.map_err(unknown)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The body, after what is there; how much is there then. A body that breaks off leaves what had come: the client is
/// told by a range where to go on.
async fn receive(shop: &Arc<Shop>, name: &Name, id: &UploadId, request: Request) -> Result<u64, Refusal> {
    let path = shop.store.upload(name, id);
    let mut file = tokio::fs::OpenOptions::new().append(true).open(path).await.map_err(unknown)?;
    let mut size_bytes = file.metadata().await?.len();
    if begins_at(request.headers()).is_some_and(|at| at != size_bytes) {
        return Err(Refusal::out_of_order(size_bytes));
    }
    let mut body = request.into_body().into_data_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Refusal::broken_off(&error))?;
        size_bytes += chunk.len() as u64;
        if size_bytes > MAX_BLOB_BYTES {
            return Err(Refusal::too_large("the blob", MAX_BLOB_BYTES));
        }
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(size_bytes)
}

fn unknown(error: std::io::Error) -> Refusal {
    if error.kind() == ErrorKind::NotFound { Refusal::unknown_upload() } else { error.into() }
}

/// `Content-Range: <from>-<to>`, as the specification writes it, or with `bytes` before it.
fn begins_at(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.trim_start_matches("bytes").trim().split_once('-')?.0.parse().ok()
}

fn wanted(uri: &Uri) -> Result<Digest, Refusal> {
    parameter(uri, "digest").and_then(|digest| Digest::new(digest).ok()).ok_or_else(Refusal::no_digest)
}

fn created(name: &Name, digest: &Digest) -> Response {
    let location = format!("/v2/{}/blobs/{digest}", name.as_str());
    (StatusCode::CREATED, [(LOCATION.as_str(), location), (DIGEST, digest.to_string())]).into_response()
}

fn goes_on(status: StatusCode, name: &Name, id: &UploadId, size_bytes: u64) -> Response {
    let location = format!("/v2/{}/blobs/uploads/{}", name.as_str(), id.as_str());
    let range = format!("0-{}", size_bytes.saturating_sub(1));
    (status, [(LOCATION, location), (RANGE, range)]).into_response()
}
