//! Repositories on this machine, over git://, config repositories, and working trees.

mod git_host;

use git_host::{Fault, Host, Repository, git, reader, reader_with};
use reconciler::source::config_repo::{self, ChoiceError};
use reconciler::source::watch_folder::WatchFolder;
use reconciler::source::{RepositoryUrl, Settings, SourceError, worktree};
use renderer::revision::{ResolvedSource, SourceRef};
use renderer::{CommitId, Tool};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const PLATFORM: &str =
    "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {name: tools}\nspec:\n  domain: tools.example\n";

fn platform(name: &str) -> String {
    PLATFORM.replace("tools}", &format!("{name}}}"))
}

fn tool_file(name: &str, repository: &str) -> String {
    format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\nspec: {{repository: {repository}}}\n"
    )
}

fn id(text: &str) -> CommitId {
    CommitId::new(text).expect("a commit")
}

fn local(path: &Path) -> RepositoryUrl {
    RepositoryUrl::local(path)
}

#[tokio::test]
async fn a_local_repository_is_read_at_its_commits_without_a_fetch() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    let commit = repository.commit(&[("toolforge.yaml", "committed")]);
    repository.git(&["tag", "-a", "v1", "-m", "one"]);
    repository.write("toolforge.yaml", b"edited");
    let reader = reader(&folder.path().join("cache"), &[]);
    for url in [local(&repository.path), local(&repository.path.join(".git"))] {
        let refs = reader.ls_refs(&url, ["main", "v1"]).await.expect("refs");
        assert_eq!(refs.head.as_deref(), Some("main"));
        assert_eq!((refs.find("main"), refs.find("v1")), (Some(id(&commit)), Some(id(&commit))));
        let snapshot = reader.snapshot(&url, &id(&commit), "").await.expect("a snapshot");
        assert_eq!(snapshot.files.config.as_deref(), Some(&b"committed"[..]));
    }
    // Packed refs and packed objects are the same repository.
    repository.git(&["gc", "-q"]);
    let refs = reader.ls_refs(&local(&repository.path), ["v1"]).await.expect("refs");
    assert_eq!(refs.find("v1"), Some(id(&commit)));
    assert_eq!(reader.counts().fetches, 0);
    assert!(!folder.path().join("cache").exists(), "nothing is cached of a local repository");
}

#[tokio::test]
async fn a_folder_without_a_repository_says_git_init_and_a_missing_one_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let reader = reader(folder.path(), &[]);
    let plain = reader.ls_refs(&local(folder.path()), ["main"]).await.expect_err("no repository");
    assert!(matches!(plain, SourceError::NotARepository { .. }));
    assert!(plain.hint().expect("a hint").contains("git init"));
    let missing = reader.ls_refs(&local(&folder.path().join("x")), ["main"]).await;
    assert!(matches!(missing, Err(SourceError::NotFound { .. })));
    let empty = Repository::new(folder.path(), "empty");
    let refs = reader.ls_refs(&local(&empty.path), ["main"]).await.expect("refs");
    assert!(refs.is_empty());
    assert_eq!(refs.head.as_deref(), Some("main"));
}

#[tokio::test]
async fn this_machine_s_git_configuration_does_not_leak_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    let commit = repository.commit(&[("toolforge.yaml", "one\r\n")]);
    repository.git(&["config", "core.autocrlf", "input"]);
    repository.git(&["config", "uploadpack.packObjectsHook", "touch hooked"]);
    let reader = reader(folder.path(), &[]);
    let snapshot = reader.snapshot(&local(&repository.path), &id(&commit), "").await.expect("a snapshot");
    assert_eq!(snapshot.files.config.as_deref(), Some(&b"one\r\n"[..]));
    assert!(!repository.path.join("hooked").exists());
}

/// `git daemon` on a loopback port; ended with the value.
struct Daemon(std::process::Child, u16);

impl Daemon {
    fn start(root: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        // The program itself: `git daemon` would be its parent, and killing that would leave it behind.
        let child = std::process::Command::new(Path::new(&git(root, &["--exec-path"])).join("git-daemon"))
            .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", root.display()))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("git daemon");
        let started = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "git daemon does not start");
            std::thread::yield_now();
        }
        Self(child, port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ended");
    }
}

