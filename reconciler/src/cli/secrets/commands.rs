//! What each command does with the file.

use super::shelf::{Shelf, seal, standing};
use super::{EditArgs, GetArgs, ListArgs, RmArgs, RotateArgs, SetArgs, given, recipients, typed};
use crate::ui::{Exit, Failure, Style, Table, Ui, counted, wrong_use};
use renderer::Secret;
use renderer::config::{ParseContext, parse};
use renderer::secrets::{Record, SecretsFile, limits};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;

/// What became of the file.
#[derive(Serialize)]
struct Written<'a> {
    file: String,
    changed: Vec<&'a str>,
    platform: &'a str,
    /// For which what was set counts.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tools: &'a [String],
    recipients: usize,
}

/// What was written: for people as it is `said`.
pub(super) fn tell(shelf: &Shelf, changed: &[&str], tools: &[String], said: &str, ui: &Ui) -> anyhow::Result<()> {
    let file = shelf.file()?;
    let (platform, recipients) = (file.platform.as_str(), file.recipients.len());
    if ui.json {
        let file = shelf.path.display().to_string();
        return ui.json(&Written { file, changed: changed.to_vec(), platform, tools, recipients });
    }
    ui.data(&format!("{said}\n"))
}

/// What values were made for whom, and who can read them.
fn encrypted(shelf: &Shelf, what: &str, tools: &[String]) -> Result<String, Failure> {
    let SecretsFile { platform, recipients, .. } = shelf.file()?;
    let whose = match tools {
        [] => String::new(),
        [one] => format!(" for tool {one} of platform {platform}"),
        several => format!(" for tools {} of platform {platform}", several.join(", ")),
    };
    let path = shelf.path.display();
    Ok(format!("{what} in {path}{whose}, encrypted to {}", counted(recipients.len(), "recipient")))
}

pub(super) async fn set(args: &SetArgs, ui: &Ui) -> anyhow::Result<Exit> {
    given::variable(&args.key)?;
    if !args.value.is_empty() {
        return Err(given::value(&args.key).into());
    }
    let mut shelf = Shelf::open(&args.here, ui)?;
    given::unreserved(&args.key, None)?;
    let tools = [shelf.tool()?.to_string()];
    let (file, platform) = args.platform.current(shelf.file.as_ref(), ui).await?;
    given::unreserved(&args.key, platform.as_ref())?;
    if file.values.len() >= limits::VALUES && !file.values.contains_key(&args.key) {
        let message = format!("the file holds {} values; more are not allowed", file.values.len());
        return Err(wrong_use(message).hint("Remove what nobody uses: `toolforge secrets list`.").into());
    }
    // Who can't be encrypted to is told before anything is asked.
    recipients::of(&file)?;
    let value = typed::value(&args.key, ui)?;
    shelf.put(&args.key, &tools, value, file)?;
    shelf.write()?;
    tell(&shelf, &[&args.key], &tools, &encrypted(&shelf, &format!("{} is set", args.key), &tools)?, ui)?;
    if declared(&shelf).contains(&args.key) {
        ui.hint("Commit the file; the components that use it restart with the new value.");
    } else {
        ui.hint(&format!("Name {} under `secrets:` in toolforge.yaml, and commit both files.", args.key));
    }
    Ok(Exit::Done)
}

/// The variables that toolforge.yaml declares, of the tool and of its components.
fn declared(shelf: &Shelf) -> BTreeSet<String> {
    let config = parse(&shelf.place.worktree.files, &ParseContext::default()).config;
    let of_components = config.components.values().flat_map(|component| &component.secrets);
    config.secrets.iter().chain(of_components).cloned().collect()
}

pub(super) fn get(args: &GetArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let args = &args.one;
    given::variable(&args.key)?;
    let shelf = Shelf::open(&args.here, ui)?;
    shelf.sealed(&args.key)?;
    let value = shelf.opened(&args.key, &args.reader.identities("get")?)?.value;
    let text = match ui.json {
        true => format!("{}\n", json!({"key": args.key, "value": value.reveal()})),
        false => format!("{}\n", value.reveal()),
    };
    ui.raw(&Secret::new(text))?;
    Ok(Exit::Done)
}

