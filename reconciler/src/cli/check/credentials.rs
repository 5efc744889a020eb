//! Credentials in the clear, in everything of a tool's folder that git holds or would take in. What git ignores is where
//! such things belong.

use crate::cli::place::ToolPlace;
use crate::ui::Ui;
use reconciler::source::worktree;
use renderer::credentials::scan;
use renderer::diagnostic::{Code, Place};
use renderer::{Diagnostic, Report, Severity};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Larger files are data.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Files that are looked at; and bytes of all of them.
const MAX_FILES: usize = 20_000;
const MAX_BYTES: usize = 64 << 20;
/// Findings that are listed: who has more has a folder of keys.
const MAX_FOUND: usize = 50;
/// Who writes this on a line says that what stands there opens nothing: a key of a test.
const ALLOWED: &str = "not a secret";
/// Here what stands unquoted behind a name is its value.
const SETTINGS: &[&str] = &["yaml", "yml", "env", "ini", "cfg", "conf", "toml", "properties", "json"];

/// Adds what is found to the report, and makes errors of what reading the file only noted.
pub(super) fn add(place: &ToolPlace, report: &mut Report, ui: &Ui) {
    for found in report.diagnostics.iter_mut().filter(|found| found.code == Code::ClearTextSecret.id()) {
        found.severity = Severity::Error;
    }
    let told = |file: &str, line: usize| {
        let same = |found: &Diagnostic| found.file == file && found.place.is_some_and(|at| at.line as usize == line);
        report.diagnostics.iter().any(same)
    };
    let (files, left) = files(place);
    let mut found = Vec::new();
    for path in &files {
        let name = place.folder.join(path).display().to_string();
        let Some(text) = text(&place.folder.join(path)) else { continue };
        let settings = settings(path);
        let lines: Vec<&str> = renderer::diagnostic::lines(&text).collect();
        let hits = scan(&text, settings).into_iter().filter(|hit| !lines[hit.line - 1].contains(ALLOWED));
        found.extend(hits.filter(|hit| !told(&name, hit.line)).map(|hit| diagnostic(&name, hit)));
    }
    if found.len() > MAX_FOUND {
        ui.say(&format!("{} more lines look like credentials", found.len() - MAX_FOUND));
        found.truncate(MAX_FOUND);
    }
    if left > 0 {
        ui.say(&format!("{left} files were not searched for credentials: the folder has too many"));
    }
    report.diagnostics.extend(found);
}

fn diagnostic(file: &str, hit: renderer::credentials::Hit) -> Diagnostic {
    let number = |from: usize| u32::try_from(from).unwrap_or(u32::MAX);
    Diagnostic {
        file: file.to_owned(),
        place: Some(Place { line: number(hit.line), column: number(hit.column), width: 1 }),
        severity: Severity::Error,
        code: Code::ClearTextSecret.id().to_owned(),
        message: format!("{} stands in the clear", hit.what),
        hint: Some(format!(
            "Change it where it is valid, keep the new one by `toolforge secrets set NAME`, and read it from the environment; or write `{ALLOWED}` on the line if it opens nothing."
        )),
        component: None,
    }
}

/// The folder's files by their paths in it, and how many are left out.
fn files(place: &ToolPlace) -> (Vec<PathBuf>, usize) {
    let (mut files, mut bytes) = (Vec::new(), 0);
    let all = worktree::listed(&place.folder).unwrap_or_default();
    let count = all.len();
    for path in all {
        let found = std::fs::symlink_metadata(place.folder.join(&path)).ok();
        // What is not read counts for nothing.
        let size =
            found.filter(|found| found.is_file() && found.len() <= MAX_FILE_BYTES).map_or(0, |found| found.len());
        bytes += usize::try_from(size).unwrap_or(usize::MAX);
        if files.len() >= MAX_FILES || bytes > MAX_BYTES {
            break;
        }
        files.push(path);
    }
    let left = count - files.len();
    (files, left)
}

/// None for what is no text, no file, or too large to have been written by a person.
fn text(path: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(path).ok()?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}

fn settings(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    name.starts_with(".env") || SETTINGS.contains(&extension)
}
