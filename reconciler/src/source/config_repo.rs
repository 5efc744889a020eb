//! The config repository: whom we serve, and how.
//!
//! One *platform folder* is a `platform.yaml` and, beside it, `tools/<name>.yaml`. The root of the repository is one,
//! or every `platforms/<name>/` is; with several, `--platform NAME` picks by the name that `platform.yaml` states. A
//! tool belongs to the platform of its folder.
//!
//! A file that is broken is named with its findings and disturbs no other: its tool is *unreadable*, which is not the
//! same as gone. `policies/` holds the operators' own rules: all of them, or none where one is broken.
//! `signers/` holds the keys that may sign commits; what is wrong there is a key less. Of a local repository the commit at HEAD counts, never the working tree; [`read_folder`] reads a
//! working tree, for `check` and `render`.

mod assemble;

use super::fetch::Filter;
use super::git::{Git, object_id};
use super::tree::{self, ReadError};
use super::url::RepositoryUrl;
use super::{SourceError, worktree};
use crate::dialer::{HostPort, Rules};
use assemble::assemble;
use gix::ObjectId;
use gix::objs::FindObjectOrHeader as Objects;
use gix::objs::tree::EntryKind;
use planner::admission::RuleFiles;
use renderer::signers;
use renderer::{CommitId, Platform, Report, Tool, ToolName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::FileType;
use std::path::Path;

/// A config repository at one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigRepo {
    /// The commit; none for a working tree.
    pub commit: Option<CommitId>,
    /// Its platform folders, by path.
    pub platforms: Vec<PlatformFolder>,
}

/// One platform and the tools it serves.
#[derive(Debug, Clone, PartialEq)]
pub struct PlatformFolder {
    /// Path of the folder; empty for the root.
    pub path: String,
    /// The platform; none where `platform.yaml` is broken, which holds everything of it.
    pub platform: Option<Platform>,
    /// Its good tools, by name. A relative repository is absolute here.
    pub tools: Vec<Tool>,
    /// Tools whose files are broken: held, not gone.
    pub unreadable: Vec<Unreadable>,
    /// Findings in all files of the folder.
    pub report: Report,
    /// The operators' own rules, as documents; none where a file of them is broken.
    pub rules: Option<Vec<Value>>,
    /// The files of those rules, by path, with their texts where they have one.
    pub rule_files: RuleFiles,
    /// The files of keys that may sign, by name in `signers/`.
    pub signers: BTreeMap<String, String>,
    /// Texts of the files with findings, by path, for excerpts.
    pub texts: BTreeMap<String, Vec<u8>>,
}

/// A file in `tools/` that gives no tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Path in the repository.
    pub file: String,
    /// The tool it would be, by its file name; none where that is no tool's name.
    pub name: Option<ToolName>,
}

/// Why no platform can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// There is no platform folder at all.
    #[error("the config repository has no platform.yaml")]
    None,
    /// There are several, and none was named.
    #[error("the config repository has several platforms: {}", names.join(", "))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// There is none of that name.
    #[error("the config repository has no platform {wanted:?}")]
    Unknown {
        /// The name asked for.
        wanted: String,
        /// Those there are.
        names: Vec<String>,
    },
}

impl ChoiceError {
    /// A sentence with a next step.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::None => "Write platform.yaml, or run `toolforge init` for an example.".to_owned(),
            Self::Several { names } | Self::Unknown { names, .. } => {
                format!("Name one with `--platform`: {}.", names.join(", "))
            }
        }
    }
}

impl ConfigRepo {
    /// The platform folder named `wanted`; the only one, where no name is given.
    ///
    /// # Errors
    /// Where there is no such one, or no single one.
    pub fn choose(&self, wanted: Option<&str>) -> Result<&PlatformFolder, ChoiceError> {
        let names = || self.platforms.iter().map(PlatformFolder::name).map(str::to_owned).collect();
        match (wanted, self.platforms.as_slice()) {
            (_, []) => Err(ChoiceError::None),
            (None, [only]) => Ok(only),
            (None, _) => Err(ChoiceError::Several { names: names() }),
            (Some(wanted), all) => all
                .iter()
                .find(|folder| folder.name() == wanted)
                .ok_or_else(|| ChoiceError::Unknown { wanted: wanted.to_owned(), names: names() }),
        }
    }
}

