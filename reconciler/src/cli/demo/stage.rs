//! The stage: the examples as real git repositories in a scratch folder, changed by real commits.

use crate::cli::scratch;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of `examples/platform`, `examples/repos` and `examples/machine`, put in by build.rs.
const EXAMPLES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/examples.rs"));
/// Where the examples say that their repositories are. In the demo they are folders.
const HOST: &str = "https://git.example/";

/// Branch → files, each with its path.
type Branches = BTreeMap<String, Vec<(String, &'static [u8])>>;

/// One platform of the examples.
struct Part {
    /// Its folder in the examples, and on the stage; empty for the whole.
    folder: &'static str,
    /// The registry that its platform.yaml names.
    registry: &'static str,
    /// What its first commit says.
    message: &'static str,
    /// What its platform.yaml has more than the example's.
    more: &'static str,
}

/// Ten tools, played.
const PLAYED: Part =
    Part { folder: "", registry: "registry.tools.example", message: "Ten tools", more: "  builds: {backend: local}\n" };
/// Three tools that run.
const MACHINE: Part = Part { folder: "machine/", registry: "127.0.0.1:5000", message: "Three tools", more: "" };

/// A scratch folder with a config repository and the tools' repositories. Removed when this is dropped.
pub struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// An empty one.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { folder: scratch::folder("toolforge-demo-")? })
    }

    /// Makes the ten tools. `registry` takes the place of the examples' registry.
    pub fn add_played(&self, registry: &str) -> anyhow::Result<()> {
        self.add(&PLAYED, registry)
    }

    /// Makes the tools that run, below `machine`.
    pub fn add_machine(&self, registry: &str) -> anyhow::Result<()> {
        self.add(&MACHINE, registry)
    }

    fn add(&self, part: &Part, registry: &str) -> anyhow::Result<()> {
        let Part { folder, .. } = part;
        for (name, branches) in repositories(folder) {
            self.repository(&format!("{folder}repos/{name}"), &name, &branches)?;
        }
        let prefix = format!("{folder}platform/");
        let config = EXAMPLES.iter().filter_map(|(name, bytes)| Some((name.strip_prefix(&prefix)?, *bytes)));
        let place = |text: &str| {
            let text = text.replace(HOST, "../repos/");
            let text =
                text.replace(&format!("host: {}/toolforge", part.registry), &format!("host: {registry}/toolforge"));
            if text.contains("kind: Platform\n") { text + part.more } else { text }
        };
        let config_folder = format!("{folder}config");
        self.fill(&config_folder, config, place)?;
        self.git(&config_folder, &["init", "-q", "-b", "main"])?;
        self.commit(&config_folder, part.message)
    }

    /// Path of something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits everything in a repository.
    pub fn commit(&self, repository: &str, message: &str) -> anyhow::Result<()> {
        self.git(repository, &["add", "--all"])?;
        self.git(repository, &["commit", "-q", "-m", message])
    }

    /// Replaces a text in a file of a repository; that it is not there is a defect of the demo.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let path = self.path(file);
        let text = fs::read_to_string(&path)?;
        anyhow::ensure!(text.contains(from), "{file} does not say {from:?}");
        fs::write(&path, text.replacen(from, to, 1))?;
        Ok(())
    }

    /// Runs git in a repository, with nobody's configuration.
    pub fn git(&self, repository: &str, arguments: &[&str]) -> anyhow::Result<()> {
        scratch::git(&self.path(repository), arguments)?;
        Ok(())
    }

    /// One repository: `main` first, then each other branch from it.
    fn repository(&self, folder: &str, name: &str, branches: &Branches) -> anyhow::Result<()> {
        // A toolforge.yaml may not name a folder; without an address it means its own repository.
        let own = format!("repository: {HOST}{name}");
        let place = |text: &str| {
            let lines = text.lines().filter(|line| line.trim() != own);
            let lines: Vec<_> = lines.map(|line| line.replace(&format!("{own}, "), "")).collect();
            lines.join("\n") + "\n"
        };
        let others = branches.iter().filter(|(branch, _)| *branch != "main");
        for (branch, files) in branches.iter().filter(|(branch, _)| *branch == "main").chain(others) {
            self.fill(folder, files.iter().map(|(name, bytes)| (name.as_str(), *bytes)), place)?;
            if branch == "main" {
                self.git(folder, &["init", "-q", "-b", "main"])?;
            } else {
                self.git(folder, &["checkout", "-q", "-b", branch])?;
            }
            // A branch may begin as the other one is.
            self.git(folder, &["add", "--all"])?;
            self.git(folder, &["commit", "-q", "--allow-empty", "-m", "First version"])?;
        }
        if branches.len() > 1 { self.git(folder, &["checkout", "-q", "main"]) } else { Ok(()) }
    }

    fn fill<'f>(
        &self,
        folder: &str,
        files: impl Iterator<Item = (&'f str, &'f [u8])>,
        place: impl Fn(&str) -> String,
    ) -> anyhow::Result<()> {
        for (name, bytes) in files {
            let path = self.path(folder).join(name);
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(&path, place(std::str::from_utf8(bytes)?))?;
        }
        Ok(())
    }
}

/// Name → branch → files, below a folder of the examples.
fn repositories(folder: &str) -> BTreeMap<String, Branches> {
    let mut all: BTreeMap<String, Branches> = BTreeMap::new();
    for (path, bytes) in EXAMPLES {
        let Some(path) = path.strip_prefix(folder) else { continue };
        let mut parts = path.splitn(4, '/');
        if let (Some("repos"), Some(name), Some(branch), Some(file)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            let files = all.entry(name.to_owned()).or_default().entry(branch.to_owned()).or_default();
            files.push((file.to_owned(), *bytes));
        }
    }
    all
}
