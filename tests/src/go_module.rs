//! Programs for tests that are built from Go modules, when their sources changed and only then.
//!
//! All of Kubernetes compiles in about 12 minutes of CPU time, and even `go build` with nothing to do takes 13 s. So a
//! hash of the module's files decides: the programs of a hash never change and are never built twice. A lock lets
//! parallel test programs wait for the one that builds.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

/// A Go module beside this package's sources, with a script `build.sh FOLDER`.
pub(crate) struct Module {
    /// Its folder here, and the builds' folder under `target`.
    pub(crate) name: &'static str,
    /// What somebody who waits is told of it.
    pub(crate) what: &'static str,
    /// What to do where there is no Go.
    pub(crate) without_go: &'static str,
}

impl Module {
    /// The folder with its programs, built first if need be.
    pub(crate) fn built(&self) -> anyhow::Result<PathBuf> {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.name);
        let builds = target_dir().join(self.name);
        let folder = builds.join(hash(&module)?);
        if folder.exists() {
            return Ok(folder);
        }
        fs::create_dir_all(&builds)?;
        let lock = File::create(builds.join("lock"))?;
        lock.lock().with_context(|| format!("lock the build of {}", self.name))?;
        if !folder.exists() {
            self.build(&module, &folder)?;
        }
        Ok(folder)
    }

    /// Builds beside the final place and renames, so that a killed build leaves nothing that looks finished.
    fn build(&self, module: &Path, folder: &Path) -> anyhow::Result<()> {
        self.require_go()?;
        say(&format!("building {}: this is once until tests/{} changes", self.what, self.name));
        let partial = folder.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        let script = module.join("build.sh");
        let status = Command::new("sh").arg(&script).arg(&partial).status().context("run sh")?;
        ensure!(status.success(), "{} failed ({status}); what Go said is above", script.display());
        fs::rename(&partial, folder)?;
        Ok(())
    }

    fn require_go(&self) -> anyhow::Result<()> {
        match Command::new("go").arg("version").output() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "no `go` on the PATH: {} is built from Go modules; install Go 1.26 or newer (https://go.dev/dl){}",
                self.name,
                self.without_go
            ),
            Err(error) => Err(error).context("run go version"),
        }
    }
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

/// The files a build reads, by name and content. Nothing else lies in that folder, and there are no subfolders.
fn hash(module: &Path) -> anyhow::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(module).with_context(|| format!("read {}", module.display()))? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name.ends_with(".go") || matches!(name.as_str(), "go.mod" | "go.sum" | "build.sh") {
            names.push(name);
        }
    }
    names.sort();
    let mut sum = Sha256::new();
    for name in names {
        let content = fs::read(module.join(&name))?;
        sum.update(format!("{name} {}\n", content.len()));
        sum.update(content);
    }
    let mut text = String::new();
    for byte in sum.finalize().iter().take(8) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Past the test harness, which would keep it until the end: somebody sits and waits.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
