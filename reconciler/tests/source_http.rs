//! Repositories over http, from a real `git http-backend` that is told to misbehave.

mod git_host;

use futures::StreamExt as _;
use git_host::{Fault, Host, Repository, reader, reader_with};
use reconciler::dialer::{Credentials, Dialer, HostPort, Rules, Secret};
use reconciler::source::{Git, NotAFile, Poller, RepositoryUrl, Settings, SourceError, Wanted};
use renderer::CommitId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct World {
    _folder: TempDir,
    host: Host,
    git: Git,
    tool: Repository,
    cache: std::path::PathBuf,
}

/// A host with one repository `tool`, at one commit with a `toolforge.yaml`.
async fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("repositories");
    let tool = Repository::new(&root, "tool");
    tool.commit(&[("toolforge.yaml", "one"), ("src/big.txt", "x")]);
    let host = Host::start(&root).await;
    let cache = folder.path().join("cache");
    World { git: reader(&cache, &[host.port]), host, tool, cache, _folder: folder }
}

fn id(text: &str) -> CommitId {
    CommitId::new(text).expect("a commit")
}

#[tokio::test]
async fn a_cycle_costs_one_request_and_an_unchanged_repository_is_not_fetched() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    let poller = Poller::new(w.git.clone());
    let spelt = [w.host.url("tool/.git"), w.host.url("tool/.git/"), w.host.url("TOOL/.git")];
    let wanted: Vec<Wanted> = spelt.iter().map(|u| Wanted::new(u.clone(), "main")).collect();
    for _ in 0..3 {
        let refs: BTreeMap<_, _> = poller.poll(&wanted).collect().await;
        assert_eq!(refs.len(), 1);
        let refs = refs[&url.key()].as_ref().expect("refs");
        let tip = refs.branches["main"].clone();
        let snapshot = w.git.snapshot(&url, &tip, "").await.expect("a snapshot");
        assert_eq!(snapshot.files.config.as_deref(), Some(&b"one"[..]));
    }
    assert_eq!(w.git.counts().fetches, 1);
    let posts = ["POST /tool/.git/git-upload-pack"; 4];
    let mut requests = w.host.requests();
    requests.retain(|request| request != "GET /tool/.git/info/refs");
    assert_eq!(requests, posts, "three cycles and one fetch");
}

#[tokio::test]
async fn a_new_commit_is_fetched_alone_and_the_cache_does_not_grow_for_ever() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    for n in 0..12 {
        let commit = id(&w.tool.commit(&[("toolforge.yaml", &format!("n{n}"))]));
        let snapshot = w.git.snapshot(&url, &commit, "").await.expect("a snapshot");
        let config = snapshot.files.config.clone().expect("a file");
        assert_eq!(String::from_utf8(config).expect("text"), format!("n{n}"));
    }
    let repositories: Vec<_> = std::fs::read_dir(&w.cache).expect("a cache").collect();
    assert_eq!(repositories.len(), 1);
    let place = repositories[0].as_ref().expect("an entry").path();
    let kept = std::fs::read_dir(place).expect("a folder").count();
    assert!(kept <= 8, "{kept} folders kept");
}

#[tokio::test]
async fn the_cache_of_all_repositories_is_bounded_and_what_goes_costs_a_fetch() {
    let w = world().await;
    let root = w.tool.path.parent().expect("a folder").to_owned();
    let others: Vec<_> = (0..6).map(|n| Repository::new(&root, &format!("other{n}"))).collect();
    let mut settings = Settings::new(&w.cache);
    settings.max_cache_bytes = 250_000;
    let git = reader_with(settings.clone(), &[w.host.port]);
    let mut commits = Vec::new();
    for (n, other) in others.iter().enumerate() {
        other.write("noise.bin", &noise(n as u64, 60_000));
        let commit = id(&other.commit(&[("toolforge.yaml", "x")]));
        git.snapshot(&w.host.url(&format!("other{n}/.git")), &commit, "").await.expect("a snapshot");
        commits.push(commit);
    }
    assert!(size(&w.cache) <= 250_000, "{} bytes in the cache", size(&w.cache));
    let again = reader_with(settings, &[w.host.port]);
    for (n, fetches) in [(5, 0), (0, 1)] {
        again.snapshot(&w.host.url(&format!("other{n}/.git")), &commits[n], "").await.expect("a snapshot");
        assert_eq!(again.counts().fetches, fetches, "repository {n}");
    }
}

