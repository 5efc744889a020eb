//! Private repositories over ssh, against a real server with real git behind it.

mod git_host;

use futures::FutureExt as _;
use futures::StreamExt as _;
use git_host::Repository;
use reconciler::dialer::{Dialer, HostPort, Rules};
use reconciler::source::{Git, KeyLookup, Poller, RepositoryUrl, Settings, SourceError, SshKeys, Wanted};
use renderer::platform::{KnownHost, fingerprint};
use renderer::{CommitId, Tool, ToolName};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tests::ssh_server::{Fault, SshServer};

/// A host with two repositories, each with a key of its tool.
struct World {
    folder: TempDir,
    host: SshServer,
    keys: BTreeMap<&'static str, SshKeys>,
    /// What a look-up finds, by tool; and how often one was asked for.
    stored: Arc<Mutex<BTreeMap<String, SshKeys>>>,
    looked_up: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = SshServer::start(folder.path()).await.expect("a server");
        let mut keys = BTreeMap::new();
        for name in ["a", "b"] {
            Repository::new(folder.path(), name).commit(&[("toolforge.yaml", name)]);
            let key = SshKeys::generate(name);
            host.allow(&key.public()[0], name);
            keys.insert(name, key);
        }
        let stored = keys.iter().map(|(name, key)| ((*name).to_owned(), key.clone())).collect();
        Self { folder, host, keys, stored: Arc::new(Mutex::new(stored)), looked_up: Arc::default() }
    }

    fn settings(&self) -> Settings {
        Settings::new(self.folder.path().join(format!("cache-{}", rand_name())))
    }

    fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        rules.name(HostPort::new("127.0.0.1", Some(self.host.port())), None);
        rules.know(&[KnownHost::parse(&self.host.known_hosts().expect("a line")).expect("a line")]);
        rules
    }

    fn reader(&self) -> Git {
        self.reader_with(self.settings(), self.rules())
    }

    fn reader_with(&self, settings: Settings, rules: Rules) -> Git {
        let git = Git::new(Dialer::new(rules), settings, Vec::new());
        let (stored, looked_up) = (self.stored.clone(), self.looked_up.clone());
        let lookup: KeyLookup = Arc::new(move |tool: ToolName, host: String| {
            looked_up.lock().expect("a lock").push(format!("{tool} {host}"));
            let found = stored.lock().expect("a lock").get(tool.as_str()).cloned();
            async move { found.ok_or_else(|| "nobody has made one".to_owned()) }.boxed()
        });
        git.look_keys_up_with(lookup);
        git
    }

    /// As the tool of this name would ask for a repository.
    fn url(&self, tool: &str, path: &str) -> RepositoryUrl {
        let tool = Tool { repository: self.host.url(path), ..tool_named(tool) };
        RepositoryUrl::of(&tool).expect("a URL")
    }

    fn commit(&self, name: &str) -> CommitId {
        CommitId::new(git_host::git(&self.folder.path().join(name), &["rev-parse", "HEAD"])).expect("a commit")
    }
}

/// Another one each time.
fn rand_name() -> String {
    SshKeys::generate("").fingerprints()[0].replace(['/', ':', '+'], "")
}

fn tool_named(name: &str) -> Tool {
    let file = format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\nspec: {{repository: 'https://git.example/x'}}\n"
    );
    renderer::tool::parse(file.as_bytes(), &format!("tools/{name}.yaml")).0.expect("a tool")
}

