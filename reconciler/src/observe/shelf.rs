//! Everything known of one kind, filed by tool. Pure: the watch puts in what it reads, and gets back whom to wake.

use super::raw::{self, Key, Raw};
use super::text::{Packer, Text};
use planner::Stamp;
use planner::kinds::Kind;
use renderer::ObjectId;
use std::collections::{BTreeMap, BTreeSet};

/// One kind's objects.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) row: &'static Kind,
    platform_namespace: Box<str>,
    /// By tool, each list in the order of its keys. No maps: most have one entry, and a map's node has room for eleven.
    tools: BTreeMap<Box<str>, Vec<(Key, Entry)>>,
    /// Which tool an object was filed under, so that a moved mark leaves nothing behind.
    filed: BTreeMap<Key, Box<str>>,
    /// Up to which resourceVersion the watch has told us everything.
    position: u64,
    /// Why nothing can be said about this kind, if so.
    gap: Option<String>,
    /// Whether it was ever listed whole.
    listed: bool,
    packer: Packer,
}

/// One object.
#[derive(Debug)]
pub(super) struct Entry {
    version: u64,
    pub(super) stamp: Stamp,
    pub(super) json: Text,
}

/// So many objects of a kind most tools have at most.
const FEW: usize = 16;

/// Tools to wake.
pub(super) type Wakes = BTreeSet<Box<str>>;

impl Shelf {
    pub(super) fn new(row: &'static Kind, platform_namespace: &str) -> Self {
        Self {
            row,
            platform_namespace: platform_namespace.into(),
            tools: BTreeMap::new(),
            filed: BTreeMap::new(),
            position: 0,
            gap: None,
            listed: false,
            packer: Packer::default(),
        }
    }

    pub(super) fn gap(&self) -> Option<&str> {
        self.gap.as_deref()
    }

    /// Listed whole at least once, or known to be out of sight.
    pub(super) fn is_settled(&self) -> bool {
        self.listed || self.gap.is_some()
    }

    /// Listed whole at least once.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Notes why nothing can be said; true if that is news. What was known is kept, and the gap is said with it.
    pub(super) fn lose(&mut self, why: String) -> bool {
        let news = self.gap.is_none();
        self.gap = Some(why);
        news
    }

    /// The watch is in step again; true if that is news.
    pub(super) fn regain(&mut self) -> bool {
        self.gap.take().is_some()
    }

    /// Says up to which version everything was told.
    pub(super) fn advance(&mut self, version: &str) {
        self.position = self.position.max(number(version));
    }

    /// The same object, packed as this shelf will keep it.
    pub(super) fn pack(&mut self, raw: Raw) -> Raw {
        Raw { json: self.packer.pack(raw.json), ..raw }
    }

    /// An object was added or changed.
    pub(super) fn put(&mut self, raw: Raw) -> Wakes {
        self.advance(&raw.version);
        self.file(raw)
    }

    /// An object is gone, or has left our selection.
    pub(super) fn remove(&mut self, raw: &Raw) -> Wakes {
        self.advance(&raw.version);
        // The end of a predecessor of the same name, which we have replaced since.
        if self.version_of(&raw.key) > number(&raw.version) {
            return Wakes::new();
        }
        self.take(&raw.key).into_iter().collect()
    }

    /// The whole truth at `version`. Returns whom to wake, and how many differences the watch should have told us of:
    /// those in objects as they were at our position already, and, where the list is exactly of our position, those that
    /// are gone.
    pub(super) fn replace(&mut self, all: Vec<Raw>, version: &str) -> (Wakes, usize) {
        let (was_listed, position, version) = (self.listed, self.position, number(version));
        // A list is believed even where its versions are lower: the server may have been restored from a backup. But one
        // that is no older than our position says nothing of our own writes since.
        let restored = version < position;
        let ahead = |entry: &Entry| !restored && entry.version > version;
        let present: BTreeSet<&Key> = all.iter().map(|raw| &raw.key).collect();
        let is_gone = |key: &&Key| !present.contains(key) && !self.entry(key).is_some_and(ahead);
        let gone: Vec<Key> = self.filed.keys().filter(is_gone).cloned().collect();
        let mut missed = if version == position { gone.len() } else { 0 };
        let mut wakes: Wakes = gone.iter().filter_map(|key| self.take(key)).collect();
        for raw in all {
            let at = number(&raw.version);
            if restored && self.version_of(&raw.key) > at {
                wakes.extend(self.take(&raw.key));
            }
            let stale = self.entry(&raw.key).is_some_and(|known| known.version < at);
            let changed = self.file(raw);
            missed += usize::from(at <= position && (stale || !changed.is_empty()));
            wakes.extend(changed);
        }
        self.position = version;
        self.listed = true;
        (wakes, if was_listed && !restored { missed } else { 0 })
    }

