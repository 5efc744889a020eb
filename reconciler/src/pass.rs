//! One pass for one tool: the only path from a wake-up to the cluster. `run`, `apply` and `diff` share it; they differ in
//! where the world comes from (a watch, a few lists) and in whether the plan is executed.

mod asked;
mod hidden;
mod unseen;

use crate::cluster::call::{Answer, CallError};
use crate::dry_run;
use crate::events::{Recorder, Wrote};
use crate::execute::{self, Doors, FIELD_MANAGER};
use crate::registry::Registry;
use crate::secrets::Vault;
use crate::status;
pub(crate) use asked::seen;
use asked::{confirm, look_up_images};
pub use hidden::{Hidden, Search, withhold};
use kube::Client;
use planner::audit::{self, Entry};
use planner::check::Violation;
use planner::conditions::Pass;
use planner::contract::{Contract, Terms};
use planner::drift::FieldVerdict;
use planner::images::ImageRow;
use planner::observed::Observed;
use planner::outcome::Outcome;
use planner::pin::Pin;
use planner::plan::{Plan, Why};
use planner::{Admission, Circumstances, Input, Judge, Memo, Moment, Newest, quota};
use renderer::build::Siblings;
use renderer::config::Config;
use renderer::render::{build_inputs, render_known};
use renderer::secrets::{Known, LiveSecret};
use renderer::{Diagnostic, Object, ObjectId, Platform, Rendered, Report, Revision, Tool, render_config};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rounds of confirming absences: each can show objects that make others necessary, but not for ever.
const ROUNDS: usize = 4;

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
    /// The time, and what happens to everyone else.
    pub circumstances: Circumstances,
    /// What opens its encrypted values.
    pub vault: Vault,
    /// The platform's rules.
    pub admission: Arc<Admission>,
}

/// The time, as plans take it.
#[must_use]
pub fn now() -> Moment {
    Moment::from_unix_secs(jiff::Timestamp::now().as_second())
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
    /// Something that was asked for it was not answered, and no event tells when it can be.
    pub missed: Option<Missed>,
    /// What nobody may repeat.
    pub(crate) hidden: Hidden,
}

/// Something was not answered, and has to be tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// Seconds until the server wants to be asked again, where it says so.
    pub retry_after_secs: Option<u64>,
}

impl Missed {
    pub(crate) fn of(error: &CallError) -> Self {
        Self { retry_after_secs: error.refusal().and_then(|refusal| refusal.retry_after_secs) }
    }

    /// Both: what either wants to wait for is waited for.
    #[must_use]
    pub fn and(self, other: Option<Self>) -> Self {
        Self { retry_after_secs: self.retry_after_secs.max(other.and_then(|other| other.retry_after_secs)) }
    }
}

impl Subject {
    /// Renders one revision: the newest, or the one that was Ready last.
    #[must_use]
    pub fn render(&self, revision: &Revision) -> Rendered {
        self.render_beside(revision, None)
    }

    /// The same, beside the Secrets of its components as they are now.
    fn render_beside(&self, revision: &Revision, live: Option<&Arc<BTreeMap<String, LiveSecret>>>) -> Rendered {
        let opened = self.vault.opened(&self.tool.name, &self.siblings.tools, revision.files.secrets.as_deref());
        let known = Known { opened, given: self.vault.given(&self.tool.name), live: live.cloned() };
        render_known(&self.platform, &self.tool, revision, &self.siblings, &known)
    }

    /// The tool-wide objects: they follow from the tool and the platform, whatever its repository says.
    #[must_use]
    pub fn frame(&self) -> Vec<Object> {
        let nothing = Revision::nothing(&self.tool.branch);
        render_config(&self.platform, &self.tool, &nothing, &Config::default(), &self.siblings).objects
    }

