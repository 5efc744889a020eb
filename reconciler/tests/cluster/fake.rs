//! A scripted API server in this process, for what a real one does only when it is broken.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body;
use kube::client::ClientBuilder;
use planner::kinds::Needs;
use reconciler::cluster::door::{Door, Requests};
use reconciler::observe::{Counters, Pace, Scope, Whose, World};
use renderer::ToolName;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// What a script is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    pub body: Value,
}

impl Ask {
    pub fn asks(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }

    pub fn is_watch(&self) -> bool {
        self.asks("watch") == "1"
    }

    pub fn is_streamed_list(&self) -> bool {
        self.asks("sendInitialEvents") == "true"
    }
}

/// How a stream goes on after its lines.
#[derive(Debug, Clone, Copy)]
pub enum Then {
    Silent,
    Closed,
    ClosedAfter(Duration),
    /// In the middle of a line.
    Cut,
}

/// What a script answers.
#[derive(Debug)]
pub enum Reply {
    Json(u16, Value),
    Text(u16, &'static str),
    Headers(u16, &'static [(&'static str, &'static str)]),
    Lines(Vec<String>, Then),
    Never,
}

type Script = dyn Fn(&Ask) -> Reply + Send + Sync;

/// The server, and what it was asked.
#[derive(Clone)]
pub struct Fake {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Ask>>>,
}

impl Fake {
    pub fn new(script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), asked: Arc::default() }
    }

    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().expect("the log").clone()
    }

    /// The requests for one path.
    pub fn asked_for(&self, path: &str) -> Vec<Ask> {
        self.asked().into_iter().filter(|ask| ask.path == path).collect()
    }

    pub fn client(&self) -> kube::Client {
        let door = Door::new(&Requests::default()).limit(Duration::from_millis(200));
        ClientBuilder::new(self.clone(), "default").with_layer(&door).build()
    }
}

impl tower::Service<Request<Body>> for Fake {
    type Response = Response<UnsyncBoxBody<Bytes, std::io::Error>>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fake = self.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.expect("a body");
            let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes());
            let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
            let ask = Ask {
                method: parts.method.clone(),
                path: parts.uri.path().to_owned(),
                query: query.map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
                content_type: header("content-type").to_owned(),
                body: if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") },
            };
            let reply = (fake.script)(&ask);
            fake.asked.lock().expect("the log").push(ask);
            answer(reply).await
        }
        .boxed()
    }
}

async fn answer(reply: Reply) -> Result<Response<UnsyncBoxBody<Bytes, std::io::Error>>, std::io::Error> {
    let mut response = Response::builder();
    let (status, chunks, then) = match reply {
        Reply::Json(status, value) => (status, vec![value.to_string()], Then::Closed),
        Reply::Text(status, text) => (status, vec![text.to_owned()], Then::Closed),
        Reply::Headers(status, headers) => {
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            (status, Vec::new(), Then::Closed)
        }
        Reply::Lines(lines, then) => (200, lines.into_iter().map(|line| line + "\n").collect(), then),
        Reply::Never => std::future::pending().await,
    };
    let data = stream::iter(chunks).map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
    let rest = match then {
        Then::Closed => stream::empty().boxed(),
        Then::Silent => stream::pending().boxed(),
        Then::ClosedAfter(lived) => stream::once(tokio::time::sleep(lived)).filter_map(|()| async { None }).boxed(),
        Then::Cut => {
            let half = Ok(Frame::data(Bytes::from_static(br#"{"type":"MODIFIED","object":{"metadata":{"na"#)));
            stream::iter([half, Err(std::io::Error::other("connection reset"))]).boxed()
        }
    };
    let body = StreamBody::new(data.chain(rest)).boxed_unsync();
    Ok(response.status(status).body(body).expect("a response"))
}

/// One line of a watch.
pub fn line(word: &str, object: Value) -> String {
    json!({"type": word, "object": object}).to_string()
}

pub fn bookmark(version: &str, list_ends: bool) -> String {
    let annotations = if list_ends { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    line("BOOKMARK", json!({"metadata": {"resourceVersion": version, "annotations": annotations}}))
}

pub fn list(version: &str, items: &[Value]) -> Reply {
    Reply::Json(200, json!({"metadata": {"resourceVersion": version}, "items": items}))
}

/// A refusal as the API server words it.
pub fn status(code: u16, reason: &str, message: &str) -> Reply {
    Reply::Json(
        code,
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

/// A server with nothing in it, on which nothing happens.
pub fn quiet(ask: &Ask) -> Reply {
    if ask.is_streamed_list() {
        Reply::Lines(vec![bookmark("1", true)], Then::Silent)
    } else if ask.is_watch() {
        Reply::Lines(Vec::new(), Then::Silent)
    } else {
        list("1", &[])
    }
}

/// A Deployment `web` of a tool.
pub fn deployment(tool: &str, version: &str, replicas: u32) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": format!("tool-{tool}"), "resourceVersion": version, "uid": "u1"},
        "spec": {"replicas": replicas},
    })
}

pub const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";

pub fn tool(name: &str) -> ToolName {
    ToolName::new(name).expect("a name")
}

/// A watched world, and whom it woke.
pub struct Watched {
    pub world: World,
    pub counters: Counters,
    woken: Arc<Mutex<Vec<String>>>,
}

pub fn scope() -> Scope {
    let pace = Pace {
        silence: Duration::from_secs(5),
        stream_silence: Duration::from_millis(50),
        watch: Duration::from_secs(60),
        compare: Duration::from_secs(60),
        compare_again: Duration::from_millis(60),
        grace: Duration::from_millis(10),
        first_delay: Duration::from_millis(4),
        last_delay: Duration::from_millis(20),
        short_life: Duration::from_millis(1),
    };
    Scope {
        cluster: "fake".to_owned(),
        platform: "tools".into(),
        platform_namespace: "toolforge".to_owned(),
        route: Needs::Ingress,
        builds: None,
        pace,
    }
}

pub fn watch(fake: &Fake, scope: Scope) -> Watched {
    let woken = Arc::new(Mutex::new(Vec::new()));
    let (counters, wakes) = (Counters::default(), woken.clone());
    let wake = Box::new(move |whose: Whose<'_>| wakes.lock().expect("the list").push(whose.to_string()));
    Watched { world: World::start(&fake.client(), scope, &counters, wake), counters, woken }
}

impl Watched {
    /// Whom the world woke since the last call.
    pub fn woken(&self) -> Vec<String> {
        std::mem::take(&mut *self.woken.lock().expect("the list"))
    }

    pub fn gap(&self, kind: &str) -> Option<String> {
        let observed = self.world.observed(&tool("a"));
        observed.gaps.into_iter().find(|gap| gap.kind == kind).map(|gap| gap.why)
    }

    /// The replicas of a tool's Deployment, if it is known.
    pub fn replicas(&self, name: &str) -> Option<u64> {
        let observed = self.world.observed(&tool(name));
        let live = observed.objects.iter().find_map(|(id, _)| observed.live(id).filter(|_| id.kind == "Deployment"));
        live.and_then(|live| live.pointer("/spec/replicas")?.as_u64())
    }

    /// Waits until something holds, which the world makes true by itself.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        while !holds(self) {
            assert!(tokio::time::Instant::now() < patience, "{what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
