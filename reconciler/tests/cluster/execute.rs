//! What becomes of a plan's steps, by what the server answers.

use crate::fake::{Ask, Fake, Reply, status, tool};
use http::Method;
use planner::outcome::{FailureKind, Outcome, RowResult};
use planner::plan::{Action, Cause, Plan, Request, Step, Target};
use reconciler::cluster::call::Answer;
use reconciler::dialer::{Dialer, Rules};
use reconciler::execute::{Doors, execute};
use reconciler::registry::Registry;
use renderer::ObjectId;
use serde_json::{Value, json};
use std::sync::Mutex;

fn id(kind: &str, name: &str) -> ObjectId {
    let row = planner::kinds::KINDS.iter().find(|row| row.kind == kind).expect("a row");
    ObjectId { group: row.group.into(), kind: kind.into(), namespace: Some("tool-a".into()), name: name.into() }
}

fn step(action: Action, id: ObjectId, request: Request) -> Step {
    let identity = planner::identity::of(&id);
    Step { id, action, cause: Cause::NewRevision, identity, changes: Vec::new(), requests: vec![request] }
}

fn create(kind: &str, name: &str) -> Step {
    step(Action::Create, id(kind, name), Request::Create { body: json!({"metadata": {"name": name}}) })
}

/// None that may be asked.
fn no_registry() -> Registry {
    let dialer = Dialer::new(Rules::default());
    Registry::new(dialer, Default::default(), Default::default())
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan { steps, ..Plan::nothing(tool("a"), "fake", Target { branch: "main".to_owned(), commit: None, author: None }) }
}

async fn run(fake: &Fake, steps: Vec<Step>) -> Outcome {
    execute(
        Doors { client: &fake.client(), registry: &no_registry(), vault: &reconciler::secrets::Vault::default() },
        &plan(steps),
        &|_, _| {},
    )
    .await
}

fn stored(ask: &Ask) -> Reply {
    let name = ask.path.rsplit('/').next().unwrap_or("");
    Reply::Json(200, json!({"metadata": {"name": name, "uid": format!("uid-of-{name}")}}))
}

#[tokio::test]
async fn requests_say_exactly_what_the_plan_says() {
    let fake = Fake::new(stored);
    let patch = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "7"}]);
    let steps = vec![
        create("Deployment", "web"),
        step(Action::Configure, id("Deployment", "bot"), Request::Patch { operations: patch.clone() }),
        step(Action::Prune, id("Service", "old"), Request::Delete { uid: "u9".to_owned() }),
    ];
    let outcome = run(&fake, steps).await;
    assert_eq!(outcome.failures().count(), 0);
    let asked = fake.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    let (apply, json_patch, delete) = (&asked[0], &asked[1], &asked[2]);
    assert_eq!(
        (&apply.method, apply.path.as_str()),
        (&Method::PATCH, "/apis/apps/v1/namespaces/tool-a/deployments/web")
    );
    assert_eq!(
        (apply.content_type.as_str(), &apply.body),
        ("application/apply-patch+yaml", &json!({"metadata": {"name": "web", "resourceVersion": "1"}})),
        "a create is an apply to a version that no object has"
    );
    for (key, value) in [("fieldManager", "toolforge"), ("force", "true"), ("fieldValidation", "Strict")] {
        assert_eq!(apply.asks(key), value, "{key}");
    }
    assert_eq!((json_patch.content_type.as_str(), &json_patch.body), ("application/json-patch+json", &patch));
    assert_eq!((json_patch.asks("fieldManager"), json_patch.asks("force")), ("toolforge", ""));
    assert_eq!((&delete.method, delete.path.as_str()), (&Method::DELETE, "/api/v1/namespaces/tool-a/services/old"));
    assert_eq!(delete.body.pointer("/preconditions/uid"), Some(&json!("u9")));
    assert_eq!(delete.body.get("propagationPolicy"), Some(&json!("Background")));
}

