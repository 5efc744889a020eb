//! What is known of a commit besides its files: who made it.

mod git_host;

use git_host::{Repository, reader};
use reconciler::source::RepositoryUrl;
use renderer::revision::Facts;
use renderer::{CommitId, Tool, ToolName};
use std::path::Path;

/// A commit of the tree of HEAD with these bytes in place of its header's lines and message.
fn commit_of(repository: &Repository, lines: &[&[u8]]) -> CommitId {
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    let object = repository.path.join("commit-object");
    let mut bytes = format!("tree {tree}\n").into_bytes();
    bytes.extend(lines.concat());
    std::fs::write(&object, bytes).expect("written");
    let id = repository.git(&["hash-object", "-t", "commit", "-w", "--literally", "commit-object"]);
    CommitId::new(id).expect("a commit")
}

async fn facts_of(repository: &Repository, commit: &CommitId, cache: &Path) -> Facts {
    let name = ToolName::new("wordcount").expect("a name");
    let tool = Tool::of(name, repository.path.display().to_string());
    let reader = reader(cache, &[]);
    let revision = reader.revision(&tool, commit).await.expect("a revision");
    let alone = reader.facts(&RepositoryUrl::local(&repository.path), commit).await.expect("facts");
    assert_eq!(revision.facts, alone);
    alone
}

const COMMITTER: &[u8] = b"committer C <c@example.org> 1700000000 +0000\n\nmessage\n";

#[tokio::test]
async fn the_author_is_read_whatever_stands_there_and_never_an_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    repository.commit(&[("toolforge.yaml", "one")]);
    let long = format!("author {} <a@example.org> 1700000000 +0000\n", "\u{1b}]0;x\u{7}".repeat(90_000));
    for (line, author) in [
        ("author Ada Lovelace <ada@example.org> 1700000000 +0000\n", Some("Ada Lovelace")),
        ("author \u{1b}[31mAda <ada@example.org> 1700000000 +0000\n", Some("\\u{1b}[31mAda")),
        ("author  <ada@example.org> 1700000000 +0000\n", None),
        (&long, Some("\\u{1b}]0;x\\u{7}\\u{1b}]0;x\\u{7}\\u{1b}]0;x\\u{7}\\u{1b}]0;x\\u{7}...")),
    ] {
        let commit = commit_of(&repository, &[line.as_bytes(), COMMITTER]);
        let facts = facts_of(&repository, &commit, folder.path()).await;
        assert_eq!(facts.author.as_deref(), author, "{}", &line[..40]);
    }
}
