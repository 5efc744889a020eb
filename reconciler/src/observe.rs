//! What we know of the cluster, from one shared watch per kind: an idle pass sends no request, and a pass that plans
//! asks nobody but this.
//!
//! ```text
//! API server ──watch per kind──▶ shelf (packed JSON by tool) ──observed──▶ Observed
//!                                     └──wake: a tool's name, nothing else──▶ driver
//! ```
//! The rules are the planner's ([`planner::observed`]): what a selected watch does not show is *not said*; an absence
//! is one confirmed by [`confirm`]; and whatever could not be read is a gap.

mod assemble;
mod grounds;
mod naming;
mod once;
mod patience;
mod raw;
mod reading;
mod shelf;
mod text;
mod told;
mod watch;

pub use naming::{Stored, naming_images, stored};
pub use once::{builds, confirm, once, once_for};
pub use patience::Pace;
pub use told::{SecretTold, Told};

use crate::cluster::call::Answer;
use grounds::Grounds;
use kube::Client;
use planner::Memo;
use planner::builds::{BuildState, is_build};
use planner::kinds::{KINDS, Needs, Watched};
use planner::observed::Observed;
use planner::stored::StoredRevision;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use raw::{Key, Raw};
use renderer::platform::Backend;
use renderer::{CommitId, ObjectId, Revision, Tool, ToolName};
use serde_json::Value;
use shelf::{Shelf, Wakes};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch as news};
use tokio::task::JoinSet;

/// What is watched, and for whom.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The cluster, as headers name it.
    pub cluster: String,
    /// Name of the platform, with which its own objects of the cluster are marked.
    pub platform: String,
    /// Namespace of the platform's own objects.
    pub platform_namespace: String,
    /// [`Needs::Ingress`] or [`Needs::Gateway`], by the platform's kind of route.
    pub route: Needs,
    /// Namespace of the builds, and [`Needs::Tekton`] where they are PipelineRuns; none where images come from elsewhere.
    pub builds: Option<(String, Needs)>,
    /// How patient the watches are.
    pub pace: Pace,
}

impl Scope {
    /// The scope of a platform.
    #[must_use]
    pub fn of(cluster: &str, platform: &renderer::Platform) -> Self {
        let route = match platform.route {
            renderer::platform::Route::Ingress { .. } => Needs::Ingress,
            renderer::platform::Route::Gateway { .. } => Needs::Gateway,
        };
        Self {
            cluster: cluster.to_owned(),
            platform: platform.name.clone(),
            platform_namespace: platform.namespace.clone(),
            route,
            builds: platform.builds.as_ref().map(|builds| {
                let needs = match builds.backend {
                    Backend::Lifecycle(_) | Backend::Local => Needs::Always,
                    Backend::Tekton(_) => Needs::Tekton,
                };
                (builds.namespace(platform), needs)
            }),
            pace: Pace::default(),
        }
    }

    fn rows(&self) -> impl Iterator<Item = &'static planner::kinds::Kind> {
        let built = self.builds.as_ref().map(|(_, needs)| *needs);
        KINDS
            .iter()
            .filter(|row| row.is_watched())
            .filter(move |row| row.needs == Needs::Always || row.needs == self.route || Some(row.needs) == built)
    }
}

/// The label of a watch's counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByKind {
    /// Kind.
    pub kind: &'static str,
}

/// What the watches count. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Watches opened: the first time and again.
    pub opened: Family<ByKind, Counter>,
    /// Changes that a watch should have told and did not, found by a list; should stay zero.
    pub missed: Family<ByKind, Counter>,
}

/// Of whom something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Of this tool.
    Tool(&'a ToolName),
    /// Of the platform itself.
    Platform,
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(tool) => tool.fmt(f),
            Self::Platform => "the platform".fmt(f),
        }
    }
}

