//! One pass by itself, without a reconciler: what `toolforge diff` and `toolforge apply` do.

use anyhow::{Context as _, ensure};
use planner::Admission;
use planner::contract::Contract;
use planner::outcome::Outcome;
use reconciler::driver;
use reconciler::execute::Doors;
use reconciler::observe::{self, Scope};
use reconciler::pass::{self, Decided, Subject};
use reconciler::registry::Registry;
use reconciler::secrets::deploy_keys;
use reconciler::source::RepositoryUrl;
use reconciler::source::config_repo;
use renderer::Siblings;

use super::{Platform, Tool};

/// A plan, and the contract made of it.
pub struct Planned {
    /// The plan and its world.
    pub decided: Decided,
    /// The plan as a contract.
    pub contract: Contract,
    /// What becomes of the tool's quota.
    pub quota: Option<Vec<planner::quota::Row>>,
    registry: Registry,
}

impl Platform {
    /// Plans for a tool from what git and the cluster say now; only reads.
    pub async fn diff(&self, tool: &Tool<'_>) -> anyhow::Result<Decided> {
        Ok(self.plan_as(&self.client, tool).await?.decided)
    }

    /// The same as somebody else: what `toolforge diff --out` does.
    pub async fn plan_as(&self, client: &kube::Client, tool: &Tool<'_>) -> anyhow::Result<Planned> {
        let url = RepositoryUrl::parse(self.config.url())?;
        let git = driver::git(&url, self.cache(), &|_| None)?;
        let repository = config_repo::load(&git, &url, "HEAD").await?;
        let folder = repository.choose(None)?;
        git.dialer().set_rules(folder.rules(&url));
        let platform = folder.platform.clone().context("platform.yaml is broken")?;
        git.look_keys_up_with(deploy_keys::lookup(client, &platform.namespace));
        let found = folder.tools.iter().find(|found| found.name.as_str() == tool.name());
        let declared = found.with_context(|| format!("no tool file of {}", tool.name()))?;
        let siblings = Siblings::of(declared, &folder.tools);
        let refs = git.ls_refs(&RepositoryUrl::of(declared)?, [declared.branch.as_str()]).await;
        let newest = driver::newest(&platform, declared, &siblings, refs, &git).await;
        let registry = driver::registry(git.dialer().clone(), &platform, &|_| None);
        let observed = observe::once_for(client, &Scope::of("test", &platform), declared).await;
        let newest = newest.map_err(|error| error.to_string());
        let admission = Admission::shipped(&platform, &folder.tools).into();
        let subject = Subject {
            admission,
            platform,
            tool: declared.clone(),
            siblings,
            newest,
            trouble: None,
            forgotten: false,
            circumstances: planner::Circumstances::at(pass::now()),
            vault: reconciler::secrets::Vault::default(),
        };
        let decided = pass::decide(&subject, observed, client, &registry).await;
        let draft = subject.draft(&decided.observed);
        let (contract, quota) = (draft.contract(&decided, "tests"), draft.quota(&decided.observed));
        Ok(Planned { decided, contract, quota, registry })
    }

    /// Plans for a tool and executes the plan, once.
    pub async fn apply(&self, tool: &Tool<'_>) -> anyhow::Result<Outcome> {
        let Planned { decided, registry, .. } = self.plan_as(&self.client, tool).await?;
        ensure!(decided.violations.is_empty(), "{:?}", decided.violations);
        let doors = Doors { client: &self.client, registry: &registry, vault: &reconciler::secrets::Vault::default() };
        Ok(pass::execute(&decided, doors, &|_, _| ()).await)
    }
}