    /// Renders what a plan is made of. An explicit file, once stored, is never forgotten for an inferred one; and a commit
    /// elsewhere in the repository is none of this tool's.
    #[must_use]
    pub fn draft(&self, observed: &Observed) -> Draft<'_> {
        let live = if self.vault.knows_all(&self.tool.name) { None } else { unseen::live(observed).map(Arc::new) };
        let render = |revision: &Revision| self.render_beside(revision, live.as_ref());
        let newest = self.newest.as_ref().map_err(String::as_str).map(|revision| {
            let files = planner::files_that_count(&revision.files, &observed.stored);
            let revision = Revision { files, ..revision.clone() };
            let revision = planner::under_known_commit(revision, &self.tool, observed);
            let rendered = Arc::new(render(&revision));
            (revision, rendered)
        });
        // Most of the time the newest is the one that was Ready last.
        let last_good = observed.stored.first().map(|stored| match &newest {
            Ok((revision, rendered)) if *revision == stored.revision => Arc::clone(rendered),
            _ => Arc::new(render(&stored.revision)),
        });
        let tool = observed.live(&planner::tool_id(&self.tool.name));
        let pinned = planner::pinned_revision(tool, &observed.stored, self.circumstances.now);
        let pinned = pinned.map(|stored| render(&stored.revision));
        let frame = if newest.is_ok() { Vec::new() } else { self.frame() };
        Draft { subject: self, newest, last_good, pinned, frame }
    }
}

/// What a subject's revisions render to, in the light of what is stored: a pass between its look-ups and its decisions.
#[derive(Debug)]
pub struct Draft<'a> {
    subject: &'a Subject,
    newest: Result<(Revision, Arc<Rendered>), &'a str>,
    last_good: Option<Arc<Rendered>>,
    pinned: Option<Rendered>,
    /// The tool-wide objects, where no newest revision has them.
    frame: Vec<Object>,
}