#[tokio::test]
async fn the_git_protocol_is_read_on_a_checked_connection_and_a_silent_server_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let repository = Repository::new(&root, "tool");
    let commit = repository.commit(&[("toolforge.yaml", "one")]);
    let daemon = Daemon::start(&root);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("an address").port();
    let reader = reader(&folder.path().join("cache"), &[daemon.1, silent_port]);

    let url = RepositoryUrl::parse(&format!("git://127.0.0.1:{}/tool", daemon.1)).expect("a URL");
    let refs = reader.ls_refs(&url, ["main"]).await.expect("refs");
    assert_eq!((refs.head.as_deref(), refs.find("main")), (Some("main"), Some(id(&commit))));
    let snapshot = reader.snapshot(&url, &id(&commit), "").await.expect("a snapshot");
    assert_eq!(snapshot.files.config.as_deref(), Some(&b"one"[..]));

    let silent = RepositoryUrl::parse(&format!("git://127.0.0.1:{silent_port}/tool")).expect("a URL");
    let started = std::time::Instant::now();
    let error = reader.ls_refs(&silent, ["main"]).await.expect_err("silence");
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_config_repository_is_read_at_its_commit_and_a_broken_tool_disturbs_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Repository::new(folder.path(), "config");
    std::os::unix::fs::symlink("/etc/passwd", config.path.join("link")).expect("a link");
    config.write("tools/README.md", b"about");
    std::os::unix::fs::symlink("../link", config.path.join("tools/linked.yaml")).expect("a link");
    let commit = config.commit(&[
        ("platform.yaml", PLATFORM),
        ("tools/wordcount.yaml", &tool_file("wordcount", "https://gitlab.example/wordcount")),
        ("tools/near.yaml", &tool_file("near", "../tools/near")),
        ("tools/broken.yaml", "kind: Tool\n  oops: [\n"),
        ("tools/other.yml", &tool_file("other", "https://gitlab.example/other")),
    ]);
    // Uncommitted, so it does not count.
    config.write("tools/draft.yaml", tool_file("draft", "https://gitlab.example/draft").as_bytes());
    let reader = reader(&folder.path().join("cache"), &[]);
    let loaded = config_repo::load(&reader, &local(&config.path), "HEAD").await.expect("loaded");
    assert_eq!(loaded.commit, Some(id(&commit)));
    let platform = loaded.choose(None).expect("the only one");
    assert_eq!(platform.platform.as_ref().expect("a platform").domain, "tools.example");
    let names: Vec<_> = platform.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["near", "wordcount"]);
    let near = folder.path().join("tools/near").display().to_string();
    assert_eq!(platform.tools[0].repository, near);
    let unreadable: Vec<_> = platform.unreadable.iter().map(|u| u.file.as_str()).collect();
    assert_eq!(unreadable, ["tools/broken.yaml", "tools/linked.yaml", "tools/other.yml"]);
    assert_eq!(platform.unreadable[0].name.as_ref().expect("a name").as_str(), "broken");
    let blamed: std::collections::BTreeSet<_> = platform.report.errors().map(|d| d.file.as_str()).collect();
    assert_eq!(blamed.len(), 3, "{:?}", platform.report);
    assert!(platform.texts.contains_key("tools/broken.yaml"));

    // The working tree is read for `check`.
    let now = config_repo::read_folder(&config.path).expect("read");
    let now = now.choose(None).expect("the only one");
    assert!(now.tools.iter().any(|tool| tool.name.as_str() == "draft"));
}

#[tokio::test]
async fn a_config_repository_over_http_is_fetched_once_a_commit_and_has_no_relative_tools() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let config = Repository::new(&root, "config");
    let commit = config.commit(&[
        ("platform.yaml", PLATFORM),
        ("tools/a.yaml", &tool_file("a", "https://gitlab.example/a")),
        ("tools/b.yaml", &tool_file("b", "./b")),
    ]);
    let host = Host::start(&root).await;
    let reader = reader(&folder.path().join("cache"), &[host.port]);
    let url = host.url("config/.git");
    for _ in 0..2 {
        let loaded = config_repo::load_at(&reader, &url, &id(&commit)).await.expect("loaded");
        let platform = loaded.choose(Some("tools")).expect("it");
        assert_eq!((platform.tools.len(), platform.unreadable.len()), (1, 1));
    }
    assert_eq!(reader.counts().fetches, 1);
    host.fault("config", Fault::Status(500));
    let down = config_repo::load(&reader, &url, "HEAD").await;
    assert!(matches!(down, Err(SourceError::Unreachable { .. })), "an error is not an empty config: {down:?}");
}

