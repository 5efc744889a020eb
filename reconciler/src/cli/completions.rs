//! `completions`: what a shell needs to complete our command line.

use crate::ui::{Exit, Ui};
use clap::CommandFactory as _;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge completions bash > ~/.local/share/bash-completion/completions/toolforge
  toolforge completions fish > ~/.config/fish/completions/toolforge.fish")]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "toolforge", &mut script);
    let script = String::from_utf8_lossy(&script);
    if ui.json {
        ui.json(&serde_json::json!({"shell": args.shell.to_string(), "script": script}))?;
    } else {
        ui.data(&script)?;
    }
    Ok(Exit::Done)
}
