//! Every example on the sandbox, through the shell's own observe, execute and status, under paused time: a second pass is
//! empty, and a process killed between any two steps leaves nothing that the next passes do not finish.
//!
//! The registry's answers are values here; how it is asked is tested elsewhere.

use kube::Client;
use planner::Admission;
use planner::observed::ImageSeen;
use planner::plan::Plan;
use reconciler::cluster::{Cluster, door::Requests};
use reconciler::dialer::{Dialer, Rules};
use reconciler::driver::platform;
use reconciler::events::Recorder;
use reconciler::execute::Doors;
use reconciler::observe::{self, Scope};
use reconciler::pass::{self, Decided, News, Subject};
use reconciler::registry::Registry;
use reconciler::{source, status};
use renderer::build::Siblings;
use renderer::{CommitId, Digest, Platform, Revision, Tool, TreeId};
use sandbox::Sandbox;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More passes than any example needs.
const PASSES: usize = 20;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn settings() -> Platform {
    let bytes = std::fs::read(examples().join("platform/platform.yaml")).expect("platform.yaml");
    renderer::platform::parse(&bytes, "platform.yaml").0.expect("a good platform.yaml")
}

/// Every example tool at its branch.
fn subjects() -> Vec<Subject> {
    let platform = settings();
    let folder = examples().join("platform/tools");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("tools").map(|e| e.expect("a file").path()).collect();
    files.sort();
    let tools: Vec<Tool> = files
        .iter()
        .map(|file| {
            let bytes = std::fs::read(file).expect("a tool file");
            let name = file.file_name().expect("a name").to_string_lossy();
            renderer::tool::parse(&bytes, &name).0.expect("a good tool file")
        })
        .collect();
    tools.iter().map(|tool| subject(&platform, tool, &tools)).collect()
}

fn subject(platform: &Platform, tool: &Tool, tools: &[Tool]) -> Subject {
    let repository = tool.repository.trim_end_matches('/').rsplit('/').next().expect("a name");
    let folder = examples().join("repos").join(repository.trim_end_matches(".git")).join(&tool.branch).join(&tool.path);
    let revision = Revision {
        commit: CommitId::new("1".repeat(40)).ok(),
        branch: tool.branch.clone(),
        tree: TreeId::new("2".repeat(40)).ok(),
        files: source::worktree::files(&folder).expect("the example's files"),
        resolved: BTreeMap::new(),
        facts: Default::default(),
    };
    Subject {
        admission: Admission::shipped(platform, tools).into(),
        platform: platform.clone(),
        tool: tool.clone(),
        siblings: Siblings::of(tool, tools),
        newest: Ok(revision),
        trouble: None,
        forgotten: false,
        circumstances: planner::Circumstances::at(reconciler::pass::now()),
        vault: reconciler::secrets::Vault::default(),
    }
}

/// A cluster of its own, with the platform's objects in it.
struct World {
    _sandbox: Sandbox,
    client: Client,
    scope: Scope,
}

/// None that may be asked.
fn no_registry() -> Registry {
    let dialer = Dialer::new(Rules::default());
    Registry::new(dialer, Default::default(), Default::default())
}

impl World {
    async fn new(platform: &Platform) -> Self {
        let sandbox = Sandbox::in_memory();
        let cluster = Cluster::of_service("sandbox", sandbox.service(), &Requests::default());
        platform::publish(&cluster.client, platform, &Admission::default()).await.expect("the platform's objects");
        Self { _sandbox: sandbox, scope: Scope::of("sandbox", platform), client: cluster.client }
    }

    /// As a pass decides, but that every image is in the registry.
    async fn decide(&self, subject: &Subject) -> Decided {
        let mut observed = observe::once(&self.client, &self.scope, &subject.tool.name).await;
        let draft = subject.draft(&observed);
        let digest = Digest::new(format!("sha256:{}", "a".repeat(64))).expect("a digest");
        for reference in draft.images_needed(&observed) {
            observed.images.insert(reference, ImageSeen::Found(digest.clone()));
        }
        let decided = draft.decide(observed, &self.client).await;
        assert!(decided.violations.is_empty(), "{:?}", decided.violations);
        decided
    }