    /// What the server answered to our own write, unless the watch has told us as much or more already, or never will.
    pub(super) fn learn(&mut self, raw: Raw) {
        let version = number(&raw.version);
        let selected = !self.row.is_marked() || raw.mark.is_some();
        if selected && self.listed && version > self.position && version > self.version_of(&raw.key) {
            self.file(raw);
        }
    }

    /// Our own delete succeeded: the object with this uid will never come back.
    pub(super) fn forget(&mut self, key: &Key, uid: &str) {
        if self.entry(key).is_some_and(|entry| &*entry.stamp.uid == uid) {
            self.take(key);
        }
    }

    /// In which version an object is known.
    pub(super) fn version_told(&self, key: &Key) -> Option<u64> {
        self.entry(key).map(|entry| entry.version)
    }

    /// A tool's objects.
    pub(super) fn of_tool(&self, tool: &str) -> impl Iterator<Item = (ObjectId, &Entry)> {
        let objects = self.tools.get(tool).into_iter().flatten();
        objects.map(|(key, entry)| (key.id(self.row), entry))
    }

    /// Names of all tools with an object here.
    pub(super) fn tools(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(|name| &**name)
    }

    /// What stands in one namespace, each with the tool it belongs to.
    pub(super) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = (&str, &Text)> {
        let all =
            self.tools.iter().flat_map(|(tool, entries)| entries.iter().map(|(key, entry)| (&**tool, key, entry)));
        let here = all.filter(move |(_, key, _)| key.namespace.as_deref() == Some(namespace));
        here.map(|(tool, _, entry)| (tool, &entry.json))
    }

    /// How many objects are kept, and the bytes their texts are kept in.
    pub(super) fn size(&self) -> (usize, usize) {
        let texts = self.tools.values().flatten().map(|(_, entry)| entry.json.kept_bytes());
        (self.filed.len(), texts.sum())
    }

    /// How many objects are kept.
    pub(super) fn len(&self) -> usize {
        self.filed.len()
    }

    fn entry(&self, key: &Key) -> Option<&Entry> {
        let objects = self.tools.get(self.filed.get(key)?)?;
        objects.get(place(objects, key).ok()?).map(|(_, entry)| entry)
    }

    fn version_of(&self, key: &Key) -> u64 {
        self.entry(key).map_or(0, |entry| entry.version)
    }

    fn file(&mut self, raw: Raw) -> Wakes {
        let version = number(&raw.version);
        let known = self.entry(&raw.key);
        // A watch resumed from an older version repeats what we know already.
        if known.is_some_and(|known| known.version > version) {
            return Wakes::new();
        }
        let tool = raw.tool(self.row, &self.platform_namespace).map(Box::<str>::from);
        let own = tool.as_deref().is_some_and(str::is_empty);
        let moved = self.filed.get(&raw.key) != tool.as_ref();
        let changed = known.is_none_or(|known| raw::differ(self.row, own, &known.json.bytes(), &raw.json.bytes()));
        let mut wakes = Wakes::new();
        if moved {
            wakes.extend(self.take(&raw.key));
        }
        let Some(tool) = tool else { return wakes };
        if moved || changed {
            wakes.insert(tool.clone());
        }
        let entry = Entry { version, stamp: raw.stamp, json: self.packer.pack(raw.json) };
        let objects = self.tools.entry(tool.clone()).or_default();
        match place(objects, &raw.key) {
            Ok(at) => objects[at].1 = entry,
            Err(at) => {
                // Room for one, not for four; but nobody's thousand objects are moved a thousand times.
                if objects.len() < FEW {
                    objects.reserve_exact(1);
                }
                objects.insert(at, (raw.key.clone(), entry));
            }
        }
        self.filed.insert(raw.key, tool);
        wakes
    }

