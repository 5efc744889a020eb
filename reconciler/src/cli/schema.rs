//! `schema`: the JSON Schema of `toolforge.yaml`, for editors.

use crate::ui::{Exit, Ui};

/// Print the JSON Schema of `toolforge.yaml`, for your editor
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge schema > toolforge.schema.json
  # and as the first line of toolforge.yaml, for editors that speak to yaml-language-server:
  # yaml-language-server: $schema=toolforge.schema.json")]
pub struct Args {}

pub fn run(_: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    ui.json(&renderer::json_schema::schema())?;
    Ok(Exit::Done)
}