#[tokio::test]
async fn several_platforms_are_chosen_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Repository::new(folder.path(), "config");
    config.commit(&[
        ("platforms/tools/platform.yaml", PLATFORM),
        ("platforms/tools/tools/a.yaml", &tool_file("a", "https://gitlab.example/a")),
        ("platforms/beta/platform.yaml", &platform("toolsbeta")),
        ("platforms/beta/tools/b.yaml", &tool_file("b", "https://gitlab.example/b")),
        ("tools/draft.yaml", &tool_file("draft", "https://gitlab.example/draft")),
    ]);
    let reader = reader(folder.path(), &[]);
    let loaded = config_repo::load(&reader, &local(&config.path), "main").await.expect("loaded");
    let several = loaded.choose(None).expect_err("several");
    assert_eq!(several, ChoiceError::Several { names: vec!["toolsbeta".into(), "tools".into()] });
    let beta = loaded.choose(Some("toolsbeta")).expect("beta");
    assert_eq!(beta.tools.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(matches!(loaded.choose(Some("x")), Err(ChoiceError::Unknown { .. })));
    let empty = Repository::new(folder.path(), "none");
    empty.commit(&[("README", "x")]);
    let none = config_repo::load(&reader, &local(&empty.path), "HEAD").await.expect("loaded");
    assert_eq!(none.choose(None), Err(ChoiceError::None));
}

fn tool(repository: &str) -> Tool {
    let (tool, report) = renderer::tool::parse(tool_file("wordcount", repository).as_bytes(), "tools/wordcount.yaml");
    tool.unwrap_or_else(|| unreachable!("{report:?}"))
}

#[tokio::test]
async fn a_revision_and_its_sources_are_resolved_and_hostile_addresses_are_not_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let own = Repository::new(&root, "own");
    own.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    own.git(&["tag", "-a", "v1", "-m", "one"]);
    let tip = own.commit(&[("web/toolforge.yaml", "one")]);
    let other = Repository::new(&root, "other");
    other.commit(&[("main.py", "x")]);
    let host = Host::start(&root).await;
    let reader = reader(&folder.path().join("cache"), &[host.port]);
    let mut tool = tool(&host.text("own/.git"));
    tool.path = "web".to_owned();
    let revision = reader.revision(&tool, &id(&tip)).await.expect("a revision");
    assert_eq!(revision.files.config.as_deref(), Some(&b"one"[..]));
    assert_eq!(revision.tree.expect("a tree").as_str(), own.git(&["rev-parse", "HEAD:web"]));

    let source = |repository: &str, reference: &str| SourceRef {
        repository: repository.to_owned(),
        reference: reference.to_owned(),
    };
    let needed = [
        source(&host.text("own/.git"), "v1"),
        source(&host.text("other/.git"), "main"),
        source(&host.text("other/.git"), "mian"),
        source("https://elsewhere.example/x", "main"),
        source(&format!("file://{}", other.path.display()), "main"),
        source("git@127.0.0.1:x", "main"),
        source(&format!("http://localhost:{}/other/.git", host.port), "main"),
    ];
    let resolved = reader.resolve_sources(&tool, &needed, |_| None).await;
    assert_eq!(resolved.len(), needed.len());
    let found = |n: usize| &resolved[&needed[n].key()];
    let ResolvedSource::Found { commit, tree } = found(0) else { unreachable!("{:?}", found(0)) };
    assert_eq!(commit.as_str(), own.git(&["rev-parse", "v1^{commit}"]));
    assert_eq!(tree.as_str(), own.git(&["rev-parse", "v1^{tree}"]));
    assert!(matches!(found(1), ResolvedSource::Found { .. }));
    assert_eq!(found(2), &ResolvedSource::NoSuchRef { nearest: Some("main".to_owned()) });
    // The next pass of this cycle, of this tool or another, asks nobody again.
    host.requests();
    reader.resolve_sources(&tool, &needed[..3], |_| None).await;
    assert_eq!(host.requests(), [""; 0]);
    // What the same host and port said to another protocol is no answer to this one.
    let git = source(&format!("git://127.0.0.1:{}/other/.git", host.port), "v2");
    other.git(&["tag", "v2"]);
    let both = [git, source(&host.text("other/.git"), "v2")];
    let resolved = reader.resolve_sources(&tool, &both, |_| None).await;
    assert!(matches!(resolved[&both[0].key()], ResolvedSource::Unavailable { .. }), "{resolved:?}");
    assert!(matches!(resolved[&both[1].key()], ResolvedSource::Found { .. }), "{resolved:?}");
    for n in 3..7 {
        assert!(
            matches!(found(n), ResolvedSource::Unavailable { why } if why.contains("not allowed")),
            "{:?}",
            found(n)
        );
    }
}

