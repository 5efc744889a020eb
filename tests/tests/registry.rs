//! Rebase, promotion and garbage collection on the real registry, with a login and deletion enabled. What it can't be
//! brought to do (lie, be full) is in the reconciler's own tests.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use oci_client::manifest::{IMAGE_LAYER_MEDIA_TYPE, ImageIndexEntry, OciImageIndex, OciManifest};
use planner::Moment;
use planner::garbage::{Policy, References, Undated, freed, size, sort};
use planner::image::{Facts, LIFECYCLE_METADATA, LOCAL_ONLY, Target, signature_tag};
use planner::observed::ImageSeen;
use reconciler::dialer::{Credentials, Dialer, HostPort, Rules, Secret};
use reconciler::registry::{Base, Moved, Rebase, RebaseError, Reference, Registry, RegistryError};
use renderer::{Digest, Platform, ToolName};
use serde_json::json;
use tests::faults::{Fault, Faults, Odds};
use tests::registry::{Image, Registry as Real, layer_digest};

const LOGIN: (&str, &str) = ("robot", "s3cret");
const WEB: &str = "tool-x/web";

/// Our reader and writer of these registries, by their addresses.
fn ours(addresses: &[&str], login: (&str, &str)) -> anyhow::Result<Registry> {
    let mut rules = Rules::default();
    let mut credentials = BTreeMap::new();
    for address in addresses {
        rules.reach(HostPort::parse(address));
        credentials.insert((*address).to_owned(), Credentials::new(login.0, Secret::new(login.1)));
    }
    Ok(Registry::new(Dialer::new(rules), credentials, BTreeSet::new()))
}

async fn real() -> anyhow::Result<(Real, Registry)> {
    let real = Real::start_with_login(LOGIN.0, LOGIN.1).await?;
    let ours = ours(&[real.address()], LOGIN)?;
    Ok((real, ours))
}

fn at(address: &str, repository: &str, tag: &str) -> anyhow::Result<Reference> {
    Ok(Reference::parse(&format!("{address}/{repository}:{tag}"))?)
}

fn linux() -> Target {
    Target::parse("linux/amd64")
}

