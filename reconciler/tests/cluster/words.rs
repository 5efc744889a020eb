//! Events and statuses: said when there is something to say.

use crate::fake::{Fake, Reply, tool};
use planner::audit::{self, Told};
use planner::outcome::{Outcome, Row, RowResult};
use planner::pin::Pin;
use planner::plan::{Action, Cause, Held, Plan, Step, Target, Why};
use reconciler::events::{BUDGET, Recorder, WROTE, Wrote};
use reconciler::status;
use renderer::diagnostic::steers;
use renderer::{CommitId, ObjectId};
use serde_json::{Value, json};

fn plan(held: Vec<Why>) -> Plan {
    let id = ObjectId {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: Some("tool-a".into()),
        name: "w".into(),
    };
    Plan {
        held: held.into_iter().map(|why| Held { id: id.clone(), action: None, why }).collect(),
        ..Plan::nothing(tool("a"), "fake", Target { branch: "main".to_owned(), commit: None, author: None })
    }
}

fn step(cause: Cause) -> Plan {
    let mut plan = plan(vec![Why::Terminating]);
    let id = plan.held.remove(0).id;
    plan.target.commit = Some(CommitId::new("2".repeat(40)).expect("a commit"));
    let (action, identity) = (Action::Create, planner::identity::of(&id));
    plan.steps = vec![Step { id, action, cause, identity, changes: Vec::new(), requests: Vec::new() }];
    plan
}

fn done(plan: &Plan) -> Outcome {
    let result = RowResult::Done { uid: None };
    let row = |step: &Step| Row { id: step.id.clone(), action: step.action, result: result.clone() };
    Outcome { rows: plan.steps.iter().map(row).collect(), settled: Vec::new() }
}

fn live() -> Value {
    json!({"apiVersion": "toolforge.org/v1alpha1", "kind": "Tool", "metadata": {"name": "a", "uid": "u1"}})
}

fn echo() -> Fake {
    Fake::new(|ask| Reply::Json(200, ask.body.clone()))
}

/// Nothing was written, and nobody has pinned the tool.
fn nothing(plan: &Plan) -> Wrote<'_> {
    Wrote { plan, entries: &[] }
}

