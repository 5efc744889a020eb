//! The drift engine in figures, on a real API server: what it asks for while nothing happens, how soon an edit is undone,
//! what it keeps in memory, and how it compares with the least that could be sent and with kubectl.
//!
//! Run: `cargo bench -p tests --bench engine`, or some figures only: `cargo bench -p tests --bench engine -- rollout diff`.
//! One table goes to stdout, a row as soon as it is known; what is going on, and where the time went (requests by verb and
//! resource, CPU seconds by process), goes to stderr.
//!
//! | figure | what is measured |
//! |---|---|
//! | `idle` | requests, CPU and memory of `toolforge run` over some idle minutes; memory for 12,000 objects |
//! | `edits` | from the answer to an edit until a watch of ours sees the object equal again |
//! | `restart` | from the start of a process until each tool has been verified |
//! | `rollout` | from empty until all Tools are Ready, beside a bare loop that only sends the server-side applies |
//! | `diff` | `toolforge diff` of one tool, beside `kubectl diff --server-side` on the same rendered file |
//! | `failing` | edits and commits of healthy tools, while others fail for good and while none does |
//!
//! | variable | otherwise | |
//! |---|---|---|
//! | `TOOLS` | 3,000; 1,000 for `rollout` and `failing` | how many tools |
//! | `RUNS` | 3 | runs of each figure, those that are compared by turns |
//! | `MINUTES` | 10 | of idling |
//! | `EDITS` | 200 | edits in a run |
//! | `DIFFS` | 10 | diffs in a run |
//! | `FAILING_PERCENT` | 30 | how many tools fail |
//! | `PASSES` | 8 | tools at once: of `toolforge run --passes`, and of the bare loop |
//! | `TOOLFORGE` | built with `cargo build --release` | the program |
//! | `ENGINE_KUBECONFIG` | a control plane of our own (Go is needed, see `tests/control-plane`) | a cluster of yours |
//! | `ENGINE_CONTEXT` | its current context | which of that file |
//!
//! The tools are what `render` makes of a one-component file with `replicas: 0`, so that we and the API server are
//! measured and no nodes. All live in one repository, a folder each, on a git host within this program: polling is two
//! requests. `toolforge run` is the release binary in a process of its own.
//!
//! On a cluster of yours this makes Tools, namespaces `tool-engine…` and `platform-engine…`, the Tools' definition and, for
//! `failing`, a ValidatingAdmissionPolicy `engine-refuses` with its binding.
//! Each set of tools is named by the time, because nothing begins empty there, and nothing is deleted:
//! `kubectl delete tools,namespaces -l toolforge.org/platform`, `kubectl delete
//! validatingadmissionpolicies,validatingadmissionpolicybindings engine-refuses`. Its audit log is out of reach, so requests
//! are those that `toolforge run` counts itself: not by resource, and with the lease among them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table, and talks beside it")]

mod bare_loop;
mod cost;
mod figures;
mod ground;
mod requests;
mod settings;
mod stage;
mod table;
mod workload;

use figures::{diff, edits, failing, idle, restart, rollout};
use settings::Settings;
use stage::Stage;

const FIGURES: [&str; 6] = ["idle", "edits", "restart", "rollout", "diff", "failing"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let unknown = wanted.iter().find(|word| !FIGURES.contains(&word.as_str()));
    anyhow::ensure!(unknown.is_none(), "there is no figure {unknown:?}, but {}", FIGURES.join(", "));
    let wants = |figure: &str| wanted.is_empty() || wanted.iter().any(|word| word == figure);
    let settings = Settings::from_environment()?;
    println!("{}\n", settings.told());
    table::head();
    if ["idle", "edits", "restart"].into_iter().any(wants) {
        let mut stage = Stage::rolled_out(&settings, settings.tools(3_000)).await?;
        if wants("idle") {
            idle::measure(&settings, &mut stage).await?;
        }
        if wants("edits") {
            edits::measure(&settings, &stage).await?;
        }
        if wants("restart") {
            restart::measure(&settings, &mut stage).await?;
        }
        stage.end().await?;
    }
    if wants("rollout") {
        rollout::measure(&settings).await?;
    }
    if wants("diff") {
        diff::measure(&settings).await?;
    }
    if wants("failing") {
        failing::measure(&settings).await?;
    }
    Ok(())
}
