//! What operators can scrape.

use planner::outcome::{Failure, FailureKind, Outcome, Row, RowResult};
use planner::plan::{Action, Cause, Held, Plan, Request, Step, Target, Why};
use reconciler::cluster::door::Requests;
use reconciler::observe::Counters;
use reconciler::source::Counts;
use reconciler::web::{Metrics, serve};
use renderer::{ObjectId, ToolName};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

fn id(name: &str) -> ObjectId {
    ObjectId { group: "apps".into(), kind: "Deployment".into(), namespace: Some("tool-a".into()), name: name.into() }
}

fn step(action: Action, cause: Cause, name: &str) -> Step {
    let requests = vec![Request::Delete { uid: "u".to_owned() }];
    Step { id: id(name), action, cause, identity: planner::kinds::Identity::Deployer, changes: Vec::new(), requests }
}

fn plan(steps: Vec<Step>, held: Vec<Why>) -> Plan {
    let held = held.into_iter().map(|why| Held { id: id("held"), action: None, why }).collect();
    Plan {
        steps,
        held,
        ..Plan::nothing(
            ToolName::new("a").expect("a name"),
            "fake",
            Target { branch: "main".to_owned(), commit: None, author: None },
        )
    }
}

#[test]
fn metrics_speak_the_plans_words_and_gauges_follow_a_tools_last_pass() {
    let metrics = Metrics::new(&Requests::default(), &Counters::default());
    let drift = Cause::Drift { manager: Some("kubectl-scale".to_owned()), time: None };
    let steps = vec![step(Action::Configure, drift, "web"), step(Action::Create, Cause::NewRevision, "bot")];
    let failed = Failure { kind: FailureKind::Denied, message: "no".to_owned(), retry_after_secs: None };
    let row = |step: &Step, result| Row { id: step.id.clone(), action: step.action, result };
    let rows = vec![row(&steps[0], RowResult::Done { uid: None }), row(&steps[1], RowResult::Failed(failed))];
    let waiting = Why::AwaitingBuild { image: "x".to_owned() };
    metrics.pass(
        &plan(steps, vec![waiting.clone(), waiting]),
        &Outcome { rows, settled: Vec::new() },
        Duration::from_millis(3),
    );
    metrics.git(Counts { ls_refs: 7, fetches: 2 });
    metrics.git(Counts { ls_refs: 9, fetches: 2 });
    let shows = |line: &str| {
        let text = metrics.text().expect("text");
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    };
    shows(r#"toolforge_steps_total{action="configure",cause="Drift"} 1"#);
    shows(r#"toolforge_failures_total{kind="Denied"} 1"#);
    shows(r#"toolforge_held{why="AwaitingBuild"} 2"#);
    shows(r#"toolforge_tools{ready="false"} 1"#);
    shows("toolforge_passes_total 1");
    shows("toolforge_git_ls_refs_total 9");
    metrics.pass(&plan(Vec::new(), Vec::new()), &Outcome::default(), Duration::from_millis(1));
    shows(r#"toolforge_held{why="AwaitingBuild"} 0"#);
    shows(r#"toolforge_tools{ready="false"} 0"#);
    shows(r#"toolforge_tools{ready="true"} 1"#);
    metrics.forget(&ToolName::new("a").expect("a name"));
    shows(r#"toolforge_tools{ready="true"} 0"#);
}

async fn ask(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text
}

#[tokio::test]
async fn ready_says_why_not_yet_and_healthy_says_that_it_runs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let synced = Arc::new(AtomicBool::new(false));
    let looks = synced.clone();
    let ready = Arc::new(move || {
        if looks.load(Ordering::SeqCst) { Ok(()) } else { Err("the cluster is still being listed".to_owned()) }
    });
    let stop = CancellationToken::new();
    let metrics = Metrics::new(&Requests::default(), &Counters::default());
    let server = tokio::spawn(serve(listener, metrics, ready, stop.clone()));
    assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    let not_yet = ask(address, "/readyz").await;
    assert!(not_yet.starts_with("HTTP/1.1 503") && not_yet.contains("still being listed"), "{not_yet}");
    synced.store(true, Ordering::SeqCst);
    assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(ask(address, "/metrics").await.contains("# EOF"));
    assert!(ask(address, "/debug").await.starts_with("HTTP/1.1 404"));
    stop.cancel();
    server.await.expect("no panic").expect("a clean end");
}