impl Draft<'_> {
    /// Where the tool's images are, without tags.
    #[must_use]
    pub fn repositories(&self, observed: &Observed) -> BTreeSet<String> {
        let newest = self.newest.as_ref().ok().map(|(_, rendered)| rendered.as_ref());
        planner::builds::repositories(newest, observed)
    }

    /// Images that only the registry can tell, by reference.
    #[must_use]
    pub fn images_needed(&self, observed: &Observed) -> BTreeSet<String> {
        let Ok((revision, rendered)) = &self.newest else { return BTreeSet::new() };
        planner::images_needed(rendered, revision.commit.as_ref(), observed)
    }

    /// Where each component's image comes from, why, and what follows from it, beside the plan that was made of this.
    #[must_use]
    pub fn images(&self, plan: &Plan, observed: &Observed) -> Vec<ImageRow> {
        let Subject { platform, tool, siblings, .. } = self.subject;
        let inputs = |revision: Option<&Revision>| {
            revision.map(|revision| build_inputs(platform, tool, revision, siblings)).unwrap_or_default()
        };
        let newest = inputs(self.newest.as_ref().ok().map(|(revision, _)| revision));
        let last_good = inputs(observed.stored.first().map(|stored| &stored.revision));
        planner::images::images(&self.input(observed), plan, (&newest, &last_good))
    }

    /// The plan as far as `observed` goes. Asks nobody: what has to be confirmed stands in it.
    #[must_use]
    pub fn plan(&self, observed: &Observed) -> Plan {
        self.plan_and_memo(observed).0
    }

    /// The same, and what the next plan need not find out again.
    #[must_use]
    pub fn plan_and_memo(&self, observed: &Observed) -> (Plan, Memo) {
        planner::plan_and_memo(&self.input(observed))
    }

    /// Every field of every object with its verdict, as far as `observed` goes.
    #[must_use]
    pub fn verdicts(&self, observed: &Observed) -> Vec<(ObjectId, Vec<FieldVerdict>)> {
        planner::field_verdicts(&self.input(observed))
    }

    /// What becomes of the tool's quota; none where it has none, or where that can't be told.
    #[must_use]
    pub fn quota(&self, observed: &Observed) -> Option<Vec<quota::Row>> {
        quota::rows(&self.input(observed))
    }

    fn input<'a>(&'a self, observed: &'a Observed) -> Input<'a> {
        let subject = self.subject;
        Input {
            tool: &subject.tool,
            platform: &subject.platform,
            namespace: subject.tool.name.namespace(),
            frame: self.newest.as_ref().map_or(&self.frame, |(_, rendered)| &rendered.objects),
            newest: match &self.newest {
                Ok((revision, rendered)) => Newest::Revision(revision, rendered),
                Err(why) => Newest::Unavailable(why),
            },
            last_good: self.last_good.as_deref(),
            pinned: self.pinned.as_ref(),
            observed,
            field_manager: FIELD_MANAGER,
            trouble: subject.trouble.as_deref(),
            forgotten: subject.forgotten,
            circumstances: &subject.circumstances,
            admission: &subject.admission,
        }
    }

    /// What was decided from this draft, as a contract. `made_by` is program and version.
    #[must_use]
    pub fn contract(&self, decided: &Decided, made_by: &str) -> Contract {
        let newest = self.newest.as_ref().ok().map(|(revision, rendered)| (revision, rendered.as_ref()));
        let Decided { plan, violations, observed, .. } = decided;
        let (platform, tool) = (&self.subject.platform, &self.subject.tool);
        Contract::of(&Terms { plan, observed, violations, platform, tool, newest, made_by })
    }

    /// The plan, every absence confirmed by a read, every question by a dry run, and judged.
    pub async fn decide(self, mut observed: Observed, client: &Client) -> Decided {
        let ((mut plan, mut memo), mut missed) = (self.plan_and_memo(&observed), None);
        for _ in 1..ROUNDS {
            if plan.unconfirmed.is_empty() && plan.questions.is_empty() {
                break;
            }
            let mut errors = confirm(&plan.unconfirmed, &mut observed, client).await;
            for (answered, error) in dry_run::ask(client, &plan.tool, &plan.questions).await {
                observed.answers.push(answered);
                errors.extend(error);
            }
            missed = errors.iter().map(Missed::of).chain(missed).reduce(|one, other| one.and(Some(other)));
            (plan, memo) = self.plan_and_memo(&observed);
        }
        observed.memo = memo;
        let hidden = Hidden::of(self.subject, &observed);
        let unread = hidden.hide_in(client, &mut plan, (&observed, self.subject.circumstances.now)).await;
        missed = unread.map(|unread| unread.and(missed)).or(missed);
        self.judged(plan, observed, missed, hidden)
    }

    /// Where the files say what a rule refuses; where the plan holds nothing for that, nobody is asked.
    fn denied(&self, plan: &Plan, observed: &Observed) -> Vec<Diagnostic> {
        let newest =
            self.newest.as_ref().ok().filter(|_| plan.held.iter().any(|held| matches!(held.why, Why::Denied(_))));
        newest.map(|(_, rendered)| self.input(observed).denied(rendered)).unwrap_or_default()
    }

    fn judged(self, plan: Plan, observed: Observed, missed: Option<Missed>, hidden: Hidden) -> Decided {
        let platform = &self.subject.platform;
        let violations = Judge { platform, observed: &observed, field_manager: FIELD_MANAGER }.check(&plan);
        let denied = self.denied(&plan, &observed);
        let mut report = self.newest.map(|(_, rendered)| Arc::unwrap_or_clone(rendered).report).unwrap_or_default();
        report.diagnostics.extend(denied);
        Decided { plan, violations, observed, report, missed, hidden }
    }
}

/// Makes the plan: renders, asks the registry about images nobody knows, confirms absences, and has it judged.
pub async fn decide(subject: &Subject, mut observed: Observed, client: &Client, registry: &Registry) -> Decided {
    let draft = subject.draft(&observed);
    look_up_images(draft.images_needed(&observed), &mut observed, (registry, &subject.platform)).await;
    draft.decide(observed, client).await
}

