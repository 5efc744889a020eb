//! How long it takes to judge a whole platform by its rules: 3,000 tools, 12,000 objects, each for the first time.
//!
//! Run: `cargo bench -p planner --bench admission`. Prints a table; the middle of 5 runs.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures, and prints a table")]

use planner::Admission;
use planner::admission::withhold;
use renderer::platform::LimitsPatch;
use renderer::{Files, Platform, Rendered, Revision, Siblings, Tool, ToolName};
use std::time::{Duration, Instant};

const TOOLS: usize = 3_000;
const RUNS: usize = 5;

fn tool(n: usize) -> Tool {
    Tool {
        name: ToolName::new(format!("tool-{n}")).expect("a name"),
        repository: format!("https://git.example/tool-{n}"),
        branch: "main".to_owned(),
        path: String::new(),
        uid: None,
        limits: LimitsPatch::default(),
        promotion: None,
        commits: Default::default(),
        suspend: false,
    }
}

/// A Deployment, a Service, an Ingress and a NetworkPolicy.
fn rendered(platform: &Platform, n: usize) -> Rendered {
    let digest = "a".repeat(64);
    let yaml = format!(
        "components:\n  web:\n    image: registry.example/web@sha256:{digest}\n    run: {{command: web, port: 8000, publish: /}}\n"
    );
    let files = Files { config: Some(yaml.into_bytes()), ..Files::default() };
    let revision = Revision { files, ..Revision::nothing("main") };
    renderer::render_revision(platform, &tool(n), &revision, &Siblings::default())
}

fn main() {
    let platform = Platform::builtin();
    let all: Vec<_> = (0..TOOLS).map(|n| rendered(&platform, n)).collect();
    let objects: usize = all.iter().flat_map(|tool| &tool.components).map(|component| component.objects.len()).sum();
    let admission = Admission::shipped(&platform, &[]);
    println!("{TOOLS} tools, {objects} objects\n\n| what | middle, ms |\n|---|---|");
    row("the shipped rules, read and compiled", || drop(Admission::shipped(&platform, &[])));
    for threads in [1, 2] {
        row(&format!("every object judged, {threads} threads"), || judge(&all, threads, &admission, &platform));
    }
}

fn judge(all: &[Rendered], threads: usize, admission: &Admission, platform: &Platform) {
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(threads)) {
            scope.spawn(move || {
                for tool in part {
                    let mut tool = tool.clone();
                    withhold(&mut tool, admission, platform);
                    assert!(tool.withheld.is_empty(), "{:?}", tool.withheld);
                }
            });
        }
    });
}

fn row(what: &str, work: impl Fn()) {
    let mut took: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    took.sort();
    println!("| {what} | {:.1} |", took[RUNS / 2].as_secs_f64() * 1000.0);
}