impl PlatformFolder {
    /// The platform's name; its folder's where `platform.yaml` is broken.
    #[must_use]
    pub fn name(&self) -> &str {
        let folder = self.path.rsplit('/').next().unwrap_or_default();
        self.platform.as_ref().map_or(folder, |platform| &platform.name)
    }

    /// What may be dialled for this platform: see [`Rules`]. `config` is the config repository's own address.
    #[must_use]
    pub fn rules(&self, config: &RepositoryUrl) -> Rules {
        let mut rules = bootstrap_rules(config);
        for tool in &self.tools {
            let Ok(url) = RepositoryUrl::parse(&tool.repository) else { continue };
            if let Some(host) = url.host_port() {
                rules.name(host, url.written_port());
            }
        }
        if let Some(platform) = &self.platform {
            for host in &platform.allowed_hosts {
                rules.trust(HostPort::parse(host));
            }
            rules.know(platform.git.as_ref().map(|git| git.known_hosts.as_slice()).unwrap_or_default());
            let images = platform.allowed_images.iter().map(String::as_str);
            for registry in images.chain([platform.registry.host.as_str()]) {
                let host = registry.split('/').next().unwrap_or(registry);
                rules.reach(HostPort::parse(host));
            }
        }
        rules
    }
}

/// What may be dialled before the config repository was read: its own host.
#[must_use]
pub fn bootstrap_rules(config: &RepositoryUrl) -> Rules {
    let mut rules = Rules::default();
    if let Some(host) = config.host_port() {
        rules.name(host.clone(), config.written_port());
        rules.reach(host);
    }
    rules
}

/// Reads the config repository at `reference` (a branch, a tag, a commit, or `HEAD`).
///
/// # Errors
/// Where it cannot be read. Broken files in it are no error.
pub async fn load(git: &Git, url: &RepositoryUrl, reference: &str) -> Result<ConfigRepo, SourceError> {
    let refs = git.ls_refs(url, [reference]).await?;
    let commit = git.resolve(url, &refs, reference).await?;
    load_at(git, url, &commit).await
}

/// Reads the config repository at one commit.
///
/// # Errors
/// Where it cannot be read. Broken files in it are no error.
pub async fn load_at(git: &Git, url: &RepositoryUrl, commit: &CommitId) -> Result<ConfigRepo, SourceError> {
    let id = object_id(commit)?;
    let files = git.read_in_turn(url, id, Filter::Nothing, move |objects| collect(objects, id)).await?;
    let folder = url.local_path();
    Ok(assemble(Some(commit.clone()), files, folder.as_deref()))
}

/// Reads a folder as it is now, for `check` and `render`: as its commit would be read, so no link is followed.
///
/// # Errors
/// Where the folder cannot be read. Broken files in it are no error.
pub fn read_folder(folder: &Path) -> Result<ConfigRepo, SourceError> {
    let mut files = Files::new();
    let platforms = list_folder(folder, "platforms")?.into_iter().filter(|(_, is)| is.is_dir());
    for base in bases(platforms.map(|(name, _)| name)) {
        let named = |path: &str| -> Result<Vec<String>, SourceError> {
            let found = list_folder(folder, &join(&base, path))?.into_iter().filter(|(_, is)| !is.is_dir());
            Ok(found.map(|(name, _)| name).collect())
        };
        let (tools, rules, signers) = (named("tools")?, named("policies")?, named(signers::FOLDER)?);
        let all = tools.into_iter().map(Entry::Tool).chain(rules.into_iter().map(Entry::Rule));
        let all = all.chain(signers.into_iter().map(Entry::Signers));
        for entry in all.chain([Entry::Platform]) {
            let place = Place { base: base.clone(), entry };
            let read = match worktree::file(&folder.join(place.path())) {
                Ok(None) | Err(SourceError::NotAFile { is: tree::NotAFile::Folder, .. }) => continue,
                Ok(Some(bytes)) => Ok(bytes),
                // By its path in the repository, like everything that is said of it.
                Err(SourceError::NotAFile { is, .. }) => Err(not_a_file(&place, is)),
                Err(error) => Err(error),
            };
            files.insert(place, read);
        }
    }
    Ok(assemble(None, files, Some(folder)))
}

