//! Kinds nobody here knows, custom resources above all: the rules of kstatus. Stalled is a failure, Reconciling is
//! progress, Ready is what it says; a status about an older generation says nothing. Where there is no status, or none
//! of these conditions in it, being there is all that can be asked.

use super::Readiness::{self, Failed, InProgress, Ready};
use super::condition::{Condition, condition, generation, number, unseen};
use serde_json::Value;

/// Conditions that are True when something is wrong for good.
const BAD: [&str; 2] = ["Stalled", "Failed"];
/// Conditions that are True while something is under way.
const UNDER_WAY: [&str; 1] = ["Reconciling"];
/// Conditions that are True when all is well; the first that is there counts. `Synced` is what Crossplane says of the
/// spec, and must hold beside Ready.
const GOOD: [&[&str]; 4] =
    [&["Synced", "Ready"], &["Available"], &["Programmed", "Accepted"], &["Succeeded", "Complete"]];
/// Conditions whose False is final: they tell how a run ended, or that somebody said no.
const FINAL: [&str; 3] = ["Accepted", "Complete", "Succeeded"];

/// By the conventions alone.
pub(super) fn by_conditions(object: &Value) -> Readiness {
    if object.get("status").is_none() {
        return Ready;
    }
    if number(object, "/status/observedGeneration").is_some_and(|seen| seen < generation(object)) {
        return unseen();
    }
    let holds = |name: &&str| condition(object, name).filter(|found| found.is("True"));
    if let Some(bad) = BAD.iter().find_map(holds) {
        return Failed(bad.words());
    }
    if let Some(under_way) = UNDER_WAY.iter().find_map(holds) {
        return InProgress(under_way.words());
    }
    for family in GOOD {
        let known: Vec<_> = family.iter().filter_map(|name| Some((*name, condition(object, name)?))).collect();
        if !known.is_empty() {
            let open = known.into_iter().map(|(name, found)| judged(name, &found, generation(object)));
            return open.into_iter().find(|readiness| !readiness.is_ready()).unwrap_or(Ready);
        }
    }
    Ready
}

fn judged(name: &str, found: &Condition<'_>, generation: i64) -> Readiness {
    match found.status {
        _ if found.is_older_than(generation) => unseen(),
        "True" => Ready,
        "False" if FINAL.contains(&name) => Failed(found.words()),
        _ => InProgress(found.words()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use serde_json::{Value, json};

    fn widget(status: Value) -> Value {
        json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"generation": 2}, "status": status})
    }

    fn with(conditions: &[(&str, &str, &str)]) -> Value {
        let one =
            |(name, status, reason): &(&str, &str, &str)| json!({"type": name, "status": status, "reason": reason});
        widget(json!({"conditions": conditions.iter().map(one).collect::<Vec<_>>()}))
    }

    #[test]
    fn without_a_word_being_there_is_enough() {
        check(&json!({"apiVersion": "example.org/v1", "kind": "Widget"}), "ready");
        check(&widget(json!({"phase": "whatever", "conditions": [{"type": "Amused", "status": "False"}]})), "ready");
    }

    #[test]
    fn progress_and_failure_are_told_apart() {
        check(&with(&[("Ready", "True", "")]), "ready");
        check(&with(&[("Ready", "False", "Waiting")]), "in progress: Waiting");
        check(&with(&[("Ready", "Unknown", "")]), "in progress: its controller does not say why");
        check(&with(&[("Ready", "False", "x"), ("Stalled", "True", "BadSpec")]), "failed: BadSpec");
        check(&with(&[("Ready", "True", ""), ("Reconciling", "True", "Rolling")]), "in progress: Rolling");
        check(&with(&[("Stalled", "False", ""), ("Reconciling", "False", "")]), "ready");
        check(&with(&[("Ready", "True", ""), ("Synced", "False", "ReconcileError")]), "in progress: ReconcileError");
        check(&with(&[("Available", "False", "NoEndpoints")]), "in progress: NoEndpoints");
        check(&with(&[("Succeeded", "Unknown", "Running")]), "in progress: Running");
        check(&with(&[("Succeeded", "False", "Error")]), "failed: Error");
        check(&with(&[("Programmed", "False", "Pending"), ("Accepted", "True", "")]), "in progress: Pending");
        check(&with(&[("Accepted", "False", "Conflict")]), "failed: Conflict");
    }

    #[test]
    fn an_old_status_says_nothing_of_a_new_generation() {
        let old = "in progress: its controller has not seen this generation";
        check(&widget(json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]})), old);
        check(&widget(json!({"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]})), old);
        check(&widget(json!({"observedGeneration": 1, "conditions": [{"type": "Stalled", "status": "True"}]})), old);
        check(&widget(json!({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]})), "ready");
    }
}
