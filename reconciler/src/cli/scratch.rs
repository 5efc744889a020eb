//! Folders that are thrown away, and git repositories in them.

use crate::ui::{failed, plain, wrong_use};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A scratch folder, removed when this is dropped.
pub fn folder(prefix: &str) -> anyhow::Result<TempDir> {
    // Where we are root, what runs is not, and has to pass.
    let mode = if local::cell::is_root() { 0o711 } else { 0o700 };
    let folder = tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(mode)).tempdir();
    Ok(folder.map_err(|error| failed(format!("cannot make a scratch folder: {}", plain(&error))))?)
}

/// Runs git in a folder, with nobody's configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut git = Command::new("git");
    git.args(["-c", "core.fsmonitor=false"]).args(arguments).current_dir(folder);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        git.env_remove(name);
    }
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "toolforge");
        git.env(format!("GIT_{role}_EMAIL"), "scratch@toolforge.invalid");
    }
    let output = git.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            wrong_use("git is not installed").hint("Install it, for example with `apt install git`.")
        }
        _ => failed(format!("cannot run git: {}", plain(&error))),
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "git {}: {}", arguments.join(" "), said.trim());
    Ok(output.stdout)
}
