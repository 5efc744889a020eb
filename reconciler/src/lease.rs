//! One writer: a Lease per platform. Whoever holds it may write; a second process waits and can say for whom.
//!
//! A holder renews every third of the term. It is taken over from when its Lease has not moved for a whole term *by our
//! own clock*, or when it is two terms old by everybody's: no skew of clocks below a term makes two writers, and a
//! process that starts after a crash need not wait. Every write carries the resourceVersion it was decided on, so that
//! of two takers one gets 409. A holder that could not renew for two thirds of a term stops by itself, before anybody
//! may take over.

use crate::cluster::address;
use crate::cluster::call::{self, CallError};
use http::Method;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a lease lasts without a renewal.
pub const TERM: Duration = Duration::from_secs(30);

/// Which lease, and for whom.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Namespace: the platform's.
    pub namespace: String,
    /// Name: [`name`] of the platform.
    pub name: String,
    /// Who we are, in words an operator understands: host and process.
    pub identity: String,
    /// How long it lasts without a renewal.
    pub term: Duration,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// In its own words.
    pub identity: String,
    /// When it last renewed, as it says itself, in seconds since 1970.
    pub renewed_secs: i64,
    /// Seconds it lasts without a renewal.
    pub term_secs: i64,
}

/// `toolforge-<platform>`.
#[must_use]
pub fn name(platform: &str) -> String {
    format!("toolforge-{platform}")
}

/// This process as a holder: `host_pid_chance`. In containers host and process may repeat; chance does not.
#[must_use]
pub fn identity() -> String {
    let host =
        ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|file| std::fs::read_to_string(file).ok());
    let host = host.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    static CHANCE: OnceLock<u32> = OnceLock::new();
    let chance = CHANCE.get_or_init(rand::random);
    format!("{}_{}_{chance:08x}", host.as_deref().unwrap_or("unknown-host"), std::process::id())
}

impl Holder {
    /// Whether its lease still counts, two terms being the benefit of the doubt between clocks.
    #[must_use]
    pub fn is_live(&self, now_secs: i64) -> bool {
        now_secs - self.renewed_secs <= 2 * self.term_secs
    }
}

/// Who holds a lease and is alive by the clock; none where it is free, abandoned, or was never made.
///
/// # Errors
/// As [`CallError`]: an error says nothing about the holder.
pub async fn holder(client: &Client, namespace: &str, name: &str) -> Result<Option<Holder>, CallError> {
    let found = read(client, namespace, name).await?;
    let now = Timestamp::now().as_second();
    Ok(found.and_then(|lease| holder_of(&lease)).filter(|holder| holder.is_live(now)))
}

/// A lease we hold. Dropping it stops the renewal, and the lease runs out; [`Held::release`] frees it at once.
pub struct Held {
    client: Client,
    claim: Claim,
    lost: CancellationToken,
    stop: CancellationToken,
    renewal: Option<JoinHandle<()>>,
}

impl Held {
    /// Cancelled when somebody else may write: everything of ours must stop.
    #[must_use]
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Stops renewing and frees the lease, if it is still ours.
    ///
    /// # Errors
    /// Where the server was not told; the lease then runs out by itself.
    pub async fn release(mut self) -> Result<(), CallError> {
        self.stop.cancel();
        if let Some(renewal) = self.renewal.take() {
            drop(renewal.await);
        }
        let Some(mut lease) = read(&self.client, &self.claim.namespace, &self.claim.name).await? else { return Ok(()) };
        if !is_held_by(&lease, &self.claim.identity) {
            return Ok(());
        }
        lease["spec"]["holderIdentity"] = json!("");
        lease["spec"]["leaseDurationSeconds"] = json!(1);
        call::send(&self.client, Method::PUT, &path(&self.claim), &lease).await.map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits for the lease. `waiting` is told for whom, at first and whenever that changes; or why the lease could not be
/// read. Ends only with the lease: stop it by dropping it.
pub async fn acquire(client: &Client, claim: Claim, waiting: &(dyn Fn(&str) + Sync)) -> Held {
    let mut watched = Watched::default();
    let mut said = String::new();
    let version = loop {
        let why = match attempt(client, &claim, &mut watched).await {
            Ok(Ok(version)) => break version,
            Ok(Err(holder)) => holder,
            Err(error) => error.to_string(),
        };
        if why != said {
            waiting(&why);
            said = why;
        }
        sleep(claim.term / 6).await;
    };
    let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
    let renewal = Renewal { client: client.clone(), claim: claim.clone(), lease: version };
    let renewal = tokio::spawn(renewal.run(lost.clone(), stop.clone()));
    Held { client: client.clone(), claim, lost, stop, renewal: Some(renewal) }
}

/// Since when the Lease has not moved, by our own clock.
#[derive(Default)]
struct Watched {
    version: String,
    since: Option<Instant>,
}

impl Watched {
    /// How long this version has stood still while we looked.
    fn still(&mut self, version: &str) -> Duration {
        if self.version != version {
            self.version = version.to_owned();
            self.since = None;
        }
        self.since.get_or_insert_with(Instant::now).elapsed()
    }
}

/// One try: the Lease as written by us, or who holds it.
async fn attempt(client: &Client, claim: &Claim, watched: &mut Watched) -> Result<Result<Value, String>, CallError> {
    let found = read(client, &claim.namespace, &claim.name).await?;
    let Some(lease) = found else {
        let fresh = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": claim.name, "namespace": claim.namespace},
            "spec": spec(claim, 0),
        });
        let written = call::send(client, Method::POST, &collection(&claim.namespace), &fresh).await;
        return Ok(written.and_then(|bytes| call::parse(&bytes)).map_err(|error| taken(&error, "another process")));
    };
    let holder = holder_of(&lease);
    if let Some(holder) = holder.filter(|holder| holder.identity != claim.identity) {
        let version = lease.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let still = watched.still(version);
        let term = Duration::from_secs(u64::try_from(holder.term_secs).unwrap_or(0)).max(claim.term);
        if still < term && holder.is_live(Timestamp::now().as_second()) {
            return Ok(Err(holder.identity));
        }
    }
    let written = call::send(client, Method::PUT, &path(claim), &claimed(lease, claim)).await;
    Ok(written.and_then(|bytes| call::parse(&bytes)).map_err(|error| taken(&error, "another process")))
}

