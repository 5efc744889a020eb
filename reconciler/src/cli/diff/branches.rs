//! `diff --against BRANCH`: what the files say against what a branch says, rendered both. No cluster is asked, and no
//! registry: an image stands under its tag, so that a new tag says that something would be built.

use super::{Args, revision, yaml};
use crate::cli::local::{Local, LocalArgs};
use crate::cli::place::{self, Place};
use crate::ui::{Exit, Style, Ui, failed, wrong_use};
use reconciler::source::worktree::Worktree;
use reconciler::source::{RepositoryUrl, SourceError};
use renderer::{Object, ObjectId, Revision, Siblings, Tool};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What differs in one object.
#[derive(Debug, Serialize)]
struct Difference {
    id: ObjectId,
    action: &'static str,
    changes: Vec<Change>,
}

/// One field. None is: not there.
#[derive(Debug, Serialize)]
struct Change {
    path: String,
    from: Option<Value>,
    to: Option<Value>,
}

pub async fn run(args: &Args, here: &Worktree, against: &str, ui: &Ui) -> anyhow::Result<Exit> {
    let Some(root) = &here.root else {
        let hint = "Go to the folder of the tool's repository.";
        return Err(wrong_use("this folder is in no git repository").hint(hint).into());
    };
    let Place::Tool(place) = place::look(Path::new("."))? else {
        return Err(wrong_use("this folder is a config repository").hint("Go to a tool's repository.").into());
    };
    let local = Local::new(&LocalArgs::here(args.target.tool.clone()), *place, ui)?;
    let url = RepositoryUrl::local(root);
    let at = Tool { repository: root.to_string_lossy().into_owned(), ..local.tool.clone() };
    let read = Reader { git: crate::cli::target::git(&url)?, url, tool: at };
    let new = match args.commit.as_ref().or(args.branch.as_ref()) {
        Some(name) => read.revision(name).await?,
        None => revision::working_tree(&local.tool, here, &read.git, ui).await?,
    };
    let old = read.revision(against).await?;
    let (old, new) = (objects(&local, &old), objects(&local, &new));
    let differences = compare(&old, &new);
    if ui.json {
        ui.json(&differences)?;
    } else if args.yaml {
        let value = |side: &BTreeMap<ObjectId, Object>, id| side.get(id).map(|object| object.value.clone());
        let unified = |id| yaml::unified(id, value(&old, id).as_ref(), value(&new, id).as_ref(), ui);
        ui.data(&differences.iter().map(|difference| unified(&difference.id)).collect::<String>())?;
    } else {
        let label = args.commit.as_ref().or(args.branch.as_ref()).map_or("working tree", String::as_str);
        ui.data(&printed(&differences, &format!("{}  {label}  against: {against}", local.tool.name), ui))?;
    }
    Ok(if differences.is_empty() { Exit::Done } else { Exit::Differs })
}

struct Reader {
    git: reconciler::source::Git,
    url: RepositoryUrl,
    tool: Tool,
}

impl Reader {
    async fn revision(&self, name: &str) -> anyhow::Result<Revision> {
        let unreadable = |error: SourceError| {
            let hint = error.hint();
            let failure = match error {
                SourceError::NoSuchRef { .. } => wrong_use(format!("cannot read {name}")),
                _ => failed(format!("cannot read {name}")),
            };
            failure.hint_if(hint).because(error)
        };
        let refs = self.git.ls_refs(&self.url, [name]).await.map_err(unreadable)?;
        let commit = self.git.resolve(&self.url, &refs, name).await.map_err(unreadable)?;
        Ok(self.git.revision(&self.tool, &commit).await.map_err(unreadable)?)
    }
}

fn objects(local: &Local, revision: &Revision) -> BTreeMap<ObjectId, Object> {
    let rendered = renderer::render_revision(&local.platform, &local.tool, revision, &Siblings::default());
    crate::cli::render::objects(&rendered).into_iter().map(|object| (object.id.clone(), object)).collect()
}

