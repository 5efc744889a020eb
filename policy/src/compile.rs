//! A policy document made ready to be evaluated. What can't be is told, all of it, and nothing of the policy is used.

use crate::document::{FailurePolicy, MatchResources, Named, Policy, Reason, Text, Validation};
use crate::fields::Fields;
use crate::language::{self, Names};
use crate::problem::{Findings, Refusal};
use crate::rules::EXCEPTION;
use cel::Program;

/// A compiled policy.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// The platform's setting by which operators can grant an exception, where the policy names one.
    pub(crate) exception: Option<String>,
    /// Whether a failing expression admits the request.
    pub(crate) ignores_failure: bool,
    pub(crate) matches: MatchResources,
    /// Whether it has a `paramKind`.
    pub(crate) has_params: bool,
    pub(crate) conditions: Vec<Expression>,
    /// In order; each named as expressions find it, `variables.<name>`.
    pub(crate) variables: Vec<(String, Expression)>,
    pub(crate) checks: Vec<Check>,
}

/// An expression and its text, which the server's messages repeat.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) text: String,
    pub(crate) program: Program,
}

/// One validation.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) expression: Expression,
    pub(crate) message: Option<String>,
    pub(crate) message_expression: Option<Expression>,
    pub(crate) reason: Reason,
    /// The fields that it looks at, those that it names itself first.
    pub(crate) fields: Vec<String>,
}

/// The rule, unless something of it was refused.
pub(crate) fn rule(policy: Policy, findings: &mut Findings<'_>) -> Option<Rule> {
    let before = findings.problems.len();
    let spec = policy.spec;
    if let Some(kind) = &spec.param_kind
        && (kind.api_version.value.as_str(), kind.kind.as_str()) != ("v1", "ConfigMap")
    {
        let message = format!("parameters of kind {} {}", kind.api_version.value, kind.kind);
        let refusal = Refusal::new(message, "Use a ConfigMap of version v1.");
        findings.refuse(place(&kind.api_version), "spec.paramKind", refusal);
    }
    if spec.validations.is_empty() {
        let refusal = Refusal::new("a policy without validations denies nothing", "Add one, or remove the policy.");
        findings.refuse(place(&policy.metadata.name), "spec.validations", refusal);
    }
    spec.match_constraints.check("spec.matchConstraints", findings);
    let mut compiler = Compiler { findings, params: spec.param_kind.is_some(), declared: Vec::new() };
    let conditions = compiler.conditions(&spec.match_conditions);
    let variables = compiler.variables(&spec.variables);
    let checks = compiler.checks(&spec.validations, &variables);
    (findings.problems.len() == before).then(|| Rule {
        name: policy.metadata.name.value,
        exception: policy.metadata.annotations.get(EXCEPTION).cloned(),
        ignores_failure: spec.failure_policy == Some(FailurePolicy::Ignore),
        matches: spec.match_constraints,
        has_params: spec.param_kind.is_some(),
        conditions,
        variables,
        checks,
    })
}

/// Line and column of a text.
pub(crate) fn place(text: &Text) -> (u64, u64) {
    (text.referenced.line(), text.referenced.column())
}

struct Compiler<'f, 'a> {
    findings: &'f mut Findings<'a>,
    params: bool,
    declared: Vec<String>,
}

impl Compiler<'_, '_> {
    /// The server evaluates conditions without the namespace, so a variable that asks for it would fail there alone.
    fn conditions(&mut self, conditions: &[Named]) -> Vec<Expression> {
        let compile = |(at, condition): (usize, &Named)| {
            self.expression(&condition.expression, &format!("spec.matchConditions[{at}].expression"), false)
        };
        conditions.iter().enumerate().filter_map(compile).collect()
    }

    fn variables(&mut self, variables: &[Named]) -> Vec<(String, Expression)> {
        let mut compiled = Vec::new();
        for (at, variable) in variables.iter().enumerate() {
            let field = format!("spec.variables[{at}]");
            let name = &variable.name.value;
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !is_name || self.declared.contains(name) {
                let refusal = Refusal::new(format!("`{name}` can't be the name of a variable"), "Choose another name.");
                self.findings.refuse(place(&variable.name), format!("{field}.name"), refusal);
            }
            let expression = self.expression(&variable.expression, &format!("{field}.expression"), true);
            compiled.extend(expression.map(|expression| (format!("variables.{name}"), expression)));
            self.declared.push(name.clone());
        }
        compiled
    }

    fn checks(&mut self, validations: &[Validation], variables: &[(String, Expression)]) -> Vec<Check> {
        let mut compiled = Vec::new();
        let fields = Fields::of_variables(variables);
        for (at, validation) in validations.iter().enumerate() {
            let field = format!("spec.validations[{at}]");
            let expression = self.expression(&validation.expression, &format!("{field}.expression"), true);
            let message_expression = validation
                .message_expression
                .as_ref()
                .and_then(|text| self.expression(text, &format!("{field}.messageExpression"), true));
            compiled.extend(expression.map(|expression| Check {
                fields: fields.of(&expression),
                expression,
                message: validation.message.clone(),
                message_expression,
                reason: validation.reason.unwrap_or(Reason::Invalid),
            }));
        }
        compiled
    }

    fn expression(&mut self, text: &Text, field: &str, namespace: bool) -> Option<Expression> {
        let names = Names { params: self.params, namespace, variables: &self.declared };
        match language::compile(&text.value, names) {
            Ok(program) => Some(Expression { text: text.value.clone(), program }),
            Err(refusal) => {
                self.findings.refuse(place(text), field, refusal);
                None
            }
        }
    }
}
