//! What the environment says; the table of variables is in the program's own documentation.

use anyhow::{Context as _, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

pub struct Settings {
    tools: Option<usize>,
    pub runs: usize,
    pub minutes: u64,
    pub edits: usize,
    pub diffs: usize,
    pub failing_percent: usize,
    pub passes: usize,
    /// The release binary.
    pub program: PathBuf,
    /// A cluster of somebody's, and a context of it.
    pub cluster: Option<(PathBuf, Option<String>)>,
}

impl Settings {
    pub fn from_environment() -> anyhow::Result<Self> {
        let text = |name| std::env::var(name).ok();
        let number = |name: &'static str, otherwise: usize| variable(name).map(|n| n.unwrap_or(otherwise));
        Ok(Self {
            tools: variable("TOOLS")?,
            runs: number("RUNS", 3)?,
            minutes: variable("MINUTES")?.unwrap_or(10),
            edits: number("EDITS", 200)?,
            diffs: number("DIFFS", 10)?,
            failing_percent: number("FAILING_PERCENT", 30)?,
            passes: number("PASSES", 8)?,
            program: text("TOOLFORGE").map_or_else(build, |path| Ok(path.into()))?,
            cluster: text("ENGINE_KUBECONFIG").map(|file| (file.into(), text("ENGINE_CONTEXT"))),
        })
    }

    pub fn tools(&self, otherwise: usize) -> usize {
        self.tools.unwrap_or(otherwise)
    }

    /// On what this is measured.
    pub fn told(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown");
        let cluster = if self.cluster.is_some() { "a cluster of its own" } else { "a kube-apiserver on this machine" };
        format!("{cluster}; {cores} cores, load {load} at the beginning; {} tools at once", self.passes)
    }
}

fn variable<T: FromStr>(name: &str) -> anyhow::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).with_context(|| format!("{name}={text}"))
}

/// cargo gives a fresh binary of another package to nobody's benchmark, so it is asked for here.
fn build() -> anyhow::Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo says of this package would make the build scripts of others run again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    let status =
        cargo.args(["build", "--release", "-p", "reconciler", "--bin", "toolforge"]).current_dir(&root).status();
    ensure!(status.context("run cargo")?.success(), "cargo build --release failed; what it said is above");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/toolforge").canonicalize()?)
}
