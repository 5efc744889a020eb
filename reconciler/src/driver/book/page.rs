//! The config repository at one commit, with what follows from it: who follows which repository, and who is joined with
//! whom by `promotion`.

use super::BookError;
use crate::source::config_repo::{ConfigRepo, PlatformFolder};
use crate::source::{RepositoryKey, RepositoryUrl, Wanted};
use planner::Admission;
use renderer::build::Siblings;
use renderer::config::hosts::entry;
use renderer::{CommitId, Platform, Tool, ToolName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) struct Page {
    pub commit: Option<CommitId>,
    pub platform: Platform,
    pub admission: Arc<Admission>,
    pub folder: PlatformFolder,
    pub tools: BTreeMap<ToolName, Followed>,
    /// Tools whose files are broken, and what is wrong: held at what was last known of them.
    pub unreadable: BTreeMap<ToolName, String>,
    /// By tool, those that are promoted from it.
    pub promoted: BTreeMap<ToolName, BTreeSet<ToolName>>,
    followers: BTreeMap<RepositoryKey, Vec<ToolName>>,
}

/// A tool, and what its repository and its siblings are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Followed {
    pub tool: Tool,
    /// None where the address is none; the tool's file was refused then.
    pub url: Option<RepositoryUrl>,
    pub siblings: Siblings,
    /// Everybody joined with it by `promotion`, itself among them.
    pub joined: BTreeSet<ToolName>,
}

/// Which files are a tool's: what was read at another place is not its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct Place {
    pub repository: RepositoryKey,
    pub branch: String,
    pub path: String,
}

impl Followed {
    pub fn place(&self) -> Option<Place> {
        let Tool { branch, path, .. } = &self.tool;
        Some(Place { repository: self.url.as_ref()?.key(), branch: branch.clone(), path: path.clone() })
    }
}

impl Page {
    /// Chooses the platform; a tool whose file is broken stays what it was in `before`.
    pub fn new(repo: &ConfigRepo, wanted: Option<&str>, before: Option<&Self>) -> Result<Self, BookError> {
        let folder = repo.choose(wanted)?;
        let platform = platform(folder)?;
        let unreadable: BTreeMap<_, _> =
            folder.unreadable.iter().filter_map(|u| Some((u.name.clone()?, first_error(folder, &u.file)))).collect();
        let mut tools: BTreeMap<_, _> = folder.tools.iter().map(|tool| (tool.name.clone(), tool.clone())).collect();
        for name in unreadable.keys() {
            if let Some(known) = before.and_then(|before| before.tools.get(name)) {
                tools.insert(name.clone(), known.tool.clone());
            }
        }
        let promoted = promoted(&tools);
        let tools = followed(&tools);
        let mut followers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, followed) in &tools {
            if let Some(url) = &followed.url {
                followers.entry(url.key()).or_default().push(name.clone());
            }
        }
        let all: Vec<_> = tools.values().map(|followed| followed.tool.clone()).collect();
        Ok(Self {
            commit: repo.commit.clone(),
            admission: admission(&platform, &all, folder, before).into(),
            platform,
            folder: folder.clone(),
            tools,
            unreadable,
            promoted,
            followers,
        })
    }

    /// Names of all tools, also of those whose files are broken now.
    pub fn names(&self) -> BTreeSet<&ToolName> {
        self.tools.keys().chain(self.unreadable.keys()).collect()
    }

    /// How many tools there are.
    pub fn count(&self) -> usize {
        self.tools.len() + self.unreadable.keys().filter(|name| !self.tools.contains_key(*name)).count()
    }

    pub fn knows(&self, name: &ToolName) -> bool {
        self.tools.contains_key(name) || self.unreadable.contains_key(name)
    }

    pub fn followers(&self, repository: &RepositoryKey) -> impl Iterator<Item = &Followed> {
        let names = self.followers.get(repository).map_or(&[][..], Vec::as_slice);
        names.iter().filter_map(|name| self.tools.get(name))
    }

    /// Each distinct repository, with every branch that somebody follows.
    pub fn wanted(&self) -> impl Iterator<Item = Wanted> {
        self.followers.keys().filter_map(|key| {
            let mut followers = self.followers(key);
            let first = followers.next()?;
            let names = std::iter::once(first).chain(followers).map(|followed| followed.tool.branch.clone());
            Some(Wanted { repository: first.url.clone()?, names: names.collect() })
        })
    }

    /// Tools for which this page says something else than the one before; a tool's siblings belong to it.
    pub fn changed_since(&self, before: &Self) -> BTreeSet<ToolName> {
        let everyone = self.platform != before.platform || !self.admission.is_like(&before.admission);
        let differs = |name: &&ToolName| {
            let of = |page: &'_ Self| (page.tools.get(*name).cloned(), page.unreadable.get(*name).cloned());
            everyone || of(self) != of(before)
        };
        let changed: BTreeSet<_> = self.names().union(&before.names()).copied().filter(differs).collect();
        let rows = [self, before].into_iter().flat_map(|page| changed.iter().filter_map(|name| page.tools.get(*name)));
        let joined: BTreeSet<_> = rows.flat_map(|followed| followed.joined.iter().cloned()).collect();
        changed.iter().map(|name| (*name).clone()).chain(joined).collect()
    }
}

