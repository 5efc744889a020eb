//! A platform whose reconciler reaches the API server, git and the registry through proxies that fail by chance.
//!
//! The test itself goes around them: what it does and sees is certain.

use std::collections::BTreeMap;

use anyhow::Context as _;
use kube::api::{Api, DynamicObject, ListParams};

use super::{Platform, Route, kind_of};
use crate::control_plane::{ADMIN, ControlPlane};
use crate::faults::{API, Fault, Faults, HOST, Odds};
use crate::git_server::GitServer;

/// One request in so many fails.
const ONE_IN: u64 = 5;

/// What lies between the reconciler and everything else.
#[derive(Debug)]
pub struct Storm {
    /// Before the API server.
    pub api: Faults,
    /// Before the git host.
    pub git: Faults,
    /// Before the registry.
    pub registry: Faults,
}

impl Storm {
    async fn around(plane: &ControlPlane, git: &GitServer, seed: u64) -> anyhow::Result<Self> {
        let (api, host) = (Odds { seed, one_in: ONE_IN, of: API }, Odds { seed, one_in: ONE_IN, of: HOST });
        let git_url = git.url("");
        let git_url = git_url.strip_suffix("/.git").context("the git host's own URL")?;
        let registry = format!("http://{}", plane.registry()?.address());
        let ca = reqwest::Certificate::from_pem(&std::fs::read(plane.ca())?)?;
        let plain = || reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Ok(Self {
            api: Faults::start(plane.server(), plain().tls_certs_only([ca]).build()?, api).await?,
            git: Faults::start(git_url, plain().build()?, host).await?,
            registry: Faults::start(&registry, plain().build()?, host).await?,
        })
    }
}

impl Platform {
    /// A platform with proxies around its reconciler, which has yet to be started; nothing fails yet.
    pub async fn prepare_for_storm(name: &str, seed: u64) -> anyhow::Result<Self> {
        let mut platform = Self::prepare(name, Route::Ingress).await?;
        platform.storm = Some(Storm::around(platform.plane, &platform.git, seed).await?);
        platform.commit_frame("")?;
        Ok(platform)
    }

    /// The proxies around its reconciler.
    pub fn storm(&self) -> anyhow::Result<&Storm> {
        self.storm.as_ref().context("this platform is not prepared for a storm")
    }

    /// From now on requests to the API server fail by chance, and lists may be as old as now.
    pub async fn begin_api_faults(&self) -> anyhow::Result<()> {
        let namespaces: Api<DynamicObject> = self.api(kind_of("Namespace")?, None);
        let now = namespaces.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
        self.storm()?.api.begin(now);
        Ok(())
    }

    /// As [`Platform::delete_cache`], after a kill: what the dead process was still writing may come back once.
    pub fn forget_cache(&self) -> anyhow::Result<()> {
        self.delete_cache().or_else(|_| self.delete_cache())
    }

    /// Nothing fails any more.
    pub fn end_storm(&self) -> anyhow::Result<()> {
        let Storm { api, git, registry } = self.storm()?;
        [api, git, registry].into_iter().for_each(Faults::end);
        Ok(())
    }

    /// How much failed so far, by kind and for whom.
    pub fn failed(&self) -> anyhow::Result<BTreeMap<(&'static str, Fault), usize>> {
        let Storm { api, git, registry } = self.storm()?;
        let all = [("api", api.counts()), ("git", git.counts()), ("registry", registry.counts())];
        Ok(all.into_iter().flat_map(|(whom, counts)| counts.into_iter().map(move |(f, n)| ((whom, f), n))).collect())
    }

    /// A repository's URL, as the reconciler is to know it.
    pub(crate) fn way_to(&self, repository: &str) -> String {
        self.storm.as_ref().map_or_else(|| repository.to_owned(), |storm| storm.git.way_to(repository))
    }

    /// `ADDRESS:PORT` of the registry, as the reconciler and the tools are to know it.
    pub fn registry_address(&self) -> anyhow::Result<String> {
        match &self.storm {
            Some(storm) => Ok(storm.registry.address().to_owned()),
            None => Ok(self.plane.registry()?.address().to_owned()),
        }
    }
}

/// The API server's credentials, by another way.
pub(super) async fn config(platform: &Platform) -> anyhow::Result<kube::Config> {
    let mut config = platform.plane.config(ADMIN).await?;
    config.headers.clear();
    if let Some(storm) = &platform.storm {
        config.cluster_url = storm.api.url().parse()?;
    }
    Ok(config)
}
