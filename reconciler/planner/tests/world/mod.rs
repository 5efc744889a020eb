//! A world in memory for planner tests: objects with real field ownership (`planner::merge`), a watch that selects by our
//! mark, a read by name, and controllers that make things Ready. No server, no time.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::panic, reason = "a world that is asked for what it has not is a wrong test")]

use planner::conditions::Pass;
use planner::drift::FieldVerdict;
use planner::fields::FieldSet;
use planner::merge::{self, Writer};
use planner::observed::{ImageSeen, MARK, Observed, Seen};
use planner::outcome::{Outcome, Row, RowResult};
use planner::plan::{Action, Plan, Request};
use planner::question::{DryRun, Question, Word};
use planner::quota;
use planner::settled::{self, Settled};
use planner::stored::StoredRevision;
use planner::{Admission, Circumstances, Input, Judge, Live, Memo, Moment, Newest, Stamp};
use renderer::build::Siblings;
use renderer::platform::{Backend, Builds, Lifecycle};
use renderer::revision::{Facts, ResolvedSource};
use renderer::{CommitId, Digest, Files, Object, ObjectId, Platform, Rendered, Revision, Tool, ToolName, TreeId};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Plans whose findings are kept.
const MEMOS: usize = 3;
pub const MANAGER: &str = "toolforge";
const NOW: &str = "2026-01-01T00:00:00Z";
/// The same time, as plans take it.
pub const START: Moment = Moment::from_unix_secs(1_767_225_600);

/// The cluster, the registry, and one tool.
pub struct World {
    pub objects: BTreeMap<ObjectId, Value>,
    pub images: BTreeMap<String, ImageSeen>,
    pub secrets: Option<BTreeSet<String>>,
    pub gaps: Vec<planner::observed::Gap>,
    /// What was known of a kind stays beside its gap, as it does with watches.
    pub remembers: bool,
    pub platform: Platform,
    pub tool: Tool,
    /// Controllers do their work.
    pub controllers: bool,
    /// The tool's file is gone from the config repository.
    pub forgotten: bool,
    pub circumstances: Circumstances,
    /// The platform's rules; none at first.
    pub rules: Arc<Admission>,
    /// A Deployment whose spec contains this text never becomes available, and its controller gives up.
    pub crashes: Option<String>,
    /// What a mutating webhook does to whatever is written.
    pub admission: Option<fn(&mut Value)>,
    /// Tool-wide objects beside those that are rendered.
    pub frame: Vec<Object>,
    /// It lets a Deployment's selector be changed.
    pub lenient: bool,
    /// A field it finds wrong in whatever we apply.
    pub wrong: Option<String>,
    /// What the server says is used of the tool's quota; none where it has not counted yet.
    pub used: Option<Value>,
    /// With which words a dry-run create is refused.
    pub refuses: Option<String>,
    /// The tool that this one is promoted from.
    pub forerunner: Option<planner::Forerunner>,
    /// Nobody has been here.
    pub untrodden: bool,
    /// What is known of the commit that is read.
    pub facts: Facts,
    /// What it builds from elsewhere.
    pub resolved: BTreeMap<String, ResolvedSource>,
    /// What may go unsaid does.
    pub terse: bool,
    /// The tool's secrets can't be read for now: what others say is withheld, as the shell does it.
    pub withholds: bool,
    /// How often a status was written.
    pub said: usize,
    /// How many names were read to confirm an absence.
    pub reads: Cell<usize>,
    writes: u64,
    /// How often an object was read that a watch keeps.
    pub unpacked: Arc<AtomicUsize>,
    /// What the last plans found.
    memos: RefCell<VecDeque<Memo>>,
}

/// A plan, what it was made of, what it says of fields, and what becomes of the quota.
type Looked = (Plan, Observed, Vec<(ObjectId, Vec<FieldVerdict>)>, Option<Vec<quota::Row>>);

/// What the repository says.
#[derive(Clone)]
pub enum Says {
    Commit(char, String),
    /// A commit that leaves everything of the tool as it was at another.
    Elsewhere(char, Box<Says>),
    Nothing(String),
}

