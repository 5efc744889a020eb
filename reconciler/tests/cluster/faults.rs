//! What the watches make of a server that refuses, breaks, lags and lies.
use crate::fake::{
    Ask, DEPLOYMENTS, Fake, Reply, Then, bookmark, deployment, line, list, quiet, scope, status, tool, watch,
};
use planner::observed::Seen;
use reconciler::observe::{ByKind, confirm, once};
use renderer::ObjectId;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A server that is quiet but for Deployments, which are answered by turns.
fn deployments(turns: impl Fn(usize, &Ask) -> Reply + Send + Sync + 'static) -> Fake {
    let turn = AtomicUsize::new(0);
    Fake::new(move |ask| match ask.path.as_str() {
        DEPLOYMENTS => turns(turn.fetch_add(1, Ordering::SeqCst), ask),
        _ => quiet(ask),
    })
}

#[tokio::test]
async fn a_refused_kind_is_a_gap_and_the_others_are_observed() {
    let fake = Fake::new(|ask| match ask.path.as_str() {
        DEPLOYMENTS | "/api/v1/secrets" => status(403, "Forbidden", "not for you"),
        _ => quiet(ask),
    });
    let watched = watch(&fake, scope());
    watched.world.synced().await;
    let observed = watched.world.observed(&tool("a"));
    let kinds: Vec<_> = observed.gaps.iter().map(|gap| gap.kind.as_str()).collect();
    assert_eq!(kinds, ["Deployment", "Secret"]);
    assert_eq!(watched.gap("Deployment").as_deref(), Some("403 not for you"));
    assert_eq!(observed.secrets, None, "no names is not the same as names nobody may read");
}

