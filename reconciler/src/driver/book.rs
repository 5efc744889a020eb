//! What git said last: the config repository, and the refs of every repository its tools name. A cache, filled by the
//! poll and read by passes; losing it costs one poll.

use crate::observe::World;
use crate::pass::Subject;
use crate::source::config_repo::{self, ConfigRepo, PlatformFolder};
use crate::source::{Git, Poller, Refs, RepositoryKey, RepositoryUrl, SourceError, Wanted};
use futures::StreamExt as _;
use planner::observed::label;
use renderer::build::Siblings;
use renderer::config::parse;
use renderer::render::PLATFORM_MARK;
use renderer::{CommitId, Platform, Revision, Tool, ToolName, sources_needed};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// The pages.
pub struct Book {
    config_url: RepositoryUrl,
    wanted_platform: Option<String>,
    page: RwLock<Page>,
}

#[derive(Clone)]
struct Page {
    commit: Option<CommitId>,
    platform: Platform,
    folder: PlatformFolder,
    tools: BTreeMap<ToolName, Tool>,
    /// Tools whose files are broken, and what is wrong: held at what was last known of them.
    unreadable: BTreeMap<ToolName, String>,
    refs: BTreeMap<RepositoryKey, Said>,
}

/// What a repository said last. An answer outlives the errors after it: that a host is down now says nothing about what
/// a branch was a minute ago.
#[derive(Debug, Clone)]
struct Said {
    refs: Result<Refs, SourceError>,
    /// Why it could not be asked since.
    trouble: Option<SourceError>,
}

impl Said {
    fn after(old: Option<&Self>, answer: Result<Refs, SourceError>) -> Self {
        match (answer, old) {
            (Err(trouble), Some(Self { refs: Ok(refs), .. })) => {
                Self { refs: Ok(refs.clone()), trouble: Some(trouble) }
            }
            (refs, _) => Self { refs, trouble: None },
        }
    }

    /// The tip of a branch, or why there is none; and whether that is old news.
    fn tip(&self, branch: &str) -> (Result<Option<CommitId>, SourceError>, Option<SourceError>) {
        (self.refs.as_ref().map(|refs| refs.find(branch)).map_err(Clone::clone), self.trouble.clone())
    }
}

/// Why a config repository can't be worked with.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No platform could be chosen.
    #[error(transparent)]
    Choice(#[from] config_repo::ChoiceError),
    /// `platform.yaml` is broken.
    #[error("platform.yaml of {0:?} is not usable")]
    Platform(String),
}

impl Book {
    /// Opens the config repository.
    ///
    /// # Errors
    /// Where it can't be read, or no platform of it can be used.
    pub async fn open(git: &Git, url: RepositoryUrl, platform: Option<String>) -> Result<Self, BookError> {
        let repo = config_repo::load(git, &url, "HEAD").await?;
        let page = page(&repo, platform.as_deref())?;
        git.dialer().set_rules(page.folder.rules(&url));
        tell_findings(&page.folder);
        Ok(Self { config_url: url, wanted_platform: platform, page: RwLock::new(page) })
    }

    /// The platform's settings.
    #[must_use]
    pub fn platform(&self) -> Platform {
        self.read().platform.clone()
    }

    /// The platform folder, with findings about its files.
    #[must_use]
    pub fn folder(&self) -> PlatformFolder {
        self.read().folder.clone()
    }

