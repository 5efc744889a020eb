//! One start of one container: what it needs is fetched, its process is begun, and heard to its end.

use super::capture::Log;
use super::course::{Exit, Fact};
use super::env::Maps;
use super::last_words;
use super::setting::{self, Setting, Stranger};
use super::volumes::{VOLUMES, Volumes};
use super::wanted::{Part, Wanted};
use super::worker::{Live, News, Seen};
use super::{SELF_IMAGE, Shared, log_folder};
use crate::cell::{self, Group};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

/// What a process left in its pipes is read for so long after its end.
const LAST_READ: Duration = Duration::from_secs(1);

/// One start of one container.
pub(crate) struct Start {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Arc<Seen>,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) ports: Arc<BTreeMap<u16, u16>>,
    pub(crate) index: usize,
    pub(crate) attempt: u32,
    pub(crate) folder: PathBuf,
}

/// A reason in a kubelet's words, and more words.
type CannotStart = (&'static str, String);

impl Start {
    /// Starts it, and stays until its end.
    pub(crate) async fn through(self, to: UnboundedSender<News>) {
        let index = self.index;
        let fact = match self.begin().await {
            Err((reason, message)) => Fact::CannotStart(index, reason, message),
            Ok((child, pid, log, setting)) => {
                // Nobody is there to hear only where the runtime ends, and the process with it.
                let _ = to.send(News::Runs(index, Live { pid, setting: setting.clone() }));
                let (code, words) = self.wait(child, pid, log).await;
                Fact::Exited(index, Exit { code, words, out_of_memory: setting.was_out_of_memory() })
            }
        };
        let _ = to.send(News::Fact(fact));
    }

    fn part(&self) -> &Part {
        &self.wanted.parts[self.index]
    }

    async fn begin(&self) -> Result<(Child, u32, Log, Arc<Setting>), CannotStart> {
        let spec = &self.part().spec;
        let setting = Arc::new(self.setting().await?);
        let run = |error: String| ("RunContainerError", error);
        let words: Vec<String> = spec.command.iter().chain(&spec.args).flatten().cloned().collect();
        let mut command = setting.command(&words).map_err(run)?;
        let folder = log_folder(&self.shared.logs, &self.pod.namespace, &self.pod.name, &self.pod.uid).join(&spec.name);
        let log = Log::create(&folder.join(format!("{}.log", self.attempt)), self.shared.log_bytes);
        let log = log.map_err(|error| run(format!("its log can't be written: {error}")))?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| run(format!("{}: {error}", words.join(" "))))?;
        let pid = child.id().ok_or_else(|| run("it ended at once".to_owned()))?;
        Ok((child, pid, log, setting))
    }

    async fn setting(&self) -> Result<Setting, CannotStart> {
        let config = |error: String| ("CreateContainerConfigError", error);
        let (spec, pod) = (&self.part().spec, &self.pod);
        let maps = Maps::new(&self.shared.client, &pod.namespace);
        let mut env = maps.environment(spec, &pod.whole).await.map_err(config)?;
        let own = spec.ports.iter().flatten().find_map(|port| u16::try_from(port.container_port).ok());
        if let Some(at) = own.and_then(|port| self.ports.get(&port)) {
            env.insert("PORT".to_owned(), at.to_string());
        }
        let image = spec.image.clone().unwrap_or_default();
        if image == SELF_IMAGE {
            return self.ourselves(env);
        }
        let volumes = Volumes::make(&pod.spec, &self.folder.join(VOLUMES), &maps).await.map_err(config)?;
        for note in &volumes.notes {
            tracing::warn!(pod = pod.name, "{note}");
        }
        let mut mounts = volumes.mounts(spec).map_err(config)?;
        let held = self.shared.images.take(&image).await.map_err(|error| ("ErrImagePull", error))?;
        let create = |error: String| ("CreateContainerError", error);
        mounts.push(last_words::prepare(spec, &self.container()).map_err(create)?);
        let group = self.group().map_err(|error| create(format!("its control group: {error}")))?;
        let stranger = Stranger::new(held, &self.shared.door, &self.container(), spec, env, (&mounts, group)).await;
        Ok(Setting::Stranger(Box::new(stranger.map_err(create)?)))
    }

    /// The container's folder.
    fn container(&self) -> PathBuf {
        self.folder.join("containers").join(&self.part().spec.name)
    }

    fn group(&self) -> io::Result<Option<Group>> {
        let spec = &self.part().spec;
        let name = format!("{}-{}", self.pod.uid, spec.name);
        self.shared.groups.as_ref().map(|groups| groups.make(&name, setting::most(spec))).transpose()
    }

    /// Our own program runs for builds, and for nobody who merely names it.
    fn ourselves(&self, env: BTreeMap<String, String>) -> Result<Setting, CannotStart> {
        let builds = self.shared.builds.as_ref().filter(|builds| builds.namespace == self.pod.namespace);
        let builds = builds
            .ok_or_else(|| ("InvalidImageName", format!("{SELF_IMAGE} runs in the namespace of builds alone")))?;
        let mut all = builds.env.clone();
        all.extend(env);
        Ok(Setting::Ourselves { program: builds.program.clone(), env: all })
    }

    /// Its exit code and last words, when all it said is written down.
    async fn wait(&self, mut child: Child, pid: u32, log: Log) -> (i32, String) {
        let mut captures = JoinSet::new();
        if let Some(out) = child.stdout.take() {
            captures.spawn(log.clone().capture("stdout", out));
        }
        if let Some(err) = child.stderr.take() {
            captures.spawn(log.clone().capture("stderr", err));
        }
        let status = child.wait().await;
        // What it started goes with it.
        cell::end(pid);
        let read = async { while captures.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_READ, read).await.is_err() {
            tracing::debug!(pod = self.pod.name, "something holds on to the pipe of a process that ended");
        }
        let code = status.map_or(-1, code);
        let left = last_words::left(&self.container());
        let falls_back = self.part().spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        (code, if left.is_empty() && falls_back && code != 0 { log.last_words() } else { left })
    }
}

/// As shells say it: 128 and the signal.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