    /// One pass that is killed after `steps` steps; only a whole one writes the status.
    async fn pass(&self, subject: &Subject, steps: usize) -> Plan {
        let mut decided = self.decide(subject).await;
        let whole = steps >= decided.plan.steps.len();
        decided.plan.steps.truncate(steps);
        let registry = no_registry();
        let doors = Doors { client: &self.client, registry: &registry, vault: &reconciler::secrets::Vault::default() };
        let outcome = pass::execute(&decided, doors, &|_, _| {}).await;
        assert_eq!(outcome.failures().count(), 0, "{:#?}", outcome.rows);
        let live = status::read(&self.client, &subject.tool.name).await.expect("the Tool can be read");
        if let (true, Some(live)) = (whole, live) {
            let since = pass::now();
            let news =
                News { subject, live: &live, decided: &decided, outcome: &outcome, unsaid: &[], since, patient: false };
            pass::tell(&self.client, &Recorder::default(), &news).await;
        }
        // Time stands still but for this: the controllers do their work.
        tokio::time::sleep(Duration::from_secs(30)).await;
        decided.plan
    }

    /// Passes until there is nothing to do; the last plan.
    async fn settle(&self, subject: &Subject) -> Plan {
        for _ in 0..PASSES {
            let plan = self.pass(subject, usize::MAX).await;
            if plan.steps.is_empty() {
                return plan;
            }
        }
        self.decide(subject).await.plan
    }

    /// What the tool has, without what differs from one cluster to the next.
    async fn objects(&self, subject: &Subject) -> BTreeMap<String, Value> {
        let observed = observe::once(&self.client, &self.scope, &subject.tool.name).await;
        let live = observed.objects.keys().filter_map(|id| Some((id.to_string(), observed.live(id)?)));
        // The Tool tells the story, which differs; pods are named by chance.
        let ours = live.filter(|(id, _)| !["tool/", "pod/"].iter().any(|kind| id.starts_with(kind)));
        ours.map(|(id, value)| (id, steady(value))).collect()
    }
}

/// A Job's selector and the labels of its pods are the server's: they carry its uid.
fn steady(object: &Value) -> Value {
    let mut object = tests::platform::steady(object);
    if object["kind"] == "Job" {
        object["spec"]["selector"].take();
        object["spec"]["template"]["metadata"].take();
    }
    object
}

#[tokio::test(start_paused = true)]
async fn a_second_run_of_any_example_is_empty() {
    for subject in subjects() {
        let name = &subject.tool.name;
        let world = World::new(&subject.platform).await;
        let last = world.settle(&subject).await;
        assert!(last.steps.is_empty(), "{name} never settles: {last:#?}");
        let again = world.pass(&subject, usize::MAX).await;
        assert!(again.steps.is_empty(), "{name}: {again:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_between_any_two_steps_of_any_example_the_next_passes_end_equal() {
    for subject in subjects() {
        let name = &subject.tool.name;
        let whole = World::new(&subject.platform).await;
        let mut lengths = Vec::new();
        loop {
            let plan = whole.pass(&subject, usize::MAX).await;
            if plan.steps.is_empty() {
                break;
            }
            lengths.push(plan.steps.len());
            assert!(lengths.len() < PASSES, "{name} never settles");
        }
        let expected = whole.objects(&subject).await;
        for (passes, length) in lengths.iter().enumerate() {
            for steps in 0..*length {
                let world = World::new(&subject.platform).await;
                for _ in 0..passes {
                    world.pass(&subject, usize::MAX).await;
                }
                world.pass(&subject, steps).await;
                world.settle(&subject).await;
                let found = world.objects(&subject).await;
                let when = format!("{name}, killed in pass {passes} after {steps} steps");
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{when}");
                for (id, object) in &found {
                    assert_eq!(object, &expected[id], "{when}: {id}");
                }
            }
        }
    }
}
