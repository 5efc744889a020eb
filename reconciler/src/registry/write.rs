//! Into a registry: blobs first, the manifest last, so that nothing that is half there has a name. A blob that the
//! registry has in another repository is mounted; where it can't be, it is copied in chunks, never whole in memory.

use super::fault::Doing;
use super::session::Request;
use super::tokens::Access;
use super::{Reference, Registry, RegistryError, digest_header};
use crate::dialer;
use http::{Method, StatusCode};
use planner::image::{Blob, digest_of};
use renderer::Digest;
use sha2::Digest as _;
use url::Url;

/// What is held of a layer at once. Small enough to be sent before a server's silence counts as its end.
pub(super) const CHUNK_BYTES: usize = 4 << 20;
const BYTES: &str = "application/octet-stream";

/// How blobs came to be where they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// Blobs that the registry mounted: nothing was transferred.
    pub mounted: usize,
    /// Blobs that had to be copied.
    pub copied: usize,
    /// What those weigh.
    pub copied_bytes: u64,
}

impl Moved {
    pub(super) fn add(&mut self, other: Self) {
        self.mounted += other.mounted;
        self.copied += other.copied;
        self.copied_bytes += other.copied_bytes;
    }
}

/// What a registry makes of the wish to store a blob.
pub(super) enum Begun<'a> {
    /// It had it elsewhere, and now here.
    Mounted,
    /// It waits for the bytes.
    Upload(Upload<'a>),
}

/// Bytes on their way: wherever the registry said that they go next.
pub(super) struct Upload<'a> {
    registry: &'a Registry,
    to: &'a Reference,
    url: Url,
    sent_bytes: u64,
}

impl Registry {
    /// Stores bytes as a blob, and returns its digest.
    ///
    /// # Errors
    /// Where the registry does not take it.
    pub async fn push_blob(&self, to: &Reference, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        let digest = digest_of(&bytes);
        if let Begun::Upload(upload) = self.begin(to, None).await? {
            upload.finish(bytes, &digest).await?;
        }
        Ok(digest)
    }

    /// Stores a manifest under the reference's tag, after everything it names. What the registry then says of it is
    /// compared with what it is.
    ///
    /// # Errors
    /// Where the registry does not take it, or holds something else afterwards.
    pub async fn push_manifest(&self, to: &Reference, media_type: &str, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = digest_of(bytes);
        let url = self.url(&to.host, &format!("{}/manifests/{}", to.path, to.name()))?;
        let mut request = Request::new(Method::PUT, url, to.scope(Access::Push)).with("content-type", media_type);
        request.body = bytes.to_vec();
        let response = self.exchange(&request).await?;
        if response.status() != StatusCode::CREATED {
            let what = format!("blob that the manifest of {}:{} names", to.path, to.name());
            return Err(to.at(Doing::Writing).refused(&what, response).await);
        }
        let stored = match digest_header(&response) {
            Some(said) => said,
            None => self.needed(to).await?.digest,
        };
        to.is(&stored, &digest, "the stored manifest")?;
        Ok(digest)
    }

    /// Brings a blob into another repository: by mounting it where both are in one registry that allows it, else by
    /// copying, with its digest verified before the registry is told that it is whole.
    ///
    /// # Errors
    /// Where it can't be read or stored, or is not what its digest says.
    pub async fn copy_blob(&self, from: &Reference, to: &Reference, blob: &Blob) -> Result<Moved, RegistryError> {
        if (&from.host, &from.path) == (&to.host, &to.path) {
            return Ok(Moved::default());
        }
        let mount = (from.host == to.host).then_some((from, &blob.digest));
        let Begun::Upload(upload) = self.begin(to, mount).await? else {
            return Ok(Moved { mounted: 1, ..Moved::default() });
        };
        if self.has_blob(to, &blob.digest).await? {
            return Ok(Moved::default());
        }
        upload.stream(from, blob).await?;
        Ok(Moved { copied: 1, copied_bytes: blob.size_bytes, ..Moved::default() })
    }