#[tokio::test]
async fn filters_leave_out_what_is_not_read_where_the_server_allows_them() {
    let w = world().await;
    w.tool.git(&["config", "uploadpack.allowFilter", "true"]);
    let noise: String =
        (0..2_000_000u32).map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90)).collect();
    let commit = id(&w.tool.commit(&[("data/large.txt", &noise)]));
    let url = w.host.url("tool/.git");
    let snapshot = w.git.snapshot(&url, &commit, "").await.expect("a snapshot");
    assert_eq!(snapshot.files.config.as_deref(), Some(&b"one"[..]));
    let tree = w.tool.git(&["rev-parse", "HEAD^{tree}"]);
    assert_eq!(snapshot.tree.as_str(), tree);
    assert!(size(&w.cache) < 100_000, "{} bytes in the cache", size(&w.cache));
    // Another path of the same commit needs other blobs, which are fetched into the same folder.
    let other = reader(&w.cache, &[w.host.port]);
    let below = other.snapshot(&url, &commit, "data").await.expect("a snapshot");
    assert_eq!(below.files.config, None);
    assert_eq!(below.subtree.as_ref().expect("a tree").as_str(), w.tool.git(&["rev-parse", "HEAD:data"]));
}

fn size(folder: &std::path::Path) -> u64 {
    let mut total = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let meta = entry.metadata().expect("metadata");
        total += if meta.is_dir() { size(&entry.path()) } else { meta.len() };
    }
    total
}

#[tokio::test]
async fn a_restart_reads_the_cache_and_a_corrupt_or_deleted_cache_is_fetched_again() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    let commit = id(&w.tool.git(&["rev-parse", "HEAD"]));
    w.git.snapshot(&url, &commit, "").await.expect("a snapshot");
    let again = reader(&w.cache, &[w.host.port]);
    again.snapshot(&url, &commit, "").await.expect("a snapshot");
    assert_eq!(again.counts().fetches, 0);

    for file in packs(&w.cache) {
        let mut permissions = std::fs::metadata(&file).expect("metadata").permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test")]
        permissions.set_readonly(false);
        std::fs::set_permissions(&file, permissions).expect("permissions");
        std::fs::write(&file, b"garbage").expect("a file");
    }
    let corrupt = reader(&w.cache, &[w.host.port]);
    let read = corrupt.snapshot(&url, &commit, "").await.expect("a snapshot");
    assert_eq!(read.files.config.as_deref(), Some(&b"one"[..]));
    assert_eq!(corrupt.counts().fetches, 1);

    std::fs::remove_dir_all(&w.cache).expect("a cache");
    let deleted = reader(&w.cache, &[w.host.port]);
    deleted.snapshot(&url, &commit, "").await.expect("a snapshot");
    assert_eq!(deleted.counts().fetches, 1);
}

