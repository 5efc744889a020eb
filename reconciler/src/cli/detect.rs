//! `detect`: which of our buildpacks would make an image of a folder, and what each says.

use super::state;
use crate::ui::{Exit, Style, Table, Ui, failed, wrong_use};
use local::build::{BuildError, Builder, DETECT_SECS, Detected, Request, Verdict};
use local::cell::Door;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Say which buildpacks would make an image of a folder, and why
///
/// Asks each of the buildpacks that come with this program, as a build would: nothing is built or changed. Settings of
/// buildpacks are taken from the environment, where their names begin with BP_.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge detect                       this folder
  toolforge detect ~/wordcount --json | jq -r '.used[]'
  BP_DEB_PACKAGES=tesseract-ocr toolforge detect

Exit code: 0 an image can be made, 2 no buildpack knows this folder, 3 failed.")]
pub struct Args {
    /// The folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// A buildpack to use, in order; none lets each say whether it is needed
    #[arg(long = "buildpack", value_name = "ID")]
    buildpacks: Vec<String>,
    /// Where buildpacks are unpacked
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let source = std::fs::canonicalize(&args.path).ok().filter(|path| path.is_dir());
    let source = source.ok_or_else(|| {
        let hint = "Name the folder with the tool's source.";
        wrong_use(format!("{} is no folder that can be read", args.path.display())).hint(hint)
    })?;
    let request = Request {
        name: format!("detect {}", source.display()),
        source,
        buildpacks: args.buildpacks.clone(),
        settings: std::env::vars().filter(|(name, _)| name.starts_with("BP_")).collect(),
        machine: BTreeMap::new(),
        run_image: None,
        fresh: false,
        detect_secs: DETECT_SECS,
        build_secs: 0,
    };
    let detected =
        detect(&state::folder(args.state.as_deref()), &request).await.map_err(|error| not_asked(&args.path, error))?;
    let used: Vec<_> = detected.group.iter().map(|pack| &pack.id).collect();
    if ui.json {
        ui.json(&json!({"used": used, "tried": detected.tried}))?;
    } else {
        ui.data(&table(&detected, ui))?;
    }
    if used.is_empty() {
        let error = BuildError::NoneDetected { tried: Vec::new() };
        return Err(wrong_use("no buildpack knows what to do with this folder").hint(error.hint()).into());
    }
    Ok(Exit::Done)
}

async fn detect(state: &Path, request: &Request) -> Result<Detected, BuildError> {
    Builder::new(Door::ourselves().await, state)?.detect(request).await
}

fn not_asked(path: &Path, error: BuildError) -> anyhow::Error {
    let hint = error.hint();
    failed(format!("cannot ask the buildpacks about {}", path.display())).because(error).hint(hint).into()
}

fn table(detected: &Detected, ui: &Ui) -> String {
    let mut table = Table::new(&["BUILDPACK", "USED", "WHY"]);
    for tried in &detected.tried {
        let (word, style) = match tried.verdict {
            Verdict::Used => ("yes", Some(Style::Good)),
            Verdict::NotNeeded | Verdict::Unmatched => ("no", Some(Style::Faint)),
        };
        table.row(vec![(tried.id.clone(), None), (word.to_owned(), style), (tried.reason.clone(), None)]);
    }
    table.print(ui)
}
