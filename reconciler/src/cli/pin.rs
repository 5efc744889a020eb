//! A person's word about one tool, `spec.pin` of its Tool object: `suspend`, `hold`, `rollback`, `retry`, and the ways
//! back. It is written under a field manager of its own, so that neither the config repository nor the reconciler takes
//! it back.

mod until;

use super::connect::{ClusterArgs, Connected};
use super::local::tool_name;
use super::target::{nobody, tools, unread};
use crate::ui::{Exit, Ui, failed, wrong_use};
use planner::audit::{Told, Who, Written};
use planner::deployments::{State, listed};
use planner::plan::Action;
use planner::stored::StoredImage;
use reconciler::cluster::address;
use reconciler::cluster::call::{self, CallError};
use reconciler::events;
use renderer::ToolName;
use renderer::diagnostic::on_one_line;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use until::until;

/// Who writes `spec.pin`.
pub const FIELD_MANAGER: &str = "toolforge-cli";

/// Which tool, on which cluster.
#[derive(Debug, clap::Args)]
pub struct OfTool {
    /// The tool
    #[arg(value_parser = tool_name)]
    pub tool: ToolName,
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What is said of a pin.
#[derive(Debug, clap::Args)]
struct Terms {
    /// When it ends by itself: `2h`, `3 days`, or a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = until)]
    until: Option<String>,
    /// Why, for whoever looks at the status
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Leave a tool alone until `resume`
///
/// Nothing is planned for it: no rollout, no repair, no prune. What runs keeps running.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge suspend wordcount --reason 'moving the database'
  toolforge suspend wordcount --until 2h")]
pub struct SuspendArgs {
    #[command(flatten)]
    of: OfTool,
    #[command(flatten)]
    terms: Terms,
}

/// Look after a suspended tool again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge resume wordcount")]
pub struct ResumeArgs {
    #[command(flatten)]
    of: OfTool,
}

/// Keep a tool at the revision that runs now
///
/// New commits wait until `release`. Manual changes are still reverted, to that revision.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge hold wordcount --until '3 days' --reason 'a workshop depends on it'")]
pub struct HoldArgs {
    #[command(flatten)]
    of: OfTool,
    #[command(flatten)]
    terms: Terms,
}

/// Follow the branch again, after `hold` or `rollback`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge release wordcount")]
pub struct ReleaseArgs {
    #[command(flatten)]
    of: OfTool,
}

/// Go back to an earlier revision, and stay there
///
/// To the one before the one that runs, or to the commit named: `toolforge history` lists them. New commits wait until
/// `release`; a one-off that has run does not run again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge rollback wordcount                    the deployment before
  toolforge rollback wordcount --to 35b594f --until 12h")]
pub struct RollbackArgs {
    #[command(flatten)]
    of: OfTool,
    /// A commit that was Ready once, or how it begins
    #[arg(long, value_name = "COMMIT")]
    to: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

/// Try a revision once more that was rolled back
///
/// A revision that did not become Ready is not tried again by itself until something changes. Where the reason lay
/// outside of it, this tries it again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge retry wordcount")]
pub struct RetryArgs {
    #[command(flatten)]
    of: OfTool,
}

pub async fn suspend(args: &SuspendArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let said = args.of.say(ui, "suspended", "suspend", &args.terms).await?;
    said.hint(&format!("Run `toolforge resume {}` when you are done.", args.of.tool));
    Ok(Exit::Done)
}

pub async fn resume(args: &ResumeArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut declared = false;
    let said = args.of.pin(ui, "resumed", |pin, tool| {
        declared = tool.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
        drop_words(pin, &["suspend"]);
        Ok(())
    });
    let said = said.await?;
    if declared {
        said.hint("It stays suspended by the config repository: remove `suspend` from its file there.");
    }
    Ok(Exit::Done)
}

pub async fn hold(args: &HoldArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let said = args.of.say(ui, "held", "hold", &args.terms).await?;
    said.hint(&format!("Run `toolforge release {}` to follow its branch again.", args.of.tool));
    Ok(Exit::Done)
}

pub async fn release(args: &ReleaseArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let released = |pin: &mut Map<String, Value>, _: &Value| {
        drop_words(pin, &["hold", "commit"]);
        Ok(())
    };
    args.of.pin(ui, "released", released).await?;
    Ok(Exit::Done)
}

pub async fn rollback(args: &RollbackArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut target = String::new();
    let back = |pin: &mut Map<String, Value>, tool: &Value| {
        target = earlier(tool, args.to.as_deref())?;
        pin.remove("hold");
        args.terms.add(pin, "commit", json!(target));
        Ok(())
    };
    let said = args.of.pin(ui, "rolled back", back).await?;
    let short = target.get(..7).unwrap_or(&target);
    said.hint(&format!(
        "It goes to {short} and stays there until `toolforge release {0}`; `toolforge status {0}` shows it.",
        args.of.tool
    ));
    Ok(Exit::Done)
}

pub async fn retry(args: &RetryArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let now = reconciler::pass::now().to_string();
    let again = |pin: &mut Map<String, Value>, _: &Value| {
        pin.insert("retry".to_owned(), json!(now));
        Ok(())
    };
    let said = args.of.pin(ui, "tried again", again).await?;
    said.hint(&format!("`toolforge status {}` shows how it goes.", args.of.tool));
    Ok(Exit::Done)
}

impl Terms {
    fn add(&self, pin: &mut Map<String, Value>, word: &str, value: Value) {
        pin.insert(word.to_owned(), value);
        let by: Vec<String> = user().into_iter().chain(self.reason.clone()).collect();
        for (key, value) in [("until", self.until.clone()), ("by", (!by.is_empty()).then(|| by.join(": ")))] {
            match value {
                Some(value) => pin.insert(key.to_owned(), json!(value)),
                None => pin.remove(key),
            };
        }
    }
}

/// Takes words back; who said it and until when goes with the last of them.
fn drop_words(pin: &mut Map<String, Value>, words: &[&str]) {
    for word in words {
        pin.remove(*word);
    }
    if !["suspend", "hold", "commit"].iter().any(|word| pin.contains_key(*word)) {
        pin.remove("until");
        pin.remove("by");
    }
}

/// The commit to go back to: one that was Ready, and is not the one that runs.
fn earlier(tool: &Value, to: Option<&str>) -> anyhow::Result<String> {
    let running = tool.pointer("/status/commit").and_then(Value::as_str).unwrap_or_default();
    let list = listed(tool.get("status"));
    let mut known: Vec<&str> = Vec::new();
    for entry in list.iter().filter(|entry| entry.deployment.state == State::Ready) {
        let commit = entry.deployment.commit.as_str();
        if commit != running && !known.contains(&commit) {
            known.push(commit);
        }
    }
    let short = |commit: &&str| commit.get(..7).unwrap_or(commit).to_owned();
    let all = || known.iter().map(short).collect::<Vec<_>>().join(", ");
    let Some(to) = to else {
        let nothing =
            || wrong_use("no other revision of this tool was ever Ready").hint("There is nothing to go back to.");
        return Ok(known.first().ok_or_else(nothing)?.to_string());
    };
    let mut fitting = known.iter().filter(|commit| commit.starts_with(&to.to_ascii_lowercase()));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok((*one).to_owned()),
        (None, _) if known.is_empty() => Err(wrong_use(format!("{to} was never Ready, nor was any other")).into()),
        (None, _) => {
            Err(wrong_use(format!("{to} is no revision that was Ready")).hint(format!("Those are: {}.", all())).into())
        }
        (Some(_), Some(_)) => {
            Err(wrong_use(format!("{to} begins several commits")).hint(format!("Name one of: {}.", all())).into())
        }
    }
}

impl OfTool {
    /// Adds a word to the pin, on these terms.
    async fn say<'u>(&self, ui: &'u Ui, told: &str, word: &str, terms: &Terms) -> anyhow::Result<&'u Ui> {
        let add = |pin: &mut Map<String, Value>, _: &Value| {
            terms.add(pin, word, json!(true));
            Ok(())
        };
        self.pin(ui, told, add).await
    }

