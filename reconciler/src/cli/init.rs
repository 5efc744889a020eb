//! `init`: the first `toolforge.yaml`, from what is already there.

use super::place;
use crate::ui::{Exit, Ui, wrong_use};
use renderer::Files;
use renderer::config::ParseContext;
use std::path::PathBuf;

/// Write a first `toolforge.yaml`
///
/// A Procfile or a service.template that is already there is turned into it; otherwise a starter with comments is
/// written. An existing toolforge.yaml is left alone unless you say `--force`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge init                 in this folder
  toolforge init ~/wordcount     in that one")]
pub struct Args {
    /// Folder of the tool
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// Write over an existing toolforge.yaml
    #[arg(long)]
    force: bool,
}

const STARTER: &str = include_str!("init/starter.yaml");

pub fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    if !args.folder.is_dir() {
        let message = format!("{} is no folder", args.folder.display());
        return Err(wrong_use(message).hint("Name the folder that your tool's files are in.").into());
    }
    let target = args.folder.join("toolforge.yaml");
    if target.symlink_metadata().is_ok() && !args.force {
        let message = format!("{} exists already", target.display());
        return Err(wrong_use(message).hint("Run `toolforge check` to look at it, or add `--force`.").into());
    }
    let (text, from) = contents(args)?;
    place::write(&target, text.as_bytes())?;
    if ui.json {
        ui.json(&serde_json::json!({"file": target, "from": from}))?;
        return Ok(Exit::Done);
    }
    ui.data(&format!("wrote {} from {from}\n", target.display()))?;
    ui.hint("Run `toolforge check`, then commit the file.");
    Ok(Exit::Done)
}

/// The file's text, and what it was made from.
fn contents(args: &Args) -> anyhow::Result<(String, &'static str)> {
    let read = |name: &str| place::read_if_there(&args.folder.join(name));
    let files = Files { procfile: read("Procfile")?, service_template: read("service.template")?, ..Files::default() };
    let from = match &files {
        Files { procfile: Some(_), .. } => "Procfile",
        Files { service_template: Some(_), .. } => "service.template",
        _ => return Ok((STARTER.to_owned(), "the starter")),
    };
    let inferred = renderer::infer::infer(&files, &ParseContext::default());
    match inferred.filter(|inferred| inferred.report.is_good()) {
        Some(inferred) => Ok((renderer::infer::to_yaml(&inferred.config), from)),
        None => {
            let message = format!("{} can't be understood", args.folder.join(from).display());
            Err(wrong_use(message).hint("Run `toolforge check` to see why.").into())
        }
    }
}
