//! The plan as a contract: what a person approves, in a form that leaves the machine it was made on.
//!
//! A plan is carried out by making it again. The contract says what was planned and from what (the revision, the rendered
//! objects, each touched object as it was); whoever is handed one plans anew from the world as it is, and goes on only if
//! that comes to the same ([`Contract::differences`]). So a contract can hold toolforge back and never lead it: the worst
//! that a forged one does is to be refused.
//!
//! That is also why it need not hold what is sent. Of each request stands its kind and a sha256, so that no environment,
//! no file of a ConfigMap and no stored revision is in it, and of kinds with secret content not even a sha256 of that. The
//! changes are shown as `diff` shows them, but for values found in an environment: they may have been typed by hand, and
//! are masked.
//!
//! What changes by itself is told and does not count: a controller's status, and the resourceVersion that it moves. Nor
//! does what somebody else wrote where we want something else: that it is still there is said by the object's state, and
//! how much of it is shown depends on whose secrets whoever plans may read.

mod base;
mod differences;
mod text;

pub use base::{Base, State};
pub use differences::Difference;
pub use text::NotAPlan;

use crate::check::Violation;
use crate::decide::tool_id;
use crate::drift::{FieldChange, Shown};
use crate::kinds::Kind;
use crate::observed::{Observed, uid_of};
use crate::plan::{Action, Cause, Held, Plan, Request, Step, is_anothers};
use crate::question::{Answered, DryRun, Word};
use renderer::length_prefixed::hex;
use renderer::{CommitId, ObjectId, Platform, Rendered, Revision, Tool, ToolName, TreeId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What one plan promises to do, and what it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// [`Plan::id`].
    pub id: String,
    /// Program and version.
    pub made_by: String,
    /// The tool.
    pub tool: ToolName,
    /// The cluster.
    pub cluster: Whereabouts,
    /// What the repository said.
    pub revision: Source,
    /// sha256 of everything that was rendered, images aside.
    pub rendered: String,
    /// sha256 of each setting of the platform and the tool, by name; shortened: they only say which one changed.
    pub settings: BTreeMap<String, String>,
    /// What the plan's judge says against it.
    pub violations: Vec<Violation>,
    /// Questions that the server was not asked, or did not answer: whoever may only read plans without.
    pub unanswered: Vec<Unanswered>,
    /// Each object that a step touches, as it was.
    pub base: Vec<Base>,
    /// What will be done, in this order.
    pub steps: Vec<Promise>,
    /// What will not be done yet.
    pub held: Vec<Held>,
}

/// Which cluster. Names of contexts differ between machines; a uid is given once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whereabouts {
    /// As headers name it.
    pub name: String,
    /// uid of the tool's Tool object there; none before it is made.
    pub tool_uid: Option<String>,
}

/// Which revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The followed branch.
    pub branch: String,
    /// Commit.
    pub commit: Option<CommitId>,
    /// The tree at the tool's path.
    pub tree: Option<TreeId>,
    /// sha256 of the files that describe the tool.
    pub files: String,
}

/// One step, without the bodies of its requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The object.
    pub id: ObjectId,
    /// What is done.
    pub action: Action,
    /// Why.
    pub cause: Cause,
    /// Field by field.
    pub changes: Vec<FieldChange>,
    /// The requests, in order.
    pub requests: Vec<Sent>,
}

/// One request: which kind, and a sha256 of its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sent {
    /// Server-side apply.
    Apply(String),
    /// JSON patch, without its test of the resourceVersion.
    Patch(String),
    /// Delete of this uid.
    Delete(String),
    /// An image of this digest is taken over to this reference.
    Promote(String, String),
}

/// A question that was left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unanswered {
    /// The object it is about.
    pub id: ObjectId,
    /// What was to be asked.
    pub dry_run: DryRun,
}

impl Unanswered {
    fn of(answer: &Answered) -> Self {
        Self { id: answer.id.clone(), dry_run: answer.dry_run }
    }
}

/// No word about the question itself: the asker has no right to ask, or there was no answer.
fn is_untold(word: &Word) -> bool {
    match word {
        Word::Made(_) => false,
        Word::Refused { code, .. } => matches!(code, 401 | 403 | 405),
        Word::Unknown(_) => true,
    }
}

/// Everything a contract is made from.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The world it was made from.
    pub observed: &'a Observed,
    /// What its judge says.
    pub violations: &'a [Violation],
    /// The platform.
    pub platform: &'a Platform,
    /// The tool.
    pub tool: &'a Tool,
    /// The newest revision, rendered; none where it could not be read.
    pub newest: Option<(&'a Revision, &'a Rendered)>,
    /// Program and version.
    pub made_by: &'a str,
}

impl Contract {
    /// Puts a plan into this form.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        let Terms { plan, observed, .. } = *terms;
        let tool_uid = observed.live(&tool_id(&plan.tool)).and_then(uid_of).map(str::to_owned);
        let steps = plan.steps.iter();
        Self {
            id: plan.id(),
            made_by: terms.made_by.to_owned(),
            tool: plan.tool.clone(),
            cluster: Whereabouts { name: plan.cluster.clone(), tool_uid },
            revision: Source::of(terms),
            rendered: rendered(terms),
            settings: settings(terms.platform, terms.tool),
            violations: terms.violations.to_vec(),
            unanswered: observed.answers.iter().filter(|answer| is_untold(&answer.word)).map(Unanswered::of).collect(),
            base: steps.map(|step| Base { id: step.id.clone(), was: State::of(&step.id, observed) }).collect(),
            steps: plan.steps.iter().map(Promise::of).collect(),
            held: plan.held.clone(),
        }
    }
}

