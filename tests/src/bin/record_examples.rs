//! Records `examples/drift/*/live.yaml`: a real cluster after a revision became Ready and somebody did something by hand.
//!
//! ```text
//! cargo run -p tests --bin record_examples [CASE...]
//! UPDATE_GOLDEN=1 cargo test -p tests --test goldens
//! ```
//!
//! A new case is a folder with a `toolforge.yaml` and a `hand.sh` (which may be empty); see [`tests::golden`].

use anyhow::{Context, Result, ensure};
use kube::Client;
use planner::observed::ImageSeen;
use reconciler::cluster::{Cluster, door::Requests};
use reconciler::dialer::{Dialer, Rules};
use reconciler::driver::platform;
use reconciler::events::Recorder;
use reconciler::execute::Doors;
use reconciler::observe::{self, Scope};
use reconciler::pass::{self, Decided, News, Subject};
use reconciler::registry::Registry;
use reconciler::status;
use renderer::{Digest, Object};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::control_plane::{ADMIN, ControlPlane, Options, build};
use tests::golden::{self, Case};
use tests::stilled::stilled;

/// So long a revision may take to become Ready.
const PASSES: usize = 60;

#[tokio::main]
async fn main() -> Result<()> {
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let plane = ControlPlane::start(Options::default()).await?;
    plane.require_controllers()?;
    let cluster = Cluster::of_config("recorded", plane.config(ADMIN).await?, &Requests::default())?;
    tests::rights::deployer(&cluster.client).await?;
    let kubectl = kubectl(plane.dir())?;
    for case in golden::cases(golden::RECORDED)? {
        let name = case.name();
        if wanted.is_empty() || wanted.contains(&name) {
            let recording = Recording { case, plane: &plane, kubectl: &kubectl, client: &cluster.client };
            recording.record().await.with_context(|| name)?;
        }
    }
    Ok(())
}

/// A folder for PATH, in which `kubectl` is the control plane's own.
fn kubectl(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("path");
    std::fs::create_dir_all(&path)?;
    let script = path.join("kubectl");
    let program = build::binary()?;
    std::fs::write(
        &script,
        format!("#!/bin/sh\nexec {} kubectl --namespace \"$NAMESPACE\" \"$@\"\n", program.display()),
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

struct Recording<'a> {
    case: Case,
    plane: &'a ControlPlane,
    kubectl: &'a Path,
    client: &'a Client,
}

impl Recording<'_> {
    async fn record(&self) -> Result<()> {
        let before = self.case.before(pass::now())?;
        platform::publish(self.client, &before.platform, &before.admission).await?;
        platform::publish_rules(self.client, &before.platform, &before.admission).await?;
        self.deploy(&before).await?;
        // An entry's second differs from the object's first.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.hand(&before)?;
        // Controllers answer.
        tokio::time::sleep(Duration::from_secs(3)).await;
        // What the newest revision names is looked up by name, whosever it is.
        let decided = self.decide(&self.case.newest(pass::now())?).await?;
        let secrets = decided.observed.secrets.iter().flatten();
        let secrets = secrets.map(|name| secret(&before.tool.name.namespace(), name));
        let live = decided.observed.objects.keys().filter_map(|id| decided.observed.live(id).cloned());
        let mut values: Vec<Value> = live.chain(secrets).collect();
        values.sort_by_cached_key(order);
        let Value::Array(values) = stilled(Value::Array(values)) else { unreachable!("a list stays a list") };
        let objects = values.into_iter().map(Object::new).collect::<Result<Vec<_>, _>>()?;
        Ok(std::fs::write(self.case.folder().join("live.yaml"), golden::write_objects(objects))?)
    }

    async fn deploy(&self, subject: &Subject) -> Result<()> {
        let recorder = Recorder::default();
        // Every image is there already: nobody is asked for one.
        let registry = Registry::new(Dialer::new(Rules::default()), Default::default(), Default::default());
        let doors = Doors { client: self.client, registry: &registry, vault: &reconciler::secrets::Vault::default() };
        for _ in 0..PASSES {
            let decided = self.decide(subject).await?;
            let outcome = pass::execute(&decided, doors, &|_, _| {}).await;
            ensure!(outcome.failures().next().is_none(), "{outcome:#?}");
            if let Some(live) = status::read(self.client, &subject.tool.name).await? {
                let news = News {
                    subject,
                    live: &live,
                    decided: &decided,
                    outcome: &outcome,
                    unsaid: &[],
                    since: pass::now(),
                    patient: false,
                };
                pass::tell(self.client, &recorder, &news).await;
            }
            if decided.plan.is_ready() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let plan = self.decide(subject).await?.plan;
        anyhow::bail!("never Ready: {plan:#?}")
    }

    /// As a pass decides; every image is in the registry.
    async fn decide(&self, subject: &Subject) -> Result<Decided> {
        let scope = Scope::of(golden::CLUSTER, &subject.platform);
        let mut observed = observe::once(self.client, &scope, &subject.tool.name).await;
        let draft = subject.draft(&observed);
        for reference in draft.images_needed(&observed) {
            observed.images.insert(reference, ImageSeen::Found(Digest::new(format!("sha256:{}", "a".repeat(64)))?));
        }
        Ok(draft.decide(observed, self.client).await)
    }

    fn hand(&self, subject: &Subject) -> Result<()> {
        let script = self.case.folder().join("hand.sh");
        if !script.exists() {
            return Ok(());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([self.kubectl.to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
        let mut shell = Command::new("sh");
        shell.arg("-eu").arg(&script).env("PATH", path).env("HOME", self.plane.dir());
        shell.env("KUBECONFIG", self.plane.kubeconfig()).env("NAMESPACE", subject.tool.name.namespace());
        ensure!(shell.status()?.success(), "{} failed", script.display());
        Ok(())
    }
}

/// By kind, as a pass applies them.
fn order(value: &Value) -> (u8, String) {
    let id = Object::new(value.clone()).map(|object| object.id);
    id.map_or((u8::MAX, String::new()), |id| (planner::kinds::order(&id), id.to_string()))
}

/// Of a Secret only its name is anybody's business.
fn secret(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}})
}
