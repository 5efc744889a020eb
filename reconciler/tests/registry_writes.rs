//! Writing to a registry that lies, is full, read-only or gone half-way. The real one can't be brought to do that, so
//! this one is scripted; what it is for when all goes well is held on the real one, in the workspace's tests.

#![allow(clippy::panic, reason = "a step that does what it must not is a failed test")]

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use planner::image::digest_of;
use planner::outcome::{FailureKind, Row, RowResult};
use planner::plan::{Action, Cause, Plan, Request, Step, Target};
use reconciler::cluster::Cluster;
use reconciler::cluster::door::Requests;
use reconciler::dialer::{Credentials, DialError, Dialer, HostPort, Rules, Secret};
use reconciler::execute::{Doors, execute};
use reconciler::registry::{Reference, Registry, RegistryError};
use renderer::{Digest, ObjectId, ToolName};
use sandbox::Sandbox;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

const LAYER: &[u8] = b"a layer";
const CONFIG: &[u8] = br#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:1"]}}"#;

/// What the registry does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sin {
    None,
    /// Says of a manifest that it has this digest.
    LiesOnRead,
    /// Says so of one that it has stored.
    LiesOnWrite,
    /// Sends another layer of the same length.
    OtherLayer,
    /// Sends more than the layer is long.
    Endless,
    /// Answers uploads with this status and these words.
    Refuses(u16, &'static str),
    /// Closes the connection when bytes come.
    Gone,
    /// Sends uploads to this place.
    Elsewhere(&'static str),
    /// A next page, always.
    Circle,
    /// Does not know the layer when the manifest comes.
    Forgets,
}

#[derive(Clone)]
struct Fake {
    address: String,
    sin: Sin,
    log: Arc<Mutex<Vec<String>>>,
}

fn manifest() -> Vec<u8> {
    let config = json!({"digest": digest_of(CONFIG), "size": CONFIG.len()});
    let layers = [json!({"digest": digest_of(LAYER), "size": LAYER.len()})];
    json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string().into_bytes()
}

impl Fake {
    async fn start(sin: Sin) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let fake = Self { address, sin, log: Arc::default() };
        let app = axum::Router::new().fallback(serve).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    fn ours(&self) -> Registry {
        let mut rules = Rules::default();
        rules.reach(HostPort::parse(&self.address));
        let login = (self.address.clone(), Credentials::new("u", Secret::new("pass")));
        Registry::new(Dialer::new(rules), BTreeMap::from([login]), BTreeSet::new())
    }

    fn at(&self, tag: &str) -> Reference {
        Reference::parse(&format!("{}/tool-x/{tag}", self.address)).expect("a reference")
    }

    /// A promotion, which reads, copies and writes.
    async fn promoted(&self) -> Result<Digest, RegistryError> {
        self.ours().promote(&self.at("web:from"), &self.at("main:to")).await.map(|(digest, _)| digest)
    }

    fn asked(&self) -> Vec<String> {
        self.log.lock().expect("a lock").clone()
    }

    /// Nothing has got a tag.
    fn wrote_no_tag(&self) -> bool {
        !self.asked().iter().any(|asked| asked.starts_with("PUT") && asked.contains("/manifests/"))
    }
}

async fn serve(State(fake): State<Fake>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("nobody");
    fake.log.lock().expect("a lock").push(format!("{method} {uri} {given}"));
    let path = uri.path();
    if path.ends_with("/tags/list") {
        let page = Response::builder().header("link", "</v2/tool-x/web/tags/list?last=a>; rel=\"next\"");
        return page.body(Body::from(r#"{"tags":["a"]}"#)).expect("a response");
    }
    if path.contains("/blobs/uploads/") {
        return upload(&fake, &method, &uri, &body);
    }
    match (method.as_str(), path) {
        ("GET", path) if path.contains("/manifests/") && path.starts_with("/v2/tool-x/web/") => {
            let said = if fake.sin == Sin::LiesOnRead { digest_of(b"lie") } else { digest_of(&manifest()) };
            with_digest(200, &said, manifest().into())
        }
        ("PUT", path) if path.contains("/manifests/") => match fake.sin {
            Sin::Forgets => plain(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#),
            Sin::LiesOnWrite => with_digest(201, &digest_of(b"lie"), Body::empty()),
            _ => with_digest(201, &digest_of(&body), Body::empty()),
        },
        ("GET", path) if path.ends_with(digest_of(CONFIG).as_str()) => {
            plain(200, std::str::from_utf8(CONFIG).expect("text"))
        }
        ("GET", path) if path.contains("/blobs/") => match fake.sin {
            Sin::OtherLayer => plain(200, "b layer"),
            Sin::Endless => plain(200, "a layer, and more"),
            _ => plain(200, std::str::from_utf8(LAYER).expect("text")),
        },
        _ => plain(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
    }
}

/// No mount: a registry may say so at any time.
fn upload(fake: &Fake, method: &Method, uri: &Uri, body: &Bytes) -> Response<Body> {
    match (fake.sin, method.as_str()) {
        (Sin::Refuses(status, words), _) => plain(status, words),
        // axum drops the connection with a handler's body that fails.
        (Sin::Gone, "PUT" | "PATCH") => {
            let cut = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
            Response::builder().status(201).header("content-length", "9").body(Body::from_stream(cut)).expect("one")
        }
        (Sin::Elsewhere(place), "POST") => location(202, place),
        (_, "POST") => location(202, "/v2/tool-x/main/blobs/uploads/1?state=x"),
        (_, "PUT") => {
            let query = uri.query().unwrap_or_default();
            assert!(query.contains("state=x") && query.contains(&digest_of(body).as_str()[7..]), "{query}");
            with_digest(201, &digest_of(body), Body::empty())
        }
        _ => plain(405, ""),
    }
}

fn plain(status: u16, words: &str) -> Response<Body> {
    Response::builder().status(status).body(Body::from(words.to_owned())).expect("a response")
}

fn location(status: u16, place: &str) -> Response<Body> {
    Response::builder().status(status).header("location", place).body(Body::empty()).expect("a response")
}

fn with_digest(status: u16, digest: &Digest, body: Body) -> Response<Body> {
    let response = Response::builder().status(status).header("docker-content-digest", digest.as_str());
    response.body(body).expect("a response")
}

#[tokio::test]
async fn blobs_that_can_not_be_mounted_are_copied_and_the_tag_comes_last() {
    let fake = Fake::start(Sin::None).await;
    assert_eq!(fake.promoted().await, Ok(digest_of(&manifest())));
    let asked = fake.asked();
    assert!(asked.last().expect("requests").starts_with("PUT /v2/tool-x/main/manifests/to "), "{asked:#?}");
    assert_eq!(asked.iter().filter(|asked| asked.contains("blobs/uploads/?mount=sha256%3A")).count(), 2, "{asked:#?}");
}

#[tokio::test]
async fn a_lie_about_a_digest_is_found_before_or_after() {
    for (sin, what, wrote_no_tag) in [
        (Sin::LiesOnRead, "a manifest of tool-x/web", true),
        (Sin::OtherLayer, "a layer of tool-x/web", true),
        (Sin::Endless, "a layer of tool-x/web", true),
        (Sin::LiesOnWrite, "the stored manifest of tool-x/main", false),
    ] {
        let fake = Fake::start(sin).await;
        let error = fake.promoted().await.expect_err(what);
        assert!(matches!(&error, RegistryError::WrongDigest { what: said, .. } if said == what), "{error}");
        assert_eq!(fake.wrote_no_tag(), wrote_no_tag, "{what}");
        let finished = fake
            .asked()
            .iter()
            .any(|asked| asked.starts_with("PUT") && asked.contains(&digest_of(LAYER).as_str()[7..]));
        assert_eq!(finished, sin == Sin::LiesOnWrite, "a layer that is not its digest is never finished");
    }
}

#[tokio::test]
async fn whoever_refuses_an_upload_is_told_apart_and_nothing_gets_a_tag() {
    let disk = r#"{"errors":[{"code":"UNKNOWN","detail":"write /var/lib: no space left on device"}]}"#;
    for (status, words, told) in [
        (507, "", "is full for tool-x/main (507)"),
        (413, "<html>", "is full for tool-x/main (413)"),
        (500, disk, "is full for tool-x/main (500)"),
        (405, r#"{"errors":[{"code":"UNSUPPORTED"}]}"#, "is read-only for tool-x/main"),
        (403, r#"{"errors":[{"code":"DENIED"}]}"#, "refuses access to tool-x/main"),
        (500, "", "answered 500"),
        (404, "<html>", "answered 404, without saying"),
    ] {
        let fake = Fake::start(Sin::Refuses(status, words)).await;
        let error = fake.promoted().await.expect_err(told);
        assert!(error.to_string().contains(told), "{status}: {error}");
        assert!(fake.wrote_no_tag());
    }
}

#[tokio::test]
async fn a_registry_that_goes_in_the_middle_or_forgets_a_layer_leaves_no_image() {
    let gone = Fake::start(Sin::Gone).await;
    let error = gone.promoted().await.expect_err("it is gone");
    assert!(
        matches!(error, RegistryError::Dial(DialError::Unreachable { .. }) | RegistryError::Status { .. }),
        "{error}"
    );
    assert!(gone.wrote_no_tag());
    let forgets = Fake::start(Sin::Forgets).await;
    let error = forgets.promoted().await.expect_err("the layer is unknown");
    assert!(
        matches!(&error, RegistryError::Missing { what, .. } if what.starts_with("blob that the manifest")),
        "{error}"
    );
}

/// The same promotion as a plan's step.
async fn row(fake: &Fake) -> Row {
    let id = ObjectId {
        group: "toolforge.org".into(),
        kind: "Image".into(),
        namespace: Some("tool-x".into()),
        name: "main".into(),
    };
    let (from, to) = (fake.at("web:from").to_string(), fake.at("main:to").to_string());
    let requests = vec![Request::Promote { from, digest: digest_of(&manifest()), to }];
    let step = Step {
        id,
        action: Action::Promote,
        cause: Cause::NewRevision,
        identity: planner::kinds::Identity::Platform,
        changes: Vec::new(),
        requests,
    };
    let target = Target { branch: "main".into(), commit: None, author: None };
    let plan = Plan { steps: vec![step], ..Plan::nothing(ToolName::new("x").expect("a name"), "none", target) };
    // No API server is asked: this sandbox has nothing.
    let cluster = Cluster::of_service("none", Sandbox::in_memory().service(), &Requests::default());
    let doors =
        Doors { client: &cluster.client, registry: &fake.ours(), vault: &reconciler::secrets::Vault::default() };
    execute(doors, &plan, &|_, _| {}).await.rows.remove(0)
}

#[tokio::test]
async fn an_image_that_can_not_be_taken_over_is_a_failed_step_that_says_who_has_to_do_what() {
    for (sin, kind, words) in [
        (Sin::Refuses(507, ""), FailureKind::Denied, "is full for"),
        (Sin::Refuses(405, r#"{"errors":[{"code":"UNSUPPORTED"}]}"#), FailureKind::Denied, "is read-only for"),
        (Sin::Refuses(403, r#"{"errors":[{"code":"DENIED"}]}"#), FailureKind::Denied, "refuses access to"),
        (Sin::LiesOnRead, FailureKind::Invalid, "expected sha256:"),
        (Sin::LiesOnWrite, FailureKind::Invalid, "the stored manifest"),
        (Sin::OtherLayer, FailureKind::Invalid, "a layer"),
        (Sin::Gone, FailureKind::Unreachable, ""),
    ] {
        let fake = Fake::start(sin).await;
        let row = row(&fake).await;
        let RowResult::Failed(failure) = &row.result else { panic!("{row:?}") };
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.message.contains(words), "{failure:?}");
        assert!(sin == Sin::LiesOnWrite || fake.wrote_no_tag(), "{:?}", fake.asked());
    }
    let good = row(&Fake::start(Sin::None).await).await;
    assert!(matches!(good.result, RowResult::Done { uid: None }), "{good:?}");
}

#[tokio::test]
async fn uploads_go_to_no_inner_address_and_no_password_to_another_host() {
    for place in ["http://169.254.169.254/x", "http://127.0.0.1:1/x", "file:///x", "http://["] {
        let fake = Fake::start(Sin::Elsewhere(place)).await;
        let error = fake.promoted().await.expect_err(place);
        let refused =
            matches!(error, RegistryError::Dial(DialError::HostNotAllowed(_)) | RegistryError::Garbage { .. });
        assert!(refused, "{place}: {error}");
    }
    // Another place that operators trust gets the bytes, and nothing else.
    let store = Fake::start(Sin::None).await;
    let place: &'static str = format!("http://{}/v2/tool-x/main/blobs/uploads/1?state=x", store.address).leak();
    let fake = Fake::start(Sin::Elsewhere(place)).await;
    let mut rules = Rules::default();
    rules.reach(HostPort::parse(&fake.address));
    rules.reach(HostPort::parse(&store.address));
    let login = (fake.address.clone(), Credentials::new("u", Secret::new("pass")));
    let ours = Registry::new(Dialer::new(rules), BTreeMap::from([login]), BTreeSet::new());
    assert!(ours.push_blob(&fake.at("main:to"), b"a layer".to_vec()).await.is_ok());
    let asked = store.asked();
    assert!(asked.len() == 1 && asked[0].starts_with("PUT") && asked[0].ends_with(" nobody"), "{asked:?}");
}

#[tokio::test]
async fn a_list_without_end_ends() {
    let fake = Fake::start(Sin::Circle).await;
    let error = fake.ours().tags(&fake.at("web")).await.expect_err("a circle");
    assert!(matches!(error, RegistryError::Garbage { why: "with a list without end", .. }), "{error}");
}