fn packs(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(packs(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn refs_are_exact_and_annotated_tags_are_peeled() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    let first = w.tool.git(&["rev-parse", "HEAD"]);
    w.tool.git(&["branch", "x/main"]);
    w.tool.git(&["tag", "-a", "v1", "-m", "one"]);
    w.tool.git(&["tag", "light"]);
    w.tool.git(&["branch", "-m", "main", "trunk"]);
    let refs = w.git.ls_refs(&url, ["main", "v1", "light"]).await.expect("refs");
    assert_eq!(refs.head.as_deref(), Some("trunk"));
    assert_eq!(refs.find("v1"), Some(id(&first)));
    assert_eq!(refs.find("light"), Some(id(&first)));
    assert_eq!(refs.find("HEAD"), Some(id(&first)));
    assert_eq!(refs.branches.len(), 0, "{refs:?}");
    let missing = w.git.resolve(&url, &refs, "main").await;
    assert_eq!(
        missing,
        Err(SourceError::NoSuchRef { reference: "main".to_owned(), nearest: Some("x/main".to_owned()) })
    );
    // A whole commit id names itself, and its tree is found though no branch has it.
    w.tool.git(&["commit", "-q", "--amend", "--allow-empty", "-m", "forced"]);
    let resolved = w.git.resolve(&url, &refs, &first).await;
    assert_eq!(resolved, Ok(id(&first)));
    let tree = w.git.tree(&url, &id(&first)).await.expect("a tree");
    assert_eq!(tree.as_str(), w.tool.git(&["rev-parse", &format!("{first}^{{tree}}")]));
}

#[tokio::test]
async fn a_force_push_and_a_deleted_branch_are_seen_in_the_next_cycle() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    w.tool.git(&["checkout", "-q", "-b", "beta"]);
    let before = w.tool.commit(&[("toolforge.yaml", "beta")]);
    let refs = w.git.ls_refs(&url, ["beta"]).await.expect("refs");
    assert_eq!(refs.find("beta"), Some(id(&before)));
    w.tool.git(&["reset", "-q", "--hard", "main"]);
    let forced = w.tool.commit(&[("toolforge.yaml", "forced")]);
    let refs = w.git.ls_refs(&url, ["beta"]).await.expect("refs");
    assert_eq!(refs.find("beta"), Some(id(&forced)));
    let snapshot = w.git.snapshot(&url, &id(&forced), "").await.expect("a snapshot");
    assert_eq!(snapshot.files.config.as_deref(), Some(&b"forced"[..]));
    w.tool.git(&["checkout", "-q", "main"]);
    w.tool.git(&["branch", "-q", "-D", "beta"]);
    let refs = w.git.ls_refs(&url, ["beta"]).await.expect("refs");
    assert_eq!(refs.find("beta"), None);
}

#[tokio::test]
async fn an_empty_repository_and_a_missing_file_are_answers_not_errors() {
    let w = world().await;
    let root = w.tool.path.parent().expect("a parent");
    Repository::new(root, "empty");
    let empty = w.host.url("empty/.git");
    let refs = w.git.ls_refs(&empty, ["main"]).await.expect("refs");
    assert!(refs.is_empty());
    assert_eq!(w.git.resolve(&empty, &refs, "main").await, Err(SourceError::Empty));

    let bare = Repository::new(root, "bare");
    let commit = id(&bare.commit(&[("README", "hello")]));
    let url = w.host.url("bare/.git");
    let snapshot = w.git.snapshot(&url, &commit, "").await.expect("a snapshot");
    assert_eq!(snapshot.files, renderer::Files::default());
    let nowhere = w.git.snapshot(&url, &commit, "no/such/folder").await.expect("a snapshot");
    assert_eq!(nowhere.subtree, None);
}

#[tokio::test]
async fn what_is_no_file_is_diagnosed_and_bytes_are_kept_as_they_are() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    w.tool.write("latin1/toolforge.yaml", b"caf\xe9\0");
    w.tool.write("lfs/toolforge.yaml", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    w.tool.write("folder/toolforge.yaml/x", b"x");
    w.tool.write("large/toolforge.yaml", &vec![b'#'; (1 << 20) + 1]);
    w.tool.write("only-procfile/Procfile", b"web: run\n");
    w.tool.write(".gitattributes", b"*.bin filter=lfs\n");
    std::fs::create_dir(w.tool.path.join("link")).expect("a folder");
    std::os::unix::fs::symlink("/etc/passwd", w.tool.path.join("link/toolforge.yaml")).expect("a link");
    std::os::unix::fs::symlink("latin1", w.tool.path.join("linked")).expect("a link");
    let commit = id(&w.tool.commit_all());
    let at = |path: &'static str| w.git.snapshot(&url, &commit, path);

    let latin1 = at("latin1").await.expect("a snapshot");
    assert_eq!(latin1.files.config.as_deref(), Some(&b"caf\xe9\0"[..]));
    assert!(latin1.facts.lfs && !latin1.facts.submodules);
    let procfile = at("only-procfile").await.expect("a snapshot");
    assert_eq!(procfile.files.procfile.as_deref(), Some(&b"web: run\n"[..]));
    for (path, file, is) in [
        ("link", "link/toolforge.yaml", NotAFile::SymbolicLink),
        ("linked", "linked", NotAFile::SymbolicLink),
        ("folder", "folder/toolforge.yaml", NotAFile::Folder),
        ("lfs", "lfs/toolforge.yaml", NotAFile::LfsPointer),
    ] {
        let path_said = file.to_owned();
        assert_eq!(at(path).await, Err(SourceError::NotAFile { path: path_said, is }), "{path}");
    }
    let large = at("large").await;
    assert!(matches!(&large, Err(SourceError::TooLarge { what, .. }) if what == "large/toolforge.yaml"), "{large:?}");
}

#[tokio::test]
async fn errors_are_told_apart_and_none_is_an_absence() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    let commit = id(&w.tool.git(&["rev-parse", "HEAD"]));
    type Check = fn(&SourceError) -> bool;
    let cases: Vec<(&str, Fault, Check)> = vec![
        ("a refusal", Fault::Status(401), |e| matches!(e, SourceError::Denied { .. })),
        ("another", Fault::Status(403), |e| matches!(e, SourceError::Denied { .. })),
        ("not there", Fault::Status(404), |e| matches!(e, SourceError::NotFound { .. })),
        ("down", Fault::Status(500), |e| matches!(e, SourceError::Unreachable { .. })),
        ("busy", Fault::Status(429), |e| matches!(e, SourceError::Unreachable { .. })),
        ("hanging", Fault::Hang, |e| matches!(e, SourceError::TimedOut { .. })),
        ("a login page", Fault::Body("text/html", b"<html>".to_vec()), |e| matches!(e, SourceError::Corrupt { .. })),
        ("nothing", Fault::Body("application/x-git-upload-pack-result", Vec::new()), |e| {
            matches!(e, SourceError::Corrupt { .. })
        }),
    ];
    for (what, fault, expected) in cases {
        w.host.fault("tool", fault);
        let started = Instant::now();
        let refs = w.git.ls_refs(&url, ["main"]).await.expect_err(what);
        assert!(expected(&refs), "{what}: {refs:?}");
        let read = w.git.snapshot(&url, &commit, "").await.expect_err(what);
        assert!(expected(&read), "{what}: {read:?}");
        assert!(started.elapsed() < Duration::from_secs(7), "{what} takes {:?}", started.elapsed());
    }
    w.host.heal();
    w.git.ls_refs(&url, ["main"]).await.expect("healed");
    w.git.snapshot(&url, &commit, "").await.expect("healed");
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_not_found() {
    let w = world().await;
    let error = w.git.ls_refs(&w.host.url("nobody/.git"), ["main"]).await;
    assert!(matches!(error, Err(SourceError::NotFound { .. })), "{error:?}");
}

#[tokio::test]
async fn a_pack_without_end_is_cut_off_at_its_limit() {
    let w = world().await;
    let url = w.host.url("tool/.git");
    let commit = id(&w.tool.git(&["rev-parse", "HEAD"]));
    // The shallow section, the packfile section, and then one side-band packet after the other.
    let mut start = b"0011shallow-info\n0035shallow ".to_vec();
    start.extend_from_slice(commit.as_str().as_bytes());
    start.extend_from_slice(b"\n0001000dpackfile\n");
    let mut pack = b"PACK\0\0\0\x02\0\0\xff\xff".to_vec();
    pack.resize(60_000, 0x30);
    for _ in 0..200 {
        start.extend_from_slice(format!("{:04x}\x01", pack.len() + 5).as_bytes());
        start.extend_from_slice(&pack);
    }
    w.host.fault("tool/.git/git-upload-pack", Fault::Flood("application/x-git-upload-pack-result", start));
    let error = w.git.snapshot(&url, &commit, "").await.expect_err("cut off");
    assert!(matches!(error, SourceError::TooLarge { .. } | SourceError::Corrupt { .. }), "{error:?}");
    let error = w.git.ls_refs(&url, ["main"]).await.expect_err("cut off");
    assert!(matches!(error, SourceError::TooLarge { .. } | SourceError::Corrupt { .. }), "{error:?}");
    assert!(size(&w.cache) < 8 << 20);
}

/// Bytes that nobody packs any smaller.
fn noise(mut seed: u64, bytes: usize) -> Vec<u8> {
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[tokio::test]
async fn an_honest_pack_over_the_limit_is_too_large() {
    let w = world().await;
    w.tool.write("noise.bin", &noise(1, 5 << 20));
    let commit = id(&w.tool.commit_all());
    let error = w.git.snapshot(&w.host.url("tool/.git"), &commit, "").await.expect_err("large");
    assert!(matches!(error, SourceError::TooLarge { limit_bytes: 4_194_304, .. }), "{error:?}");
}

#[tokio::test]
async fn an_older_server_is_understood_and_remembered() {
    let w = world().await;
    w.host.fault("tool", Fault::OldProtocol);
    let url = w.host.url("tool/.git");
    w.tool.git(&["tag", "-a", "v1", "-m", "one"]);
    let tip = id(&w.tool.git(&["rev-parse", "HEAD"]));
    w.git.ls_refs(&url, ["main"]).await.expect("refs");
    w.host.requests();
    let refs = w.git.ls_refs(&url, ["main", "v1"]).await.expect("refs");
    assert_eq!(refs.find("main"), Some(tip.clone()));
    assert_eq!(refs.find("v1"), Some(tip.clone()));
    assert_eq!(refs.head.as_deref(), Some("main"));
    assert_eq!(w.host.requests(), ["POST /tool/.git/git-upload-pack", "GET /tool/.git/info/refs"][1..]);
    let snapshot = w.git.snapshot(&url, &tip, "").await.expect("a snapshot");
    assert_eq!(snapshot.files.config.as_deref(), Some(&b"one"[..]));
}

#[tokio::test]
async fn a_renamed_repository_is_followed_once_and_found_there_from_then_on() {
    let w = world().await;
    std::os::unix::fs::symlink(&w.tool.path, w.tool.path.with_file_name("renamed")).expect("a link");
    w.host.fault("old", Fault::Redirect(301, w.host.text("renamed/.git/info/refs?service=git-upload-pack")));
    let url = w.host.url("old/.git");
    w.git.ls_refs(&url, ["main"]).await.expect("refs");
    w.host.requests();
    let refs = w.git.ls_refs(&url, ["main"]).await.expect("refs");
    assert_eq!(w.host.requests(), ["POST /renamed/.git/git-upload-pack"]);
    let tip = refs.branches["main"].clone();
    w.git.snapshot(&url, &tip, "").await.expect("a snapshot");
}

#[tokio::test]
async fn a_redirect_to_an_inner_address_is_refused() {
    let w = world().await;
    let inner = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = inner.local_addr().expect("an address").port();
    for to in [
        format!("http://127.0.0.1:{port}{{tail}}"),
        format!("http://localhost:{port}{{tail}}"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::ffff:10.0.0.1]/x".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        for code in [301, 307] {
            w.host.fault("tool", Fault::Redirect(code, to.clone()));
            let error = w.git.ls_refs(&w.host.url("tool/.git"), ["main"]).await.expect_err("refused");
            assert!(
                matches!(
                    error,
                    SourceError::HostNotAllowed { .. } | SourceError::Corrupt { .. } | SourceError::Unreachable { .. }
                ),
                "{to}: {error:?}"
            );
            if to.starts_with("http") {
                assert!(matches!(error, SourceError::HostNotAllowed { .. }), "{to}: {error:?}");
            }
        }
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), inner.accept()).await;
    assert!(nobody.is_err(), "somebody connected to the inner address");
}

