//! What it costs to do nothing, beside that git is polled: requests, CPU and memory of a process that has found everything
//! as it should be.

use crate::settings::Settings;
use crate::stage::Stage;
use crate::table::{row, talk};
use std::time::Duration;

/// What the aim for memory is about.
const OBJECTS: f64 = 12_000.0;

pub async fn measure(settings: &Settings, stage: &mut Stage) -> anyhow::Result<()> {
    talk(&format!("idle for {} min", settings.minutes));
    // The one that rolled everything out has other memory than one that found it so.
    stage.stop().await?;
    stage.start()?;
    stage.all_ready(stage.workload.tools).await?;
    stage.settled().await?;
    let objects = stage.objects().await?;
    let run = stage.run()?;
    let (counting, cpu) = (stage.ground.count(Some(run)).await?, run.cpu_secs()?);
    tokio::time::sleep(Duration::from_secs(60 * settings.minutes)).await;
    let requests = stage.ground.counted(&counting, Some(run)).await?;
    let ((resident, peak), cpu) = (run.memory_mib()?, run.cpu_secs()? - cpu);
    talk(&format!("  requests: {}; per tool: {}", requests.by_verb(), requests.profile(stage.workload.tools)));
    let tools = stage.workload.tools;
    let once = |figure: &str, aim: &str, value: f64| {
        row(figure, aim, &[value], &format!("{tools} tools, {objects} objects, {} min", settings.minutes));
    };
    once("idle: requests but the lease, watches and lists", "0", requests.of_tools() as f64);
    once("idle: all requests", "", requests.total() as f64);
    once("idle: CPU, s", "", cpu);
    once("idle: resident memory, MiB", "", resident);
    once("idle: at its peak, MiB", "", peak);
    once("idle: resident memory per 12,000 objects, MiB", "100", resident * OBJECTS / objects as f64);
    Ok(())
}
