//! One tool of a platform under test: its repository on one side, its objects on the other.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Platform;
use crate::git_server::{Entry, Repository};

/// A tool. Its name begins with the platform's, so that it is alone in the cluster.
#[derive(Clone)]
pub struct Tool<'a> {
    platform: &'a Platform,
    name: String,
    branch: String,
    repository: Arc<Repository>,
}

/// A condition of a Tool's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl<'a> Tool<'a> {
    pub(super) fn new(
        platform: &'a Platform,
        name: &str,
        repository: impl Into<Arc<Repository>>,
        branch: &str,
    ) -> Self {
        Self { platform, name: name.into(), branch: branch.into(), repository: repository.into() }
    }

    /// The platform that serves it.
    pub fn platform(&self) -> &'a Platform {
        self.platform
    }

    /// Its whole name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> String {
        format!("tool-{}", self.name)
    }

    /// Its repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(super) fn repository_handle(&self) -> Arc<Repository> {
        self.repository.clone()
    }

    /// Commits `toolforge.yaml` to its branch and returns the commit.
    pub fn commit(&self, toolforge_yaml: &str) -> anyhow::Result<String> {
        self.commit_file("toolforge.yaml", toolforge_yaml)
    }

    /// Commits a file to its branch and returns the commit.
    pub fn commit_file(&self, path: &str, text: &str) -> anyhow::Result<String> {
        self.repository.commit_to(&self.branch, &[(path, text)])
    }

    /// Deletes a file on its branch and returns the commit.
    pub fn delete_file(&self, path: &str) -> anyhow::Result<String> {
        self.repository.commit_entries(&self.branch, &[(path, Entry::Gone)])
    }

    /// Waits until the Tool says that its newest commit is deployed and Ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let commit = self.repository.resolve(&format!("refs/heads/{}", self.branch))?;
        let arrived = async || {
            let Some(tool) = self.custom_resource().await? else { return Ok(None) };
            let ready = condition_of(&tool, "Ready").is_some_and(|ready| ready.status == "True");
            Ok((ready && tool["status"]["commit"] == commit).then_some(()))
        };
        self.platform.until(&format!("{} is Ready at {commit}", self.name), arrived).await
    }

    /// Waits until a condition has this reason, and returns it.
    pub async fn reason(&self, condition: &str, reason: &str) -> anyhow::Result<Condition> {
        let arrived = async || Ok(self.condition(condition).await?.filter(|found| found.reason == reason));
        self.platform.until(&format!("{} is {condition}: {reason}", self.name), arrived).await
    }

    /// A condition as it is now; none while the Tool has no such condition.
    pub async fn condition(&self, condition: &str) -> anyhow::Result<Option<Condition>> {
        Ok(self.custom_resource().await?.and_then(|tool| condition_of(&tool, condition)))
    }

    /// The Tool object; none before the reconciler has made it.
    pub async fn custom_resource(&self) -> anyhow::Result<Option<Value>> {
        self.platform.object("Tool", None, &self.name).await
    }

    /// One of its objects; none where it does not exist.
    pub async fn find(&self, kind: &str, name: &str) -> anyhow::Result<Option<Value>> {
        self.platform.object(kind, Some(&self.namespace()), name).await
    }

    /// One of its objects; an error where it does not exist.
    pub async fn object(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        self.find(kind, name).await?.with_context(|| format!("there is no {kind} {}/{name}", self.namespace()))
    }

    /// Waits until one of its objects is as wanted, and returns it.
    pub async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let arrived = async || Ok(self.find(kind, name).await?.filter(|object| wanted(object)));
        self.platform.until(&format!("{kind} {}/{name} {what}", self.namespace()), arrived).await
    }

    /// Waits until one of its objects is gone.
    pub async fn until_gone(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        let gone = async || Ok(self.find(kind, name).await?.is_none().then_some(()));
        self.platform.until(&format!("{kind} {}/{name} is gone", self.namespace()), gone).await
    }

    /// Runs kubectl in its namespace, with all rights.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let namespace = format!("--namespace={}", self.namespace());
        let args: Vec<_> = args.iter().copied().chain([namespace.as_str()]).collect();
        self.platform.kubectl(&args).await
    }

    /// An error unless one of its objects is there.
    pub async fn must_have(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        ensure!(self.find(kind, name).await?.is_some(), "{kind} {}/{name} is gone", self.namespace());
        Ok(())
    }
}

fn condition_of(tool: &Value, name: &str) -> Option<Condition> {
    let all = tool.pointer("/status/conditions")?.as_array()?;
    let found = all.iter().find(|condition| condition["type"] == name)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}
