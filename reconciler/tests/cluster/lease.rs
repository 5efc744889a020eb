//! One writer, on a server that forgets, refuses and is slow.

use crate::fake::{Fake, Reply, status};
use http::Method;
use reconciler::lease::{Claim, Held, acquire, holder, name};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/toolforge/leases/toolforge-tools";

/// The Lease as the server keeps it, with the 409 of a stale version; and whether the server answers at all.
#[derive(Default)]
struct Kept {
    lease: Option<Value>,
    version: u64,
    broken: bool,
}

impl Kept {
    fn put(&mut self, mut lease: Value) -> Reply {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        Reply::Json(200, lease)
    }
}

fn server() -> (Fake, Arc<Mutex<Kept>>) {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let state = kept.clone();
    let fake = Fake::new(move |ask| {
        let mut kept = state.lock().expect("the state");
        let not_found = || {
            let details = json!({"name": "toolforge-tools", "group": "coordination.k8s.io", "kind": "leases"});
            Reply::Json(404, json!({"code": 404, "reason": "NotFound", "message": "no", "details": details}))
        };
        match (&ask.method, kept.lease.clone()) {
            _ if kept.broken => status(500, "InternalError", "etcd is away"),
            (&Method::POST, None) => kept.put(ask.body.clone()),
            (&Method::POST, Some(_)) => status(409, "AlreadyExists", "it is there"),
            (_, None) => not_found(),
            (&Method::PUT, Some(lease)) => {
                let version = |value: &Value| value.pointer("/metadata/resourceVersion").cloned();
                if version(&lease) == version(&ask.body) {
                    kept.put(ask.body.clone())
                } else {
                    status(409, "Conflict", "the object has been modified")
                }
            }
            (_, Some(lease)) => Reply::Json(200, lease),
        }
    });
    (fake, kept)
}

fn claim(identity: &str) -> Claim {
    let term = Duration::from_millis(600);
    Claim { namespace: "toolforge".to_owned(), name: name("tools"), identity: identity.to_owned(), term }
}

async fn acquired(fake: &Fake, identity: &str) -> Option<Held> {
    tokio::time::timeout(Duration::from_secs(5), acquire(&fake.client(), claim(identity), &|_| {})).await.ok()
}

#[tokio::test]
async fn a_lease_that_others_hold_is_waited_for_and_the_holder_is_named() {
    let (fake, _) = server();
    let first = acquired(&fake, "first").await.expect("the lease");
    assert_eq!(fake.asked()[0].path, PATH);
    let said = Mutex::new(Vec::new());
    let say = |whom: &str| said.lock().expect("the list").push(whom.to_owned());
    let client = fake.client();
    let waiting = tokio::time::timeout(Duration::from_millis(1500), acquire(&client, claim("second"), &say));
    assert!(waiting.await.is_err(), "two and a half terms, and the first still renews");
    assert_eq!(*said.lock().expect("the list"), ["first"]);
    assert!(!first.lost().is_cancelled());
    first.release().await.expect("freed");
    assert_eq!(holder(&fake.client(), "toolforge", "toolforge-tools").await, Ok(None));
    assert!(acquired(&fake, "second").await.is_some());
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_before_anybody_may_take_over() {
    let (fake, kept) = server();
    let held = acquired(&fake, "first").await.expect("the lease");
    let begun = tokio::time::Instant::now();
    kept.lock().expect("the state").broken = true;
    tokio::time::timeout(Duration::from_secs(2), held.lost().cancelled()).await.expect("it stops");
    // It had renewed within the last third of a term; nobody takes over within a whole one.
    assert!(begun.elapsed() < claim("first").term, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_lease_taken_or_deleted_by_somebody_stops_its_holder() {
    for takes in [true, false] {
        let (fake, kept) = server();
        let held = acquired(&fake, "first").await.expect("the lease");
        {
            let mut kept = kept.lock().expect("the state");
            let mut lease = kept.lease.clone().expect("a lease");
            lease["spec"]["holderIdentity"] = json!("thief");
            if takes { drop(kept.put(lease)) } else { kept.lease = None }
        }
        tokio::time::timeout(Duration::from_secs(2), held.lost().cancelled()).await.expect("it stops");
        let after = kept.lock().expect("the state").lease.clone();
        assert_eq!(after.is_some(), takes, "nothing is written any more");
    }
}

#[tokio::test]
async fn somebody_who_only_annotates_the_lease_takes_nothing() {
    let (fake, kept) = server();
    let held = acquired(&fake, "first").await.expect("the lease");
    {
        let mut kept = kept.lock().expect("the state");
        let mut lease = kept.lease.clone().expect("a lease");
        lease["metadata"]["annotations"] = json!({"seen": "yes"});
        kept.put(lease);
    }
    tokio::time::sleep(claim("first").term * 2).await;
    assert!(!held.lost().is_cancelled());
}

#[tokio::test]
async fn of_two_who_take_over_one_gets_it() {
    let (fake, kept) = server();
    let long_ago = json!({"metadata": {"name": "toolforge-tools"}, "spec": {
        "holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00.000000Z"}});
    kept.lock().expect("the state").put(long_ago);
    let client = fake.client();
    let both = tokio::join!(
        tokio::time::timeout(Duration::from_millis(900), acquire(&client, claim("one"), &|_| {})),
        tokio::time::timeout(Duration::from_millis(900), acquire(&client, claim("two"), &|_| {})),
    );
    assert_eq!([both.0.is_ok(), both.1.is_ok()].iter().filter(|got| **got).count(), 1);
}
