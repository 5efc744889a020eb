//! Faults on the way to the API server, to git and to the registry.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::platform::Platform;

use crate::seed;
use crate::story::{REVISIONS, Telling, ends_equal, push_image};

/// A storm lasts until so many more requests failed, for each revision.
const ENOUGH: usize = 9;
/// And at least as long as this, if the revision does not arrive earlier.
const STORM: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn one_request_in_five_to_the_api_server_fails_and_everything_ends_equal() -> anyhow::Result<()> {
    let seed = seed()?;
    let begin = async |platform: &Platform| platform.begin_api_faults().await;
    storm("api-storm", seed, begin).await.with_context(|| format!("FAULTS_SEED={seed}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_in_five_to_git_and_the_registry_fails_and_everything_ends_equal() -> anyhow::Result<()> {
    let seed = seed()?;
    let begin = async |platform: &Platform| {
        let storm = platform.storm()?;
        storm.git.begin(None);
        storm.registry.begin(None);
        Ok(())
    };
    storm("git-storm", seed, begin).await.with_context(|| format!("FAULTS_SEED={seed}"))
}

async fn storm(name: &str, seed: u64, begin: impl AsyncFn(&Platform) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let platform = Platform::prepare_for_storm(name, seed).await?;
    push_image(&platform).await?;
    platform.run().await?;
    let calm = Telling::begin(&platform, "calm")?;
    calm.tell().await?;
    platform.quiet().await?;
    let expected = calm.left().await?;

    let telling = Telling::begin(&platform, "wild")?;
    for revision in 0..REVISIONS {
        let before = failures(&platform)?;
        begin(&platform).await?;
        telling.commit(revision)?;
        if revision > 0 {
            // The next process knows nothing, and learns it under faults.
            platform.kill()?;
            platform.run().await?;
        }
        let rolled_out = async {
            telling.ready().await?;
            telling.scale_by_hand().await
        };
        // It may get there within the storm, or when that is over.
        if let Ok(within) = tokio::time::timeout(STORM, rolled_out).await {
            within?;
        }
        // Git is asked on and on, and those requests fail too.
        let raged = async || Ok((failures(&platform)? >= before + ENOUGH).then_some(()));
        platform.until("enough requests failed", raged).await?;
        platform.end_storm()?;
        telling.ready().await.with_context(|| format!("revision {revision}"))?;
    }
    let failed = platform.failed()?;
    ends_equal(&expected, &telling).await.with_context(|| format!("{failed:?}"))?;
    let untouched = calm.left().await?;
    ensure!(untouched == expected, "what had nothing to do with it was touched: {failed:?} {untouched:#?}");
    platform.quiet().await
}

fn failures(platform: &Platform) -> anyhow::Result<usize> {
    Ok(platform.failed()?.values().sum())
}