pub fn commit(id: char, yaml: &str) -> Says {
    Says::Commit(id, yaml.to_owned())
}

impl World {
    /// One whose platform builds.
    pub fn building() -> Self {
        let mut world = Self::new();
        let lifecycle = Lifecycle::of("registry.example/toolforge@sha256:1".to_owned());
        world.platform.builds = Some(Builds::by(Backend::Lifecycle(lifecycle)));
        world
    }

    pub fn new() -> Self {
        let tool = Tool::of(ToolName::new("wordcount").expect("a name"), "https://git.example/wordcount");
        Self {
            objects: BTreeMap::new(),
            images: BTreeMap::new(),
            secrets: Some(BTreeSet::new()),
            gaps: Vec::new(),
            remembers: false,
            platform: Platform::builtin(),
            tool,
            controllers: true,
            forgotten: false,
            circumstances: Circumstances::at(START),
            rules: Arc::default(),
            crashes: None,
            admission: None,
            frame: Vec::new(),
            lenient: false,
            wrong: None,
            used: None,
            refuses: None,
            forerunner: None,
            untrodden: false,
            facts: Facts::default(),
            resolved: BTreeMap::new(),
            terse: false,
            withholds: false,
            said: 0,
            reads: Cell::new(0),
            writes: 0,
            unpacked: Arc::default(),
            memos: RefCell::default(),
        }
    }

