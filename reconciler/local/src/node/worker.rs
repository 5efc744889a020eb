//! One pod, looked after by one task: it asks [`course`] what to do, does it, hears what came of it, and tells the API how
//! the pod is.

use super::course::{self, Act, Fact, PodRun, Question};
use super::probe;
use super::setting::Setting;
use super::start::Start;
use super::status::Told;
use super::usage::{self, Scratch};
use super::volumes::VOLUMES;
use super::wanted::{Part, Wanted};
use super::{Shared, pods_of};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PodSpec;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// What the node calls itself where it changes pods.
const MANAGER: &str = "kubelet";
/// Before a status that was not taken is told again.
const TELL_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// When the node itself ends, its pods have so long.
const LEAVE_SECS: i64 = 2;

/// Something the worker hears.
#[derive(Debug)]
pub(crate) enum News {
    /// Of a container.
    Fact(Fact),
    /// A container runs.
    Runs(usize, Live),
    /// It was looked what the pod takes: this is why it can't stay, if so.
    Looked(Option<String>),
    /// Somebody wants the pod deleted, within so many seconds.
    Delete(i64),
    /// The pod is not in the API any more.
    Gone,
    /// The node ends.
    Leave,
}

/// A container's process.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) pid: u32,
    pub(crate) setting: Arc<Setting>,
}

/// Whose wish it is that the pod ends, if it is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Serve,
    Delete,
    Gone,
    Leave,
}

/// Looks after one pod.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    pod: Arc<Seen>,
    wanted: Arc<Wanted>,
    run: PodRun,
    ports: Arc<BTreeMap<u16, u16>>,
    notes: Vec<String>,
    told: Value,
    live: BTreeMap<usize, Live>,
    /// Scratch space with a limit, and when it is looked at; none while somebody does.
    scratch: Vec<Scratch>,
    look_at: Option<Timestamp>,
    purpose: Purpose,
    to_me: UnboundedSender<News>,
}

/// The pod as it was when it came.
pub(crate) struct Seen {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) whole: Value,
    pub(crate) spec: PodSpec,
}

impl Seen {
    /// Reads a pod.
    pub(crate) fn of(pod: &DynamicObject) -> Option<Self> {
        let meta = &pod.metadata;
        let whole = serde_json::to_value(pod).ok()?;
        Some(Self {
            namespace: meta.namespace.clone()?,
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            spec: PodSpec::deserialize(whole.get("spec")?).ok()?,
            whole,
        })
    }

    /// How often each container was started, where an earlier node did.
    fn restarts(&self, wanted: &Wanted) -> Vec<Option<u32>> {
        let of = |part: &Part| {
            let lists = ["/status/initContainerStatuses", "/status/containerStatuses"].into_iter();
            let mut all = lists.filter_map(|path| self.whole.pointer(path)?.as_array()).flatten();
            let status = all.find(|status| status["name"] == part.spec.name.as_str())?;
            let ran = status["state"].get("waiting").is_none() || status["restartCount"] != 0;
            status["restartCount"].as_u64().filter(|_| ran).and_then(|count| u32::try_from(count).ok())
        };
        wanted.parts.iter().map(of).collect()
    }
}

impl Worker {
    /// A pod that was not looked after before, or by a node that is gone.
    pub(crate) fn new(shared: &Arc<Shared>, pod: Seen, to_me: UnboundedSender<News>) -> Result<Self, String> {
        let wanted = Wanted::of(&pod.whole).map_err(|error| error.to_string())?;
        let ports = shared.free_ports(&wanted.ports).map_err(|error| format!("no port is free: {error}"))?;
        let now = Timestamp::now();
        let run = PodRun::new(&wanted, &pod.restarts(&wanted), now);
        Ok(Self {
            scratch: usage::limited(&pod.spec, &shared.pods.join(&pod.uid).join(VOLUMES)),
            look_at: now.checked_add(shared.usage_every).ok(),
            shared: shared.clone(),
            told: json!({"status": pod.whole["status"]}),
            pod: Arc::new(pod),
            wanted: Arc::new(wanted),
            run,
            ports: Arc::new(ports),
            notes: Vec::new(),
            live: BTreeMap::new(),
            purpose: Purpose::Serve,
            to_me,
        })
    }

    /// Looks after the pod to its end.
    pub(crate) async fn work(mut self, mut news: UnboundedReceiver<News>) {
        loop {
            let now = Timestamp::now();
            let next = course::next(&self.wanted, &mut self.run, &self.shared.back_off, now);
            for act in next.acts {
                self.act(act);
            }
            let is_told = self.tell(now).await;
            if is_told && self.is_over() && self.is_deleted().await {
                break;
            }
            let again = (!is_told || self.is_over()).then(|| now + TELL_AGAIN);
            let wake = next.wake.into_iter().chain(again).chain(self.look(now)).min();
            tokio::select! {
                heard = news.recv() => {
                    if let Some(heard) = heard {
                        self.hear(heard);
                    }
                    while let Ok(heard) = news.try_recv() {
                        self.hear(heard);
                    }
                }
                () = until(wake) => {}
            }
        }
        self.shared.give_back(&self.ports);
        let folder = self.folder();
        if let Err(error) = tokio::fs::remove_dir_all(&folder).await
            && folder.exists()
        {
            tracing::warn!(%error, pod = self.pod.name, "a pod's folder stays behind");
        }
    }

