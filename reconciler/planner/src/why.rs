//! Why is this field as it is? Every field of every object of a tool with its verdict, its hand and the reason: what
//! `toolforge diff --fields` prints. The same targets and the same walk as the plan's.

use crate::course::course;
use crate::decide::Input;
use crate::draft::Draft;
use crate::drift::{FieldVerdict, verdicts};
use crate::explain::Ago;
use crate::terms::Terms;
use renderer::ObjectId;
use renderer::diagnostic::on_one_line;

/// Paths longer than this, in characters, push the rest of their line to the right.
const WIDEST: usize = 72;

/// The verdicts on each desired object that is there and ours, in apply order.
#[must_use]
pub fn field_verdicts(input: &Input) -> Vec<(ObjectId, Vec<FieldVerdict>)> {
    let course = course(input, &input.pin());
    let mut draft = Draft::new(&Input { newest: course.to, ..input.clone() });
    let objects = draft.desired();
    let tool = input.tool.name.as_str();
    let judged = objects.iter().filter_map(|desired| {
        let live = input.observed.live(&desired.id)?;
        let ours = input.observed.is_ours(&desired.id, tool, input.field_manager) || desired.id == input.tool_id();
        ours.then(|| {
            let terms = Terms::of(desired, input);
            (desired.id.clone(), verdicts(desired, live, &terms.known(live).ownership(&terms)))
        })
    });
    judged.collect()
}

/// In words: one object a paragraph, one field a line.
#[must_use]
pub fn told(verdicts: &[(ObjectId, Vec<FieldVerdict>)], ago: Ago) -> String {
    let mut out = String::new();
    for (id, fields) in verdicts {
        out.push_str(&format!("{id}\n"));
        let width = fields.iter().map(|one| one.path.to_string().chars().count()).max().unwrap_or(0).min(WIDEST);
        for one in fields {
            let path = one.path.to_string();
            let line = format!("{:12} {path:width$}  {}{}", one.verdict, hand(one, ago), one.why);
            out.push_str(&format!("  {}\n", on_one_line(&line)));
        }
    }
    out
}

/// `kubectl-scale, 2 min ago: `.
fn hand(field: &FieldVerdict, ago: Ago) -> String {
    let Some(by) = &field.by else { return String::new() };
    let when = by.time.as_deref().and_then(ago).map_or_else(String::new, |when| format!(", {when}"));
    format!("{}{when}: ", by.manager)
}
