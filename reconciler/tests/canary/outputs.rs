//! Everything that the platform says, by where.

use crate::stage::{Channel, Stage, canary};
use anyhow::ensure;
use reconciler::secrets::{Vault, deploy_keys, values_in_namespace};
use reconciler::source::RepositoryUrl;
use renderer::request::deploy_key_secret;
use renderer::{Secret, ToolName};
use std::path::PathBuf;

/// Commands, with the tool's name where it says TOOL and a file of its own where it says FILE.
const COMMANDS: &[&str] = &[
    "diff TOOL",
    "diff TOOL --json",
    "diff TOOL --yaml",
    "diff TOOL --markdown",
    "diff TOOL --fields",
    "diff TOOL --fields --json",
    "diff TOOL --out FILE",
    "diff TOOL -vvv",
    "status",
    "status --json",
    "status TOOL",
    "status TOOL --json",
    "history TOOL",
    "history TOOL --json",
    "audit TOOL",
    "audit TOOL --json",
    "image TOOL",
    "deploy-key TOOL",
    "deploy-key TOOL --json",
    "builds TOOL",
    "builds TOOL --json",
    "logs TOOL",
    "logs TOOL --build",
    "apply TOOL --force",
    "apply TOOL --force --json -vvv",
];
/// Commands that look at the files alone.
const LOCAL: &[&str] = &["check", "check --json", "render", "secrets list"];
/// Those that take no namespace of a platform's.
const WITHOUT_PLATFORM: &[&str] = &["status", "history", "audit"];
/// What the platform wrote into the cluster. Of pods and Secrets nothing is its word.
const OBJECTS: &[&str] = &[
    "tools",
    "configmaps",
    "controllerrevisions",
    "deployments",
    "replicasets",
    "jobs",
    "services",
    "leases",
    "validatingadmissionpolicies --selector=app.kubernetes.io/managed-by=toolforge",
    "events --namespace=default",
];
const PAGES: &[&str] = &["", "metrics", "healthz", "readyz"];

/// Each with what it says now.
pub async fn all(stage: &Stage<'_>) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = vec![
        ("the log".to_owned(), stage.running.err.all().join("\n")),
        ("the passes as JSON".to_owned(), stage.running.out.all().join("\n")),
        ("a panic".to_owned(), panic_of(stage).await?),
    ];
    for command in COMMANDS {
        all.push(ran(stage, command).await?);
    }
    let folder = worktree(stage)?;
    for command in LOCAL {
        let arguments: Vec<_> = command.split(' ').collect();
        let ran = stage.program.run_local(&folder, &arguments).await?;
        all.push(((*command).to_owned(), format!("{}\n{}{command}", ran.out, ran.err)));
    }
    for object in OBJECTS {
        let mut arguments = vec!["get", "--output=yaml"];
        arguments.extend(object.split(' '));
        if !object.contains("--namespace") {
            arguments.push("--all-namespaces");
        }
        all.push(((*object).to_owned(), stage.platform.kubectl(&arguments).await?));
    }
    for page in PAGES {
        let answer = reqwest::get(format!("http://{}/{page}", stage.web)).await?;
        let head = format!("{} {:?}", answer.status(), answer.headers());
        all.push((format!("/{page}"), format!("{head}\n{}", answer.text().await?)));
    }
    Ok(all)
}

async fn ran(stage: &Stage<'_>, command: &str) -> anyhow::Result<(String, String)> {
    let (tool, file) = (&stage.tool, stage.program.home().join("plan.json"));
    let written = command.replace("TOOL", tool.name()).replace("FILE", &file.display().to_string());
    let namespace = stage.platform.namespace();
    let mut arguments: Vec<&str> = written.split(' ').collect();
    if !WITHOUT_PLATFORM.contains(&arguments[0]) && !command.starts_with("logs TOOL") {
        arguments.extend(["--platform-namespace", &namespace]);
    }
    if command.starts_with("logs") {
        arguments.extend(["--platform-namespace", &namespace]);
    }
    let ran = stage.program.run(&arguments).await?;
    ensure!(!ran.err.contains("Usage: "), "{command}: {}", ran.err);
    let mut text = format!("exit {}\n{}\n{}", ran.code, ran.out, ran.err);
    if file.exists() {
        text.push_str(&std::fs::read_to_string(&file)?);
        std::fs::remove_file(&file)?;
    }
    Ok((command.to_owned(), text))
}

/// A working tree of the tool.
fn worktree(stage: &Stage<'_>) -> anyhow::Result<PathBuf> {
    let (tool, folder) = (&stage.tool, stage.program.home().join("worktree"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let (from, to) = (tool.repository().path().display().to_string(), folder.display().to_string());
    let cloned = std::process::Command::new("git").args(["clone", "--quiet", "--branch=main", &from, &to]).status()?;
    ensure!(cloned.success(), "git clone {from}");
    Ok(folder)
}

/// What is said where something that holds secrets falls into the hands of `{:?}`.
async fn panic_of(stage: &Stage<'_>) -> anyhow::Result<String> {
    let settings = stage.platform.settings()?;
    let vault = Vault::of_platform(stage.platform.client(), &settings).await;
    vault.keep(vec![Secret::new(canary(Channel::Registry))]);
    let tool = ToolName::new(stage.tool.name())?;
    let known = values_in_namespace(stage.platform.client(), &tool).await?;
    ensure!(!known.is_empty(), "there are secrets in the tool's namespace");
    let mut address = url::Url::parse(stage.platform.config().url())?;
    let taken = address.set_username("me").and_then(|()| address.set_password(Some(canary(Channel::Git))));
    let address = RepositoryUrl::parse(address.as_str())?;
    ensure!(taken.is_ok() && address.credentials().is_some(), "{address} has no password");
    let keys = deploy_keys::read(stage.platform.client(), &settings.namespace, &deploy_key_secret(&tool)).await;
    ensure!(keys.as_ref().is_ok_and(Option::is_some), "there is a key of the tool's: {keys:?}");
    Ok(format!("{vault:?} {settings:?} {address:?} {address} {keys:?}"))
}
