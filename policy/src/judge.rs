//! One policy's verdict on one request, with the semantics of the server: a condition that is false exempts, an
//! expression that fails is decided by `failurePolicy`, every validation that is not true is told.

use crate::compile::{Check, Expression, Rule};
use crate::language;
use crate::request::Request;
use crate::value;
use cel::common::types::{CelBool, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Context, Value as Cel};
use serde_json::Value;
use std::sync::Arc;

/// Most bytes of a message that an expression makes; the server takes no longer one.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;

/// One reason why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// Name of the policy.
    pub policy: String,
    /// Name of the binding by which it holds.
    pub binding: String,
    /// What the policy says. Where `broken`, it begins as the server's does, and the words at its end are ours.
    pub message: String,
    /// Reason of the server's refusal, as in `Invalid`.
    pub reason: &'static str,
    /// Whether an expression failed, so that the policy denies because it can't tell.
    pub broken: bool,
    /// Fields of the object that the rule looks at, by their own names, those it names itself first.
    pub fields: Vec<String>,
    /// The platform's setting by which operators can grant an exception, where the policy names one.
    pub exception: Option<String>,
}

/// The facts of a request as CEL's values, made once for all policies.
#[derive(Debug)]
pub(crate) struct Facts<'v> {
    object: Box<dyn Val + 'v>,
    old_object: Box<dyn Val + 'v>,
    request: Box<dyn Val + 'v>,
    namespace: Box<dyn Val + 'v>,
}

impl<'v> Facts<'v> {
    /// `described` and `namespace` are [`Request::described`] and [`Request::namespace_object`], which must outlive it.
    pub(crate) fn new(request: &Request<'v>, described: &'v Value, namespace: &'v Value) -> Self {
        let given = |object: Option<&'v Value>| value::cel(object.unwrap_or(&Value::Null));
        Self {
            object: given(request.object),
            old_object: given(request.old_object),
            request: value::cel(described),
            namespace: value::cel(namespace),
        }
    }
}

/// What the names of one policy mean; variables are added to the context as they are evaluated.
#[derive(Debug)]
struct Scope<'v> {
    facts: &'v Facts<'v>,
    params: Box<dyn Val + 'v>,
}

impl cel::context::VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let value: &'b (dyn Val + 'b) = match variable {
            "object" => self.facts.object.as_ref(),
            "oldObject" => self.facts.old_object.as_ref(),
            "request" => self.facts.request.as_ref(),
            "namespaceObject" => self.facts.namespace.as_ref(),
            "params" => self.params.as_ref(),
            _ => return None,
        };
        Some(CowVal::Borrowed(value))
    }
}

/// A validation that denies.
pub(crate) struct Finding<'r> {
    message: String,
    reason: &'static str,
    broken: bool,
    fields: &'r [String],
}

impl<'r> Finding<'r> {
    /// What could not be told. The server names no other reason for it.
    pub(crate) fn broken(message: String) -> Self {
        Self { message, reason: "Invalid", broken: true, fields: &[] }
    }

    pub(crate) fn denial(self, rule: &Rule, binding: &str) -> Denial {
        let Self { message, reason, broken, fields } = self;
        Denial {
            policy: rule.name.clone(),
            binding: binding.to_owned(),
            message,
            reason,
            broken,
            fields: fields.to_vec(),
            exception: rule.exception.clone(),
        }
    }
}

/// Judges a request that the policy and a binding of it match.
pub(crate) fn judge<'r>(rule: &'r Rule, facts: &Facts<'_>, params: &Value) -> Vec<Finding<'r>> {
    let scope = Scope { facts, params: value::cel(params) };
    let mut context = Context::with_env(Arc::clone(language::env()));
    context.set_variable_resolver(&scope);
    match exempt(rule, &context) {
        Ok(true) => return Vec::new(),
        Ok(false) => {}
        Err(_) if rule.ignores_failure => return Vec::new(),
        Err(message) => return vec![Finding::broken(message)],
    }
    // In order, as each may name those before it. One that fails stays undeclared, and fails whoever asks for it.
    for (name, expression) in &rule.variables {
        let evaluated = Cel::resolve_val(expression.program.expression(), &context).map(CowVal::into_owned);
        if let Ok(value) = evaluated {
            context.add_variable_as_val(name.clone(), value);
        }
    }
    rule.checks.iter().filter_map(|check| verdict(rule, check, &context)).collect()
}

/// Whether a condition is false; failures count only where none is.
fn exempt(rule: &Rule, context: &Context<'_, '_>) -> Result<bool, String> {
    let mut failures = Vec::new();
    for condition in &rule.conditions {
        match truth(condition, context) {
            Ok(true) => {}
            Ok(false) => return Ok(true),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(false) } else { Err(failures.join(", ")) }
}

fn verdict<'r>(rule: &Rule, check: &'r Check, context: &Context<'_, '_>) -> Option<Finding<'r>> {
    let fields = &check.fields;
    match truth(&check.expression, context) {
        Ok(true) => None,
        Ok(false) => {
            Some(Finding { message: check.message(context), reason: check.reason.as_str(), broken: false, fields })
        }
        Err(_) if rule.ignores_failure => None,
        Err(failure) => Some(Finding { fields, ..Finding::broken(failure) }),
    }
}

/// Whether it is true; the server takes anything but `true` for a violation.
fn truth(expression: &Expression, context: &Context<'_, '_>) -> Result<bool, String> {
    match Cel::resolve_val(expression.program.expression(), context) {
        Ok(value) => Ok(value.downcast_ref::<CelBool>().is_some_and(|value| *value.inner())),
        Err(failure) => Err(format!("expression '{}' resulted in error: {failure}", expression.text)),
    }
}

impl Check {
    fn message(&self, context: &Context<'_, '_>) -> String {
        let made = self.message_expression.as_ref().and_then(|expression| made(expression, context));
        let written = || self.message.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        made.or_else(written).unwrap_or_else(|| format!("failed expression: {}", self.expression.text.trim()))
    }
}

/// What a message expression says, unless it fails, or says nothing, too much or more than one line.
fn made(expression: &Expression, context: &Context<'_, '_>) -> Option<String> {
    let value = Cel::resolve_val(expression.program.expression(), context).ok()?;
    let text = value.downcast_ref::<CelString>()?.inner().trim();
    (!text.is_empty() && text.len() <= MAX_MESSAGE_BYTES && !text.contains('\n')).then(|| text.to_owned())
}
