//! The registry for one machine, asked by other people's clients: oci-client, and plain requests where no client would
//! ask so.

use anyhow::{Context as _, ensure};
use local::registry::Registry;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::IMAGE_LAYER_MEDIA_TYPE;
use oci_client::secrets::RegistryAuth::Anonymous;
use oci_client::{Client, Reference};
use planner::image::digest_of;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const WEB: &str = "toolforge/tool-x/web";

struct Served {
    folder: TempDir,
    registry: Registry,
    http: reqwest::Client,
}

impl Served {
    async fn new() -> anyhow::Result<Self> {
        tests::control_plane::install_crypto();
        let folder = tempfile::tempdir()?;
        let registry = Registry::start(folder.path(), 0).await?;
        Ok(Self { folder, registry, http: reqwest::Client::new() })
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.registry.host()))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.ask(Method::GET, path).send().await?)
    }

    fn reference(&self, name: &str, tag: &str) -> Reference {
        Reference::with_tag(self.registry.host(), name.into(), tag.into())
    }

    /// Pushes an image of these layers, and returns its digest.
    async fn push(&self, name: &str, tag: &str, layers: &[&[u8]]) -> anyhow::Result<String> {
        let layers: Vec<_> = layers.iter().map(|bytes| ImageLayer::oci_v1(bytes.to_vec(), None)).collect();
        let config = Config::oci_v1(b"{}".to_vec(), None);
        client(true).push(&self.reference(name, tag), &layers, config, &Anonymous, None).await?;
        self.digest(name, tag).await
    }

    async fn digest(&self, name: &str, tag: &str) -> anyhow::Result<String> {
        Ok(client(true).fetch_manifest_digest(&self.reference(name, tag), &Anonymous).await?)
    }

    async fn put_manifest(&self, name: &str, key: &str, manifest: &Value) -> anyhow::Result<Response> {
        let put = self.ask(Method::PUT, &format!("/v2/{name}/manifests/{key}")).header("content-type", MANIFEST);
        Ok(put.body(manifest.to_string()).send().await?)
    }
}

fn client(monolithic: bool) -> Client {
    Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        use_monolithic_push: monolithic,
        ..ClientConfig::default()
    })
}

async fn refused(response: Response, status: StatusCode, code: &str) -> anyhow::Result<()> {
    ensure!(response.status() == status, "{response:?}");
    let said: Value = serde_json::from_slice(&response.bytes().await?)?;
    ensure!(said["errors"][0]["code"] == code, "{said}");
    Ok(())
}

fn blobs(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("blobs")).expect("a folder").count()
}