#[test]
fn a_working_tree_is_read_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let outside = worktree::read(folder.path()).expect("read");
    assert_eq!((outside.root, outside.commit), (None, None));
    let repository = Repository::new(folder.path(), "tool");
    let commit = repository.commit(&[("web/toolforge.yaml", "one")]);
    repository.git(&["remote", "add", "origin", "git@gitlab.example:group/tool.git"]);
    let clean = worktree::read(&repository.path.join("web")).expect("read");
    assert_eq!(clean.path, "web");
    assert_eq!(clean.commit, Some(id(&commit)));
    assert_eq!(clean.branch.as_deref(), Some("main"));
    assert_eq!(clean.dirty, Some(false));
    assert_eq!(clean.tree.expect("a tree").as_str(), repository.git(&["rev-parse", "HEAD:web"]));
    assert_eq!(clean.origin.expect("a remote").key().as_str(), "gitlab.example/group/tool");
    repository.write("web/toolforge.yaml", b"two");
    let dirty = worktree::read(&repository.path.join("web")).expect("read");
    assert_eq!((dirty.dirty, dirty.tree), (Some(true), None));
    assert_eq!(dirty.files.config.as_deref(), Some(&b"two"[..]));
    repository.git(&["checkout", "-q", "--detach"]);
    assert_eq!(worktree::read(&repository.path).expect("read").branch, None);
}

/// A repository whose configuration, attributes and hooks run a program at every turn.
fn trapped(folder: &Path, program: &str) -> Repository {
    let repository = Repository::new(folder, "trapped");
    let inner = Repository::new(folder, "inner");
    inner.commit(&[("file", "one")]);
    repository.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../inner", "inner"]);
    repository.commit(&[
        ("toolforge.yaml", "components:\n  web:\n    run:\n      command: web\n      port: 8000\n"),
        (".gitattributes", "* filter=trap diff=trap text working-tree-encoding=UTF-8\n"),
    ]);
    let attributes = "* filter=trap\n";
    repository.write(".git/info/attributes", attributes.as_bytes());
    repository.write(".git/modules/inner/info/attributes", attributes.as_bytes());
    let included = folder.join("included");
    let filter = format!("[filter \"trap\"]\n\tclean = \"{program}\"\n\tsmudge = \"{program}\"\n");
    std::fs::write(&included, &filter).expect("a file");
    for module in [repository.path.join(".git/config"), repository.path.join(".git/modules/inner/config")] {
        let config = std::fs::read_to_string(&module).expect("a file");
        let traps = format!(
            "[core]\n\tfsmonitor = {program}\n\tsshCommand = {program}\n\tpager = {program}\n\
             [diff]\n\texternal = {program}\n[diff \"trap\"]\n\ttextconv = {program}\n\
             [credential]\n\thelper = \"!{program}\"\n[include]\n\tpath = {}\n",
            included.display()
        );
        std::fs::write(&module, config + &traps).expect("a file");
    }
    for hook in ["post-index-change", "pre-auto-gc", "reference-transaction"] {
        std::fs::copy(program, repository.path.join(".git/hooks").join(hook)).expect("a file");
    }
    // Whose time differs from the index's is read, and a filter would be asked.
    let touched = std::fs::File::options().append(true).open(repository.path.join("toolforge.yaml")).expect("a file");
    touched.set_modified(std::time::SystemTime::now() + Duration::from_secs(60)).expect("a time");
    repository
}