    pub fn id(&self, kind: &str, name: &str) -> ObjectId {
        let found = self.objects.keys().find(|id| id.kind == kind && id.name == name);
        found.unwrap_or_else(|| panic!("no {kind} {name} among {:?}", self.names())).clone()
    }

    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.objects.keys().any(|id| id.kind == kind && id.name.starts_with(name))
    }

    pub fn names(&self) -> Vec<String> {
        self.objects.keys().map(ToString::to_string).collect()
    }

    pub fn push_image(&mut self, reference: &str, digit: char) {
        let digest = Digest::new(format!("sha256:{}", digit.to_string().repeat(64))).expect("a digest");
        self.images.insert(reference.to_owned(), ImageSeen::Found(digest));
    }

    pub fn revision(id: char, yaml: &str) -> Revision {
        Revision {
            commit: CommitId::new(id.to_string().repeat(40)).ok(),
            branch: "main".to_owned(),
            tree: TreeId::new(id.to_string().repeat(40)).ok(),
            files: Files { config: Some(yaml.as_bytes().to_vec()), ..Files::default() },
            resolved: BTreeMap::new(),
            facts: Default::default(),
        }
    }

    pub fn render(&self, revision: &Revision) -> Rendered {
        renderer::render::render_revision(&self.platform, &self.tool, revision, &Siblings::default())
    }

    /// What a watch with our label selector shows, and what the Tool's status lists.
    pub fn observe(&self) -> Observed {
        let marked = |value: &Value| value["metadata"]["labels"][MARK] == self.tool.name.as_str();
        let seen = self
            .objects
            .iter()
            .filter(|(id, v)| marked(v) || ["Tool", "HorizontalPodAutoscaler", "Pod"].contains(&id.kind.as_str()));
        let hidden = |id: &ObjectId| !self.remembers && self.gaps.iter().any(|gap| gap.kind == id.kind);
        let objects: BTreeMap<_, _> = seen
            .filter(|(id, _)| !hidden(id))
            .map(|(id, value)| (id.clone(), Seen::Live(self.packed(value))))
            .collect();
        let records = objects.keys().filter(|id| id.kind == "ControllerRevision");
        let text = |id: &ObjectId| self.objects[id].to_string().into_bytes();
        let mut stored: Vec<_> =
            records.map(|id| StoredRevision::from_json(&id.name, &text(id)).expect("readable")).collect();
        stored.sort_by_key(|s| std::cmp::Reverse(s.number));
        Observed {
            cluster: "world".to_owned(),
            inventory: self.inventory(),
            objects,
            images: self.images.clone(),
            secrets: self.secrets.clone(),
            sources: None,
            stored,
            chosen: planner::pin::Pin::of(self.tool_object(), START).images,
            gaps: self.gaps.clone(),
            builds_unseen: None,
            forerunner: self.forerunner.clone(),
            settled: self.settled(),
            answers: Vec::new(),
            untrodden: self.untrodden,
            memo: Memo::default(),
        }
    }

    /// As a watch keeps it: read when somebody asks.
    fn packed(&self, value: &Value) -> Live {
        let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
        let (stamp, unpacked, value) =
            (Stamp::of(uid, value.to_string().as_bytes()), self.unpacked.clone(), value.clone());
        Live::packed(stamp, move || {
            unpacked.fetch_add(1, Ordering::Relaxed);
            value.clone()
        })
    }

    fn tool_object(&self) -> Option<&Value> {
        self.objects.iter().find(|(id, _)| id.kind == "Tool").map(|(_, tool)| tool)
    }

    fn settled(&self) -> Vec<Settled> {
        let list = self.tool_object().map(|value| value["status"]["settled"].clone()).filter(|list| !list.is_null());
        list.map_or_else(Vec::new, |list| serde_json::from_value(list).expect("readable"))
    }

    fn inventory(&self) -> BTreeMap<ObjectId, String> {
        let list =
            self.tool_object().and_then(|value| value["status"]["inventory"].as_array()).cloned().unwrap_or_default();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let entry = |entry: &Value| {
            let id = ObjectId {
                group: text(entry, "group"),
                kind: text(entry, "kind"),
                namespace: entry["namespace"].as_str().map(str::to_owned),
                name: text(entry, "name"),
            };
            (id, text(entry, "uid"))
        };
        list.iter().map(entry).collect()
    }

    /// The plan for what the repository says, with every absence confirmed, judged.
    pub fn plan(&self, says: &Says) -> (Plan, Observed) {
        let (plan, observed, ..) = self.looked_at(says);
        (plan, observed)
    }

    /// Every field of every object with its verdict.
    pub fn verdicts(&self, says: &Says) -> Vec<(ObjectId, Vec<FieldVerdict>)> {
        self.looked_at(says).2
    }

    /// What git says.
    fn read(&self, says: &Says) -> Result<Revision, String> {
        let read = match says {
            Says::Commit(id, yaml) => {
                let (facts, resolved) = (self.facts.clone(), self.resolved.clone());
                Revision { facts, resolved, ..Self::revision(*id, yaml) }
            }
            Says::Elsewhere(id, like) => Revision { commit: Self::revision(*id, "").commit, ..self.read(like)? },
            Says::Nothing(why) => return Err(why.clone()),
        };
        Ok(planner::under_known_commit(read, &self.tool, &self.observe()))
    }

    /// What becomes of the tool's quota.
    pub fn quota(&self, says: &Says) -> Option<Vec<quota::Row>> {
        self.looked_at(says).3
    }

    fn looked_at(&self, says: &Says) -> Looked {
        let mut observed = self.observe();
        let newest = self.read(says);
        let rendered = newest.as_ref().ok().map(|revision| self.render(revision));
        let mut frame = self.render(&Self::revision('0', "config_version: v1beta1\n")).objects;
        frame.extend(self.frame.iter().cloned());
        let last_good = observed.stored.first().map(|stored| self.render(&stored.revision));
        let pinned = planner::pinned_revision(self.tool_object(), &observed.stored, self.circumstances.now);
        let pinned = pinned.map(|stored| self.render(&stored.revision));
        for _ in 0..3 {
            let newest = match (&newest, &rendered) {
                (Ok(revision), Some(rendered)) => Newest::Revision(revision, rendered),
                (Err(why), _) => Newest::Unavailable(why),
                _ => unreachable!("a revision is always rendered"),
            };
            let input = Input {
                tool: &self.tool,
                platform: &self.platform,
                namespace: self.tool.name.namespace(),
                frame: &frame,
                newest,
                last_good: last_good.as_ref(),
                pinned: pinned.as_ref(),
                observed: &observed,
                field_manager: MANAGER,
                trouble: None,
                forgotten: self.forgotten,
                circumstances: &self.circumstances,
                admission: &self.rules,
            };
            let (plan, memo) = planner::plan_and_memo(&input);
            self.plans_alike_with_every_memo(&input, &plan, &memo);
            if plan.unconfirmed.is_empty() && plan.questions.is_empty() {
                let judge = Judge { platform: &self.platform, observed: &observed, field_manager: MANAGER };
                assert_eq!(judge.check(&plan), [], "the plan is refused by its judge: {plan:#?}");
                let (verdicts, rows) = (planner::field_verdicts(&input), quota::rows(&input));
                let mut memos = self.memos.borrow_mut();
                memos.truncate(MEMOS - 1);
                memos.push_front(memo);
                return (plan, observed, verdicts, rows);
            }
            self.reads.set(self.reads.get() + plan.unconfirmed.len());
            for id in &plan.unconfirmed {
                let seen = self.objects.get(id).map_or(Seen::Absent, |value| Seen::Live(value.clone().into()));
                observed.objects.insert(id.clone(), seen);
            }
            let answers = plan.questions.iter().map(|question| question.answered(self.dry_run(question)));
            observed.answers.extend(answers);
        }
        panic!("absences are confirmed in one round");
    }

    /// Whatever was found before, the plan is the same, and so is what need not be found out again.
    fn plans_alike_with_every_memo(&self, input: &Input<'_>, plan: &Plan, memo: &Memo) {
        for before in self.memos.borrow().iter() {
            let observed = Observed { memo: before.clone(), ..input.observed.clone() };
            let (again, found) = planner::plan_and_memo(&Input { observed: &observed, ..input.clone() });
            assert_eq!((&again, &found), (plan, memo), "a memo changes the plan");
        }
    }

    /// The plan in the light of the last one, without a question to anybody; and how many objects it read.
    pub fn reads_again(&self, says: &Says) -> usize {
        let Says::Commit(id, yaml) = says else { panic!("a commit was expected") };
        let revision = Self::revision(*id, yaml);
        let (rendered, mut observed) = (self.render(&revision), self.observe());
        observed.memo = self.memos.borrow().front().cloned().expect("a plan was made before");
        let before = self.unpacked.load(Ordering::Relaxed);
        drop(planner::plan(&Input {
            tool: &self.tool,
            platform: &self.platform,
            namespace: self.tool.name.namespace(),
            frame: &rendered.objects,
            newest: Newest::Revision(&revision, &rendered),
            last_good: Some(&rendered),
            pinned: None,
            observed: &observed,
            field_manager: MANAGER,
            trouble: None,
            forgotten: false,
            circumstances: &self.circumstances,
            admission: &self.rules,
        }));
        self.unpacked.load(Ordering::Relaxed) - before
    }

    /// What would become of it.
    fn dry_run(&self, question: &Question) -> Word {
        let mut made = question.body.clone();
        if let (DryRun::Create, Some(message)) = (question.dry_run, &self.refuses) {
            return Word::Refused { code: 422, fields: Vec::new(), message: message.clone() };
        }
        if let (DryRun::Apply | DryRun::Patch, Some(live)) = (question.dry_run, self.objects.get(&question.id)) {
            if let Some(refused) = self.refused(live, &made) {
                return refused;
            }
            made = live.clone();
        }
        self.admission.iter().for_each(|admission| admission(&mut made));
        Word::Made(made)
    }

    /// A Deployment's selector can't be changed, unless this server allows it; and it may find other fields wrong.
    fn refused(&self, live: &Value, wanted: &Value) -> Option<Word> {
        let selector = |object: &Value| object["spec"]["selector"].clone();
        let changed = live["kind"] == "Deployment" && selector(live) != selector(wanted) && !self.lenient;
        let mut fields: Vec<_> = self.wrong.iter().cloned().collect();
        fields.extend(changed.then(|| "spec.selector".to_owned()));
        let message = format!("{}: Invalid value", fields.join(", "));
        (!fields.is_empty()).then_some(Word::Refused { code: 422, fields, message })
    }

    /// One pass: plan, execute, write the status, let the controllers work.
    pub fn pass(&mut self, says: &Says) -> Plan {
        self.pass_until(says, usize::MAX)
    }

    /// One pass that is killed after `steps` steps: no status is written then.
    pub fn pass_until(&mut self, says: &Says, steps: usize) -> Plan {
        let (mut plan, observed) = self.plan(says);
        if self.withholds {
            plan.said().into_iter().for_each(|text| "withheld".clone_into(text));
            let now = self.circumstances.now;
            plan.put_off_verdict(self.tool_object().and_then(|tool| tool.get("status")), now);
        }
        let mut outcome = Outcome::default();
        for step in plan.steps.iter().take(steps) {
            for request in &step.requests {
                self.send(&step.id, request);
            }
            if let Some(live) = self.objects.get(&step.id).filter(|_| step.action != Action::Prune) {
                outcome.settled.extend(settled::learnt(step, live, MANAGER));
            }
            let uid = self.objects.get(&step.id).and_then(|o| o["metadata"]["uid"].as_str()).map(str::to_owned);
            outcome.rows.push(Row { id: step.id.clone(), action: step.action, result: RowResult::Done { uid } });
        }
        if steps >= plan.steps.len() {
            self.publish(&plan, &outcome, &observed);
        }
        if self.controllers {
            self.run_controllers();
        }
        plan
    }

    /// Passes until nothing is left to do; panics where that does not happen.
    pub fn settle(&mut self, says: &Says) -> Vec<Plan> {
        let mut plans: Vec<Plan> = Vec::new();
        for _ in 0..12 {
            let plan = self.pass(says);
            let idle = plan.steps.is_empty() && (plan.is_ready() || plans.last() == Some(&plan));
            plans.push(plan);
            if idle {
                return plans;
            }
        }
        panic!("never settles: {:#?}", plans.last());
    }

    fn publish(&mut self, plan: &Plan, outcome: &Outcome, observed: &Observed) {
        let Some((id, tool)) = self.objects.iter().find(|(id, _)| id.kind == "Tool") else { return };
        let (id, previous) = (id.clone(), tool.get("status").cloned());
        let pass = Pass {
            plan,
            outcome,
            observed,
            field_manager: MANAGER,
            previous: previous.as_ref(),
            generation: 1,
            now: self.circumstances.now,
            since: self.circumstances.now,
        };
        let status = pass.status();
        if previous.as_ref() == Some(&status) || (self.terse && pass.may_go_unsaid(&status)) {
            return;
        }
        self.said += 1;
        self.objects.get_mut(&id).expect("the Tool")["status"] = status;
    }

    fn send(&mut self, id: &ObjectId, request: &Request) {
        match request {
            Request::Create { body } => {
                assert!(!self.objects.contains_key(id), "the server refuses to make {id} again");
                self.apply(id, body, MANAGER);
            }
            Request::Apply { body } => self.apply(id, body, MANAGER),
            Request::Patch { operations } => self.patch(id, operations),
            Request::Promote { digest, to, .. } => {
                self.images.insert(to.clone(), ImageSeen::Found(digest.clone()));
            }
            Request::Delete { uid } => {
                assert_eq!(self.objects[id]["metadata"]["uid"], **uid, "uid precondition");
                self.objects.remove(id);
            }
        }
    }

    pub fn apply(&mut self, id: &ObjectId, body: &Value, manager: &str) {
        let live = self.objects.get(id).cloned().unwrap_or(Value::Null);
        let resets = status_only();
        let api_version = body["apiVersion"].as_str().expect("apiVersion");
        let writer = Writer { manager, api_version, subresource: "", time: NOW, resets: &resets };
        let applied = merge::apply(&live, body, &writer, true).expect("the server takes it");
        self.store(id, applied.object);
    }

    /// A change by somebody else, as PUT or PATCH would do it.
    pub fn edit(&mut self, id: &ObjectId, manager: &str, change: impl FnOnce(&mut Value)) {
        let old = self.objects[id].clone();
        let mut new = old.clone();
        change(&mut new);
        let resets = status_only();
        let api_version = old["apiVersion"].as_str().expect("apiVersion").to_owned();
        let writer = Writer { manager, api_version: &api_version, subresource: "", time: NOW, resets: &resets };
        let new = merge::update(&old, &new, &writer);
        self.store(id, new);
    }

    fn patch(&mut self, id: &ObjectId, operations: &Value) {
        let operations = operations.as_array().expect("a list").clone();
        self.edit(id, MANAGER, |object| {
            for op in operations {
                let path = op["path"].as_str().expect("a path");
                match op["op"].as_str() {
                    Some("test") => assert_eq!(object.pointer(path), Some(&op["value"]), "test {path}"),
                    Some("remove") => remove(object, path),
                    Some("replace") => *object.pointer_mut(path).expect("the field") = op["value"].clone(),
                    Some("add") => add(object, path, op["value"].clone()),
                    other => panic!("an operation this world does not know: {other:?}"),
                }
            }
        });
    }

    fn store(&mut self, id: &ObjectId, mut object: Value) {
        self.admission.iter().for_each(|admission| admission(&mut object));
        self.writes += 1;
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.writes));
        }
        object["metadata"]["resourceVersion"] = json!(self.writes.to_string());
        object["metadata"]["generation"] = json!(self.writes);
        self.objects.insert(id.clone(), object);
    }

    /// Every controller has done its work.
    pub fn run_controllers(&mut self) {
        let used = self.used.clone();
        let crashes = self.crashes.clone();
        let crashes = |object: &Value| crashes.as_ref().is_some_and(|text| object["spec"].to_string().contains(text));
        for (id, object) in &mut self.objects {
            let generation = object["metadata"]["generation"].clone();
            match id.kind.as_str() {
                "Namespace" => object["status"] = json!({"phase": "Active"}),
                "ResourceQuota" => object["status"] = json!({"hard": object["spec"]["hard"], "used": used}),
                "Service" => object["spec"]["clusterIP"] = json!("10.0.0.1"),
                "PodDisruptionBudget" => object["status"] = json!({"observedGeneration": generation}),
                "HTTPRoute" => {
                    object["status"] = json!({"parents": [{"parentRef": object["spec"]["parentRefs"][0], "conditions": [{"type": "Accepted", "status": "True"}]}]})
                }
                "Job" => object["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]}),
                "Deployment" if crashes(object) => {
                    let gave_up = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet has timed out progressing."});
                    object["status"] = json!({"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1, "conditions": [gave_up]});
                }
                "Deployment" => {
                    let n = object["spec"]["replicas"].as_i64().unwrap_or(1);
                    object["status"] = json!({"observedGeneration": generation, "replicas": n, "updatedReplicas": n, "availableReplicas": n});
                }
                _ => {}
            }
        }
    }
}

fn status_only() -> FieldSet {
    FieldSet::from_fields_v1(&json!({"f:status": {}})).expect("a set")
}

fn add(object: &mut Value, path: &str, value: Value) {
    let (parent, last) = path.rsplit_once('/').expect("a pointer");
    let last = last.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent).expect("the parent") {
        Value::Object(map) => drop(map.insert(last, value)),
        Value::Array(items) => items.insert(last.parse().unwrap_or(items.len()), value),
        other => panic!("nothing can be added to {other}"),
    }
}

fn remove(object: &mut Value, path: &str) {
    let (parent, last) = path.rsplit_once('/').expect("a pointer");
    let last = last.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent).expect("the parent") {
        Value::Object(map) => drop(map.remove(&last).expect("the field")),
        Value::Array(items) => drop(items.remove(last.parse().expect("an index"))),
        other => panic!("nothing can be removed from {other}"),
    }
}
