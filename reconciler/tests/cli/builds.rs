//! `builds`, `build` and `logs --build`: on a sandbox whose registry has no image, and on a server of our own making, whose
//! pods have logs.

#![allow(clippy::panic, reason = "a build that never comes is a failed test")]

use crate::harness::{Home, Ran, TOOL, command, folder, toolforge};
use crate::server::{kubeconfig, listen};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use renderer::platform::{Backend, Builds, Lifecycle, Tekton};
use renderer::request::{BUILD_COMMIT, BUILD_COMPONENTS, BUILD_ID, BUILD_IMAGE, BUILD_OF};
use serde_json::{Value, json};
use std::path::PathBuf;

const BOT: &str = "\
components:
  bot:
    build: {}
    run: {command: bot, replicas: 1}
";

/// A registry that knows no image.
async fn nothing(_: Request) -> Response {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;
    (StatusCode::NOT_FOUND, [("content-type", "application/json")], body).into_response()
}

/// A tool that has to be built, on a sandbox in a folder.
struct Stage {
    home: Home,
    _registry: tokio::runtime::Runtime,
}

impl Stage {
    fn new(more: &str) -> Self {
        let (url, registry) = listen(Router::new().fallback(nothing));
        let host = url.trim_start_matches("http://");
        let platform = format!(
            "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {{name: p}}\n\
             spec:\n  domain: d.example\n  registry: {{host: '{host}'}}\n{more}"
        );
        let files =
            [("config/platform.yaml", platform.as_str()), ("config/tools/bot.yaml", TOOL), ("bot/toolforge.yaml", BOT)];
        Self { home: Home::new(&files), _registry: registry }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.home.run(".", "sandbox", arguments)
    }

    /// Passes until this many builds were asked for.
    fn builds(&self, count: usize) -> Vec<Value> {
        for _ in 0..20 {
            let applied = self.run(&["apply", "bot"]);
            assert_eq!(applied.exit, 0, "{applied:#?}");
            let listed = self.run(&["builds", "bot", "--json"]).json()["builds"].as_array().expect("a list").clone();
            if listed.len() == count {
                return listed;
            }
        }
        panic!("there are never {count} builds: {:#?}", self.run(&["builds"]));
    }
}

const BUILDS: &str = "  builds: {backend: lifecycle, lifecycle: {image: 'r.example/toolforge@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}}\n";

#[test]
fn a_build_is_listed_and_asked_for_again_where_its_image_is_not_there() {
    let stage = Stage::new(BUILDS);
    let first = stage.builds(1).remove(0);
    assert_eq!((&first["tool"], &first["components"]), (&json!("bot"), &json!(["bot"])), "{first:#}");
    let id = first["build"].as_str().expect("an id").to_owned();
    assert!(first["image"].as_str().is_some_and(|image| image.ends_with(&format!("/tool-bot/bot:{id}"))), "{first:#}");
    let table = stage.run(&["builds"]);
    assert_eq!(table.exit, 0, "{table:#?}");
    let row = table.out.lines().find(|line| line.starts_with(&id[..12])).expect("a row");
    assert!(row.contains("bot") && ["pending", "running", "succeeded"].iter().any(|word| row.contains(word)), "{row}");

    // The sandbox says that each Job has succeeded, and the registry that it has no image of it.
    let mut again = stage.run(&["build", "bot", "--json"]);
    for _ in 0..50 {
        if again.json()["builds"][0]["askedAgain"] == true {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        again = stage.run(&["build", "bot", "--json"]);
    }
    let told = again.json();
    assert_eq!((again.exit, &told["builds"][0]["askedAgain"]), (0, &json!(true)), "{again:#?}");
    assert_eq!(told["builds"][0]["components"], json!(["bot"]));
    assert_eq!(stage.run(&["builds", "--json"]).json()["builds"], json!([]), "it was taken back");
    let second = stage.builds(1).remove(0);
    assert_eq!(second["build"].as_str(), Some(id.as_str()), "and asked for once more");

    for (arguments, words) in [
        (&["build", "bot", "boot"][..], "bot has no component boot\nhint: Did you mean `bot`?"),
        (&["build", "nobody"], "there is no tool nobody"),
        (&["builds", "nobody"], "there is no tool nobody"),
    ] {
        let refused = stage.run(arguments);
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{refused:#?}");
        assert!(refused.err.contains(words), "{refused:#?}");
    }
}

#[test]
fn a_platform_that_builds_nothing_says_so() {
    let stage = Stage::new("");
    for arguments in [&["builds"][..], &["build", "bot"]] {
        let refused = stage.run(arguments);
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{refused:#?}");
        assert!(refused.err.contains("platform p builds nothing") && refused.err.contains("hint: "), "{refused:#?}");
    }
}

/// A build that failed in `build`, as a cluster shows it.
fn job() -> Value {
    let failed = json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-01T00:01:00Z"});
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "bot-0123456789ab", "namespace": "toolforge-builds", "uid": "u1", "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"toolforge.org/tool": "bot"},
            "annotations": {
                (BUILD_ID): "0123456789abcdef", (BUILD_IMAGE): "r.example/tool-bot/bot:0123456789abcdef",
                (BUILD_COMMIT): "c", (BUILD_COMPONENTS): "bot,worker",
            },
        },
        "status": {"startTime": "2026-01-01T00:00:10Z", "conditions": [failed]},
    })
}

