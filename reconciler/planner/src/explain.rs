//! A plan in words: what `toolforge diff` prints. The order is the plan's, so that it is stable, and nothing depends on
//! colour: `paint` only decorates what already reads well. What others said takes no line of its own.

use crate::drift::{ChangeKind, FieldChange};
use crate::kinds::{self, Replace};
use crate::plan::{Action, Cause, Held, Plan, Request, Step};
use crate::replace;
use renderer::diagnostic::on_one_line;

/// What a piece of output is, for whoever wants to colour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something comes.
    Added,
    /// Something changes.
    Changed,
    /// Something goes.
    Removed,
    /// Something waits.
    Waiting,
    /// Plain.
    Plain,
}

/// Colours one line, or leaves it as it is.
pub type Paint<'a> = &'a dyn Fn(Tone, &str) -> String;

/// No colour.
#[must_use]
pub fn plain(_: Tone, text: &str) -> String {
    text.to_owned()
}

/// How long ago something was, in words, for a given RFC 3339 time; the clock belongs to the caller.
pub type Ago<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Explains a plan: header, one line an object with its fields below, and the totals.
#[must_use]
pub fn explain(plan: &Plan, paint: Paint, ago: Ago) -> String {
    let mut out = header(plan);
    let width = rows(plan).map(|id| id.len()).max().unwrap_or(0).max(36);
    let mut lines: Vec<(u8, String, String)> = Vec::new();
    for step in &plan.steps {
        lines.push((rank(step), step.id.to_string(), step_lines(step, width, paint, ago)));
    }
    for held in &plan.held {
        lines.push((kinds::order(&held.id), held.id.to_string(), held_line(held, width, paint)));
    }
    lines.sort();
    for (_, _, text) in lines {
        out.push_str(&text);
    }
    out.push_str(&totals(plan));
    out.push('\n');
    for row in plan.not_ready.iter().filter(|_| plan.steps.is_empty()) {
        out.push_str(&paint(Tone::Waiting, &on_one_line(&format!("  {} is not Ready: {}", row.id, row.why))));
        out.push('\n');
    }
    for remark in plan.remarks.iter().chain(&plan.moved_tags) {
        out.push_str(&format!("  note: {remark}\n"));
    }
    out
}

/// Prunes stand last, whatever their kind.
pub(crate) fn rank(step: &Step) -> u8 {
    if step.action == Action::Prune { u8::MAX } else { kinds::order(&step.id) }
}

fn rows(plan: &Plan) -> impl Iterator<Item = String> {
    plan.steps.iter().map(|s| s.id.to_string()).chain(plan.held.iter().map(|h| h.id.to_string()))
}

/// `wordcount  main@35b594f  cluster: sandbox (in-process)`.
#[must_use]
pub fn header(plan: &Plan) -> String {
    let commit = plan.target.commit.as_ref().map_or("working tree", |commit| commit.short());
    format!("{}  {}@{commit}  cluster: {}\n", plan.tool, plan.target.branch, plan.cluster)
}

fn step_lines(step: &Step, width: usize, paint: Paint, ago: Ago) -> String {
    let tone = match step.action {
        Action::Create | Action::Build | Action::Promote => Tone::Added,
        Action::Configure | Action::Restore => Tone::Changed,
        Action::Prune | Action::ScaleDown | Action::Replace => Tone::Removed,
    };
    let head = format!("{} {:width$} {:10} {}", step.action.sign(), step.id.to_string(), step.action, cause(step, ago));
    let mut out = paint(tone, on_one_line(&head).trim_end());
    out.push('\n');
    if let (Action::Replace, Replace::Freely(consequence) | Replace::Asked(consequence)) =
        (step.action, replace::of(&step.id))
    {
        out.push_str(&format!("    deleted and made anew: {consequence}\n"));
    }
    for request in &step.requests {
        if let Request::Promote { from, digest, .. } = request {
            out.push_str(&format!(
                "    {}\n",
                on_one_line(&short_digests(&format!("{digest}, from {}", without_tag(from))))
            ));
        }
    }
    for change in &step.changes {
        out.push_str(&format!("    {}\n", on_one_line(&short_digests(&field(change)))));
    }
    out
}

/// The digest says which it is; a build's tag has 64 digits of its own.
fn without_tag(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(path, _)| path)
}

pub(crate) fn cause(step: &Step, ago: Ago) -> String {
    match &step.cause {
        Cause::Drift { manager: None, .. } if step.action == Action::Create => "drift: it was deleted".to_owned(),
        Cause::Drift { time, .. } => {
            let when = time.as_deref().and_then(ago).map_or_else(String::new, |when| format!(", {when}"));
            format!("{}{when}", step.cause)
        }
        cause => cause.to_string(),
    }
}

fn field(change: &FieldChange) -> String {
    match (&change.from, &change.to) {
        (Some(from), Some(_)) if change.kind == ChangeKind::TakenBack => {
            format!("{}: {from} (taken back)", change.path)
        }
        (Some(from), Some(to)) => format!("{}: {from} → {to}", change.path),
        (Some(from), None) => format!("{}: {from} → (removed)", change.path),
        (None, Some(to)) => format!("{}: (none) → {to}", change.path),
        (None, None) => change.path.to_string(),
    }
}

fn held_line(held: &Held, width: usize, paint: Paint) -> String {
    let would = held.action.map_or_else(String::new, |action| format!("{action}, "));
    let line = format!(". {:width$} {:10} {would}{}", held.id.to_string(), "held", held.why);
    format!("{}\n", paint(Tone::Waiting, &on_one_line(&short_digests(&line))))
}

/// Hexadecimal digits of a digest that people are shown; JSON has all of them.
const DIGEST_CHARS: usize = 12;

/// The text with every whole sha256 digest in it cut short: nobody compares 64 digits by eye.
#[must_use]
pub fn short_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        let shown = if end == 64 { DIGEST_CHARS } else { end };
        out.extend(["sha256:", &part[..shown], &part[end..]]);
    }
    out
}

/// A build is known by the beginning of its tag; any other reference is shown whole.
pub(crate) fn short_build(image: &str) -> &str {
    match image.rsplit_once(':') {
        Some((_, tag)) if tag.len() == 64 && tag.bytes().all(|b| b.is_ascii_hexdigit()) => &tag[..6],
        _ => image,
    }
}

/// `1 configure, 1 create, 1 prune, 1 held, 6 unchanged`, leaving out what is zero.
#[must_use]
pub fn totals(plan: &Plan) -> String {
    let count = |action: Action| plan.steps.iter().filter(|step| step.action == action).count();
    let parts = [
        (count(Action::Configure), "configure"),
        (count(Action::Replace), "replace"),
        (count(Action::Create), "create"),
        (count(Action::Build), "build"),
        (count(Action::Promote), "promote"),
        (count(Action::ScaleDown), "scale down"),
        (count(Action::Restore), "restore"),
        (count(Action::Prune), "prune"),
        (plan.held.len(), "held"),
        (plan.unchanged, "unchanged"),
    ];
    let words: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if words.is_empty() { "nothing to do".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_cut_short_and_nothing_else() {
        let digest = "0123456789abcdef".repeat(4);
        let text = format!("a@sha256:{digest} → b@sha256:{digest}, sha256:{digest}0, sha256:0123, sha256:");
        let short = format!("a@sha256:0123456789ab → b@sha256:0123456789ab, sha256:{digest}0, sha256:0123, sha256:");
        assert_eq!(short_digests(&text), short);
    }
}
