//! Which revision is looked at: the working tree, a branch or a commit; of the repository at hand, or of the tool's own.

use super::Args;
use crate::cli::target::{Target, is_repository_of};
use crate::ui::{Failure, Ui, failed, wrong_use};
use reconciler::source::worktree::Worktree;
use reconciler::source::{Git, RepositoryUrl, SourceError};
use reconciler::source::{licence, signature};
use renderer::config::ParseContext;
use renderer::{CommitId, Revision, Tool, sources_needed};
use std::collections::BTreeMap;

/// The revision that was asked for, complete with what it builds elsewhere.
pub async fn wanted(args: &Args, target: &Target, here: &Worktree, ui: &Ui) -> anyhow::Result<Revision> {
    let at_hand = is_repository_of(&target.tool, here);
    let mut revision = match (&args.branch, &args.commit) {
        (None, None) if at_hand => working_tree(&target.tool, here, &target.declared.git, ui).await?,
        (branch, commit) => {
            let repository = if at_hand { at(&target.tool, here) } else { target.tool.clone() };
            let name = commit.as_ref().or(branch.as_ref()).unwrap_or(&target.tool.branch);
            tip(target, &repository, name).await?
        }
    };
    resolve(&mut revision, target).await;
    add_licences(&mut revision, target, here).await?;
    Ok(signature::verified(revision, &target.declared.platform, &target.tool))
}

/// What a commit says, of the repository at hand where it is this tool's.
pub async fn of_commit(target: &Target, here: &Worktree, commit: &CommitId) -> Result<Revision, Failure> {
    let at_hand = is_repository_of(&target.tool, here);
    let repository = if at_hand { at(&target.tool, here) } else { target.tool.clone() };
    let mut revision = tip(target, &repository, commit.as_str()).await?;
    resolve(&mut revision, target).await;
    add_licences(&mut revision, target, here).await?;
    Ok(signature::verified(revision, &target.declared.platform, &target.tool))
}

/// Adds what is built from elsewhere.
async fn resolve(revision: &mut Revision, target: &Target) {
    let context = ParseContext::new(&target.declared.platform, &target.tool);
    let config = renderer::config::parse(&revision.files, &context).config;
    let needed: Vec<_> = sources_needed(&config, &target.tool, &target.siblings).into_iter().collect();
    revision.resolved = target.declared.git.resolve_sources(&target.tool, &needed, |_| None).await;
}

/// Adds the licences it carries, where the platform wants to know.
async fn add_licences(revision: &mut Revision, target: &Target, here: &Worktree) -> Result<(), Failure> {
    if target.declared.platform.licence.is_ignored() {
        return Ok(());
    }
    let unreadable = |error: SourceError| failed("cannot read the licence").because(error);
    let repository = if is_repository_of(&target.tool, here) { at(&target.tool, here) } else { target.tool.clone() };
    revision.facts.licences = match (&revision.commit, &here.root) {
        (Some(commit), _) => {
            let url = RepositoryUrl::parse(&repository.repository).map_err(|error| unreadable(error.into()))?;
            Some(target.declared.git.licences(&url, commit).await.map_err(unreadable)?)
        }
        (None, Some(root)) => Some(licence::of_folder(root)),
        (None, None) => None,
    };
    Ok(())
}

/// The tool, read from the repository at hand: no network, and also what was not pushed yet.
fn at(tool: &Tool, here: &Worktree) -> Tool {
    let repository = here.root.as_deref().map(|root| root.to_string_lossy().into_owned());
    Tool { repository: repository.unwrap_or_else(|| tool.repository.clone()), ..tool.clone() }
}

/// The files as they are now. Uncommitted changes have no tree that an image could be built from, so what is built is
/// taken from the last commit, and that is said.
pub async fn working_tree(tool: &Tool, here: &Worktree, git: &Git, ui: &Ui) -> anyhow::Result<Revision> {
    let clean = here.dirty == Some(false);
    let mut revision = Revision {
        commit: here.commit.clone().filter(|_| clean),
        branch: tool.branch.clone(),
        tree: here.tree.clone(),
        files: here.files.clone(),
        resolved: BTreeMap::new(),
        facts: Default::default(),
    };
    let unreadable = |error: SourceError| failed("cannot read the last commit").because(error);
    if let (Some(commit), Some(root)) = (&revision.commit, &here.root) {
        revision.facts = git.facts(&RepositoryUrl::local(root), commit).await.map_err(unreadable)?;
    }
    if let (None, Some(root), Some(commit)) = (&revision.tree, &here.root, &here.commit) {
        revision.tree = Some(git.tree(&RepositoryUrl::local(root), commit).await.map_err(unreadable)?);
        ui.say("uncommitted changes: images are shown as of the last commit; a new commit builds them again");
    }
    Ok(revision)
}

/// What `name`, a branch or a commit, says in a repository.
async fn tip(target: &Target, repository: &Tool, name: &str) -> Result<Revision, Failure> {
    let git = &target.declared.git;
    let unreadable = |error: SourceError| {
        let hint = error.hint();
        let failure = match error {
            SourceError::NoSuchRef { .. } => wrong_use(format!("cannot read {name}")),
            _ => failed(format!("cannot read {name} of {}", target.tool.name)),
        };
        failure.hint_if(hint).because(error)
    };
    let url = RepositoryUrl::of(repository).map_err(|error| unreadable(error.into()))?;
    let commit = match CommitId::new(name) {
        Ok(commit) => commit,
        Err(_) => {
            let refs = git.ls_refs(&url, [name]).await.map_err(unreadable)?;
            git.resolve(&url, &refs, name).await.map_err(unreadable)?
        }
    };
    git.revision(repository, &commit).await.map_err(unreadable)
}
