//! What admission will say of a component, before anybody asks the server: the platform's rules, evaluated here as the
//! API server evaluates them (the crate `policy`), on what the server would see.
//!
//! A component is judged whole, as if it were made anew by whom it is sent as, with the server's defaults filled in, and
//! held whole where a rule refuses one of its objects. So a rule that is new names at once every component that breaks it,
//! while what runs stays as it is. What the platform itself makes for every tool is not judged: no tool has a say in it.
//!
//! Judging is a function of the objects, the rules, their parameters and the namespace's labels, and that it admits is
//! remembered by a hash of all of them ([`crate::memo`]): a pass judges what changed, and an idle one nothing.

mod documents;
mod own;
mod refusal;

pub use own::{RuleFiles, own_rules};
pub use refusal::withhold;

use crate::decide::Input;
use crate::identity;
use crate::kinds::{Identity, Kind};
use crate::live::half;
use crate::memo::{Memo, Proof};
use crate::schema::{Schema, defaults};
use policy::{Denial, Operation, PARAMS, Params, Problem, Request, Rules, User};
use refusal::Refusal;
use renderer::render::{DEPLOYER, policy_parameters};
use renderer::rendered::PinnedImage;
use renderer::{Digest, Object, ObjectId, Platform, Rendered, RenderedComponent, Tool, ToolName};
use serde_json::Value;
use std::collections::BTreeMap;

/// Key of the parameters: the users who act as the platform, a line each. Only the cluster can tell them.
pub const ACTORS: &str = "platform";
/// Stands for whom the cluster takes the platform as, where rules are evaluated here.
const PLATFORM: &str = "toolforge@platform";
/// Key of the platform's published settings that holds the rules of its operators, as JSON.
pub const RULES_KEY: &str = "rules.json";
/// Stands where an image's digest will, as long as nobody knows it.
const NO_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The rules of one platform, with their parameters.
#[derive(Debug, Default)]
pub struct Admission {
    rules: Rules,
    params: Params,
    /// What stands behind the names of this platform's rules.
    suffix: String,
    /// All of it as objects: the parameters, the policies, their bindings.
    objects: Vec<Object>,
    /// The documents that operators wrote.
    own: Vec<Value>,
    /// What operators wrote can't be read, and what they had before is not known here.
    incomplete: bool,
    /// The hash of all of it.
    digest: [u8; 16],
}

impl Admission {
    /// The rules that every platform has, for these tools; `own` are documents of its operators, as [`Rules::documents`]
    /// has them.
    ///
    /// # Errors
    ///
    /// What of the operators' documents can't be evaluated.
    pub fn new(platform: &Platform, tools: &[Tool], own: &[Value]) -> Result<Self, Vec<Problem>> {
        let documents: Vec<_> = policy::shipped_documents().chain(own.iter().cloned()).collect();
        let documents: Vec<_> = documents.iter().map(|document| documents::of_platform(document, platform)).collect();
        let mut data = policy_parameters(platform, tools);
        let objects = documents::objects(&documents, &data, platform);
        data.insert(ACTORS.to_owned(), PLATFORM.to_owned());
        let values: Vec<_> = objects.iter().map(|object| &object.value).collect();
        let digest = half(&serde_json::to_vec(&values).expect("keys of JSON values are text"));
        Ok(Self {
            rules: Rules::of_documents(&documents)?,
            params: Params::default().with(&platform.namespace, PARAMS, &data),
            suffix: documents::suffix(platform),
            objects,
            own: own.to_vec(),
            incomplete: false,
            digest,
        })
    }

    /// The same, where the operators' own rules can't be read and nobody here knows the last good ones. What the cluster
    /// has of them stays there, and is held there.
    #[must_use]
    pub fn incomplete(self) -> Self {
        Self { incomplete: true, ..self }
    }

    /// Whether rules may be missing, so that none on the cluster is known to be superfluous.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// The documents that operators wrote.
    #[must_use]
    pub fn own(&self) -> &[Value] {
        &self.own
    }

    /// Whether an object of [`Self::objects`] comes from the operators.
    #[must_use]
    pub fn is_own(&self, id: &ObjectId) -> bool {
        id.namespace.is_none() && !id.name.starts_with(own::SHIPPED)
    }

    /// What the cluster needs to hold these rules against everyone, in apply order: the parameters, where only who may act
    /// as the platform is missing ([`ACTORS`]), the policies, and their bindings.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Whether both judge alike.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The same without rules of the operators' own.
    #[must_use]
    pub fn shipped(platform: &Platform, tools: &[Tool]) -> Self {
        Self::new(platform, tools, &[]).expect("the shipped rules can be evaluated: policy/tests/shipped.rs")
    }

    fn denials(&self, tenant: &Tenant<'_>, objects: &[Object]) -> Option<Refusal> {
        let mut refused = objects.iter().filter_map(|object| {
            let mut denials = self.denials_of(tenant, object);
            (!denials.is_empty()).then(|| Refusal {
                id: object.id.clone(),
                more: denials.len() - 1,
                denial: named(denials.swap_remove(0), &self.suffix),
            })
        });
        let mut first = refused.next()?;
        first.more += refused.map(|other| other.more + 1).sum::<usize>();
        Some(first)
    }

    fn denials_of(&self, tenant: &Tenant<'_>, object: &Object) -> Vec<Denial> {
        let (Some(row), Some(namespace)) = (Kind::of_id(&object.id), object.id.namespace.as_deref()) else {
            return Vec::new();
        };
        let mut value = object.value.clone();
        defaults::fill(&mut value, Schema::of_object(&object.value));
        let request = Request {
            operation: Operation::Create,
            group: row.group,
            version: row.version,
            resource: row.plural,
            subresource: "",
            kind: row.kind,
            namespace,
            namespace_labels: &tenant.labels,
            name: &object.id.name,
            user: tenant.user(object),
            object: Some(&value),
            old_object: None,
        };
        self.rules.denials(&request, &self.params)
    }
}