    fn hear(&mut self, news: News) {
        let fact = match news {
            News::Runs(index, live) => {
                self.live.insert(index, live);
                Fact::Started(index)
            }
            News::Fact(fact) => {
                if let Fact::Exited(index, ..) = fact {
                    self.live.remove(&index);
                }
                fact
            }
            News::Looked(over) => {
                self.look_at = Timestamp::now().checked_add(self.shared.usage_every).ok();
                let Some(why) = over else { return };
                Fact::Evict(why)
            }
            News::Delete(secs) => self.stop(Purpose::Delete, secs),
            News::Gone => self.stop(Purpose::Gone, 0),
            News::Leave => self.stop(Purpose::Leave, LEAVE_SECS.min(self.wanted.grace_secs)),
        };
        course::take(&self.wanted, &mut self.run, fact, &self.shared.back_off, Timestamp::now());
    }

    fn stop(&mut self, purpose: Purpose, secs: i64) -> Fact {
        if self.purpose != Purpose::Gone {
            self.purpose = purpose;
        }
        Fact::Stop(secs)
    }

    /// Nothing of it runs, and nothing will.
    fn is_over(&self) -> bool {
        let wants_no_more = self.purpose != Purpose::Serve || self.run.outcome(&self.wanted).is_some();
        wants_no_more && self.run.is_still()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Start(index, attempt) => {
                let start = Start {
                    shared: self.shared.clone(),
                    pod: self.pod.clone(),
                    wanted: self.wanted.clone(),
                    ports: self.ports.clone(),
                    index,
                    attempt,
                    folder: self.folder(),
                };
                tokio::spawn(start.through(self.to_me.clone()));
            }
            Act::Ask(index, question) => self.ask(index, question),
            Act::Term(index) => self.signal(index, Signal::SIGTERM),
            Act::Kill(index) => self.signal(index, Signal::SIGKILL),
        }
    }

    fn ask(&self, index: usize, question: Question) {
        let Some(live) = self.live.get(&index) else { return };
        let (pid, setting, wanted, ports) = (live.pid, live.setting.clone(), self.wanted.clone(), self.ports.clone());
        let to_me = self.to_me.clone();
        tokio::spawn(async move {
            let part = &wanted.parts[index];
            let Some(probe) = course::probe(part, question) else { return };
            let asked = probe::Asked { setting: &setting, pid, ports: &ports };
            let answer = probe::ask(probe, &asked).await;
            // The worker may be gone by then, and the question with it.
            let _ = to_me.send(News::Fact(Fact::Answered(index, question, answer)));
        });
    }

    /// Has it looked at what the pod takes, if it is time; when it is time otherwise.
    fn look(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.scratch.is_empty() || self.live.is_empty() {
            return None;
        }
        let due = self.look_at?;
        if due > now {
            return Some(due);
        }
        self.look_at = None;
        let (scratch, to_me) = (self.scratch.clone(), self.to_me.clone());
        tokio::task::spawn_blocking(move || {
            // The worker may be gone by then.
            let _ = to_me.send(News::Looked(usage::exceeded(&scratch)));
        });
        None
    }

    fn signal(&self, index: usize, signal: Signal) {
        let pid = self.live.get(&index).and_then(|live| i32::try_from(live.pid).ok());
        if let Some(pid) = pid
            && let Err(error) = killpg(Pid::from_raw(pid), signal)
        {
            tracing::debug!(%error, pod = self.pod.name, "a process had ended before it was told to");
        }
    }

    /// Tells the API how the pod is, if that is news. False where it was not taken.
    async fn tell(&mut self, now: Timestamp) -> bool {
        if matches!(self.purpose, Purpose::Gone | Purpose::Leave) {
            return true;
        }
        let told =
            Told { wanted: &self.wanted, run: &self.run, ports: &self.ports, notes: &self.notes, before: &self.told };
        let mut patch = told.patch(now);
        if patch == self.told {
            return true;
        }
        let news = patch.clone();
        // Another pod of this name is another pod.
        patch["metadata"]["uid"] = json!(self.pod.uid);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match self.pods().patch_status(&self.pod.name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => {
                self.told = news;
                true
            }
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
                self.hear(News::Gone);
                true
            }
            Err(error) => {
                tracing::warn!(%error, pod = self.pod.name, "a pod's status was not taken");
                false
            }
        }
    }

    /// Where the pod was to be deleted: it is.
    async fn is_deleted(&self) -> bool {
        if self.purpose != Purpose::Delete {
            return true;
        }
        delete(&self.pods(), &self.pod.name, &self.pod.uid).await
    }

    fn pods(&self) -> Api<DynamicObject> {
        pods_of(&self.shared.client, &self.pod.namespace)
    }

    fn folder(&self) -> PathBuf {
        self.shared.pods.join(&self.pod.uid)
    }
}

/// Deletes a pod of which nothing runs; true where it is gone.
pub(crate) async fn delete(pods: &Api<DynamicObject>, name: &str, uid: &str) -> bool {
    let only_this = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
    let now = DeleteParams { grace_period_seconds: Some(0), preconditions: Some(only_this), ..DeleteParams::default() };
    match pods.delete(name, &now).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => true,
        Err(error) => {
            tracing::warn!(%error, pod = name, "a pod that has ended could not be deleted");
            false
        }
    }
}

async fn until(at: Option<Timestamp>) {
    match at {
        Some(at) => {
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            tokio::time::sleep(wait).await;
        }
        None => std::future::pending().await,
    }
}

impl Shared {
    /// A free port of loopback for each port of a pod, given to nobody else.
    fn free_ports(&self, wanted: &[u16]) -> std::io::Result<BTreeMap<u16, u16>> {
        let mut given = self.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut found = BTreeMap::new();
        for port in wanted {
            let at = loop {
                let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
                let at = listener.local_addr()?.port();
                if given.insert(at) {
                    break at;
                }
            };
            found.insert(*port, at);
        }
        Ok(found)
    }

    fn give_back(&self, ports: &BTreeMap<u16, u16>) {
        let mut given = self.given.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        given.retain(|port| !ports.values().any(|at| at == port));
    }
}
