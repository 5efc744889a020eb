//! A kubelet in small: the pods that are bound to a node of a sandbox, run as processes of this machine.
//!
//! One watch of pods; one task for each pod ([`worker`]), which asks a pure function what to do next ([`course`]) and says
//! in the pod's status what came of it ([`status`]). Images come from a registry on loopback, by digest ([`images`]); a
//! stranger's process is started in a cell and nowhere else ([`setting`]). All pods share one loopback, so each port of a
//! pod is a free port of the machine: `PORT` says which, and so does the annotation [`PORTS`].
//!
//! The pods are the state. When the node is killed, its processes go with it, and the next one starts the pods again.

mod capture;
pub mod course;
mod env;
mod http;
mod images;
mod last_words;
mod launch;
mod listening;
mod probe;
mod setting;
mod start;
pub mod status;
mod unpack;
mod usage;
mod volumes;
pub mod wanted;
mod worker;

pub use course::BackOff;
pub use renderer::request::SELF_IMAGE;
pub use status::PORTS;

use crate::cell::{Door, Groups};
use futures::StreamExt as _;
use images::Images;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use worker::{News, Seen, Worker};

/// A log's file before it is put aside.
const LOG_BYTES: u64 = 10 << 20;

/// What a node is given.
pub struct Settings {
    /// Where its pods are.
    pub client: Client,
    /// The name that pods are bound to.
    pub name: String,
    /// A folder of its own. Where we are root, others must be allowed to pass on the way to it.
    pub state: PathBuf,
    /// How strangers' processes are started.
    pub door: Door,
    /// Who may run our own program; none where nobody may.
    pub builds: Option<Builds>,
    /// Where the kernel holds what a container takes; none where each process is limited by itself.
    pub groups: Option<Groups>,
    /// Between starts of what crashes.
    pub back_off: BackOff,
    /// How often it is looked whether a pod's scratch space is within its limits.
    pub usage_every: SignedDuration,
}

/// As a kubelet's.
pub const USAGE_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// The one place in which our own program is what a container runs.
#[derive(Debug, Clone)]
pub struct Builds {
    /// Pods of this namespace.
    pub namespace: String,
    /// Our own program.
    pub program: PathBuf,
    /// What it finds in its environment, beside what the container says.
    pub env: BTreeMap<String, String>,
}

/// What all workers share.
pub(crate) struct Shared {
    client: Client,
    door: Door,
    builds: Option<Builds>,
    groups: Option<Groups>,
    back_off: BackOff,
    usage_every: SignedDuration,
    images: Arc<Images>,
    logs: PathBuf,
    pods: PathBuf,
    log_bytes: u64,
    /// Ports that pods have.
    given: Mutex<BTreeSet<u16>>,
}

/// A node at work.
pub struct Node {
    stop: CancellationToken,
    work: JoinHandle<()>,
}

/// Where the logs of a node are, for whoever shows them.
#[must_use]
pub fn logs(state: &Path) -> PathBuf {
    state.join("logs")
}

/// Where the logs of a pod are.
fn log_folder(logs: &Path, namespace: &str, name: &str, uid: &str) -> PathBuf {
    logs.join(format!("{namespace}_{name}_{uid}"))
}

impl Node {
    /// Begins to look after pods.
    ///
    /// # Errors
    /// Where its folders can't be made.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let Settings { client, name, state, door, builds, groups, back_off, usage_every } = settings;
        let (logs, pods) = (logs(&state), state.join("pods"));
        // What an earlier node left of its pods: they get new folders.
        if pods.exists() {
            fs::remove_dir_all(&pods)?;
        }
        for folder in [&logs, &pods] {
            fs::create_dir_all(folder)?;
        }
        let images = Images::open(&state.join("images"))?;
        let given = Mutex::default();
        let log_bytes = LOG_BYTES;
        let shared =
            Shared { client, door, builds, groups, back_off, usage_every, images, logs, pods, log_bytes, given };
        let shared = Arc::new(shared);
        let stop = CancellationToken::new();
        let work = tokio::spawn(Roster::new(shared).watch(name, stop.clone()));
        Ok(Self { stop, work })
    }

    /// Ends all processes, and waits for their end. The pods stay, for the next node.
    pub async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.work.await {
            tracing::error!(%error, "the node did not end well");
        }
    }
}

/// Which pods are looked after.
struct Roster {
    shared: Arc<Shared>,
    at_work: BTreeMap<String, UnboundedSender<News>>,
    workers: JoinSet<String>,
    /// Pods of a list that is being read.
    listed: BTreeSet<String>,
    /// Pods that are over: what a watch still says of their lives is old.
    over: BTreeSet<String>,
    /// Logs of pods that are gone, while something still writes them.
    forgotten: BTreeMap<String, PathBuf>,
}