/// A set of rules of which one is broken counts for nothing: the last good one holds.
fn admission(platform: &Platform, tools: &[Tool], folder: &PlatformFolder, before: Option<&Page>) -> Admission {
    let last = before.map(|before| before.admission.own());
    let own = folder.rules.as_deref().or(last).unwrap_or_default();
    let admission = Admission::new(platform, tools, own).unwrap_or_else(|_| Admission::shipped(platform, tools));
    let knows_all = folder.rules.is_some() || before.is_some_and(|before| !before.admission.is_incomplete());
    if folder.rules.is_none() {
        tracing::warn!(knows_all, "a rule in policies/ is broken: the last good ones hold");
    }
    if knows_all { admission } else { admission.incomplete() }
}

fn platform(folder: &PlatformFolder) -> Result<Platform, BookError> {
    let Some(mut platform) = folder.platform.clone() else { return Err(BookError::Platform(folder.name().to_owned())) };
    // Hosts that operators name anywhere are allowed everywhere; published so, `diff` judges as we do.
    let hosts = folder.tools.iter().filter_map(|tool| RepositoryUrl::parse(&tool.repository).ok());
    let hosts = hosts.filter(|url| !url.host().is_empty()).map(|url| entry(url.host(), url.written_port()));
    let all: BTreeSet<_> = hosts.chain(std::mem::take(&mut platform.allowed_hosts)).collect();
    platform.allowed_hosts = all.into_iter().collect();
    Ok(platform)
}

fn followed(tools: &BTreeMap<ToolName, Tool>) -> BTreeMap<ToolName, Followed> {
    let groups = joined(tools);
    let row = |(name, tool): (&ToolName, &Tool)| {
        let joined = groups.get(name).cloned().unwrap_or_else(|| BTreeSet::from([name.clone()]));
        let together: Vec<_> = joined.iter().filter_map(|name| tools.get(name)).cloned().collect();
        let siblings = Siblings::of(tool, &together);
        let url = RepositoryUrl::of(tool).ok();
        (name.clone(), Followed { tool: tool.clone(), url, siblings, joined })
    };
    tools.iter().map(row).collect()
}

fn promoted(tools: &BTreeMap<ToolName, Tool>) -> BTreeMap<ToolName, BTreeSet<ToolName>> {
    let mut promoted: BTreeMap<ToolName, BTreeSet<ToolName>> = BTreeMap::new();
    for (to, from) in tools.iter().filter_map(|(to, tool)| Some((to, &tool.promotion.as_ref()?.from))) {
        promoted.entry(from.clone()).or_default().insert(to.clone());
    }
    promoted
}

/// Everybody who takes part in a promotion, with all who are joined with them, directly or through others.
fn joined(tools: &BTreeMap<ToolName, Tool>) -> BTreeMap<ToolName, BTreeSet<ToolName>> {
    let mut groups: BTreeMap<ToolName, BTreeSet<ToolName>> = BTreeMap::new();
    for (to, tool) in tools {
        let Some(promotion) = &tool.promotion else { continue };
        let mut group = BTreeSet::from([to.clone(), promotion.from.clone()]);
        for name in [to, &promotion.from] {
            group.extend(groups.get(name).cloned().unwrap_or_default());
        }
        for name in &group {
            groups.insert(name.clone(), group.clone());
        }
    }
    groups
}

/// The first of a file's errors, with its line: `tools/wordcount.yaml:4: …`.
fn first_error(folder: &PlatformFolder, file: &str) -> String {
    let found = folder.report.errors().find(|error| error.file == file);
    let line = found.and_then(|error| error.place).map_or(String::new(), |place| format!(":{}", place.line));
    format!("{file}{line}: {}", found.map_or("it can't be read", |error| &error.message))
}
