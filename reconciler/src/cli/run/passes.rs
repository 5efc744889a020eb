//! What the passes of `run` come to: a line of JSON for each that has something to say, and for `--once` the moment when
//! nothing is left that could be done now.

use crate::ui::{Exit, Style, Table, Ui, now};
use planner::outcome::{Failure, FailureKind, Outcome, Row, RowResult};
use planner::plan::{Held, Plan};
use reconciler::driver::Heard;
use renderer::ToolName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

/// What is known of the passes so far.
pub struct Passes {
    /// Those of `--once` that have not come to rest.
    open: BTreeSet<ToolName>,
    once: bool,
    rest: BTreeMap<ToolName, Rest>,
    /// What each tool waited for when that was last said.
    said: BTreeMap<ToolName, Vec<Held>>,
}

/// How a tool came to rest.
struct Rest {
    exit: Exit,
    word: String,
}

impl Passes {
    /// Of a `run` that goes on.
    pub fn endless() -> Self {
        Self { open: BTreeSet::new(), once: false, rest: BTreeMap::new(), said: BTreeMap::new() }
    }

    /// Of a `run --once` for these tools.
    pub fn once(tools: impl Iterator<Item = ToolName>) -> Self {
        Self { open: tools.collect(), once: true, ..Self::endless() }
    }

    /// Hears passes until there are no more; asks the loop to stop when all tools came to rest, or nobody reads stdout.
    pub async fn hear(
        mut self,
        mut passes: Receiver<Heard>,
        ui: &Ui,
        stop: &CancellationToken,
    ) -> anyhow::Result<Exit> {
        if self.is_over() {
            stop.cancel();
        }
        while let Some(heard) = passes.recv().await {
            if ui.json
                && let Some(line) = self.line(&heard)
                && let Err(error) = ui.data(&format!("{line}\n"))
            {
                stop.cancel();
                return Err(error);
            }
            self.note(heard);
            if self.is_over() {
                stop.cancel();
            }
        }
        self.conclude(ui)
    }

    fn is_over(&self) -> bool {
        self.once && self.open.is_empty()
    }

    fn note(&mut self, Heard { tool, pass, asking }: Heard) {
        // All had come to rest and the loop was asked to stop: a pass that was under way by then, woken by a controller,
        // takes nothing back.
        let over = self.is_over();
        let rest = match &pass {
            _ if asking => None,
            Some((plan, outcome)) => rest(plan, outcome),
            None => Some(Rest { exit: Exit::Failed, word: "a pass was given up".to_owned() }),
        };
        match rest.filter(|_| self.once) {
            Some(rest) => {
                self.open.remove(&tool);
                self.rest.insert(tool, rest);
            }
            None if over => {}
            None => {
                self.rest.remove(&tool);
                self.open.insert(tool);
            }
        }
    }

    /// The worst of all, after a table of them.
    fn conclude(&self, ui: &Ui) -> anyhow::Result<Exit> {
        let mut table = Table::new(&[]);
        for (tool, rest) in &self.rest {
            let style = match rest.exit {
                Exit::Done => Style::Good,
                Exit::Differs => Style::Change,
                Exit::WrongUse | Exit::Failed => Style::Bad,
            };
            table.row(vec![(tool.to_string(), None), (rest.word.clone(), Some(style))]);
        }
        ui.data_unless_json(table.print(ui).trim_start_matches('\n'))?;
        let any = |exit: Exit| self.rest.values().any(|rest| rest.exit == exit);
        let interrupted = self.once && !self.open.is_empty();
        Ok(match (any(Exit::Failed) || interrupted, any(Exit::Differs)) {
            (true, _) => Exit::Failed,
            (false, true) => Exit::Differs,
            (false, false) => Exit::Done,
        })
    }

    /// The pass as JSON; none where it has nothing to say.
    fn line(&mut self, heard: &Heard) -> Option<Value> {
        let Heard { tool, pass, .. } = heard;
        let time = now().to_string();
        let Some((plan, outcome)) = pass else { return Some(json!({"time": time, "tool": tool, "givenUp": true})) };
        let held_before = self.said.get(tool).map_or(&[][..], Vec::as_slice);
        if plan.steps.is_empty() && held_before == plan.held {
            return None;
        }
        self.said.insert(tool.clone(), plan.held.clone());
        let steps: Vec<_> = plan
            .steps
            .iter()
            .map(|step| {
                let row = outcome.rows.iter().find(|row| row.id == step.id && row.action == step.action);
                // Requests hold whole objects; `diff --json` has them.
                json!({
                    "id": step.id,
                    "action": step.action,
                    "cause": step.cause,
                    "changes": step.changes,
                    "result": row.map(|row| &row.result),
                })
            })
            .collect();
        Some(json!({
            "time": time,
            "tool": tool,
            "target": plan.target,
            "steps": steps,
            "held": plan.held,
            "notReady": plan.not_ready,
            "unchanged": plan.unchanged,
            "ready": plan.is_ready(),
        }))
    }
}