#[tokio::test]
async fn what_waits_for_somebody_is_said_once_and_what_passes_by_itself_is_not_said() {
    let (fake, recorder) = (echo(), Recorder::default());
    let plan = plan(vec![Why::NotOurs, Why::Terminating, Why::MissingSecret(vec!["DB_KEY".to_owned()])]);
    for _ in 0..3 {
        recorder.publish(&fake.client(), &live(), &nothing(&plan)).await;
    }
    let said: Vec<_> = fake.asked().into_iter().map(|ask| ask.body).collect();
    let reasons: Vec<_> = said.iter().map(|event| event["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, ["MissingSecret", "NotOurs"]);
    assert_eq!(said[0]["type"], "Warning");
    assert_eq!(
        said[0]["message"],
        "deployment/tool-a/w: missing secret DB_KEY (on the cluster toolforge-secret-db-key); `toolforge secrets set DB_KEY` sets it"
    );
    assert_eq!(said[0]["involvedObject"]["uid"], "u1");
    assert_eq!(said[0]["metadata"]["namespace"], "default");
}

#[tokio::test]
async fn a_tool_cannot_flood_the_namespace_that_all_share() {
    let (fake, recorder) = (echo(), Recorder::default());
    for number in 0..2 * BUDGET {
        let plan = plan(vec![Why::Invalid(format!("line {number}"))]);
        recorder.publish(&fake.client(), &live(), &nothing(&plan)).await;
    }
    assert_eq!(fake.asked().len(), BUDGET as usize);
    let mut other = live();
    other["metadata"]["name"] = json!("b");
    recorder.publish(&fake.client(), &other, &nothing(&plan(vec![Why::NotOurs]))).await;
    assert_eq!(fake.asked().len(), BUDGET as usize + 1, "another tool still speaks");
}

/// A rollout tells its passes at once, and the last of them planned nothing of what the first ones did.
#[tokio::test]
async fn every_write_of_several_passes_is_told_with_the_word_and_the_cause_it_had() {
    let (fake, recorder) = (echo(), Recorder::default());
    let by_commit = step(Cause::NewRevision);
    let by_drift = step(Cause::Drift { manager: Some("kubectl".to_owned()), time: None });
    let entries = [&by_commit, &by_drift].map(|plan| audit::entries(plan, &done(plan), &Pin::default())).concat();
    recorder.publish(&fake.client(), &live(), &Wrote { plan: &plan(Vec::new()), entries: &entries }).await;
    let said: Vec<_> = fake.asked().into_iter().map(|ask| ask.body["message"].to_string()).collect();
    let both = ["by commit 2222222, new revision", "by platform, drift by kubectl"];
    assert_eq!(said, both.map(|lead| format!("\"{lead}: deployment/tool-a/w\"")));
}

#[tokio::test]
async fn what_finds_no_room_in_a_message_is_counted_and_stands_in_its_annotation() {
    let (fake, recorder, mut many) = (echo(), Recorder::default(), step(Cause::NewRevision));
    let first = many.steps.remove(0);
    for number in 0..100 {
        let id = ObjectId { name: format!("component-{number}"), ..first.id.clone() };
        many.steps.push(Step { id, ..first.clone() });
    }
    let entries = audit::entries(&many, &done(&many), &Pin::default());
    recorder.publish(&fake.client(), &live(), &Wrote { plan: &plan(Vec::new()), entries: &entries }).await;
    let body = fake.asked().remove(0).body;
    let message = body["message"].as_str().expect("a message");
    let (named, rest) = message.rsplit_once(" and ").expect("more than finds room");
    let more: usize = rest.strip_suffix(" more objects").and_then(|count| count.parse().ok()).expect("a count");
    assert!(message.len() <= 1024 && named.ends_with(&format!("component-{}", 99 - more)), "{message}");
    let wrote = body["metadata"]["annotations"][WROTE].as_str().expect("an annotation");
    let told: Told = serde_json::from_str(wrote).expect("what was written");
    assert_eq!((told.objects.len(), told.more_objects), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn how_often_it_was_said_and_what_was_not_sent_is_told_when_the_quiet_time_ends() {
    let (fake, recorder) = (echo(), Recorder::default());
    let client = fake.client();
    for number in [0, 0, 0].into_iter().chain(1..2 * BUDGET) {
        let plan = plan(vec![Why::Invalid(format!("line {number}"))]);
        recorder.publish(&client, &live(), &nothing(&plan)).await;
    }
    recorder.publish_late(&client).await;
    assert_eq!(fake.asked().len(), BUDGET as usize, "quiet for now");
    tokio::time::sleep_until(recorder.next()).await;
    recorder.publish_late(&client).await;
    let late: Vec<_> = fake.asked().into_iter().skip(BUDGET as usize).map(|ask| ask.body).collect();
    let told: Vec<_> = late.iter().map(|event| (event["count"].clone(), event["message"].to_string())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].0, 3);
    assert!(told[1].1.contains(&format!("{BUDGET} more events were not sent")), "{told:?}");
    recorder.finish(&client).await;
    assert_eq!(fake.asked().len(), BUDGET as usize + 2, "nothing is left to tell");
}

#[tokio::test]
async fn a_long_message_is_cut_between_letters() {
    let (fake, recorder) = (echo(), Recorder::default());
    let plan = plan(vec![Why::Invalid("ä".repeat(2_000))]);
    recorder.publish(&fake.client(), &live(), &nothing(&plan)).await;
    let message = fake.asked()[0].body["message"].as_str().expect("a message").to_owned();
    assert!(message.len() <= 1024 && message.ends_with('…'), "{}", message.len());
}

const STEERS: &str = "\u{1b}]8;;https://evil.example\u{7}here\u{9b}2J\u{202e}txt\n1 more";

#[tokio::test]
async fn what_an_event_repeats_steers_no_terminal() {
    let build = ObjectId { group: "batch".into(), kind: "Job".into(), namespace: Some("b".into()), name: "a-1".into() };
    for why in [Why::Invalid(STEERS.to_owned()), Why::BuildFailed { build, why: STEERS.to_owned() }] {
        let (fake, recorder) = (echo(), Recorder::default());
        recorder.publish(&fake.client(), &live(), &nothing(&plan(vec![why]))).await;
        let message = fake.asked()[0].body["message"].as_str().expect("a message").to_owned();
        assert!(!message.contains(steers), "{message:?}");
        assert!(
            message.contains("\\u{1b}]8;;https://evil.example\\u{7}here\\u{9b}2J\\u{202e}txt\\u{a}1 more"),
            "{message}"
        );
    }
}

#[test]
fn what_a_status_repeats_steers_no_terminal_and_stays_the_same_when_read_back() {
    let said = status::fit(json!({"conditions": [{"message": STEERS, "status": "True", "n": 1}], "none": null}));
    let message = said.pointer("/conditions/0/message").and_then(serde_json::Value::as_str).expect("a message");
    assert!(!message.contains(|c| c != '\n' && steers(c)), "{message:?}");
    assert_eq!(status::fit(said.clone()), said);
}

#[tokio::test]
async fn a_status_that_says_the_same_is_not_sent_and_another_replaces_it_whole() {
    let fake = echo();
    let status = json!({"observedGeneration": 1});
    let sent = status::publish(&fake.client(), &tool("a"), &status, Some(&status)).await;
    assert_eq!(sent, Ok(None));
    assert!(fake.asked().is_empty());
    let sent = status::publish(&fake.client(), &tool("a"), &status, None).await;
    assert!(matches!(sent, Ok(Some(_))));
    let ask = &fake.asked()[0];
    assert_eq!(ask.path, "/apis/toolforge.org/v1alpha1/tools/a/status");
    assert_eq!(ask.body, json!([{"op": "add", "path": "/status", "value": status}]));
}