#[tokio::test]
async fn what_a_client_pushes_whole_or_in_chunks_comes_back_by_tag_and_by_digest() -> anyhow::Result<()> {
    let served = Served::new().await?;
    // More than the chunk that this client makes.
    let content: Vec<u8> = (0..1_300_000_u32).flat_map(u32::to_le_bytes).collect();
    for (tag, monolithic) in [("whole", true), ("chunks", false)] {
        let layers = [ImageLayer::oci_v1(content.clone(), None)];
        let config = Config::oci_v1(format!("{{\"a\":{monolithic}}}").into_bytes(), None);
        let reference = served.reference(WEB, tag);
        client(monolithic).push(&reference, &layers, config, &Anonymous, None).await?;
        let digest = served.digest(WEB, tag).await?;
        let pinned = Reference::with_digest(served.registry.host(), WEB.into(), digest.clone());
        for reference in [reference, pinned] {
            let image = client(true).pull(&reference, &Anonymous, vec![IMAGE_LAYER_MEDIA_TYPE]).await?;
            ensure!(image.digest.as_deref() == Some(&digest), "{:?}", image.digest);
            ensure!(image.layers.len() == 1 && image.layers[0].data == content);
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_stored_is_there_for_the_next_process_and_what_nobody_needs_is_not() -> anyhow::Result<()> {
    let Served { folder, registry, http } = Served::new().await?;
    let served = Served { folder, registry, http };
    let kept = served.push(WEB, "kept", &[b"shared", b"one"]).await?;
    let gone = served.push(WEB, "gone", &[b"shared", b"two"]).await?;
    let before = blobs(served.folder.path());
    let deleted = served.ask(Method::DELETE, &format!("/v2/{WEB}/manifests/{gone}")).send().await?;
    ensure!(deleted.status() == StatusCode::ACCEPTED, "{deleted:?}");
    refused(served.get(&format!("/v2/{WEB}/manifests/gone")).await?, StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN").await?;

    let Served { folder, registry, http } = served;
    drop(registry);
    let registry = Registry::start(folder.path(), 0).await?;
    let served = Served { folder, registry, http };
    ensure!(served.digest(WEB, "kept").await? == kept);
    let layers = client(true).pull(&served.reference(WEB, "kept"), &Anonymous, vec![IMAGE_LAYER_MEDIA_TYPE]).await?;
    ensure!(layers.layers.len() == 2);
    // The manifest and the layer that it alone had; the configuration is everybody's.
    ensure!(blobs(served.folder.path()) == before - 2, "{before}");
    Ok(())
}

#[tokio::test]
async fn half_an_image_gets_no_name() -> anyhow::Result<()> {
    let served = Served::new().await?;
    let whole = served.push(WEB, "latest", &[b"one"]).await?;
    let config =
        json!({"digest": digest_of(b"{}"), "size": 2, "mediaType": "application/vnd.oci.image.config.v1+json"});
    let layer = json!({"digest": digest_of(b"never pushed"), "size": 12, "mediaType": IMAGE_LAYER_MEDIA_TYPE});
    let half = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let put = served.put_manifest(WEB, "latest", &half).await?;
    refused(put, StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN").await?;
    ensure!(served.digest(WEB, "latest").await? == whole);

    let garbage = served.ask(Method::PUT, &format!("/v2/{WEB}/manifests/latest")).header("content-type", MANIFEST);
    refused(garbage.body("<html>").send().await?, StatusCode::BAD_REQUEST, "MANIFEST_INVALID").await?;
    let other = digest_of(b"other").to_string();
    let config = json!({"schemaVersion": 2, "layers": []});
    refused(served.put_manifest(WEB, &other, &config).await?, StatusCode::BAD_REQUEST, "DIGEST_INVALID").await
}

#[tokio::test]
async fn bytes_that_are_not_their_digest_are_never_a_blob() -> anyhow::Result<()> {
    let served = Served::new().await?;
    let digest = digest_of(b"what was promised");
    let post = served.ask(Method::POST, &format!("/v2/{WEB}/blobs/uploads/?digest={digest}"));
    refused(post.body("something else").send().await?, StatusCode::BAD_REQUEST, "DIGEST_INVALID").await?;
    let head = served.ask(Method::HEAD, &format!("/v2/{WEB}/blobs/{digest}")).send().await?;
    ensure!(head.status() == StatusCode::NOT_FOUND);

    let begun = served.ask(Method::POST, &format!("/v2/{WEB}/blobs/uploads/")).send().await?;
    let at = begun.headers().get("location").context("a location")?.to_str()?.to_owned();
    let late = served.ask(Method::PATCH, &at).header("content-range", "5-6").body("xx").send().await?;
    refused(late, StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID").await
}

#[tokio::test]
async fn a_blob_is_seen_where_it_was_pushed_or_mounted_and_nowhere_else() -> anyhow::Result<()> {
    let served = Served::new().await?;
    served.push(WEB, "1", &[b"layer"]).await?;
    let (digest, other) = (digest_of(b"layer"), "toolforge/tool-y/web");
    let blob = format!("/v2/{other}/blobs/{digest}");
    ensure!(served.get(&blob).await?.status() == StatusCode::NOT_FOUND);
    let mount =
        |from: &str| served.ask(Method::POST, &format!("/v2/{other}/blobs/uploads/?mount={digest}&from={from}")).send();
    ensure!(mount("toolforge/tool-z/web").await?.status() == StatusCode::ACCEPTED);
    ensure!(mount(WEB).await?.status() == StatusCode::CREATED);
    ensure!(served.get(&blob).await?.bytes().await?.as_ref() == b"layer");
    Ok(())
}

#[tokio::test]
async fn lists_come_in_order_and_in_pages() -> anyhow::Result<()> {
    let served = Served::new().await?;
    for tag in ["c", "a", "b"] {
        served.push(WEB, tag, &[b"one"]).await?;
    }
    served.push("a", "1", &[b"one"]).await?;
    let list = async |path: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&served.get(path).await?.bytes().await?)?)
    };
    let all = list(&format!("/v2/{WEB}/tags/list")).await?;
    ensure!(all == json!({"name": WEB, "tags": ["a", "b", "c"]}), "{all}");
    let first = served.get(&format!("/v2/{WEB}/tags/list?n=2")).await?;
    let link = first.headers().get("link").context("a link")?.to_str()?.to_owned();
    let next = link.split(['<', '>']).nth(1).context("a path")?;
    let rest = list(next).await?;
    ensure!(rest["tags"] == json!(["c"]), "{rest}");
    let names = list("/v2/_catalog").await?;
    ensure!(names == json!({"repositories": ["a", WEB]}), "{names}");
    refused(served.get("/v2/none/tags/list").await?, StatusCode::NOT_FOUND, "NAME_UNKNOWN").await
}

#[tokio::test]
async fn no_web_page_reads_or_writes() -> anyhow::Result<()> {
    let served = Served::new().await?;
    for (header, value) in [("origin", "https://evil.example"), ("host", "evil.example")] {
        let asked = served.ask(Method::GET, "/v2/_catalog").header(header, value).send().await?;
        refused(asked, StatusCode::FORBIDDEN, "DENIED").await?;
    }
    Ok(())
}
