//! Render and plan 10,000 tools without any I/O, by the path of every pass ([`Subject::draft`], then its plan): once as
//! new tools, once as tools that are as they should be. Each has a published web component and a cron job; the world of
//! the second is what a server makes of our applies, with its defaults, allocations, statuses and owners, the inventory
//! and the stored revision, so that the plan has no step, holds nothing and waits for nothing, which is asserted.
//!
//! Run: `cargo bench -p tests --bench render_plan`. Prints a table; asserts nothing about time.

#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a program that prints a table, reads its own processor time, and stops at the first surprise"
)]

use planner::conditions::Pass;
use planner::fields::FieldSet;
use planner::merge::{self, Writer};
use planner::observed::{Observed, Seen, uid_of};
use planner::outcome::Outcome;
use planner::plan::Plan;
use planner::schema::{Schema, defaults};
use planner::stored::{StoredImage, StoredRevision};
use planner::{Admission, Circumstances, Live, Moment, Stamp};
use reconciler::execute::FIELD_MANAGER;
use reconciler::pass::Subject;
use renderer::build::Siblings;
use renderer::{
    CommitId, Digest, Files, Image, Object, PinnedImage, Platform, Rendered, Revision, Tool, ToolName, TreeId,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const TOOLS: usize = 10_000;
const ROUNDS: usize = 7;

fn main() {
    let subjects: Vec<_> = (0..TOOLS).map(subject).collect();
    let cases: Vec<_> = subjects.iter().map(|subject| (subject, world(subject))).collect();
    let objects: usize = cases.iter().map(|(subject, world)| unchanged(subject, world)).sum();
    let desired: usize =
        cases.iter().map(|(subject, _)| bytes(desired(&render(subject)).iter().map(|o| &o.value))).sum();
    let live: usize = cases.iter().map(|(_, world)| bytes(seen(world))).sum();

    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    println!(
        "{TOOLS} tools, {} live objects each, {} bytes of JSON desired and {} live each",
        objects / TOOLS,
        desired / TOOLS,
        live / TOOLS
    );
    println!("Median of {ROUNDS} (min – max)\n");
    println!("| what | {cores} threads, s | one thread, s | CPU per tool, µs |\n|---|---|---|---|");
    let nothing = Observed::default();
    row("render", cores, &cases, &|(subject, _)| render(subject).objects.len());
    row("render + plan, new tools", cores, &cases, &|(subject, _)| plan(subject, &nothing).unconfirmed.len());
    row("render + plan, nothing differs, objects at hand", cores, &cases, &|(subject, world)| {
        plan(subject, world).unchanged
    });
    let kept: Vec<_> = cases.iter().map(|(subject, world)| (*subject, kept(world))).collect();
    drop(cases);
    // What a watch keeps is read anew in each pass.
    row("render + plan, nothing differs, objects as texts", cores, &kept, &|(subject, world)| {
        plan(subject, &world.clone()).unchanged
    });
    let remembered: Vec<_> = kept.into_iter().map(|(subject, world)| (subject, remembering(subject, world))).collect();
    row("render + plan, nothing differs, with a memo", cores, &remembered, &|(subject, world)| {
        plan(subject, &world.clone()).unchanged
    });
}

/// The same world, its objects as texts that are read when somebody asks.
fn kept(world: &Observed) -> Observed {
    let text = |seen: &Seen| match seen {
        Seen::Live(value) => {
            let text = value.to_string();
            let read = |text: &str| serde_json::from_str(text).expect("JSON");
            let stamp = Stamp::of(uid_of(value).unwrap_or_default(), text.as_bytes());
            Seen::Live(Live::packed(stamp, move || read(&text)))
        }
        Seen::Absent => Seen::Absent,
    };
    Observed { objects: world.objects.iter().map(|(id, seen)| (id.clone(), text(seen))).collect(), ..world.clone() }
}

fn remembering(subject: &Subject, world: Observed) -> Observed {
    let looked_at = world.clone();
    let (_, memo) = subject.draft(&looked_at).plan_and_memo(&looked_at);
    // The Tool waits for nothing to become of it, but it is one of them; and of both components it is known that they are
    // admitted.
    assert_eq!(memo.len(), world.objects.len() + 2);
    Observed { memo, ..world }
}

type Case<'a> = (&'a Subject, Observed);

/// The rules of the platform of all tools.
static ADMISSION: LazyLock<Arc<Admission>> = LazyLock::new(|| Admission::shipped(&Platform::builtin(), &[]).into());

