//! Builds that the platform runs: Jobs in a namespace of their own, admitted by a real API server under the restricted
//! standard. Their containers are played by the fake node; what they would push is pushed by the test.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::platform::{Platform, Route, Tool};
use tests::registry::Image;

use crate::image_of;

pub const BUILT: &str = "components:\n  web:\n    build: {ref: main}\n    run: {command: web}\n";

/// A platform that builds. More memory than any node has keeps a build from beginning.
pub async fn building(name: &str, memory: &str) -> anyhow::Result<Platform> {
    building_at_once(name, memory, 10).await
}

async fn building_at_once(name: &str, memory: &str, at_once: u32) -> anyhow::Result<Platform> {
    let platform = Platform::prepare(name, Route::Ingress).await?;
    platform.commit_setting(&settings(memory, at_once))?;
    platform.run().await?;
    Ok(platform)
}

fn settings(memory: &str, at_once: u32) -> String {
    let image = format!("registry.example/toolforge@sha256:{}", "1".repeat(64));
    format!(
        "builds: {{backend: lifecycle, at_once: {at_once}, lifecycle: {{image: \"{image}\", memory: \"{memory}\"}}}}"
    )
}

/// The builds of a tool, oldest first.
pub async fn builds(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    let platform = tool.platform();
    let mut jobs = platform.objects("Job", &format!("{}-builds", platform.namespace())).await?;
    jobs.retain(|job| job["metadata"]["labels"]["toolforge.org/tool"] == tool.name());
    jobs.sort_by_key(|job| job["metadata"]["creationTimestamp"].to_string());
    Ok(jobs)
}

/// Waits until there is a build for which this holds.
pub async fn until_built(tool: &Tool<'_>, what: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    tool.platform().until(what, async || Ok(builds(tool).await?.into_iter().find(|job| is(job)))).await
}

/// Pushes what the build would have: where its request says.
pub async fn push(platform: &Platform, build: &Value, layer: &str) -> anyhow::Result<String> {
    let image = build["metadata"]["annotations"]["toolforge.org/build-image"].as_str().context("an image")?;
    let (name, tag) = image.rsplit_once(':').context("a tag")?;
    let registry = platform.registry()?;
    let path = name.strip_prefix(&format!("{}/", registry.address())).context("our registry")?;
    registry.push(path, tag, &Image { layers: &[layer], ..Default::default() }).await
}