impl Roster {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            at_work: BTreeMap::new(),
            workers: JoinSet::new(),
            listed: BTreeSet::new(),
            over: BTreeSet::new(),
            forgotten: BTreeMap::new(),
        }
    }

    async fn watch(mut self, name: String, stop: CancellationToken) {
        let pods: Api<DynamicObject> = Api::all_with(self.shared.client.clone(), &pods());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={name}"));
        let mut events = watcher(pods, config).default_backoff().boxed();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.workers.join_next(), if !self.workers.is_empty() => self.ended(ended.ok()),
                event = events.next() => match event {
                    Some(Ok(event)) => self.hear(event),
                    Some(Err(error)) => tracing::warn!(%error, "the node's watch of pods was interrupted"),
                    None => break,
                },
            }
        }
        for worker in self.at_work.values() {
            // One that has ended needs no word.
            let _ = worker.send(News::Leave);
        }
        while self.workers.join_next().await.is_some() {}
    }

    fn hear(&mut self, event: watcher::Event<DynamicObject>) {
        match event {
            watcher::Event::Apply(pod) => self.look_at(&pod),
            watcher::Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.look_at(&pod);
            }
            watcher::Event::Delete(pod) => {
                if let Some(seen) = Seen::of(&pod) {
                    self.forget(&seen.uid, log_folder(&self.shared.logs, &seen.namespace, &seen.name, &seen.uid));
                }
            }
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitDone => self.forget_unlisted(),
        }
    }

    fn look_at(&mut self, pod: &DynamicObject) {
        let Some(seen) = Seen::of(pod) else { return };
        let phase = pod.data.pointer("/status/phase").and_then(Value::as_str);
        let is_over = matches!(phase, Some("Succeeded" | "Failed"));
        if !is_over && !self.over.contains(&seen.uid) && !self.at_work.contains_key(&seen.uid) {
            self.take_up(seen);
        }
        let (Some(uid), Some(_)) = (&pod.metadata.uid, &pod.metadata.deletion_timestamp) else { return };
        match self.at_work.get(uid) {
            Some(worker) => {
                let secs = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
                // One that has ended has said so to the API.
                let _ = worker.send(News::Delete(secs));
            }
            None if is_over => {}
            None => self.delete(pod, uid),
        }
    }

    /// Nothing of it runs, so nothing has to be stopped.
    fn delete(&mut self, pod: &DynamicObject, uid: &str) {
        let (namespace, name) = (pod.metadata.namespace.clone(), pod.metadata.name.clone());
        let pods = pods_of(&self.shared.client, &namespace.unwrap_or_default());
        let (name, uid) = (name.unwrap_or_default(), uid.to_owned());
        self.workers.spawn(async move {
            worker::delete(&pods, &name, &uid).await;
            uid
        });
    }

    fn take_up(&mut self, seen: Seen) {
        let (to, news) = unbounded_channel();
        let (uid, name, namespace) = (seen.uid.clone(), seen.name.clone(), seen.namespace.clone());
        match Worker::new(&self.shared, seen, to.clone()) {
            Ok(worker) => {
                self.at_work.insert(uid.clone(), to);
                self.workers.spawn(async move {
                    worker.work(news).await;
                    uid
                });
            }
            Err(why) => {
                tracing::error!(pod = name, "a pod can't be run: {why}");
                let pods = pods_of(&self.shared.client, &namespace);
                self.workers.spawn(refuse(pods, name, uid, why));
            }
        }
    }

    fn ended(&mut self, uid: Option<String>) {
        let Some(uid) = uid else { return };
        self.at_work.remove(&uid);
        self.over.insert(uid.clone());
        if let Some(logs) = self.forgotten.remove(&uid) {
            remove(&logs);
        }
    }

    /// The pod is gone: so are its processes and its logs.
    fn forget(&mut self, uid: &str, logs: PathBuf) {
        self.over.remove(uid);
        match self.at_work.get(uid) {
            Some(worker) => {
                let _ = worker.send(News::Gone);
                self.forgotten.insert(uid.to_owned(), logs);
            }
            None => remove(&logs),
        }
    }

    fn forget_unlisted(&mut self) {
        for (uid, worker) in &self.at_work {
            if !self.listed.contains(uid) {
                let _ = worker.send(News::Gone);
            }
        }
        self.over.retain(|uid| self.listed.contains(uid));
        let Ok(entries) = fs::read_dir(&self.shared.logs) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let uid = path.to_str().and_then(|path| path.rsplit_once('_')).map(|(_, uid)| uid.to_owned());
            if let Some(uid) = uid.filter(|uid| !self.listed.contains(uid)) {
                self.forget(&uid, path);
            }
        }
    }
}

/// Pods as plain values: each way to read the typed one costs the program a megabyte.
fn pods() -> ApiResource {
    ApiResource::erase::<Pod>(&())
}

fn pods_of(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &pods())
}

/// A pod that asks for what is not understood stays as it is, and says why.
async fn refuse(pods: Api<DynamicObject>, name: String, uid: String, why: String) -> String {
    let ready = json!({"type": "Ready", "status": "False", "reason": "Unusable", "message": why});
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "status": {"phase": "Pending", "conditions": [ready]}}));
    if let Err(error) = pods.patch_status(&name, &PatchParams::default(), &patch).await {
        tracing::warn!(%error, pod = name, "why a pod can't be run was not taken");
    }
    uid
}

fn remove(logs: &Path) {
    if let Err(error) = fs::remove_dir_all(logs)
        && logs.exists()
    {
        tracing::warn!(%error, "the logs of a pod that is gone stay behind");
    }
}
