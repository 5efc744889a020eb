//! The stage: the examples as real git repositories in a scratch folder, changed by real commits.

use crate::ui::{failed, plain, wrong_use};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files of `examples/platform` and `examples/repos`, put in by build.rs.
const EXAMPLES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/examples.rs"));
/// Where the examples say that their repositories are. In the demo they are folders.
const HOST: &str = "https://git.example/";

/// Branch → files, each with its path.
type Branches = BTreeMap<String, Vec<(String, &'static [u8])>>;

/// A scratch folder with a config repository and the tools' repositories. Removed when this is dropped.
pub struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// Makes everything. `registry` takes the place of the examples' registry.
    pub fn build(registry: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("toolforge-demo-").tempdir();
        let folder = folder.map_err(|error| failed(format!("cannot make a scratch folder: {}", plain(&error))))?;
        let stage = Self { folder };
        for (name, branches) in repositories() {
            stage.repository(&name, &branches)?;
        }
        let config = EXAMPLES.iter().filter_map(|(name, bytes)| Some((name.strip_prefix("platform/")?, *bytes)));
        let place = |text: &str| {
            let text = text.replace(HOST, "../repos/");
            text.replace("host: registry.tools.example/toolforge", &format!("host: {registry}/toolforge"))
        };
        stage.fill("config", config, place)?;
        stage.git("config", &["init", "-q", "-b", "main"])?;
        stage.commit("config", "Ten tools")?;
        Ok(stage)
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
        let mut git = Command::new("git");
        git.args(arguments).current_dir(self.path(repository));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            git.env_remove(name);
        }
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "toolforge demo");
            git.env(format!("GIT_{role}_EMAIL"), "demo@toolforge.invalid");
        }
        let output = git.output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                wrong_use("git is not installed").hint("Install it, for example with `apt install git`.")
            }
            _ => failed(format!("cannot run git: {}", plain(&error))),
        })?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "git {}: {}", arguments.join(" "), said.trim());
        Ok(())
    }

    /// One repository: `main` first, then each other branch from it.
    fn repository(&self, name: &str, branches: &Branches) -> anyhow::Result<()> {
        let folder = format!("repos/{name}");
        // A toolforge.yaml may not name a folder; without an address it means its own repository.
        let own = format!("repository: {HOST}{name}");
        let place = |text: &str| {
            let lines = text.lines().filter(|line| line.trim() != own);
            let lines: Vec<_> = lines.map(|line| line.replace(&format!("{own}, "), "")).collect();
            lines.join("\n") + "\n"
        };
        let others = branches.iter().filter(|(branch, _)| *branch != "main");
        for (branch, files) in branches.iter().filter(|(branch, _)| *branch == "main").chain(others) {
            self.fill(&folder, files.iter().map(|(name, bytes)| (name.as_str(), *bytes)), place)?;
            if branch == "main" {
                self.git(&folder, &["init", "-q", "-b", "main"])?;
            } else {
                self.git(&folder, &["checkout", "-q", "-b", branch])?;
            }
            self.commit(&folder, "First version")?;
        }
        if branches.len() > 1 { self.git(&folder, &["checkout", "-q", "main"]) } else { Ok(()) }
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

/// Name → branch → files.
fn repositories() -> BTreeMap<String, Branches> {
    let mut all: BTreeMap<String, Branches> = BTreeMap::new();
    for (path, bytes) in EXAMPLES {
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
