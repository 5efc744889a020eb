//! The user's own git, in their own clone: their credentials, their hooks, their remotes. It is asked with exact refs and
//! never with a `+` or a `--force`.

use crate::ui::{Failure, Ui, failed, wrong_use};
use renderer::CommitId;
use renderer::build::same_repository;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::process::Command;

/// A clone, and the remote of it that is meant.
pub struct OwnGit {
    root: PathBuf,
    remote: String,
}

impl OwnGit {
    /// The remote of a clone that is this repository.
    pub async fn of(root: &Path, repository: &str) -> Result<Self, Failure> {
        let bare = Self { root: root.to_owned(), remote: String::new() };
        let remotes = bare.text(&["remote"]).await?;
        for remote in remotes.lines() {
            let url = bare.text(&["remote", "get-url", "--push", "--", remote]).await?;
            if same_repository(&url, repository) || is_folder(root, &url, repository) {
                return Ok(Self { remote: remote.to_owned(), ..bare });
            }
        }
        let hint = format!("Run `git remote add toolforge {repository}`, or go to a clone of it.");
        Err(wrong_use(format!("no remote of this clone is {repository}")).hint(hint))
    }

    /// Where a branch of the remote stands now; none where there is none. Its commit is here afterwards.
    pub async fn tip(&self, branch: &str) -> Result<Option<CommitId>, Failure> {
        let name = format!("refs/heads/{branch}");
        let listed = self.text(&["ls-remote", "--quiet", "--", &self.remote, &name]).await?;
        let line = listed.lines().find_map(|line| line.split_once('\t').filter(|(_, found)| *found == name));
        let Some((id, _)) = line else { return Ok(None) };
        self.text(&["fetch", "--quiet", "--no-tags", "--", &self.remote, &name]).await?;
        CommitId::new(id).map(Some).map_err(|_| failed(format!("{branch} of {} is no commit: {id}", self.remote)))
    }

    /// Whether there is nothing in `old` that `new` has not.
    pub async fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> Result<bool, Failure> {
        let args = ["merge-base", "--is-ancestor", old.as_str(), new.as_str()];
        let output = self.run(&args).await?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(refused(&args, &output)),
        }
    }

    /// How many commits `new` has that `old` has not, and how the newest few of them read.
    pub async fn commits(&self, old: &CommitId, new: &CommitId) -> Result<(usize, Vec<String>), Failure> {
        let range = format!("{old}..{new}");
        let count = self.text(&["rev-list", "--count", &range]).await?;
        let lines = self.text(&["log", "--no-color", "--max-count=10", "--format=%h %s", &range]).await?;
        let count = count.parse().map_err(|_| failed(format!("git counts {count:?} commits")))?;
        Ok((count, lines.lines().map(str::to_owned).collect()))
    }

    /// Pushes one commit to one branch. The remote takes it only where that moves the branch forward.
    pub async fn push(&self, commit: &CommitId, branch: &str, ui: &Ui) -> Result<(), Failure> {
        let refspec = format!("{commit}:refs/heads/{branch}");
        let args = ["push", "--no-follow-tags", "--", &self.remote, &refspec];
        // It may ask for a password, and says on stderr how it goes.
        let mut command = self.command(&args);
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        let running = command.spawn().map_err(|error| absent(&error))?;
        let output = running.wait_with_output().await.map_err(|error| absent(&error))?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            ui.say(line);
        }
        if output.status.success() {
            return Ok(());
        }
        let hint = "See what git said above. Nothing was forced: where the branch moved meanwhile, run it again.";
        Err(failed(format!("git did not push to {branch} of {}", self.remote)).hint(hint))
    }

    /// The remote's name.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    async fn text(&self, args: &[&str]) -> Result<String, Failure> {
        let output = self.run(args).await?;
        if !output.status.success() {
            return Err(refused(args, &output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    async fn run(&self, args: &[&str]) -> Result<Output, Failure> {
        let mut command = self.command(args);
        command.stdin(Stdio::inherit()).stderr(Stdio::piped());
        command.output().await.map_err(|error| absent(&error))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.root).args(args).stdout(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// Both are folders on this machine, and the same one.
fn is_folder(root: &Path, url: &str, repository: &str) -> bool {
    let real = |name: &str| root.join(name.strip_prefix("file://").unwrap_or(name)).canonicalize().ok();
    let (one, other) = (real(url), real(repository));
    one.is_some() && one == other
}

fn refused(args: &[&str], output: &Output) -> Failure {
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    failed(format!("git {} failed: {words}", args.first().unwrap_or(&"")))
        .hint("Run it by hand in this folder to see more.")
}

fn absent(error: &std::io::Error) -> Failure {
    failed(format!("cannot run git: {}", crate::ui::plain(error))).hint("Install git: it is your own that pushes.")
}