#[tokio::test]
async fn a_missing_crd_is_a_gap_until_it_is_there() {
    let there = Arc::new(AtomicBool::new(false));
    let tools = there.clone();
    let fake = Fake::new(move |ask| match ask.path.as_str() {
        "/apis/toolforge.org/v1alpha1/tools" if !tools.load(Ordering::SeqCst) => Reply::Text(404, "404 page not found"),
        _ => quiet(ask),
    });
    let mut patient = scope();
    patient.pace.first_delay = Duration::from_secs(600);
    patient.pace.last_delay = Duration::from_secs(600);
    let watched = watch(&fake, patient);
    watched.world.synced().await;
    assert_eq!(watched.gap("Tool").as_deref(), Some("404 the cluster does not know this kind"));
    let mut turns = watched.world.turns();
    turns.mark_unchanged();
    there.store(true, Ordering::SeqCst);
    watched.world.look_again();
    turns.changed().await.expect("the world lives");
    assert_eq!(watched.gap("Tool"), None);
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_gap_after_the_time_limit() {
    let fake = deployments(|_, _| Reply::Never);
    let watched = watch(&fake, scope());
    watched.world.synced().await;
    assert!(watched.gap("Deployment").is_some_and(|why| why.contains("no answer within")));
}

#[tokio::test]
async fn a_cut_watch_goes_on_at_its_last_version_without_a_list_and_without_a_gap() {
    let fake = deployments(|turn, ask| match turn {
        0 => Reply::Lines(vec![line("ADDED", deployment("a", "4", 2)), bookmark("5", true)], Then::Closed),
        1 => {
            let lines = vec![line("MODIFIED", deployment("a", "6", 3)), bookmark("7", false)];
            Reply::Lines(lines, Then::Cut)
        }
        2 if ask.asks("resourceVersion") == "7" => {
            Reply::Lines(vec![line("MODIFIED", deployment("a", "8", 4))], Then::Silent)
        }
        _ => quiet(ask),
    });
    let watched = watch(&fake, scope());
    watched.until("the watch goes on", |watched| watched.replicas("a") == Some(4)).await;
    let versions: Vec<_> =
        fake.asked_for(DEPLOYMENTS).iter().map(|ask| ask.asks("resourceVersion").to_owned()).collect();
    assert_eq!(versions, ["", "5", "7"]);
    assert_eq!(watched.gap("Deployment"), None);
    assert_eq!(watched.woken(), ["a", "a", "a"]);
    assert_eq!(watched.counters.opened.get_or_create(&ByKind { kind: "Deployment" }).get(), 3);
}

#[tokio::test]
async fn a_version_the_server_forgot_lists_everything_again_and_wakes_whom_it_concerns() {
    let fake = deployments(|turn, ask| match turn {
        0 => {
            let lines = ["same", "changed", "gone"].map(|tool| line("ADDED", deployment(tool, "2", 1)));
            let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
            let lines = lines.into_iter().chain([bookmark("3", true), line("ERROR", gone)]).collect();
            Reply::Lines(lines, Then::Silent)
        }
        1 => {
            let lines = [deployment("same", "2", 1), deployment("changed", "9", 5), deployment("new", "8", 1)];
            let lines = lines.map(|object| line("ADDED", object)).into_iter().chain([bookmark("9", true)]).collect();
            Reply::Lines(lines, Then::Silent)
        }
        _ => quiet(ask),
    });
    let watched = watch(&fake, scope());
    watched.until("it lists again", |watched| watched.replicas("new").is_some()).await;
    watched.until("no gap", |watched| watched.gap("Deployment").is_none()).await;
    assert_eq!(watched.woken(), ["changed", "gone", "same", "changed", "gone", "new"]);
    assert_eq!(watched.replicas("gone"), None);
    assert_eq!(fake.asked_for(DEPLOYMENTS).len(), 2);
}

#[tokio::test]
async fn a_line_nobody_can_read_is_a_gap_and_lists_everything_again() {
    let fake = deployments(|turn, ask| match turn {
        0 => {
            let garbage = line("MODIFIED", json!({"metadata": {"name": 7}, "data": "hunter2"}));
            Reply::Lines(vec![bookmark("3", true), garbage], Then::Silent)
        }
        1 => status(500, "InternalError", "later"),
        2 => Reply::Lines(vec![line("ADDED", deployment("a", "4", 2)), bookmark("4", true)], Then::Silent),
        _ => quiet(ask),
    });
    let mut slow = scope();
    slow.pace.first_delay = Duration::from_millis(60);
    slow.pace.last_delay = Duration::from_millis(60);
    let watched = watch(&fake, slow);
    watched.until("it is a gap", |watched| watched.gap("Deployment").is_some()).await;
    watched
        .until("it says why, and quotes nothing", |watched| {
            watched.gap("Deployment").is_some_and(|why| !why.contains("hunter2"))
        })
        .await;
    watched.until("it lists again", |watched| watched.replicas("a") == Some(2)).await;
    watched.until("the gap is closed", |watched| watched.gap("Deployment").is_none()).await;
}

#[tokio::test]
async fn what_was_known_is_kept_beside_a_gap() {
    let fake = deployments(|turn, _| match turn {
        0 => Reply::Lines(vec![line("ADDED", deployment("a", "4", 2)), bookmark("5", true)], Then::Closed),
        _ => status(500, "InternalError", "etcd is away"),
    });
    let watched = watch(&fake, scope());
    watched.until("a gap", |watched| watched.gap("Deployment").is_some()).await;
    assert_eq!(watched.gap("Deployment").as_deref(), Some("500 etcd is away"));
    assert_eq!(watched.replicas("a"), Some(2));
}

#[tokio::test]
async fn a_watch_that_ends_again_and_again_is_a_gap() {
    let fake = deployments(|turn, _| match turn {
        0 => Reply::Lines(vec![bookmark("5", true)], Then::Closed),
        _ => Reply::Lines(Vec::new(), Then::Closed),
    });
    let mut pace = scope();
    pace.pace.short_life = Duration::from_secs(60);
    let watched = watch(&fake, pace);
    watched
        .until("a gap", |watched| watched.gap("Deployment").is_some_and(|why| why.contains("again and again")))
        .await;
}

#[tokio::test]
async fn a_server_that_cannot_stream_a_list_is_asked_page_by_page() {
    let refuses = |ask: &Ask| ask.is_streamed_list().then(|| status(422, "Invalid", "sendInitialEvents is forbidden"));
    let ignores = |ask: &Ask| {
        ask.is_streamed_list().then(|| Reply::Lines(vec![line("ADDED", deployment("x", "1", 1))], Then::Silent))
    };
    for old in [refuses as fn(&Ask) -> Option<Reply>, ignores] {
        let fake = deployments(move |_, ask| {
            if let Some(reply) = old(ask) {
                return reply;
            }
            match (ask.is_watch(), ask.asks("continue")) {
                (true, _) => Reply::Lines(vec![line("MODIFIED", deployment("b", "9", 7))], Then::Silent),
                (false, "") => Reply::Json(
                    200,
                    json!({"metadata": {"resourceVersion": "8", "continue": "more"}, "items": [deployment("a", "2", 1)]}),
                ),
                (false, _) => list("8", &[deployment("b", "3", 1)]),
            }
        });
        let watched = watch(&fake, scope());
        watched.until("both pages and the watch", |watched| watched.replicas("b") == Some(7)).await;
        assert_eq!(watched.replicas("a"), Some(1));
        assert_eq!(watched.replicas("x"), None, "half a list is no list");
        let last = fake.asked_for(DEPLOYMENTS).pop().expect("a request");
        assert_eq!(last.asks("resourceVersion"), "8");
    }
}

#[tokio::test]
async fn what_a_watch_missed_is_found_and_counted_by_the_comparing_list() {
    let fake = deployments(|_, ask| {
        if ask.is_streamed_list() {
            let lines = [deployment("same", "2", 1), deployment("missed", "2", 1)].map(|object| line("ADDED", object));
            Reply::Lines(lines.into_iter().chain([bookmark("9", true)]).collect(), Then::Silent)
        } else {
            assert_eq!(ask.asks("resourceVersionMatch"), "Exact");
            assert_eq!(ask.asks("resourceVersion"), "9");
            list("9", &[deployment("same", "2", 1), deployment("missed", "7", 5)])
        }
    });
    let mut often = scope();
    often.pace.compare = Duration::from_millis(60);
    let watched = watch(&fake, often);
    watched.world.synced().await;
    watched.woken();
    watched.until("found", |watched| watched.replicas("missed") == Some(5)).await;
    assert_eq!(watched.woken(), ["missed"]);
    assert_eq!(watched.counters.missed.get_or_create(&ByKind { kind: "Deployment" }).get(), 1);
}

#[tokio::test]
async fn nothing_is_tried_twice_by_the_client_itself() {
    let fake = Fake::new(|_| Reply::Headers(429, &[("retry-after", "7")]));
    let path = "/api/v1/namespaces/tool-a";
    let error = reconciler::cluster::call::get(&fake.client(), path, None).await.expect_err("refused");
    assert_eq!(fake.asked().len(), 1);
    assert_eq!(error.refusal().and_then(|refusal| refusal.retry_after_secs), Some(7));
}

fn id(kind: &str, name: &str) -> ObjectId {
    let group = if kind == "Deployment" { "apps" } else { "" };
    ObjectId { group: group.into(), kind: kind.into(), namespace: Some("tool-a".into()), name: name.into() }
}

#[tokio::test]
async fn only_a_status_about_that_very_object_confirms_an_absence() {
    let not_found = |kind: &str, name: &str| {
        let details = json!({"name": name, "group": "apps", "kind": kind});
        Reply::Json(
            404,
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "no", "details": details}),
        )
    };
    let fake = Fake::new(move |ask| match ask.path.rsplit('/').next().unwrap_or("") {
        "absent" => not_found("deployments", "absent"),
        "other" => not_found("deployments", "another"),
        "namespace" => not_found("namespaces", "tool-a"),
        "page" => Reply::Text(404, "<html>no such host</html>"),
        "refused" => status(403, "Forbidden", "not for you"),
        "broken" => status(500, "InternalError", "etcd is away"),
        "slow" => Reply::Never,
        "garbage" => Reply::Text(200, "hunter2"),
        "wrong" => Reply::Json(200, json!({"metadata": {"name": "another"}})),
        name => Reply::Json(200, json!({"metadata": {"name": name}, "spec": {}})),
    });
    let names = ["absent", "broken", "garbage", "live", "namespace", "other", "page", "refused", "slow", "wrong"];
    let ids: Vec<_> = names.iter().map(|name| id("Deployment", name)).collect();
    let seen = confirm(&fake.client(), &ids).await;
    assert_eq!(seen.len(), names.len());
    for (id, seen) in seen {
        match (id.name.as_str(), seen) {
            ("absent", seen) => assert_eq!(seen, Ok(Seen::Absent)),
            ("live", Ok(Seen::Live(_))) => {}
            (name, seen) => {
                let why = seen.expect_err(name);
                assert!(!why.to_string().contains("hunter2"), "{name}: {why}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_confirmed_leaves_its_content_behind() {
    let fake = Fake::new(|_| Reply::Json(200, json!({"metadata": {"name": "s"}, "data": {"k": "aHVudGVyMg=="}})));
    let seen = confirm(&fake.client(), &[id("Secret", "s")]).await;
    assert!(!format!("{seen:?}").contains("aHVudGVyMg"), "{seen:?}");
}

#[tokio::test]
async fn one_look_reads_a_tools_own_places_and_says_what_it_could_not_read() {
    let fake = Fake::new(|ask| match ask.path.as_str() {
        "/apis/apps/v1/namespaces/tool-a/deployments" => list("5", &[deployment("a", "4", 2)]),
        "/api/v1/namespaces/tool-a/secrets" => status(403, "Forbidden", "not for you"),
        "/apis/toolforge.org/v1alpha1/tools/a" => Reply::Text(404, "404 page not found"),
        "/api/v1/namespaces/tool-a" => Reply::Json(
            404,
            json!({"code": 404, "reason": "NotFound", "details": {"name": "tool-a", "kind": "namespaces"}}),
        ),
        _ => list("5", &[]),
    });
    let observed = once(&fake.client(), &scope(), &tool("a")).await;
    let gaps: Vec<_> = observed.gaps.iter().map(|gap| gap.kind.as_str()).collect();
    assert_eq!(gaps, ["Tool", "Secret"]);
    assert!(observed.live(&id("Deployment", "web")).is_some());
    let absent: Vec<_> = observed.objects.keys().filter(|id| observed.is_absent(id)).map(ToString::to_string).collect();
    assert_eq!(absent, ["namespace/tool-a"], "a list shows no absences");
    let paths: Vec<_> = fake.asked().into_iter().map(|ask| ask.path).collect();
    let own =
        |path: &String| path.contains("tool-a") || path.contains("/tools/a") || path.contains("/namespaces/toolforge/");
    assert!(paths.iter().all(own), "a maintainer may not read other places: {paths:?}");
}
