//! Who builds for the tools that are played: for each build that the platform asks for, a small image is pushed into a real
//! registry, as if it had been made of the tool's source, which the examples do not have. The platform's part is all real:
//! its builds are Jobs, and it learns from the registry alone that an image is there.

use anyhow::Context as _;
use kube::Client;
use reconciler::cluster::Cluster;
use reconciler::cluster::call;
use reconciler::dialer::{Dialer, HostPort, Rules};
use reconciler::registry::{Reference, Registry};
use renderer::request::BUILD_IMAGE;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

const JOBS: &str = "/apis/batch/v1/jobs";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Between looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A builder at work. It ends when this is dropped.
pub struct Builder {
    held_back: Arc<Mutex<Option<String>>>,
    work: JoinHandle<()>,
}

impl Builder {
    /// Builds what is asked for on a cluster, for the registry at this host of loopback.
    pub fn start(cluster: &Cluster, host: &str) -> Self {
        let mut rules = Rules::default();
        rules.reach(HostPort::parse(host));
        let registry = Registry::new(Dialer::new(rules), Default::default(), Default::default());
        let held_back = Arc::<Mutex<Option<String>>>::default();
        let work = tokio::spawn(build_all(cluster.client.clone(), registry, held_back.clone()));
        Self { held_back, work }
    }

    /// From now on, builds of this tool do not come to their end.
    pub fn hold_back(&self, tool: &str) {
        *lock(&self.held_back) = Some(format!("/tool-{tool}/"));
    }

    /// They do, at once.
    pub fn let_go(&self) {
        *lock(&self.held_back) = None;
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn build_all(client: Client, registry: Registry, held_back: Arc<Mutex<Option<String>>>) {
    let mut built = BTreeSet::new();
    loop {
        for image in asked_for(&client).await {
            let waits = lock(&held_back).as_ref().is_some_and(|tool| image.contains(tool.as_str()));
            if waits || built.contains(&image) {
                continue;
            }
            match build(&registry, &image).await {
                Ok(()) => drop(built.insert(image)),
                // It is tried again at once; whoever waits for it is told by the show.
                Err(error) => tracing::warn!("{image} can't be pushed: {error:#}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Images that the platform's Jobs are for.
async fn asked_for(client: &Client) -> Vec<String> {
    let listed = match call::get(client, JOBS, None).await {
        Ok(bytes) => call::parse::<Value>(&bytes).ok(),
        Err(error) => {
            tracing::warn!(%error, "builds can't be listed");
            None
        }
    };
    let image = |job: &Value| Some(job.pointer("/metadata/annotations")?.get(BUILD_IMAGE)?.as_str()?.to_owned());
    let jobs = listed.as_ref().and_then(|list| list.get("items")?.as_array());
    jobs.into_iter().flatten().filter_map(image).collect()
}

/// An image without layers that says which build it is of.
async fn build(registry: &Registry, image: &str) -> anyhow::Result<()> {
    let to = Reference::parse(image).context("it is named by the renderer")?;
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Labels": {"build": image}},
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    let config = config.to_string().into_bytes();
    let size = config.len();
    let digest = registry.push_blob(&to, config).await?;
    let config = json!({"mediaType": CONFIG, "digest": digest, "size": size});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
    registry.push_manifest(&to, MANIFEST, manifest.to_string().as_bytes()).await?;
    Ok(())
}

fn lock(held_back: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    held_back.lock().unwrap_or_else(PoisonError::into_inner)
}
