//! How soon a new process knows that all is well, and what it asks for: with what the one before had read of git, and with
//! an empty cache. The end is when the last pass has ended, seen afterwards; git polls are counted by the git host.

use crate::cost;
use crate::settings::Settings;
use crate::stage::Stage;
use crate::table::{runs, talk};
use std::time::Instant;

pub async fn measure(settings: &Settings, stage: &mut Stage) -> anyhow::Result<()> {
    let (mut kept, mut empty) = (Measured::default(), Measured::default());
    for _ in 0..settings.runs {
        talk(&format!("restart of {} tools", stage.workload.tools));
        stage.stop().await?;
        kept.add(stage).await?;
        stage.stop().await?;
        stage.forget(settings)?;
        talk("  with an empty cache");
        empty.add(stage).await?;
    }
    let tools = stage.workload.tools;
    kept.tell(&format!("restart of {tools} tools"), "5");
    empty.tell(&format!("restart of {tools} tools, empty cache"), "");
    Ok(())
}

#[derive(Default)]
struct Measured {
    secs: Vec<f64>,
    cpu_secs: Vec<f64>,
    requests: Vec<f64>,
    git: Vec<f64>,
}

impl Measured {
    async fn add(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let (counting, git, cpu) = (stage.ground.count(None).await?, stage.workload.git_requests(), cost::cpu()?);
        let begun = Instant::now();
        stage.start()?;
        // Without a request of our own that would be counted.
        let verified = stage.settled().await?;
        let run = stage.run()?;
        let requests = stage.ground.counted(&counting, Some(run)).await?;
        self.secs.push((verified - begun).as_secs_f64());
        self.cpu_secs.push(run.cpu_secs()?);
        self.requests.push(requests.of_tools() as f64);
        self.git.push((stage.workload.git_requests() - git) as f64);
        talk(&format!("  {:.1} s; {}", (verified - begun).as_secs_f64(), requests.by_verb()));
        talk(&format!("  by resource, per tool: {}", requests.profile(stage.workload.tools)));
        talk(&format!("  CPU: {}", cost::since(&cpu)?));
        stage.all_ready(stage.workload.tools).await?;
        Ok(())
    }

    fn tell(&self, what: &str, aim_secs: &str) {
        runs(&format!("{what}: until all is verified, s"), aim_secs, &self.secs);
        runs(&format!("{what}: requests but the lease, watches and lists"), "0", &self.requests);
        runs(&format!("{what}: CPU, s"), "", &self.cpu_secs);
        runs(&format!("{what}: requests to git"), "", &self.git);
    }
}