#[tokio::test]
async fn a_private_repository_is_read_with_the_key_of_its_tool_and_with_no_other() {
    let w = World::new().await;
    let git = w.reader();
    let own = w.url("a", "a");
    let refs = git.ls_refs(&own, ["main"]).await.expect("refs");
    assert_eq!((refs.head.as_deref(), refs.find("main")), (Some("main"), Some(w.commit("a"))));
    let snapshot = git.snapshot(&own, &w.commit("a"), "").await.expect("a snapshot");
    assert_eq!(snapshot.files.config.as_deref(), Some(&b"a"[..]));
    assert_eq!(w.looked_up.lock().expect("a lock").as_slice(), ["a 127.0.0.1"], "once");
    assert_eq!(w.host.commands(), ["git-upload-pack '/a'"; 2]);

    // Another tool that names it hears nothing of it, though it stands in the cache.
    let stranger = w.url("b", "a");
    for error in [
        git.ls_refs(&stranger, ["main"]).await.map(drop).expect_err("not its own"),
        git.snapshot(&stranger, &w.commit("a"), "").await.map(drop).expect_err("not its own"),
    ] {
        let SourceError::Denied { repository, tool } = &error else { panic_with(&error) };
        assert_eq!(*repository, format!("ssh://***@127.0.0.1:{}/a", w.host.port()));
        assert_eq!(tool.as_ref().map(ToolName::as_str), Some("b"));
        assert!(error.hint().expect("a hint").contains("`toolforge deploy-key b`"));
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    // One without a key does not even knock.
    let before = w.host.connections();
    let error = git.ls_refs(&w.url("c", "a"), ["main"]).await.expect_err("no key");
    assert!(error.to_string().ends_with("nobody has made one"), "{error}");
    assert!(error.hint().expect("a hint").contains("`toolforge deploy-key c`"));
    assert_eq!(w.host.connections(), before);
    // Nor does one that nobody knows, with whatever keys this machine holds.
    let nobody = RepositoryUrl::parse(&w.host.url("a")).expect("a URL");
    let error = git.ls_refs(&nobody, ["main"]).await.expect_err("no key");
    assert!(matches!(error, SourceError::NoKey { tool: None, .. }), "{error:?}");
}

#[expect(clippy::panic, reason = "a test that fails")]
fn panic_with(error: &SourceError) -> ! {
    panic!("{error:?}")
}

#[tokio::test]
async fn two_tools_of_one_private_repository_are_two_questions() {
    let w = World::new().await;
    let git = w.reader();
    let wanted = ["a", "b"].map(|tool| Wanted::new(w.url(tool, "a"), "main"));
    let rows: BTreeMap<_, _> = Poller::new(git).poll(&wanted).collect().await;
    assert_eq!(rows[&w.url("a", "a").key()].as_ref().expect("refs").find("main"), Some(w.commit("a")));
    assert!(matches!(rows[&w.url("b", "a").key()], Err(SourceError::Denied { .. })));
    assert!(w.url("a", "a").is_same_repository(&w.url("b", "a.git")));
}

#[tokio::test]
async fn a_changed_host_key_stops_before_anybody_logs_in_and_both_fingerprints_are_told() {
    let w = World::new().await;
    let expected = fingerprint(KnownHost::parse(&w.host.known_hosts().expect("a line")).expect("a line").key());
    let (git, url) = (w.reader(), w.url("a", "a"));
    w.host.change_host_key().expect("a key");
    let shown = fingerprint(KnownHost::parse(&w.host.known_hosts().expect("a line")).expect("a line").key());
    let error = git.ls_refs(&url, ["main"]).await.expect_err("another host");
    let told = format!("127.0.0.1 shows the host key {shown}, but should show {expected}");
    assert_eq!(error.to_string(), told);
    assert!(error.hint().expect("a hint").contains("`git.known_hosts` of platform.yaml"));

    // A host that nobody wrote down is none that is believed at first sight.
    let mut rules = w.rules();
    rules.know(&[]);
    let git = w.reader_with(w.settings(), rules);
    for _ in 0..2 {
        let error = git.ls_refs(&url, ["main"]).await.expect_err("unknown");
        assert_eq!(error.to_string(), format!("127.0.0.1 shows the host key {shown}, which nobody has written down"));
    }
    assert!(w.host.accepted().is_empty() && w.host.commands().is_empty());
}

#[tokio::test]
async fn an_inner_address_is_refused_before_there_is_a_connection() {
    let w = World::new().await;
    let mut elsewhere = Rules::default();
    // Another port of the same host, and a name that leads there.
    elsewhere.trust(HostPort::new("127.0.0.1", Some(1)));
    for rules in [Rules::default(), elsewhere] {
        let git = w.reader_with(w.settings(), rules);
        let named = RepositoryUrl::of(&Tool {
            repository: w.host.url("a").replace("127.0.0.1", "localhost"),
            ..tool_named("a")
        });
        for url in [w.url("a", "a"), named.expect("a URL")] {
            let error = git.ls_refs(&url, ["main"]).await.expect_err("refused");
            assert!(matches!(error, SourceError::HostNotAllowed { .. }), "{error:?}");
        }
    }
    assert_eq!(w.host.connections(), 0);
}

#[tokio::test]
async fn a_host_that_hangs_or_never_ends_is_left_at_the_limits() {
    let w = World::new().await;
    let (url, commit) = (w.url("a", "a"), w.commit("a"));
    let mut hurried = w.settings();
    (hurried.ls_refs_timeout_secs, hurried.fetch_timeout_secs) = (1, 1);
    let hurried = w.reader_with(hurried, w.rules());
    for fault in [Fault::HangAfterBanner, Fault::HangAfterExec] {
        w.host.set_fault(Some(fault));
        let errors = [
            hurried.ls_refs(&url, ["main"]).await.map(drop).expect_err("silence"),
            hurried.snapshot(&url, &commit, "").await.map(drop).expect_err("silence"),
        ];
        assert!(errors.iter().all(|error| matches!(error, SourceError::TimedOut { .. })), "{errors:?}");
    }
    let mut small = w.settings();
    small.max_pack_bytes = 1 << 20;
    let small = w.reader_with(small, w.rules());
    w.host.set_fault(Some(Fault::EndlessBanner));
    let error = small.snapshot(&url, &commit, "").await.expect_err("no end");
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
    for fault in [Fault::EndlessStderr, Fault::Flood(endless_pack())] {
        w.host.set_fault(Some(fault));
        let error = small.snapshot(&url, &commit, "").await.expect_err("no end");
        assert!(matches!(error, SourceError::TooLarge { .. }), "{error:?}");
    }
    w.host.set_fault(None);
    assert!(small.snapshot(&url, &commit, "").await.is_ok(), "and it is asked again");
}

#[tokio::test]
async fn who_ends_without_a_word_has_refused_nobody() {
    let w = World::new().await;
    let (git, url) = (w.reader(), w.url("a", "a"));
    w.host.set_fault(Some(Fault::End(None)));
    let error = git.ls_refs(&url, ["main"]).await.expect_err("no answer");
    assert_eq!(error.to_string(), "127.0.0.1 is unreachable over ssh: it ended the command without a word");
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
    assert_eq!(w.looked_up.lock().expect("a lock").len(), 1, "the key is good as far as anybody knows");
    // A status alone is an answer, also where it comes behind the end of the output.
    w.host.set_fault(Some(Fault::End(Some(128))));
    let error = git.ls_refs(&url, ["main"]).await.expect_err("refused");
    assert!(matches!(error, SourceError::Denied { .. }), "{error:?}");
}

/// What a server of protocol 2 says, up to a pack with one object of 8 MiB: nothing is wrong with it but its length.
fn endless_pack() -> Vec<u8> {
    const BLOCK: usize = 0xffff;
    let bytes: usize = 8 << 20;
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
    // A blob, and its size seven bits at a time; then deflated without being made smaller.
    let mut rest = bytes >> 4;
    pack.push(0xb0 | (bytes & 0xf) as u8);
    while rest >= 0x80 {
        pack.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    pack.extend([rest as u8, 0x78, 0x01]);
    for _ in 0..bytes / BLOCK {
        pack.extend([0x00, 0xff, 0xff, 0x00, 0x00]);
        pack.resize(pack.len() + BLOCK, b'x');
    }
    let mut said = b"000eversion 2\n000cls-refs\n0012fetch=shallow\n0000000dpackfile\n".to_vec();
    for piece in pack.chunks(60_000) {
        said.extend_from_slice(format!("{:04x}\x01", piece.len() + 5).as_bytes());
        said.extend_from_slice(piece);
    }
    said
}

#[tokio::test]
async fn a_path_is_no_command_of_the_host() {
    let w = World::new().await;
    let git = w.reader();
    for path in ["a'; touch dropped; '", "a;touch dropped", "$(touch dropped)", "`touch dropped`", "it's a tool"] {
        let repository = Repository::new(w.folder.path(), path);
        repository.commit(&[("toolforge.yaml", path)]);
        w.host.allow(&w.keys["a"].public()[0], path);
        let commit = w.commit(path);
        let encoded = path.replace(' ', "%20").replace('`', "%60");
        let refs = git.ls_refs(&w.url("a", &encoded), ["main"]).await;
        assert_eq!(refs.expect("refs").find("main"), Some(commit), "{path}");
    }
    assert!(w.host.droppings().expect("a folder").is_empty());
}

#[tokio::test]
async fn a_key_works_until_its_successor_does() {
    let w = World::new().await;
    let (git, url, old) = (w.reader(), w.url("a", "a"), w.keys["a"].clone());
    let new = old.rotated("a");
    let (old_line, new_line) = (old.public()[0].clone(), new.public()[0].clone());
    let line = |public: &str| public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    git.ls_refs(&url, ["main"]).await.expect("the old one");
    // Made, and not added at the host yet: who starts now tries the new one and goes on to the old one.
    w.stored.lock().expect("a lock").insert("a".to_owned(), new);
    git.ls_refs(&url, ["main"]).await.expect("the old one");
    w.reader().ls_refs(&url, ["main"]).await.expect("the old one");
    assert_eq!(w.host.accepted(), vec![line(&old_line); 3]);
    // Added, and the old one removed: who knows the old one alone looks again, and nobody fails.
    w.host.allow(&new_line, "a");
    w.host.forbid(&old_line);
    git.ls_refs(&url, ["main"]).await.expect("the new one");
    assert_eq!(w.host.accepted().last(), Some(&line(&new_line)));
    let found = w.looked_up.lock().expect("a lock").len();
    git.ls_refs(&url, ["main"]).await.expect("the new one");
    assert_eq!(w.looked_up.lock().expect("a lock").len(), found, "it is remembered");
}