#[tokio::test]
async fn a_failure_is_a_row_and_stops_nobody_else() {
    let fake =
        Fake::new(|ask| if ask.path.ends_with("/bad") { status(422, "Invalid", "wrong port") } else { stored(ask) });
    let names = ["one", "bad", "two"];
    let mut steps: Vec<_> = names.iter().map(|name| create("Deployment", name)).collect();
    steps.push(create("Service", "after"));
    let outcome = run(&fake, steps).await;
    let rows: Vec<_> = outcome.rows.iter().map(|row| (row.id.name.as_str(), &row.result)).collect();
    let done = |name: &str| RowResult::Done { uid: Some(format!("uid-of-{name}")) };
    assert_eq!(rows[0], ("one", &done("one")));
    assert!(matches!(rows[1], ("bad", RowResult::Failed(failure)) if failure.message == "wrong port"));
    assert_eq!(rows[2], ("two", &done("two")));
    assert_eq!(rows[3], ("after", &done("after")));
}

#[tokio::test]
async fn the_next_order_begins_when_the_one_before_has_ended() {
    let fake = Fake::new(stored);
    let mut steps: Vec<_> = (0..20).map(|number| create("Deployment", &format!("d{number}"))).collect();
    steps.insert(0, create("ConfigMap", "first"));
    steps.push(create("Service", "last"));
    run(&fake, steps).await;
    let paths: Vec<_> = fake.asked().into_iter().map(|ask| ask.path).collect();
    assert!(paths[0].ends_with("/first") && paths[21].ends_with("/last"), "{paths:?}");
}

#[tokio::test]
async fn a_name_that_is_taken_is_learnt_and_nothing_of_a_later_order_is_sent() {
    let fake =
        Fake::new(|ask| if ask.path.ends_with("/taken") { status(409, "Conflict", "modified") } else { stored(ask) });
    let steps = vec![
        create("Deployment", "one"),
        create("Deployment", "taken"),
        create("Deployment", "two"),
        create("Service", "after"),
        step(Action::Prune, id("Service", "old"), Request::Delete { uid: "u9".to_owned() }),
    ];
    let learnt = Mutex::new(Vec::new());
    let learn = |id: &ObjectId, answer: &Answer| {
        learnt.lock().expect("nobody panics").push((id.name.clone(), matches!(answer, Answer::Taken)));
    };
    let outcome = execute(
        Doors { client: &fake.client(), registry: &no_registry(), vault: &reconciler::secrets::Vault::default() },
        &plan(steps),
        &learn,
    )
    .await;
    let failed: Vec<_> = outcome.failures().map(|(row, failure)| (row.id.name.as_str(), failure.kind)).collect();
    assert_eq!(failed, ["taken", "after", "old"].map(|name| (name, FailureKind::Stale)));
    assert_eq!(fake.asked().len(), 3, "{:?}", fake.asked());
    let mut learnt = learnt.into_inner().expect("nobody panics");
    learnt.sort();
    assert_eq!(learnt, [("one".into(), false), ("taken".into(), true), ("two".into(), false)]);
}

