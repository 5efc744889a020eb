//! API servers of our own making: one that only writes down what is asked and asks another, and one that has pods with
//! logs, which neither the sandbox nor fake nodes have.

use crate::harness::{folder, toolforge};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// Passes every request on to another server, and remembers it as `GET /path?query`.
pub struct Recorder {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Recorder {
    pub fn before(server: &str) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (memory, server) = (asked.clone(), server.to_owned());
        reconciler::cluster::install_crypto();
        // The sandbox is its own authority; whom we speak to is not in question here.
        let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build().expect("a client");
        let pass = move |request: Request| {
            let (memory, server, client) = (memory.clone(), server.clone(), client.clone());
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                memory.lock().expect("a memory").push(line);
                let url = format!("{server}{}", request.uri());
                let (parts, body) = request.into_parts();
                let mut headers = parts.headers;
                headers.remove("host");
                let body = to_bytes(body, 1 << 20).await.expect("a small body");
                let answer = client.request(parts.method, url).headers(headers).body(body).send().await;
                let answer = answer.expect("an answer");
                let (status, kind) = (answer.status(), answer.headers().get("content-type").cloned());
                let kind = kind.expect("a content type");
                (status, [("content-type", kind)], answer.bytes().await.expect("a body")).into_response()
            }
        };
        let (url, runtime) = listen(Router::new().fallback(pass));
        Self { url, asked, _runtime: runtime }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a memory").clone()
    }
}

/// Serves on a port of its own, while the runtime is kept.
pub fn listen(routes: Router) -> (String, tokio::runtime::Runtime) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = runtime.block_on(listener).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(async move { axum::serve(listener, routes).await });
    (url, runtime)
}

/// Two pods that speak, and one that cannot.
async fn pods(request: Request) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let pod = |component: &str, name: &str| serde_json::json!({"metadata": {"name": name, "labels": {"app.kubernetes.io/name": component}}});
    match path {
        "/version" => json(serde_json::json!({"gitVersion": "v1.36.3"})).into_response(),
        "/api/v1/namespaces/tool-locked/secrets" => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        path if path.ends_with("/secrets") => json(serde_json::json!({"items": []})).into_response(),
        "/api/v1/namespaces/tool-locked/pods" => {
            json(serde_json::json!({"items": [pod("web", "web-1")]})).into_response()
        }
        "/api/v1/namespaces/tool-empty/pods" => json(serde_json::json!({"items": []})).into_response(),
        "/api/v1/namespaces/tool-wordcount/pods" if query.contains("%3Dweb") => {
            json(serde_json::json!({"items": [pod("web", "web-1")]})).into_response()
        }
        "/api/v1/namespaces/tool-wordcount/pods" => {
            let all = [pod("worker", "worker-1"), pod("web", "web-1"), pod("worker", "worker-0")];
            json(serde_json::json!({"items": all})).into_response()
        }
        "/api/v1/namespaces/tool-rogue/pods" => {
            json(serde_json::json!({"items": [pod("web", "web\u{9b}2J")]})).into_response()
        }
        path if path.starts_with("/api/v1/namespaces/tool-rogue/pods/") => {
            let mut said =
                "\u{1b}]8;;https://evil.example\u{1b}\\here\t\u{1b}]52;c;eA==\u{7}\r\n".to_owned().into_bytes();
            said.extend("\u{9b}2J\u{202e}dne\u{2066}\r\u{8}\n".bytes());
            said.extend(b"latin 1: \x9b2J \xfc\n");
            said.resize(said.len() + 200_000, b'x');
            Body::from(said).into_response()
        }
        "/api/v1/namespaces/tool-wordcount/pods/worker-0/log" => {
            let status =
                serde_json::json!({"kind": "Status", "reason": "BadRequest", "message": "it is starting", "code": 400});
            (axum::http::StatusCode::BAD_REQUEST, json(status)).into_response()
        }
        path if path.ends_with("/log") => Body::from(format!("one\n{query}\nlast, without a line end")).into_response(),
        _ => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

fn json(value: serde_json::Value) -> impl axum::response::IntoResponse {
    ([("content-type", "application/json")], value.to_string())
}

/// For a server without a login.
pub fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: '{url}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    )
}

#[test]
fn what_a_container_says_steers_no_terminal_and_a_line_without_end_comes_in_pieces() {
    let (url, _runtime) = listen(Router::new().fallback(pods));
    let home = folder(&[("k", &kubeconfig(&url))]);
    let logs = |more: &[&str]| toolforge(home.path(), &[&["logs", "--kubeconfig", "k", "rogue"], more].concat());
    let steers = |c: char| c != '\n' && c != '\t' && renderer::diagnostic::steers(c);
    let said = logs(&["--color", "always"]);
    assert!(said.exit == 0 && !said.out.contains(steers) && !said.err.contains(steers), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], "\\u{1b}]8;;https://evil.example\\u{1b}\\here\t\\u{1b}]52;c;eA==\\u{7}");
    assert_eq!(lines[1], "\\u{9b}2J\\u{202e}dne\\u{2066}\\u{d}\\u{8}");
    assert_eq!(lines[2], "latin 1: \u{fffd}2J \u{fffd}");
    let pieces: Vec<usize> = lines[3..].iter().map(|piece| piece.len()).collect();
    assert_eq!(pieces, [65_536, 65_536, 65_536, 3_392]);
    let json = logs(&["--json"]);
    assert!(!json.out.contains(steers), "JSON escapes by its own means");
    let line: serde_json::Value = serde_json::from_str(json.out.lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!(line["line"], "\u{9b}2J\u{202e}dne\u{2066}\r\u{8}");
    assert_eq!(line["pod"], "web\u{9b}2J");
}

#[test]
fn logs_come_line_by_line_with_their_pod_and_one_silent_pod_hides_no_other() {
    let (url, _runtime) = listen(Router::new().fallback(pods));
    let home = folder(&[("k", &kubeconfig(&url))]);
    let logs = |more: &[&str]| toolforge(home.path(), &[&["logs", "--kubeconfig", "k"], more].concat());

    // What can't be hidden for now is not shown for now.
    let locked = logs(&["locked"]);
    assert!(locked.exit == 3 && locked.out.is_empty() && locked.err.contains("can't be hidden"), "{locked:#?}");
    let one = logs(&["wordcount", "web"]);
    assert_eq!((one.exit, one.out.as_str()), (0, "one\ntailLines=100\nlast, without a line end\n"), "{one:#?}");
    let asked = logs(&["wordcount", "web", "--since", "60", "--previous"]);
    assert_eq!(asked.out.lines().nth(1), Some("sinceSeconds=60&previous=true"), "{asked:#?}");
    let json = logs(&["wordcount", "web", "-f", "--json"]);
    let lines: Vec<serde_json::Value> =
        json.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[1]["line"], "tailLines=100&follow=true");
    assert_eq!((&lines[0]["component"], &lines[0]["pod"]), (&"web".into(), &"web-1".into()));

    let all = logs(&["wordcount"]);
    assert_eq!(all.exit, 3, "{all:#?}");
    assert!(all.out.contains("web web-1  one\n") && all.out.contains("worker worker-1  one\n"), "{all:#?}");
    assert_eq!(all.err, "error: cannot read the log of pod worker-0: 400 it is starting\n");

    let none = logs(&["empty"]);
    assert_eq!((none.exit, none.out.as_str()), (3, ""), "{none:#?}");
    assert!(none.err.contains("tool empty has no pods\nhint: Run `toolforge status empty`"), "{none:#?}");
}
