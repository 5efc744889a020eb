//! One machine as a platform: how long a build takes, a push until its page is there, and a promotion.
//!
//! Run: `cargo bench -p tests --bench local`, alone on the machine. It builds the release binary first, and asks it alone:
//! `toolforge build-image` for a Python program with `flask` in its requirements (the package index has to be in reach; how
//! is in `PIP_INDEX_URL` and the like), and `toolforge demo --exit --json` for the rest. Prints a table: the middle, and the
//! slowest. `TOOLFORGE` names another binary, `RUNS` how often each is done (5).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

use anyhow::{Context as _, ensure};
use local::registry::Registry;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The Python example.
const FILES: [(&str, &str); 3] = [
    ("Procfile", "web: flask --app app run --port $PORT\n"),
    ("requirements.txt", "flask==3.1.2\n"),
    (
        "app.py",
        "import flask\n\napp = flask.Flask(__name__)\n\n\n@app.get(\"/\")\ndef hello():\n    return \"hello\"\n",
    ),
];
/// What the demo's acts are called here: the beginning of a title, which thing seen under it, and our words.
const ACTS: [(&str, usize, &str, &str); 4] = [
    ("6", 0, "first start of a static site: fetch, build, upload, process, HTTP 200", "< 3"),
    ("6", 3, "a push until HTTP 200 of a static site, built again", "< 3"),
    ("8", 0, "a merge until main's Deployment has beta's digest, 0 builds", "< 2"),
    ("8", 1, "the same until main's page is the new one, from there on", ""),
];

/// Seconds of each run, by what was done.
type Took = BTreeMap<usize, Vec<f64>>;

struct Bench {
    binary: PathBuf,
    folder: tempfile::TempDir,
    host: String,
    repository: String,
    commit: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let runs = std::env::var("RUNS").ok().map_or(Ok(5), |runs| runs.parse::<usize>()).context("RUNS is a number")?;
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    let registry = Registry::start(&folder.path().join("registry"), 0).await?;
    let binary = binary()?;
    let (repository, commit) = repository(folder.path())?;
    let bench = Bench { binary, host: registry.host(), folder, repository, commit };
    let (mut first, mut second, mut acts) = (Vec::new(), Vec::new(), Took::new());
    for run in 0..runs {
        let state = bench.folder.path().join(format!("state-{run}"));
        first.push(bench.build(&state, &format!("{run}-first"))?);
        second.push(bench.build(&state, &format!("{run}-second"))?);
        bench.demo(&mut acts)?;
        eprintln!("run {} of {runs}", run + 1);
    }
    println!("{runs} runs\n\n| what | aim, s | middle, s | slowest, s |\n|---|---|---|---|");
    row("Python example, first build: fetch, 7 packages, export, upload", "", first);
    row("the same with nothing changed", "< 1", second);
    for (at, (_, _, what, aim)) in ACTS.iter().enumerate() {
        row(what, aim, acts.remove(&at).unwrap_or_default());
    }
    Ok(())
}

impl Bench {
    /// Builds the example with what an earlier build left in `state`.
    fn build(&self, state: &Path, tag: &str) -> anyhow::Result<f64> {
        let image = format!("{}/toolforge/tool-x/web:{tag}", self.host);
        let begun = Instant::now();
        let mut command = Command::new(&self.binary);
        command.args(["build-image", &self.repository, &self.commit, "--image", &image]).env("TOOLFORGE_STATE", state);
        let ran = command.stdin(Stdio::null()).output()?;
        let took = begun.elapsed().as_secs_f64();
        ensure!(
            ran.status.success(),
            "{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        Ok(took)
    }

    fn demo(&self, took: &mut Took) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["demo", "--exit", "--json"]).env("TMPDIR", self.folder.path()).stdin(Stdio::null());
        let ran = command.output()?;
        ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let said: Value = serde_json::from_slice(&ran.stdout)?;
        let acts = said["acts"].as_array().context("acts")?;
        for (at, (title, which, what, _)) in ACTS.iter().enumerate() {
            let mut under = acts.iter().filter(|act| act["title"].as_str().is_some_and(|it| it.starts_with(title)));
            let millis = under.nth(*which).and_then(|act| act["millis"].as_f64()).with_context(|| what.to_owned())?;
            took.entry(at).or_default().push(millis / 1000.0);
        }
        Ok(())
    }
}

fn row(what: &str, aim: &str, mut secs: Vec<f64>) {
    secs.sort_by(f64::total_cmp);
    let (middle, slowest) = (secs.get(secs.len() / 2), secs.last());
    println!("| {what} | {aim} | {:.2} | {:.2} |", middle.unwrap_or(&f64::NAN), slowest.unwrap_or(&f64::NAN));
}

/// The release binary, built as it stands.
fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("TOOLFORGE") {
        return PathBuf::from(named).canonicalize().context("TOOLFORGE names no program");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo says of this package would make the build scripts of others run again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    let status =
        cargo.args(["build", "--release", "-p", "reconciler", "--bin", "toolforge"]).current_dir(root).status();
    ensure!(status.context("run cargo")?.success(), "cargo build --release failed; what it said is above");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/toolforge").canonicalize()?)
}

/// A repository with the example, and its commit.
fn repository(folder: &Path) -> anyhow::Result<(String, String)> {
    let path = folder.join("repository");
    std::fs::create_dir(&path)?;
    for (name, content) in FILES {
        std::fs::write(path.join(name), content)?;
    }
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let mut command = Command::new("git");
        command.current_dir(&path).args(["-c", "user.name=A", "-c", "user.email=a@example.org"]).args(arguments);
        let ran = command.stdin(Stdio::null()).output().context("git")?;
        ensure!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
    };
    git(&["init", "-q", "-b", "main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "-q", "-m", "First"])?;
    Ok((path.display().to_string(), git(&["rev-parse", "HEAD"])?))
}
