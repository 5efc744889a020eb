//! What only the sandbox promises: determinism, a history that can be forgotten, an end. What it shares with a real
//! server is held by the API suite of the package `tests`.

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use sandbox::Sandbox;
use serde_json::json;

fn client(sandbox: &Sandbox) -> kube::Client {
    kube::Client::new(sandbox.service(), "default")
}

async fn apply(maps: &Api<ConfigMap>, name: &str, value: &str) -> kube::Result<ConfigMap> {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": value}});
    maps.patch(name, &PatchParams::apply("test"), &Patch::Apply(&map)).await
}

#[tokio::test(start_paused = true)]
async fn the_same_requests_give_the_same_bytes() {
    let run = async || {
        let start = "2026-01-01T00:00:00Z".parse().expect("a time");
        let sandbox = Sandbox::in_memory_at(start, 7);
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&sandbox));
        let first = apply(&maps, "a", "1").await.expect("applied");
        tokio::time::sleep(std::time::Duration::from_secs(90)).await;
        let second = apply(&maps, "b", "1").await.expect("applied");
        serde_json::to_string(&[first, second]).expect("JSON")
    };
    let first = run().await;
    assert_eq!(first, run().await);
    assert!(first.contains("2026-01-01T00:00:00Z") && first.contains("2026-01-01T00:01:30Z"), "{first}");
}

#[tokio::test]
async fn a_watch_from_before_the_history_is_told_to_list_again() {
    let sandbox = Sandbox::in_memory();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&sandbox));
    let old = apply(&maps, "a", "1").await.expect("applied").metadata.resource_version.expect("a version");
    apply(&maps, "a", "2").await.expect("applied");
    sandbox.compact();
    let events = maps.watch(&WatchParams::default(), &old).await.expect("a watch");
    let event = std::pin::pin!(events).try_next().await.expect("an event");
    let Some(WatchEvent::Error(status)) = event else {
        unreachable!("{event:?}");
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}

#[tokio::test]
async fn the_end_of_a_sandbox_ends_its_watches_and_refuses_requests() {
    let mut sandbox = Sandbox::in_memory();
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&sandbox));
    let made = apply(&maps, "a", "1").await.expect("applied").metadata.resource_version.expect("a version");
    let events = maps.watch(&WatchParams::default(), &made).await.expect("a watch");
    sandbox.stop();
    assert!(std::pin::pin!(events).try_next().await.expect("no error").is_none());
    assert!(apply(&maps, "a", "2").await.is_err());
}
