//! `deploy-key`, and what is read with it: a real ssh server, and a sandbox in the place of a cluster.

use crate::harness::{BOT, Home, PLATFORM, Ran, TOOL, command, ran, toolforge};
use reconciler::source::SshKeys;
use std::fs;
use tests::ssh_server::SshServer;
use tokio::runtime::Runtime;

/// What any private key has in its text, and in base64 of that.
const CANARIES: [&str; 3] = ["PRIVATE KEY", "b3BlbnNzaC1rZXktdjE", "LS0tLS1CRUdJTiBPUEVOU1NI"];

/// A step, as `--json` tells it.
const DEPLOYED: &str = r#""kind":"Deployment","name":"bot""#;

/// The tool `bot` of the harness, in a private repository.
struct Stage {
    home: Home,
    host: SshServer,
    _runtime: Runtime,
    said: Vec<Ran>,
}

impl Stage {
    fn new() -> Self {
        let home = Home::new(&[
            ("config/platform.yaml", PLATFORM),
            ("config/tools/bot.yaml", TOOL),
            ("bot/toolforge.yaml", BOT),
        ]);
        let runtime = Runtime::new().expect("a runtime");
        let host = runtime.block_on(SshServer::start(&home.path("."))).expect("a server");
        let known = host.known_hosts().expect("a line");
        let platform = PLATFORM.replace("d.example}", &format!("d.example, git: {{known_hosts: ['{known}']}}}}"));
        fs::write(home.path("config/platform.yaml"), platform).expect("written");
        let tool = TOOL.replace("../bot", &format!("'{}'", host.url("bot")));
        fs::write(home.path("config/tools/bot.yaml"), tool).expect("written");
        home.commit("config", "private");
        Self { home, host, _runtime: runtime, said: Vec::new() }
    }

    /// `run --once`, after a new commit: what it did.
    fn once(&mut self) -> Ran {
        self.home.git("bot", &["commit", "-q", "--allow-empty", "-m", "again"]);
        let arguments = ["run", "config", "--once", "--json", "--sandbox", "--sandbox-folder", "sandbox"];
        self.said.push(toolforge(&self.home.path("."), &arguments));
        let ran = self.said.last().expect("just pushed");
        Ran { exit: ran.exit, out: ran.out.clone(), err: ran.err.clone() }
    }

    fn deploy_key(&mut self, arguments: &[&str]) -> Ran {
        let ran = self.home.run(".", "sandbox", &[&["deploy-key"], arguments].concat());
        self.said.push(Ran { exit: ran.exit, out: ran.out.clone(), err: ran.err.clone() });
        ran
    }
}

#[test]
fn a_private_repository_is_deployed_with_a_key_whose_private_half_nobody_is_shown() {
    let mut stage = Stage::new();
    let waits = stage.once();
    assert_eq!(waits.exit, 1, "{waits:#?}");
    let told = toolforge(&stage.home.path("."), &["status", "bot", "--sandbox", "--sandbox-folder", "sandbox"]);
    assert!(told.out.contains("`toolforge deploy-key bot`"), "{told:#?}");

    let made = stage.deploy_key(&["bot"]);
    assert_eq!(made.exit, 0, "{made:#?}");
    assert!(made.out.starts_with("ssh-ed25519 ") && made.out.ends_with(" toolforge p bot\n"), "{made:#?}");
    assert!(made.err.contains("as a deploy key that may only read"), "{made:#?}");
    assert_eq!(stage.deploy_key(&["bot"]).out, made.out, "there is one");
    stage.host.allow(made.out.trim(), "bot");
    let deployed = stage.once();
    assert!(deployed.out.contains(DEPLOYED), "{deployed:#?}");

    // The new one is tried first; until the host knows it, the old one opens.
    let rotated = stage.deploy_key(&["bot", "--rotate", "--json"]).json();
    let publics: Vec<_> = rotated["keys"].as_array().expect("keys").iter().map(|key| key["public"].clone()).collect();
    assert_eq!((publics.len(), publics[1].as_str()), (2, Some(made.out.trim())));
    assert_ne!(publics[0], publics[1]);
    stage.once();
    let plain = |public: &str| public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(stage.host.accepted().last(), Some(&plain(made.out.trim())));
    let new = publics[0].as_str().expect("a key").to_owned();
    stage.host.allow(&new, "bot");
    stage.once();
    assert_eq!(stage.host.accepted().last(), Some(&plain(&new)));

    let text = SshKeys::generate("").to_secret();
    assert!(CANARIES[..2].iter().all(|canary| text.reveal().contains(canary)), "these are what to look for");
    for ran in &stage.said {
        assert!(CANARIES.iter().all(|canary| !ran.out.contains(canary) && !ran.err.contains(canary)));
    }
}

