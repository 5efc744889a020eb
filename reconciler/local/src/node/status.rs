//! A pod's status as the API shows it.

use super::course::{End, PodRun, Running, State};
use super::wanted::Wanted;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Annotation: under which port of loopback each port of a pod is reached, as JSON.
pub const PORTS: &str = "local.toolforge.org/ports";
/// Everything has one address here.
pub const ADDRESS: &str = "127.0.0.1";

/// What the node knows of a pod, besides what it asked for.
#[derive(Debug)]
pub struct Told<'a> {
    /// What it asks for.
    pub wanted: &'a Wanted,
    /// How it runs.
    pub run: &'a PodRun,
    /// Its ports, and where they are.
    pub ports: &'a BTreeMap<u16, u16>,
    /// What does not hold here, said once.
    pub notes: &'a [String],
    /// The status before.
    pub before: &'a Value,
}

impl Told<'_> {
    /// The patch of a pod that says all this.
    #[must_use]
    pub fn patch(&self, now: Timestamp) -> Value {
        let ports: BTreeMap<String, u16> = self.ports.iter().map(|(port, at)| (port.to_string(), *at)).collect();
        let annotations = if ports.is_empty() { json!({}) } else { json!({(PORTS): json!(ports).to_string()}) };
        let outcome = self.run.outcome(self.wanted);
        let phase = match outcome {
            Some(true) => "Succeeded",
            Some(false) => "Failed",
            None if self.has_begun() => "Running",
            None => "Pending",
        };
        let (first, rest): (Vec<_>, Vec<_>) =
            (0..self.run.parts.len()).partition(|index| self.wanted.runs_first(*index));
        let statuses = |indexes: &[usize]| indexes.iter().map(|index| self.container(*index)).collect::<Vec<_>>();
        let mut status = json!({
            "phase": phase, "hostIP": ADDRESS, "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}], "qosClass": "Burstable",
            "startTime": text(self.run.since), "conditions": self.conditions(outcome, &rest, now),
            "containerStatuses": statuses(&rest),
        });
        if let (Some(why), Some(false)) = (&self.run.evicted, outcome) {
            (status["reason"], status["message"]) = (json!("Evicted"), json!(why));
        }
        if !first.is_empty() {
            status["initContainerStatuses"] = json!(statuses(&first));
        }
        json!({"metadata": {"annotations": annotations}, "status": status})
    }

    /// A container of the pod runs, or ran.
    fn has_begun(&self) -> bool {
        let rest = &self.run.parts[self.wanted.first..];
        rest.iter().any(|part| part.last.is_some() || matches!(part.state, State::Running(_) | State::Ended(_)))
    }

    fn conditions(&self, outcome: Option<bool>, rest: &[usize], now: Timestamp) -> Vec<Value> {
        let first_done = self.run.parts[..self.wanted.first]
            .iter()
            .all(|part| matches!(&part.state, State::Ended(end) if end.code == 0));
        let running = |index: &usize| match &self.run.parts[*index].state {
            State::Running(running) => Some(running),
            _ => None,
        };
        let ready = rest.iter().all(|index| running(index).is_some_and(|running| running.ready));
        let words: Vec<String> = rest.iter().filter_map(|index| self.words(*index, running(index)?)).collect();
        let (reason, message) = match (ready, outcome) {
            (true, _) => ("", self.notes.join("; ")),
            (false, Some(true)) => ("PodCompleted", String::new()),
            (false, _) if words.is_empty() => ("ContainersNotReady", self.notes.join("; ")),
            (false, _) => ("ContainersNotReady", words.join("; ")),
        };
        let done = if outcome == Some(true) { "PodCompleted" } else { "" };
        vec![
            self.condition("PodScheduled", true, "", "", now),
            self.condition(
                "Initialized",
                first_done,
                if first_done { done } else { "ContainersNotInitialized" },
                "",
                now,
            ),
            self.condition("ContainersReady", ready, reason, &message, now),
            self.condition("Ready", ready, reason, &message, now),
        ]
    }

    /// Why a container that runs is not ready.
    fn words(&self, index: usize, running: &Running) -> Option<String> {
        let words = running.asked.iter().map(|asked| &asked.words).find(|words| !words.is_empty())?;
        Some(format!("{}: {words}", self.wanted.parts[index].spec.name))
    }

    fn condition(&self, kind: &str, holds: bool, reason: &str, message: &str, now: Timestamp) -> Value {
        let status = if holds { "True" } else { "False" };
        let old = self.before.pointer("/status/conditions").and_then(Value::as_array);
        let old = old.and_then(|all| all.iter().find(|one| one["type"] == kind && one["status"] == status));
        let since = old.map_or_else(|| json!(text(now)), |old| old["lastTransitionTime"].clone());
        let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since});
        for (field, words) in [("reason", reason), ("message", message)] {
            if !words.is_empty() {
                condition[field] = json!(words);
            }
        }
        condition
    }

    fn container(&self, index: usize) -> Value {
        let (part, wanted) = (&self.run.parts[index], &self.wanted.parts[index].spec);
        let image = wanted.image.clone().unwrap_or_default();
        let (ready, started, state) = match &part.state {
            State::Waiting { reason, message, .. } => {
                let mut waiting = json!({"reason": reason});
                if !message.is_empty() {
                    waiting["message"] = json!(message);
                }
                (false, false, json!({"waiting": waiting}))
            }
            State::Starting => (false, false, json!({"waiting": {"reason": "ContainerCreating"}})),
            State::Running(running) => {
                (running.ready, running.started, json!({"running": {"startedAt": text(running.since)}}))
            }
            State::Ended(end) => {
                let done = self.wanted.runs_first(index) && end.code == 0;
                (done, false, json!({"terminated": ended(end)}))
            }
        };
        let last = part.last.as_ref().map_or_else(|| json!({}), |end| json!({"terminated": ended(end)}));
        json!({
            "name": wanted.name, "image": image, "imageID": image, "ready": ready, "started": started,
            "restartCount": part.restarts, "state": state, "lastState": last,
        })
    }
}

fn ended(end: &End) -> Value {
    let mut ended = json!({
        "exitCode": end.code, "reason": end.reason, "startedAt": text(end.started), "finishedAt": text(end.finished),
    });
    if !end.message.is_empty() {
        ended["message"] = json!(end.message);
    }
    ended
}

/// A time as the API writes it, to the second.
fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