/// Told when something changed; must return at once.
pub type Wake = Box<dyn Fn(Whose<'_>) + Send + Sync>;

/// The watched cluster. Its watches end when it is dropped.
pub struct World {
    inner: Arc<Inner>,
    _watches: JoinSet<()>,
}

struct Inner {
    scope: Scope,
    shelves: Vec<Mutex<Shelf>>,
    /// What the last plan of each tool has found out.
    memos: Mutex<BTreeMap<ToolName, Memo>>,
    wake: Wake,
    counters: Counters,
    grounds: Grounds,
    /// Counts up whenever a kind is settled, lost or regained.
    turns: news::Sender<u64>,
    look_again: Notify,
}

impl World {
    /// Starts watching. Returns at once; [`World::synced`] says when there is something to plan with.
    #[must_use]
    pub fn start(client: &Client, scope: Scope, counters: &Counters, wake: Wake) -> Self {
        let shelves = scope.rows().map(|row| Mutex::new(Shelf::new(row, &scope.platform_namespace))).collect();
        let rows: Vec<_> = scope.rows().collect();
        let (turns, _) = news::channel(0);
        let (memos, grounds, look_again) = (Mutex::default(), Grounds::default(), Notify::new());
        let inner = Inner { scope, shelves, memos, wake, counters: counters.clone(), grounds, turns, look_again };
        let inner = Arc::new(inner);
        let mut watches = JoinSet::new();
        for (shelf, row) in rows.into_iter().enumerate() {
            watches.spawn(watch::Watch::new(client.clone(), row, shelf, inner.clone()).run());
        }
        Self { inner, _watches: watches }
    }

    /// Waits until every kind was listed once or is known to be a gap. Before that nothing may be planned.
    pub async fn synced(&self) {
        let mut turns = self.inner.turns.subscribe();
        while !self.is_synced() {
            if turns.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether every kind was listed once or is known to be a gap.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.inner.shelves.iter().all(|shelf| lock(shelf).is_settled())
    }

    /// Changes whenever a kind became a gap or ceased to be one: then every tool may have something to do.
    #[must_use]
    pub fn turns(&self) -> news::Receiver<u64> {
        self.inner.turns.subscribe()
    }

    /// Everything known of one tool. `images` is left empty: the registry is asked elsewhere.
    #[must_use]
    pub fn observed(&self, tool: &ToolName) -> Observed {
        let mut observed = Observed { cluster: self.inner.scope.cluster.clone(), ..Observed::default() };
        for shelf in &self.inner.shelves {
            let shelf = lock(shelf);
            if shelf.row.watched == Watched::Own {
                continue;
            }
            let known = shelf.of_tool(tool.as_str()).map(|(id, entry)| (id, &entry.stamp, &entry.json));
            assemble::add(&mut observed, shelf.row, known, shelf.gap());
        }
        assemble::finish(&mut observed, tool);
        if observed.secrets.is_some() {
            observed.sources.get_or_insert_default();
        }
        observed.untrodden = self.inner.grounds.is_untrodden(&tool.namespace(), &observed);
        observed.memo = lock(&self.inner.memos).get(tool).cloned().unwrap_or_default();
        observed
    }

    /// Keeps what a plan has found out, for the next.
    pub fn remember(&self, tool: &ToolName, memo: Memo) {
        let mut memos = lock(&self.inner.memos);
        if memo.is_empty() {
            memos.remove(tool)
        } else {
            memos.insert(tool.clone(), memo)
        };
    }

    /// Builds that are under way, by tool. Where they can't be read none is counted, and none is begun either.
    #[must_use]
    pub fn builds_under_way(&self) -> BTreeMap<ToolName, usize> {
        let mut count = BTreeMap::new();
        let Some((namespace, _)) = &self.inner.scope.builds else { return count };
        for shelf in self.inner.shelves.iter().map(lock) {
            let row = shelf.row;
            for (tool, json) in shelf.in_namespace(namespace).filter(|_| is_build(row.kind)) {
                let runs = raw::whole(row, &json.bytes()).is_ok_and(|live| !BuildState::of(&live).is_over());
                if let (true, Ok(tool)) = (runs, ToolName::new(tool)) {
                    *count.entry(tool).or_default() += 1;
                }
            }
        }
        count
    }

    /// Names of all Tools in the cluster.
    #[must_use]
    pub fn tools(&self) -> BTreeSet<ToolName> {
        let shelf = self.shelf("toolforge.org", "Tool");
        let names = shelf.iter().flat_map(|shelf| shelf.tools().map(str::to_owned).collect::<Vec<_>>());
        names.filter_map(|name| ToolName::new(name).ok()).collect()
    }

    /// A Tool as it is in the cluster.
    #[must_use]
    pub fn tool(&self, name: &ToolName) -> Option<Value> {
        let shelf = self.shelf("toolforge.org", "Tool")?;
        let (_, entry) = shelf.of_tool(name.as_str()).next()?;
        raw::whole(shelf.row, &entry.json.bytes()).ok()
    }

    /// What was stored of a commit of this tool, if it was read where the tool's files are now.
    #[must_use]
    pub fn stored(&self, tool: &Tool, commit: &CommitId) -> Option<Revision> {
        let shelf = self.shelf("apps", "ControllerRevision")?;
        let mut texts = shelf.of_tool(tool.name.as_str()).map(|(_, entry)| entry.json.bytes());
        texts.find_map(|json| {
            // Most are about other commits, and need not be taken apart.
            std::str::from_utf8(&json).ok().filter(|text| text.contains(commit.as_str()))?;
            StoredRevision::from_json(tool.name.as_str(), &json).ok()?.as_read(tool, commit)
        })
    }

    /// `spec.pin` of a Tool in the cluster.
    #[must_use]
    pub fn pin(&self, name: &ToolName) -> Option<Value> {
        self.tool(name)?.pointer_mut("/spec/pin").map(Value::take)
    }

    /// Takes in the server's answer to a write of ours, so that the next pass does not plan it again while the watch
    /// is on its way. What the watch tells always wins.
    pub fn learn(&self, id: &ObjectId, answer: &Answer) {
        self.inner.grounds.learn(id, answer);
        let Some(mut shelf) = self.shelf(&id.group, &id.kind) else { return };
        match answer {
            Answer::Object(json) | Answer::Made(json) => {
                let text = std::str::from_utf8(json).ok();
                if let Some(raw) = text.and_then(|text| Raw::read(shelf.row, text).ok()) {
                    shelf.learn(raw);
                }
            }
            Answer::Deleted { uid } => shelf.forget(&Key::of(id), uid),
            Answer::Taken => {}
        }
    }

    /// Makes every kind that is a gap try again at once, as after creating its CRD.
    pub fn look_again(&self) {
        self.inner.look_again.notify_waiters();
    }

    /// How many objects are kept, and the bytes their texts are kept in.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let sizes = self.inner.shelves.iter().map(|shelf| lock(shelf).size());
        sizes.fold((0, 0), |(count, bytes), (more, texts)| (count + more, bytes + texts))
    }

    /// How many objects are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.shelves.iter().map(|shelf| lock(shelf).len()).sum()
    }

    fn shelf(&self, group: &str, kind: &str) -> Option<MutexGuard<'_, Shelf>> {
        let guards = self.inner.shelves.iter().map(lock);
        guards.into_iter().find(|shelf| shelf.row.group == group && shelf.row.kind == kind)
    }
}