fn subject(n: usize) -> Subject {
    let digest = "a".repeat(64);
    let yaml = format!(
        "config_version: v1beta1\ncomponents:\n  web:\n    image: registry.example/tool-{n}/web@sha256:{digest}\n    run: {{command: web, port: 8000, publish: /, replicas: 2, memory: 512Mi}}\n  refresh:\n    image: registry.example/tool-{n}/web@sha256:{digest}\n    run: {{command: refresh, schedule: \"@daily\", timeout: 3600}}\n"
    );
    let tool = Tool::of(ToolName::new(format!("tool-{n}")).expect("a name"), format!("https://git.example/tool-{n}"));
    let revision = Revision {
        commit: CommitId::new("1".repeat(40)).ok(),
        branch: "main".to_owned(),
        tree: TreeId::new("2".repeat(40)).ok(),
        files: Files { config: Some(yaml.into_bytes()), ..Files::default() },
        resolved: BTreeMap::new(),
        facts: Default::default(),
    };
    Subject {
        platform: Platform::builtin(),
        tool,
        siblings: Siblings::default(),
        newest: Ok(revision),
        trouble: None,
        forgotten: false,
        circumstances: Circumstances::at(Moment::from_unix_secs(1_767_225_600)),
        vault: reconciler::secrets::Vault::default(),
        admission: Arc::clone(&ADMISSION),
    }
}

fn newest(subject: &Subject) -> &Revision {
    subject.newest.as_ref().expect("a revision")
}

fn render(subject: &Subject) -> Rendered {
    subject.render(newest(subject))
}

fn plan(subject: &Subject, observed: &Observed) -> Plan {
    subject.draft(observed).plan(observed)
}

/// How many objects are as they should be, and all of them are.
fn unchanged(subject: &Subject, world: &Observed) -> usize {
    let plan = plan(subject, world);
    assert!(plan.steps.is_empty() && plan.is_ready() && plan.unconfirmed.is_empty(), "{plan:#?}");
    assert_eq!(plan.unchanged, world.objects.len());
    plan.unchanged
}

/// The world of a tool that is as it should be.
fn world(subject: &Subject) -> Observed {
    let rendered = render(subject);
    assert!(rendered.withheld.is_empty() && !rendered.unusable, "{:?}", rendered.report);
    let objects: BTreeMap<_, _> =
        desired(&rendered).into_iter().map(|object| (object.id.clone(), Seen::Live(live(&object).into()))).collect();
    let uid = |seen: &Seen| match seen {
        Seen::Live(value) => uid_of(value).expect("a uid").to_owned(),
        Seen::Absent => panic!("everything is live"),
    };
    let stored = StoredRevision {
        number: 1,
        revision: newest(subject).clone(),
        path: Some(subject.tool.path.clone()),
        images: rendered.components.iter().map(|c| (c.name.clone(), stored_image(&c.image))).collect(),
        platform: planner::platform_digest(&subject.platform),
        one_offs: [].into(),
        rendered: Some(planner::rendered_digest(&rendered)),
    };
    let mut world = Observed {
        inventory: objects.iter().map(|(id, seen)| (id.clone(), uid(seen))).collect(),
        objects,
        secrets: Some([].into()),
        stored: vec![stored],
        ..Observed::default()
    };
    let status = status(subject, &world);
    let tool = world.objects.iter_mut().find(|(id, _)| id.kind == "Tool").expect("the Tool");
    if let Seen::Live(tool) = tool.1 {
        let mut value = Value::clone(tool);
        value["status"] = status;
        *tool = value.into();
    }
    world
}

/// What the pass that found everything Ready wrote on the Tool.
fn status(subject: &Subject, observed: &Observed) -> Value {
    let pass = Pass {
        plan: &plan(subject, observed),
        outcome: &Outcome::default(),
        observed,
        field_manager: FIELD_MANAGER,
        previous: None,
        generation: 1,
        now: subject.circumstances.now,
        since: subject.circumstances.now,
    };
    pass.status()
}

fn desired(rendered: &Rendered) -> Vec<Object> {
    let components = rendered.components.iter().flat_map(|component| {
        let StoredImage { source, digest } = stored_image(&component.image);
        component.at(&PinnedImage { reference: source, digest }).0
    });
    rendered.objects.iter().cloned().chain(components).collect()
}

fn stored_image(image: &Image) -> StoredImage {
    let Image::Prebuilt { reference } = image else { panic!("a prebuilt image was expected: {image:?}") };
    let digest = Digest::new(format!("sha256:{}", "a".repeat(64))).expect("a digest");
    StoredImage { source: reference.clone(), digest }
}