#[test]
fn a_stranger_s_filters_hooks_and_monitors_are_never_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = folder.path().join("ran");
    let program = folder.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\ntouch '{}'\ncat\n", ran.display())).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let repository = trapped(folder.path(), &program.display().to_string());
    assert_eq!(worktree::read(&repository.path).expect("read").dirty, Some(false));
    let run = |command: &str| {
        let mut toolforge = std::process::Command::new(env!("CARGO_BIN_EXE_toolforge"));
        let place = folder.path().join("home");
        toolforge.args([command, "."]).current_dir(&repository.path).env("HOME", &place).env_remove("KUBECONFIG");
        toolforge.stdin(std::process::Stdio::null()).output().expect("toolforge runs").status.code()
    };
    assert_eq!((run("check"), run("render")), (Some(0), Some(0)));
    run("diff");
    repository.write("inner/file", b"two");
    repository.write("toolforge.yaml", b"components: {}\n");
    assert_eq!(worktree::read(&repository.path).expect("read").dirty, Some(true));
    assert!(!ran.exists(), "a program of the repository was run");
    repository.git(&["-c", "core.fsmonitor=false", "status"]);
    assert!(ran.exists(), "the trap would not have snapped anyway");
}

#[test]
fn what_git_ignores_there_is_not_dirty_and_words_about_files_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    repository.commit(&[("toolforge.yaml", "one\ntwo\n"), (".gitignore", "built\n")]);
    repository.write("built", b"x");
    repository.write(".git/info/exclude", b"notes\n");
    repository.write("notes", b"x");
    assert_eq!(worktree::read(&repository.path).expect("read").dirty, Some(false));
    std::fs::set_permissions(repository.path.join("toolforge.yaml"), std::fs::Permissions::from_mode(0o755))
        .expect("permissions");
    assert_eq!(worktree::read(&repository.path).expect("read").dirty, Some(true));
    repository.git(&["config", "core.fileMode", "false"]);
    assert_eq!(worktree::read(&repository.path).expect("read").dirty, Some(false));
    // Checked out with other line ends; and a file whose time differs from the index's is compared by its content.
    repository.git(&["config", "core.autocrlf", "true"]);
    let other = folder.path().join("other");
    repository.git(&["worktree", "add", "-q", "--detach", &other.display().to_string()]);
    let touched = std::fs::File::options().append(true).open(other.join("toolforge.yaml")).expect("a file");
    touched.set_modified(std::time::SystemTime::now() + Duration::from_secs(60)).expect("a time");
    assert_eq!(worktree::read(&other).expect("read").dirty, Some(false));
    std::fs::write(other.join("new"), "x").expect("a file");
    assert_eq!(worktree::read(&other).expect("read").dirty, Some(true));
    let empty = Repository::new(folder.path(), "empty");
    assert_eq!(worktree::read(&empty.path).expect("read").dirty, Some(false));
}

#[test]
fn a_config_folder_s_links_and_pipes_are_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("config");
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write("platform.yaml", PLATFORM);
    write("tools/good.yaml", &tool_file("good", "https://git.example/good"));
    write("platforms/README", "not a folder");
    std::fs::write(folder.path().join("linked.yaml"), tool_file("linked", "https://git.example/linked"))
        .expect("a file");
    std::os::unix::fs::symlink("../../linked.yaml", root.join("tools/linked.yaml")).expect("a link");
    std::os::unix::fs::symlink("good.yaml", root.join("tools/inner.yaml")).expect("a link");
    let pipe = std::process::Command::new("mkfifo").arg(root.join("tools/pipe.yaml")).status().expect("mkfifo");
    assert!(pipe.success());
    std::fs::create_dir(folder.path().join("elsewhere")).expect("a folder");
    std::fs::write(folder.path().join("elsewhere/platform.yaml"), platform("elsewhere")).expect("a file");
    std::os::unix::fs::symlink("../../elsewhere", root.join("platforms/elsewhere")).expect("a link");
    let read = config_repo::read_folder(&root).expect("a config repository");
    let found = read.choose(None).expect("one platform");
    let names: Vec<_> = found.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["good"]);
    let unreadable: Vec<_> = found.unreadable.iter().map(|file| file.file.as_str()).collect();
    assert_eq!(unreadable, ["tools/inner.yaml", "tools/linked.yaml", "tools/pipe.yaml"]);
    let said: Vec<_> = found.report.errors().map(|error| error.message.as_str()).collect();
    assert!(said.contains(&"tools/linked.yaml is a symbolic link, not a file"), "{said:?}");
    assert!(said.contains(&"tools/pipe.yaml is a pipe or a device, not a file"), "{said:?}");

    std::fs::rename(root.join("tools"), folder.path().join("tools")).expect("a folder");
    std::os::unix::fs::symlink("../tools", root.join("tools")).expect("a link");
    let refused = config_repo::read_folder(&root).expect_err("a link to a folder");
    assert_eq!(refused.to_string(), "tools is a symbolic link, not a file");
}

