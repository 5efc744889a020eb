//! The state on disk: what was acknowledged is there, whatever happens to the process or to the last record.

use jiff::Timestamp;
use sandbox::{OpenError, Sandbox};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};

fn maps(sandbox: &Sandbox) -> Api<ConfigMap> {
    Api::default_namespaced(kube::Client::new(sandbox.service(), "default"))
}

async fn apply(maps: &Api<ConfigMap>, name: &str, value: &str) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": value}});
    maps.patch(name, &PatchParams::apply("test"), &Patch::Apply(&map)).await.expect("applied");
}

/// Names and values, and the version that the list stands at.
async fn state(sandbox: &Sandbox) -> (Vec<(String, String)>, u64) {
    let list = maps(sandbox).list(&ListParams::default()).await.expect("listed");
    let version = list.metadata.resource_version.expect("a version").parse().expect("a number");
    let pairs = list.items.into_iter().map(|map| {
        let value = map.data.and_then(|data| data.get("x").cloned()).unwrap_or_default();
        (map.metadata.name.unwrap_or_default(), value)
    });
    (pairs.collect(), version)
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_reopened_sandbox_is_where_it_was_and_its_versions_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let sandbox = Sandbox::open(dir.path()).expect("opened");
    apply(&maps(&sandbox), "a", "1").await;
    apply(&maps(&sandbox), "b", "1").await;
    maps(&sandbox).delete("b", &DeleteParams::default()).await.expect("deleted");
    let (before, version) = state(&sandbox).await;
    let uid = maps(&sandbox).get("a").await.expect("there").metadata.uid;
    drop(sandbox);
    let sandbox = Sandbox::open(dir.path()).expect("opened again");
    let (after, version_after) = state(&sandbox).await;
    assert_eq!(before, after);
    assert!(version_after >= version, "{version_after} {version}");
    assert_eq!(maps(&sandbox).get("a").await.expect("there").metadata.uid, uid);
}

#[tokio::test]
async fn a_second_process_is_told_which_one_has_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut first = Sandbox::open(dir.path()).expect("opened");
    let second = Sandbox::open(dir.path()).expect_err("taken");
    assert!(matches!(second, OpenError::Taken(_)));
    assert!(second.to_string().ends_with(&format!("is in use by process {}", std::process::id())), "{second}");
    first.stop();
    Sandbox::open(dir.path()).expect("free again");
}

#[tokio::test]
async fn a_record_torn_at_any_byte_is_cut_off_and_nothing_before_it_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("state.log");
    let sandbox = Sandbox::open(dir.path()).expect("opened");
    apply(&maps(&sandbox), "a", "1").await;
    settle().await;
    let whole = fs::metadata(&log).expect("a log").len();
    apply(&maps(&sandbox), "a", "2").await;
    drop(sandbox);
    let bytes = fs::read(&log).expect("a log");
    let last = usize::try_from(whole).expect("a small log");
    assert!(bytes.len() > last + 100);
    for cut in last..bytes.len() {
        fs::write(&log, &bytes[..cut]).expect("written");
        let sandbox = Sandbox::open(dir.path()).expect("a torn tail is no error");
        assert_eq!(state(&sandbox).await.0, pairs(&[("a", "1")]), "cut at {cut}");
    }
    fs::write(&log, &bytes).expect("written");
    let sandbox = Sandbox::open(dir.path()).expect("opened");
    assert_eq!(state(&sandbox).await.0, pairs(&[("a", "2")]));
}

#[tokio::test]
async fn damage_in_the_middle_is_told_and_not_repaired() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("state.log");
    let sandbox = Sandbox::open(dir.path()).expect("opened");
    apply(&maps(&sandbox), "a", "1").await;
    apply(&maps(&sandbox), "b", "1").await;
    drop(sandbox);
    let good = fs::read(&log).expect("a log");
    let mut bytes = good.clone();
    bytes[40] ^= 1;
    fs::write(&log, &bytes).expect("written");
    let error = Sandbox::open(dir.path()).expect_err("damaged").to_string();
    assert!(error.contains("damaged at byte 0"), "{error}");
    assert_eq!(fs::read(&log).expect("a log"), bytes, "nothing was changed");
    fs::write(&log, &good).expect("written");
    Sandbox::open(dir.path()).expect("whole again");
}

#[tokio::test]
async fn a_long_history_is_rewritten_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let sandbox = Sandbox::open(dir.path()).expect("opened");
    let filler = "x".repeat(200_000);
    for round in 0..60 {
        apply(&maps(&sandbox), "a", &format!("{round}{filler}")).await;
    }
    let bytes = fs::metadata(dir.path().join("state.log")).expect("a log").len();
    assert!(bytes < 6_000_000, "{bytes}");
    let before = state(&sandbox).await;
    drop(sandbox);
    let sandbox = Sandbox::open(dir.path()).expect("opened again");
    assert!(state(&sandbox).await.0 == before.0);
}

#[tokio::test]
async fn nobody_else_can_read_the_state_or_the_kubeconfig() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("new");
    let sandbox = Sandbox::open(&dir).expect("opened");
    apply(&maps(&sandbox), "a", "1").await;
    let listening = sandbox.listen(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("state.log")), 0o600);
    assert_eq!(mode(&listening.kubeconfig), 0o600);
    assert!(sandbox.listen(([0, 0, 0, 0], 0).into()).await.is_err(), "loopback only");
}

/// Controllers write a moment after a request.
async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
}