#[tokio::test]
async fn addresses_that_nobody_wrote_down_are_refused_before_a_connection() {
    let w = world().await;
    let strict = reader(&w.cache, &[]);
    for url in [
        w.host.text("tool/.git"),
        format!("http://localhost:{}/tool", w.host.port),
        "http://2130706433/x".to_owned(),
        "http://0x7f.1/x".to_owned(),
        "git://127.0.0.1/x".to_owned(),
        "git://localhost/x".to_owned(),
    ] {
        let url = RepositoryUrl::parse(&url).expect("a URL");
        let error = strict.ls_refs(&url, ["main"]).await.expect_err("refused");
        assert!(matches!(error, SourceError::HostNotAllowed { .. }), "{url}: {error:?}");
    }
    assert_eq!(w.host.requests(), [""; 0]);
}

#[tokio::test]
async fn credentials_go_to_their_repository_and_never_into_an_error() {
    let w = world().await;
    w.host.fault("tool", Fault::Auth("dXNlcjpzM2NyZXQ="));
    let plain = w.host.url("tool/.git");
    assert!(matches!(w.git.ls_refs(&plain, ["main"]).await, Err(SourceError::Denied { .. })));

    let mut rules = Rules::default();
    rules.name(HostPort::new("127.0.0.1", Some(w.host.port)), Some(w.host.port));
    let credentials = Credentials::new("user", Secret::new("s3cret"));
    let git = Git::new(Dialer::new(rules), Settings::new(w.cache.join("private")), vec![(plain.clone(), credentials)]);
    let refs = git.ls_refs(&plain, ["main"]).await.expect("refs");
    git.snapshot(&plain, &refs.branches["main"], "").await.expect("a snapshot");

    // Our credentials answer no stranger's question.
    let text = "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {name: other}\nspec: {repository: 'https://gitlab.example/x'}\n";
    let stranger = renderer::tool::parse(text.as_bytes(), "tools/other.yaml").0.expect("a tool");
    let source = renderer::revision::SourceRef { repository: w.host.text("tool/.git"), reference: "main".to_owned() };
    let refused = git.admit(&stranger, &source).expect_err("refused");
    assert!(refused.to_string().contains("the platform's own"), "{refused}");

    let wrong = format!("http://user:wr0ng@127.0.0.1:{}/tool/.git", w.host.port);
    let wrong = RepositoryUrl::parse(&wrong).expect("a URL");
    let error = w.git.ls_refs(&wrong, ["main"]).await.expect_err("denied");
    assert!(!format!("{error} {error:?}").contains("wr0ng"), "{error:?}");
    assert!(matches!(error, SourceError::Denied { .. }));
}

