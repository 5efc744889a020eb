//! Manifests, tags, and what there is.

use super::place::{Key, Name};
use super::refusal::{Refusal, said};
use super::store::MAX_MANIFEST_BYTES;
use super::{Shop, on_disk, parameter};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, LINK, LOCATION};
use http::{StatusCode, Uri};
use serde_json::json;
use std::sync::Arc;

pub(super) const DIGEST: &str = "docker-content-digest";

/// HEAD too: whoever answers leaves the body out.
pub(super) async fn get(shop: Arc<Shop>, name: Name, key: Key) -> Result<Response, Refusal> {
    let stored = on_disk(shop, move |store| store.manifest(&name, &key)).await?;
    let headers = [(CONTENT_TYPE.as_str(), stored.media_type), (DIGEST, stored.digest.to_string())];
    Ok((headers, stored.bytes).into_response())
}

pub(super) async fn put(shop: Arc<Shop>, name: Name, key: Key, request: Request) -> Result<Response, Refusal> {
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.ok_or_else(|| Refusal::bad_manifest("expected a Content-Type"))?.to_owned();
    let bytes = axum::body::to_bytes(request.into_body(), MAX_MANIFEST_BYTES).await;
    let bytes = bytes.map_err(|_| Refusal::too_large("the manifest", MAX_MANIFEST_BYTES as u64))?;
    let path = format!("/v2/{}/manifests/", name.as_str());
    let digest = on_disk(shop, move |store| store.put(&name, &key, &media_type, &bytes)).await?;
    let headers = [(LOCATION.as_str(), format!("{path}{digest}")), (DIGEST, digest.to_string())];
    Ok((StatusCode::CREATED, headers).into_response())
}

pub(super) async fn delete(shop: Arc<Shop>, name: Name, key: Key) -> Result<Response, Refusal> {
    on_disk(shop, move |store| store.delete(&name, &key)).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

pub(super) async fn tags(shop: Arc<Shop>, name: Name, uri: &Uri) -> Result<Response, Refusal> {
    let path = format!("/v2/{}/tags/list", name.as_str());
    let title = name.as_str().to_owned();
    let tags = on_disk(shop, move |store| store.tags(&name)).await?;
    let (tags, link) = page(tags, uri, &path);
    Ok((link, said(&json!({"name": title, "tags": tags}))).into_response())
}

pub(super) async fn catalog(shop: Arc<Shop>, uri: &Uri) -> Result<Response, Refusal> {
    let all = on_disk(shop, move |store| Ok(store.repositories()?)).await?;
    let names = all.iter().map(|name| name.as_str().to_owned()).collect();
    let (names, link) = page(names, uri, "/v2/_catalog");
    Ok((link, said(&json!({"repositories": names}))).into_response())
}

/// `n` entries after `last`, and where it goes on.
fn page(all: Vec<String>, uri: &Uri, path: &str) -> (Vec<String>, Option<[(http::HeaderName, String); 1]>) {
    let last = parameter(uri, "last").unwrap_or_default();
    let mut rest: Vec<_> = all.into_iter().filter(|one| *one > last).collect();
    let Some(count) = parameter(uri, "n").and_then(|n| n.parse::<usize>().ok()) else { return (rest, None) };
    if rest.len() <= count {
        return (rest, None);
    }
    rest.truncate(count);
    let next = rest.last().map(|last| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("n", &count.to_string())
            .append_pair("last", last)
            .finish();
        [(LINK, format!("<{path}?{query}>; rel=\"next\""))]
    });
    (rest, next)
}
