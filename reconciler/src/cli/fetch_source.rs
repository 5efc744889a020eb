//! `fetch-source`: the first step of a build, in the build's own pod. It writes a commit's files where the buildpacks look
//! for them, and the environment of the build beside them. People have `git clone`.

use crate::ui::{Exit, Ui, failed, wrong_use};
use anyhow::Context as _;
use reconciler::dialer::{Dialer, Rules};
use reconciler::source::{Git, RepositoryUrl, Settings, SourceError};
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
    /// Where buildpacks find the environment (variables that begin with BUILD_ENV_) and their order
    #[arg(long, value_name = "FOLDER")]
    platform: Option<PathBuf>,
    /// A buildpack to use, in order
    #[arg(long = "buildpack", value_name = "ID")]
    buildpacks: Vec<String>,
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
    let git = Git::new(Dialer::new(rules(&url)), Settings::new(cache.path()), Vec::new());
    let written = git.checkout(&url, &commit, &args.path, &args.into).await;
    let written = written.map_err(|error| unread(&url, error))?;
    if let Some(platform) = &args.platform {
        tell_buildpacks(platform, &args.buildpacks).with_context(|| format!("cannot write {}", platform.display()))?;
    }
    ui.say(&format!("{} files, {} bytes, of commit {}", written.files, written.bytes, commit.short()));
    Ok(Exit::Done)
}

/// The one host, as a tool's repository is reached: inner addresses only where they are spelt out.
pub fn rules(url: &RepositoryUrl) -> Rules {
    let mut rules = Rules::default();
    if let Some(host) = url.host_port() {
        rules.name(host);
    }
    rules
}

pub fn unread(url: &RepositoryUrl, error: SourceError) -> anyhow::Error {
    let hint = error.hint();
    let failed = failed(format!("cannot fetch {url}")).because(error);
    match hint {
        Some(hint) => failed.hint(hint).into(),
        None => failed.into(),
    }
}

/// The platform folder of the CNB specification: a file for each variable, and the order of the buildpacks.
fn tell_buildpacks(platform: &Path, buildpacks: &[String]) -> std::io::Result<()> {
    let folder = platform.join("env");
    std::fs::create_dir_all(&folder)?;
    for (name, value) in std::env::vars() {
        if let Some(name) = name.strip_prefix(ENVIRONMENT).filter(|name| !name.is_empty() && !name.contains('/')) {
            std::fs::write(folder.join(name), value)?;
        }
    }
    if buildpacks.is_empty() {
        return Ok(());
    }
    std::fs::write(platform.join("order.toml"), order(buildpacks))
}

/// One group, in which each has to take part.
fn order(buildpacks: &[String]) -> String {
    // A JSON string is a TOML string.
    let entry = |id: &String| format!("\n[[order.group]]\nid = {}\n", serde_json::Value::from(id.as_str()));
    std::iter::once("[[order]]\n".to_owned()).chain(buildpacks.iter().map(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn the_order_is_one_group_in_the_order_given() {
        let text = order(&["heroku/python".to_owned(), "a\"b".to_owned()]);
        assert_eq!(text, "[[order]]\n\n[[order.group]]\nid = \"heroku/python\"\n\n[[order.group]]\nid = \"a\\\"b\"\n");
    }
}
