//! All policies that hold, and the one question that is asked of them.

use crate::compile::{self, Rule, place};
use crate::document::{Action, Binding, NotFound};
use crate::judge::{self, Denial, Facts, Finding};
use crate::problem::{Findings, Problem, Refusal};
use crate::read::{self, Document};
use crate::request::{Params, Request};
use serde_json::Value;

/// Annotation of a policy: the platform's setting by which operators can grant an exception from it.
pub const EXCEPTION: &str = "toolforge.org/exception";

/// Policies and bindings that were read and can be evaluated.
#[derive(Debug, Default)]
pub struct Rules {
    policies: Vec<Rule>,
    bindings: Vec<Binding>,
    documents: Vec<Value>,
}

impl Rules {
    /// Reads files, each a name to tell places by and its text.
    ///
    /// # Errors
    ///
    /// Everything that is no policy, or that can't be evaluated as the server would: nothing of the files is used then,
    /// for a rule that is missing would allow what somebody wanted denied.
    pub fn load(files: &[(&str, &str)]) -> Result<Self, Vec<Problem>> {
        let mut rules = Self::default();
        let mut problems = Vec::new();
        for (file, text) in files {
            let mut findings = Findings { file, problems: Vec::new() };
            for document in read::documents(text, &mut findings) {
                rules.add(document, &mut findings);
            }
            problems.extend(findings.problems);
        }
        if problems.is_empty() {
            problems.extend(rules.unbound(files));
        }
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    /// Reads documents that were read before, as they are on a cluster.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; places are those within the documents as they are printed.
    pub fn of_documents(documents: &[Value]) -> Result<Self, Vec<Problem>> {
        // JSON is YAML, and a line each.
        let text: Vec<_> = documents.iter().map(Value::to_string).collect();
        Self::load(&[("rules", &text.join("\n---\n"))])
    }

    /// The documents as they are applied to a cluster, in the files' order.
    #[must_use]
    pub fn documents(&self) -> &[Value] {
        &self.documents
    }

    /// Every reason to refuse the request: none means that these policies admit it. In the order of the files.
    #[must_use]
    pub fn denials(&self, request: &Request<'_>, params: &Params) -> Vec<Denial> {
        let mut speaking = self.policies.iter().filter(|rule| rule.matches.matches(request)).peekable();
        if speaking.peek().is_none() {
            return Vec::new();
        }
        let (described, namespace) = (request.described(), request.namespace_object());
        let facts = Facts::new(request, &described, &namespace);
        let mut denials = Vec::new();
        for rule in speaking {
            for binding in self.bindings.iter().filter(|binding| binding.holds(rule, request)) {
                let verdict = match binding.params(rule, request, params) {
                    Ok(Some(params)) => judge::judge(rule, &facts, params),
                    Ok(None) => Vec::new(),
                    Err(_) if rule.ignores_failure => Vec::new(),
                    Err(message) => vec![Finding::broken(message)],
                };
                denials.extend(verdict.into_iter().map(|found| found.denial(rule, &binding.metadata.name.value)));
            }
        }
        denials
    }

    fn add(&mut self, document: Document, findings: &mut Findings<'_>) {
        match document {
            Document::Policy(policy, value) => {
                if self.policies.iter().any(|other| other.name == policy.metadata.name.value) {
                    let name = &policy.metadata.name;
                    let refusal = Refusal::new(format!("a second policy `{}`", name.value), "Choose another name.");
                    findings.refuse(place(name), "metadata.name", refusal);
                }
                self.policies.extend(compile::rule(policy, findings));
                self.documents.push(value);
            }
            Document::Binding(binding, value) => {
                if let Some(resources) = &binding.spec.match_resources {
                    resources.check("spec.matchResources", findings);
                }
                self.bindings.push(binding);
                self.documents.push(value);
            }
        }
    }

    /// A policy without a binding holds nobody, and a binding without its policy holds nothing.
    fn unbound(&self, files: &[(&str, &str)]) -> Vec<Problem> {
        let mut findings = Findings { file: files.first().map_or("", |(file, _)| file), problems: Vec::new() };
        for binding in &self.bindings {
            let name = &binding.spec.policy_name;
            if !self.policies.iter().any(|rule| rule.name == name.value) {
                let refusal = Refusal::new(format!("no policy `{}`", name.value), "Write it in the same file.");
                findings.refuse(place(name), "spec.policyName", refusal);
            }
        }
        for rule in &self.policies {
            if !self.bindings.iter().any(|binding| binding.spec.policy_name.value == rule.name) {
                let message = format!("policy `{}` is bound to nothing", rule.name);
                let hint = "Write a ValidatingAdmissionPolicyBinding for it in the same file.";
                findings.refuse((1, 1), "document", Refusal::new(message, hint));
            }
        }
        findings.problems
    }
}

impl Binding {
    /// Whether this binding makes the rule hold for the request.
    fn holds(&self, rule: &Rule, request: &Request<'_>) -> bool {
        self.spec.policy_name.value == rule.name
            && self.spec.validation_actions.contains(&Action::Deny)
            && self.spec.match_resources.as_ref().is_none_or(|resources| resources.matches(request))
    }

    /// The parameters; none where the binding is content without.
    fn params<'a>(&self, rule: &Rule, request: &Request<'_>, params: &'a Params) -> Result<Option<&'a Value>, String> {
        let Some(reference) = self.spec.param_ref.as_ref().filter(|_| rule.has_params) else {
            return Ok(Some(&Value::Null));
        };
        let namespace = reference.namespace.as_deref().unwrap_or(request.namespace);
        match params.get(namespace, &reference.name) {
            Some(found) => Ok(Some(found)),
            None if reference.parameter_not_found_action == NotFound::Allow => Ok(None),
            // The server's words.
            None => Err("failed to configure binding: no params found for policy binding with `Deny` \
                         parameterNotFoundAction"
                .to_owned()),
        }
    }
}
