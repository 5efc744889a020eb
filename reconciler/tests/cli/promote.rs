//! `promote`, with real git between a clone and a bare repository, on a sandbox in a folder.

use crate::harness::{BOT, Home, PLATFORM, Ran};
use std::path::PathBuf;

/// A bare repository with the branches `main` and `beta`, a clone of it, and two tools that follow the branches.
struct Stage {
    home: Home,
}

fn tool(name: &str, branch: &str, more: &str) -> String {
    format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\n\
         spec:\n  repository: ../bot.git\n  branch: {branch}\n{more}"
    )
}

impl Stage {
    fn new() -> Self {
        let (main, beta) = (tool("bot", "main", "  promotion: {from: bot-beta}\n"), tool("bot-beta", "beta", ""));
        let files = [
            ("config/platform.yaml", PLATFORM),
            ("config/tools/bot.yaml", &main),
            ("config/tools/bot-beta.yaml", &beta),
            ("bot/toolforge.yaml", BOT),
        ];
        let stage = Self { home: Home::new(&files) };
        stage.git(".", &["init", "-q", "--bare", "-b", "main", "bot.git"]);
        stage.git("bot", &["remote", "add", "upstream", "../bot.git"]);
        stage.git("bot", &["push", "-q", "upstream", "main", "main:beta"]);
        stage.deploy_beta();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    fn git(&self, repository: &str, arguments: &[&str]) -> String {
        self.home.git(repository, arguments)
    }

    /// A commit on beta, pushed; returned is its id.
    fn beta_says(&self, command: &str) -> String {
        std::fs::write(self.path("bot/toolforge.yaml"), BOT.replace("command: bot", &format!("command: {command}")))
            .expect("written");
        self.home.commit("bot", command);
        self.git("bot", &["push", "-q", "upstream", "HEAD:beta"]);
        self.git("bot", &["rev-parse", "HEAD"])
    }

    fn run(&self, folder: &str, arguments: &[&str]) -> Ran {
        self.home.run(folder, "sandbox", arguments)
    }

    fn deploy_beta(&self) {
        let ready = self.run(".", &["apply", "bot-beta", "--wait", "--timeout", "60"]);
        assert_eq!(ready.exit, 0, "{ready:#?}");
    }

    /// Where a branch of the bare repository stands.
    fn tip(&self, branch: &str) -> String {
        self.git("bot.git", &["rev-parse", branch])
    }
}

#[test]
fn what_beta_is_ready_with_is_shown_and_pushed_and_nothing_newer() {
    let stage = Stage::new();
    let nothing = stage.run("bot", &["promote", "bot"]);
    assert_eq!(nothing.exit, 0, "{nothing:#?}");
    assert!(nothing.out.contains("already"), "{nothing:#?}");

    let good = stage.beta_says("better");
    stage.deploy_beta();
    stage.beta_says("untried");
    let first = stage.tip("main");
    let shown = stage.run("bot", &["promote", "bot", "--dry-run"]);
    assert_eq!((shown.exit, stage.tip("main")), (1, first.clone()), "{shown:#?}");
    let says = format!("would push {}..{} to main of upstream\n", &first[..7], &good[..7]);
    assert!(shown.out.ends_with(&says) && shown.out.contains("deployment/tool-bot/bot"), "{shown:#?}");
    assert!(shown.err.contains("beta is 1 commits further"), "{shown:#?}");

    let pushed = stage.run("bot", &["promote", "bot", "--json"]);
    assert_eq!((pushed.exit, stage.tip("main")), (0, good.clone()), "{pushed:#?}");
    let told = pushed.json();
    assert_eq!((&told["pushed"], &told["commit"], &told["before"]), (&true.into(), &good.into(), &first.into()));
}

#[test]
fn only_a_fast_forward_is_pushed() {
    let stage = Stage::new();
    stage.beta_says("better");
    stage.deploy_beta();
    stage.git("bot", &["checkout", "-q", "-b", "hotfix", "upstream/main"]);
    std::fs::write(stage.path("bot/README"), "urgent").expect("written");
    stage.home.commit("bot", "urgent");
    stage.git("bot", &["push", "-q", "upstream", "HEAD:main"]);
    let hotfix = stage.tip("main");
    for arguments in [&["promote", "bot"][..], &["promote", "bot", "--dry-run"]] {
        let refused = stage.run("bot", arguments);
        assert_eq!((refused.exit, refused.out.as_str(), stage.tip("main")), (1, "", hotfix.clone()), "{refused:#?}");
        assert!(refused.err.contains("main has 1 commits that") && refused.err.contains("urgent"), "{refused:#?}");
        assert!(refused.err.contains("hint: Merge main into beta"), "{refused:#?}");
    }
}

#[test]
fn a_remote_that_refuses_is_told_and_nothing_is_forced() {
    let stage = Stage::new();
    stage.beta_says("better");
    stage.deploy_beta();
    let before = stage.tip("main");
    let hook = stage.path("bot.git/hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n").expect("written");
    let mut rights = std::fs::metadata(&hook).expect("a file").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
    std::fs::set_permissions(&hook, rights).expect("set");
    let refused = stage.run("bot", &["promote", "bot"]);
    assert_eq!((refused.exit, stage.tip("main")), (3, before), "{refused:#?}");
    assert!(refused.err.contains("main is protected") && refused.err.contains("git did not push"), "{refused:#?}");
}

#[test]
fn who_cannot_be_promoted_is_told_why() {
    let stage = Stage::new();
    for (folder, arguments, exit, words) in [
        ("bot", &["promote", "bot-beta"][..], 2, "bot-beta is promoted from no other tool"),
        ("config", &["promote", "bot"], 2, "no remote of this clone is"),
        (".", &["promote", "bot"], 2, "this folder is in no git repository"),
    ] {
        let refused = stage.run(folder, arguments);
        assert_eq!((refused.exit, refused.out.as_str()), (exit, ""), "{refused:#?}");
        assert!(refused.err.contains(words), "{refused:#?}");
    }
    // What beta never became Ready with goes nowhere.
    stage.beta_says("better");
    std::fs::remove_dir_all(stage.path("sandbox")).expect("removed");
    let refused = stage.run("bot", &["promote", "bot"]);
    assert_eq!((refused.exit, refused.out.as_str()), (1, ""), "{refused:#?}");
    assert!(refused.err.contains("not promoted: bot-beta is not there yet"), "{refused:#?}");
}