impl Contract {
    /// Takes back the answers that this contract was made without, so that it can be made again from the same knowledge.
    /// Whether there were any.
    pub fn forget_answers(&self, observed: &mut Observed) -> bool {
        let unknown = || Word::Unknown("the plan was made without asking".to_owned());
        let mut forgot = false;
        for answer in &mut observed.answers {
            if self.unanswered.contains(&Unanswered::of(answer)) && !is_untold(&answer.word) {
                answer.word = unknown();
                forgot = true;
            }
        }
        forgot
    }
}

impl Source {
    fn of(terms: &Terms) -> Self {
        let revision = terms.newest.map(|(revision, _)| revision);
        Self {
            branch: terms.plan.target.branch.clone(),
            commit: revision.and_then(|revision| revision.commit.clone()),
            tree: revision.and_then(|revision| revision.tree.clone()),
            files: revision.map_or_else(String::new, |revision| sha256(&revision.files)),
        }
    }

    /// Whether it is the same content. A merge that changed nothing makes a commit, and leaves the tree.
    fn says_the_same(&self, other: &Self) -> bool {
        let same_commit = self.commit.is_some() && self.commit == other.commit;
        same_commit || (self.tree.is_some() && self.tree == other.tree && self.files == other.files)
    }
}

impl Promise {
    fn of(step: &Step) -> Self {
        Self {
            id: step.id.clone(),
            action: step.action,
            cause: step.cause.clone(),
            changes: step.changes.iter().map(published).collect(),
            requests: step.requests.iter().map(|request| Sent::of(&step.id, request)).collect(),
        }
    }

    /// What of it has to be the same.
    fn matter(&self) -> Self {
        let mut matter = self.clone();
        matter
            .changes
            .iter_mut()
            .filter(|change| is_anothers(change, &self.cause))
            .for_each(|change| change.from = None);
        matter
    }
}

impl Sent {
    fn of(id: &ObjectId, request: &Request) -> Self {
        match request {
            // How a create is kept from touching what is there is no part of what was approved.
            Request::Create { body } | Request::Apply { body } => Self::Apply(sha256(&without_secrets(id, body))),
            Request::Patch { operations } => Self::Patch(sha256(&without_guard(operations))),
            Request::Delete { uid } => Self::Delete(uid.clone()),
            Request::Promote { digest, to, .. } => Self::Promote(digest.to_string(), to.clone()),
        }
    }
}

/// A short value could be guessed from its sha256.
fn without_secrets(id: &ObjectId, body: &Value) -> Value {
    let mut body = body.clone();
    let secret = Kind::of_id(id).map_or(&[][..], |row| row.secret_paths);
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| !secret.contains(&name.as_str()));
    }
    body
}

/// Without the test that a patch begins with: a status moves it.
fn without_guard(operations: &Value) -> Vec<&Value> {
    let all = operations.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|op| op.get("path").and_then(Value::as_str) != Some("/metadata/resourceVersion")).collect()
}

/// A change as strangers may see it: what stood in an environment may have been typed by hand.
pub(crate) fn published(change: &FieldChange) -> FieldChange {
    let in_environment = change.path.split('.').any(|name| name == "env" || name.starts_with("env["));
    let holds_one = |shown: &Shown| shown.to_string().contains("\"env\"");
    let from = change.from.clone().map(|from| if in_environment || holds_one(&from) { Shown::hidden() } else { from });
    FieldChange { from, ..change.clone() }
}

fn rendered(terms: &Terms) -> String {
    let said = |all: &Rendered| sha256(&(&all.objects, &all.components, &all.withheld, all.unusable));
    terms.newest.map_or_else(String::new, |(_, rendered)| said(rendered))
}

/// Hex digits of a setting's sha256 that are kept.
const SHORT: usize = 16;

/// As [`crate::platform_digest`], the hosts, the context and the credentials' variable are left out.
fn settings(platform: &Platform, tool: &Tool) -> BTreeMap<String, String> {
    let mut platform = Platform { allowed_hosts: Vec::new(), cluster: None, ..platform.clone() };
    platform.registry.credentials = None;
    // Both have text keys only, so serialising them does not fail.
    let both = [
        ("platform", serde_json::to_value(platform).unwrap_or_default()),
        ("tool", serde_json::to_value(tool).unwrap_or_default()),
    ];
    let fields = both.iter().filter_map(|(of, all)| Some((of, all.as_object()?)));
    let named = fields.flat_map(|(of, all)| all.iter().map(move |(name, value)| (format!("{of}.{name}"), value)));
    named.map(|(name, value)| (name, sha256(value)[..SHORT].to_owned())).collect()
}

/// What matters of a plan: what is done and what is not, and nothing that moves while nothing is decided.
#[derive(Serialize)]
struct Matter<'a> {
    tool: &'a ToolName,
    branch: &'a str,
    removed: bool,
    steps: Vec<Promise>,
    held: Vec<(&'a ObjectId, Option<Action>, &'static str)>,
    unconfirmed: &'a [ObjectId],
}

/// See [`Plan::id`].
pub(crate) fn id_of(plan: &Plan) -> String {
    sha256(&Matter {
        tool: &plan.tool,
        branch: &plan.target.branch,
        removed: plan.removed,
        steps: plan.steps.iter().map(|step| Promise::of(step).matter()).collect(),
        held: plan.held.iter().map(|held| (&held.id, held.action, held.why.word())).collect(),
        unconfirmed: &plan.unconfirmed,
    })
}

/// sha256 of the JSON of a value of ours, in hexadecimal.
fn sha256(value: &(impl Serialize + ?Sized)) -> String {
    // Fails only for keys that are no text, and there are none.
    sha256_bytes(&serde_json::to_vec(value).unwrap_or_default())
}

fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
