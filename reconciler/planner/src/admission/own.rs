//! Rules that operators write themselves: two files each in `policies/` of the config repository, the policy with its
//! binding and, beside it, its examples. All or nothing: a set of which one rule is broken is no set, for a rule that is
//! missing would allow what somebody wanted denied.

use super::{Admission, documents};
use policy::{Case, Cases, PARAMS, Params, Problem, Rules, User};
use renderer::diagnostic::nearest;
use renderer::render::{MARK, PLATFORM_MARK, policy_parameters};
use renderer::{Diagnostic, Platform, Severity, Tool};
use serde_json::Value;
use std::collections::BTreeMap;

/// How the rules that are shipped are named; nobody else's are.
pub(super) const SHIPPED: &str = "toolforge-";
/// Code of the findings.
const CODE: &str = "bad-rule";
const CASES: &str = ".cases.yaml";

/// The texts of `policies/`, by path.
pub type RuleFiles = BTreeMap<String, String>;

/// The documents of the rules, or none where anything is wrong; and everything that is.
#[must_use]
pub fn own_rules(files: &RuleFiles, platform: &Platform, tools: &[Tool]) -> (Option<Vec<Value>>, Vec<Diagnostic>) {
    let (mut all, mut findings) = (Vec::new(), Vec::new());
    for (file, text) in files.iter().filter(|(file, _)| !file.ends_with(CASES)) {
        match Rules::load(&[(file.as_str(), text.as_str())]) {
            Ok(rules) => {
                findings.extend(rules.documents().iter().filter_map(|document| misnamed(file, document)));
                all.extend(rules.documents().iter().cloned());
            }
            Err(problems) => findings.extend(problems.into_iter().map(told)),
        }
        let examples = format!("{}{CASES}", file.trim_end_matches(".yaml"));
        match files.get(&examples) {
            Some(cases) if findings.is_empty() => {
                findings.extend(judged(&examples, cases, text, (platform, tools)));
            }
            Some(_) => {}
            None => findings.push(finding(file, format!("no examples beside it: {examples}"), EXAMPLES)),
        }
    }
    let ruled = |cases: &&String| files.contains_key(&format!("{}.yaml", cases.trim_end_matches(CASES)));
    let lonely = files.keys().filter(|file| file.ends_with(CASES)).filter(|cases| !ruled(cases));
    findings.extend(lonely.map(|file| finding(file, "examples of no rule".to_owned(), "Write the rule beside it.")));
    if findings.is_empty()
        && let Err(problems) = Admission::new(platform, tools, &all)
    {
        findings.extend(problems.into_iter().map(|problem| Diagnostic { place: None, ..told(problem) }));
    }
    (findings.is_empty().then_some(all), findings)
}

const EXAMPLES: &str = "Write what it allows and what it denies; docs/policy.md shows how.";

/// Whether each example is judged as it says.
fn judged(file: &str, cases: &str, rule: &str, (platform, tools): (&Platform, &[Tool])) -> Vec<Diagnostic> {
    let read = match Cases::read(file, cases) {
        Ok(read) => read,
        Err(problems) => return problems.into_iter().map(told).collect(),
    };
    let documents = Rules::load(&[(file, rule)]).map(|rules| rules.documents().to_vec()).unwrap_or_default();
    let documents: Vec<_> = documents.iter().map(|document| documents::of_platform(document, platform)).collect();
    let Ok(rules) = Rules::of_documents(&documents) else { return Vec::new() };
    let params = Params::default().with(&platform.namespace, PARAMS, &policy_parameters(platform, tools));
    let mut found: Vec<_> = read.iter().filter_map(|case| disagreement(case, &rules, &params, platform)).collect();
    for (name, finding) in &mut found {
        let line = cases.lines().position(|line| line.contains(name.as_str()));
        let line = line.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(1);
        finding.file = file.to_owned();
        finding.place = Some(renderer::diagnostic::Place { line, column: 1, width: 1 });
    }
    let none = read.is_empty().then(|| finding(file, "no example".to_owned(), EXAMPLES));
    found.into_iter().map(|(_, finding)| finding).chain(none).collect()
}

fn disagreement(case: &Case, rules: &Rules, params: &Params, platform: &Platform) -> Option<(String, Diagnostic)> {
    let (object, old) = case.objects();
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let tool = namespace.strip_prefix("tool-").unwrap_or_default();
    let labels = [("tenancy", "tool"), (MARK, tool), (PLATFORM_MARK, platform.name.as_str())];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let name = case.user.clone().unwrap_or_else(|| "maintainer@example".to_owned());
    let user = User { name, groups: vec!["system:authenticated".to_owned()] };
    let denials = rules.denials(&case.request((object, old), &labels, &user), params);
    let mut says: Vec<_> = denials.into_iter().map(|denial| denial.message).collect();
    let mut expected = case.denied.clone();
    says.sort();
    expected.sort();
    let in_words =
        |all: &[String]| if all.is_empty() { "allowed".to_owned() } else { format!("denied: {}", all.join("; ")) };
    (says != expected).then(|| {
        let message =
            format!("example `{}` is {}, but was expected to be {}", case.name, in_words(&says), in_words(&expected));
        (case.name.clone(), finding("", message, "Correct the rule or its example."))
    })
}

/// What would pass for a rule of ours, or asks for parameters that nobody has here.
fn misnamed(file: &str, document: &Value) -> Option<Diagnostic> {
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name.starts_with(SHIPPED) {
        return Some(finding(file, format!("`{name}` is named like a rule that is shipped"), "Choose another name."));
    }
    let parameters = document.pointer("/spec/paramRef/name").and_then(Value::as_str)?;
    (parameters != PARAMS).then(|| {
        let hint = format!("Name `{PARAMS}`, which docs/policy.md lists, or write the values into the rule.");
        finding(file, format!("parameters `{parameters}` are known to the cluster alone"), &hint)
    })
}

fn told(problem: Problem) -> Diagnostic {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let place = renderer::diagnostic::Place { line: number(problem.line), column: number(problem.column), width: 1 };
    let hint = match near(&problem.message) {
        Some(near) => format!("Did you mean `{near}`? {}", problem.hint),
        None => problem.hint,
    };
    let message = match problem.field.as_str() {
        "document" | "kind" => problem.message,
        field => format!("{field}: {}", problem.message),
    };
    Diagnostic { place: Some(place), hint: Some(hint), ..finding(&problem.file, message, "") }
}

/// The word that is meant by the first one in backticks: one of those that the message lists, or that expressions have.
fn near(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once('`')?;
    let (word, rest) = rest.split_once('`')?;
    let listed = rest.split_once("expected one of ").map_or("", |(_, listed)| listed);
    let first = word.split('.').next().unwrap_or(word);
    let listed = listed.split(|c: char| !c.is_ascii_alphanumeric()).filter(|other| !other.is_empty());
    nearest(word, listed).or_else(|| nearest(first, policy::words())).filter(|near| *near != first)
}

fn finding(file: &str, message: String, hint: &str) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        place: None,
        severity: Severity::Error,
        code: CODE.to_owned(),
        message,
        hint: Some(hint.to_owned()),
        component: None,
    }
}
