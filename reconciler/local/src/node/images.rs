//! Images, each unpacked once into a folder named after its digest. They come from a registry on this machine's loopback,
//! by digest and no other way; what arrives is what was asked for, or it is an error. A folder that nothing runs from is
//! removed when newer ones take its place.

use super::http;
use super::launch::Image;
use super::unpack::{Room, unpack};
use http_body_util::BodyExt as _;
use planner::image::{Blob, blobs, digest_of};
use renderer::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt as _;

/// A manifest is a few kilobytes, a configuration is labels and history.
const MAX_TEXT_BYTES: usize = 8 << 20;
/// One layer as it is in the registry.
const MAX_LAYER_BYTES: u64 = 4 << 30;
/// Unused images that stay: the next restart may want one.
const KEPT_UNUSED: usize = 5;
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// The unpacked images.
#[derive(Debug)]
pub(crate) struct Images {
    folder: PathBuf,
    /// How many use each.
    used: Mutex<BTreeMap<String, usize>>,
    /// One is fetched at a time: two that want the same fetch it once.
    fetching: tokio::sync::Mutex<()>,
}

/// An image that stays while this is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) image: Image,
    name: String,
    images: Arc<Images>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut used = self.images.used();
        if let Some(count) = used.get_mut(&self.name) {
            *count -= 1;
        }
        used.retain(|_, count| *count > 0);
    }
}

/// `host:port/path[:tag]@sha256:…`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    authority: String,
    path: String,
    digest: Digest,
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("image {text:?}: {why}");
        let (name, digest) = text.split_once('@').ok_or_else(|| bad("expected one by digest"))?;
        let digest = Digest::new(digest).map_err(|error| bad(&error.to_string()))?;
        let (authority, path) =
            name.split_once('/').ok_or_else(|| bad("expected a registry's host before the path"))?;
        let path = path.rsplit_once(':').map_or(path, |(path, _tag)| path);
        let is_name = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        if !http::is_loopback(authority) {
            return Err(bad("only images of a registry on this machine's loopback run here"));
        }
        if !path.split('/').all(is_name) {
            return Err(bad("expected a path of names"));
        }
        Ok(Self { authority: authority.to_owned(), path: path.to_owned(), digest })
    }

    /// The folder of the image.
    fn name(&self) -> String {
        self.digest.as_str().replacen(':', "-", 1)
    }
}

