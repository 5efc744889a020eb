//! An independent judge: reads a finished plan and the world it was made from, and says what must not run. It shares no
//! decision with the code that made the plan; a mistake there must be made twice to do harm.

use crate::kinds::{Identity, Kind, Replace, Scope};
use crate::observed::{ImageSeen, MARK, Observed, uid_of};
use crate::plan::{Action, Plan, Request, Step};
use crate::prune::doomed_id;
use crate::replace;
use renderer::request::build_stem;
use renderer::{Digest, ObjectId, Platform};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// A step that must not run, and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The step's object.
    pub id: ObjectId,
    /// The rule.
    pub rule: Rule,
}

/// What a plan must never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A step reaches outside the tool's namespace, its Namespace, its Tool and its stored revisions.
    OutOfScope,
    /// A request's body is another object than the step says.
    OtherObject,
    /// An object is made without the tool's mark.
    Unmarked,
    /// A prune of something we can't prove is ours.
    NotProvenOurs,
    /// A prune of a kind that holds data or other objects.
    Protected,
    /// A change or prune of a kind that could not be observed.
    NotObserved,
    /// A create over something that is there, or that may be there.
    NotAbsent,
    /// One object in two steps, or both in a step and held.
    Twice,
    /// More prunes than the deletion budget.
    OverBudget,
    /// A replace that nobody has allowed.
    NotAllowed,
    /// A patch that would also apply to a newer object, or a create that would change what is there.
    Unguarded,
    /// A pod that could leave its sandbox.
    Privileged,
    /// What a tool's deployer may do would be done with the platform's rights.
    TooMighty,
    /// An image is taken over that is not the one which the declared promotion has.
    OtherImage,
    /// A route for another host than the tool's: each host of a platform has one owner, the tool it is named after.
    ForeignHost,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfScope => "it reaches outside the tool's own objects",
            Self::OtherObject => "a request is about another object",
            Self::Unmarked => "the object would not carry the tool's mark",
            Self::NotProvenOurs => "nothing proves that the object is ours",
            Self::Protected => "objects of this kind are never pruned",
            Self::NotObserved => "the kind could not be observed",
            Self::NotAbsent => "nobody has confirmed that the object is absent",
            Self::Twice => "the object is planned twice",
            Self::OverBudget => "the deletion budget is exceeded",
            Self::NotAllowed => "nobody has allowed to replace the object",
            Self::Unguarded => "the request would also change what nobody has looked at",
            Self::Privileged => "a pod could leave its sandbox",
            Self::ForeignHost => "it publishes another host than the tool's",
            Self::TooMighty => "it would be sent with the platform's rights",
            Self::OtherImage => "it takes over an image that the promotion does not have",
        })
    }
}

/// What a plan is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// The platform: namespace and budget.
    pub platform: &'a Platform,
    /// The world the plan was made from.
    pub observed: &'a Observed,
    /// Our field manager.
    pub field_manager: &'a str,
}

