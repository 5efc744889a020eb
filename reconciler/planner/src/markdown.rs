//! A plan as a comment on a merge request: GitHub's and GitLab's Markdown.
//!
//! Values come from strangers' files and from clusters, and whoever reads the comment trusts it. So nothing of theirs is
//! ever Markdown: it stands in code, on one line, behind a fence longer than any in it, where no renderer looks for
//! links, pictures, mentions or commands. The whole is bounded well below what either host takes (65,536 characters the
//! one, 1 MiB the other), by leaving out whole objects and saying how many. Values are masked as in a
//! [`contract`](crate::contract): a comment is read by more people than a terminal.

use crate::contract::published;
use crate::drift::{FieldChange, Shown};
use crate::explain::{Ago, cause, rank, short_digests, totals};
use crate::plan::{Action, Plan, Step};
use renderer::diagnostic::on_one_line;

/// The longest comment, in bytes, so that it is no longer in characters of any kind.
pub const MAX_BYTES: usize = 60_000;
/// Kept free for what stands around the blocks.
const RESERVE_BYTES: usize = 1_500;
/// A longer line is cut, in bytes.
const MAX_LINE_BYTES: usize = 300;
/// Fields of one object that are shown.
const MAX_FIELDS: usize = 40;
/// An object with more lines than this is folded away, and so is a block.
const FOLD: usize = 24;

/// Writes the comment.
#[must_use]
pub fn markdown(plan: &Plan, ago: Ago) -> String {
    let commit = plan.target.commit.as_ref().map_or("working tree", |commit| commit.short());
    let place = code(&format!("{}@{commit}", plan.target.branch));
    let mut page = Page::default();
    page.text(&format!("### {}: {}\n\n", code(plan.tool.as_str()), totals(plan)));
    page.text(&format!("{place}, cluster {}, plan {}\n", code(&plan.cluster), code(&plan.id()[..12])));
    let mut steps: Vec<_> = plan.steps.iter().collect();
    steps.sort_by_key(|step| (rank(step), step.id.to_string()));
    page.blocks("diff", steps.into_iter().map(|step| entry(step, ago)).collect());
    let held = plan.held.iter().map(|held| {
        let would = held.action.map_or_else(String::new, |action| format!("{action}, "));
        Entry::line(format!("{}: {would}{}", held.id, held.why))
    });
    page.section("Held", held.collect());
    let waits = plan.not_ready.iter().filter(|_| plan.steps.is_empty());
    page.section("Not Ready", waits.map(|row| Entry::line(format!("{}: {}", row.id, row.why))).collect());
    let notes = plan.remarks.iter().chain(&plan.moved_tags);
    page.section("Worth knowing", notes.map(|note| Entry::line(note.clone())).collect());
    page.end(plan.tool.as_str())
}

/// What is said of one object.
struct Entry {
    title: String,
    lines: Vec<String>,
}

impl Entry {
    fn line(text: String) -> Self {
        let line = fit(&text);
        Self { title: line.clone(), lines: vec![line] }
    }
}

fn entry(step: &Step, ago: Ago) -> Entry {
    let sign = match step.action.sign() {
        '~' => '!',
        sign => sign,
    };
    let title = fit(&format!("{} {}: {}", step.action, step.id, cause(step, ago)));
    let mut lines = vec![format!("{sign} {title}")];
    // What goes as a whole has no fields worth reading.
    let shown =
        if step.action == Action::Prune { &[][..] } else { &step.changes[..step.changes.len().min(MAX_FIELDS)] };
    lines.extend(shown.iter().flat_map(field));
    match step.changes.len().saturating_sub(shown.len()) {
        0 => {}
        more => lines.push(format!("    and {more} more fields")),
    }
    Entry { title, lines }
}

/// A line for what was and one for what will be.
fn field(change: &FieldChange) -> Vec<String> {
    let FieldChange { path, from, to, .. } = published(change);
    let line = |sign: char, value: &Shown| fit(&short_digests(&format!("{sign}     {path}: {value}")));
    match (&from, &to) {
        (None, None) => vec![fit(&format!("      {path}"))],
        _ => from.iter().map(|from| line('-', from)).chain(to.iter().map(|to| line('+', to))).collect(),
    }
}

/// The comment so far.
#[derive(Default)]
struct Page {
    out: String,
    left_out: usize,
}

impl Page {
    fn text(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn section(&mut self, title: &str, entries: Vec<Entry>) {
        if !entries.is_empty() {
            self.text(&format!("\n**{title}**\n"));
            self.blocks("text", entries);
        }
    }

    /// Short entries share blocks; a long one is folded away by itself.
    fn blocks(&mut self, language: &str, entries: Vec<Entry>) {
        let mut together: Vec<Entry> = Vec::new();
        for entry in entries {
            if entry.lines.len() > FOLD {
                self.block(language, std::mem::take(&mut together));
                self.block(language, vec![entry]);
            } else {
                together.push(entry);
            }
        }
        self.block(language, together);
    }

    /// One fenced block of as many entries as there is room for.
    fn block(&mut self, language: &str, entries: Vec<Entry>) {
        let title = match entries.as_slice() {
            [] => return,
            [one] => one.title.clone(),
            several => format!("{} objects", several.len()),
        };
        let mut body = String::new();
        for entry in entries {
            let text: String = entry.lines.iter().map(|line| format!("{line}\n")).collect();
            // Fences are at most as long as a line, twice.
            if self.out.len() + body.len() + text.len() + 3 * MAX_LINE_BYTES + RESERVE_BYTES > MAX_BYTES {
                self.left_out += 1;
            } else {
                body.push_str(&text);
            }
        }
        if body.is_empty() {
            return;
        }
        let fence = "`".repeat(longest_run(&body).max(2) + 1);
        let block = format!("\n{fence}{language}\n{body}{fence}\n");
        if body.lines().count() > FOLD {
            self.text(&format!("\n<details><summary><code>{}</code></summary>\n{block}\n</details>\n", html(&title)));
        } else {
            self.text(&block);
        }
    }

    fn end(mut self, tool: &str) -> String {
        if self.left_out > 0 {
            let hint = format!("toolforge diff {tool}");
            self.text(&format!("\n**{} more objects are left out.** All of them: {}\n", self.left_out, code(&hint)));
        }
        self.out
    }
}

/// A stranger's text as a line of bounded length.
fn fit(text: &str) -> String {
    let line = on_one_line(text);
    if line.len() <= MAX_LINE_BYTES {
        return line;
    }
    let end = (0..=MAX_LINE_BYTES - 3).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &line[..end])
}

/// A stranger's text as a span of code.
fn code(text: &str) -> String {
    let text = fit(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    // A blank beside the fence is no part of the code, and parts it from backticks.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
