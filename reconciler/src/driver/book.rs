//! What git said last: the config repository, the refs of every repository its tools name, and what was read there. A
//! cache, filled by the poll and the reader, and read by passes, which wait for nobody; losing it costs one poll.

mod page;
mod reading;
mod said;

pub(super) use reading::{PATIENCE, TURN};

use super::newest::Question;
use crate::observe::World;
use crate::pass::Subject;
use crate::secrets::Vault;
use crate::source::config_repo::{self, PlatformFolder};
use crate::source::{Git, Refs, RepositoryKey, RepositoryUrl, SourceError, Wanted};
pub(super) use page::Place;
use page::{Followed, Page};
use planner::observed::label;
use reading::{Reading, Standing, told};
use renderer::render::PLATFORM_MARK;
use renderer::{Platform, Revision, ToolName};
use said::{Branch, Said};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// The pages.
pub struct Book {
    config_url: RepositoryUrl,
    wanted_platform: Option<String>,
    page: RwLock<Page>,
    said: RwLock<BTreeMap<RepositoryKey, Said>>,
    readings: RwLock<BTreeMap<ToolName, Reading>>,
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

/// A new commit of the config repository.
pub(super) struct NewPage {
    /// The settings before.
    pub platform_before: Platform,
    /// The rules are others now.
    pub new_rules: bool,
    /// Whom it concerns.
    pub tools: BTreeSet<ToolName>,
}

/// What a repository's answer means to its tools.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Their branch stands elsewhere: they have to be read.
    pub moved: Vec<ToolName>,
    /// There is something else to say about them, or a sibling has moved.
    pub told: BTreeSet<ToolName>,
}

impl Book {
    /// Opens the config repository.
    ///
    /// # Errors
    /// Where it can't be read, or no platform of it can be used.
    pub async fn open(git: &Git, url: RepositoryUrl, platform: Option<String>) -> Result<Self, BookError> {
        let repo = config_repo::load(git, &url, "HEAD").await?;
        let page = Page::new(&repo, platform.as_deref(), None)?;
        git.dialer().set_rules(page.folder.rules(&url));
        tell_findings(&page.folder);
        let (said, readings) = Default::default();
        Ok(Self { config_url: url, wanted_platform: platform, page: RwLock::new(page), said, readings })
    }

    /// The platform's settings.
    #[must_use]
    pub fn platform(&self) -> Platform {
        self.page().platform.clone()
    }

    /// The platform's rules.
    #[must_use]
    pub fn admission(&self) -> Arc<planner::Admission> {
        Arc::clone(&self.page().admission)
    }

    /// The platform folder, with findings about its files.
    #[must_use]
    pub fn folder(&self) -> PlatformFolder {
        self.page().folder.clone()
    }