pub fn is_complete(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Complete" && condition["status"] == "True")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_built_once_by_a_job_out_of_reach_and_its_image_is_deployed() -> anyhow::Result<()> {
    let platform = building("builds", "1Gi").await?;
    let tool = platform.tool("web")?;
    let commit = tool.commit(BUILT)?;
    let done = until_built(&tool, "a build that is complete", is_complete).await?;
    ensure!(done["metadata"]["annotations"]["toolforge.org/build-commit"] == json!(commit), "{done:#}");
    ensure!(tool.find("Deployment", "web").await?.is_none(), "a build that says it is done is no image yet");
    let digest = push(&platform, &done, "first").await?;
    tool.ready().await?;
    ensure!(image_of(&tool.object("Deployment", "web").await?).to_string().contains(&digest));

    // The next commit is another build; while it is not there, what runs is healed.
    tool.commit_file("app.py", "print(2)\n")?;
    let first = done["metadata"]["name"].clone();
    let second = until_built(&tool, "another build", |job| job["metadata"]["name"] != first).await?;
    tool.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    tool.until("Deployment", "web", "is healed", |web| web["spec"]["replicas"] == 1).await?;
    let digest = push(&platform, &second, "second").await?;
    tool.until("Deployment", "web", "runs the new image", |web| image_of(web).to_string().contains(&digest)).await?;
    tool.ready().await?;

    // Nobody asks for a build again: not a new process, and not one that forgot everything.
    platform.stop().await?;
    platform.delete_cache()?;
    platform.run().await?;
    platform.quiet().await?;
    ensure!(builds(&tool).await?.len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_is_told_with_the_end_of_its_log_and_a_correction_cancels_what_is_left() -> anyhow::Result<()> {
    let platform = building("broken-build", "900Ti").await?;
    let tool = platform.tool("web")?;
    tool.commit(BUILT)?;
    let build = until_built(&tool, "a build", |_| true).await?;
    let (name, namespace) =
        (build["metadata"]["name"].as_str().unwrap_or_default(), format!("{}-builds", platform.namespace()));
    let selector = format!("batch.kubernetes.io/job-name={name}");
    let find = ["get", "pods", "-n", &namespace, "-l", &selector, "-o", "name"];
    let pod = platform.until("the build's pod", async || {
        let found = platform.kubectl(&find).await?;
        Ok(Some(found.trim().to_owned()).filter(|name| !name.is_empty()))
    });
    let pod = pod.await?;
    let terminated =
        json!({"exitCode": 20, "reason": "Error", "message": "ERROR: No buildpack groups passed detection.\n"});
    let detect = json!({"name": "detect", "image": "x", "imageID": "x", "ready": false, "restartCount": 0, "state": {"terminated": terminated}});
    let status = json!({"status": {"phase": "Failed", "initContainerStatuses": [detect]}}).to_string();
    platform.kubectl(&["patch", &pod, "-n", &namespace, "--subresource=status", "--type=merge", "-p", &status]).await?;
    let told = tool.reason("Ready", "BuildFailed").await?;
    ensure!(
        told.message.contains("detect: exit code 20 (Error): ERROR: No buildpack groups passed detection."),
        "{told:?}"
    );
    platform.quiet().await?;
    ensure!(builds(&tool).await?.len() == 1, "the same build is not tried again");

    // A build that a newer commit makes needless is cancelled while it waits.
    tool.commit_file("app.py", "print(2)\n")?;
    let second = until_built(&tool, "another build", |job| job["metadata"]["name"] != name).await?;
    tool.commit_file("app.py", "print(3)\n")?;
    let gone = platform.until("the needless build is cancelled", async || {
        let all = builds(&tool).await?;
        Ok(all.iter().all(|job| job["metadata"]["name"] != second["metadata"]["name"]).then_some(()))
    });
    gone.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_counts_the_builds_that_run_before_it_begins_another() -> anyhow::Result<()> {
    let platform = building_at_once("places", "900Ti", 1).await?;
    let last = platform.tool("zebra")?;
    last.commit(BUILT)?;
    until_built(&last, "a build", |_| true).await?;
    platform.stop().await?;
    // In name order all of these are looked at before the one that builds.
    let waiting = ["ant", "bee", "cat", "dog"].map(|name| platform.tool(name));
    let waiting = waiting.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for tool in &waiting {
        tool.commit(BUILT)?;
    }
    platform.run().await?;
    for tool in &waiting {
        tool.reason("Built", "AwaitingBuild").await?;
    }
    platform.quiet().await?;
    for tool in &waiting {
        ensure!(builds(tool).await?.is_empty(), "{} builds, too", tool.name());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_whose_images_take_more_than_it_may_builds_no_further_and_what_runs_stays() -> anyhow::Result<()> {
    let platform = Platform::prepare("full", Route::Ingress).await?;
    platform.commit_quota("1Ki", &settings("1Gi", 10))?;
    platform.run().await?;
    let tool = platform.tool("web")?;
    tool.commit(BUILT)?;
    let first = until_built(&tool, "a build", |_| true).await?;
    push(&platform, &first, "first").await?;
    tool.ready().await?;
    platform.quiet().await?;
    tool.commit_file("app.py", "print(2)\n")?;
    let told = tool.reason("Ready", "OverQuota").await?;
    ensure!(told.message.contains("`toolforge gc"), "{told:?}");
    ensure!(builds(&tool).await?.len() == 1, "no further build was asked for");
    tool.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    tool.until("Deployment", "web", "is healed", |web| web["spec"]["replicas"] == 1).await?;
    platform.commit_quota("1Gi", &settings("1Gi", 10))?;
    let first = first["metadata"]["name"].clone();
    until_built(&tool, "another build, once there is room", |job| job["metadata"]["name"] != first).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_too_long_is_ended_and_told() -> anyhow::Result<()> {
    let platform = building("slow-build", "900Ti").await?;
    let tool = platform.tool("web")?;
    tool.commit(BUILT)?;
    let build = until_built(&tool, "a build", |_| true).await?;
    ensure!(build["spec"]["activeDeadlineSeconds"] == 1800, "{build:#}");
    let (name, namespace) = (build["metadata"]["name"].as_str(), format!("{}-builds", platform.namespace()));
    let job = format!("job/{}", name.context("a name")?);
    // Half an hour is long for a test; the controller that ends it is the real one.
    let patch = r#"{"spec": {"activeDeadlineSeconds": 1}}"#;
    platform.kubectl(&["patch", &job, "-n", &namespace, "--type=merge", "-p", patch]).await?;
    let told = tool.reason("Ready", "BuildFailed").await?;
    ensure!(told.message.contains("it was ended after 1800 s"), "{told:?}");
    platform.quiet().await?;
    ensure!(builds(&tool).await?.len() == 1, "the same build is not tried again");
    Ok(())
}