#[tokio::test]
async fn credentials_for_https_never_leave_over_http() {
    let w = world().await;
    w.host.fault("tool", Fault::Auth("dXNlcjpzM2NyZXQ="));
    let plain = w.host.url("tool/.git");
    let https = RepositoryUrl::parse(&w.host.text("tool/.git").replace("http://", "https://")).expect("a URL");
    assert_eq!(https.key(), plain.key(), "it is one repository");
    let mut rules = Rules::default();
    rules.name(HostPort::new("127.0.0.1", Some(w.host.port)), Some(w.host.port));
    let credentials = Credentials::new("user", Secret::new("s3cret"));
    let settings = Settings::new(w.cache.join("private"));
    let git = Git::new(Dialer::new(rules), settings, vec![(https, credentials)]);
    let asked = git.ls_refs(&plain, ["main"]).await;
    assert!(matches!(asked, Err(SourceError::Denied { .. })), "{asked:?}");
    let commit = id(&w.tool.git(&["rev-parse", "HEAD"]));
    let read = git.snapshot(&plain, &commit, "").await;
    assert!(matches!(read, Err(SourceError::Denied { .. })), "{read:?}");
}

#[tokio::test]
async fn a_hanging_repository_delays_no_other() {
    let w = world().await;
    let root = w.tool.path.parent().expect("a parent");
    Repository::new(root, "slow").commit(&[("toolforge.yaml", "slow")]);
    w.host.fault("slow", Fault::Hang);
    let mut settings = Settings::new(&w.cache);
    settings.ls_refs_timeout_secs = 1;
    settings.per_host = 2;
    let git = reader_with(settings, &[w.host.port]);
    let wanted = [Wanted::new(w.host.url("slow/.git"), "main"), Wanted::new(w.host.url("tool/.git"), "main")];
    let started = Instant::now();
    let refs: BTreeMap<_, _> = Poller::new(git).poll(&wanted).collect().await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(refs[&wanted[1].repository.key()].is_ok());
    assert!(matches!(refs[&wanted[0].repository.key()], Err(SourceError::TimedOut { secs: 1, .. })));
}

