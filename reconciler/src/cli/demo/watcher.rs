//! A spectator: looks at the cluster with a client of its own until something is so, and says how long that took. The
//! reconciler doesn't know that it is watched.

use crate::ui::failed;
use kube::Client;
use reconciler::cluster::Cluster;
use reconciler::cluster::call;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Between looks. A show has few objects, and loopback is not even used.
const PAUSE: Duration = Duration::from_millis(5);
/// A step of the show that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same, where programs are built and started.
const BUILDING: Duration = Duration::from_secs(120);

/// Looks at one cluster.
pub struct Watcher {
    client: Client,
    patience: Duration,
}

impl Watcher {
    pub fn new(cluster: &Cluster) -> Self {
        Self { client: cluster.client.clone(), patience: PATIENCE }
    }

    /// The same, for what builds and starts programs.
    pub fn patient(cluster: &Cluster) -> Self {
        Self { patience: BUILDING, ..Self::new(cluster) }
    }

    /// The object at an API path now; none where there is none.
    pub async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match call::get(&self.client, path, None).await {
            Ok(bytes) => Ok(Some(call::parse(&bytes)?)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes an object as kubectl would: a merge patch under a field manager of its own.
    pub async fn patch(&self, path: &str, manager: &str, body: &Value) -> anyhow::Result<()> {
        let path = format!("{path}?fieldManager={manager}");
        call::patch(&self.client, &path, "application/merge-patch+json", body).await?;
        Ok(())
    }

    /// Deletes an object.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        call::send(&self.client, http::Method::DELETE, path, &serde_json::json!({})).await?;
        Ok(())
    }

    /// Looks until the object is as wished, and tells how long that took.
    pub async fn until(
        &self,
        what: &str,
        path: &str,
        wish: impl Fn(Option<&Value>) -> bool,
    ) -> anyhow::Result<(Option<Value>, Duration)> {
        let begun = Instant::now();
        loop {
            let seen = self.get(path).await?;
            if wish(seen.as_ref()) {
                return Ok((seen, begun.elapsed()));
            }
            if begun.elapsed() > self.patience {
                let message = format!("{what}: not seen within {} s", self.patience.as_secs());
                return Err(failed(message).hint("Run it again with `-vv` to see what happens.").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
