//! Rules that operators write themselves: taken whole or not at all, with a place for everything that is wrong.

use planner::Admission;
use planner::admission::{RuleFiles, own_rules};
use renderer::{Diagnostic, Platform};

const RULE: &str = include_str!("../../../policy/tests/own/few.yaml");
const CASES: &str = include_str!("../../../policy/tests/own/few.cases.yaml");

fn read(files: &[(&str, &str)]) -> (bool, Vec<String>) {
    let files: RuleFiles = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let (rules, findings) = own_rules(&files, &Platform::builtin(), &[]);
    let told = |found: Diagnostic| {
        let place = found.place.map(|at| format!("{}:{}: ", at.line, at.column)).unwrap_or_default();
        format!("{}:{place}{} [{}]", found.file, found.message, found.hint.unwrap_or_default())
    };
    (rules.is_some(), findings.into_iter().map(told).collect())
}

fn pair<'a>(rule: &'a str, cases: &'a str) -> [(&'a str, &'a str); 2] {
    [("policies/few.yaml", rule), ("policies/few.cases.yaml", cases)]
}

#[test]
fn a_rule_with_its_examples_is_taken() {
    assert_eq!(read(&pair(RULE, CASES)), (true, Vec::new()));
    assert_eq!(read(&[]), (true, Vec::new()), "nobody has to write one");
}

#[test]
fn what_is_wrong_with_a_rule_is_told_with_its_place_and_the_word_that_is_meant() {
    for (rule, cases, expected) in [
        (RULE.replace("  validations:", "  validatons:"), CASES, "few.yaml:8:3: unknown field `validatons`"),
        (RULE.replace("  validations:", "  validatons:"), CASES, "[Did you mean `validations`?"),
        (
            RULE.replace("object.spec", "objct.spec"),
            CASES,
            "few.yaml:9:17: spec.validations[0].expression: the name `objct.spec.replicas` can't be evaluated",
        ),
        (
            RULE.replace("object.spec.replicas <= 3", "object.metadata.name.startWith('a')"),
            CASES,
            "Did you mean `startsWith`?",
        ),
        (
            RULE.replace("object.spec.replicas <= 3", "duration(object.spec.x) < duration('1h')"),
            CASES,
            "the function `duration` with 1 arguments can't be evaluated here exactly",
        ),
        (RULE.replace("few-replicas", "toolforge-few"), CASES, "`toolforge-few` is named like a rule that is shipped"),
        (RULE.replace("policyName: few-replicas", "policyName: few"), CASES, "no policy `few`"),
        (
            RULE.replace("Deny]", "Deny], paramRef: {name: mine, parameterNotFoundAction: Deny}"),
            CASES,
            "parameters `mine` are known to the cluster alone",
        ),
        (
            RULE.replace("<= 3", "<= 4"),
            CASES,
            "few.cases.yaml:6:1: example `too many` is allowed, but was expected to be denied: a component has",
        ),
        (
            RULE.to_owned(),
            &CASES.replace("replicas: 2", "replicas: 9"),
            "example `a few` is denied: a component has at most 3 replicas, but was expected to be allowed",
        ),
        (RULE.to_owned(), &CASES.replace("base: web\n- ", "base: wep\n- "), "no base `wep`"),
        (RULE.to_owned(), &CASES.replace(" kind: Deployment,", ""), "base `web` has no `kind`"),
        (RULE.to_owned(), "cases: []", "no example"),
    ] {
        let (taken, told) = read(&pair(&rule, cases));
        assert!(!taken && told.iter().any(|one| one.contains(expected)), "{expected}: {told:#?}");
    }
}

#[test]
fn a_rule_needs_its_examples_and_they_need_their_rule() {
    let (taken, told) = read(&[("policies/few.yaml", RULE)]);
    assert!(!taken && told[0].contains("no examples beside it: policies/few.cases.yaml"), "{told:?}");
    let (taken, told) = read(&[("policies/few.cases.yaml", CASES)]);
    assert!(!taken && told[0].contains("examples of no rule"), "{told:?}");
}

#[test]
fn one_broken_rule_is_no_set_of_rules() {
    let broken = RULE.replace("few-replicas", "other").replace("object.spec", "objct.spec");
    let [rule, cases] = pair(RULE, CASES);
    let (taken, told) = read(&[rule, cases, ("policies/other.yaml", &broken), ("policies/other.cases.yaml", CASES)]);
    assert!(!taken && told.iter().all(|one| one.starts_with("policies/other")), "{told:?}");
    let twice = [rule, cases, ("policies/same.yaml", RULE), ("policies/same.cases.yaml", CASES)];
    let (taken, told) = read(&twice);
    assert!(!taken && told.iter().any(|one| one.contains("a second policy")), "{told:?}");
}

#[test]
fn an_own_rule_holds_beside_those_that_are_shipped() {
    let files: RuleFiles = pair(RULE, CASES).map(|(file, text)| (file.to_owned(), text.to_owned())).into();
    let platform = Platform::builtin();
    let (rules, _) = own_rules(&files, &platform, &[]);
    let admission = Admission::new(&platform, &[], &rules.expect("a good rule")).expect("rules");
    let own: Vec<_> = admission.objects().iter().filter(|object| admission.is_own(&object.id)).collect();
    let names: Vec<_> = own.iter().map(|object| object.id.to_string()).collect();
    assert_eq!(
        names,
        ["validatingadmissionpolicy/few-replicas.builtin", "validatingadmissionpolicybinding/few-replicas.builtin"]
    );
    assert_eq!(admission.objects().len(), 1 + 2 * policy::SHIPPED.len() + 2);
}