/// How a tool rests after this pass; none where the next pass goes on by itself.
fn rest(plan: &Plan, outcome: &Outcome) -> Option<Rest> {
    let failed = |row: &Row, failure: &Failure| Rest {
        exit: Exit::Failed,
        word: format!("{} {}: {failure}", row.action, row.id),
    };
    let stale = |row: &Row| matches!(&row.result, RowResult::Failed(failure) if failure.kind == FailureKind::Stale);
    if let Some((row, failure)) = outcome.failures().find(|(row, _)| !stale(row)) {
        return Some(failed(row, failure));
    }
    if !plan.steps.is_empty() {
        let refused = outcome.rows.is_empty();
        let word = "the plan was refused; this is a defect in toolforge".to_owned();
        return refused.then_some(Rest { exit: Exit::Failed, word });
    }
    let waits = plan.held.first().map(|held| format!("{}: {}", held.id, held.why));
    let rolling = plan.not_ready.first().map(|row| format!("{} is not Ready: {}", row.id, row.why));
    Some(match waits.or(rolling) {
        Some(word) => Rest { exit: Exit::Differs, word },
        None => Rest { exit: Exit::Done, word: "in sync".to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::plan::{Action, Cause, Step, Target, Why};
    use renderer::ObjectId;

    fn id() -> ObjectId {
        ObjectId { group: String::new(), kind: "Service".into(), namespace: Some("tool-a".into()), name: "web".into() }
    }

    fn plan(steps: usize, held: &[Why]) -> Plan {
        let step = Step {
            id: id(),
            action: Action::Create,
            cause: Cause::NewRevision,
            identity: planner::kinds::Identity::Deployer,
            changes: Vec::new(),
            requests: vec![planner::plan::Request::Apply { body: json!({"data": "hunter2"}) }],
        };
        let held = held.iter().map(|why| Held { id: id(), action: None, why: why.clone() });
        Plan {
            steps: vec![step; steps],
            held: held.collect(),
            unchanged: 1,
            ..Plan::nothing(
                ToolName::new("a").expect("a name"),
                "test",
                Target { branch: "main".to_owned(), commit: None, author: None },
            )
        }
    }

    fn outcome(results: &[RowResult]) -> Outcome {
        let row = |result: &RowResult| Row { id: id(), action: Action::Create, result: result.clone() };
        Outcome { rows: results.iter().map(row).collect(), ..Outcome::default() }
    }

    fn failure(kind: FailureKind) -> RowResult {
        RowResult::Failed(Failure { kind, message: "no".into(), retry_after_secs: None })
    }

    #[test]
    fn who_waits_for_an_answer_is_not_at_rest_and_a_pass_under_way_at_the_end_takes_no_rest_back() {
        let tool = plan(0, &[]).tool;
        let heard =
            |steps| Heard { tool: tool.clone(), pass: Some((plan(steps, &[]), outcome(&[done()]))), asking: false };
        let mut passes = Passes::once([tool.clone()].into_iter());
        passes.note(Heard { asking: true, ..heard(0) });
        assert!(!passes.is_over(), "registries have not answered yet");
        passes.note(heard(1));
        assert!(!passes.is_over(), "something was done: it looks again");
        passes.note(heard(0));
        passes.note(heard(1));
        assert!(passes.is_over() && passes.rest.contains_key(&tool));
    }

    fn done() -> RowResult {
        RowResult::Done { uid: None }
    }

    #[test]
    fn a_tool_rests_when_its_next_pass_would_do_nothing() {
        let done = RowResult::Done { uid: None };
        let exit = |plan: &Plan, rows: &[RowResult]| rest(plan, &outcome(rows)).map(|rest| rest.exit);
        assert_eq!(exit(&plan(0, &[]), &[]), Some(Exit::Done));
        assert_eq!(exit(&plan(0, &[Why::NotOurs]), &[]), Some(Exit::Differs));
        assert_eq!(exit(&plan(1, &[]), &[done]), None, "the next pass goes on");
        assert_eq!(exit(&plan(1, &[]), &[failure(FailureKind::Stale)]), None, "it is planned again");
        assert_eq!(exit(&plan(1, &[]), &[failure(FailureKind::Denied)]), Some(Exit::Failed));
        assert_eq!(exit(&plan(1, &[]), &[]), Some(Exit::Failed), "its judge was against it");
    }

    #[test]
    fn a_pass_has_a_line_when_it_does_something_or_waits_for_something_else_and_no_object_in_it() {
        let mut passes = Passes::endless();
        let mut line = |plan: Plan| {
            passes.line(&Heard {
                tool: plan.tool.clone(),
                pass: Some((plan, outcome(&[RowResult::Done { uid: None }]))),
                asking: false,
            })
        };
        assert_eq!(line(plan(0, &[])), None);
        let did = line(plan(1, &[])).expect("a line");
        assert_eq!(
            (&did["steps"][0]["action"], did["steps"][0]["result"].is_object()),
            (&json!("create"), true),
            "{did}"
        );
        assert!(!did.to_string().contains("hunter2"), "{did}");
        assert!(line(plan(0, &[Why::NotOurs])).is_some());
        assert_eq!(line(plan(0, &[Why::NotOurs])), None, "said already");
        assert!(line(plan(0, &[])).is_some(), "it waits no longer");
    }
}