fn pod() -> Value {
    let over = |name: &str, code: i32, message: &str| {
        json!({"name": name, "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "reason": "Error", "message": message}}})
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "bot-0123456789ab-x", "namespace": "toolforge-builds", "uid": "u2", "resourceVersion": "6",
            "labels": {(BUILD_OF): "bot", "batch.kubernetes.io/job-name": "bot-0123456789ab"},
        },
        "spec": {"initContainers": [{"name": "fetch"}, {"name": "build"}], "containers": [{"name": "export"}]},
        "status": {
            "phase": "Failed",
            "initContainerStatuses": [over("fetch", 0, ""), over("build", 51, "ERROR: no such package")],
        },
    })
}

async fn cluster(request: Request) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let list = |items: Value| json!({"metadata": {"resourceVersion": "9"}, "items": items});
    let found = match path {
        "/version" => json!({"gitVersion": "v1.36.3"}),
        "/api/v1/namespaces/toolforge/configmaps/toolforge-platform" => {
            let backend = Backend::Lifecycle(Lifecycle::of("r.example/toolforge@sha256:1".to_owned()));
            let builds = Some(Builds::by(backend));
            let platform = renderer::Platform { builds, ..renderer::Platform::builtin() };
            json!({"data": {"platform.json": serde_json::to_string(&platform).expect("JSON")}})
        }
        "/apis/toolforge.org/v1alpha1/tools" | "/api/v1/namespaces/tool-bot/secrets" => list(json!([])),
        "/apis/batch/v1/namespaces/toolforge-builds/jobs" => list(json!([job()])),
        "/apis/batch/v1/namespaces/toolforge-builds/jobs/bot-0123456789ab" => job(),
        "/api/v1/namespaces/toolforge-builds/pods" => list(json!([pod()])),
        "/api/v1/namespaces/toolforge-builds/pods/bot-0123456789ab-x/log" => {
            return Body::from(format!("one of {query}\n")).into_response();
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([("content-type", "application/json")], found.to_string()).into_response()
}

#[test]
fn what_a_build_says_comes_phase_by_phase_and_ends_with_it() {
    let (url, _runtime) = listen(Router::new().fallback(cluster));
    let home = folder(&[("k", &kubeconfig(&url))]);
    let logs =
        |more: &[&str]| toolforge(home.path(), &[&["logs", "--kubeconfig", "k", "bot", "--build"], more].concat());
    let said = logs(&[]);
    assert_eq!(
        (said.exit, said.out.as_str()),
        (0, "fetch     one of container=fetch\nbuild     one of container=build\n")
    );
    assert_eq!(said.err, "build 0123456789ab of bot, worker: failed\n");
    let followed = logs(&["worker", "-f"]);
    let lines: Vec<_> = followed.out.lines().map(|line| line.split_once("  ").expect("a phase").0).collect();
    assert_eq!((followed.exit, lines), (0, vec!["fetch", "build"]), "{followed:#?}");
    let json: Value = serde_json::from_str(logs(&["--json"]).out.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&json["phase"], &json["build"]), (&json!("fetch"), &json!("0123456789abcdef")));
    let none = logs(&["other"]);
    assert_eq!((none.exit, none.out.as_str()), (3, ""), "{none:#?}");
    assert!(none.err.contains("tool bot has no build of other that is kept"), "{none:#?}");

    let listed = toolforge(home.path(), &["builds", "--kubeconfig", "k", "--json"]).json();
    let build = &listed["builds"][0];
    assert_eq!((&build["state"], &build["waitedSecs"], &build["tookSecs"]), (&json!("failed"), &json!(10), &json!(50)));
    assert!(build["why"].as_str().is_some_and(|why| why.contains("build: exit code 51")), "{build:#}");
}

/// What a build, or whoever runs it, says to steer a terminal.
const STEERS: &str = "\u{1b}]8;;https://evil.example\u{7}here\u{9b}2J\u{202e}txt";
const ESCAPED: &str = "\\u{1b}]8;;https://evil.example\\u{7}here\\u{9b}2J\\u{202e}txt";

/// A failed build by Tekton, of which only its controller says why.
fn pipeline_run() -> Value {
    let mut run = job();
    run["apiVersion"] = json!("tekton.dev/v1");
    run["kind"] = json!("PipelineRun");
    let failed = json!({"type": "Succeeded", "status": "False", "reason": "Failed", "message": STEERS});
    run["status"] = json!({"startTime": "2026-01-01T00:00:10Z", "conditions": [failed]});
    run
}

