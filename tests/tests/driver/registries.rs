//! A registry that hangs costs others nothing, and its own tools nothing but news.

use crate::stage::{Stage, condition, platform_yaml, runs, soon};
use anyhow::ensure;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What an image of it is: one that names no machine, and so is for all.
fn index(name: &str) -> String {
    let media_type = "application/vnd.oci.image.index.v1+json";
    json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [], "annotations": {"name": name}}).to_string()
}

fn digest(index: &str) -> String {
    planner::image::digest_of(index.as_bytes()).to_string()
}

/// A registry that has every image, and may hang. It ends with its runtime.
struct Fake {
    address: String,
    hangs: watch::Sender<bool>,
    /// Every tag means another image.
    moved: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    /// One at this loopback address: a host of its own.
    async fn start_at(ip: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let (hangs, hanging) = watch::channel(false);
        let fake =
            Self { address: listener.local_addr()?.to_string(), hangs, moved: Arc::default(), asked: Arc::default() };
        let (asked, moved) = (fake.asked.clone(), fake.moved.clone());
        let app = axum::Router::new().fallback(move |uri: http::Uri| {
            asked.fetch_add(1, Ordering::SeqCst);
            let mut hanging = hanging.clone();
            let image = if uri.path().contains("sha256:") {
                [index("one"), index("two")].into_iter().find(|index| uri.path().ends_with(&digest(index)))
            } else {
                Some(index(if moved.load(Ordering::SeqCst) { "two" } else { "one" }))
            };
            let image = image.unwrap_or_default();
            async move {
                // An error means that the test is over.
                drop(hanging.wait_for(|hangs| !hangs).await);
                ([("docker-content-digest", digest(&image))], image)
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(fake)
    }

    /// A component like [`web`], by a tag that only this registry knows.
    fn web(&self, command: &str) -> String {
        format!(
            "components:\n  web:\n    image: {}/library/web:{command}\n    \
             run: {{command: {command}, port: 8000, publish: /}}\n",
            self.address
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hangs_delays_nobody_and_its_tools_are_healed() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let registry = Fake::start_at("127.0.0.5").await?;
    let allowed = format!("  allowed_hosts: [\"{}\"]\n", registry.address);
    stage.config.commit(&[("platform.yaml", &(platform_yaml("stage") + &allowed))])?;
    // More tools than there are passes at once, several times over.
    let far: Vec<_> = (0..20).map(|n| format!("hung-{n}")).collect();
    let far = far.into_iter().map(|name| anyhow::Ok((name.clone(), stage.git.repository(&name)?)));
    let far = far.collect::<anyhow::Result<Vec<_>>>()?;
    let near = stage.ready_with_near(&far, &registry.web("one")).await?;

    registry.hangs.send_replace(true);
    let before = registry.asked.load(Ordering::SeqCst);
    for (_, repository) in &far {
        repository.commit(&[("toolforge.yaml", &registry.web("two"))])?;
    }
    let hangs = async || Ok((registry.asked.load(Ordering::SeqCst) > before).then_some(()));
    stage.until("a look-up hangs", hangs).await?;
    stage.nobody_waits(&near, &far).await?;
    for (name, _) in &far {
        stage.until_ready_says(name, "NotObserved", "registry").await?;
    }
    // A process that starts now knows even less, and heals all the same.
    stage.stop().await?;
    stage.run()?;
    stage.delete("Service", "hung-3", "web").await?;
    soon(stage.until_object("Service", "hung-3", "web", |_| true)).await?;

    // Who asks for what is new is answered when the registry speaks, and so are the others.
    registry.hangs.send_replace(false);
    far[0].1.commit(&[("toolforge.yaml", &registry.web("three"))])?;
    stage.until_object("Deployment", "hung-0", "web", |web| runs(web, "three")).await?;
    for (name, _) in &far[1..] {
        stage.until_object("Deployment", name, "web", |web| runs(web, "two")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_s_tag_that_somebody_moves_is_told_and_changes_nothing_that_runs() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let registry = Fake::start_at("127.0.0.6").await?;
    let platform = platform_yaml("stage").replace("registry.example", &registry.address);
    stage.config.commit(&[("platform.yaml", &platform)])?;
    let repository = stage.git.repository("built")?;
    repository.commit(&[("toolforge.yaml", "components:\n  web:\n    run: {command: web}\n")])?;
    stage.tool("built", repository.url(), "")?;
    stage.tags_every = Duration::from_millis(500);
    stage.run()?;
    let built = async |reason: &str| {
        stage.until_object("Tool", "built", "built", |tool| condition(tool, "Built")["reason"] == reason).await
    };
    stage.until_ready_says("built", "Ready", "").await?;
    built("ImagesFound").await?;
    let web = stage.object("Deployment", "built", "web").await?;
    registry.moved.store(true, Ordering::SeqCst);
    let told = condition(&built("TagMoved").await?, "Built")["message"].to_string();
    ensure!(told.contains(&format!("points to {} by now", digest(&index("two")))), "{told}");
    ensure!(stage.object("Deployment", "built", "web").await? == web, "what was Ready counts");
    registry.moved.store(false, Ordering::SeqCst);
    built("ImagesFound").await?;
    Ok(())
}
