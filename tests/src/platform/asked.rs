//! What the reconciler of a platform asked the API server for, and when it asks nothing more.

use anyhow::{bail, ensure};

use super::Platform;
use crate::control_plane::{Mark, Request};

impl Platform {
    /// The requests of this platform's reconciler since a mark of the control plane, as whomever it spoke.
    pub fn requests_since(&self, mark: Mark) -> anyhow::Result<Vec<Request>> {
        let user = self.user();
        let mut requests = self.plane.requests_since(mark)?;
        // It was asked in its name whether the server knows of its rights yet.
        requests.retain(|request| request.user == user && request.resource != "selfsubjectaccessreviews");
        Ok(requests)
    }

    /// Those of them that write, but for the lease. Who asks as whom the server knows it writes nothing.
    pub fn writes_since(&self, mark: Mark) -> anyhow::Result<Vec<Request>> {
        let reads = ["get", "list", "watch"];
        let apart = ["leases", "selfsubjectreviews"];
        let mut requests = self.requests_since(mark)?;
        requests.retain(|request| !reads.contains(&request.verb.as_str()));
        requests.retain(|request| !apart.contains(&request.resource.as_str()));
        Ok(requests)
    }

    /// Waits until the reconciler has nothing more to do: it polls git, and sends no write.
    pub async fn quiet(&self) -> anyhow::Result<()> {
        let mut last = Vec::new();
        for _ in 0..20 {
            let mark = self.plane.mark()?;
            self.polled_times(3).await?;
            last = self.writes_since(mark)?;
            if last.is_empty() {
                return Ok(());
            }
        }
        bail!("it never ends to write: {last:#?}\n{}", self.log.last(60))
    }

    /// An error unless the server let the reconciler do everything that it asked for since a mark.
    pub fn refused_nothing_since(&self, mark: Mark) -> anyhow::Result<()> {
        let mut refused = self.requests_since(mark)?;
        refused.retain(|request| matches!(request.status, 401 | 403));
        ensure!(refused.is_empty(), "{refused:#?}");
        Ok(())
    }

    /// Waits until the reconciler has also looked at what it has written for itself: it asks nothing but its lease, for
    /// longer than it waits before such a look.
    pub async fn idle(&self) -> anyhow::Result<()> {
        self.quiet().await?;
        let calm = async || {
            let mark = self.plane.mark()?;
            self.polled_times(8).await?;
            let asked = self.requests_since(mark)?;
            Ok(asked.iter().all(|request| request.resource == "leases").then_some(()))
        };
        self.until("it asks nothing but its lease", calm).await
    }
}