    fn take(&mut self, key: &Key) -> Option<Box<str>> {
        let tool = self.filed.remove(key)?;
        if let Some(objects) = self.tools.get_mut(&tool) {
            if let Ok(at) = place(objects, key) {
                objects.remove(at);
            }
            if objects.is_empty() {
                self.tools.remove(&tool);
            }
        }
        Some(tool)
    }
}

/// Where a key is, or where it would be.
fn place(objects: &[(Key, Entry)], key: &Key) -> Result<usize, usize> {
    objects.binary_search_by(|(known, _)| known.cmp(key))
}

/// Versions of one kind are ordered numbers (Kubernetes 1.35 promises it). One that is no number orders before all, so
/// that it is always believed.
fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(kind: &str) -> &'static Kind {
        planner::kinds::KINDS.iter().find(|row| row.kind == kind).expect("a row")
    }

    fn raw(kind: &str, metadata: Value, spec: Value) -> Raw {
        let text = json!({"metadata": metadata, "spec": spec}).to_string();
        Raw::read(row(kind), &text).expect("an object")
    }

    fn deployment(version: &str, replicas: u32) -> Raw {
        let metadata = json!({"name": "web", "namespace": "tool-a", "resourceVersion": version, "uid": "u1"});
        raw("Deployment", metadata, json!({"replicas": replicas}))
    }

    fn woken(wakes: &Wakes) -> Vec<&str> {
        wakes.iter().map(|tool| &**tool).collect()
    }

    #[test]
    fn an_object_belongs_to_the_tool_of_its_namespace_and_elsewhere_to_its_mark() {
        let cases = [
            ("Deployment", json!({"namespace": "tool-a"}), Some("a")),
            ("Deployment", json!({"namespace": "tool-a", "labels": {"toolforge.org/tool": "b"}}), Some("a")),
            ("Deployment", json!({"namespace": "default", "labels": {"toolforge.org/tool": "b"}}), None),
            ("ControllerRevision", json!({"namespace": "toolforge", "labels": {"toolforge.org/tool": "b"}}), Some("b")),
            ("ControllerRevision", json!({"namespace": "toolforge"}), None),
            ("Namespace", json!({"name": "tool-c", "labels": {"toolforge.org/tool": "b"}}), Some("c")),
            ("Namespace", json!({"name": "tool-"}), None),
            ("Secret", json!({"namespace": "toolforge", "name": "toolsdb.a"}), Some("a")),
            ("Secret", json!({"namespace": "toolforge", "name": "toolforge-keys"}), None),
            ("Secret", json!({"namespace": "elsewhere", "name": "toolsdb.a"}), None),
            ("Tool", json!({"name": "d"}), Some("d")),
        ];
        for (kind, mut metadata, expected) in cases {
            let fields = metadata.as_object_mut().expect("an object");
            fields.entry("name").or_insert("x".into());
            fields.insert("resourceVersion".into(), "1".into());
            let raw = raw(kind, metadata, json!({}));
            assert_eq!(raw.tool(row(kind), "toolforge"), expected, "{kind} {raw:?}");
        }
    }

    #[test]
    fn a_change_wakes_its_tool_and_a_mere_new_version_does_not() {
        let mut shelf = Shelf::new(row("Deployment"), "toolforge");
        assert_eq!(woken(&shelf.put(deployment("1", 2))), ["a"]);
        assert_eq!(woken(&shelf.put(deployment("2", 2))), [""; 0]);
        assert_eq!(woken(&shelf.put(deployment("3", 5))), ["a"]);
        assert_eq!(woken(&shelf.remove(&deployment("4", 5))), ["a"]);
        assert_eq!(woken(&shelf.remove(&deployment("4", 5))), [""; 0]);
    }

    #[test]
    fn a_new_version_of_a_tools_credential_wakes_it_and_nothing_of_it_is_kept() {
        let mut shelf = Shelf::new(row("Secret"), "toolforge");
        let of = |version: &str| {
            let text = json!({
                "metadata": {"name": "toolsdb.a", "namespace": "toolforge", "resourceVersion": version, "uid": "u1"},
                "data": {"user": "Y2FuYXJ5"},
            });
            Raw::read(row("Secret"), &text.to_string()).expect("a Secret")
        };
        for version in ["1", "2"] {
            assert_eq!(woken(&shelf.put(of(version))), ["a"]);
        }
        let kept = shelf.of_tool("a").next().expect("kept").1.json.bytes().to_vec();
        assert!(!String::from_utf8_lossy(&kept).contains("Y2FuYXJ5"));
    }

    #[test]
    fn a_repeated_older_event_does_not_bring_back_the_past() {
        let mut shelf = Shelf::new(row("Deployment"), "toolforge");
        shelf.put(deployment("9", 5));
        assert_eq!(woken(&shelf.put(deployment("8", 2))), [""; 0]);
        let kept = shelf.of_tool("a").next().expect("kept").1;
        assert_eq!(raw::whole(row("Deployment"), &kept.json.bytes()).expect("JSON")["spec"]["replicas"], 5);
    }

    #[test]
    fn a_moved_mark_wakes_both_tools_and_leaves_nothing_behind() {
        let mut shelf = Shelf::new(row("ControllerRevision"), "toolforge");
        let of = |tool: &str, version: &str| {
            let labels = json!({"toolforge.org/tool": tool});
            let metadata = json!({"name": "r", "namespace": "toolforge", "resourceVersion": version, "labels": labels});
            raw("ControllerRevision", metadata, json!({}))
        };
        shelf.put(of("a", "1"));
        assert_eq!(woken(&shelf.put(of("b", "2"))), ["a", "b"]);
        assert_eq!(shelf.of_tool("a").count(), 0);
        assert_eq!(shelf.of_tool("b").count(), 1);
        assert_eq!(shelf.tools().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_new_list_tells_additions_changes_and_absences() {
        let mut shelf = Shelf::new(row("Deployment"), "toolforge");
        let named = |tool: &str, version: &str, replicas: u32| {
            let metadata = json!({"name": "web", "namespace": format!("tool-{tool}"), "resourceVersion": version});
            raw("Deployment", metadata, json!({"replicas": replicas}))
        };
        let (wakes, _) =
            shelf.replace(vec![named("same", "1", 1), named("changed", "2", 1), named("gone", "3", 1)], "3");
        assert_eq!(woken(&wakes), ["changed", "gone", "same"]);
        let (wakes, missed) =
            shelf.replace(vec![named("same", "1", 1), named("changed", "5", 2), named("new", "6", 1)], "6");
        assert_eq!(woken(&wakes), ["changed", "gone", "new"]);
        assert_eq!(missed, 0, "all of it came after our position");
        assert_eq!(shelf.size().0, 3);
    }

    #[test]
    fn missed_is_what_the_watch_should_have_told_up_to_its_position() {
        let named = |tool: &str, version: &str, replicas: u32| {
            let metadata = json!({"name": "web", "namespace": format!("tool-{tool}"), "resourceVersion": version});
            raw("Deployment", metadata, json!({"replicas": replicas}))
        };
        let known = || {
            let mut shelf = Shelf::new(row("Deployment"), "toolforge");
            let (_, missed) = shelf.replace(["same", "stale", "gone"].map(|tool| named(tool, "3", 1)).into(), "3");
            assert_eq!(missed, 0, "there was no watch that could have told");
            shelf.advance("10");
            shelf
        };
        let lists = [
            ("exactly ours", "10", vec![named("same", "3", 1), named("stale", "9", 2)], 2),
            ("a version alone", "10", vec![named("same", "4", 1), named("stale", "3", 1), named("gone", "3", 1)], 1),
            ("newer", "12", vec![named("same", "3", 1), named("stale", "9", 2), named("new", "11", 1)], 1),
            ("restored from a backup", "2", vec![named("same", "1", 1)], 0),
        ];
        for (what, version, list, expected) in lists {
            let mut shelf = known();
            let count = list.len();
            assert_eq!(shelf.replace(list, version).1, expected, "{what}");
            assert_eq!(shelf.size().0, count, "{what}");
        }
    }

    #[test]
    fn a_comparing_list_takes_back_nothing_that_we_learned_ahead_of_the_watch() {
        let mut shelf = Shelf::new(row("Deployment"), "toolforge");
        let marked = |name: &str, version, replicas| {
            let mut raw = Raw { mark: Some("a".into()), ..deployment(version, replicas) };
            raw.key.name = name.into();
            raw
        };
        shelf.replace(vec![marked("web", "5", 1)], "5");
        shelf.learn(marked("web", "7", 3));
        shelf.learn(marked("new", "8", 1));
        let (wakes, missed) = shelf.replace(vec![marked("web", "5", 1)], "5");
        assert_eq!((woken(&wakes), missed), (Vec::new(), 0));
        assert_eq!((shelf.version_of(&marked("web", "7", 3).key), shelf.size().0), (7, 2));
    }

    #[test]
    fn an_answer_to_our_own_write_is_learned_only_while_the_watch_lags_behind_it() {
        let mut shelf = Shelf::new(row("Deployment"), "toolforge");
        let marked = |version, replicas| Raw { mark: Some("a".into()), ..deployment(version, replicas) };
        shelf.learn(marked("4", 1));
        assert_eq!(shelf.size().0, 0, "before the first list nothing is known to be complete");
        shelf.replace(vec![marked("5", 1)], "5");
        shelf.learn(marked("7", 3));
        let key = marked("7", 3).key;
        assert_eq!(shelf.version_of(&key), 7);
        shelf.learn(deployment("8", 3));
        assert_eq!(shelf.version_of(&key), 7, "the watch would never tell of the end of what it does not select");
        shelf.remove(&marked("6", 3));
        assert_eq!(shelf.version_of(&key), 7, "that was the end of a predecessor");
        shelf.remove(&marked("9", 3));
        shelf.learn(marked("8", 3));
        assert_eq!(shelf.size().0, 0, "the watch has already told of its end");
    }

    #[test]
    fn many_objects_of_a_tool_are_kept_in_order_and_each_can_go() {
        let mut shelf = Shelf::new(row("Deployment"), "toolforge");
        let named = |n: usize, version: &str| {
            let mut raw = deployment(version, u32::try_from(n).expect("small"));
            raw.key.name = format!("web-{n:02}").into();
            raw
        };
        // 7 and 40 have no common divisor: all forty, in disorder.
        (0..40).map(|n| n * 7 % 40).for_each(|n| drop(shelf.put(named(n, "5"))));
        shelf.put(named(17, "6"));
        let names = |shelf: &Shelf| shelf.of_tool("a").map(|(id, _)| id.name).collect::<Vec<_>>();
        let expected: Vec<_> = (0..40).map(|n| format!("web-{n:02}")).collect();
        assert_eq!(names(&shelf), expected);
        assert_eq!((shelf.version_of(&named(17, "6").key), shelf.version_of(&named(18, "5").key)), (6, 5));
        (0..40).map(|n| n * 11 % 40).filter(|n| n % 2 == 0).for_each(|n| drop(shelf.remove(&named(n, "7"))));
        assert_eq!(names(&shelf), expected.into_iter().skip(1).step_by(2).collect::<Vec<_>>());
        (0..40).for_each(|n| drop(shelf.remove(&named(n, "8"))));
        assert_eq!((shelf.size().0, shelf.tools().count()), (0, 0));
    }

    #[test]
    fn a_delete_of_ours_is_forgotten_only_under_its_uid() {
        let mut shelf = Shelf::new(row("Deployment"), "toolforge");
        shelf.put(deployment("1", 1));
        let key = deployment("1", 1).key;
        shelf.forget(&key, "another");
        assert_eq!(shelf.size().0, 1);
        shelf.forget(&key, "u1");
        assert_eq!(shelf.size().0, 0);
    }

    #[test]
    fn a_secret_leaves_only_its_name() {
        let text = r#"{"metadata":{"name":"s","namespace":"tool-a","resourceVersion":"1"},"data":{"k":"c2VjcmV0"}}"#;
        let raw = Raw::read(row("Secret"), text).expect("an object");
        assert!(raw.json.bytes().is_empty());
    }

    #[test]
    fn a_secret_of_ours_leaves_its_metadata_and_no_value() {
        let text = r#"{"metadata":{"name":"s","namespace":"tool-a","resourceVersion":"1","labels":{"toolforge.org/tool":"a"}},"data":{"k":"c2VjcmV0"}}"#;
        let raw = Raw::read(row("Secret"), text).expect("an object");
        let kept = String::from_utf8(raw.json.bytes().to_vec()).expect("text");
        assert!(kept.contains("toolforge.org/tool") && !kept.contains("c2VjcmV0"), "{kept}");
    }
}