    /// Changes the pin and says so. Everything else that was said of the tool stays.
    pub async fn pin<'u>(
        &self,
        ui: &'u Ui,
        word: &str,
        change: impl FnOnce(&mut Map<String, Value>, &Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<&'u Ui> {
        let connected = self.cluster.connect(None).await?;
        let tool = read(&connected, &self.tool).await?;
        let before = tool.pointer("/spec/pin").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut pin = before.clone();
        change(&mut pin, &tool)?;
        let spec = if pin.is_empty() { json!({}) } else { json!({"pin": pin}) };
        write(&connected, &self.tool, spec).await?;
        if let Err(error) = record(&connected, &tool, word, (&before, &pin)).await {
            ui.hint(&format!("It is not in `toolforge audit {}`: no Event could be written ({error}).", self.tool));
        }
        told(ui, &self.tool, word, &pin, &connected.cluster.name)?;
        Ok(ui)
    }
}

/// Says which image is to run for each of the tool's builds, by build id; what was chosen before is forgotten.
pub async fn choose_images(
    connected: &Connected,
    tool: &ToolName,
    images: &BTreeMap<String, StoredImage>,
) -> anyhow::Result<()> {
    let live = read(connected, tool).await?;
    let mut pin = live.pointer("/spec/pin").and_then(Value::as_object).cloned().unwrap_or_default();
    let before = pin.clone();
    pin.insert("images".to_owned(), json!(images));
    write(connected, tool, json!({"pin": pin})).await?;
    if let Err(error) = record(connected, &live, "run image chosen", (&before, &pin)).await {
        tracing::warn!(%tool, %error, "event was not recorded");
    }
    Ok(())
}