/// One variable.
#[derive(Serialize)]
struct Listed {
    key: String,
    /// Whether toolforge.yaml asks for it.
    declared: bool,
    /// `encrypted`, `flawed`, or `elsewhere`: not in the file.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(super) fn list(args: &ListArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let shelf = Shelf::open(&args.here, ui)?;
    let (declared, nothing) = (declared(&shelf), SecretsFile::default());
    let values = &shelf.file.as_ref().unwrap_or(&nothing).values;
    let keys: BTreeSet<&String> = values.keys().chain(&declared).collect();
    let rows = keys.into_iter().map(|key| {
        let (state, why) = match values.get(key).map(|standing| &standing.sealed) {
            Some(Ok(_)) => ("encrypted", None),
            Some(Err(flaw)) => ("flawed", Some(flaw.to_string())),
            None => ("elsewhere", None),
        };
        Listed { key: key.clone(), declared: declared.contains(key), state, why }
    });
    let rows: Vec<Listed> = rows.collect();
    let exit = if shelf.good { Exit::Done } else { Exit::WrongUse };
    if ui.json {
        ui.json(&rows)?;
        return Ok(exit);
    }
    let mut table = Table::new(&["NAME", "VALUE", ""]);
    for row in &rows {
        let (style, told) = match (row.state, row.declared) {
            ("flawed", _) => (Style::Bad, row.why.clone().unwrap_or_default()),
            ("elsewhere", _) => {
                (Style::Faint, format!("not in the file: `toolforge secrets set {}`, or on the cluster", row.key))
            }
            (_, false) => (Style::Faint, "toolforge.yaml does not name it".to_owned()),
            _ => (Style::Good, String::new()),
        };
        table.row(vec![(row.key.clone(), None), (row.state.to_owned(), Some(style)), (told, None)]);
    }
    if rows.is_empty() {
        ui.hint("Set a first value: `toolforge secrets set NAME`.");
    } else {
        ui.data(&table.print(ui))?;
    }
    Ok(exit)
}

pub(super) fn edit(args: &EditArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let args = &args.one;
    given::variable(&args.key)?;
    let mut shelf = Shelf::open(&args.here, ui)?;
    shelf.sealed(&args.key)?;
    let identities = args.reader.identities("edit")?;
    let Record { value: before, tools, .. } = shelf.opened(&args.key, &identities)?;
    recipients::of(shelf.file()?)?;
    let after = typed::edited(&args.key, &before)?;
    if after == before {
        tell(&shelf, &[], &tools, &encrypted(&shelf, &format!("{} is as it was", args.key), &tools)?, ui)?;
        return Ok(Exit::Done);
    }
    let file = shelf.file()?.clone();
    shelf.put(&args.key, &tools, after, file)?;
    shelf.write()?;
    tell(&shelf, &[&args.key], &tools, &encrypted(&shelf, &format!("{} is set", args.key), &tools)?, ui)?;
    Ok(Exit::Done)
}

pub(super) fn rm(args: &RmArgs, ui: &Ui) -> anyhow::Result<Exit> {
    args.keys.iter().try_for_each(|key| given::variable(key).map(|_| ()))?;
    let mut shelf = Shelf::open(&args.here, ui)?;
    let mut file = shelf.file()?.clone();
    for key in &args.keys {
        if file.values.remove(key).is_none() {
            return Err(shelf.none_of(key).into());
        }
    }
    shelf.file = Some(file);
    shelf.write()?;
    let keys: Vec<&str> = args.keys.iter().map(String::as_str).collect();
    let are = if keys.len() == 1 { "is" } else { "are" };
    let file = shelf.path.display();
    tell(&shelf, &keys, &[], &format!("{} {are} removed from {file}", keys.join(", ")), ui)?;
    ui.hint("It stays in the git history, encrypted: make it invalid where it was valid, too.");
    Ok(Exit::Done)
}

pub(super) async fn rotate(args: &RotateArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut shelf = Shelf::open(&args.here, ui)?;
    let identities = args.reader.identities("rotate")?;
    let (mut file, _) = args.platform.current(Some(shelf.file()?), ui).await?;
    recipients::of(&file)?;
    let keys: Vec<String> = file.values.keys().cloned().collect();
    for key in &keys {
        let sealed = seal(&file, &shelf.opened(key, &identities)?)?;
        file.values.insert(key.clone(), standing(sealed));
    }
    shelf.file = Some(file);
    shelf.write()?;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let what = format!("{} encrypted anew", counted(keys.len(), "value"));
    tell(&shelf, &names, &[], &encrypted(&shelf, &what, &[])?, ui)?;
    Ok(Exit::Done)
}
