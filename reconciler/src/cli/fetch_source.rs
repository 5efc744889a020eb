//! `fetch-source`: the first step of a build, in the build's own pod. It writes a commit's files where the buildpacks look
//! for them, and the environment of the build beside them. People have `git clone`.

use crate::ui::{Exit, Ui, failed, wrong_use};
use anyhow::Context as _;
use planner::Moment;
use reconciler::dialer::{Dialer, Rules};
use reconciler::source::{Git, RepositoryUrl, Scheme, Settings, SourceError, Ssh};
use renderer::CommitId;
use std::path::{Path, PathBuf};

/// Variables that begin so are the environment of the build.
const ENVIRONMENT: &str = "BUILD_ENV_";

/// Write a commit's files into a folder, for a build
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge fetch-source https://gitlab.example/wordcount 35b594f… --into /workspace")]
pub struct Args {
    /// The repository's URL
    repository: String,
    /// The whole commit id
    commit: String,
    /// An empty folder
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
    /// A folder below the repository's root
    #[arg(long, value_name = "PATH", default_value = "")]
    path: String,
    /// Where the build finds its environment (variables that begin with BUILD_ENV_), buildpacks and run image
    #[arg(long, value_name = "FOLDER")]
    platform: Option<PathBuf>,
    /// A buildpack to use, in order
    #[arg(long = "buildpack", value_name = "ID@VERSION")]
    buildpacks: Vec<String>,
    /// What the image will stand on
    #[arg(long, value_name = "IMAGE")]
    run_image: Option<String>,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let url = RepositoryUrl::parse(&args.repository).map_err(|error| wrong_use(error.to_string()))?;
    let commit = CommitId::new(&args.commit).map_err(|error| wrong_use(error.to_string()))?;
    if std::fs::read_dir(&args.into).is_ok_and(|mut entries| entries.next().is_some()) {
        let full = wrong_use(format!("{} is not empty", args.into.display()));
        return Err(full.hint("Name an empty folder, or one that does not exist.").into());
    }
    std::fs::create_dir_all(&args.into).with_context(|| format!("cannot make {}", args.into.display()))?;
    let cache = tempfile::tempdir().context("cannot make a folder to fetch into")?;
    let git = git(&url, cache.path())?;
    let written = git.checkout(&url, &commit, &args.path, &args.into).await;
    let written = written.map_err(|error| unread(&url, error))?;
    if let Some(platform) = &args.platform {
        let told = tell_build(platform, args, Moment::from_unix_secs(written.committed_secs));
        told.with_context(|| format!("cannot write {}", platform.display()))?;
    }
    ui.say(&format!("{} files, {} bytes, of commit {}", written.files, written.bytes, commit.short()));
    Ok(Exit::Done)
}

/// For one repository, as a tool's is reached: inner addresses only where they are spelt out. Over ssh the key of the
/// environment is its own.
pub fn git(url: &RepositoryUrl, cache: &Path) -> anyhow::Result<Git> {
    let mut rules = Rules::default();
    if let Some(host) = url.host_port() {
        rules.name(host, url.written_port());
    }
    let mut settings = Settings::new(cache);
    settings.ssh = Ssh::from_env(url, |name| std::env::var(name).ok()).map_err(|error| wrong_use(error.to_string()))?;
    Ok(Git::new(Dialer::new(rules), settings, Vec::new()))
}

pub fn unread(url: &RepositoryUrl, error: SourceError) -> anyhow::Error {
    let hint = match error {
        // Whose build this is, is not known here.
        SourceError::NoKey { .. } | SourceError::Denied { .. } if url.scheme() == Scheme::Ssh => Some(
            "Run `toolforge deploy-key <tool>`, and add the key that it shows to the repository, for reading."
                .to_owned(),
        ),
        _ => error.hint(),
    };
    let failed = failed(format!("cannot fetch {url}")).because(error);
    match hint {
        Some(hint) => failed.hint(hint).into(),
        None => failed.into(),
    }
}

/// The platform folder of the CNB specification: a file for each variable; and what a lifecycle is told beside it, the
/// order of the buildpacks, the run image, and what is being built.
fn tell_build(platform: &Path, args: &Args, committed: Moment) -> std::io::Result<()> {
    let folder = platform.join("env");
    std::fs::create_dir_all(&folder)?;
    for (name, value) in std::env::vars() {
        if let Some(name) = name.strip_prefix(ENVIRONMENT).filter(|name| !name.is_empty() && !name.contains('/')) {
            std::fs::write(folder.join(name), value)?;
        }
    }
    std::fs::write(platform.join("project-metadata.toml"), project(&args.commit, committed))?;
    if let Some(image) = &args.run_image {
        std::fs::write(platform.join("run.toml"), run_image(image))?;
    }
    if args.buildpacks.is_empty() {
        return Ok(());
    }
    std::fs::write(platform.join("order.toml"), order(&args.buildpacks))
}

/// One group, in which each has to take part.
fn order(buildpacks: &[String]) -> String {
    let entry = |buildpack: &String| match buildpack.split_once('@') {
        Some((id, version)) => format!("\n[[order.group]]\nid = {}\nversion = {}\n", text(id), text(version)),
        None => format!("\n[[order.group]]\nid = {}\n", text(buildpack)),
    };
    std::iter::once("[[order]]\n".to_owned()).chain(buildpacks.iter().map(entry)).collect()
}

/// By its name: a rebase brings another digest of the same name.
fn run_image(image: &str) -> String {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    format!("[[images]]\nimage = {}\n", text(name))
}

/// Becomes a label of the image, which has no date of its own so that it is the same each time.
fn project(commit: &str, committed: Moment) -> String {
    let (commit, committed) = (text(commit), text(&committed.to_string()));
    format!("[source]\ntype = \"git\"\n\n[source.version]\ncommit = {commit}\ncommitted = {committed}\n")
}

/// A JSON string is a TOML string.
fn text(value: &str) -> serde_json::Value {
    serde_json::Value::from(value)
}

#[cfg(test)]
mod tests {
    use super::{order, run_image};

    #[test]
    fn the_order_is_one_group_in_the_order_given() {
        let text = order(&["heroku/python@1.2.3".to_owned(), "a\"b".to_owned()]);
        let first = "[[order.group]]\nid = \"heroku/python\"\nversion = \"1.2.3\"\n";
        assert_eq!(text, format!("[[order]]\n\n{first}\n[[order.group]]\nid = \"a\\\"b\"\n"));
    }

    #[test]
    fn the_run_image_is_named_without_its_digest() {
        assert_eq!(run_image("registry.example/run:12@sha256:00"), "[[images]]\nimage = \"registry.example/run:12\"\n");
    }
}
