//! From a commit to a healed object, on the real API server, git and registry: what a double could lie about.
//!
//! Every test has a platform of its own in the one cluster they share; see [`tests::platform`].

#[path = "end_to_end/admission.rs"]
mod admission;
#[path = "end_to_end/branches.rs"]
mod branches;
#[path = "end_to_end/builds.rs"]
mod builds;
#[path = "end_to_end/continuity.rs"]
mod continuity;
#[path = "end_to_end/credentials.rs"]
mod credentials;
#[path = "end_to_end/deployments.rs"]
mod deployments;
#[path = "end_to_end/diff.rs"]
mod diff;
#[path = "end_to_end/drift.rs"]
mod drift;
#[path = "end_to_end/git_faults.rs"]
mod git_faults;
#[path = "end_to_end/idle.rs"]
mod idle;
#[path = "end_to_end/images.rs"]
mod images;
#[path = "end_to_end/lease.rs"]
mod lease;
#[path = "end_to_end/licences.rs"]
mod licences;
#[path = "end_to_end/neighbours.rs"]
mod neighbours;
#[path = "end_to_end/network.rs"]
mod network;
#[path = "end_to_end/not_ours.rs"]
mod not_ours;
#[path = "end_to_end/own_namespace.rs"]
mod own_namespace;
#[path = "end_to_end/own_objects.rs"]
mod own_objects;
#[path = "end_to_end/pipeline_runs.rs"]
mod pipeline_runs;
#[path = "end_to_end/plans.rs"]
mod plans;
#[path = "end_to_end/private.rs"]
mod private;
#[path = "end_to_end/promotion.rs"]
mod promotion;
#[path = "end_to_end/prune.rs"]
mod prune;
#[path = "end_to_end/quota.rs"]
mod quota;
#[path = "end_to_end/replace.rs"]
mod replace;
#[path = "end_to_end/rights.rs"]
mod rights;
#[path = "end_to_end/rollout.rs"]
mod rollout;
#[path = "end_to_end/secrets.rs"]
mod secrets;
#[path = "end_to_end/signatures.rs"]
mod signatures;
#[path = "end_to_end/spine.rs"]
mod spine;
#[path = "end_to_end/strangers.rs"]
mod strangers;
#[path = "end_to_end/tenancy.rs"]
mod tenancy;
#[path = "end_to_end/waves.rs"]
mod waves;

use tests::platform::Platform;
use tests::registry::Image;

/// An image that needs no build, and how it is pinned.
struct Prebuilt {
    /// As a `toolforge.yaml` names it.
    by_tag: String,
    /// As a container should run it.
    by_digest: String,
}

/// Pushes a prebuilt image; another `content` is another digest.
async fn prebuilt(platform: &Platform, content: &str) -> anyhow::Result<Prebuilt> {
    let registry = platform.registry()?;
    let path = format!("library/{}", platform.name());
    let digest = registry.push(&path, "1", &Image { layers: &[content], ..Default::default() }).await?;
    let repository = format!("{}/{path}", registry.address());
    Ok(Prebuilt { by_tag: format!("{repository}:1"), by_digest: format!("{repository}@{digest}") })
}

/// A published web component.
fn web(image: &Prebuilt) -> String {
    format!("components:\n{}", component("web", image, "command: web, port: 8000, publish: /"))
}

/// Lines of one component, below `components:`.
fn component(name: &str, image: &Prebuilt, run: &str) -> String {
    format!("  {name}:\n    image: {}\n    run: {{{run}}}\n", image.by_tag)
}

/// The image of a pod template's only container.
fn image_of(workload: &serde_json::Value) -> &serde_json::Value {
    &workload["spec"]["template"]["spec"]["containers"][0]["image"]
}
