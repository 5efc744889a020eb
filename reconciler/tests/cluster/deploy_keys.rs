//! Keys for repositories: read when their Secrets change, and at no other time.

use crate::fake::{Fake, Reply, bookmark, line, quiet, scope, tool, watch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler::observe::{SecretTold, Told};
use reconciler::secrets::deploy_keys::{lookup, watched_lookup};
use reconciler::source::SshKeys;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const SECRETS: &str = "/api/v1/namespaces/toolforge/secrets/";
const OWN: &str = "deploy-key.a";
const OF_HOST: &str = "git-key.git.example";

/// Secrets by name, as they are read one by one.
type Kept = Arc<Mutex<BTreeMap<&'static str, Value>>>;

fn server() -> (Fake, Kept) {
    let kept = Kept::default();
    let state = Arc::clone(&kept);
    let fake = Fake::new(move |ask| {
        let Some(name) = ask.path.strip_prefix(SECRETS) else { return quiet(ask) };
        match state.lock().expect("the state").get(name) {
            Some(data) => Reply::Json(200, json!({"metadata": {"name": name}, "data": data})),
            None => {
                let details = json!({"name": name, "kind": "secrets"});
                Reply::Json(404, json!({"code": 404, "reason": "NotFound", "message": "no", "details": details}))
            }
        }
    });
    (fake, kept)
}

fn data(keys: &SshKeys) -> Value {
    json!({"ssh-privatekey": STANDARD.encode(keys.to_secret().reveal())})
}

/// A watch that says this of each Secret; of others, that they are not there.
fn watched() -> (SecretTold, Arc<Mutex<BTreeMap<&'static str, Told>>>) {
    let told: Arc<Mutex<BTreeMap<&'static str, Told>>> = Arc::default();
    let says = Arc::clone(&told);
    (Arc::new(move |name: &str| says.lock().expect("a lock").get(name).copied().unwrap_or(Told::Absent)), told)
}

#[tokio::test]
async fn a_key_is_read_once_a_version_and_one_that_is_not_there_not_at_all() {
    let ((fake, kept), (told, says)) = (server(), watched());
    let find = watched_lookup(&fake.client(), "toolforge", told);
    let find = || find(tool("a"), "git.example".to_owned());
    let (first, second, platforms) = (SshKeys::generate("1"), SshKeys::generate("2"), SshKeys::generate("p"));
    let tell = |name, told| {
        says.lock().expect("a lock").insert(name, told);
    };
    let put = |name, data| drop(kept.lock().expect("a lock").insert(name, data));
    let reads = || fake.asked().len();
    for _ in 0..3 {
        assert_eq!(find().await.expect_err("no key"), "secret toolforge/deploy-key.a does not exist");
    }
    assert_eq!(reads(), 0);
    // What holds no key holds none the next time either.
    put(OWN, json!({"ssh-privatekey": STANDARD.encode("canary")}));
    tell(OWN, Told::At(7));
    for _ in 0..3 {
        let why = find().await.expect_err("no key");
        assert!(why.starts_with("secret toolforge/deploy-key.a can't be used") && !why.contains("canary"), "{why}");
    }
    assert_eq!(reads(), 1);
    for (version, keys) in [(8, &first), (9, &second)] {
        put(OWN, data(keys));
        tell(OWN, Told::At(version));
        for _ in 0..3 {
            assert_eq!(find().await.as_ref(), Ok(keys));
        }
    }
    assert_eq!(reads(), 3);
    // It goes, and there is the platform's.
    put(OF_HOST, data(&platforms));
    tell(OF_HOST, Told::At(3));
    tell(OWN, Told::Absent);
    for _ in 0..3 {
        assert_eq!(find().await.as_ref(), Ok(&platforms));
    }
    assert_eq!(reads(), 4);
}

#[tokio::test]
async fn a_key_is_for_the_host_that_stands_beside_it_and_by_hand_for_any() {
    let (fake, kept) = server();
    let find = lookup(&fake.client(), "toolforge");
    let find = |host: &str| find(tool("a"), host.to_owned());
    let keys = SshKeys::generate("a");
    kept.lock().expect("a lock").insert(OWN, data(&keys));
    assert_eq!(find("git.example").await.as_ref(), Ok(&keys), "nobody wrote a host down");
    let mut made = data(&keys);
    made["host"] = json!(STANDARD.encode("old.example"));
    kept.lock().expect("a lock").insert(OWN, made);
    assert_eq!(find("old.example").await.as_ref(), Ok(&keys));
    let why = find("git.example").await.expect_err("another host");
    assert_eq!(why, "secret toolforge/deploy-key.a holds one for old.example alone");
    let platforms = SshKeys::generate("p");
    kept.lock().expect("a lock").insert(OF_HOST, data(&platforms));
    assert_eq!(find("git.example").await.as_ref(), Ok(&platforms), "it has none of its own there");
}

#[tokio::test]
async fn where_no_watch_tells_each_question_is_asked_anew() {
    let (fake, kept) = server();
    let find = lookup(&fake.client(), "toolforge");
    let find = || find(tool("a"), "git.example".to_owned());
    find().await.expect_err("no key");
    assert_eq!(fake.asked().len(), 2, "the tool's and the host's");
    let keys = SshKeys::generate("a");
    kept.lock().expect("a lock").insert(OWN, data(&keys));
    assert_eq!(find().await.as_ref(), Ok(&keys));
}

#[tokio::test]
async fn the_watch_of_secrets_says_which_keys_are_there_and_nothing_while_it_is_out_of_step() {
    let secret = |name: &str, version: &str| json!({"metadata": {"name": name, "namespace": "toolforge", "resourceVersion": version, "uid": name}});
    let is_broken = Arc::new(Mutex::new(true));
    let state = Arc::clone(&is_broken);
    let fake = Fake::new(move |ask| match ask.path.as_str() {
        "/api/v1/secrets" if *state.lock().expect("a lock") => {
            Reply::Json(403, json!({"code": 403, "reason": "Forbidden", "message": "no"}))
        }
        "/api/v1/secrets" if ask.is_streamed_list() => {
            let all = [line("ADDED", secret(OWN, "7")), line("ADDED", secret(OF_HOST, "8")), bookmark("9", true)];
            Reply::Lines(all.into(), crate::fake::Then::Silent)
        }
        _ => quiet(ask),
    });
    let watched = watch(&fake, scope());
    let told = watched.world.secret_told();
    watched.world.synced().await;
    assert_eq!((told(OWN), told("deploy-key.b")), (Told::Unknown, Told::Unknown));
    *is_broken.lock().expect("a lock") = false;
    watched.until("secrets are listed", |_| told(OWN) != Told::Unknown).await;
    assert_eq!((told(OWN), told(OF_HOST), told("deploy-key.b")), (Told::At(7), Told::At(8), Told::Absent));
}