#[tokio::test]
async fn the_rest_of_a_step_is_not_sent_after_a_failure() {
    let fake = Fake::new(|_| status(409, "Conflict", "moved on"));
    let mut both = create("Deployment", "web");
    both.requests.push(Request::Patch { operations: json!([]) });
    run(&fake, vec![both]).await;
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn failures_are_told_apart_by_what_helps() {
    let terminating = json!({"code": 403, "reason": "Forbidden", "message": "is being terminated",
        "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
    let policy =
        "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
    let cases: Vec<(Box<dyn Fn() -> Reply + Send + Sync>, FailureKind)> = vec![
        (Box::new(|| status(409, "Conflict", "")), FailureKind::Stale),
        (Box::new(move || Reply::Json(403, terminating.clone())), FailureKind::Stale),
        (Box::new(|| status(401, "Unauthorized", "")), FailureKind::Denied),
        (Box::new(|| status(403, "Forbidden", "")), FailureKind::Denied),
        (Box::new(move || status(422, "Invalid", policy)), FailureKind::Denied),
        (Box::new(|| status(400, "BadRequest", "")), FailureKind::Invalid),
        (Box::new(|| status(422, "Invalid", "")), FailureKind::Invalid),
        (Box::new(|| status(404, "NotFound", "")), FailureKind::Missing),
        (Box::new(|| status(429, "TooManyRequests", "")), FailureKind::Throttled),
        (Box::new(|| status(500, "InternalError", "")), FailureKind::Unreachable),
        (Box::new(|| Reply::Text(503, "<html>")), FailureKind::Unreachable),
        (Box::new(|| Reply::Never), FailureKind::Unreachable),
    ];
    for (reply, expected) in cases {
        let fake = Fake::new(move |_| reply());
        let outcome = run(&fake, vec![create("Deployment", "web")]).await;
        let (_, failure) = outcome.failures().next().expect("a failure");
        assert_eq!(failure.kind, expected, "{failure}");
        assert!(!failure.message.is_empty());
    }
}

#[tokio::test]
async fn a_patch_whose_test_fails_is_stale_and_a_wait_is_passed_on() {
    let fake = Fake::new(|ask| match ask.content_type.as_str() {
        "application/json-patch+json" => status(422, "Invalid", "the server rejected our request"),
        _ => Reply::Headers(429, &[("retry-after", "9")]),
    });
    let patch = step(Action::Configure, id("Deployment", "web"), Request::Patch { operations: json!([]) });
    let outcome = run(&fake, vec![patch, create("Deployment", "bot")]).await;
    let failures: Vec<_> = outcome.failures().map(|(_, failure)| (failure.kind, failure.retry_after_secs)).collect();
    assert_eq!(failures, [(FailureKind::Stale, None), (FailureKind::Throttled, Some(9))]);
}

#[tokio::test]
async fn what_is_gone_is_pruned_and_another_object_under_its_name_is_left_alone() {
    let fake = Fake::new(|ask| match ask.path.rsplit('/').next() {
        Some("gone") => status(404, "NotFound", "no"),
        Some("other") => status(409, "Conflict", "the UID in the precondition does not match"),
        Some("finalized") => Reply::Json(
            200,
            json!({"kind": "Service", "metadata": {"name": "finalized", "uid": "u1", "deletionTimestamp": "x"}}),
        ),
        _ => Reply::Json(200, json!({"kind": "Status", "status": "Success"})),
    });
    let prune = |name: &str| step(Action::Prune, id("Service", name), Request::Delete { uid: "u1".to_owned() });
    let learned: Mutex<Vec<(String, bool)>> = Mutex::default();
    let steps = ["gone", "other", "finalized", "here"].map(prune).to_vec();
    let outcome = execute(
        Doors { client: &fake.client(), registry: &no_registry(), vault: &reconciler::secrets::Vault::default() },
        &plan(steps),
        &|id, answer| {
            let deleted = matches!(answer, Answer::Deleted { uid } if uid == "u1");
            learned.lock().expect("the list").push((id.name.clone(), deleted));
        },
    )
    .await;
    let results: Vec<_> = outcome.rows.iter().map(|row| matches!(row.result, RowResult::Done { uid: None })).collect();
    assert_eq!(results, [true, false, true, true]);
    assert_eq!(outcome.failures().next().map(|(_, failure)| failure.kind), Some(FailureKind::Stale));
    let mut learned = learned.into_inner().expect("the list");
    learned.sort();
    assert_eq!(learned, [("finalized".to_owned(), false), ("gone".to_owned(), true), ("here".to_owned(), true)]);
}

#[tokio::test]
async fn the_servers_words_about_a_secret_are_not_repeated() {
    let fake = Fake::new(|_| status(422, "Invalid", "data.password: Invalid value: \"hunter2\""));
    let outcome = run(&fake, vec![create("Secret", "s")]).await;
    let text = serde_json::to_string(&outcome).expect("JSON");
    assert!(text.contains("422 Invalid") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_kind_without_a_row_is_a_failure_and_no_request() {
    let fake = Fake::new(stored);
    let node = ObjectId { group: String::new(), kind: "Node".into(), namespace: None, name: "x".into() };
    let outcome = run(&fake, vec![step(Action::Create, node, Request::Apply { body: Value::Null })]).await;
    assert_eq!(outcome.failures().count(), 1);
    assert!(fake.asked().is_empty());
}