    /// The time between polls.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        Duration::from_secs(self.read().platform.poll_interval_secs.max(1))
    }

    /// Names of all tools, also of those whose files are broken now.
    #[must_use]
    pub fn names(&self) -> Vec<ToolName> {
        let page = self.read();
        page.tools.keys().chain(page.unreadable.keys()).cloned().collect()
    }

    /// Where the tools' repositories are.
    #[must_use]
    pub fn repositories(&self) -> Vec<RepositoryUrl> {
        self.read().tools.values().filter_map(|tool| RepositoryUrl::parse(&tool.repository).ok()).collect()
    }

    /// Whether the config repository has a file of that tool, good or broken.
    #[must_use]
    pub fn knows(&self, tool: &ToolName) -> bool {
        let page = self.read();
        page.tools.contains_key(tool) || page.unreadable.contains_key(tool)
    }

    /// Asks the config repository, and then every distinct repository of its tools once. `woken` is told of each tool
    /// about which git said something new, as soon as it did. Returns whether the platform's settings are new.
    pub async fn poll(&self, git: &Git, woken: &(dyn Fn(ToolName) + Sync)) -> bool {
        let platform_changed = self.poll_config(git, woken).await.unwrap_or_else(|error| {
            // What was last known keeps being served.
            tracing::warn!(%error, "the config repository could not be read");
            false
        });
        let wanted: Vec<_> = self.read().tools.values().filter_map(wanted).collect();
        let mut rows = std::pin::pin!(Poller::new(git.clone()).poll(&wanted));
        while let Some((key, refs)) = rows.next().await {
            for tool in self.enter(&key, refs) {
                woken(tool);
            }
        }
        platform_changed
    }

    /// Writes one row down. Returns the tools for which it says something new.
    fn enter(&self, key: &RepositoryKey, refs: Result<Refs, SourceError>) -> Vec<ToolName> {
        let mut page = self.page.write().unwrap_or_else(PoisonError::into_inner);
        let new = Said::after(page.refs.get(key), refs);
        let old = page.refs.insert(key.clone(), new.clone());
        let here = |tool: &&Tool| RepositoryUrl::parse(&tool.repository).is_ok_and(|url| url.key() == *key);
        let news = |tool: &&Tool| old.as_ref().map(|old| old.tip(&tool.branch)) != Some(new.tip(&tool.branch));
        page.tools.values().filter(here).filter(news).map(|tool| tool.name.clone()).collect()
    }

    async fn poll_config(&self, git: &Git, woken: &(dyn Fn(ToolName) + Sync)) -> Result<bool, BookError> {
        let refs = git.ls_refs(&self.config_url, ["HEAD"]).await?;
        let commit = git.resolve(&self.config_url, &refs, "HEAD").await?;
        if self.read().commit.as_ref() == Some(&commit) {
            return Ok(false);
        }
        let old = self.read().clone();
        let repo = config_repo::load_at(git, &self.config_url, &commit).await?;
        let mut new = page(&repo, self.wanted_platform.as_deref())?;
        git.dialer().set_rules(new.folder.rules(&self.config_url));
        for name in new.unreadable.keys() {
            // A broken file holds its tool at what it said before; it does not make the tool vanish.
            if let Some(tool) = old.tools.get(name) {
                new.tools.insert(name.clone(), tool.clone());
            }
        }
        let platform_changed = old.platform != new.platform;
        let of = |page: &Page, name: &ToolName| (page.tools.get(name).cloned(), page.unreadable.get(name).cloned());
        let differs = |name: &&ToolName| platform_changed || of(&old, name) != of(&new, name);
        let named = |page: &Page| page.tools.keys().chain(page.unreadable.keys()).cloned().collect::<BTreeSet<_>>();
        let changed: BTreeSet<_> = named(&old).union(&named(&new)).filter(differs).cloned().collect();
        tracing::info!(commit = commit.short(), tools = new.tools.len(), "the config repository has a new commit");
        tell_findings(&new.folder);
        *self.page.write().unwrap_or_else(PoisonError::into_inner) = Page { refs: old.refs, ..new };
        changed.into_iter().for_each(woken);
        Ok(platform_changed)
    }

    /// Whom a pass is for. None where git has not been asked yet, or where there is nothing to go by.
    pub async fn subject(&self, name: &ToolName, git: &Git, world: &World) -> Option<Subject> {
        let (platform, known, broken, siblings, refs) = {
            let page = self.read();
            let tools: Vec<_> = page.tools.values().cloned().collect();
            let known = page.tools.get(name).cloned();
            let siblings = known.as_ref().map(|tool| Siblings::of(tool, &tools)).unwrap_or_default();
            let refs =
                known.as_ref().and_then(|tool| page.refs.get(&RepositoryUrl::parse(&tool.repository).ok()?.key()));
            (page.platform.clone(), known, page.unreadable.get(name).cloned(), siblings, refs.cloned())
        };
        if let (Some(tool), None) = (&known, &broken) {
            let Said { refs, trouble } = refs?;
            let newest = newest(&platform, tool, &siblings, refs, git).await.map_err(|error| said(&error));
            let trouble = trouble.map(|error| said(&error));
            return Some(Subject { platform, tool: tool.clone(), siblings, newest, trouble, forgotten: false });
        }
        // What was known or published of it is all we can go by. Tools of other platforms are none of our business.
        let published = || world.tool(name).filter(|tool| label(tool, PLATFORM_MARK) == Some(&platform.name));
        let tool = known.or_else(|| Tool::from_object(&published()?))?;
        let (newest, forgotten) = match broken {
            Some(why) => (Err(format!("its file in the config repository is broken: {why}")), false),
            None => (Err("its file is gone from the config repository".to_owned()), true),
        };
        Some(Subject { platform, tool, siblings, newest, trouble: None, forgotten })
    }

    fn read(&self) -> RwLockReadGuard<'_, Page> {
        self.page.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest revision of a tool: fetched only where its commit is new, and complete with what it builds elsewhere.
