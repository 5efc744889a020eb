//! From a commit to a healed object, on the real API server, git and registry.

#[path = "end_to_end/spine.rs"]
mod spine;

/// A component that needs no build: its image is in the registry under this name.
const IMAGE: &str = "library/web";

use tests::platform::Platform;
use tests::registry::Image;

/// Pushes a prebuilt image and returns its reference by tag, and by digest.
async fn prebuilt(platform: &Platform, tag: &str) -> anyhow::Result<(String, String)> {
    let registry = platform.registry()?;
    let digest = registry.push(IMAGE, tag, &Image { layers: &["web"], ..Default::default() }).await?;
    let repository = format!("{}/{IMAGE}", registry.address());
    Ok((format!("{repository}:{tag}"), format!("{repository}@{digest}")))
}
