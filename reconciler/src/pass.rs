//! One pass for one tool: the only path from a wake-up to the cluster. `run`, `apply` and `diff` share it; they differ in
//! where the world comes from (a watch, a few lists) and in whether the plan is executed.

use crate::cluster::call::Answer;
use crate::events::Recorder;
use crate::execute::{self, FIELD_MANAGER};
use crate::observe;
use crate::registry::Registry;
use crate::status;
use futures::StreamExt as _;
use kube::Client;
use planner::check::Violation;
use planner::conditions::Pass;
use planner::observed::{Gap, ImageSeen, Observed};
use planner::outcome::Outcome;
use planner::plan::Plan;
use planner::{Input, Judge, Newest};
use renderer::build::Siblings;
use renderer::config::Config;
use renderer::render::render_revision;
use renderer::{CommitId, Digest, Object, ObjectId, Platform, Rendered, Report, Revision, Tool, render_config};
use serde_json::Value;

/// Rounds of confirming absences: each can show objects that make others necessary, but not for ever.
const ROUNDS: usize = 4;
/// Registry look-ups of one pass at once: a tool may name many images, and registries of strangers.
const IMAGES_AT_ONCE: usize = 4;

/// Whom a pass is for, and what their repository says.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The platform.
    pub platform: Platform,
    /// The tool.
    pub tool: Tool,
    /// Tools it is joined with by promotion.
    pub siblings: Siblings,
    /// Its newest revision, or why it could not be read.
    pub newest: Result<Revision, String>,
    /// Why its repository can't be asked now; `newest` is what it said last.
    pub trouble: Option<String>,
    /// Its file is gone from the config repository.
    pub forgotten: bool,
}

/// A plan with everything it was made from.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The plan.
    pub plan: Plan,
    /// What its judge says against it; a plan with a violation is not executed.
    pub violations: Vec<Violation>,
    /// The world it was made from, absences confirmed.
    pub observed: Observed,
    /// Errors and notes about the newest revision's files.
    pub report: Report,
}

impl Subject {
    /// Renders one revision: the newest, or the one that was Ready last.
    #[must_use]
    pub fn render(&self, revision: &Revision) -> Rendered {
        render_revision(&self.platform, &self.tool, revision, &self.siblings)
    }

    /// The tool-wide objects: they follow from the tool and the platform, whatever its repository says.
    #[must_use]
    pub fn frame(&self) -> Vec<Object> {
        let nothing = Revision::nothing(&self.tool.branch);
        render_config(&self.platform, &self.tool, &nothing, &Config::default(), &self.siblings).objects
    }
}

/// Makes the plan: renders, asks the registry about images nobody knows, confirms absences, and has it judged.
pub async fn decide(subject: &Subject, mut observed: Observed, client: &Client, registry: &Registry) -> Decided {
    let newest = subject.newest.as_ref().map(|revision| {
        let files = planner::files_that_count(&revision.files, &observed.stored);
        let revision = Revision { files, ..revision.clone() };
        let rendered = subject.render(&revision);
        (revision, rendered)
    });
    let last_good = observed.stored.first().map(|stored| subject.render(&stored.revision));
    if let Ok((revision, rendered)) = &newest {
        look_up_images(rendered, revision.commit.as_ref(), &mut observed, registry).await;
    }
    let frame = subject.frame();
    let mut rounds = 0;
    let plan = loop {
        let plan = planner::plan(&Input {
            tool: &subject.tool,
            platform: &subject.platform,
            namespace: subject.tool.name.namespace(),
            frame: &frame,
            newest: match &newest {
                Ok((revision, rendered)) => Newest::Revision(revision, rendered),
                Err(why) => Newest::Unavailable(why),
            },
            last_good: last_good.as_ref(),
            observed: &observed,
            field_manager: FIELD_MANAGER,
            trouble: subject.trouble.as_deref(),
            forgotten: subject.forgotten,
        });
        rounds += 1;
        if plan.unconfirmed.is_empty() || rounds == ROUNDS {
            break plan;
        }
        confirm(&plan.unconfirmed, &mut observed, client).await;
    };
    let judge = Judge { platform: &subject.platform, observed: &observed, field_manager: FIELD_MANAGER };
    let violations = judge.check(&plan);
    let report = newest.map(|(_, rendered)| rendered.report).unwrap_or_default();
    Decided { plan, violations, observed, report }
}

/// Executes the plan, unless its judge is against it: then nothing is done, and the log says why.
pub async fn execute(decided: &Decided, client: &Client, learn: &(dyn Fn(&ObjectId, &Answer) + Sync)) -> Outcome {
    if let Some(first) = decided.violations.first() {
        let (tool, id, rule) = (&decided.plan.tool, &first.id, first.rule);
        tracing::error!(%tool, object = %id, %rule, "the plan was refused; nothing was done. This is a defect in toolforge");
        return Outcome::default();
    }
    execute::execute(client, &decided.plan, learn).await
}

/// Says on the Tool how it went: its status and events, each only where it is news. `live` is the Tool as it is now;
/// returned is the server's answer to a status that was written.
pub async fn tell(
    client: &Client,
    recorder: &Recorder,
    live: &Value,
    decided: &Decided,
    outcome: &Outcome,
) -> Option<Answer> {
    let plan = &decided.plan;
    let previous = live.get("status");
    let pass = Pass {
        plan,
        outcome,
        observed: &decided.observed,
        field_manager: FIELD_MANAGER,
        previous,
        generation: live.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0),
        now: &jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    };
    let status = pass.status();
    let written = status::publish(client, &plan.tool, &status, previous).await;
    let written = written.unwrap_or_else(|error| {
        tracing::warn!(tool = %plan.tool, %error, "status was not written");
        None
    });
    // What the status says already was an event once, also where another process said it.
    if previous != Some(&status) || !outcome.rows.is_empty() {
        recorder.publish(client, live, plan, outcome).await;
    }
    written
}

/// One read for each name: it is there, it is confirmed absent, or nothing can be said about its kind.
async fn confirm(ids: &[ObjectId], observed: &mut Observed, client: &Client) {
    for (id, seen) in observe::confirm(client, ids).await {
        match seen {
            Ok(seen) => drop(observed.objects.insert(id, seen)),
            Err(why) => observed.gaps.push(Gap { group: id.group, kind: id.kind, why: why.to_string() }),
        }
    }
}

async fn look_up_images(rendered: &Rendered, commit: Option<&CommitId>, observed: &mut Observed, registry: &Registry) {
    let needed = planner::images_needed(rendered, commit, observed);
    let asked: Vec<_> = needed
        .into_iter()
        .map(|reference| async move {
            let answer = registry.digest_of(&reference).await;
            (reference, answer)
        })
        .collect();
    let answers: Vec<_> = futures::stream::iter(asked).buffer_unordered(IMAGES_AT_ONCE).collect().await;
    for (reference, answer) in answers {
        observed.images.insert(reference, seen(answer));
    }
}

fn seen<E: std::fmt::Display>(answer: Result<Option<Digest>, E>) -> ImageSeen {
    match answer {
        Ok(Some(digest)) => ImageSeen::Found(digest),
        Ok(None) => ImageSeen::Missing,
        Err(why) => ImageSeen::Unknown(why.to_string()),
    }
}
