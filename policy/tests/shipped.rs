//! The shipped rules against their own examples, without a server; `tests/tests/policy.rs` puts the same to a real one.

use policy::{Case, Cases, Params, Rules, SHIPPED, User};
use serde_json::Value;
use std::collections::BTreeMap;

fn rules() -> Rules {
    let files: Vec<_> = SHIPPED.iter().map(|(file, text, _)| (*file, *text)).collect();
    Rules::load(&files).unwrap_or_else(|problems| unreachable!("{}", told(&problems)))
}

fn told(problems: &[policy::Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn params() -> Params {
    let map: Value = serde_yaml::from_str(include_str!("../vap/params.yaml")).expect("YAML");
    let data: BTreeMap<String, String> = serde_json::from_value(map["data"].clone()).expect("texts");
    Params::default().with("toolforge", policy::PARAMS, &data)
}

fn cases() -> Vec<(&'static str, Case)> {
    let of_file = |(file, _, text): &(&'static str, &str, &str)| {
        let file = *file;
        let cases = Cases::read(file, text).unwrap_or_else(|problems| unreachable!("{}", told(&problems)));
        cases.into_iter().map(move |case| (file, case))
    };
    SHIPPED.iter().flat_map(of_file).collect()
}

#[test]
fn each_shipped_rule_says_of_its_examples_what_they_expect() {
    let (rules, params) = (rules(), params());
    let labels = [("tenancy", "tool"), ("toolforge.org/tool", "wordcount")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut wrong = Vec::new();
    for (file, case) in cases() {
        let name = case.user.clone().unwrap_or_else(|| "maintainer@example".to_owned());
        let user = User { name, groups: vec!["system:authenticated".to_owned()] };
        let mut found: Vec<String> = rules
            .denials(&case.request(case.objects(), &labels, &user), &params)
            .into_iter()
            .map(|d| d.message)
            .collect();
        let mut expected = case.denied.clone();
        found.sort();
        expected.sort();
        if found != expected {
            wrong.push(format!("{file}: {}\n  expected {expected:?}\n  found    {found:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_shipped_validation_has_an_example_that_it_denies() {
    let denied: Vec<String> = cases().into_iter().flat_map(|(_, case)| case.denied).collect();
    let words = |text: &str| text.split(" (").next().unwrap_or_default().to_owned();
    for (file, text, _) in SHIPPED {
        for message in text.lines().filter_map(|line| line.trim().strip_prefix("message: ")) {
            let start: String = words(message).chars().take(24).collect();
            assert!(denied.iter().any(|one| one.starts_with(&start)), "{file}: no example is denied by `{message}`");
        }
    }
}

#[test]
fn who_is_no_tool_is_held_by_no_shipped_rule() {
    let (rules, params) = (rules(), params());
    let user = User::default();
    // A Namespace says by its own labels whose it is, and has an example of it.
    for (file, case) in cases().into_iter().filter(|(_, case)| case.resource() != "namespaces") {
        let denials = rules.denials(&case.request(case.objects(), &BTreeMap::new(), &user), &params);
        assert_eq!(denials, [], "{file}: {}", case.name);
    }
}

#[test]
fn without_its_parameters_a_rule_denies() {
    let rules = rules();
    let labels = BTreeMap::from([("tenancy".to_owned(), "tool".to_owned())]);
    let (_, case) = cases().into_iter().find(|(file, _)| file.ends_with("images.yaml")).expect("images have examples");
    let denials = rules.denials(&case.request(case.objects(), &labels, &User::default()), &Params::default());
    let images: Vec<_> = denials.iter().filter(|denial| denial.policy == "toolforge-images").collect();
    assert!(
        matches!(images[..], [denial] if denial.broken && denial.message.contains("no params found")),
        "{denials:?}"
    );
}