/// An Event for `toolforge audit`: who changed the pin, and which words of it.
async fn record(
    connected: &Connected,
    tool: &Value,
    word: &str,
    (before, pin): (&Map<String, Value>, &Map<String, Value>),
) -> Result<(), CallError> {
    let all: BTreeSet<&String> = before.keys().chain(pin.keys()).collect();
    let changed = all.into_iter().filter(|key| before.get(*key) != pin.get(*key));
    let fields: Vec<_> = changed.map(|key| format!("spec.pin.{key}")).collect();
    let new_word = pin.get("by").filter(|by| before.get("by") != Some(by)).and_then(Value::as_str);
    let by = new_word.map(str::to_owned).or_else(user).unwrap_or_else(|| "somebody".to_owned());
    let name = tool.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let (object, action) = (format!("tool/{name}"), Action::Configure.to_string());
    let written = Written { object, action, fields, more_fields: 0, failed: None };
    let who = Who::Pin(on_one_line(&by)).to_string();
    let told = Told { who, cause: word.to_owned(), objects: vec![written], more_objects: 0 };
    events::person_wrote(&connected.cluster.client, tool, told).await
}

fn user() -> Option<String> {
    std::env::var("USER").ok().filter(|user| !user.is_empty())
}

/// The Tool as it is in the cluster.
pub async fn read(connected: &Connected, tool: &ToolName) -> anyhow::Result<Value> {
    let found = reconciler::status::read(&connected.cluster.client, tool).await;
    let found = found.map_err(|error| unread("the tool", error))?;
    if let Some(found) = found {
        return Ok(found);
    }
    // Who may not list them is told without a near one.
    let all = tools(&connected.cluster.client).await.unwrap_or_default();
    Err(nobody(tool, all.iter().filter_map(|tool| tool.pointer("/metadata/name")?.as_str())).into())
}

fn told(ui: &Ui, tool: &ToolName, word: &str, pin: &Map<String, Value>, cluster: &str) -> anyhow::Result<()> {
    if ui.json {
        let suspended = pin.get("suspend").and_then(Value::as_bool) == Some(true);
        return ui.json(&json!({"tool": tool, "suspended": suspended, "pin": pin, "cluster": cluster}));
    }
    ui.data(&format!("{tool}  {word}  cluster: {cluster}\n"))
}

/// Applies what we say of the tool, and nothing else: what we said before and don't say now goes.
async fn write(connected: &Connected, tool: &ToolName, spec: Value) -> anyhow::Result<()> {
    let id = planner::tool_id(tool);
    let row = planner::kinds::Kind::of_id(&id).ok_or_else(|| failed("no kind Tool"))?;
    let body = json!({
        "apiVersion": "toolforge.org/v1alpha1",
        "kind": "Tool",
        "metadata": {"name": tool},
        "spec": spec,
    });
    let path = address::object(row, &id);
    let written = call::apply(&connected.cluster.client, &path, FIELD_MANAGER, &body).await;
    written.map_err(|error| failed(format!("cannot write on the tool {tool}")).because(error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> Value {
        let entry = |digit: &str, state: &str| json!({"id": digit, "commit": digit.repeat(40), "branch": "main", "state": state});
        let all = [("d", "failed"), ("c", "ready"), ("b", "ready"), ("c", "ready"), ("a", "superseded")];
        json!({"status": {"commit": "c".repeat(40), "deployments": all.map(|(digit, state)| entry(digit, state))}})
    }

    #[test]
    fn back_is_where_it_was_ready_before_what_runs() {
        assert_eq!(earlier(&tool(), None).expect("one"), "b".repeat(40));
        assert_eq!(earlier(&tool(), Some("BBBB")).expect("one"), "b".repeat(40));
        for never in ["d", "a", "0123"] {
            let error = earlier(&tool(), Some(never)).expect_err("it was never Ready");
            assert!(error.to_string().contains("is no revision that was Ready"), "{error}");
        }
    }

    #[test]
    fn terms_stay_while_any_word_stands() {
        let mut pin =
            json!({"suspend": true, "hold": true, "by": "me", "retry": "1"}).as_object().expect("a map").clone();
        drop_words(&mut pin, &["suspend"]);
        assert_eq!(Value::from(pin.clone()), json!({"hold": true, "by": "me", "retry": "1"}));
        drop_words(&mut pin, &["hold", "commit"]);
        assert_eq!(Value::from(pin), json!({"retry": "1"}));
    }
}
