//! A commit's files on disk: as they are in the repository, and nothing from outside or of git.

mod git_host;

use git_host::{Host, Repository, git, reader};
use reconciler::source::{Git, NotAFile, RepositoryUrl, SourceError, Written};
use renderer::CommitId;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

async fn checkout(
    git: &Git,
    url: &RepositoryUrl,
    commit: &str,
    path: &str,
    into: &Path,
) -> Result<Written, SourceError> {
    fs::create_dir(into).expect("a folder");
    git.checkout(url, &CommitId::new(commit).expect("a commit"), path, into).await
}

#[tokio::test]
async fn a_commit_is_written_as_it_is_with_its_modes_and_links_and_without_git() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    repository.write("bin/run", b"#!/bin/sh\n");
    fs::set_permissions(repository.path.join("bin/run"), fs::Permissions::from_mode(0o755)).expect("a mode");
    repository.write("data/a b.txt", &[0, 159, 146, 150]);
    std::os::unix::fs::symlink("../data/a b.txt", repository.path.join("bin/data")).expect("a link");
    let commit = repository.commit_all();
    repository.write("later", b"a later commit");
    repository.commit_all();
    let host = Host::start(folder.path()).await;
    let reader = reader(&folder.path().join("cache"), &[host.port]);
    for (name, url) in [("local", RepositoryUrl::local(&repository.path)), ("http", host.url("tool/.git"))] {
        let into = folder.path().join(name);
        let written = checkout(&reader, &url, &commit, "", &into).await.expect("a checkout");
        assert_eq!(written.files, 3, "{name}");
        assert_eq!(fs::read(into.join("bin/data")).expect("through the link"), [0, 159, 146, 150]);
        let mode = |file: &str| fs::metadata(into.join(file)).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("bin/run") & 0o100, mode("data/a b.txt") & 0o111), (0o100, 0));
        assert!(!into.join("later").exists() && !into.join(".git").exists());
        let part = folder.path().join(format!("{name}-part"));
        assert_eq!(checkout(&reader, &url, &commit, "data", &part).await.expect("a part").files, 1);
        assert!(part.join("a b.txt").exists());
        let none = checkout(&reader, &url, &commit, "nowhere", &folder.path().join(format!("{name}-none"))).await;
        assert!(none.expect_err("no such folder").to_string().contains("has no folder nowhere"));
    }
}

#[tokio::test]
async fn what_leads_out_or_is_not_what_it_seems_is_refused_and_writes_nothing_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let reader = reader(&folder.path().join("cache"), &[]);
    let outside = folder.path().join("outside");
    fs::write(&outside, "untouched").expect("a file");
    let mut number = 0;
    let mut refused = async |mode: &str, name: &str, content: &[u8]| {
        number += 1;
        let repository = Repository::new(folder.path(), &format!("hostile-{number}"));
        repository.write("content", content);
        let blob = repository.git(&["hash-object", "-w", "content"]);
        let entry = if mode == "160000" { "1".repeat(40) } else { blob.trim().to_owned() };
        let kind = if mode == "160000" { "commit" } else { "blob" };
        let listing = folder.path().join(format!("listing-{number}"));
        fs::write(&listing, format!("{mode} {kind} {entry}\t{name}\n")).expect("a listing");
        let make = format!("git mktree --missing < '{}'", listing.display());
        let made = std::process::Command::new("sh").args(["-c", &make]).current_dir(&repository.path).output();
        let tree = String::from_utf8(made.expect("git").stdout).expect("an id").trim().to_owned();
        let commit = git(&repository.path, &["commit-tree", &tree, "-m", "hostile"]).trim().to_owned();
        let into = folder.path().join(format!("into-{number}"));
        let url = RepositoryUrl::local(&repository.path);
        checkout(&reader, &url, &commit, "", &into).await.expect_err("it is refused")
    };
    let link = refused("120000", "link", b"../../outside").await;
    assert!(link.to_string().contains("link is a link that leads out of the repository"), "{link}");
    let absolute = refused("120000", "link", outside.to_string_lossy().as_bytes()).await;
    assert!(absolute.to_string().contains("leads out"), "{absolute}");
    let hooks = refused("100644", ".GIT", b"x").await;
    assert!(hooks.to_string().contains("is no name for a file"), "{hooks}");
    let submodule = refused("160000", "library", b"x").await;
    assert!(matches!(&submodule, SourceError::NotAFile { is: NotAFile::Submodule, path } if path == "library"));
    assert!(submodule.hint().expect("a hint").contains("submodules are not fetched"));
    let lfs = refused("100644", "large.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n").await;
    assert!(matches!(lfs, SourceError::NotAFile { is: NotAFile::LfsPointer, .. }), "{lfs}");
    assert_eq!(fs::read_to_string(&outside).expect("it is there"), "untouched");
}
