//! Who else writes: somebody who insists, and another process that takes the lease.

use crate::stage::{Stage, condition, platform_yaml, runs, web};
use anyhow::{Context as _, ensure};
use reconciler::cluster::call;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Somebody who wants nine replicas, and looks every tenth of a second. How often it had to write.
async fn insist(stage: &Stage, written: &AtomicUsize) -> anyhow::Result<()> {
    loop {
        let web = stage.object("Deployment", "web", "web").await?.context("a Deployment")?;
        if web["spec"]["replicas"] != 9 {
            stage.meddle("Deployment", "web", "web", &json!({"spec": {"replicas": 9}})).await?;
            written.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fight_is_left_alone_ever_longer_and_named_while_everything_else_goes_on() -> anyhow::Result<()> {
    let mut stage = Stage::local().await?;
    let repository = stage.git.repository("web")?;
    repository.commit(&[("toolforge.yaml", &web("one"))])?;
    stage.tool("web", &repository.path().display().to_string(), "")?;
    stage.run()?;
    stage.until_ready_says("web", "Ready", "").await?;

    let written = AtomicUsize::new(0);
    let story = async {
        let says = "fighting: meddler sets spec.replicas each time, and it was corrected 5 times in";
        stage.until_ready_says("web", "Fighting", says).await?;
        let tool = stage.object("Tool", "web", "web").await?.context("a Tool")?;
        ensure!(condition(&tool, "Drifted")["status"] == "True");
        // What is not fought over is healed at once, and what is new is rolled out.
        stage.delete("Service", "web", "web").await?;
        stage.until_object("Service", "web", "web", |_| true).await?;
        repository.commit(&[("toolforge.yaml", &web("two"))])?;
        stage.until_object("Deployment", "web", "web", |web| runs(web, "two")).await?;
        // Ten minutes: 5 times at first, then after 1, 2, 4, … 256 s; the new revision begins anew.
        sleep(Duration::from_secs(600)).await;
        let times = written.load(Ordering::Relaxed);
        ensure!((12..=24).contains(&times), "{times} corrections in ten minutes");
        anyhow::Ok(())
    };
    tokio::select! {
        told = story => told?,
        failed = insist(&stage, &written) => failed?,
    }
    // The other one has given up.
    sleep(Duration::from_secs(260)).await;
    let web = stage.object("Deployment", "web", "web").await?.context("a Deployment")?;
    ensure!(web["spec"]["replicas"] == 1, "{web:#}");
    stage.until_ready_says("web", "Ready", "").await?;
    stage.stop().await
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_lease_cuts_its_passes_off_and_writes_nothing_after() -> anyhow::Result<()> {
    let mut stage = Stage::local().await?;
    let repository = stage.git.repository("web")?;
    repository.commit(&[("toolforge.yaml", &web("one"))])?;
    stage.tool("web", &repository.path().display().to_string(), "")?;
    // The API server takes its time with Deployments: a pass is under way when the lease goes.
    let arrived = Arc::new(AtomicUsize::new(0));
    let asked = arrived.clone();
    stage.run_behind(move |request| {
        let is_it = request.method() == http::Method::PATCH && request.uri().path().contains("/deployments/");
        asked.fetch_add(usize::from(is_it), Ordering::Relaxed);
        is_it.then_some(Duration::from_secs(25))
    })?;
    stage.until("a write is under way", async || Ok((arrived.load(Ordering::Relaxed) > 0).then_some(()))).await?;

    let path = "/apis/coordination.k8s.io/v1/namespaces/platform-stage/leases/toolforge-stage";
    let mut lease: Value = call::parse(&call::get(&stage.cluster.client, path, None).await?)?;
    ensure!(lease["spec"]["holderIdentity"] != "rival");
    lease["spec"]["holderIdentity"] = json!("rival");
    call::send(&stage.cluster.client, http::Method::PUT, path, &lease).await?;
    let begun = Instant::now();
    let error = stage.ended().await.err().context("it ends with an error")?;
    ensure!(error.to_string() == "the lease of platform stage was lost: another process writes now", "{error:#}");
    ensure!(begun.elapsed() < Duration::from_secs(20), "the pass was waited for: {:?}", begun.elapsed());

    let before = stage.versions().await?;
    sleep(Duration::from_secs(120)).await;
    ensure!(stage.versions().await? == before, "something was written after");
    ensure!(stage.object("Deployment", "web", "web").await?.is_none());
    let lease: Value = call::parse(&call::get(&stage.cluster.client, path, None).await?)?;
    ensure!(lease["spec"]["holderIdentity"] == "rival", "what is somebody else's is not freed");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_platform_with_another_frame_begins_anew_and_frees_the_old_lease() -> anyhow::Result<()> {
    let mut stage = Stage::local().await?;
    let repository = stage.git.repository("web")?;
    repository.commit(&[("toolforge.yaml", &web("one"))])?;
    stage.tool("web", &repository.path().display().to_string(), "")?;
    stage.run()?;
    stage.until_ready_says("web", "Ready", "").await?;

    let moved = platform_yaml("stage").replace("namespace: platform-stage", "namespace: platform-moved");
    stage.config.commit(&[("platform.yaml", &moved)])?;
    let lease = |namespace: &str| format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/toolforge-stage");
    let holder = async |namespace: &str| match call::get(&stage.cluster.client, &lease(namespace), None).await {
        Ok(bytes) => {
            let lease: Value = call::parse(&bytes)?;
            anyhow::Ok(lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
        }
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error.into()),
    };
    let held = async || Ok(holder("platform-moved").await?.filter(|holder| !holder.is_empty()));
    stage.until("the new lease is held", held).await?;
    ensure!(holder("platform-stage").await?.as_deref() == Some(""), "the old one is free");
    // And it works on, with its records in the new place.
    stage.meddle("Deployment", "web", "web", &json!({"spec": {"replicas": 4}})).await?;
    stage.until_object("Deployment", "web", "web", |web| web["spec"]["replicas"] == 1).await?;
    repository.commit(&[("toolforge.yaml", &web("two"))])?;
    stage.until_object("Deployment", "web", "web", |web| runs(web, "two")).await?;
    stage.stop().await
}