///
/// # Errors
/// Where the branch is gone or the repository could not be read.
pub async fn newest(
    platform: &Platform,
    tool: &Tool,
    siblings: &Siblings,
    refs: Result<Refs, SourceError>,
    git: &Git,
) -> Result<Revision, SourceError> {
    let refs = refs?;
    let tip = refs.find(&tool.branch).ok_or_else(|| SourceError::NoSuchRef {
        reference: tool.branch.clone(),
        nearest: refs.nearest(&tool.branch),
    })?;
    let mut revision = git.revision(tool, &tip).await?;
    let parsed = parse(&revision.files, &renderer::config::ParseContext::new(platform, tool));
    let needed: Vec<_> = sources_needed(&parsed.config, tool, siblings).into_iter().collect();
    revision.resolved = git.resolve_sources(tool, &needed, |_| None).await;
    Ok(revision)
}

fn page(repo: &ConfigRepo, wanted: Option<&str>) -> Result<Page, BookError> {
    let folder = repo.choose(wanted)?;
    let Some(mut platform) = folder.platform.clone() else { return Err(BookError::Platform(folder.name().to_owned())) };
    // Hosts that operators name anywhere are allowed everywhere; published so, `diff` judges as we do.
    let hosts = folder.tools.iter().filter_map(|tool| RepositoryUrl::parse(&tool.repository).ok());
    let hosts = hosts.map(|url| url.host().to_owned()).filter(|host| !host.is_empty());
    let all: BTreeSet<_> = hosts.chain(std::mem::take(&mut platform.allowed_hosts)).collect();
    platform.allowed_hosts = all.into_iter().collect();
    Ok(Page {
        commit: repo.commit.clone(),
        platform,
        tools: folder.tools.iter().map(|tool| (tool.name.clone(), tool.clone())).collect(),
        unreadable: folder
            .unreadable
            .iter()
            .filter_map(|u| Some((u.name.clone()?, first_error(folder, &u.file))))
            .collect(),
        folder: folder.clone(),
        refs: BTreeMap::new(),
    })
}

/// What is wrong in the config repository is said once a commit, by file and line; it disturbs no other file.
fn tell_findings(folder: &PlatformFolder) {
    for found in &folder.report.diagnostics {
        let line = found.place.map_or(0, |place| place.line);
        tracing::warn!(file = found.file, line, severity = ?found.severity, "{}", found.message);
    }
}

/// The first of a file's errors, with its line: `tools/wordcount.yaml:4: …`.
fn first_error(folder: &PlatformFolder, file: &str) -> String {
    let found = folder.report.errors().find(|error| error.file == file);
    let line = found.and_then(|error| error.place).map_or(String::new(), |place| format!(":{}", place.line));
    format!("{file}{line}: {}", found.map_or("it can't be read", |error| &error.message))
}

fn wanted(tool: &Tool) -> Option<Wanted> {
    Some(Wanted::new(RepositoryUrl::parse(&tool.repository).ok()?, tool.branch.clone()))
}

/// The error with its next step: both are read in a status.
fn said(error: &SourceError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    }
}