/// The object as a server shows it after our apply, its defaults and its controllers' work.
fn live(object: &Object) -> Value {
    let resets = FieldSet::from_fields_v1(&json!({"f:status": {}})).expect("a set");
    let writer = |manager, subresource| Writer {
        manager,
        api_version: object.api_version(),
        subresource,
        time: "2026-01-01T00:00:00Z",
        resets: &resets,
    };
    let mut value =
        merge::apply(&Value::Null, &object.value, &writer(FIELD_MANAGER, ""), true).expect("it applies").object;
    defaults::fill(&mut value, Schema::of_object(&object.value));
    let metadata = &mut value["metadata"];
    metadata["uid"] = json!(format!("uid-{}", object.id));
    metadata["resourceVersion"] = json!("123456");
    metadata["generation"] = json!(1);
    metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    if object.id.kind == "Service" {
        value["spec"]["clusterIP"] = json!("10.96.1.2");
        value["spec"]["clusterIPs"] = json!(["10.96.1.2"]);
        value["spec"]["ipFamilies"] = json!(["IPv4"]);
    }
    let mut controlled = value.clone();
    work(&object.id.kind, &mut controlled);
    let none = FieldSet::new();
    merge::update(&value, &controlled, &Writer { resets: &none, ..writer("kube-controller-manager", "status") })
}

/// What the kind's controller writes.
fn work(kind: &str, object: &mut Value) {
    let time = "2026-01-01T00:00:30Z";
    match kind {
        "Namespace" => object["status"] = json!({"phase": "Active"}),
        "ResourceQuota" => object["status"] = json!({"hard": object["spec"]["hard"], "used": object["spec"]["hard"]}),
        "PodDisruptionBudget" => {
            object["status"] = json!({"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, "expectedPods": 2});
        }
        "Deployment" => {
            object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
            let condition = |kind, reason| json!({"type": kind, "status": "True", "reason": reason, "message": reason, "lastUpdateTime": time, "lastTransitionTime": time});
            let conditions = [
                condition("Available", "MinimumReplicasAvailable"),
                condition("Progressing", "NewReplicaSetAvailable"),
            ];
            object["status"] = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "conditions": conditions});
        }
        _ => {}
    }
}

fn seen(world: &Observed) -> impl Iterator<Item = &Value> {
    world.objects.keys().filter_map(|id| world.live(id))
}

fn bytes<'a>(values: impl Iterator<Item = &'a Value>) -> usize {
    values.map(|value| value.to_string().len()).sum()
}

/// One run over all tools.
#[derive(Clone, Copy)]
struct Run {
    wall: Duration,
    /// Of all threads together.
    cpu: Duration,
}

/// Measures on all cores and on one. Tools are independent, so each thread takes its share of them.
fn row(what: &str, cores: usize, cases: &[Case<'_>], work: &(impl Fn(&Case<'_>) -> usize + Sync)) {
    let (all, one) = (measure(cores, cases, work), measure(1, cases, work));
    let wall = |runs: &[Run]| shown(runs.iter().map(|run| run.wall.as_secs_f64()), 2);
    let cpu = shown(one.iter().map(|run| run.cpu.as_secs_f64() * 1e6 / cases.len() as f64), 0);
    println!("| {what} | {} | {} | {cpu} |", wall(&all), wall(&one));
}

fn measure(threads: usize, cases: &[Case<'_>], work: &(impl Fn(&Case<'_>) -> usize + Sync)) -> Vec<Run> {
    let share = |cases: &[Case<'_>]| {
        let begun = cpu_time();
        assert!(std::hint::black_box(cases.iter().map(work).sum::<usize>()) > 0);
        cpu_time().saturating_sub(begun)
    };
    let once = |_| {
        let begun = Instant::now();
        let cpu = std::thread::scope(|scope| {
            let shares = cases.chunks(cases.len().div_ceil(threads));
            let threads: Vec<_> = shares.map(|cases| scope.spawn(move || share(cases))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        Run { wall: begun.elapsed(), cpu }
    };
    (0..ROUNDS).map(once).collect()
}

/// How long this thread has been on a processor: what counts where other programs run beside this one.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells each thread its time");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds");
    Duration::from_nanos(nanos)
}

fn shown(figures: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let figure = |n: usize| format!("{:.digits$}", figures[n]);
    format!("{} ({} – {})", figure(ROUNDS / 2), figure(0), figure(ROUNDS - 1))
}
