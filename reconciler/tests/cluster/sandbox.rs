//! The same watches on the sandbox: it must be a server like any other.

use crate::fake::{deployment, scope, tool};
use planner::kinds::{KINDS, Kind, Needs};
use planner::observed::{Observed, Seen};
use reconciler::cluster::call::{self, CallError};
use reconciler::cluster::door::{Requests, Verb};
use reconciler::cluster::{Cluster, SANDBOX_TITLE, address};
use reconciler::observe::{Counters, Scope, Whose, World, once};
use renderer::ObjectId;
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Here {
    sandbox: Sandbox,
    cluster: Cluster,
    requests: Requests,
    world: World,
    counters: Counters,
    woken: Arc<Mutex<Vec<String>>>,
}

fn scope_of(route: Needs) -> Scope {
    Scope { route, ..scope() }
}

async fn here(route: Needs) -> Here {
    let sandbox = Sandbox::in_memory();
    let requests = Requests::default();
    let cluster = Cluster::of_service(SANDBOX_TITLE, sandbox.service(), &requests);
    let (counters, woken) = (Counters::default(), Arc::new(Mutex::new(Vec::new())));
    let wakes = woken.clone();
    let wake = Box::new(move |whose: Whose<'_>| wakes.lock().expect("the list").push(whose.to_string()));
    let world = World::start(&cluster.client, scope_of(route), &counters, wake);
    world.synced().await;
    Here { sandbox, cluster, requests, world, counters, woken }
}

impl Here {
    async fn apply(&self, kind: &str, value: &Value) -> Result<(), CallError> {
        let row = planner::kinds::KINDS.iter().find(|row| row.kind == kind).expect("a row");
        call::apply(&self.cluster.client, &address::object(row, &id(row, value)), "toolforge", value).await.map(drop)
    }

    async fn until(&self, what: &str, holds: impl Fn(&Observed) -> bool) {
        let begun = tokio::time::Instant::now();
        while !holds(&self.world.observed(&tool("a"))) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn id(row: &Kind, value: &Value) -> ObjectId {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let name = text("/metadata/name").expect("a name");
    ObjectId { group: row.group.into(), kind: row.kind.into(), namespace: text("/metadata/namespace"), name }
}

fn web() -> Value {
    let container = json!({"name": "web", "image": "registry.example/web:1"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "tool-a", "labels": {"toolforge.org/tool": "a"}},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"name": "web"}},
            "template": {"metadata": {"labels": {"name": "web"}}, "spec": {"containers": [container]}},
        },
    })
}

fn scaled(observed: &Observed, replicas: u64) -> bool {
    let row = Kind::of("apps", "Deployment").expect("a row");
    let live = observed.live(&id(row, &deployment("a", "1", 1)));
    live.is_some_and(|live| live.pointer("/spec/replicas").and_then(Value::as_u64) == Some(replicas))
}

#[tokio::test]
async fn every_kind_can_be_watched_and_looked_at() {
    for route in [Needs::Ingress, Needs::Gateway] {
        let here = here(route).await;
        assert_eq!(here.world.observed(&tool("a")).gaps, []);
        assert_eq!(once(&here.cluster.client, &scope_of(route), &tool("a")).await.gaps, []);
        let watched = KINDS.iter().filter(|row| row.is_watched() && (row.needs == Needs::Always || row.needs == route));
        assert_eq!(here.requests.of(Verb::Watch), watched.count() as u64);
    }
}

#[tokio::test]
async fn a_change_wakes_its_tool_also_after_the_server_forgot_our_version() {
    let here = here(Needs::Ingress).await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "tool-a", "labels": {"toolforge.org/tool": "a"}}});
    here.apply("Namespace", &namespace).await.expect("a Namespace");
    here.apply("Deployment", &web()).await.expect("a Deployment");
    here.until("created", |observed| scaled(observed, 2)).await;
    assert!(here.woken.lock().expect("the list").iter().all(|tool| tool == "a"));
    here.sandbox.compact();
    let mut more = web();
    more["spec"]["replicas"] = json!(5);
    here.apply("Deployment", &more).await.expect("a Deployment");
    here.until("scaled", |observed| scaled(observed, 5)).await;
    here.until("no gap is left", |observed| observed.gaps.is_empty()).await;
    let missed: u64 = planner::kinds::KINDS
        .iter()
        .map(|row| here.counters.missed.get_or_create(&reconciler::observe::ByKind { kind: row.kind }).get())
        .sum();
    assert_eq!(missed, 0);
}

#[tokio::test]
async fn one_look_sees_what_the_watches_see() {
    let here = here(Needs::Ingress).await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "tool-a", "labels": {"toolforge.org/tool": "a"}}});
    here.apply("Namespace", &namespace).await.expect("a Namespace");
    here.apply("Deployment", &web()).await.expect("a Deployment");
    let begun = tokio::time::Instant::now();
    loop {
        // The controllers still write: a moment later both see the same.
        let mut looked = once(&here.cluster.client, &scope_of(Needs::Ingress), &tool("a")).await;
        // One look confirms that there is no Tool; a watch proves no absence.
        looked.objects.retain(|_, seen| *seen != Seen::Absent);
        assert!(scaled(&looked, 2));
        let mut watched = here.world.observed(&tool("a"));
        // One look looks at nothing in the platform's namespace.
        watched.sources = None;
        if looked == watched {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{looked:?}\n{watched:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_comparing_list_finds_nothing_missed() {
    let sandbox = Sandbox::in_memory();
    let cluster = Cluster::of_service(SANDBOX_TITLE, sandbox.service(), &Requests::default());
    let counters = Counters::default();
    let mut often = scope();
    often.pace.compare = Duration::from_millis(60);
    let world = World::start(&cluster.client, often, &counters, Box::new(|_| {}));
    world.synced().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.observed(&tool("a")).gaps, []);
}
