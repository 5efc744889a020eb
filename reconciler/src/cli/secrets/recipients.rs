//! `secrets recipients`: to whom values are encrypted from now on.

use super::commands::tell;
use super::shelf::Shelf;
use super::{Change, RecipientsArgs, given};
use crate::ui::{Exit, Failure, Ui, counted, wrong_use};
use reconciler::secrets::Recipients;
use renderer::diagnostic::shown;
use renderer::secrets::{SecretsFile, limits};
use serde_json::json;

/// Those of the file, if each is one.
pub(super) fn of(file: &SecretsFile) -> Result<Recipients, Failure> {
    let hint = "Correct it under `recipients:`.";
    let read = Recipients::read(file.recipients.iter().map(String::as_str));
    read.map_err(|error| wrong_use("nothing can be encrypted").hint(hint).because(error))
}

pub(super) fn run(args: &RecipientsArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut shelf = Shelf::open(&args.here, ui)?;
    let mut file = shelf.file()?.clone();
    match &args.what {
        None if ui.json => {
            ui.json(&json!({"platform": file.platform, "recipients": file.recipients}))?;
            return Ok(Exit::Done);
        }
        None => {
            ui.data(&file.recipients.iter().map(|one| format!("{one}\n")).collect::<String>())?;
            return Ok(Exit::Done);
        }
        Some(Change::Add { recipients }) => add(&mut file, recipients)?,
        Some(Change::Remove { recipients, force }) => remove(&mut file, recipients, *force)?,
    }
    of(&file)?;
    let count = file.recipients.len();
    shelf.file = Some(file);
    shelf.write()?;
    let path = shelf.path.display();
    tell(&shelf, &[], &[], &format!("{path} has {}", counted(count, "recipient")), ui)?;
    ui.hint("Values that are there stay as they are: run `toolforge secrets rotate` to encrypt them anew.");
    Ok(Exit::Done)
}

fn add(file: &mut SecretsFile, recipients: &[String]) -> Result<(), Failure> {
    recipients.iter().try_for_each(|one| given::recipient(one, "add"))?;
    let new: Vec<_> = recipients.iter().filter(|one| !file.recipients.contains(one)).cloned().collect();
    file.recipients.extend(new);
    if file.recipients.len() > limits::RECIPIENTS {
        let message =
            format!("{} recipients are too many; at most {} are allowed", file.recipients.len(), limits::RECIPIENTS);
        return Err(wrong_use(message).hint("Remove one first: `toolforge secrets recipients remove age1...`."));
    }
    Ok(())
}

/// The file does not say whose a key is. But `set` makes it with the platform's keys before a person can add one, so the
/// first is the platform's; whoever replaced it by hand, or after the platform's key changed, knows better.
fn remove(file: &mut SecretsFile, recipients: &[String], force: bool) -> Result<(), Failure> {
    recipients.iter().try_for_each(|one| given::recipient(one, "remove"))?;
    if let Some(strange) = recipients.iter().find(|one| !file.recipients.contains(one)) {
        let message = format!("{} is no recipient of the file", shown(strange));
        return Err(wrong_use(message).hint("Run `toolforge secrets recipients` to see them."));
    }
    if let Some(first) = file.recipients.first().filter(|first| recipients.contains(first) && !force) {
        let message = format!("{first} stands first, as the key of platform {} does", file.platform);
        let hint = "Without its key the platform opens nothing that is set from now on; `--force` removes one that is not its key, or no longer.";
        return Err(wrong_use(message).hint(hint));
    }
    file.recipients.retain(|one| !recipients.contains(one));
    Ok(())
}