fn compare(old: &BTreeMap<ObjectId, Object>, new: &BTreeMap<ObjectId, Object>) -> Vec<Difference> {
    let ids: BTreeSet<&ObjectId> = old.keys().chain(new.keys()).collect();
    let mut differences: Vec<_> = ids
        .into_iter()
        .filter_map(|id| {
            let mut changes = Vec::new();
            let action = match (old.get(id), new.get(id)) {
                (Some(old), Some(new)) => {
                    fields(&mut changes, String::new(), Some(&old.value), Some(&new.value));
                    if changes.is_empty() {
                        return None;
                    }
                    "configure"
                }
                (None, _) => "create",
                (Some(_), None) => "prune",
            };
            Some(Difference { id: id.clone(), action, changes })
        })
        .collect();
    differences.sort_by_key(|difference| (difference.action == "prune", planner::kinds::order(&difference.id)));
    differences
}

/// Every leaf that differs, by its path.
fn fields(changes: &mut Vec<Change>, path: String, from: Option<&Value>, to: Option<&Value>) {
    if from == to {
        return;
    }
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for key in keys {
                let dot = if path.is_empty() { "" } else { "." };
                fields(changes, format!("{path}{dot}{key}"), from.get(key), to.get(key));
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) => items(changes, &path, from, to),
        _ => changes.push(Change { path, from: from.cloned(), to: to.cloned() }),
    }
}

/// Items that have names are the same by name, others by place.
fn items(changes: &mut Vec<Change>, path: &str, from: &[Value], to: &[Value]) {
    let name = |item: &Value| item.get("name").and_then(Value::as_str).map(|name| format!("name={name}"));
    let keyed = |list: &[Value]| -> BTreeMap<String, Value> {
        let all = list.iter().enumerate();
        all.map(|(at, item)| (name(item).unwrap_or_else(|| at.to_string()), item.clone())).collect()
    };
    let (from, to) = (keyed(from), keyed(to));
    let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    for key in keys {
        fields(changes, format!("{path}[{key}]"), from.get(key), to.get(key));
    }
}

fn printed(differences: &[Difference], header: &str, ui: &Ui) -> String {
    let mut out = format!("{header}\n");
    let width = differences.iter().map(|difference| difference.id.to_string().len()).max().unwrap_or_default();
    for Difference { id, action, changes } in differences {
        let (sign, style) = match *action {
            "create" => ('+', Style::Good),
            "prune" => ('-', Style::Bad),
            _ => ('~', Style::Change),
        };
        let line = format!("{sign} {:width$}  {action}", id.to_string());
        out.push_str(&ui.data_in(style, &line));
        out.push('\n');
        for Change { path, from, to } in changes {
            let shown = |value: &Option<Value>, none: &str| value.as_ref().map_or_else(|| none.to_owned(), plain);
            out.push_str(&format!("    {path}: {} → {}\n", shown(from, "(none)"), shown(to, "(removed)")));
        }
    }
    if differences.is_empty() {
        out.push_str("no difference\n");
    }
    out
}

/// Characters of a value that are shown; `--json` has all of it.
const WIDTH: usize = 200;

/// A value in one line.
fn plain(value: &Value) -> String {
    let text = match value.as_str() {
        Some(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => value.to_string(),
    };
    let text = planner::explain::short_digests(&text);
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(from: &Value, to: &Value) -> Vec<String> {
        let mut changes = Vec::new();
        fields(&mut changes, String::new(), Some(from), Some(to));
        changes.into_iter().map(|change| change.path).collect()
    }

    #[test]
    fn a_value_takes_one_line_of_bounded_length_and_says_nothing_to_a_terminal() {
        assert_eq!(plain(&json!("a: b")), "a: b");
        assert_eq!(plain(&json!("a\n\u{1b}[31m")), r#""a\n\u001b[31m""#);
        assert_eq!(plain(&json!("x".repeat(5_000))).len(), WIDTH + 3);
    }

    #[test]
    fn every_changed_leaf_is_named_once_and_lists_by_name() {
        let from = json!({"spec": {"replicas": 1, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}});
        let to = json!({"spec": {"replicas": 2, "env": [{"name": "B", "value": "2"}], "paused": true}});
        assert_eq!(paths(&from, &to), ["spec.env[name=A]", "spec.env[name=B].value", "spec.paused", "spec.replicas"]);
        assert_eq!(paths(&from, &from), [""; 0]);
    }
}
