//! Registry look-ups against a small http fake that misbehaves; the real registry is asked in the workspace's tests.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use reconciler::dialer::{Credentials, DialError, Dialer, HostPort, Rules, Secret};
use reconciler::registry::{Registry, RegistryError};
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// How the fake answers.
#[derive(Clone)]
enum Mode {
    /// Status, body, and whether the digest stands in a header.
    Plain(u16, &'static str, bool),
    /// Only with this `Authorization`, else 401 with this challenge; `{port}` is filled in.
    Guarded(&'static str, &'static str),
    Hang,
}

#[derive(Clone)]
struct Fake {
    port: u16,
    mode: Arc<Mutex<Mode>>,
    log: Arc<Mutex<Vec<String>>>,
}

const MANIFEST: &str = r#"{"schemaVersion":2}"#;

impl Fake {
    async fn start(mode: Mode) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let fake = Self { port, mode: Arc::new(Mutex::new(mode)), log: Arc::default() };
        let app = axum::Router::new().fallback(serve).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().expect("a lock") = mode;
    }

    fn repository(&self) -> String {
        format!("127.0.0.1:{}/tool-x/web", self.port)
    }

    fn reader(&self, credentials: Option<(&str, &str)>) -> Registry {
        let host = format!("127.0.0.1:{}", self.port);
        let mut rules = Rules::default();
        rules.reach(HostPort::parse(&host));
        let credentials = credentials.map(|(user, password)| (host, Credentials::new(user, Secret::new(password))));
        Registry::new(Dialer::new(rules), credentials.into_iter().collect(), BTreeSet::new())
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().expect("a lock"))
    }
}