fn taken(error: &CallError, by: &str) -> String {
    if error.code() == Some(409) { by.to_owned() } else { error.to_string() }
}

/// The Lease with us as its holder; the resourceVersion stays, so that a racing taker makes this a 409.
fn claimed(mut lease: Value, claim: &Claim) -> Value {
    let transitions = lease.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
    let changed = i64::from(!is_held_by(&lease, &claim.identity));
    lease["spec"] = spec(claim, transitions + changed);
    lease
}

fn spec(claim: &Claim, transitions: i64) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    json!({
        "holderIdentity": claim.identity,
        "leaseDurationSeconds": claim.term.as_secs().max(1),
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": transitions,
    })
}

struct Renewal {
    client: Client,
    claim: Claim,
    lease: Value,
}

impl Renewal {
    async fn run(mut self, lost: CancellationToken, stop: CancellationToken) {
        let mut renewed = Instant::now();
        let patience = self.claim.term * 2 / 3;
        let mut wait = self.claim.term / 3;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
            let left = patience.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => {
                    renewed = Instant::now();
                    wait = self.claim.term / 3;
                    continue;
                }
                Ok(Ok(false)) => tracing::error!(lease = self.claim.name, "the lease is somebody else's"),
                Ok(Err(error)) if renewed.elapsed() < patience => {
                    tracing::warn!(lease = self.claim.name, %error, "the lease was not renewed");
                    wait = self.claim.term / 12;
                    continue;
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::error!(lease = self.claim.name, "the lease could not be renewed in time")
                }
            }
            lost.cancel();
            return;
        }
    }

    /// True where it is ours for another term; false where it is somebody else's.
    async fn renew(&mut self) -> Result<bool, CallError> {
        let mut next = self.lease.clone();
        let renew_time = spec(&self.claim, 0)["renewTime"].take();
        next["spec"]["renewTime"] = renew_time;
        match call::send(&self.client, Method::PUT, &path(&self.claim), &next).await {
            Ok(bytes) => {
                self.lease = call::parse(&bytes)?;
                Ok(true)
            }
            // Somebody wrote to it: to take it, or only to annotate it.
            Err(error) if error.code() == Some(409) => {
                match read(&self.client, &self.claim.namespace, &self.claim.name).await? {
                    Some(lease) if is_held_by(&lease, &self.claim.identity) => {
                        self.lease = lease;
                        Err(error)
                    }
                    _ => Ok(false),
                }
            }
            Err(error) if error.is_not_found("leases", &self.claim.name) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Value>, CallError> {
    match call::get(client, &address::child(&collection(namespace), name), None).await {
        Ok(bytes) => call::parse(&bytes).map(Some),
        Err(error) if error.is_not_found("leases", name) => Ok(None),
        Err(error) => Err(error),
    }
}

fn holder_of(lease: &Value) -> Option<Holder> {
    let spec = lease.get("spec")?;
    let identity = spec.get("holderIdentity")?.as_str().filter(|identity| !identity.is_empty())?;
    let renewed: Option<Timestamp> = spec.get("renewTime").and_then(Value::as_str).and_then(|time| time.parse().ok());
    Some(Holder {
        identity: identity.to_owned(),
        renewed_secs: renewed.map_or(0, Timestamp::as_second),
        term_secs: spec.get("leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(0),
    })
}

fn is_held_by(lease: &Value, identity: &str) -> bool {
    holder_of(lease).is_some_and(|holder| holder.identity == identity)
}

fn collection(namespace: &str) -> String {
    address::child("/apis/coordination.k8s.io/v1/namespaces", namespace) + "/leases"
}

fn path(claim: &Claim) -> String {
    address::child(&collection(&claim.namespace), &claim.name)
}
