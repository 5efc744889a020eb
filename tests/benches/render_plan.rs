//! Render and plan 10,000 tools, without any I/O: once as new tools, once as tools that are as they should be.
//!
//! Run: `cargo bench -p tests --bench render_plan`. Prints a table; asserts nothing about time.

#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a program that prints a table and stops at the first surprise"
)]

use planner::fields::FieldSet;
use planner::merge::{self, Writer};
use planner::observed::{Observed, Seen};
use planner::{Input, Newest, plan};
use renderer::build::Siblings;
use renderer::render::render_revision;
use renderer::{CommitId, Files, Object, PinnedImage, Platform, Rendered, Revision, Tool, ToolName, TreeId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const TOOLS: usize = 10_000;
const ROUNDS: usize = 5;

fn main() {
    let platform = Platform::builtin();
    let cases: Vec<_> = (0..TOOLS).map(case).collect();
    let rendered: Vec<_> = cases.iter().map(|(tool, revision)| rendered(&platform, tool, revision)).collect();
    let worlds: Vec<_> = rendered.iter().map(live).collect();
    let nothing = Observed::default();
    let objects: usize = worlds.iter().map(|world| world.objects.len()).sum();

    let mut table = Vec::new();
    table.push(row("render", &measure(|| cases.iter().map(|(t, r)| rendered_len(&platform, t, r)).sum())));
    table.push(row("plan, new tools", &measure(|| total(&platform, &cases, &rendered, |_| &nothing))));
    table.push(row("plan, nothing differs", &measure(|| total(&platform, &cases, &rendered, |n| &worlds[n]))));
    let both = measure(|| {
        let planned = cases.iter().zip(&worlds).map(|((tool, revision), world)| {
            let rendered = rendered_one(&platform, tool, revision);
            steps(&platform, tool, revision, &rendered, world)
        });
        planned.sum()
    });
    table.push(row("render + plan, nothing differs", &both));
    println!("{TOOLS} tools, {objects} live objects, one thread, median of {ROUNDS} (min – max)\n");
    println!("| what | seconds |\n|---|---|");
    table.iter().for_each(|line| println!("{line}"));
}

fn case(n: usize) -> (Tool, Revision) {
    let digest = "a".repeat(64);
    let yaml = format!(
        "config_version: v1beta1\ncomponents:\n  web:\n    image: registry.example/tool-{n}/web@sha256:{digest}\n    run: {{command: web, port: 8000, publish: /, replicas: 2, memory: 512Mi}}\n  refresh:\n    image: registry.example/tool-{n}/web@sha256:{digest}\n    run: {{command: refresh, schedule: \"@daily\", timeout: 3600}}\n"
    );
    let tool = Tool {
        name: ToolName::new(format!("tool-{n}")).expect("a name"),
        repository: format!("https://git.example/tool-{n}"),
        branch: "main".to_owned(),
        path: String::new(),
        uid: None,
        limits: renderer::platform::LimitsPatch::default(),
        promotion: None,
        suspend: false,
    };
    let revision = Revision {
        commit: CommitId::new("1".repeat(40)).ok(),
        branch: "main".to_owned(),
        tree: TreeId::new("2".repeat(40)).ok(),
        files: Files { config: Some(yaml.into_bytes()), ..Files::default() },
        resolved: BTreeMap::new(),
    };
    (tool, revision)
}

fn rendered(platform: &Platform, tool: &Tool, revision: &Revision) -> Rendered {
    let rendered = rendered_one(platform, tool, revision);
    assert!(rendered.withheld.is_empty() && !rendered.unusable, "{:?}", rendered.report);
    rendered
}

fn rendered_one(platform: &Platform, tool: &Tool, revision: &Revision) -> Rendered {
    render_revision(platform, tool, revision, &Siblings::default())
}

fn rendered_len(platform: &Platform, tool: &Tool, revision: &Revision) -> usize {
    rendered_one(platform, tool, revision).objects.len()
}

/// The tool's objects as a server would show them after our apply.
fn live(rendered: &Rendered) -> Observed {
    let mut world = Observed::default();
    for object in rendered.objects.iter().chain(&components(rendered)) {
        let resets = FieldSet::from_fields_v1(&json!({"f:status": {}})).expect("a set");
        let by = Writer {
            manager: "toolforge",
            api_version: object.api_version(),
            subresource: "",
            time: "2026-01-01T00:00:00Z",
            resets: &resets,
        };
        let mut value = merge::apply(&Value::Null, &object.value, &by, true).expect("it applies").object;
        value["metadata"]["uid"] = json!(object.id.to_string());
        value["metadata"]["resourceVersion"] = json!("1");
        ready(&object.id.kind, &mut value);
        world.objects.insert(object.id.clone(), Seen::Live(value));
    }
    world
}

fn components(rendered: &Rendered) -> Vec<Object> {
    let digest = renderer::Digest::new(format!("sha256:{}", "a".repeat(64))).expect("a digest");
    let pinned = |reference: &str| PinnedImage { reference: reference.to_owned(), digest: digest.clone() };
    let at = |component: &renderer::RenderedComponent| match &component.image {
        renderer::Image::Prebuilt { reference } => component.at(&pinned(reference)).0,
        other => panic!("a prebuilt image was expected: {other:?}"),
    };
    rendered.components.iter().flat_map(at).collect()
}

fn ready(kind: &str, object: &mut Value) {
    match kind {
        "Namespace" => object["status"] = json!({"phase": "Active"}),
        "ResourceQuota" => object["status"] = json!({"hard": object["spec"]["hard"]}),
        _ => {}
    }
}

fn total<'a>(
    platform: &Platform,
    cases: &[(Tool, Revision)],
    rendered: &[Rendered],
    world: impl Fn(usize) -> &'a Observed,
) -> usize {
    let each = cases.iter().zip(rendered).enumerate();
    each.map(|(n, ((tool, revision), rendered))| steps(platform, tool, revision, rendered, world(n))).sum()
}

fn steps(platform: &Platform, tool: &Tool, revision: &Revision, rendered: &Rendered, observed: &Observed) -> usize {
    let plan = plan(&Input {
        tool,
        platform,
        namespace: tool.name.namespace(),
        frame: &rendered.objects,
        newest: Newest::Revision(revision, rendered),
        last_good: None,
        observed,
        field_manager: "toolforge",
        trouble: None,
        forgotten: false,
    });
    plan.steps.len() + plan.unconfirmed.len() + plan.unchanged
}

fn measure(mut work: impl FnMut() -> usize) -> Vec<Duration> {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            assert!(std::hint::black_box(work()) > 0);
            begun.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn row(what: &str, times: &[Duration]) -> String {
    let secs = |n: usize| times[n].as_secs_f64();
    format!("| {what} | {:.2} ({:.2} – {:.2}) |", secs(ROUNDS / 2), secs(0), secs(ROUNDS - 1))
}
