//! Text to documents, each with its place in the file.

use crate::document::{Binding, Policy};
use crate::problem::{Findings, Refusal};
use serde::de::DeserializeOwned;
use serde_json::Value;

const GROUP: &str = "admissionregistration.k8s.io/v1";
/// A file of rules is written by a person; this is a hundred times the largest of ours.
const MAX_BYTES: usize = 1 << 20;

/// One document of a file, as we evaluate it and as the cluster gets it.
pub(crate) enum Document {
    Policy(Policy, Value),
    Binding(Binding, Value),
}

impl Document {
    /// As the cluster gets it.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Policy(_, value) | Self::Binding(_, value) => value,
        }
    }
}

/// Every document that can be read; what can't is told to `findings`.
pub(crate) fn documents(text: &str, findings: &mut Findings<'_>) -> Vec<Document> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        findings.refuse((1, 1), "document", Refusal::new(message, "Split the file."));
        return Vec::new();
    }
    split(text).iter().filter_map(|document| read(document, findings)).collect()
}

/// The documents, each after as many empty lines as stand before it, so that a place in it is a place in the file.
fn split(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            found.push("\n".repeat(number + 1));
        } else if let Some(document) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let says_something =
        |document: &String| document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    found.retain(says_something);
    found
}

fn read(document: &str, findings: &mut Findings<'_>) -> Option<Document> {
    let value: Value = parse(document, findings)?;
    let first = document.lines().take_while(|line| line.trim().is_empty()).count() as u64 + 1;
    let named = (value["apiVersion"].as_str(), value["kind"].as_str());
    match named {
        (Some(GROUP), Some("ValidatingAdmissionPolicy")) => {
            parse(document, findings).map(|policy| Document::Policy(policy, value))
        }
        (Some(GROUP), Some("ValidatingAdmissionPolicyBinding")) => {
            parse(document, findings).map(|binding| Document::Binding(binding, value))
        }
        _ => {
            let message = format!("neither a ValidatingAdmissionPolicy nor its binding of {GROUP}");
            let hint = "A file of rules holds these two kinds alone; its examples stand beside it in `.cases.yaml`.";
            findings.refuse((first, 1), "kind", Refusal::new(message, hint));
            None
        }
    }
}

/// YAML as Kubernetes means it, within bounds.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, findings: &mut Findings<'_>) -> Option<T> {
    match from_yaml(text) {
        Ok(value) => Some(value),
        Err((at, message)) => {
            let hint = "Compare it with the API reference of Kubernetes, and with the rules that the platform ships.";
            findings.refuse(at, "document", Refusal::new(message, hint));
            None
        }
    }
}

fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, ((u64, u64), String)> {
    let mut options = serde_yaml::Options::default();
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.with_snippet = false;
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let said = error.to_string();
        // The place is told beside the message; one line is enough of it.
        let first = said.lines().next().unwrap_or_default();
        (at, first.split_once(" at line ").map_or(first, |(said, _)| said).to_owned())
    })
}