/// The child of the test below: it writes until it is killed, and says what was acknowledged.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os("SANDBOX_TEST_DIR") else {
        return;
    };
    let sandbox = Sandbox::open(Path::new(&dir)).expect("opened");
    let maps = maps(&sandbox);
    for round in 0.. {
        let name = format!("m{}", round % 7);
        apply(&maps, &name, &round.to_string()).await;
        use std::io::Write as _;
        writeln!(std::io::stdout(), "\nacknowledged {name} {round}").expect("the parent reads");
    }
}

#[tokio::test]
async fn a_process_killed_while_it_writes_keeps_all_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    for kill in 0..5 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
            .env("SANDBOX_TEST_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut acknowledged = std::collections::BTreeMap::new();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        while acknowledged.values().max().copied().unwrap_or(0) < 20 + kill * 13 {
            note(&mut acknowledged, &lines.next().expect("a line").expect("text"));
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        for line in lines.map_while(Result::ok) {
            note(&mut acknowledged, &line);
        }
        let sandbox = Sandbox::open(dir.path()).expect("a killed process leaves a readable state");
        let live: std::collections::BTreeMap<String, u64> =
            state(&sandbox).await.0.into_iter().map(|(name, value)| (name, value.parse().expect("a number"))).collect();
        for (name, round) in &acknowledged {
            assert!(live.get(name) >= Some(round), "{name} {round}: {live:?}");
        }
    }
}

fn note(acknowledged: &mut std::collections::BTreeMap<String, u64>, line: &str) {
    let mut words = line.split(' ');
    if words.next() == Some("acknowledged")
        && let (Some(name), Some(Ok(round))) = (words.next(), words.next().map(str::parse))
    {
        acknowledged.insert(name.to_owned(), round);
    }
}

mod any_sequence {
    use super::*;
    use proptest::prelude::*;
    use sandbox::call::{Call, PatchKind, Verb, View};
    use sandbox::cluster::Cluster;
    use sandbox::journal::Journal;
    use sandbox::resource::Resource;
    use sandbox::route::{Part, Query, Target};
    use sandbox::store::Store;

    #[derive(Debug, Clone)]
    enum Step {
        Apply(u8, u8),
        Delete(u8, bool),
        Own(u8, u8),
        Controllers,
        Rewrite,
        Reopen,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..5_u8, 0..4_u8).prop_map(|(name, value)| Step::Apply(name, value)),
            2 => (0..5_u8, any::<bool>()).prop_map(|(name, foreground)| Step::Delete(name, foreground)),
            1 => (0..5_u8, 0..5_u8).prop_map(|(name, owner)| Step::Own(name, owner)),
            2 => Just(Step::Controllers),
            1 => Just(Step::Rewrite),
            1 => Just(Step::Reopen),
        ];
        prop::collection::vec(step, 1..40)
    }

    fn call(verb: Verb, name: String, body: Value, now: Timestamp) -> Call {
        let resource = Resource::by_kind("ConfigMap").expect("served");
        let target = Target { resource, namespace: Some("default".into()), name: Some(name), part: Part::Whole };
        let query = Query { manager: Some("test".into()), force: true, ..Query::default() };
        Call { verb, target, query, view: View::Whole, agent: "test".into(), body, now }
    }

    fn request(cluster: &Cluster, step: &Step, now: Timestamp) -> Option<Call> {
        let name = |name: &u8| format!("m{name}");
        Some(match step {
            Step::Apply(at, value) => {
                let body = json!({"metadata": {"name": name(at)}, "data": {"x": value.to_string()}});
                call(Verb::Patch(PatchKind::Apply), name(at), body, now)
            }
            Step::Delete(at, foreground) => {
                let policy = if *foreground { "Foreground" } else { "Background" };
                call(Verb::Delete, name(at), json!({"propagationPolicy": policy}), now)
            }
            Step::Own(at, owner) => {
                let owner_object = cluster.object("ConfigMap", "default", &name(owner))?;
                let uid = sandbox::value::uid(&owner_object);
                let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": name(owner), "uid": uid}]);
                let body = json!({"metadata": {"ownerReferences": reference}});
                call(Verb::Patch(PatchKind::Merge), name(at), body, now)
            }
            Step::Controllers | Step::Rewrite | Step::Reopen => return None,
        })
    }

    fn dump(store: &Store) -> (u64, Vec<Value>) {
        let all = store.all().map(|entry| json!([entry.key.kind, entry.revision, entry.object()]));
        (store.revision(), all.collect())
    }

    fn reopened(dir: &Path) -> (Store, Journal) {
        let mut store = Store::default();
        let journal = Journal::open(dir, &mut store).expect("readable");
        (store, journal)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn of_writes_is_the_same_after_a_restart(steps in steps()) {
            let dir = tempfile::tempdir().expect("a directory");
            let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
            let mut cluster = Cluster::new(1);
            let (_, mut journal) = reopened(dir.path());
            cluster.bootstrap(now);
            for step in &steps {
                if let Some(call) = request(&cluster, step, now) {
                    cluster.answer(&call);
                } else if matches!(step, Step::Controllers) {
                    cluster.settle(now);
                }
                let changes = cluster.take_changes();
                if !changes.is_empty() {
                    drop(journal.append(&changes, &cluster.store));
                }
                match step {
                    Step::Rewrite => journal.rewrite(&cluster.store).expect("written"),
                    Step::Reopen => journal = reopened(dir.path()).1,
                    _ => {}
                }
            }
            let (store, _) = reopened(dir.path());
            prop_assert_eq!(dump(&cluster.store), dump(&store));
        }
    }
}
