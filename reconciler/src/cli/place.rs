//! What a path on the command line means: a file, a tool's folder, or a config repository.

use crate::ui::{failed, plain, wrong_use};
use reconciler::source::SourceError;
use reconciler::source::worktree::{self, Worktree};
use renderer::{Files, ToolName};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Far above what the parser accepts, so that the parser is the one to say "too large"; and an end to `/dev/zero`.
const MAX_READ_BYTES: u64 = 4 << 20;

/// What a path turned out to be.
#[derive(Debug)]
pub enum Place {
    /// Something that describes a tool.
    Tool(Box<ToolPlace>),
    /// A folder with a `platform.yaml`.
    ConfigRepository(PathBuf),
    /// `platform.yaml` or a file of `tools/` by itself.
    Operators(OperatorsFile),
}

/// A tool's files, and what git says of the folder they are in.
#[derive(Debug)]
pub struct ToolPlace {
    /// The folder.
    pub folder: PathBuf,
    /// The file as a person would name it: the one given, or the one found.
    pub file: PathBuf,
    /// What was read: the folder's files, or the one file that was given.
    pub worktree: Worktree,
}

/// One file that operators write.
#[derive(Debug)]
pub struct OperatorsFile {
    /// Where it is.
    pub file: PathBuf,
    /// `Platform` or `Tool`.
    pub kind: OperatorsKind,
    /// What was read.
    pub bytes: Vec<u8>,
}

/// Which of the operators' files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorsKind {
    /// `platform.yaml`.
    Platform,
    /// `tools/<name>.yaml`.
    Tool,
}

const CONFIG: &str = "toolforge.yaml";
const PROCFILE: &str = "Procfile";
const TEMPLATE: &str = "service.template";

/// Looks at a path and reads what is there.
pub fn look(path: &Path) -> anyhow::Result<Place> {
    let found = std::fs::metadata(path);
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let hint = "Name a toolforge.yaml, or the folder it is in.";
            Err(wrong_use(format!("{} does not exist", path.display())).hint(hint).into())
        }
        Err(error) => Err(wrong_use(format!("cannot read {}: {}", path.display(), plain(&error))).into()),
        Ok(found) if found.is_dir() => folder(path),
        Ok(_) => file(path),
    }
}

fn folder(path: &Path) -> anyhow::Result<Place> {
    if path.join("platform.yaml").exists() || path.join("platforms").is_dir() {
        return Ok(Place::ConfigRepository(path.to_owned()));
    }
    let worktree = worktree::read(path).map_err(|error| source(path, error))?;
    let file = match &worktree.files {
        Files { config: Some(_), .. } => CONFIG,
        Files { procfile: Some(_), .. } => PROCFILE,
        Files { service_template: Some(_), .. } => TEMPLATE,
        _ => return Err(nothing(path).into()),
    };
    Ok(Place::Tool(Box::new(ToolPlace { folder: path.to_owned(), file: path.join(file), worktree })))
}

fn nothing(path: &Path) -> crate::ui::Failure {
    let message = format!("{} has no toolforge.yaml, Procfile, service.template or platform.yaml", path.display());
    let yml = path.join("toolforge.yml");
    if yml.exists() {
        return wrong_use(message).hint("Rename toolforge.yml to toolforge.yaml.");
    }
    wrong_use(message).hint("Run `toolforge init` there to write a toolforge.yaml.")
}

fn file(path: &Path) -> anyhow::Result<Place> {
    let bytes = read(path, "Name a toolforge.yaml, or the folder it is in.")?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some(kind) = operators_kind(&bytes) {
        return Ok(Place::Operators(OperatorsFile { file: path.to_owned(), kind, bytes }));
    }
    let files = match name {
        PROCFILE => Files { procfile: Some(bytes), ..Files::default() },
        TEMPLATE => Files { service_template: Some(bytes), ..Files::default() },
        _ => Files { config: Some(bytes), ..Files::default() },
    };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let worktree = worktree::read(folder).map_err(|error| source(folder, error))?;
    let worktree = Worktree { files, ..worktree };
    Ok(Place::Tool(Box::new(ToolPlace { folder: folder.to_owned(), file: path.to_owned(), worktree })))
}

fn source(path: &Path, error: SourceError) -> anyhow::Error {
    if let SourceError::TooLarge { what, limit_bytes } = &error {
        let file = path.join(Path::new(what).file_name().unwrap_or_default());
        let hint = "Put data into files of its own; here stands what runs.";
        return wrong_use(format!("{} is larger than {limit_bytes} bytes", file.display())).hint(hint).into();
    }
    let hint = error.hint();
    wrong_use(format!("cannot read {}", path.display())).hint_if(hint).because(error).into()
}

/// A file of the operators says so at its top level.
fn operators_kind(bytes: &[u8]) -> Option<OperatorsKind> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().find_map(|line| match line.strip_prefix("kind:")?.trim() {
        "Platform" => Some(OperatorsKind::Platform),
        "Tool" => Some(OperatorsKind::Tool),
        _ => None,
    })
}

/// Reads a file that has to be there; the hint says what it should be.
pub fn read(path: &Path, hint: &str) -> anyhow::Result<Vec<u8>> {
    let missing = || wrong_use(format!("{} does not exist", path.display()));
    Ok(read_if_there(path)?.ok_or_else(|| missing().hint(hint))?)
}

/// Reads a file; only that it is not there is `None`.
pub fn read_if_there(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let cannot = |error: std::io::Error| wrong_use(format!("cannot read {}: {}", path.display(), plain(&error)));
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(cannot)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_READ_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_READ_BYTES {
        let message = format!("{} is larger than {MAX_READ_BYTES} bytes", path.display());
        return Err(wrong_use(message).hint("Name another file: no file of ours is as large.").into());
    }
    Ok(Some(bytes))
}

/// Writes a file whole or not at all, next to where it will be.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = |error: std::io::Error| failed(format!("cannot write {}: {}", path.display(), plain(&error)));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, bytes).map_err(cannot)?;
    std::fs::rename(&beside, path).map_err(|error| {
        // What is left is our own half of a file that was never seen.
        let _ = std::fs::remove_file(&beside);
        cannot(error)
    })?;
    Ok(())
}

/// The name a tool goes by on this machine: as it is inferred, else one that is nobody's.
pub fn tool_name(asked: Option<&ToolName>, place: &ToolPlace) -> anyhow::Result<ToolName> {
    Ok(inferred_name(asked, place).map_or_else(|| ToolName::new("tool"), Ok)?)
}

/// As asked for, else that of the tool's repository or folder, where that is one.
pub fn inferred_name(asked: Option<&ToolName>, place: &ToolPlace) -> Option<ToolName> {
    if let Some(name) = asked {
        return Some(name.clone());
    }
    let tree = &place.worktree;
    let repository = tree.origin.as_ref().map(|url| url.path().trim_end_matches('/').trim_end_matches(".git"));
    let folder = place.folder.canonicalize().ok();
    let folder = folder.as_deref().and_then(Path::to_str);
    // A tool below its repository's root is one of several there.
    let named = if tree.path.is_empty() { repository.or(folder) } else { folder };
    ToolName::new(named.and_then(|path| path.rsplit('/').next())?.to_lowercase()).ok()
}