impl Images {
    /// The images in a folder; what was left half fetched goes.
    pub(crate) fn open(folder: &Path) -> io::Result<Arc<Self>> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            used: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }))
    }

    /// The image of a reference, fetched where it is not here yet.
    pub(crate) async fn take(self: &Arc<Self>, reference: &str) -> Result<Held, String> {
        let address = Address::parse(reference)?;
        let name = address.name();
        *self.used().entry(name.clone()).or_default() += 1;
        // Counted first, so that nobody removes it meanwhile; this gives the count back if it does not come.
        let mut held = Held { image: Image::default(), name, images: self.clone() };
        let _alone = self.fetching.lock().await;
        let folder = self.folder.join(&held.name);
        if !folder.exists() {
            self.fetch(&address, &folder).await.map_err(|why| format!("image {reference}: {why}"))?;
        }
        held.image = read(&folder).map_err(|why| format!("image {reference}: {why}"))?;
        self.forget_unused();
        Ok(held)
    }

    async fn fetch(&self, address: &Address, folder: &Path) -> Result<(), String> {
        let part = folder.with_extension("part");
        let failed = |error: io::Error| format!("it can't be unpacked: {error}");
        fs::create_dir_all(part.join("root")).map_err(failed)?;
        let fetched = fetch_into(address, &part).await;
        if let Err(why) = fetched {
            fs::remove_dir_all(&part).map_err(failed)?;
            return Err(why);
        }
        fs::rename(&part, folder).map_err(failed)
    }

    /// Of the images that nothing uses, the newest few stay.
    fn forget_unused(&self) {
        let used = self.used();
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut unused: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| !used.contains_key(&*entry.file_name().to_string_lossy()))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        unused.sort();
        let excess = unused.len().saturating_sub(KEPT_UNUSED);
        for (_, path) in unused.into_iter().take(excess) {
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(%error, path = %path.display(), "an unused image can't be removed");
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(folder: &Path) -> Result<Image, String> {
    let config = fs::read(folder.join("config.json")).map_err(|error| format!("its configuration is gone: {error}"))?;
    let config: Value = serde_json::from_slice(&config).map_err(|error| format!("its configuration: {error}"))?;
    Image::read(&folder.join("root"), &config)
}

async fn fetch_into(address: &Address, part: &Path) -> Result<(), String> {
    let Address { authority, path, digest } = address;
    let manifest = text(authority, &format!("/v2/{path}/manifests/{digest}"), digest).await?;
    let (config, layers) = blobs(&manifest).map_err(|error| error.to_string())?;
    let config = text(authority, &format!("/v2/{path}/blobs/{}", config.digest), &config.digest).await?;
    let failed = |error: io::Error| format!("it can't be unpacked: {error}");
    fs::write(part.join("config.json"), &config).map_err(failed)?;
    let (file, root) = (part.join("layer"), part.join("root"));
    let mut room = Room::IMAGE;
    for layer in &layers {
        download(authority, &format!("/v2/{path}/blobs/{}", layer.digest), layer, &file).await?;
        let (file, root) = (file.clone(), root.clone());
        let unpacked = tokio::task::spawn_blocking(move || {
            unpack(&mut io::BufReader::new(File::open(file)?), &root, &mut room)?;
            Ok(room)
        });
        room = unpacked.await.map_err(io::Error::other).and_then(|unpacked| unpacked).map_err(failed)?;
    }
    if !layers.is_empty() {
        fs::remove_file(file).map_err(failed)?;
    }
    Ok(())
}

/// A manifest or a configuration, which has the digest that it was asked for by.
async fn text(authority: &str, path: &str, digest: &Digest) -> Result<Vec<u8>, String> {
    let response = answered(authority, path).await?;
    let bytes = http::bounded(response.into_body(), MAX_TEXT_BYTES).await?;
    is_as_asked(&digest_of(&bytes), digest)?;
    Ok(bytes)
}

async fn answered(authority: &str, path: &str) -> Result<::http::Response<hyper::body::Incoming>, String> {
    let accept = [("accept".to_owned(), ACCEPT.to_owned())];
    let response = http::get(authority, path, &accept).await;
    let response = response.map_err(|error| format!("the registry {authority} does not answer: {error}"))?;
    if response.status() == ::http::StatusCode::OK {
        return Ok(response);
    }
    Err(format!("the registry {authority} answers {} for {path}", response.status()))
}

fn is_as_asked(found: &Digest, asked: &Digest) -> Result<(), String> {
    if found == asked { Ok(()) } else { Err(format!("the registry sent {found} for {asked}")) }
}

async fn download(authority: &str, path: &str, blob: &Blob, file: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("a layer can't be written: {error}");
    if blob.size_bytes > MAX_LAYER_BYTES {
        return Err(format!("a layer has {} bytes, more than {MAX_LAYER_BYTES}", blob.size_bytes));
    }
    let mut body = answered(authority, path).await?.into_body();
    let mut out = tokio::fs::File::create(file).await.map_err(failed)?;
    let (mut hash, mut left) = (Sha256::new(), blob.size_bytes);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("a layer came only in part: {error}"))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let longer = || format!("a layer is longer than the {} bytes it should have", blob.size_bytes);
        left = left.checked_sub(bytes.len() as u64).ok_or_else(longer)?;
        hash.update(&bytes);
        out.write_all(&bytes).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)?;
    is_as_asked(&Digest::of_sha256(&hash.finalize().into()), &blob.digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_digest_on_this_machine() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for name in ["127.0.0.1:5000/toolforge/tool-x/web:1", "localhost:5000/x"] {
            let address = Address::parse(&format!("{name}@{digest}")).expect(name);
            assert_eq!(address.name(), format!("sha256-{}", "a".repeat(64)));
            assert!(!address.path.contains(':'), "{address:?}");
        }
        for bad in [
            "127.0.0.1:5000/x:1".to_owned(),
            format!("registry.example/x@{digest}"),
            format!("x@{digest}"),
            format!("127.0.0.1:5000/../x@{digest}"),
            format!("127.0.0.1:5000/x?y@{digest}"),
            "127.0.0.1:5000/x@sha256:..".to_owned(),
        ] {
            assert!(Address::parse(&bad).is_err(), "{bad}");
        }
    }
}
