//! What is to be built of a new commit, in a repository of 10,000 files: from the commit's id to the id of its build, over
//! http, without a checkout.
//!
//! Run: `cargo bench -p tests --bench build_id`. The git host is in this process and starts `git http-backend` for each
//! request. Prints a table; the middle and the slowest of 20 commits.

#![expect(clippy::print_stdout, reason = "a program that prints a table and stops at the first surprise")]

use anyhow::{Context as _, ensure};
use reconciler::dialer::{Dialer, HostPort, Rules};
use reconciler::source::{Git, Settings};
use renderer::platform::{Backend, Builds, Tekton};
use renderer::{BuildId, CommitId, Platform, Siblings, Tool, ToolName};
use std::time::{Duration, Instant};
use tests::git_server::{GitServer, Repository};

const FILES: usize = 10_000;
const FILES_A_FOLDER: usize = 100;
const COMMITS: usize = 20;
const TOOLFORGE_YAML: &str = "components:\n  web:\n    build: {ref: main}\n    run: {command: web}\n";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let host = GitServer::start().await?;
    let repository = host.repository("large")?;
    fill(&repository)?;
    let mut rules = Rules::default();
    let host = HostPort::parse(repository.url().trim_start_matches("http://").split('/').next().context("a host")?);
    rules.name(host, None);
    let cache = tempfile::tempdir()?;
    let git = Git::new(Dialer::new(rules), Settings::new(cache.path()), Vec::new());
    let tool = tool(&repository)?;
    let mut platform = Platform::builtin();
    let backend = Backend::Tekton(Tekton { pipeline: "buildpacks".to_owned(), service_account: None });
    platform.builds = Some(Builds::by(backend));

    println!("{FILES} files, {COMMITS} commits of one file each\n");
    println!("| what | middle, ms | slowest, ms |\n|---|---|---|");
    let (mut read, mut told, mut last) = (Vec::new(), Vec::new(), None);
    for n in 0..COMMITS {
        let commit = CommitId::new(repository.commit(&[("folder-7/file-7.py", &format!("print({n})\n"))])?)?;
        let begun = Instant::now();
        let revision = git.revision(&tool, &commit).await?;
        read.push(begun.elapsed());
        let begun = Instant::now();
        let rendered = renderer::render_revision(&platform, &tool, &revision, &Siblings::default());
        told.push(begun.elapsed());
        let id: BuildId = rendered.builds.first().context("a build")?.id.clone();
        ensure!(last.replace(id.clone()) != Some(id), "another tree is another build");
    }
    row("a new commit read from the git host", read);
    row("rendered, its build's id included", told);
    Ok(())
}

fn row(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let ms = |duration: Option<&Duration>| duration.map_or(0.0, |duration| duration.as_secs_f64() * 1000.0);
    println!("| {what} | {:.1} | {:.1} |", ms(took.get(took.len() / 2)), ms(took.last()));
}

fn fill(repository: &Repository) -> anyhow::Result<()> {
    let name = |n: usize| format!("folder-{}/file-{}.py", n / FILES_A_FOLDER, n % FILES_A_FOLDER);
    let files: Vec<_> = (0..FILES).map(|n| (name(n), format!("print('{n}')\n"))).collect();
    let mut files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("toolforge.yaml", TOOLFORGE_YAML));
    repository.commit(&files)?;
    // As a host keeps what was pushed to it some time ago.
    repository.git(&["gc", "--quiet"]).map(drop)
}

fn tool(repository: &Repository) -> anyhow::Result<Tool> {
    Ok(Tool::of(ToolName::new("large")?, repository.url()))
}
