//! What each command does with the file.

use super::shelf::{Shelf, seal, standing};
use super::{Change, EditArgs, GetArgs, ListArgs, RecipientsArgs, RmArgs, RotateArgs, SetArgs, given, typed};
use crate::ui::{Exit, Style, Table, Ui, wrong_use};
use reconciler::secrets::Recipients;
use renderer::Secret;
use renderer::config::{ParseContext, parse};
use renderer::secrets::{SecretsFile, limits};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;

/// What became of the file.
#[derive(Serialize)]
struct Written<'a> {
    file: String,
    changed: Vec<&'a str>,
    recipients: usize,
}

fn tell(shelf: &Shelf, changed: &[&str], what: &str, ui: &Ui) -> anyhow::Result<()> {
    let (file, recipients) = (shelf.path.display().to_string(), shelf.file()?.recipients.len());
    if ui.json {
        return ui.json(&Written { file, changed: changed.to_vec(), recipients });
    }
    ui.data(&format!("{what} in {file}, for {}\n", counted(recipients, "recipient")))
}

fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

pub(super) async fn set(args: &SetArgs, ui: &Ui) -> anyhow::Result<Exit> {
    given::variable(&args.key)?;
    if !args.value.is_empty() {
        return Err(given::value(&args.key).into());
    }
    let mut shelf = Shelf::open(&args.here, ui)?;
    given::unreserved(&args.key, None)?;
    let (file, platform) = args.platform.current(shelf.file.as_ref(), ui).await?;
    given::unreserved(&args.key, platform.as_ref())?;
    if file.values.len() >= limits::VALUES && !file.values.contains_key(&args.key) {
        let message = format!("the file holds {} values; more are not allowed", file.values.len());
        return Err(wrong_use(message).hint("Remove what nobody uses: `toolforge secrets list`.").into());
    }
    // Who can't be encrypted to is told before anything is asked.
    recipients_of(&file)?;
    let value = typed::value(&args.key, ui)?;
    shelf.put(&args.key, value, file)?;
    shelf.write()?;
    tell(&shelf, &[&args.key], &format!("{} is set", args.key), ui)?;
    if declared(&shelf).contains(&args.key) {
        ui.hint("Commit the file; the components that use it restart with the new value.");
    } else {
        ui.hint(&format!("Name {} under `secrets:` in toolforge.yaml, and commit both files.", args.key));
    }
    Ok(Exit::Done)
}

fn recipients_of(file: &SecretsFile) -> anyhow::Result<Recipients> {
    let hint = "Correct it under `recipients:`.";
    let read = Recipients::read(file.recipients.iter().map(String::as_str));
    Ok(read.map_err(|error| wrong_use("nothing can be encrypted").hint(hint).because(error))?)
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
    if ui.json {
        ui.json(&rows)?;
        return Ok(Exit::Done);
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
    Ok(Exit::Done)
}

pub(super) fn edit(args: &EditArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let args = &args.one;
    given::variable(&args.key)?;
    let mut shelf = Shelf::open(&args.here, ui)?;
    shelf.sealed(&args.key)?;
    let identities = args.reader.identities("edit")?;
    let before = shelf.opened(&args.key, &identities)?.value;
    recipients_of(shelf.file()?)?;
    let after = typed::edited(&args.key, &before)?;
    if after == before {
        tell(&shelf, &[], &format!("{} is as it was", args.key), ui)?;
        return Ok(Exit::Done);
    }
    let file = shelf.file()?.clone();
    shelf.put(&args.key, after, file)?;
    shelf.write()?;
    tell(&shelf, &[&args.key], &format!("{} is set", args.key), ui)?;
    Ok(Exit::Done)
}

pub(super) fn rm(args: &RmArgs, ui: &Ui) -> anyhow::Result<Exit> {
    args.keys.iter().try_for_each(|key| given::variable(key).map(|_| ()))?;
    let mut shelf = Shelf::open(&args.here, ui)?;
    let mut file = shelf.file()?.clone();
    for key in &args.keys {
        if file.values.remove(key).is_none() {
            return Err(wrong_use(format!("{} holds no `{key}`", shelf.path.display()))
                .hint("Run `toolforge secrets list` to see what there is; nothing was removed.")
                .into());
        }
    }
    shelf.file = Some(file);
    shelf.write()?;
    let keys: Vec<&str> = args.keys.iter().map(String::as_str).collect();
    tell(&shelf, &keys, &format!("{} removed", keys.join(", ")), ui)?;
    ui.hint("It stays in the git history, encrypted: make it invalid where it was valid, too.");
    Ok(Exit::Done)
}

pub(super) async fn rotate(args: &RotateArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut shelf = Shelf::open(&args.here, ui)?;
    let identities = args.reader.identities("rotate")?;
    let (mut file, _) = args.platform.current(Some(shelf.file()?), ui).await?;
    recipients_of(&file)?;
    let keys: Vec<String> = file.values.keys().cloned().collect();
    for key in &keys {
        let sealed = seal(&file, &shelf.opened(key, &identities)?)?;
        file.values.insert(key.clone(), standing(sealed));
    }
    shelf.file = Some(file);
    shelf.write()?;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    tell(&shelf, &names, &format!("{} encrypted anew", counted(keys.len(), "value")), ui)?;
    Ok(Exit::Done)
}

pub(super) fn recipients(args: &RecipientsArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut shelf = Shelf::open(&args.here, ui)?;
    let mut file = shelf.file()?.clone();
    match &args.what {
        None => {
            if ui.json {
                ui.json(&json!({"platform": file.platform, "recipients": file.recipients}))?;
            } else {
                ui.data(&file.recipients.iter().map(|one| format!("{one}\n")).collect::<String>())?;
            }
            return Ok(Exit::Done);
        }
        Some(Change::Add { recipients }) => {
            recipients.iter().try_for_each(|one| given::recipient(one, "add"))?;
            let new = recipients.iter().filter(|one| !file.recipients.contains(one)).cloned().collect::<Vec<_>>();
            file.recipients.extend(new);
        }
        Some(Change::Remove { recipients }) => {
            recipients.iter().try_for_each(|one| given::recipient(one, "remove"))?;
            if let Some(strange) = recipients.iter().find(|one| !file.recipients.contains(one)) {
                let message = format!("{} is no recipient of the file", renderer::diagnostic::shown(strange));
                return Err(wrong_use(message).hint("Run `toolforge secrets recipients` to see them.").into());
            }
            file.recipients.retain(|one| !recipients.contains(one));
        }
    }
    if file.recipients.len() > limits::RECIPIENTS {
        let message =
            format!("{} recipients are too many; at most {} are allowed", file.recipients.len(), limits::RECIPIENTS);
        return Err(wrong_use(message).hint("Remove one first.").into());
    }
    recipients_of(&file)?;
    let changed = file.recipients.len();
    shelf.file = Some(file);
    shelf.write()?;
    tell(&shelf, &[], &format!("{} stand", counted(changed, "recipient")), ui)?;
    ui.hint("Values that are there stay as they are: run `toolforge secrets rotate` to encrypt them anew.");
    Ok(Exit::Done)
}