impl Inner {
    /// Changes a shelf, then wakes whom it names; no lock is held meanwhile.
    fn update(&self, shelf: usize, change: impl FnOnce(&mut Shelf) -> Wakes) {
        self.update_counting(shelf, |shelf| (change(shelf), 0));
    }

    fn update_counting(&self, shelf: usize, change: impl FnOnce(&mut Shelf) -> (Wakes, usize)) -> u64 {
        let Some(shelf) = self.shelves.get(shelf) else { return 0 };
        let (wakes, count, news) = {
            let mut shelf = lock(shelf);
            let before = shelf.is_settled();
            let (wakes, count) = change(&mut shelf);
            (wakes, count, before != shelf.is_settled())
        };
        for name in wakes {
            if name.is_empty() {
                // What the first list shows was written or looked at a moment ago.
                (!news).then(|| (self.wake)(Whose::Platform));
            } else if let Ok(tool) = ToolName::new(name) {
                (self.wake)(Whose::Tool(&tool));
            } // A namespace called `tool-` and something that is no tool's name is nobody's.
        }
        if news {
            self.turn();
        }
        count as u64
    }

    /// Makes an object small that is to be filed later.
    fn pack(&self, shelf: usize, raw: Raw) -> Raw {
        match self.shelves.get(shelf) {
            Some(shelf) => lock(shelf).pack(raw),
            None => raw,
        }
    }

    fn is_listed(&self, shelf: usize) -> bool {
        self.shelves.get(shelf).is_some_and(|shelf| lock(shelf).is_listed())
    }

    fn lose(&self, shelf: usize, why: String) {
        if let Some(shelf) = self.shelves.get(shelf) {
            let (news, row) = {
                let mut shelf = lock(shelf);
                (shelf.lose(why.clone()), shelf.row)
            };
            if news {
                tracing::warn!(kind = row.kind, why, "kind is not observed");
                self.turn();
            } else {
                tracing::debug!(kind = row.kind, why, "kind is still not observed");
            }
        }
    }

    fn regain(&self, shelf: usize) {
        if let Some(shelf) = self.shelves.get(shelf) {
            let (news, row) = {
                let mut shelf = lock(shelf);
                (shelf.regain(), shelf.row)
            };
            if news {
                tracing::info!(kind = row.kind, "kind is observed again");
                self.turn();
            }
        }
    }

    fn turn(&self) {
        self.turns.send_modify(|turn| *turn = turn.wrapping_add(1));
    }
}

/// A panic elsewhere leaves what is kept as consistent as any: each change is one call.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