async fn serve(State(fake): State<Fake>, method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    fake.log.lock().expect("a lock").push(format!("{method} {} {given}", uri.path()).trim().to_owned());
    let mode = fake.mode.lock().expect("a lock").clone();
    if uri.path() == "/token" {
        let scope = uri.query().unwrap_or_default();
        assert!(scope.contains("service=fake") && scope.contains("scope=repository%3Atool-x%2Fweb%3Apull"), "{scope}");
        return answer(200, r#"{"token":"t0ken","expires_in":300}"#, false);
    }
    match uri.path() {
        "/eternal" => return answer(200, r#"{"token":"t0ken","expires_in":18446744073709551615}"#, false),
        "/endless" => {
            let token = format!(r#"{{"token":"{}"}}"#, "x".repeat(65 << 10));
            return Response::new(Body::from(token));
        }
        _ => {}
    }
    match mode {
        Mode::Hang => std::future::pending().await,
        Mode::Plain(status, body, header) => answer(status, body, header),
        Mode::Guarded(wanted, _) if given == wanted => answer(200, MANIFEST, true),
        Mode::Guarded(_, challenge) => {
            let mut response = answer(401, "{}", false);
            let challenge = challenge.replace("{port}", &fake.port.to_string());
            response.headers_mut().insert("www-authenticate", challenge.parse().expect("a header"));
            response
        }
    }
}

fn answer(status: u16, body: &'static str, header: bool) -> Response<Body> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if header {
        response = response.header("docker-content-digest", digest(body));
    }
    response.body(Body::from(body)).expect("a response")
}

fn digest(body: &str) -> String {
    let hash = sha2::Sha256::digest(body.as_bytes());
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[tokio::test]
async fn a_tag_has_the_digest_of_its_manifest_and_costs_one_head() {
    let fake = Fake::start(Mode::Plain(200, MANIFEST, true)).await;
    let found = fake.reader(None).resolve(&fake.repository(), "abc").await.expect("an answer");
    assert_eq!(found.expect("a digest").as_str(), digest(MANIFEST));
    assert_eq!(fake.requests(), ["HEAD /v2/tool-x/web/manifests/abc"]);
    // A registry that does not say the digest is asked for the manifest.
    fake.set(Mode::Plain(200, MANIFEST, false));
    let found = fake.reader(None).resolve(&fake.repository(), "abc").await.expect("an answer");
    assert_eq!(found.expect("a digest").as_str(), digest(MANIFEST));
}

#[tokio::test]
async fn only_the_registry_s_own_word_makes_an_image_absent() {
    let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}"#;
    let fake = Fake::start(Mode::Plain(404, unknown, false)).await;
    let reader = fake.reader(None);
    let repository = fake.repository();
    assert_eq!(reader.resolve(&repository, "abc").await, Ok(None));
    for (status, body) in [(404, "<html>"), (404, "{}"), (500, unknown), (200, ""), (200, "<html>"), (502, "")] {
        fake.set(Mode::Plain(status, body, false));
        let answer = reader.resolve(&repository, "abc").await;
        assert!(answer.is_err(), "{status} {body:?}: {answer:?}");
    }
    fake.set(Mode::Plain(403, "", false));
    let denied = reader.resolve(&repository, "abc").await.expect_err("denied");
    assert!(matches!(denied, RegistryError::Denied { .. }), "{denied:?}");
}

#[tokio::test]
async fn a_pinned_image_is_not_asked_for_and_a_bad_reference_never_leaves() {
    let fake = Fake::start(Mode::Hang).await;
    let reader = fake.reader(None);
    let pinned = format!("{}@{}", fake.repository(), digest("x"));
    assert_eq!(reader.digest_of(&pinned).await.expect("an answer").expect("a digest").as_str(), digest("x"));
    let bad = reader.digest_of(&format!("127.0.0.1:{}/../x", fake.port)).await;
    assert!(matches!(bad, Err(RegistryError::BadReference(_))), "{bad:?}");
    assert_eq!(fake.requests(), [""; 0]);
}

#[tokio::test]
async fn basic_and_bearer_challenges_are_met_and_a_token_is_used_again() {
    let fake = Fake::start(Mode::Guarded("Basic dTpwYXNz", "Basic realm=\"x\"")).await;
    let found = fake.reader(Some(("u", "pass"))).resolve(&fake.repository(), "abc").await;
    assert!(matches!(found, Ok(Some(_))), "{found:?}");

    fake.set(Mode::Guarded("Bearer t0ken", "Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"fake\""));
    let reader = fake.reader(Some(("u", "pass")));
    fake.requests();
    for _ in 0..2 {
        let found = reader.resolve(&fake.repository(), "abc").await;
        assert!(matches!(found, Ok(Some(_))), "{found:?}");
    }
    let manifest = "HEAD /v2/tool-x/web/manifests/abc";
    let (with_token, token) = (format!("{manifest} Bearer t0ken"), "GET /token Basic dTpwYXNz".to_owned());
    assert_eq!(fake.requests(), [manifest.to_owned(), token, with_token.clone(), with_token]);
}

#[tokio::test]
async fn wrong_credentials_are_denied_and_never_printed() {
    let fake = Fake::start(Mode::Guarded("Basic never", "Basic realm=\"x\"")).await;
    let error = fake.reader(Some(("u", "s3cret"))).resolve(&fake.repository(), "abc").await.expect_err("denied");
    assert!(matches!(error, RegistryError::Denied { .. }));
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    let anonymous = fake.reader(None).resolve(&fake.repository(), "abc").await;
    assert!(matches!(anonymous, Err(RegistryError::Denied { .. })), "{anonymous:?}");
}

#[tokio::test]
async fn a_token_realm_is_dialled_under_the_same_rules_and_gets_no_password_in_the_clear() {
    for realm in
        ["http://auth.example/token", "http://169.254.169.254/token", "https://169.254.169.254/token", "file:///x"]
    {
        let challenge: &'static str = Box::leak(format!("Bearer realm=\"{realm}\",service=\"fake\"").into_boxed_str());
        let fake = Fake::start(Mode::Guarded("Bearer never", challenge)).await;
        let error = fake.reader(Some(("u", "pass"))).resolve(&fake.repository(), "abc").await.expect_err("refused");
        let refused =
            matches!(error, RegistryError::Garbage { .. } | RegistryError::Dial(DialError::HostNotAllowed(_)));
        assert!(refused, "{realm}: {error:?}");
    }
}

#[tokio::test]
async fn a_token_may_neither_live_for_ever_nor_fill_memory() {
    let eternal = Fake::start(Mode::Guarded("Bearer t0ken", "Bearer realm=\"http://127.0.0.1:{port}/eternal\"")).await;
    let found = eternal.reader(None).resolve(&eternal.repository(), "abc").await.expect("an answer");
    assert!(found.is_some());
    let endless = Fake::start(Mode::Guarded("Bearer x", "Bearer realm=\"http://127.0.0.1:{port}/endless\"")).await;
    let error = endless.reader(None).resolve(&endless.repository(), "abc").await.expect_err("too large");
    assert!(matches!(error, RegistryError::Dial(DialError::TooLarge { limit_bytes: 65_536, .. })), "{error:?}");
}

#[tokio::test]
async fn a_registry_that_nobody_wrote_down_is_not_dialled() {
    let fake = Fake::start(Mode::Plain(200, MANIFEST, true)).await;
    let dialer = Dialer::new(Rules::default());
    let reader = Registry::new(dialer, BTreeMap::new(), BTreeSet::new());
    let error = reader.resolve(&fake.repository(), "abc").await.expect_err("refused");
    assert!(matches!(error, RegistryError::Dial(DialError::HostNotAllowed(_))), "{error:?}");
    assert_eq!(fake.requests(), [""; 0]);
}
