//! What comes before what: one-offs gate the rollout; schedules are only written down.

use anyhow::ensure;
use serde_json::Value;
use tests::platform::{Platform, Tool};

use crate::{Prebuilt, component, prebuilt, web};

fn with_one_off(image: &Prebuilt, command: &str) -> String {
    let migrate = component("migrate", image, &format!("command: {command}"));
    format!("{}{migrate}    component_type: one-off\n", web(image))
}

async fn jobs(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    tool.platform().objects("Job", &tool.namespace()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_off_runs_once_per_key_before_the_rollout_and_a_failed_one_stops_it() -> anyhow::Result<()> {
    let platform = Platform::start("one-off").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;

    tool.commit(&with_one_off(&image, "migrate fate=run-on"))?;
    tool.reason("Ready", "AwaitingReady").await?;
    platform.quiet().await?;
    ensure!(tool.find("Deployment", "web").await?.is_none(), "the rollout did not wait for the one-off");

    tool.commit(&with_one_off(&image, "migrate"))?;
    tool.ready().await?;
    let first = tool.object("Deployment", "web").await?;
    let finished: Vec<_> = jobs(&tool).await?.iter().map(|job| job["metadata"]["name"].clone()).collect();
    ensure!(finished.len() == 1, "the job of the key that nobody wants any more stays: {finished:?}");

    // Once is once, also when somebody deletes its Job.
    let [name] = &finished[..] else { anyhow::bail!("{finished:?}") };
    tool.kubectl(&["delete", "job", name.as_str().unwrap_or_default()]).await?;
    platform.polled_times(3).await?;
    platform.quiet().await?;
    ensure!(jobs(&tool).await?.is_empty(), "a one-off ran twice");
    tool.ready().await?;

    tool.commit(&with_one_off(&image, "migrate fate=exit").replace("publish: /", "publish: /, replicas: 2"))?;
    let ready = tool.reason("Ready", "GateFailed").await?;
    ensure!(ready.message.contains("migrate"), "{ready:?}");
    platform.quiet().await?;
    let held = tool.object("Deployment", "web").await?;
    ensure!(held["metadata"]["generation"] == first["metadata"]["generation"], "the gate did not hold");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_component_becomes_a_cron_job_and_an_edited_schedule_is_reverted() -> anyhow::Result<()> {
    let platform = Platform::start("cron").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("daily")?;
    let run = "command: refresh, schedule: \"17 4 * * *\", timeout: 600";
    let refresh = component("refresh", &image, run);
    tool.commit(&format!("components:\n{refresh}    component_type: scheduled\n"))?;
    tool.ready().await?;
    let as_written = |job: &Value| job["spec"]["schedule"] == "17 4 * * *" && job["spec"]["suspend"] != true;
    tool.until("CronJob", "refresh", "runs at 4:17", as_written).await?;
    let edit = r#"{"spec": {"schedule": "* * * * *", "suspend": true}}"#;
    tool.kubectl(&["patch", "cronjob/refresh", "--patch", edit]).await?;
    tool.until("CronJob", "refresh", "runs at 4:17 again", as_written).await?;
    Ok(())
}