fn debian(layers: &[&'static str]) -> Image<'static> {
    let labels = [("io.buildpacks.base.distro.name", "debian"), ("io.buildpacks.base.distro.version", "12")];
    Image {
        layers: layers.to_vec().leak(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        env: vec!["CNB_PLATFORM_API=0.14".to_owned()],
        ..Image::default()
    }
}

/// An application on the run image `run:24` with the layers `old-1` and `old-2`.
fn app(address: &str) -> Image<'static> {
    let run = json!({"image": format!("{address}/run:24"), "topLayer": layer_digest("old-2"), "reference": "old"});
    let mut image = debian(&["old-1", "old-2", "sbom", "app"]);
    let metadata = json!({"runImage": run, "sbom": {"sha": layer_digest("sbom")}});
    image.labels.insert(LIFECYCLE_METADATA.to_owned(), metadata.to_string());
    image
}

async fn base(ours: &Registry, real: &Real) -> anyhow::Result<Base> {
    real.push("run", "24", &debian(&["new-1", "new-2", "new-3"])).await?;
    Ok(ours.base(&format!("{}/run:24", real.address()), &linux()).await?)
}

/// What a stranger's client gets of an image: its layers in order, each verified by that client.
async fn pulled(real: &Real, repository: &str, tag: &str) -> anyhow::Result<Vec<String>> {
    let reference = real.reference(repository, tag);
    let image = real.client().pull(&reference, real.auth(), vec![IMAGE_LAYER_MEDIA_TYPE]).await?;
    // They come in the order in which they arrived.
    let layers: BTreeMap<_, _> = image.layers.iter().map(|layer| (layer.sha256_digest(), &layer.data)).collect();
    let manifest = image.manifest.context("a manifest")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[512..]).trim_end_matches('\0').to_owned();
    manifest.layers.iter().map(|layer| Ok(text(layers.get(&layer.digest).context("a layer")?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebase_mounts_the_run_images_layers_and_downloads_none() -> anyhow::Result<()> {
    let (real, ours) = real().await?;
    let old = real.push(WEB, "build", &app(real.address())).await?;
    let base = base(&ours, &real).await?;
    let before = real.requests()?.len();
    let source = at(real.address(), WEB, "build")?;
    let done = ours.rebase(&source, &base, "build-r1").await?;
    let Rebase::Written { digest, moved } = &done else { anyhow::bail!("{done:?}") };
    ensure!(*moved == Moved { mounted: 3, copied: 0, copied_bytes: 0 }, "{moved:?}");
    ensure!(pulled(&real, WEB, "build-r1").await? == ["new-1", "new-2", "new-3", "sbom", "app"]);
    ensure!(real.digest(WEB, "build-r1").await? == digest.as_str());
    ensure!(real.digest(WEB, "build").await? == old, "the image it came from stays for a way back");

    let requests = real.requests()?;
    let asked: Vec<_> = requests[before..].iter().filter(|request| request.agent.starts_with("toolforge/")).collect();
    let layers = asked.iter().filter(|request| request.method == "GET" && request.path.contains("/blobs/"));
    ensure!(layers.count() == 1, "the application's configuration, and nothing else: {asked:#?}");
    let last = asked.last().context("requests")?;
    ensure!((last.method.as_str(), last.path.as_str()) == ("PUT", "/v2/tool-x/web/manifests/build-r1"), "{asked:#?}");

    ensure!(ours.rebase(&source, &base, "build-r1").await? == Rebase::Known(digest.clone()));
    let again = at(real.address(), WEB, "build-r1")?;
    ensure!(ours.rebase(&again, &base, "build-r2").await? == Rebase::Already(digest.clone()));
    let facts = Facts::of(&ours.image(&again, &linux()).await?);
    ensure!((facts.layers, facts.run_image_layers, facts.sbom) == (5, Some(3), true), "{facts:?}");
    ensure!(facts.run_image.is_some_and(|run| run.ends_with(base.image.digest().as_str())));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_moved_by_hand_is_left_alone() -> anyhow::Result<()> {
    let (real, ours) = real().await?;
    real.push(WEB, "build", &app(real.address())).await?;
    let base = base(&ours, &real).await?;
    let moved = real.push(WEB, "build-r1", &Image { layers: &["other"], ..Image::default() }).await?;
    let error = ours.rebase(&at(real.address(), WEB, "build")?, &base, "build-r1").await.err().context("an error")?;
    ensure!(matches!(&error, RebaseError::Registry(RegistryError::TagMoved { found, .. }) if found.as_str() == moved));
    ensure!(real.digest(WEB, "build-r1").await? == moved);
    let promoted = ours.promote(&at(real.address(), WEB, "build")?, &at(real.address(), WEB, "build-r1")?).await;
    ensure!(matches!(promoted, Err(RegistryError::TagMoved { .. })), "{promoted:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_before_anything_is_written() -> anyhow::Result<()> {
    let (real, ours) = real().await?;
    let mut fixed = app(real.address());
    fixed.labels.insert("io.buildpacks.rebasable".to_owned(), "false".to_owned());
    real.push(WEB, "build", &fixed).await?;
    let base = base(&ours, &real).await?;
    let before = real.requests()?.len();
    let error = ours.rebase(&at(real.address(), WEB, "build")?, &base, "build-r1").await.err().context("an error")?;
    ensure!(matches!(error, RebaseError::Refused { .. }), "{error:?}");
    let missing = ours.rebase(&at(real.address(), WEB, "nothing")?, &base, "build-r1").await;
    ensure!(matches!(missing, Err(RebaseError::Registry(RegistryError::Missing { .. }))), "{missing:?}");
    let writes = ["POST", "PUT", "PATCH", "DELETE"];
    ensure!(!real.requests()?[before..].iter().any(|request| writes.contains(&request.method.as_str())));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_keeps_the_digest_and_transfers_no_layer() -> anyhow::Result<()> {
    let (real, ours) = real().await?;
    let beta = real.push("tool-x-beta/web", "build", &debian(&["base", "app"])).await?;
    let (from, to) = (at(real.address(), "tool-x-beta/web", "build")?, at(real.address(), WEB, "build")?);
    let before = ours.traffic();
    let (digest, moved) = ours.promote(&from, &to).await?;
    ensure!(digest.as_str() == beta && real.digest(WEB, "build").await? == beta);
    ensure!(moved == Moved { mounted: 3, copied: 0, copied_bytes: 0 }, "{moved:?}");
    ensure!(pulled(&real, WEB, "build").await? == ["base", "app"]);
    let sent = ours.traffic().sent_bytes - before.sent_bytes;
    ensure!(sent < 2000, "the manifest alone: {sent} bytes");
    ensure!(ours.promote(&from, &to).await?.1 == Moved::default());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mounted_is_copied_in_chunks_with_its_digest() -> anyhow::Result<()> {
    let (one, other) = (Real::start_with_login(LOGIN.0, LOGIN.1).await?, Real::start().await?);
    let ours = ours(&[one.address(), other.address()], LOGIN)?;
    let large = "0123456789abcdef".repeat((9 << 20) / 16);
    let layers = ["small", large.as_str()];
    let digest = one.push(WEB, "build", &Image { layers: &layers, ..Image::default() }).await?;
    let (found, moved) = ours.promote(&at(one.address(), WEB, "build")?, &at(other.address(), WEB, "build")?).await?;
    ensure!(found.as_str() == digest && other.digest(WEB, "build").await? == digest);
    ensure!((moved.mounted, moved.copied) == (0, 3) && moved.copied_bytes > 9 << 20, "{moved:?}");
    ensure!(pulled(&other, WEB, "build").await? == layers);
    let chunks = other.requests()?.iter().filter(|request| request.method == "PATCH").count();
    ensure!(chunks >= 2, "{chunks} chunks");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_index_the_image_for_these_machines_is_taken_or_none() -> anyhow::Result<()> {
    let (real, ours) = real().await?;
    let digest = real.push("run", "one", &debian(&["new-1"])).await?;
    let platform = |architecture: &str| json!({"architecture": architecture, "os": "linux"});
    let index = async |tag: &str, architecture: &str| {
        let size = ours.manifest_of(&at(real.address(), "run", "one")?).await?.context("it is there")?.bytes.len();
        let entry: ImageIndexEntry = serde_json::from_value(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
            "size": size, "platform": platform(architecture),
        }))?;
        let media_type = Some("application/vnd.oci.image.index.v1+json".to_owned());
        let list = OciImageIndex {
            schema_version: 2,
            media_type,
            manifests: vec![entry],
            artifact_type: None,
            annotations: None,
        };
        let client = real.client();
        client.store_auth_if_needed(real.address(), real.auth()).await;
        client.push_manifest(&real.reference("run", tag), &OciManifest::ImageIndex(list)).await?;
        anyhow::Ok(at(real.address(), "run", tag)?)
    };
    let fits = index("fits", "amd64").await?;
    ensure!(ours.image(&fits, &linux()).await?.digest().as_str() == digest);
    let arm = index("arm", "arm64").await?;
    let error = ours.image(&arm, &linux()).await.err().context("an error")?;
    ensure!(matches!(&error, RegistryError::OtherPlatform { has, .. } if has == "linux/arm64"), "{error}");
    let (promoted, moved) = ours.promote(&fits, &at(real.address(), WEB, "copy")?).await?;
    ensure!(real.digest(WEB, "copy").await? == promoted.as_str() && moved.mounted == 2, "{moved:?}");
    Ok(())
}

#[tokio::test]
async fn an_image_that_does_not_run_on_the_platform_is_no_image_for_it() -> anyhow::Result<()> {
    let (real, ours) = real().await?;
    let platform = Platform { name: "here".to_owned(), ..Platform::builtin() };
    let label = |key: &str| BTreeMap::from([(key.to_owned(), "true".to_owned())]);
    let push = async |tag: &str, image: Image<'_>| real.push(WEB, tag, &image).await;
    push("fits", debian(&["a"])).await?;
    push("arm", Image { architecture: Some("arm64"), ..debian(&["a"]) }).await?;
    push("mine", Image { labels: label(LOCAL_ONLY), ..debian(&["a"]) }).await?;
    let seen = async |tag: &str| ours.seen(&format!("{}/{WEB}:{tag}", real.address()), &platform).await;
    let told = async |tag: &str| match seen(tag).await? {
        ImageSeen::Unfit { why, .. } => anyhow::Ok(why.to_string()),
        other => anyhow::bail!("{tag}: {other:?}"),
    };
    ensure!(told("arm").await?.starts_with("it is for linux/arm64, and the platform's machines are linux/amd64"));
    ensure!(told("mine").await?.starts_with("it runs only on the machine that built it"));
    ensure!(matches!(seen("fits").await?, ImageSeen::Found(_)));
    ensure!(matches!(seen("none").await?, ImageSeen::Missing));
    let before = real.requests()?.len();
    seen("fits").await?;
    ensure!(real.requests()?.len() == before + 1, "what a digest is made for is asked once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_is_told_so() -> anyhow::Result<()> {
    let (real, _) = real().await?;
    let stranger = ours(&[real.address()], ("robot", "wrong"))?;
    let denied = stranger.push_blob(&at(real.address(), WEB, "x")?, b"x".to_vec()).await;
    ensure!(matches!(denied, Err(RegistryError::Denied { .. })), "{denied:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_refers_to_is_deleted_by_digest_and_what_runs_stays() -> anyhow::Result<()> {
    let (real, ours) = real().await?;
    let dated = |layer: &'static str, day: u32| Image {
        created: Some(format!("2026-01-{day:02}T00:00:00Z")),
        ..debian(vec!["base", layer].leak())
    };
    let running = real.push(WEB, "running", &dated("running", 1)).await?;
    let old = real.push(WEB, "old", &dated("old", 2)).await?;
    real.push(WEB, "old-too", &dated("old", 2)).await?;
    real.push(WEB, "new", &dated("new", 3)).await?;
    real.push(WEB, &signature_tag(&Digest::new(old.clone())?), &Image { layers: &["signature"], ..Image::default() })
        .await?;
    real.push("tool-x/bot", "bot", &dated("bot", 1)).await?;
    real.push("tool-x2/web", "other", &dated("other", 1)).await?;

    let tool = ToolName::new("x")?;
    let repositories = ours.repositories(real.address(), "tool-x/").await?;
    let names: Vec<_> = repositories.iter().map(|repository| repository.path.as_str()).collect();
    ensure!(names == ["tool-x/bot", "tool-x/web"], "{names:?}");
    let shelf = ours.shelf(&tool, &repositories).await;
    ensure!(shelf.unread.is_empty() && shelf.images.len() == 5, "{shelf:?}");
    let pod = json!({"spec": {"containers": [{"image": format!("{}/{WEB}@{running}", real.address())}]}});
    let references = References::of(None, &[], [&pod], Moment::from_unix_secs(0));
    let verdicts = sort(&shelf, Ok(&references), Policy { newest: 1, undated: Undated::Oldest });
    let mut gone: Vec<_> =
        verdicts.iter().filter(|verdict| verdict.keep.is_none()).map(|verdict| verdict.image).collect();
    gone.sort_by_key(|image| image.tags.len());
    let tags: Vec<_> = gone.iter().flat_map(|image| &image.tags).map(String::as_str).collect();
    ensure!(tags.len() == 3 && tags[1..] == ["old", "old-too"] && tags[0].ends_with(".sig"), "{tags:?}");
    let (all, free) = (size(&shelf.images), freed(&verdicts));
    ensure!(free > 2000 && free < all, "{free} of {all} bytes");

    for image in gone {
        let repository = Reference::parse(&image.repository)?;
        ensure!(ours.delete(&repository, &image.digest).await?);
        ensure!(!ours.delete(&repository, &image.digest).await?, "the second time it is gone");
    }
    let left = ours.shelf(&tool, &repositories).await;
    let left: BTreeSet<_> = left.images.iter().flat_map(|image| image.tags.iter().map(String::as_str)).collect();
    ensure!(left == ["bot", "new", "running"].into(), "{left:?}");
    ensure!(pulled(&real, WEB, "running").await? == ["base", "running"]);
    Ok(())
}

/// One request in three fails, some after they were done, over and over until it works.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_a_tag_is_absent_or_whole() -> anyhow::Result<()> {
    const OF: &[Fault] = &[Fault::Throttled, Fault::Broken, Fault::Away, Fault::AnswerLost, Fault::HalfSent];
    let real = Real::start().await?;
    let server = format!("http://{}", real.address());
    for seed in 0..4 {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let faults = Faults::start(&server, client, Odds { seed, one_in: 3, of: OF }).await?;
        let ours = ours(&[faults.address()], LOGIN)?;
        let tag = format!("seed-{seed}");
        let wanted =
            real.push("tool-x-beta/web", &tag, &debian(&["base", vec![tag.clone()].leak()[0].clone().leak()])).await?;
        let (from, to) = (at(faults.address(), "tool-x-beta/web", &tag)?, at(faults.address(), WEB, &tag)?);
        faults.begin(None);
        let mut tries = 0;
        let digest = loop {
            tries += 1;
            ensure!(tries < 100, "seed {seed}: it never works");
            match ours.promote(&from, &to).await {
                Ok((digest, _)) => break digest,
                Err(error) => ensure!(!matches!(error, RegistryError::TagMoved { .. }), "seed {seed}: {error}"),
            }
            // What has a tag can be pulled whole, whenever one looks.
            if real.digest(WEB, &tag).await.is_ok() {
                ensure!(pulled(&real, WEB, &tag).await? == ["base", tag.as_str()], "seed {seed}");
            }
        };
        faults.end();
        let failed = faults.counts();
        ensure!(digest.as_str() == wanted && !failed.is_empty(), "seed {seed}: {failed:?}");
        ensure!(pulled(&real, WEB, &tag).await? == ["base", tag.as_str()], "seed {seed}");
    }
    Ok(())
}
