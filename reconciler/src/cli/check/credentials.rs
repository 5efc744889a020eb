//! Credentials in the clear, in everything of a tool's folder that git holds or would take in. What git ignores is where
//! such things belong; where there is no git yet, everything is looked at but what programs have installed.

use crate::cli::place::ToolPlace;
use crate::ui::Ui;
use reconciler::source::worktree;
use renderer::credentials::{Kind, scan};
use renderer::diagnostic::{Code, Place};
use renderer::{Diagnostic, Report, Severity};
use std::collections::VecDeque;
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
const SETTINGS: &[&str] = &["yaml", "yml", "env", "ini", "cfg", "cnf", "conf", "toml", "properties", "json"];
/// Folders that nobody commits, where nothing says so.
const INSTALLED: &[&str] = &["node_modules", "venv", ".venv", "__pycache__", ".git"];

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
        let lines: Vec<&str> = renderer::diagnostic::lines(&text).collect();
        let hits = scan(&text, kind(path)).into_iter().filter(|hit| !lines[hit.line - 1].contains(ALLOWED));
        found.extend(hits.filter(|hit| !told(&name, hit.line)).map(|hit| diagnostic(&name, hit)));
    }
    if found.len() > MAX_FOUND {
        ui.say(&format!("{} more lines look like credentials", found.len() - MAX_FOUND));
        found.truncate(MAX_FOUND);
    }
    if let Some(left) = left {
        ui.say(&left);
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

/// The folder's files by their paths in it, and what is to be said of those that are left out.
fn files(place: &ToolPlace) -> (Vec<PathBuf>, Option<String>) {
    let all = match place.worktree.root {
        Some(_) => worktree::listed(&place.folder).map(|all| (all, true)),
        None => Some(walked(&place.folder)),
    };
    let Some((all, whole)) = all else {
        return (
            Vec::new(),
            Some("nothing was searched for credentials: git does not say which files it holds".into()),
        );
    };
    let (mut files, mut bytes) = (Vec::new(), 0);
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
    let left = "not every file was searched for credentials: there are too many, or some can't be read";
    let left = (!whole || files.len() < count).then(|| left.to_owned());
    (files, left)
}

/// The files below a folder that no git knows, the nearest first, and whether these are all: a folder that can't be read
/// is not empty. Links are not followed.
fn walked(folder: &Path) -> (Vec<PathBuf>, bool) {
    let (mut files, mut folders, mut whole) = (Vec::new(), VecDeque::from([PathBuf::new()]), true);
    while let Some(below) = folders.pop_front() {
        let entries = std::fs::read_dir(folder.join(&below));
        whole &= entries.is_ok();
        let entries: Vec<_> = entries.into_iter().flatten().take(MAX_FILES + 1).collect();
        whole &= entries.iter().all(Result::is_ok);
        let mut entries: Vec<_> = entries.into_iter().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let is_folder = entry.file_type().is_ok_and(|is| is.is_dir());
            let name = entry.file_name();
            match is_folder {
                false => files.push(below.join(name)),
                true if INSTALLED.iter().any(|installed| name == *installed) => {}
                true => folders.push_back(below.join(name)),
            }
            if files.len() + folders.len() > MAX_FILES {
                return (files, false);
            }
        }
    }
    (files, whole)
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

fn kind(path: &Path) -> Kind {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match name {
        ".netrc" | "_netrc" => Kind::Netrc,
        _ if name.ends_with("my.cnf") => Kind::Login,
        _ if name.starts_with(".env") || SETTINGS.contains(&extension) => Kind::Settings,
        _ => Kind::Program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_t_be_read_is_not_taken_for_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), "").expect("written");
        assert_eq!(walked(folder.path()), (vec![PathBuf::from("a")], true));
        assert_eq!(walked(&folder.path().join("gone")), (Vec::new(), false));
    }
}