#[tokio::test]
async fn a_silent_host_is_not_asked_for_all_its_repositories_and_ends_the_cycle_late_for_nobody() {
    let w = world().await;
    let other = Host::start(w.tool.path.parent().expect("a parent")).await;
    other.fault("", Fault::Hang);
    let mut settings = Settings::new(&w.cache);
    settings.ls_refs_timeout_secs = 1;
    let git = reader_with(settings, &[w.host.port, other.port]);
    // One host by two names: the silent one is `localhost`.
    let mut rules = git.dialer().rules();
    rules.name(HostPort::new("localhost", Some(other.port)), Some(other.port));
    git.dialer().set_rules(rules);
    let silent = |n: usize| RepositoryUrl::parse(&format!("http://localhost:{}/r{n}", other.port)).expect("a URL");
    let mut wanted: Vec<Wanted> = (0..100).map(|n| Wanted::new(silent(n), "main")).collect();
    wanted.push(Wanted::new(w.host.url("tool/.git"), "main"));
    let started = Instant::now();
    let refs: BTreeMap<_, _> = Poller::new(git).poll(&wanted).collect().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(refs.len(), 101);
    assert!(refs[&w.host.url("tool/.git").key()].is_ok());
    assert_eq!(refs.values().filter(|row| matches!(row, Err(SourceError::TimedOut { .. }))).count(), 100);
    let asked = other.requests().len();
    assert!((8..=16).contains(&asked), "{asked} of 100 were asked");
}