/// Executes the plan, unless its judge is against it: then nothing is done, and the log says why.
pub async fn execute(decided: &Decided, doors: Doors<'_>, learn: &(dyn Fn(&ObjectId, &Answer) + Sync)) -> Outcome {
    if let Some(first) = decided.violations.first() {
        let (tool, id, rule) = (&decided.plan.tool, &first.id, first.rule);
        tracing::error!(%tool, object = %id, %rule, "the plan was refused; nothing was done. This is a defect in toolforge");
        return Outcome::default();
    }
    let mut outcome = execute::execute(doors, &decided.plan, learn).await;
    // What could not be searched says so, and the next pass hears it again.
    decided.hidden.hide(doors.client, outcome.said()).await;
    for (row, failure) in outcome.failures() {
        tracing::info!(object = %row.id, action = %row.action, kind = ?failure.kind, %failure, "step failed");
    }
    for entry in decided.entries(&outcome) {
        let (tool, object, action) = (&entry.tool, &entry.object, entry.action);
        let (who, cause, fields) = (&entry.who, &entry.cause, entry.fields.join(" "));
        let more = (entry.more_fields > 0).then_some(entry.more_fields);
        let failed = entry.failed.as_ref().map(|failure| failure.kind.word());
        tracing::info!(%tool, %object, %action, %who, %cause, fields, more, failed, "audit");
    }
    outcome
}

impl Decided {
    /// What came of its steps: who asked for each, and why.
    pub(crate) fn entries(&self, outcome: &Outcome) -> Vec<Entry> {
        let pin = Pin::of(self.observed.live(&planner::tool_id(&self.plan.tool)), now());
        audit::entries(&self.plan, outcome, &pin)
    }
}

/// What became of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It says the same already, or the server will not have it, however often it is sent.
    Nothing,
    /// It was written, and this is the server's answer.
    Written(Answer),
    /// Whether it was written is unknown, or the server cannot write now: it has to be said again.
    Unheard(Missed),
    /// It passes by itself, and goes unsaid for now.
    Unsaid,
}

/// What a pass has to tell.
#[derive(Debug, Clone, Copy)]
pub struct News<'a> {
    /// Whom it is about.
    pub subject: &'a Subject,
    /// The Tool as it is now.
    pub live: &'a Value,
    /// What was decided.
    pub decided: &'a Decided,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// What came of earlier passes of which nothing was told.
    pub unsaid: &'a [Entry],
    /// When the first of those was; else now.
    pub since: planner::Moment,
    /// What passes by itself may go unsaid.
    pub patient: bool,
}

/// Says on the Tool how it went: its status and events, each only where it is news.
pub async fn tell(client: &Client, recorder: &Recorder, news: &News<'_>) -> Told {
    let News { live, decided, outcome, .. } = *news;
    let plan = &decided.plan;
    if planner::is_anothers(live, &news.subject.platform.name) {
        tracing::warn!(tool = %plan.tool, "another platform of this cluster serves a tool of this name: choose another one");
        return Told::Nothing;
    }
    let previous = live.get("status");
    let pass = Pass {
        plan,
        outcome,
        observed: &decided.observed,
        field_manager: FIELD_MANAGER,
        previous,
        generation: live.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0),
        now: now(),
        since: news.since,
    };
    let status = status::fit(pass.status());
    if news.patient && decided.missed.is_none() && pass.may_go_unsaid(&status) {
        return Told::Unsaid;
    }
    let written = status::publish(client, &plan.tool, &status, previous).await;
    let told = match written {
        Ok(answer) => answer.map_or(Told::Nothing, Told::Written),
        Err(error) => {
            tracing::warn!(tool = %plan.tool, %error, "status was not written");
            if error.may_pass() { Told::Unheard(Missed::of(&error)) } else { Told::Nothing }
        }
    };
    // What the status says already was an event once, also where another process said it.
    let entries = [news.unsaid, &decided.entries(outcome)].concat();
    if previous != Some(&status) || !entries.is_empty() {
        recorder.publish(client, live, &Wrote { plan, entries: &entries }).await;
    }
    told
}
