//! What the language means here; `tests/tests/policy.rs` asks the real API server the same.

use policy::{Operation, Params, Request, Rules, User};
use serde_json::Value;
use std::collections::BTreeMap;

fn policy(validations: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: claims}}\n\
         spec:\n  matchConstraints: {{matchPolicy: Exact}}\n  validations:\n{validations}---\n\
         apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\n\
         metadata: {{name: claims}}\nspec: {{policyName: claims, validationActions: [Deny]}}\n"
    )
}

#[test]
fn claims_hold_and_failures_fail() {
    let claims: Value = serde_yaml::from_str(include_str!("claims.yaml")).expect("YAML");
    let user = User { name: "maintainer@example".into(), groups: vec!["system:authenticated".into()] };
    let labels = BTreeMap::from([("purpose".to_owned(), "claims".to_owned())]);
    let request = Request {
        operation: Operation::Create,
        group: "apps",
        version: "v1",
        resource: "deployments",
        subresource: "",
        kind: "Deployment",
        namespace: "claims",
        namespace_labels: &labels,
        name: "web",
        user: &user,
        object: Some(&claims["object"]),
        old_object: None,
    };
    let mut wrong = Vec::new();
    for (list, broken) in [("hold", false), ("fail", true)] {
        for claim in claims[list].as_array().expect("a list") {
            let rules = Rules::load(&[("claim", &policy(&format!("  - expression: {claim}\n")))]);
            let denials = match rules {
                Ok(rules) => rules.denials(&request, &Params::default()),
                Err(problems) => {
                    wrong.push(format!("{claim}: {problems:?}"));
                    continue;
                }
            };
            if denials.iter().any(|denial| denial.broken) != broken || denials.is_empty() == broken {
                wrong.push(format!("{claim}: {denials:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
