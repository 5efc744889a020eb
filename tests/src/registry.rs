//! A real registry (distribution, over plain http on loopback), with or without a login, and small real images.
//!
//! Deletion is enabled and works by digest only; there is no referrers API. Every request is logged with its status,
//! because "the registry is asked only when something changed" is a promise that a test has to count.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::control_plane::{Process, build, install_crypto};

/// Where a registry is, and how to get in. It ends when it is dropped, unless it belongs to a control plane.
#[derive(Debug)]
pub struct Registry {
    address: String,
    log: PathBuf,
    auth: RegistryAuth,
    _own: Option<(Process, TempDir)>,
}

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Request {
    /// `GET`, `HEAD`, `PUT` …
    pub method: String,
    /// `/v2/<repository>/manifests/<reference>` …
    pub path: String,
    /// The HTTP status; 401 comes before a login.
    pub status: u16,
    /// Who logged in; empty without a login.
    pub user: String,
    /// The client's User-Agent.
    pub agent: String,
}

/// What an image is made of; each text becomes the file `content` in a layer of its own.
#[derive(Debug, Clone, Default)]
pub struct Image<'a> {
    /// At least one.
    pub layers: &'a [&'a str],
    /// Labels in the configuration.
    pub labels: BTreeMap<String, String>,
    /// The command in the configuration.
    pub entrypoint: Vec<String>,
    /// `NAME=value` in the configuration.
    pub env: Vec<String>,
    /// `amd64` where it does not say.
    pub architecture: Option<&'a str>,
    /// When it was made, RFC 3339; 1970 where it does not say.
    pub created: Option<String>,
}

/// The digest of the layer that such a text becomes, compressed or not.
pub fn layer_digest(content: &str) -> String {
    ImageLayer::oci_v1(tar("content", content.as_bytes()), None).sha256_digest()
}

#[derive(Deserialize)]
struct Ready {
    registry: String,
    request_log: PathBuf,
}

impl Registry {
    /// Starts one of its own that lets everybody in.
    pub async fn start() -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(|| Self::start_blocking(None)).await?
    }

    /// Starts one that asks for a user and a password, for reading too.
    pub async fn start_with_login(user: &str, password: &str) -> anyhow::Result<Self> {
        let login = (user.to_owned(), password.to_owned());
        tokio::task::spawn_blocking(|| Self::start_blocking(Some(login))).await?
    }

    pub(crate) fn running(address: &str, log: &Path) -> Self {
        Self { address: address.into(), log: log.into(), auth: RegistryAuth::Anonymous, _own: None }
    }

    fn start_blocking(login: Option<(String, String)>) -> anyhow::Result<Self> {
        install_crypto();
        let dir = tempfile::Builder::new().prefix("registry-").tempdir()?;
        let mut args: Vec<&OsStr> = vec!["registry".as_ref(), "--dir".as_ref(), dir.path().as_os_str()];
        let given = login.as_ref().map(|(user, password)| format!("{user}:{password}"));
        if let Some(given) = &given {
            args.extend([OsStr::new("--login"), given.as_ref()]);
        }
        let (process, line) = Process::start(&build::binary()?, &args)?;
        let ready: Ready = serde_json::from_str(&line).with_context(|| format!("not a ready line: {line}"))?;
        let auth = login.map_or(RegistryAuth::Anonymous, |(user, password)| RegistryAuth::Basic(user, password));
        Ok(Self { address: ready.registry, log: ready.request_log, auth, _own: Some((process, dir)) })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The credentials that get in.
    pub fn auth(&self) -> &RegistryAuth {
        &self.auth
    }

    /// The same for programs that read Docker's `config.json`.
    pub fn docker_config(&self) -> String {
        let auth = match &self.auth {
            RegistryAuth::Basic(user, password) => STANDARD.encode(format!("{user}:{password}")),
            _ => return json!({}).to_string(),
        };
        json!({"auths": {(self.address.clone()): {"auth": auth}}}).to_string()
    }

    /// A client that speaks plain http.
    pub fn client(&self) -> Client {
        Client::new(ClientConfig {
            protocol: ClientProtocol::Http,
            use_monolithic_push: true,
            user_agent: "tests",
            ..Default::default()
        })
    }

    /// `repository:tag` here.
    pub fn reference(&self, repository: &str, tag: &str) -> Reference {
        Reference::with_tag(self.address.clone(), repository.into(), tag.into())
    }

    /// Pushes an image and returns its digest, `sha256:…`.
    pub async fn push(&self, repository: &str, tag: &str, image: &Image<'_>) -> anyhow::Result<String> {
        let layers: Vec<ImageLayer> =
            image.layers.iter().map(|content| ImageLayer::oci_v1(tar("content", content.as_bytes()), None)).collect();
        let config = configuration(image, &layers);
        let reference = self.reference(repository, tag);
        let client = self.client();
        client
            .push(&reference, &layers, Config::oci_v1(config.to_string().into_bytes(), None), &self.auth, None)
            .await
            .with_context(|| format!("push {reference}"))?;
        Ok(client.fetch_manifest_digest(&reference, &self.auth).await?)
    }

    /// The digest a tag has now (one HEAD); an error when there is no such tag.
    pub async fn digest(&self, repository: &str, tag: &str) -> anyhow::Result<String> {
        let reference = self.reference(repository, tag);
        let digest = self.client().fetch_manifest_digest(&reference, &self.auth).await;
        digest.with_context(|| format!("ask for {reference}"))
    }

    /// All requests so far, oldest first; take the length before and look at the rest.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let text = std::fs::read_to_string(&self.log)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

/// Layers are not compressed, so a layer's digest is its diff id.
fn configuration(image: &Image<'_>, layers: &[ImageLayer]) -> serde_json::Value {
    json!({
        "architecture": image.architecture.unwrap_or("amd64"), "os": "linux",
        "created": image.created.as_deref().unwrap_or("1970-01-01T00:00:00Z"),
        "config": {"Labels": image.labels, "Entrypoint": image.entrypoint, "Env": image.env},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(ImageLayer::sha256_digest).collect::<Vec<_>>()},
        "history": layers.iter().map(|_| json!({"created_by": "tests"})).collect::<Vec<_>>(),
    })
}

/// A tar (ustar) with one file; the same input gives the same bytes.
fn tar(name: &str, content: &[u8]) -> Bytes {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive.into()
}
