//! Builds the control plane when its sources changed, and only then.
//!
//! All of Kubernetes compiles in about 12 minutes of CPU time, and even `go build` with nothing to do takes 13 s. So a
//! hash of the module's files decides: the binary of a hash never changes and is never built twice. A lock lets
//! parallel test programs wait for the one that builds.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

/// Where the binary is, built first if need be.
pub fn binary() -> anyhow::Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane");
    let builds = target_dir().join("control-plane");
    let folder = builds.join(hash(&module)?);
    let program = folder.join("control-plane");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&builds)?;
    let lock = File::create(builds.join("lock"))?;
    lock.lock().context("lock the build of the control plane")?;
    if !program.exists() {
        build(&module, &folder)?;
    }
    Ok(program)
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

/// Builds beside the final place and renames, so that a killed build leaves nothing that looks finished.
fn build(module: &Path, folder: &Path) -> anyhow::Result<()> {
    require_go()?;
    say("building the control plane for tests (Kubernetes from Go modules): this is once until tests/control-plane \
         changes, and takes 7 to 15 minutes when Go's cache is cold");
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

fn require_go() -> anyhow::Result<()> {
    match Command::new("go").arg("version").output() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "no `go` on the PATH: the control plane for tests is built from Go modules; install Go 1.26 or newer \
             (https://go.dev/dl), or set KUBEBUILDER_ASSETS to run only the tests that need no controllers"
        ),
        Err(error) => Err(error).context("run go version"),
    }
}

/// Past the test harness, which would keep it until the end: somebody sits and waits.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