/// Under the name that its file has.
fn named(denial: Denial, suffix: &str) -> Denial {
    let name = denial.policy.strip_suffix(suffix).unwrap_or(&denial.policy).to_owned();
    Denial { policy: name, ..denial }
}

/// Who asks, and from where: the tool whose components are judged, with what was found out before.
pub(crate) struct Tenant<'a> {
    admission: &'a Admission,
    labels: BTreeMap<String, String>,
    deployer: User,
    platform: User,
    /// The place of its images.
    images: String,
    memo: &'a Memo,
    /// What need not be found out again.
    pub(crate) proofs: Vec<Proof>,
}

impl<'a> Tenant<'a> {
    pub(crate) fn of(input: &Input<'a>) -> Self {
        let images = format!("{}/tool-{}", input.platform.registry.host, input.tool.name);
        Self::new(input.admission, &input.tool.name, input.frame, (images, &input.observed.memo))
    }

    fn new(admission: &'a Admission, tool: &ToolName, frame: &[Object], (images, memo): (String, &'a Memo)) -> Self {
        let namespace = tool.namespace();
        let found = frame.iter().find(|object| object.id.kind == "Namespace" && object.id.name == namespace);
        let labels = found.and_then(|object| object.value.pointer("/metadata/labels")?.as_object());
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        let accounts =
            ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
        let deployer = User {
            name: format!("system:serviceaccount:{namespace}:{DEPLOYER}"),
            groups: accounts.map(str::to_owned).to_vec(),
        };
        let platform = User { name: PLATFORM.to_owned(), groups: vec!["system:authenticated".to_owned()] };
        let labels = labels.into_iter().flatten().filter_map(text).collect();
        Self { admission, labels, deployer, platform, images, memo, proofs: Vec::new() }
    }

    /// As whom a component's object is sent.
    fn user(&self, object: &Object) -> &User {
        match identity::of_component(object) {
            Identity::Deployer => &self.deployer,
            Identity::Platform => &self.platform,
        }
    }

    /// The image by which a component is judged whose image nobody has seen yet.
    pub(crate) fn stand_in(&self, component: &RenderedComponent, source: Option<String>) -> Option<PinnedImage> {
        let reference = source.unwrap_or_else(|| format!("{}/{}", self.images, component.name));
        Some(PinnedImage { reference, digest: Digest::new(NO_DIGEST).ok()? })
    }

    /// Why admission would refuse a component with these objects; none where it would not.
    pub(crate) fn refusal(&mut self, objects: &[Object]) -> Option<Refusal> {
        let values: Vec<_> = objects.iter().map(|object| &object.value).collect();
        let read = serde_json::to_vec(&("admission", self.admission.digest, &self.labels, values)).ok();
        let proof = read.map(|bytes| Proof::of(&bytes));
        let known = proof.is_some_and(|proof| self.memo.holds(&proof));
        let refusal = if known { None } else { self.admission.denials(self, objects) };
        if refusal.is_none() {
            self.proofs.extend(proof);
        }
        refusal
    }
}

impl Input<'_> {
    /// What the newest revision's file says that admission would refuse.
    #[must_use]
    pub fn denied(&self, rendered: &Rendered) -> Vec<renderer::Diagnostic> {
        refusal::diagnostics(&mut Tenant::of(self), rendered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(expression: &str) -> Rules {
        let api_version = "admissionregistration.k8s.io/v1";
        let rule =
            json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]});
        let spec = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]});
        let bound = json!({"policyName": "a", "validationActions": ["Deny"]});
        let document = |kind: &str, spec| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        let documents =
            [document("ValidatingAdmissionPolicy", spec), document("ValidatingAdmissionPolicyBinding", bound)];
        Rules::of_documents(&documents).expect("a rule that can be evaluated")
    }

    fn service(port: u16) -> Object {
        let metadata = json!({"name": "web", "namespace": "tool-a"});
        let spec = json!({"ports": [{"port": port}]});
        Object::new(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}))
            .expect("an object")
    }

    /// Whether it is refused, and what was found.
    fn ask(admission: &Admission, object: Object, memo: &Memo) -> (bool, Memo) {
        let tool = ToolName::new("a").expect("a name");
        let mut tenant = Tenant::new(admission, &tool, &[], (String::new(), memo));
        let refused = tenant.refusal(&[object]).is_some();
        (refused, Memo::new(tenant.proofs))
    }

    #[test]
    fn nothing_is_judged_twice_unless_it_or_a_rule_changes() {
        let of = |expression: &str, digest| Admission {
            rules: rules(expression),
            digest: [digest; 16],
            ..Admission::default()
        };
        let (refused, memo) = ask(&of("true", 1), service(80), &Memo::default());
        assert!(!refused && memo.len() == 1);
        // Rules that would refuse show whether they are asked.
        let (never_asked, kept) = ask(&of("false", 1), service(80), &memo);
        assert!(!never_asked && kept == memo);
        assert!(ask(&of("false", 1), service(81), &memo).0, "another object");
        assert!(ask(&of("false", 2), service(80), &memo).0, "other rules");
        assert!(ask(&of("false", 1), service(80), &Memo::default()).0, "nothing is known");
        assert_eq!(ask(&of("false", 1), service(80), &Memo::default()).1.len(), 0, "a refusal is told each time");
    }
}
