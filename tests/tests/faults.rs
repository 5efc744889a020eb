//! One request in five fails, or the process is killed; afterwards everything is as if nothing had happened.
//!
//! Each platform leads its tools through one story twice: first in calm, then under faults, with other tools of the same
//! platform. The calm ones are what is expected of the others, and nobody may touch them meanwhile. What fails, and when
//! the process is killed, follows from the seed alone; set `FAULTS_SEED` for another one.

#[path = "faults/kills.rs"]
mod kills;
#[path = "faults/proxy.rs"]
mod proxy;
#[path = "faults/storms.rs"]
mod storms;
#[path = "faults/story.rs"]
mod story;

use anyhow::Context as _;

/// The seed of this run.
fn seed() -> anyhow::Result<u64> {
    match std::env::var("FAULTS_SEED") {
        Ok(seed) => seed.parse().context("FAULTS_SEED is no number"),
        Err(_) => Ok(1),
    }
}