impl Judge<'_> {
    /// Everything the plan must not do; empty for a plan that may run.
    #[must_use]
    pub fn check(&self, plan: &Plan) -> Vec<Violation> {
        let mut found = self.check_whole(plan);
        for step in &plan.steps {
            let rules = self.check_step(plan, step);
            found.extend(rules.into_iter().map(|rule| Violation { id: step.id.clone(), rule }));
        }
        found
    }

    fn check_whole(&self, plan: &Plan) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut seen: BTreeSet<&ObjectId> = plan.held.iter().filter(|h| h.action.is_some()).map(|h| &h.id).collect();
        for step in &plan.steps {
            if !seen.insert(&step.id) {
                found.push(Violation { id: step.id.clone(), rule: Rule::Twice });
            }
        }
        found.extend(self.over_budget(plan).into_iter().map(|id| Violation { id, rule: Rule::OverBudget }));
        found
    }

    /// What is beyond the number and the share that may go in one pass, unless somebody allowed exactly these.
    fn over_budget(&self, plan: &Plan) -> Vec<ObjectId> {
        let budget = &self.platform.deletion_budget;
        let prunes = plan.steps.iter().filter(|s| s.action == Action::Prune && !self.is_bookkeeping(plan, &s.id));
        let doomed: Vec<_> = prunes.filter_map(|step| Some((step.id.clone(), step.deletes()?.to_owned()))).collect();
        let share = self.observed.inventory.len() as u64 * u64::from(budget.per_pass_percent) / 100;
        let most = usize::try_from(share.max(u64::from(budget.per_pass))).unwrap_or(usize::MAX);
        let tool = self.observed.live(&tool_id(plan));
        let allowed = tool.and_then(|tool| tool.pointer("/spec/pin/allowPrune")).and_then(Value::as_str);
        if allowed == Some(doomed_id(&doomed).as_str()) {
            return Vec::new();
        }
        doomed.into_iter().skip(most).map(|(id, _)| id).collect()
    }

    /// Records and builds go by their number and age, whatever the budget.
    fn is_bookkeeping(&self, plan: &Plan, id: &ObjectId) -> bool {
        id.kind == "ControllerRevision" || self.is_build(plan.tool.as_str(), id)
    }

    fn check_step(&self, plan: &Plan, step: &Step) -> Vec<Rule> {
        let mut broken = Vec::new();
        let mut require = |holds: bool, rule: Rule| {
            if !holds {
                broken.push(rule);
            }
        };
        let tool = plan.tool.as_str();
        let only_makes = |request: &Request| matches!(request, Request::Create { .. });
        require(self.in_scope(tool, &step.id), Rule::OutOfScope);
        require(self.observed.gap(&step.id).is_none(), Rule::NotObserved);
        require(!is_too_mighty(tool, step), Rule::TooMighty);
        match step.action {
            Action::Prune => {
                require(Kind::of_id(&step.id).is_some_and(|row| !row.protected), Rule::Protected);
                require(self.proven_ours(tool, step), Rule::NotProvenOurs);
            }
            Action::Replace => {
                require(!matches!(replace::of(&step.id), Replace::Never), Rule::Protected);
                require(self.proven_ours(tool, step), Rule::NotProvenOurs);
                require(self.may_replace(plan, step), Rule::NotAllowed);
            }
            Action::Build => {
                require(self.is_build(tool, &step.id), Rule::OutOfScope);
                require(self.observed.live(&step.id).is_none(), Rule::NotAbsent);
                require(step.requests.iter().all(only_makes), Rule::Unguarded);
            }
            Action::Promote => {
                let images = |request: &Request| matches!(request, Request::Promote { .. });
                require(!step.requests.is_empty() && step.requests.iter().all(images), Rule::OtherImage);
            }
            Action::Create => {
                require(self.confirmed_absent(&step.id) || self.may_be_presumed(&step.id), Rule::NotAbsent);
                require(step.requests.iter().all(only_makes), Rule::Unguarded);
            }
            Action::Configure | Action::ScaleDown | Action::Restore => {
                require(self.observed.live(&step.id).is_some(), Rule::NotObserved);
            }
        }
        for request in &step.requests {
            match request {
                Request::Create { body } | Request::Apply { body } => {
                    require(is_about(&step.id, body), Rule::OtherObject);
                    require(mark(body) == Some(tool), Rule::Unmarked);
                    require(pod_specs(body).all(is_confined), Rule::Privileged);
                    require(self.publishes_only(tool, body), Rule::ForeignHost);
                }
                Request::Patch { operations } => require(is_guarded(operations), Rule::Unguarded),
                Request::Promote { from, digest, to } => {
                    require(step.action == Action::Promote, Rule::OtherObject);
                    require(self.may_take_over(tool, from, digest, to), Rule::OtherImage);
                }
                Request::Delete { .. } => {
                    require(matches!(step.action, Action::Prune | Action::Replace), Rule::OtherObject);
                }
            }
        }
        broken
    }

    /// Nothing is lost by it, or a person allowed to delete this very object.
    fn may_replace(&self, plan: &Plan, step: &Step) -> bool {
        let tool = self.observed.live(&tool_id(plan));
        let allowed = tool.and_then(|tool| tool.pointer("/spec/pin/allowPrune")).and_then(Value::as_str);
        let doomed = step.deletes().map(|uid| doomed_id(&[(step.id.clone(), uid.to_owned())]));
        matches!(replace::of(&step.id), Replace::Freely(_)) || (doomed.is_some() && allowed == doomed.as_deref())
    }

    fn in_scope(&self, tool: &str, id: &ObjectId) -> bool {
        let own_namespace = format!("tool-{tool}");
        if self.is_build(tool, id) {
            return true;
        }
        if id.kind == "Image" {
            return id.group == "toolforge.org" && id.namespace.as_ref() == Some(&own_namespace);
        }
        match (id.namespace.as_deref(), Kind::of_id(id).map(|row| row.scope)) {
            (Some(namespace), Some(Scope::Tool)) => namespace == own_namespace,
            (Some(namespace), Some(Scope::Platform)) => {
                namespace == self.platform.namespace && is_numbered(&id.name, tool)
            }
            (None, Some(Scope::Cluster)) => {
                (id.kind == "Namespace" && id.name == own_namespace) || (id.kind == "Tool" && id.name == tool)
            }
            _ => false,
        }
    }

    /// A build of this tool, in the builds' namespace: `<tool>-<12 digits>`.
    fn is_build(&self, tool: &str, id: &ObjectId) -> bool {
        let namespace = self.platform.builds.as_ref().map(|builds| builds.namespace(self.platform));
        let kind = matches!(id.kind.as_str(), "Job" | "PipelineRun");
        let digits = id.name.rsplit_once('-').filter(|(_, digits)| digits.len() == 12);
        let stem = digits.map(|(stem, _)| stem);
        kind && namespace.is_some() && id.namespace == namespace && stem == Some(build_stem(tool).as_str())
    }

    /// A rule without a host, or a route without one, is for every host there is.
    fn publishes_only(&self, tool: &str, body: &Value) -> bool {
        let own = format!("{tool}.{}", self.platform.domain);
        let is_own = |host: &Value| host.as_str() == Some(own.as_str());
        let list = |at: &str| body.pointer(at).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match body["kind"].as_str() {
            Some("Ingress") => {
                let tls = list("/spec/tls").iter().filter_map(|tls| tls["hosts"].as_array()).flatten();
                let rules = list("/spec/rules").iter().map(|rule| &rule["host"]);
                rules.chain(tls).all(is_own) && body.pointer("/spec/defaultBackend").is_none()
            }
            Some("HTTPRoute") => {
                let hosts = list("/spec/hostnames");
                !hosts.is_empty() && hosts.iter().all(is_own)
            }
            _ => true,
        }
    }

    /// From the place of the tool that the config repository names, to a place of this tool's own: the same build, with
    /// the digest that was Ready there, or that the registry has said.
    fn may_take_over(&self, tool: &str, from: &str, digest: &Digest, to: &str) -> bool {
        let Some(forerunner) = &self.observed.forerunner else { return false };
        let parts = |reference: &str, of: &str| {
            let below = reference.strip_prefix(&format!("{}/tool-{of}/", self.platform.registry.host))?;
            let (name, tag) = below.split_once(':')?;
            let build = tag.split_once("-r").map_or(tag, |(build, _)| build);
            (!name.contains('/')).then(|| build.to_owned())
        };
        let tags = (parts(from, forerunner.name.as_str()), parts(to, tool));
        let mut proven = forerunner.stored.iter().flat_map(|stored| stored.images.values());
        let seen = self.observed.images.get(from) == Some(&ImageSeen::Found(digest.clone()));
        let known = seen || proven.any(|image| image.source == from && image.digest == *digest);
        tags.0.is_some() && tags.0 == tags.1 && known
    }

    /// The very uid we are about to delete is in the inventory, or carries our mark and our Apply entry.
    fn proven_ours(&self, tool: &str, step: &Step) -> bool {
        let Some(live) = self.observed.live(&step.id) else { return false };
        let deletes_it = step.requests.iter().all(|request| match request {
            Request::Delete { uid } => uid_of(live) == Some(uid),
            _ => false,
        });
        deletes_it && self.observed.is_ours(&step.id, tool, self.field_manager)
    }

    /// Not seen, in a place where nobody has been, of a tool that was never Ready.
    fn may_be_presumed(&self, id: &ObjectId) -> bool {
        self.observed.live(id).is_none() && self.observed.untrodden && self.observed.stored.is_empty()
    }

    fn confirmed_absent(&self, id: &ObjectId) -> bool {
        let namespace = |name: &String| ObjectId {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: None,
            name: name.clone(),
        };
        // Stored revisions are ours alone: nobody else may write into the platform's namespace.
        let record = id.kind == "ControllerRevision" && self.observed.live(id).is_none();
        record
            || self.observed.is_absent(id)
            || id.namespace.as_ref().is_some_and(|name| self.observed.is_absent(&namespace(name)))
    }
}