#[test]
fn a_stranger_s_working_tree_shows_no_file_from_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("private"), "secret").expect("a file");
    let repository = Repository::new(folder.path(), "tool");
    repository.commit(&[("toolforge.yaml", "one")]);
    std::fs::create_dir(repository.path.join("web")).expect("a folder");
    std::os::unix::fs::symlink("../toolforge.yaml", repository.path.join("web/toolforge.yaml")).expect("a link");
    let inside = worktree::read(&repository.path.join("web")).expect("read");
    assert_eq!(inside.files.config.as_deref(), Some(&b"one"[..]));
    std::fs::remove_file(repository.path.join("web/toolforge.yaml")).expect("a link");
    std::os::unix::fs::symlink("../../private", repository.path.join("web/toolforge.yaml")).expect("a link");
    let outside = worktree::read(&repository.path.join("web")).expect_err("refused");
    assert!(matches!(outside, SourceError::NotAFile { .. }), "{outside:?}");
}

#[test]
fn a_commit_in_a_watched_repository_wakes_and_an_edit_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    repository.commit(&[("toolforge.yaml", "one")]);
    let (woken, wakes) = mpsc::channel();
    let mut watch = WatchFolder::new(move |key| drop(woken.send(key.clone()))).expect("a watch");
    let url = local(&repository.path);
    assert!(watch.set(std::slice::from_ref(&url)).is_empty());
    assert!(watch.set(std::slice::from_ref(&url)).is_empty(), "watched already");
    repository.write("toolforge.yaml", b"edited");
    assert!(wakes.recv_timeout(Duration::from_millis(300)).is_err(), "an edit is no commit");
    repository.commit(&[("toolforge.yaml", "two")]);
    assert_eq!(wakes.recv_timeout(Duration::from_secs(5)).expect("a wake-up"), url.key());
    // A branch in a folder of its own that did not exist.
    git(&repository.path, &["branch", "deep/er/branch"]);
    assert_eq!(wakes.recv_timeout(Duration::from_secs(5)).expect("a wake-up"), url.key());
}

#[test]
fn repositories_named_later_are_watched_too_and_those_named_no_more_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let repositories = ["first", "second"].map(|name| Repository::new(folder.path(), name));
    let [first, second] = repositories.each_ref().map(|repository| local(&repository.path));
    let (woken, wakes) = mpsc::channel();
    let mut watch = WatchFolder::new(move |key| drop(woken.send(key.clone()))).expect("a watch");
    assert!(watch.set(std::slice::from_ref(&first)).is_empty());
    let plain = watch.set(&[second.clone(), local(folder.path())]);
    assert!(matches!(&plain[..], [error] if error.to_string().contains("only polled")), "{plain:?}");
    repositories[0].commit(&[("toolforge.yaml", "one")]);
    repositories[1].commit(&[("toolforge.yaml", "one")]);
    assert_eq!(wakes.recv_timeout(Duration::from_secs(5)).expect("a wake-up"), second.key());
    assert!(wakes.recv_timeout(Duration::from_millis(300)).is_err(), "{first} is nobody's any more");
    assert!(watch.set(&[first.clone(), second]).is_empty());
    repositories[0].commit(&[("toolforge.yaml", "two")]);
    assert_eq!(wakes.recv_timeout(Duration::from_secs(5)).expect("a wake-up"), first.key());
}

#[tokio::test]
async fn threads_that_hang_keep_their_place_in_the_budget_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let mut settings = Settings::new(folder.path());
    (settings.threads, settings.ls_refs_timeout_secs) = (1, 1);
    let reader = reader_with(settings, &[port]);
    let repository = Repository::new(folder.path(), "tool");
    repository.commit(&[("toolforge.yaml", "one")]);
    let silent_url = RepositoryUrl::parse(&format!("git://127.0.0.1:{port}/x")).expect("a URL");
    assert!(reader.ls_refs(&silent_url, ["main"]).await.is_err());
    // The one thread was cut off, so the next question gets it.
    let url = local(&repository.path);
    let refs = reader.ls_refs(&url, ["main"]);
    let refs = tokio::time::timeout(Duration::from_secs(3), refs).await.expect("in time");
    assert!(refs.expect("refs").find("main").is_some());
}
