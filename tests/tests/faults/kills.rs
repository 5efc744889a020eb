//! The process is killed at any moment, and the next one has an empty cache.

use std::time::Duration;

use anyhow::Context as _;
use tests::faults::chance;
use tests::platform::{Platform, Route};
use tokio::time::sleep;

use crate::seed;
use crate::story::{REVISIONS, Telling, ends_equal, push_image};

/// How many tellings are killed, at each revision once.
const TELLINGS: u64 = 2;
/// A revision is rolled out within about this time.
const ROLLOUT_MS: u64 = 2_500;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_a_rollout_a_process_with_an_empty_cache_ends_equal() -> anyhow::Result<()> {
    let seed = seed()?;
    killed(seed).await.with_context(|| format!("FAULTS_SEED={seed}"))
}

async fn killed(seed: u64) -> anyhow::Result<()> {
    let platform = Platform::prepare("moments", Route::Ingress).await?;
    push_image(&platform).await?;
    platform.run().await?;
    let calm = Telling::begin(&platform, "calm")?;
    calm.tell().await?;
    platform.quiet().await?;
    let expected = calm.left().await?;

    for number in 0..TELLINGS {
        let telling = Telling::begin(&platform, &format!("k{number}"))?;
        for revision in 0..REVISIONS {
            telling.commit(revision)?;
            let after_ms = chance(seed, &format!("{number} {revision}")) % ROLLOUT_MS;
            sleep(Duration::from_millis(after_ms)).await;
            platform.kill()?;
            platform.forget_cache()?;
            platform.run().await?;
            telling.ready().await.with_context(|| format!("killed after {after_ms} ms of revision {revision}"))?;
        }
        ends_equal(&expected, &telling).await?;
    }
    anyhow::ensure!(calm.left().await? == expected, "what had nothing to do with it was touched");
    platform.quiet().await
}
