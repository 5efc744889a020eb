//! What operators measure. Labels are the closed words of the plan, never a tool's name: 3,000 tools would be 3,000
//! series of each.

use crate::cluster::door::Requests;
use crate::observe;
use crate::source::Counts;
use planner::outcome::{Outcome, RowResult};
use planner::plan::Plan;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use renderer::ToolName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    action: String,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFailure {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWhy {
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReady {
    ready: &'static str,
}

/// All of them. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    passes: Counter,
    panics: Counter,
    seconds: Histogram,
    steps: Family<Step, Counter>,
    failures: Family<ByFailure, Counter>,
    held: Family<ByWhy, Gauge>,
    tools: Family<ByReady, Gauge>,
    busy: Gauge,
    ls_refs: Counter,
    fetches: Counter,
    /// How each tool ended its last pass: what the gauges are the sum of.
    last: Mutex<BTreeMap<ToolName, Last>>,
}

#[derive(Debug)]
struct Last {
    ready: &'static str,
    held: Vec<&'static str>,
}

impl Metrics {
    /// New metrics that show `requests` and the watches' `counters` beside their own.
    #[must_use]
    pub fn new(requests: &Requests, counters: &observe::Counters) -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("toolforge"),
            passes: Counter::default(),
            panics: Counter::default(),
            seconds: Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]),
            steps: Family::default(),
            failures: Family::default(),
            held: Family::default(),
            tools: Family::default(),
            busy: Gauge::default(),
            ls_refs: Counter::default(),
            fetches: Counter::default(),
            last: Mutex::default(),
        };
        inner.register();
        let all = &mut inner.registry;
        all.register("requests", "Requests to the API server, by verb", requests.family());
        all.register("watch_opens", "Watches opened, the first time and again", counters.opened.clone());
        all.register("watch_missed", "Differences found by the six-hourly list", counters.missed.clone());
        Self(Arc::new(inner))
    }

    /// A pass has ended.
    pub fn pass(&self, plan: &Plan, outcome: &Outcome, took: Duration) {
        let inner = &*self.0;
        inner.passes.inc();
        inner.seconds.observe(took.as_secs_f64());
        for (step, row) in plan.steps.iter().zip(&outcome.rows) {
            match &row.result {
                RowResult::Done { .. } => {
                    let label = Step { action: step.action.to_string(), cause: step.cause.word() };
                    inner.steps.get_or_create(&label).inc();
                }
                RowResult::Failed(failure) => {
                    inner.failures.get_or_create(&ByFailure { kind: failure.kind.word() }).inc();
                }
            }
        }
        let ready = plan.is_ready() && outcome.failures().next().is_none();
        let held = plan.held.iter().map(|held| held.why.word()).collect();
        self.place(&plan.tool, Some(Last { ready: if ready { "true" } else { "false" }, held }));
    }

    /// A pass has panicked.
    pub fn panicked(&self) {
        self.0.panics.inc();
    }

    /// A tool is no longer ours to serve.
    pub fn forget(&self, tool: &ToolName) {
        self.place(tool, None);
    }

    /// How many tools wait or run.
    pub fn busy(&self, tools: usize) {
        self.0.busy.set(i64::try_from(tools).unwrap_or(i64::MAX));
    }

    /// What git was asked so far.
    pub fn git(&self, counts: Counts) {
        for (counter, total) in [(&self.0.ls_refs, counts.ls_refs), (&self.0.fetches, counts.fetches)] {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// The exposition, in OpenMetrics text.
    ///
    /// # Errors
    /// Where a metric cannot be written.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// Replaces what a tool adds to the gauges.
    fn place(&self, tool: &ToolName, now: Option<Last>) {
        let inner = &*self.0;
        let mut all = inner.last.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |last: &Last, change: i64| {
            inner.tools.get_or_create(&ByReady { ready: last.ready }).inc_by(change);
            for why in &last.held {
                inner.held.get_or_create(&ByWhy { why }).inc_by(change);
            }
        };
        if let Some(before) = all.remove(tool) {
            count(&before, -1);
        }
        if let Some(now) = now {
            count(&now, 1);
            all.insert(tool.clone(), now);
        }
    }
}

impl Inner {
    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("passes", "Passes ended", self.passes.clone());
        all.register("panics", "Passes that panicked: defects in toolforge", self.panics.clone());
        all.register("pass_seconds", "Duration of a pass", self.seconds.clone());
        all.register("steps", "Steps done, by action and cause", self.steps.clone());
        all.register("failures", "Steps failed, by what helps", self.failures.clone());
        all.register("held", "What waits now, by why", self.held.clone());
        all.register("tools", "Tools, by whether their last pass found them Ready", self.tools.clone());
        all.register("busy_tools", "Tools that wait for a pass or are in one", self.busy.clone());
        all.register("git_ls_refs", "Times a repository was asked for its refs", self.ls_refs.clone());
        all.register("git_fetches", "Fetches", self.fetches.clone());
    }
}