/// Where a file stands in the platform folder `base`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    base: String,
    entry: Entry,
}

/// `platform.yaml`, or a file of this name in `tools/`, `policies/` or `signers/`. In the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Platform,
    Tool(String),
    Rule(String),
    Signers(String),
}

impl Place {
    fn path(&self) -> String {
        match &self.entry {
            Entry::Platform => join(&self.base, "platform.yaml"),
            Entry::Tool(name) => join(&self.base, &format!("tools/{name}")),
            Entry::Rule(name) => join(&self.base, &format!("policies/{name}")),
            Entry::Signers(name) => join(&self.base, &format!("{}/{name}", signers::FOLDER)),
        }
    }
}

/// Bytes, or why there are none.
type Files = BTreeMap<Place, Result<Vec<u8>, SourceError>>;

fn collect(objects: &dyn Objects, commit: ObjectId) -> Result<Files, ReadError> {
    let listed = |path: &str| -> Result<Vec<tree::Listed>, ReadError> {
        Ok(tree::list(objects, commit, path)?.unwrap_or_default())
    };
    let mut files = Files::new();
    let platforms = listed("platforms")?.into_iter().filter(|(_, kind, _)| *kind == EntryKind::Tree);
    for base in bases(platforms.map(|(name, ..)| name)) {
        let own = listed(&base)?.into_iter().filter(|(name, ..)| name == "platform.yaml");
        let own = own.map(|(_, kind, id)| (Entry::Platform, kind, id));
        let tools = listed(&join(&base, "tools"))?.into_iter().map(|(name, kind, id)| (Entry::Tool(name), kind, id));
        let rules = listed(&join(&base, "policies"))?.into_iter().map(|(name, kind, id)| (Entry::Rule(name), kind, id));
        let signers = listed(&join(&base, signers::FOLDER))?.into_iter();
        let signers = signers.map(|(name, kind, id)| (Entry::Signers(name), kind, id));
        for (entry, kind, id) in own.chain(tools).chain(rules).chain(signers) {
            let place = Place { base: base.clone(), entry };
            let read = match kind {
                EntryKind::Blob | EntryKind::BlobExecutable => bytes(objects, &place.path(), id)?,
                EntryKind::Tree => continue,
                EntryKind::Link => Err(not_a_file(&place, tree::NotAFile::SymbolicLink)),
                EntryKind::Commit => Err(not_a_file(&place, tree::NotAFile::Submodule)),
            };
            files.insert(place, read);
        }
    }
    Ok(files)
}

/// What is wrong with one file is that file's matter; what is wrong with the repository is not.
fn bytes(objects: &dyn Objects, path: &str, id: ObjectId) -> Result<Result<Vec<u8>, SourceError>, ReadError> {
    match tree::file(objects, path, id) {
        Err(ReadError::Source(error @ (SourceError::TooLarge { .. } | SourceError::NotAFile { .. }))) => Ok(Err(error)),
        read => read.map(Ok),
    }
}

fn not_a_file(place: &Place, is: tree::NotAFile) -> SourceError {
    SourceError::NotAFile { path: place.path(), is }
}

/// The folders that may be platform folders: the root, and each below `platforms`.
fn bases(platforms: impl Iterator<Item = String>) -> Vec<String> {
    let below = platforms.map(|name| format!("platforms/{name}"));
    [String::new()].into_iter().chain(below).collect()
}

fn join(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") }
}

fn list_folder(folder: &Path, path: &str) -> Result<Vec<(String, FileType)>, SourceError> {
    let place = folder.join(path);
    let unreadable = |error: std::io::Error| SourceError::Unreachable { why: format!("{}: {error}", place.display()) };
    let is = match std::fs::symlink_metadata(&place).map(|meta| meta.file_type()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        is => is.map_err(unreadable)?,
    };
    if is.is_symlink() {
        return Err(SourceError::NotAFile { path: path.to_owned(), is: tree::NotAFile::SymbolicLink });
    }
    if !is.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&place).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        names.push((entry.file_name().to_string_lossy().into_owned(), entry.file_type().map_err(unreadable)?));
    }
    names.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(names)
}