#[test]
fn a_key_is_offered_to_no_other_host_than_the_one_it_was_made_for() {
    let mut stage = Stage::new();
    stage.once();
    let made = stage.deploy_key(&["bot"]);
    stage.host.allow(made.out.trim(), "bot");
    let deployed = stage.once();
    assert!(deployed.out.contains(DEPLOYED), "{deployed:#?}");
    // The tool's file names another host: the same server, by another name.
    let file = fs::read_to_string(stage.home.path("config/tools/bot.yaml")).expect("a file");
    fs::write(stage.home.path("config/tools/bot.yaml"), file.replace("127.0.0.1", "localhost")).expect("written");
    stage.home.commit("config", "moved");
    let before = stage.host.connections();
    stage.once();
    let told = toolforge(&stage.home.path("."), &["status", "bot", "--sandbox", "--sandbox-folder", "sandbox"]);
    assert!(told.out.contains("secret toolforge/deploy-key.bot holds one for 127.0.0.1 alone"), "{told:#?}");
    assert!(told.out.contains("`toolforge deploy-key bot`"), "{told:#?}");
    assert_eq!(stage.host.connections(), before, "nobody knocked");
    // Said again, it makes one for that host, of which the other knows nothing.
    let again = stage.deploy_key(&["bot"]);
    assert!(again.err.contains("made for 127.0.0.1 is replaced by one for localhost"), "{again:#?}");
    assert_ne!(again.out, made.out);
    assert_eq!(stage.deploy_key(&["bot"]).out, again.out);
}

#[test]
fn a_repository_in_a_folder_needs_no_key_and_none_is_made() {
    let stage =
        Home::new(&[("config/platform.yaml", PLATFORM), ("config/tools/bot.yaml", TOOL), ("bot/toolforge.yaml", BOT)]);
    let told = stage.run(".", "sandbox", &["deploy-key", "bot"]);
    assert_eq!((told.exit, told.out.as_str()), (2, ""), "{told:#?}");
    assert!(told.err.contains("needs no key") && told.err.contains("git@HOST:PATH"), "{told:#?}");
}

#[test]
fn a_host_has_a_key_for_tools_without_one_and_a_tool_that_is_none_has_no_key() {
    let mut stage = Stage::new();
    stage.once();
    let made = stage.deploy_key(&["--host", "127.0.0.1"]);
    assert!(made.out.ends_with(" toolforge p\n"), "{made:#?}");
    stage.host.allow(made.out.trim(), "bot");
    let deployed = stage.once();
    assert!(deployed.out.contains(DEPLOYED), "{deployed:#?}");
    for (arguments, says) in [
        (&["nobody"][..], "there is no tool nobody"),
        (&["--host", "a/b"], "is no host"),
        (&["bot", "--host", "a.example"], "cannot be used with"),
        (&[], "required"),
    ] {
        let ran = stage.deploy_key(arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (2, ""), "{ran:#?}");
        assert!(ran.err.contains(says), "{ran:#?}");
    }
}

#[test]
fn the_step_that_fetches_for_a_build_has_the_key_in_its_environment() {
    let stage = Stage::new();
    let key = SshKeys::generate("");
    stage.host.allow(&key.public()[0], "bot");
    let (url, commit) = (stage.host.url("bot"), stage.home.git("bot", &["rev-parse", "HEAD"]));
    let fetch = |into: &str, key: Option<&SshKeys>| {
        let mut fetch = command(&stage.home.path("."), &["fetch-source", &url, &commit, "--into", into]);
        fetch.env("TOOLFORGE_GIT_KNOWN_HOSTS", stage.host.known_hosts().expect("a line"));
        if let Some(key) = key {
            fetch.env("TOOLFORGE_GIT_SSH_KEY", key.to_secret().reveal());
        }
        ran(fetch.output().expect("it runs"))
    };
    let fetched = fetch("source", Some(&key));
    assert_eq!(fetched.exit, 0, "{fetched:#?}");
    assert_eq!(fs::read_to_string(stage.home.path("source/toolforge.yaml")).expect("a file"), BOT);
    for key in [None, Some(&SshKeys::generate(""))] {
        let refused = fetch("nothing", key);
        assert_eq!(refused.exit, 3, "{refused:#?}");
        assert!(refused.err.contains("`toolforge deploy-key <tool>`"), "{refused:#?}");
        assert!(CANARIES.iter().all(|canary| !refused.err.contains(canary)), "{refused:#?}");
    }
}