    /// The time between polls.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        Duration::from_secs(self.page().platform.poll_interval_secs.max(1))
    }

    /// Names of all tools, also of those whose files are broken now.
    #[must_use]
    pub fn names(&self) -> Vec<ToolName> {
        self.page().names().into_iter().cloned().collect()
    }

    /// How many tools there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.page().count()
    }

    /// The config repository, and those of the tools.
    #[must_use]
    pub fn repositories(&self) -> Vec<RepositoryUrl> {
        let tools = self.page().wanted().map(|wanted| wanted.repository).collect::<Vec<_>>();
        std::iter::once(self.config_url.clone()).chain(tools).collect()
    }

    /// Whether the config repository has a file of that tool, good or broken.
    #[must_use]
    pub fn knows(&self, tool: &ToolName) -> bool {
        self.page().knows(tool)
    }

    /// Whether another tool is promoted from this one.
    pub(super) fn is_promoted_from(&self, tool: &ToolName) -> bool {
        self.page().promoted.contains_key(tool)
    }

    /// The tools that are promoted from this one.
    pub(super) fn promoted_from(&self, tool: &ToolName) -> BTreeSet<ToolName> {
        self.page().promoted.get(tool).cloned().unwrap_or_default()
    }

    /// Asks the config repository. What was last known of it keeps being served where that fails.
    pub(super) async fn poll_config(&self, git: &Git) -> Result<Option<NewPage>, BookError> {
        let refs = git.ls_refs(&self.config_url, ["HEAD"]).await?;
        let commit = git.resolve(&self.config_url, &refs, "HEAD").await?;
        if self.page().commit.as_ref() == Some(&commit) {
            return Ok(None);
        }
        let repo = config_repo::load_at(git, &self.config_url, &commit).await?;
        let mut page = write(&self.page);
        let new = Page::new(&repo, self.wanted_platform.as_deref(), Some(&page))?;
        git.dialer().set_rules(new.folder.rules(&self.config_url));
        tracing::info!(commit = commit.short(), tools = new.tools.len(), "the config repository has a new commit");
        tell_findings(&new.folder);
        let tools = new.changed_since(&page);
        let before = std::mem::replace(&mut *page, new);
        write(&self.said).retain(|key, _| page.followers(key).next().is_some());
        let new_rules = !page.admission.is_like(&before.admission);
        Ok(Some(NewPage { platform_before: before.platform, new_rules, tools }))
    }

    /// Every distinct repository of the tools.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        self.page().wanted().collect()
    }

    /// Those of them that were not asked yet for all that is wanted.
    pub(super) fn unasked(&self) -> Vec<Wanted> {
        let said = read(&self.said);
        let asked =
            |wanted: &Wanted| said.get(&wanted.repository.key()).is_some_and(|s| s.was_asked_for_all_of(wanted));
        self.page().wanted().filter(|wanted| !asked(wanted)).collect()
    }

    /// Writes one repository's answer down.
    pub(super) fn enter(&self, wanted: &Wanted, answer: Result<Refs, SourceError>) -> News {
        let key = wanted.repository.key();
        let (page, mut all) = (self.page(), write(&self.said));
        let said = all.entry(key.clone()).or_default();
        let before = said.clone();
        said.enter(wanted, answer);
        let mut news = News::default();
        for followed in page.followers(&key) {
            let branch = &followed.tool.branch;
            let (then, now) = (before.of(branch), said.of(branch));
            if now.differs_from(then, branch) {
                news.moved.push(followed.tool.name.clone());
                news.told.extend(followed.joined.iter().filter(|name| **name != followed.tool.name).cloned());
            } else if before.trouble() != said.trouble() || matches!(now, Branch::Unanswered(_)) && now != then {
                news.told.insert(followed.tool.name.clone());
            }
        }
        news
    }

    /// What a tool's repository has to be asked; none where its refs are not known, or its file is broken or gone.
    pub(super) fn question(&self, name: &ToolName) -> Option<Question> {
        let page = self.page();
        let followed = page.tools.get(name).filter(|_| !page.unreadable.contains_key(name))?;
        let url = followed.url.clone()?;
        let said = read(&self.said);
        let Branch::Known(refs) = said.get(&url.key())?.of(&followed.tool.branch) else { return None };
        let (tool, siblings) = (followed.tool.clone(), followed.siblings.clone());
        Some(Question { platform: page.platform.clone(), tool, siblings, url, refs: refs.clone() })
    }

    /// A tool is to be read from now on.
    pub(super) fn begin_to_read(&self, name: &ToolName) {
        let Some(place) = self.page().tools.get(name).and_then(Followed::place) else { return };
        let mut all = write(&self.readings);
        let reading = all.entry(name.clone()).or_insert_with(|| Reading::of(place.clone()));
        if !reading.is_of(&place) {
            *reading = Reading::of(place);
        }
        reading.begin();
    }

    /// The tool's turn to be read has come.
    pub(super) fn turn_to_read(&self, name: &ToolName) {
        if let Some(reading) = write(&self.readings).get_mut(name) {
            reading.turn();
        }
    }

    /// A tool was read; `again` where it is to be read once more already. Returns whether that says something new.
    pub(super) fn end_to_read(&self, question: &Question, result: Result<Revision, SourceError>, again: bool) -> bool {
        let mut all = write(&self.readings);
        let reading = all.get_mut(&question.tool.name).filter(|reading| reading.is_of(&question.place()));
        reading.is_some_and(|reading| reading.end(result, again))
    }

    /// Whether a tool waits to be read for so long that it has to be said.
    pub(super) fn is_late(&self, name: &ToolName) -> bool {
        read(&self.readings).get(name).is_some_and(Reading::is_late)
    }

    /// Tools that build from repositories other than their own: nobody else tells when those move.
    pub(super) fn building_elsewhere(&self) -> Vec<ToolName> {
        let readings = read(&self.readings);
        readings.iter().filter(|(_, reading)| reading.builds_elsewhere()).map(|(name, _)| name.clone()).collect()
    }

    /// A tool is no longer ours.
    pub(super) fn forget(&self, name: &ToolName) {
        write(&self.readings).remove(name);
    }

    /// Whom a pass is for. None where git has not been asked yet, or where there is nothing to go by.
    #[must_use]
    pub fn subject(&self, name: &ToolName, world: &World) -> Option<Subject> {
        let circumstances = planner::Circumstances::at(crate::pass::now());
        let page = self.page();
        let (platform, admission) = (page.platform.clone(), Arc::clone(&page.admission));
        let known = page.tools.get(name);
        let siblings = known.map(|followed| followed.siblings.clone()).unwrap_or_default();
        let tool = known.map(|followed| followed.tool.clone());
        let broken = page.unreadable.get(name);
        if let (Some(followed), Some(tool), None) = (known, &tool, broken) {
            let Standing { newest, trouble } = self.standing(followed)?;
            return Some(Subject {
                platform,
                tool: tool.clone(),
                siblings,
                newest,
                trouble,
                forgotten: false,
                circumstances,
                vault: Vault::default(),
                admission,
            });
        }
        // What was known or published of it is all we can go by. Tools of other platforms are none of our business.
        let published = || world.tool(name).filter(|tool| label(tool, PLATFORM_MARK) == Some(&platform.name));
        let tool = tool.or_else(|| renderer::Tool::from_object(&published()?))?;
        let (newest, forgotten) = match broken {
            Some(why) => (Err(format!("its file in the config repository is broken: {why}")), false),
            None => (Err("its file is gone from the config repository".to_owned()), true),
        };
        Some(Subject {
            platform,
            tool,
            siblings,
            newest,
            trouble: None,
            forgotten,
            circumstances,
            admission,
            vault: Vault::default(),
        })
    }

    /// What is known of a tool's newest revision.
    fn standing(&self, followed: &Followed) -> Option<Standing> {
        let (place, branch) = (followed.place()?, &followed.tool.branch);
        let (all, readings) = (read(&self.said), read(&self.readings));
        let said = all.get(&place.repository);
        let now = said.map_or(Branch::Unasked, |said| said.of(branch));
        if let Branch::Unanswered(error) = now {
            return Some(Standing { newest: Err(told(error)), trouble: None });
        }
        let mut standing =
            readings.get(&followed.tool.name).filter(|r| r.is_of(&place))?.standing(now.tip(branch).as_ref())?;
        if let Some(error) = said.and_then(Said::trouble) {
            standing.trouble = Some(told(error));
        }
        Some(standing)
    }

    fn page(&self) -> RwLockReadGuard<'_, Page> {
        read(&self.page)
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// What is wrong in the config repository is said once a commit, by file and line; it disturbs no other file.
fn tell_findings(folder: &PlatformFolder) {
    for found in &folder.report.diagnostics {
        let line = found.place.map_or(0, |place| place.line);
        tracing::warn!(file = found.file, line, severity = ?found.severity, "{}", found.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::config_repo::ConfigRepo;
    use renderer::{CommitId, Report, Tool, tool};

    fn name(text: &str) -> ToolName {
        ToolName::new(text).expect("a name")
    }

    fn names(all: &[&str]) -> BTreeSet<ToolName> {
        all.iter().map(|text| name(text)).collect()
    }

    /// A tool of one repository; `more` are further lines of its spec.
    fn tool(name: &str, more: &str) -> Tool {
        let head = format!("apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\n");
        let text = format!("{head}spec:\n  repository: https://git.example/x\n{more}");
        tool::parse(text.as_bytes(), &format!("{name}.yaml")).0.expect("a good tool file")
    }

    fn page(tools: &[Tool]) -> Page {
        let folder = PlatformFolder {
            path: String::new(),
            platform: Some(Platform::builtin()),
            tools: tools.to_vec(),
            unreadable: Vec::new(),
            report: Report::default(),
            rules: Some(Vec::new()),
            rule_files: BTreeMap::new(),
            signers: BTreeMap::new(),
            texts: BTreeMap::new(),
        };
        Page::new(&ConfigRepo { commit: None, platforms: vec![folder] }, None, None).expect("a page")
    }

    fn book(tools: &[Tool]) -> Book {
        let (said, readings) = Default::default();
        let config_url = RepositoryUrl::parse("https://git.example/config").expect("a URL");
        Book { config_url, wanted_platform: None, page: RwLock::new(page(tools)), said, readings }
    }

    fn refs(branches: &[(&str, char)]) -> Refs {
        let commit = |digit: char| CommitId::new(digit.to_string().repeat(40)).expect("a commit");
        Refs { branches: branches.iter().map(|(b, d)| ((*b).to_owned(), commit(*d))).collect(), ..Refs::default() }
    }

    const JOINED: [(&str, &str); 4] = [
        ("a", ""),
        ("b", "  branch: b\n  promotion: {from: a}\n"),
        ("c", "  branch: c\n  promotion: {from: b}\n"),
        ("d", "  branch: d\n"),
    ];

    fn tools(change: impl Fn(&str, &str) -> String) -> Vec<Tool> {
        JOINED.iter().map(|(name, more)| tool(name, &change(name, more))).collect()
    }

    #[test]
    fn what_a_tool_s_file_says_concerns_everybody_joined_with_it_and_nobody_else() {
        let before = page(&tools(|_, more| more.to_owned()));
        let suspended =
            page(&tools(|name, more| format!("{more}{}", if name == "a" { "  suspend: true\n" } else { "" })));
        assert_eq!(suspended.changed_since(&before), names(&["a", "b", "c"]), "also through others");
        let apart = page(&tools(|name, more| if name == "c" { "  branch: c\n".to_owned() } else { more.to_owned() }));
        assert_eq!(apart.changed_since(&before), names(&["a", "b", "c"]), "also who is joined no more");
        let alone = page(&tools(|name, more| more.replace("branch: d", if name == "d" { "branch: e" } else { "" })));
        assert_eq!(alone.changed_since(&before), names(&["d"]));
        assert_eq!(before.changed_since(&before), names(&[]));
    }

    #[test]
    fn a_branch_that_moves_is_read_and_its_siblings_are_woken() {
        let book = book(&tools(|_, more| more.to_owned()));
        let wanted = book.wanted();
        assert_eq!((wanted.len(), book.unasked().len()), (1, 1), "four tools, one repository");
        let all = [("main", '1'), ("b", '1'), ("c", '1'), ("d", '1')];
        let news = book.enter(&wanted[0], Ok(refs(&all)));
        assert_eq!(news.moved.len(), 4);
        assert!(book.unasked().is_empty());
        assert_eq!(book.enter(&wanted[0], Ok(refs(&all))), News::default(), "the same again is no news");
        let news = book.enter(&wanted[0], Ok(refs(&[("main", '2'), ("b", '1'), ("c", '1'), ("d", '1')])));
        assert_eq!(news, News { moved: vec![name("a")], told: names(&["b", "c"]) });
        let down = || Err(SourceError::TimedOut { host: "git.example".to_owned(), secs: 15 });
        assert_eq!(book.enter(&wanted[0], down()), News { moved: vec![], told: names(&["a", "b", "c", "d"]) });
        assert_eq!(book.enter(&wanted[0], down()), News::default());
        assert!(book.question(&name("a")).is_some(), "what it said before still counts");
    }
}