/// The same cluster, with a builder of this kind, on which everything that can be a stranger's word steers terminals.
fn hostile(backend: Backend) -> Router {
    let answer = move |request: Request| {
        let (path, backend) = (request.uri().path().to_owned(), backend.clone());
        async move {
            let list = |items: Value| json!({"metadata": {"resourceVersion": "9"}, "items": items}).to_string();
            let is_tekton = matches!(backend, Backend::Tekton(_));
            let body = match path.as_str() {
                "/api/v1/namespaces/toolforge/configmaps/toolforge-platform" => {
                    let platform =
                        renderer::Platform { builds: Some(Builds::by(backend)), ..renderer::Platform::builtin() };
                    json!({"data": {"platform.json": serde_json::to_string(&platform).expect("JSON")}}).to_string()
                }
                "/apis/batch/v1/namespaces/toolforge-builds/jobs" if is_tekton => list(json!([])),
                "/apis/tekton.dev/v1/namespaces/toolforge-builds/pipelineruns" if is_tekton => {
                    list(json!([pipeline_run()]))
                }
                "/api/v1/namespaces/toolforge-builds/pods" if is_tekton => list(json!([])),
                "/api/v1/namespaces/toolforge-builds/pods" => {
                    let mut pod = pod();
                    pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["message"] = json!(STEERS);
                    list(json!([pod]))
                }
                path if path.ends_with("/log") => return Body::from(format!("{STEERS}\n")).into_response(),
                _ => return cluster(request).await,
            };
            ([("content-type", "application/json")], body).into_response()
        }
    };
    Router::new().fallback(answer)
}

#[test]
fn the_end_of_a_build_s_log_steers_no_terminal_whoever_builds() {
    let lifecycle = Backend::Lifecycle(Lifecycle::of("r.example/toolforge@sha256:1".to_owned()));
    let tekton = Backend::Tekton(Tekton { pipeline: "buildpacks".to_owned(), service_account: None });
    let steers = |c: char| c != '\n' && c != '\t' && renderer::diagnostic::steers(c);
    for backend in [lifecycle, tekton] {
        let is_tekton = matches!(backend, Backend::Tekton(_));
        let (url, _runtime) = listen(hostile(backend));
        let home = folder(&[("k", &kubeconfig(&url))]);
        let ran = |arguments: &[&str]| {
            let ran = toolforge(home.path(), &[arguments, &["--kubeconfig", "k"]].concat());
            assert!(ran.exit == 0 && !ran.out.contains(steers) && !ran.err.contains(steers), "{ran:#?}");
            ran
        };
        let table = ran(&["builds", "--color", "never"]);
        assert!(table.out.contains("https://evil.example"), "{table:#?}");
        let told = ran(&["builds", "--json"]);
        assert!(told.json()["builds"][0]["why"].as_str().is_some_and(|why| why.contains("https://evil.example")));
        let said = ran(&["logs", "bot", "--build"]);
        if is_tekton {
            assert!(said.err.contains(ESCAPED), "its pods are gone, so its controller's words are told: {said:#?}");
        } else {
            assert_eq!(said.out, format!("fetch     {ESCAPED}\nbuild     {ESCAPED}\n"));
            let line = ran(&["logs", "bot", "--build", "--json"]);
            let line: Value = serde_json::from_str(line.out.lines().next().expect("a line")).expect("JSON");
            assert_eq!(line["line"], STEERS);
        }
    }
}

/// `toolforge run` beside the test; asked to end, and waited for.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let asked = std::process::Command::new("kill").args(["-INT", &pid]).status();
        assert!(asked.is_ok_and(|status| status.success()) && self.0.wait().is_ok());
    }
}

#[test]
fn who_waits_for_a_build_is_told_how_it_ends_also_where_its_log_cannot_be_read() {
    let stage = Stage::new(BUILDS);
    let mut run = command(&stage.path("."), &["run", "config", "--sandbox", "--sandbox-folder", "sandbox"]);
    run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _running = Running(run.spawn().expect("the binary runs"));
    let listed = || stage.run(&["builds", "bot", "--json"]);
    let has_ended = |ran: &Ran| ran.exit == 0 && ran.json()["builds"][0]["state"] == "succeeded";
    let begun = std::time::Instant::now();
    let is_served = || stage.path("sandbox/kubeconfig").exists();
    // Before it is served, whoever looks has the sandbox for itself.
    while !is_served() || !has_ended(&listed()) {
        assert!(begun.elapsed().as_secs() < 60, "it is never built: served: {}", is_served());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // Its image is not there, so it is asked for once more; the sandbox has no logs.
    let waited = stage.run(&["build", "bot", "--wait", "--timeout", "60"]);
    assert_eq!(waited.exit, 0, "{waited:#?}");
    assert!(waited.out.starts_with("build ") && waited.out.contains(" succeeded after "), "{waited:#?}");
    assert!(waited.err.contains("asked for once more"), "{waited:#?}");
}
