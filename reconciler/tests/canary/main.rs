//! Nothing secret is said. One platform on a real API server, git host and registry, both with a login; a canary in each
//! channel of a secret ([`stage::CHANNELS`]); things happen at which others repeat them; and everything that the platform
//! says ([`outputs`]) is searched for each canary in every form ([`search`]).

mod maintainer;
mod outputs;
mod search;
mod stage;
mod troubles;
mod voices;

use anyhow::{Context as _, ensure};
use search::Searcher;
use stage::Stage;
use tests::platform::{Platform, Route};

#[tokio::test(flavor = "multi_thread")]
async fn no_output_gives_a_secret_away_whatever_others_repeat() -> anyhow::Result<()> {
    let platform = Platform::prepare("canary", Route::Ingress).await?;
    let stage = Stage::on(&platform).await?;
    let searcher = stage.searcher();
    stage.deploys_and_rotates().await.with_context(|| stage.log())?;
    search_all(&stage, &searcher, "all is well").await?;
    maintainer::looks(&stage).await?;
    stage.becomes_private().await?;
    for trouble in troubles::ALL {
        stage.meets(trouble).await?;
        search_all(&stage, &searcher, trouble.name).await?;
        stage.recovers().await?;
    }
    Ok(())
}

async fn search_all(stage: &Stage<'_>, searcher: &Searcher, when: &str) -> anyhow::Result<()> {
    let mut given = Vec::new();
    for (output, text) in outputs::all(stage).await? {
        ensure!(!text.trim().is_empty(), "{when}: {output} says nothing, so nothing was searched");
        given.extend(searcher.found(&text).into_iter().map(|what| format!("{when}: {output} gives away {what}")));
    }
    ensure!(given.is_empty(), "{given:#?}");
    Ok(())
}