fn tool_id(plan: &Plan) -> ObjectId {
    ObjectId {
        group: "toolforge.org".to_owned(),
        kind: "Tool".to_owned(),
        namespace: None,
        name: plan.tool.to_string(),
    }
}

/// What stands in a tool's namespace and is no part of its frame is sent as the tool's deployer.
fn is_too_mighty(tool: &str, step: &Step) -> bool {
    let within = step.id.namespace.as_deref() == Some(format!("tool-{tool}").as_str());
    let for_deployer = Kind::of_id(&step.id).is_some_and(|row| row.identity == Identity::Deployer);
    within && for_deployer && step.identity == Identity::Platform
}

/// `<tool>-<number>`, so that `foo`'s records are never taken for `foo-1`'s.
fn is_numbered(name: &str, tool: &str) -> bool {
    let number = name.strip_prefix(tool).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_about(id: &ObjectId, body: &Value) -> bool {
    renderer::Object::new(body.clone()).is_ok_and(|object| object.id == *id)
}

fn mark(body: &Value) -> Option<&str> {
    body.get("metadata")?.get("labels")?.get(MARK)?.as_str()
}

fn is_guarded(operations: &Value) -> bool {
    let first = operations.as_array().and_then(|all| all.first());
    first.is_some_and(|op| op["op"] == "test" && op["path"] == "/metadata/resourceVersion")
}

fn pod_specs(body: &Value) -> impl Iterator<Item = &Value> {
    ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"].into_iter().filter_map(|at| body.pointer(at))
}

/// The part of the *restricted* standard whose breach would reach other tools.
fn is_confined(pod: &Value) -> bool {
    let is_set = |key: &str| pod.get(key).and_then(Value::as_bool) == Some(true);
    let host = ["hostNetwork", "hostPID", "hostIPC"].into_iter().any(is_set);
    let volumes = pod.get("volumes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let containers = ["containers", "initContainers"].into_iter().filter_map(|key| pod.get(key)?.as_array()).flatten();
    let mut privileged = containers.map(|container| {
        let context = container.get("securityContext");
        let flag = |key: &str| context.and_then(|c| c.get(key)).and_then(Value::as_bool);
        flag("privileged") == Some(true) || flag("allowPrivilegeEscalation") != Some(false)
    });
    !host && volumes.iter().all(|volume| volume.get("hostPath").is_none()) && !privileged.any(|bad| bad)
}
