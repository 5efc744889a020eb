//! From an empty cluster to all Ready, by turns with the bare loop on another empty cluster. Ours begins with the start of
//! the process and ends when all Tools say that they are Ready; the loop ends with its last answer, and knows nothing.

use crate::bare_loop;
use crate::cost;
use crate::ground::Ground;
use crate::settings::Settings;
use crate::stage::Stage;
use crate::table::{ratios, row, runs, talk};
use crate::workload::{WEB, Workload};
use std::time::Instant;

pub async fn measure(settings: &Settings) -> anyhow::Result<()> {
    let tools = settings.tools(1_000);
    let (mut ours, mut bare, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    let mut objects = 0;
    for turn in 0..settings.runs {
        // Who goes first finds the machine as the one before left it.
        if turn % 2 == 0 {
            bare.push(of_loop(settings, tools).await?);
        }
        let (secs, asked, made) = of_ours(settings, tools).await?;
        ours.push(secs);
        requests.push(asked);
        objects = made;
        if turn % 2 == 1 {
            bare.push(of_loop(settings, tools).await?);
        }
    }
    let each = objects * tools;
    let per_object = |secs: &[f64]| secs.iter().map(|secs| secs * 1_000.0 / each as f64).collect::<Vec<_>>();
    let what = format!("{tools} tools from empty, {objects} rendered objects each");
    runs(&format!("{what}: until all are Ready, s"), "", &ours);
    runs(&format!("{what}: the bare loop, s"), "", &bare);
    runs(&format!("{what}: beside the bare loop"), "1.3", &ratios(&ours, &bare));
    row(&format!("{what}: an object, ms"), "8", &per_object(&ours), &format!("{each} objects"));
    row(&format!("{what}: an object by the bare loop, ms"), "", &per_object(&bare), &format!("{each} objects"));
    runs(&format!("{what}: requests per tool"), "", &requests);
    Ok(())
}

async fn of_loop(settings: &Settings, tools: usize) -> anyhow::Result<f64> {
    talk(&format!("the bare loop, {tools} tools"));
    let ground = Ground::new(settings).await?;
    let workload = Workload::commit(&ground.name, tools, WEB).await?;
    let (counting, cpu) = (ground.count(None).await?, cost::cpu()?);
    let took = bare_loop::apply_all(&ground, &workload, settings.passes).await?;
    talk(&format!("  {:.1} s; CPU: {}", took.as_secs_f64(), cost::since(&cpu)?));
    talk(&format!(
        "  requests per tool, where an audit log tells: {}",
        ground.counted(&counting, None).await?.profile(tools)
    ));
    Ok(took.as_secs_f64())
}

/// Seconds, requests per tool, objects per tool.
async fn of_ours(settings: &Settings, tools: usize) -> anyhow::Result<(f64, f64, usize)> {
    talk(&format!("toolforge run, {tools} tools"));
    let mut stage = Stage::new(settings, tools, WEB).await?;
    let objects = stage.workload.objects(0)?.len();
    let (counting, cpu, begun) = (stage.ground.count(None).await?, cost::cpu()?, Instant::now());
    stage.start()?;
    stage.all_ready(tools).await?;
    let secs = begun.elapsed().as_secs_f64();
    let requests = stage.ground.counted(&counting, Some(stage.run()?)).await?;
    talk(&format!("  {secs:.1} s; {}; CPU: {}", requests.by_verb(), cost::since(&cpu)?));
    talk(&format!("  requests per tool: {}", requests.profile(tools)));
    stage.end().await?;
    Ok((secs, requests.of_tools() as f64 / tools as f64, objects))
}
