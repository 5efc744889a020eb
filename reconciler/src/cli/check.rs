//! `check`: is this file good? Findings are talk, the summary is data.

mod credentials;
mod licence;
mod sealed;

use super::local::{self, Local, LocalArgs};
use super::place::{self, OperatorsFile, OperatorsKind, Place, ToolPlace};
use crate::ui::{Exit, Style, Table, Ui, counted, wrong_use};
use reconciler::source::config_repo::{self, PlatformFolder};
use renderer::config::Parsed;
use renderer::credentials::without_tokens;
use renderer::{Diagnostic, Rendered, Report};
use serde::Serialize;
use serde_json::json;
use std::path::Path;

/// Check a `toolforge.yaml`, or a whole config repository
///
/// Everything that is wrong is told at once, with its line; of a folder also credentials that stand in the clear in a file
/// that git holds or would take in. Notes are worth knowing and don't fail. Works without a cluster, a registry and the
/// network.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge check                               the tool in this folder
  toolforge check ~/wordcount/toolforge.yaml    one file
  toolforge check --platform platform.yaml      by the rules of that platform
  toolforge check config-repository/            platform.yaml and every file of tools/

Exit code: 0 it is good, 2 something is wrong.")]
pub struct Args {
    #[command(flatten)]
    local: LocalArgs,
    /// Notes fail, too
    #[arg(long)]
    strict: bool,
}

/// What was found in one file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    good: bool,
    #[serde(flatten)]
    found: Found,
    diagnostics: Vec<Diagnostic>,
}

/// What a file describes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Found {
    /// A tool's own file.
    Components(Components),
    /// `platform.yaml`; its name where it could be read.
    Platform(Option<String>),
    /// A file of `tools/`; its name where it could be read.
    Tool(Option<String>),
    /// A file of `policies/`; whether nothing is wrong with it.
    Rule(bool),
    /// A file of `signers/`; whether nothing is wrong with it.
    Signers(bool),
}

#[derive(Debug, Serialize)]
struct Components {
    tool: String,
    good: Vec<Component>,
    withheld: Vec<renderer::Withheld>,
}

#[derive(Debug, Serialize)]
struct Component {
    name: String,
    kind: renderer::rendered::ComponentKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
}

pub fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let place = place::look(&args.local.path).inspect_err(|error| {
        if ui.json {
            // The error itself is told to people; a program that reads stdout must not find it empty.
            let told = json!({"file": args.local.path, "good": false, "error": without_tokens(&error.to_string())});
            let _ = ui.json(&told);
        }
    });
    let all = match place? {
        Place::Tool(place) => vec![tool(args, *place, ui)?],
        Place::Operators(file) => vec![operators(&file, &file.file.display().to_string(), ui)],
        Place::ConfigRepository(folder) => repository(&folder, ui)?,
    };
    let fails = |checked: &Checked| !checked.good || args.strict && !checked.diagnostics.is_empty();
    let exit = if all.iter().any(fails) { Exit::WrongUse } else { Exit::Done };
    match (ui.json, all.as_slice()) {
        (true, [one]) => ui.json(one)?,
        (true, many) => ui.json(&many)?,
        (false, [one]) => ui.data(&summary(one, ui))?,
        (false, many) => ui.data(&overview(many, ui))?,
    }
    if !ui.json && exit == Exit::WrongUse && all.iter().all(|checked| checked.good) {
        ui.hint("Correct what the notes say, or leave out `--strict`.");
    }
    Ok(exit)
}

fn tool(args: &Args, place: ToolPlace, ui: &Ui) -> anyhow::Result<Checked> {
    let local = Local::new(&args.local, place, ui)?;
    let (parsed, rendered) = local.render(args.local.platform.is_some());
    let mut report = local.report(&rendered);
    if args.local.path.is_dir() {
        credentials::add(&local.place, &mut report, ui);
        licence::add(&local, &mut report);
        if args.local.platform.is_some() {
            sealed::add(&local, &mut report);
        }
    }
    tell(&report, &local.sources(), ui);
    let file = local.place.file.display().to_string();
    let found = Found::Components(components(&local, &parsed, &rendered));
    Ok(Checked { file, good: report.is_good(), found, diagnostics: report.diagnostics })
}

/// Findings stand in the JSON; they are said only where it is people who listen.
fn tell(report: &Report, sources: &[(String, &[u8])], ui: &Ui) {
    if !ui.json {
        local::tell(report, sources, ui);
    }
}

fn components(local: &Local, parsed: &Parsed, rendered: &Rendered) -> Components {
    let live = |name: &str| rendered.components.iter().any(|component| component.name.as_str() == name);
    let good = parsed.config.components.iter().filter(|(name, _)| live(name.as_str()));
    let good = good.map(|(name, component)| component_row(local, name.as_str(), component)).collect();
    Components { tool: local.tool.name.to_string(), good, withheld: rendered.withheld.clone() }
}

fn component_row(local: &Local, name: &str, component: &renderer::config::Component) -> Component {
    use renderer::config::RunKind;
    let host = format!("https://{}.{}", local.tool.name, local.platform.domain);
    let (published, schedule) = match &component.run.kind {
        RunKind::Continuous { publish, .. } => (publish.first().map(|path| format!("{host}{path}")), None),
        RunKind::Scheduled { schedule, .. } => (None, Some(schedule.clone())),
        RunKind::OneOff { .. } => (None, None),
    };
    Component { name: name.to_owned(), kind: component.run.kind.component_kind(), published, schedule }
}

