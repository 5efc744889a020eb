//! Real repositories by the git program, and a loopback http server around `git http-backend` that counts requests
//! and can be told to misbehave.
#![allow(dead_code, reason = "each test binary uses a part")]

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use reconciler::dialer::{Dialer, HostPort, Rules};
use reconciler::source::{Git, RepositoryUrl, Settings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt as _;

/// A repository with a working tree.
pub struct Repository {
    pub path: PathBuf,
}

impl Repository {
    /// `git init` in `<parent>/<name>`.
    pub fn new(parent: &Path, name: &str) -> Self {
        let path = parent.join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        let repository = Self { path };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["config", "http.uploadpack", "true"]);
        repository
    }

    /// Runs git here and returns what it said.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.path, arguments)
    }

    /// Writes files and commits them; returns the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            self.write(name, content.as_bytes());
        }
        self.commit_all()
    }

    /// Writes one file without committing it.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// Commits everything; returns the commit.
    pub fn commit_all(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a commit"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Runs git in `folder`, apart from this machine's configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
        .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// How the server misbehaves, for paths that start with a prefix.
#[derive(Debug, Clone)]
pub enum Fault {
    Hang,
    Status(u16),
    Redirect(u16, String),
    Body(&'static str, Vec<u8>),
    /// Endless zeros after a well-formed start.
    Flood(&'static str, Vec<u8>),
    /// Protocol v0, whatever was asked for.
    OldProtocol,
    /// Only with these basic credentials, base64.
    Auth(&'static str),
}

#[derive(Clone)]
struct Shared {
    root: PathBuf,
    faults: Arc<Mutex<BTreeMap<String, Fault>>>,
    log: Arc<Mutex<Vec<String>>>,
}

/// A git host on a loopback port; ends with its runtime.
pub struct Host {
    pub port: u16,
    shared: Shared,
}

impl Host {
    /// Serves the repositories below `root`.
    pub async fn start(root: &Path) -> Self {
        let shared = Shared { root: root.to_owned(), faults: Arc::default(), log: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let app = axum::Router::new().fallback(serve).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, shared }
    }

    pub fn url(&self, path: &str) -> RepositoryUrl {
        RepositoryUrl::parse(&self.text(path)).expect("a URL")
    }

    pub fn text(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub fn fault(&self, prefix: &str, fault: Fault) {
        let mut faults = self.shared.faults.lock().expect("a lock");
        faults.insert(format!("/{prefix}"), fault);
    }

    pub fn heal(&self) {
        self.shared.faults.lock().expect("a lock").clear();
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.log.lock().expect("a lock"))
    }
}

/// A reader of repositories that may dial the given loopback ports, with its cache in `cache`.
pub fn reader(cache: &Path, ports: &[u16]) -> Git {
    let mut settings = Settings::new(cache);
    settings.ls_refs_timeout_secs = 2;
    settings.fetch_timeout_secs = 3;
    settings.max_pack_bytes = 4 << 20;
    reader_with(settings, ports)
}

pub fn reader_with(settings: Settings, ports: &[u16]) -> Git {
    let mut rules = Rules::default();
    for port in ports {
        rules.name(HostPort::new("127.0.0.1", Some(*port)), Some(*port));
    }
    Git::new(Dialer::new(rules), settings, Vec::new())
}

async fn serve(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    shared.log.lock().expect("a lock").push(format!("{method} {path}"));
    let fault = {
        let faults = shared.faults.lock().expect("a lock");
        faults
            .iter()
            .filter(|(prefix, _)| path.starts_with(prefix.as_str()))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, fault)| fault.clone())
    };
    let mut protocol = headers.get("git-protocol").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    match fault {
        None => {}
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(code)) => return status(code),
        Some(Fault::Redirect(code, to)) => {
            let mut response = status(code);
            let tail = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            let to = to.replace("{tail}", &tail);
            response.headers_mut().insert("location", to.parse().expect("a header"));
            return response;
        }
        Some(Fault::Body(kind, bytes)) => return answer(kind, Body::from(bytes)),
        Some(Fault::Flood(kind, start)) => {
            let zeros = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 65536])));
            let start = futures::stream::once(async move { Ok(Bytes::from(start)) });
            return answer(kind, Body::from_stream(futures::StreamExt::chain(start, zeros)));
        }
        Some(Fault::OldProtocol) => protocol.clear(),
        Some(Fault::Auth(wanted)) => {
            let given = headers.get("authorization").and_then(|v| v.to_str().ok());
            if given != Some(&format!("Basic {wanted}")) {
                return status(401);
            }
        }
    }
    backend(&shared.root, &method, &uri, &headers, &protocol, body).await
}

fn status(code: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

fn answer(kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", kind.parse().expect("a header"));
    response
}

async fn backend(
    root: &Path,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    protocol: &str,
    body: Bytes,
) -> Response<Body> {
    let kind = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", kind)
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("GIT_PROTOCOL", protocol)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git http-backend");
    let mut stdin = child.stdin.take().expect("a pipe");
    let feed = tokio::spawn(async move {
        stdin.write_all(&body).await.ok();
    });
    let output = child.wait_with_output().await.expect("git http-backend");
    feed.await.expect("fed");
    let split = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").expect("a CGI header");
    let mut response = Response::new(Body::from(output.stdout[split + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output.stdout[..split]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        if name == "Status" {
            let code = value[..3].parse().expect("a status");
            *response.status_mut() = StatusCode::from_u16(code).expect("a status");
        } else {
            let name: axum::http::HeaderName = name.parse().expect("a name");
            response.headers_mut().insert(name, value.parse().expect("a value"));
        }
    }
    response
}