    pub(super) async fn begin<'a>(
        &'a self,
        to: &'a Reference,
        mount: Option<(&Reference, &Digest)>,
    ) -> Result<Begun<'a>, RegistryError> {
        let mut url = self.url(&to.host, &format!("{}/blobs/uploads/", to.path))?;
        let mut scope = to.scope(Access::Push);
        if let Some((from, digest)) = mount {
            url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", &from.path);
            scope = to.scope(Access::Mount { from: from.path.clone() });
        }
        let response = self.exchange(&Request::new(Method::POST, url.clone(), scope)).await?;
        match response.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => {
                let url = self.follow(&to.host, &url, location(&response))?;
                Ok(Begun::Upload(Upload { registry: self, to, url, sent_bytes: 0 }))
            }
            _ => Err(to.at(Doing::Writing).refused(&format!("repository {}", to.path), response).await),
        }
    }

    pub(super) async fn has_blob(&self, at: &Reference, digest: &Digest) -> Result<bool, RegistryError> {
        let url = self.url(&at.host, &format!("{}/blobs/{digest}", at.path))?;
        let response = self.exchange(&Request::new(Method::HEAD, url, at.scope(Access::Pull))).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(at.at(Doing::Reading).refused("blob", response).await),
        }
    }
}

impl Upload<'_> {
    /// Everything of a blob elsewhere, in chunks; what is not its digest is never finished.
    async fn stream(mut self, from: &Reference, blob: &Blob) -> Result<(), RegistryError> {
        let mut response = self.registry.open_blob(from, blob).await?;
        let (mut hash, mut chunk) = (sha2::Sha256::new(), Vec::new());
        let mut left_bytes = blob.size_bytes;
        while let Some(bytes) = dialer::chunk(&mut response).await? {
            self.registry.count_received(bytes.len());
            left_bytes = left_bytes.checked_sub(bytes.len() as u64).ok_or_else(|| too_long(from, blob))?;
            hash.update(&bytes);
            chunk.extend_from_slice(&bytes);
            if chunk.len() >= CHUNK_BYTES {
                self.chunk(std::mem::take(&mut chunk)).await?;
            }
        }
        from.is(&Digest::of_sha256(&hash.finalize().into()), &blob.digest, "a layer")?;
        self.finish(chunk, &blob.digest).await
    }

    pub(super) async fn chunk(&mut self, bytes: Vec<u8>) -> Result<(), RegistryError> {
        let length = bytes.len() as u64;
        let range = format!("{}-{}", self.sent_bytes, self.sent_bytes + length.saturating_sub(1));
        let request = self.request(Method::PATCH, self.url.clone(), bytes).with("content-range", range);
        let response = self.registry.exchange(&request).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refused(response).await);
        }
        self.url = self.registry.follow(&self.to.host, &self.url, location(&response))?;
        self.sent_bytes += length;
        Ok(())
    }

    pub(super) async fn finish(self, rest: Vec<u8>, digest: &Digest) -> Result<(), RegistryError> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let response = self.registry.exchange(&self.request(Method::PUT, url, rest)).await?;
        if response.status() != StatusCode::CREATED {
            return Err(self.refused(response).await);
        }
        match digest_header(&response) {
            Some(said) => self.to.is(&said, digest, "the stored blob"),
            None => Ok(()),
        }
    }

    fn request(&self, method: Method, url: Url, body: Vec<u8>) -> Request {
        let mut request = Request::new(method, url, self.to.scope(Access::Push)).with("content-type", BYTES);
        request.body = body;
        request
    }

    async fn refused(&self, response: reqwest::Response) -> RegistryError {
        self.to.at(Doing::Writing).refused(&format!("upload to {}", self.to.path), response).await
    }
}

fn location(response: &reqwest::Response) -> Option<&str> {
    response.headers().get("location").and_then(|value| value.to_str().ok())
}

fn too_long(from: &Reference, blob: &Blob) -> RegistryError {
    RegistryError::WrongDigest {
        registry: from.host.clone(),
        what: format!("a layer of {}", from.path),
        expected: blob.digest.clone(),
        found: format!("longer than {} bytes", blob.size_bytes),
    }
}