fn operators(file: &OperatorsFile, name: &str, ui: &Ui) -> Checked {
    let (found, report) = match file.kind {
        OperatorsKind::Platform => {
            let (platform, report) = renderer::platform::parse(&file.bytes, name);
            (Found::Platform(platform.map(|platform| platform.name)), report)
        }
        OperatorsKind::Tool => {
            let (tool, report) = renderer::tool::parse(&file.bytes, name);
            (Found::Tool(tool.map(|tool| tool.name.to_string())), report)
        }
    };
    tell(&report, &[(name.to_owned(), file.bytes.as_slice())], ui);
    Checked { file: name.to_owned(), good: report.is_good(), found, diagnostics: report.diagnostics }
}

/// Every platform of a config repository, and every file of each, in name order.
fn repository(folder: &Path, ui: &Ui) -> anyhow::Result<Vec<Checked>> {
    let read = config_repo::read_folder(folder);
    let read = read.map_err(|error| wrong_use(format!("cannot read {}", folder.display())).because(error))?;
    if read.platforms.is_empty() {
        return Err(wrong_use(format!("{} has no platform.yaml", folder.display())).into());
    }
    Ok(read.platforms.iter().flat_map(|platform| platform_folder(platform, ui)).collect())
}

fn platform_folder(platform: &PlatformFolder, ui: &Ui) -> Vec<Checked> {
    let texts: Vec<_> = platform.texts.iter().map(|(name, text)| (name.clone(), text.as_slice())).collect();
    tell(&platform.report, &texts, ui);
    let within =
        |name: &str| if platform.path.is_empty() { name.to_owned() } else { format!("{}/{name}", platform.path) };
    let good = |tool: &renderer::Tool| (within(&format!("tools/{}.yaml", tool.name)), Some(tool.name.to_string()));
    let tools = platform.tools.iter().map(good).chain(platform.unreadable.iter().map(|file| (file.file.clone(), None)));
    let wrong = |file: &str| platform.report.errors().any(|found| found.file == file);
    let rules = platform.rule_files.keys().map(|file| (file.clone(), Found::Rule(!wrong(file))));
    let signers = platform.signers.keys().map(|name| within(&format!("{}/{name}", renderer::signers::FOLDER)));
    let signers = signers.map(|file| (file.clone(), Found::Signers(!wrong(&file))));
    let mut files: Vec<_> = tools.map(|(file, name)| (file, Found::Tool(name))).chain(rules).chain(signers).collect();
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    let settings = Found::Platform(platform.platform.as_ref().map(|platform| platform.name.clone()));
    files.insert(0, (within("platform.yaml"), settings));
    let of = |file: &str| platform.report.diagnostics.iter().filter(|found| found.file == file).cloned().collect();
    let checked = files.into_iter().map(|(file, found)| {
        let good = !matches!(found, Found::Tool(None) | Found::Platform(None)) && !wrong(&file);
        Checked { diagnostics: of(&file), file, good, found }
    });
    checked.collect()
}

fn summary(checked: &Checked, ui: &Ui) -> String {
    let mut text = String::new();
    if let Found::Components(found) = &checked.found {
        let mut table = Table::new(&[]);
        for component in &found.good {
            let more = component.published.clone().or(component.schedule.clone()).unwrap_or_default();
            let kind = word(component.kind);
            table.row(vec![("ok".into(), Some(Style::Good)), (component.name.clone(), None), kind, (more, None)]);
        }
        for withheld in &found.withheld {
            let why = (withheld.why.clone(), Some(Style::Faint));
            let name = (withheld.component.clone(), None);
            table.row(vec![("withheld".into(), Some(Style::Bad)), name, (String::new(), None), why]);
        }
        text.push_str(table.print(ui).trim_start_matches('\n'));
    }
    format!("{text}{}: {}\n", checked.file, counts(checked, ui))
}

fn word(kind: renderer::rendered::ComponentKind) -> (String, Option<Style>) {
    let text = serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned));
    (text.unwrap_or_default(), None)
}

fn overview(all: &[Checked], ui: &Ui) -> String {
    let mut table = Table::new(&[]);
    for checked in all {
        let (word, style) = if checked.good { ("ok", Style::Good) } else { ("wrong", Style::Bad) };
        let told = if checked.good && checked.diagnostics.is_empty() { String::new() } else { counts(checked, ui) };
        table.row(vec![(word.into(), Some(style)), (checked.file.clone(), None), (told, None)]);
    }
    let wrong = all.iter().filter(|checked| !checked.good).count();
    let tail = match wrong {
        0 => ui.data_in(Style::Good, "all good"),
        wrong => ui.data_in(Style::Bad, &format!("{wrong} wrong")),
    };
    format!("{}{} files, {tail}\n", table.print(ui).trim_start_matches('\n'), all.len())
}

/// `good, 2 notes`, or `1 error, 2 notes`.
fn counts(checked: &Checked, ui: &Ui) -> String {
    let report = Report { diagnostics: checked.diagnostics.clone() };
    let (errors, notes) = (report.errors().count(), report.notes().count());
    let verdict = match errors {
        0 => ui.data_in(Style::Good, "good"),
        _ => ui.data_in(Style::Bad, &counted(errors, "error")),
    };
    if notes == 0 { verdict } else { format!("{verdict}, {}", counted(notes, "note")) }
}
