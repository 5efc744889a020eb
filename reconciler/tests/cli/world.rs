//! The commands that speak of a cluster: on the demo's sandbox, which is served while they look in from outside.

use crate::harness::{command, folder, toolforge};
use crate::pins;
use crate::server::Recorder;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

/// A demo that stays up after its show.
pub struct Demo {
    child: Child,
    home: tempfile::TempDir,
    told: Vec<String>,
}

impl Demo {
    /// Starts it and waits until the show is over.
    fn start() -> Self {
        let home = folder(&[]);
        // Where we are root, what runs is not, and has to pass.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("an open folder");
        let mut child = command(home.path(), &["demo"])
            .env("TMPDIR", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut told = Vec::new();
        for line in out.lines() {
            let line = line.expect("UTF-8");
            let last = line.starts_with("Ctrl-C ends it");
            told.push(line);
            if last {
                break;
            }
        }
        Self { child, home, told }
    }

    fn kubeconfig(&self) -> PathBuf {
        let line = self.told.iter().find_map(|line| line.trim().strip_prefix("export KUBECONFIG="));
        PathBuf::from(line.expect("the demo tells its kubeconfig"))
    }

    fn repository(&self, name: &str) -> PathBuf {
        let scratch = self.kubeconfig();
        let scratch = scratch.ancestors().nth(3).expect("the scratch folder");
        scratch.join("repos").join(name)
    }

    /// A command in a folder, on the demo's cluster.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> crate::harness::Ran {
        let kubeconfig = self.kubeconfig();
        let kubeconfig = kubeconfig.to_str().expect("UTF-8");
        toolforge(folder, &[arguments, &["--kubeconfig", kubeconfig]].concat())
    }

    /// Ends it as Ctrl-C does, and returns its exit code.
    fn end(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let killed = std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
        assert!(killed.success());
        let code = self.child.wait().expect("an end").code();
        let left: Vec<_> = std::fs::read_dir(self.home.path()).expect("the folder").collect();
        assert!(left.iter().all(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() == "no-home")), "{left:?}");
        code
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Already gone where a test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One demo for all claims: each costs seconds.
#[test]
fn the_demo_stays_up_and_every_command_looks_in() {
    let demo = Demo::start();
    for act in ["1  Commits become objects", "2  ", "3  ", "4  ", "5  ", "6  A push becomes a page", "7  ", "8  "] {
        assert!(demo.told.iter().any(|line| line.starts_with(act)), "{act}: {:#?}", demo.told);
    }
    let pages = demo.told.iter().filter(|line| line.contains("200: Hello from the second version")).count();
    assert_eq!(pages, 3, "beta after its push and after the change by hand, main after the merge: {:#?}", demo.told);
    let wordcount = demo.repository("wordcount");
    status_tells_all_tools_and_one(&demo, &wordcount);
    diff_is_silent_until_something_differs(&demo, &wordcount);
    what_the_sandbox_cannot_do_is_said(&demo, &wordcount);
    diff_only_gets_and_lists(&demo, &wordcount);
    apply_leaves_it_to_the_one_who_holds_the_lease(&demo, &wordcount);
    suspend_and_resume_are_seen_in_the_status(&demo, &wordcount);
    pins::what_cannot_be_done_is_refused_with_a_next_step(&demo, &wordcount);
    pins::a_tool_goes_back_and_follows_its_branch_again(&demo, &wordcount);
    assert_eq!(demo.end(), Some(0));
}

fn status_tells_all_tools_and_one(demo: &Demo, folder: &Path) {
    let all = demo.run(folder, &["status"]);
    assert_eq!((all.exit, all.err.as_str()), (0, ""), "{all:#?}");
    assert_eq!(all.out.lines().count(), 12, "a header, a heading and ten tools: {all:#?}");
    assert!(all.out.starts_with("cluster: sandbox\n"), "{all:#?}");
    let json = demo.run(folder, &["status", "--json"]).json();
    let ready: Vec<_> = json.as_array().expect("a list").iter().filter(|tool| tool["ready"] == true).collect();
    assert_eq!(ready.len(), 8, "{json:#}");
    let one = demo.run(folder, &["status", "half-broken"]);
    assert!(one.out.contains("Stalled") && one.out.contains("toolforge.yaml:15: "), "{one:#?}");
    let none = demo.run(folder, &["status", "nobody"]);
    assert_eq!(none.exit, 2, "{none:#?}");
    assert!(none.err.contains("there is no tool nobody\nhint: "), "{none:#?}");
}

fn diff_is_silent_until_something_differs(demo: &Demo, folder: &Path) {
    let same = demo.run(folder, &["diff"]);
    assert_eq!((same.exit, same.err.as_str()), (0, ""), "{same:#?}");
    assert!(same.out.starts_with("wordcount  main@") && same.out.contains("cluster: sandbox"), "{same:#?}");
    let file = folder.join("toolforge.yaml");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, text.replace("replicas: 3", "replicas: 0")).expect("written");
    let differs = demo.run(folder, &["diff"]);
    assert_eq!(differs.exit, 1, "{differs:#?}");
    assert!(differs.out.contains("main@working tree"), "{differs:#?}");
    assert!(differs.out.contains("    spec.replicas: 3 → 0\n"), "{differs:#?}");
    assert!(
        differs.err.contains("uncommitted changes") && differs.err.contains("hint: Commit and push"),
        "{differs:#?}"
    );
    let patch = demo.run(folder, &["diff", "--yaml"]);
    let id = "deployment/tool-wordcount/web";
    assert!(patch.out.starts_with(&format!("--- {id}\tnow\n+++ {id}\tthen\n@@ ")), "{patch:#?}");
    let changed: Vec<_> = patch.out.lines().skip(2).filter(|line| line.starts_with(['+', '-'])).collect();
    assert_eq!((patch.exit, &changed[..2]), (1, &["-  replicas: 3", "+  replicas: 0"][..]), "{patch:#?}");
    assert!(patch.err.contains("wordcount  main@working tree") && patch.err.contains("configure"), "{patch:#?}");
    let json = demo.run(folder, &["diff", "--json"]);
    assert_eq!((json.exit, json.json()["tool"].clone()), (1, "wordcount".into()));
    let branches = toolforge(folder, &["diff", "--against", "main"]);
    assert_eq!(branches.exit, 1, "{branches:#?}");
    assert!(branches.out.contains("spec.replicas: 3 → 0") && !branches.out.contains("image"), "{branches:#?}");
    let patch = toolforge(folder, &["diff", "--against", "main", "--yaml"]);
    assert!(patch.out.contains("\n-  replicas: 3\n+  replicas: 0\n"), "{patch:#?}");
    let json = toolforge(folder, &["diff", "--against", "main", "--json"]).json();
    assert!(json.as_array().is_some_and(|list| !list.is_empty()), "{json:#}");
    std::fs::write(&file, text).expect("written");
    let same = toolforge(folder, &["diff", "--against", "main"]);
    assert_eq!((same.exit, same.out.lines().last()), (0, Some("no difference")), "{same:#?}");
    let typo = toolforge(folder, &["diff", "--against", "mian"]);
    assert_eq!(typo.exit, 2, "{typo:#?}");
    assert!(typo.err.contains("hint: Did you mean \"main\"?"), "{typo:#?}");
    let elsewhere = demo.run(Path::new("/"), &["diff"]);
    assert_eq!(elsewhere.exit, 2, "{elsewhere:#?}");
    assert!(elsewhere.err.contains("belongs to no tool"), "{elsewhere:#?}");
    let named = demo.run(Path::new("/"), &["diff", "statusbot"]);
    assert_eq!(named.exit, 0, "{named:#?}");
    let near = demo.run(Path::new("/"), &["diff", "statsbot"]);
    assert!(near.err.contains("hint: Did you mean `statusbot`?"), "{near:#?}");
}

fn diff_only_gets_and_lists(demo: &Demo, folder: &Path) {
    let kubeconfig = std::fs::read_to_string(demo.kubeconfig()).expect("the kubeconfig");
    let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: ")).expect("a server").to_owned();
    let listening = Recorder::before(&server);
    let through = demo.home.path().join("through-the-recorder");
    std::fs::write(&through, kubeconfig.replace(&server, &listening.url)).expect("written");
    let through = through.to_str().expect("UTF-8");
    let plan = demo.home.path().join("plan.json");
    let plan = plan.to_str().expect("UTF-8");
    for arguments in [&["diff"][..], &["diff", "statusbot", "--out", plan], &["status"]] {
        let ran = toolforge(folder, &[arguments, &["--kubeconfig", through]].concat());
        assert_eq!(ran.exit, 0, "{ran:#?}");
    }
    for file in [through, plan] {
        std::fs::remove_file(file).expect("removed");
    }
    let asked = listening.asked();
    assert!(asked.len() > 20, "{asked:#?}");
    assert!(asked.iter().all(|line| line.starts_with("GET ") && !line.contains("watch=")), "{asked:#?}");
}

fn what_the_sandbox_cannot_do_is_said(demo: &Demo, folder: &Path) {
    let logs = demo.run(folder, &["logs", "wordcount"]);
    assert_eq!(logs.exit, 2, "{logs:#?}");
    assert!(logs.err.contains("runs no containers"), "{logs:#?}");
}

fn apply_leaves_it_to_the_one_who_holds_the_lease(demo: &Demo, folder: &Path) {
    let refused = demo.run(folder, &["apply"]);
    assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{refused:#?}");
    assert!(refused.err.contains("looks after platform tools") && refused.err.contains("--force"), "{refused:#?}");
    let forced = demo.run(folder, &["apply", "--force"]);
    assert_eq!(forced.exit, 0, "{forced:#?}");
    assert!(forced.out.contains("wordcount is Ready"), "{forced:#?}");
    let json = demo.run(folder, &["apply", "--force", "--json"]).json();
    assert_eq!(json["ready"], true, "{json:#}");
}

fn suspend_and_resume_are_seen_in_the_status(demo: &Demo, folder: &Path) {
    let suspended = demo.run(folder, &["suspend", "wordcount", "--reason", "moving house"]);
    assert_eq!(suspended.exit, 0, "{suspended:#?}");
    assert!(demo.run(folder, &["status", "wordcount"]).out.contains("suspended: moving house"));
    let diff = demo.run(folder, &["diff"]);
    assert!(diff.out.contains("suspended"), "{diff:#?}");
    let resumed = demo.run(folder, &["resume", "wordcount", "--json"]);
    assert_eq!(resumed.json()["suspended"], false);
    assert_eq!(demo.run(folder, &["diff"]).exit, 0);
    let nobody = demo.run(folder, &["suspend", "nobody"]);
    assert_eq!(nobody.exit, 2, "{nobody:#?}");
}

#[test]
fn the_show_alone_comes_to_its_end_and_tells_what_was_seen_as_json() {
    let home = folder(&[]);
    let shown = toolforge(home.path(), &["demo", "--exit", "--json"]);
    assert_eq!(shown.exit, 0, "{shown:#?}");
    let acts = shown.json()["acts"].as_array().cloned().expect("acts");
    for number in 1..=8 {
        let is_of =
            |act: &serde_json::Value| act["title"].as_str().is_some_and(|it| it.starts_with(&format!("{number} ")));
        assert!(acts.iter().any(is_of), "act {number} tells nothing: {acts:#?}");
    }
}

#[test]
fn without_git_the_demo_says_what_to_install() {
    let home = folder(&[]);
    let output = command(home.path(), &["demo", "--exit"]).env("PATH", home.path()).output().expect("the binary runs");
    let ran = crate::harness::ran(output);
    assert_eq!((ran.exit, ran.out.as_str()), (2, ""), "{ran:#?}");
    assert!(ran.err.contains("git is not installed\nhint: Install it"), "{ran:#?}");
}

#[test]
fn a_cluster_at_hand_is_never_guessed() {
    let kubeconfig = "\
apiVersion: v1
kind: Config
current-context: kind-dev
contexts: [{name: kind-dev, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {}}]
";
    let home = folder(&[("kubeconfig", kubeconfig)]);
    for arguments in [&["status"][..], &["diff"], &["apply", "x"], &["suspend", "x"], &["logs", "x"]] {
        let mut command = command(home.path(), arguments);
        command.env("KUBECONFIG", home.path().join("kubeconfig"));
        let ran = crate::harness::ran(command.output().expect("the binary runs"));
        assert_eq!((ran.exit, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:#?}");
        assert!(ran.err.contains("--cluster kind-dev") && ran.err.contains("--cluster sandbox"), "{ran:#?}");
    }
    let ran = toolforge(home.path(), &["status", "--kubeconfig", "kubeconfig"]);
    assert_eq!(ran.exit, 3, "nobody listens there: {ran:#?}");
    assert!(ran.err.starts_with("error: cannot read the Tools: no answer: Connection refused\nhint: "), "{ran:#?}");
    let ran = toolforge(home.path(), &["status", "--kubeconfig", "nowhere"]);
    assert_eq!(ran.exit, 2, "{ran:#?}");
}

#[test]
fn an_empty_sandbox_says_how_to_begin() {
    let home = folder(&[("Procfile", "web: x\n")]);
    for (exit, arguments) in [(0, ["status", "--sandbox"]), (2, ["diff", "--sandbox"]), (2, ["apply", "--sandbox"])] {
        let ran = toolforge(home.path(), &arguments);
        assert_eq!(ran.exit, exit, "{arguments:?}: {ran:#?}");
        assert!(ran.err.contains("toolforge run <config repository>"), "{ran:#?}");
    }
}

/// A config repository and the one tool's own, in a folder.
fn platform_of_a_bot() -> tempfile::TempDir {
    let home = folder(&[
        (
            "config/platform.yaml",
            "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {name: p}\nspec: {domain: d.example}\n",
        ),
        (
            "config/tools/bot.yaml",
            "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {name: bot}\nspec: {repository: ../bot}\n",
        ),
        (
            "bot/toolforge.yaml",
            "components: {bot: {image: 'r.example/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', run: {command: bot}}}\n",
        ),
    ]);
    for repository in ["config", "bot"] {
        git(&home.path().join(repository), &["init", "-q", "-b", "main"]);
        commit(&home.path().join(repository));
    }
    home
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = std::process::Command::new("git");
    git.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(arguments);
    assert!(git.current_dir(folder).status().expect("git runs").success());
}

fn commit(folder: &Path) {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "-q", "-m", "x"]);
}

#[test]
fn apply_waits_until_the_tool_is_ready_and_again_finds_nothing_to_do() {
    let home = platform_of_a_bot();
    let arguments = ["apply", "bot", "--config", "config", "--sandbox", "--wait", "--timeout", "30"];
    let first = toolforge(home.path(), &arguments);
    assert_eq!(first.exit, 0, "{first:#?}");
    assert!(first.out.contains("+ deployment/tool-bot/bot") && first.out.ends_with("bot is Ready\n"), "{first:#?}");
    let again = toolforge(home.path(), &arguments);
    assert_eq!(again.exit, 0, "{again:#?}");
    assert!(again.out.contains("unchanged") && !again.out.contains("create"), "{again:#?}");
    let diff = toolforge(home.path(), &["diff", "bot", "--config", "config", "--sandbox"]);
    assert_eq!(diff.exit, 0, "{diff:#?}");
    let status = toolforge(home.path(), &["status", "--sandbox", "--json"]).json();
    assert_eq!(status[0]["ready"], true, "{status:#}");
}

#[test]
fn audit_reads_what_a_kept_log_says_and_asks_no_cluster() {
    let home = platform_of_a_bot();
    let arguments = ["run", "config", "--once", "--sandbox", "--log-format", "json"];
    let log = toolforge(home.path(), &arguments).err;
    std::fs::write(home.path().join("run.log"), &log).expect("written");
    let told = toolforge(home.path(), &["audit", "bot", "--log", "run.log"]);
    assert_eq!(told.exit, 0, "{told:#?}");
    let expected = "new revision: namespace/tool-bot\n";
    assert!(told.out.starts_with("bot  log: run.log\n") && told.out.contains(expected), "{told:#?}\n{log}");
    let of_nobody = toolforge(home.path(), &["audit", "cat", "--log", "run.log"]);
    assert_eq!(of_nobody.out, "nothing was written for cat as far as that log goes\n");
    for (arguments, expected) in [
        (["audit", "bot", "--log", "none.log"], "cannot read the log none.log"),
        (["audit", "bot", "--log", "bot/toolforge.yaml"], "is no log of JSON lines"),
    ] {
        let wrong = toolforge(home.path(), &arguments);
        assert!(wrong.exit == 2 && wrong.err.contains(expected) && wrong.err.contains("hint: "), "{wrong:#?}");
    }
}

#[test]
fn run_once_does_what_can_be_done_and_its_exit_code_says_what_is_left() {
    let home = platform_of_a_bot();
    let arguments = ["run", "config", "--once", "--sandbox", "--json"];
    let first = toolforge(home.path(), &arguments);
    let said: Vec<serde_json::Value> =
        first.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&said[0]["tool"], &said[0]["steps"][0]["action"]), (&"bot".into(), &"create".into()), "{first:#?}");
    assert!(first.err.contains("p  1 tools  cluster: sandbox"), "{first:#?}");
    // How far it comes depends on how fast the sandbox's controllers are.
    let in_sync = (0..20).map(|_| toolforge(home.path(), &["run", "config", "--once", "--sandbox"])).find(|ran| {
        assert!([0, 1].contains(&ran.exit), "{ran:#?}");
        ran.exit == 0
    });
    assert_eq!(in_sync.expect("it comes to rest").out, "bot  in sync\n");
    let silent = toolforge(home.path(), &arguments);
    assert_eq!((silent.exit, silent.out.as_str()), (0, ""), "nothing to say: {silent:#?}");

    std::fs::write(home.path().join("bot/toolforge.yaml"), "components: {bot: {run: {comand: bot}}}\n")
        .expect("written");
    commit(&home.path().join("bot"));
    let broken = toolforge(home.path(), &["run", "config", "--once", "--sandbox"]);
    assert_eq!(broken.exit, 1, "{broken:#?}");
    assert!(broken.out.starts_with("bot  component/tool-bot/bot: invalid: "), "{broken:#?}");
}

/// `run` on the platform of a bot, and what it prints.
fn running(home: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = command(home, &["run", "config", "--sandbox", "--json", "--interval", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, out)
}

#[test]
fn a_wish_to_end_that_arrives_twice_at_once_is_one() {
    let home = platform_of_a_bot();
    let (mut child, mut out) = running(home.path());
    out.read_line(&mut String::new()).expect("a line");
    let pid = child.id().to_string();
    let twice = format!("kill -INT {pid}; sleep 0.1; kill -INT {pid}; true");
    assert!(std::process::Command::new("sh").args(["-c", &twice]).status().expect("sh runs").success());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_run_whose_reader_has_gone_ends_with_its_next_line() {
    let home = platform_of_a_bot();
    let (mut child, mut out) = running(home.path());
    out.read_line(&mut String::new()).expect("a line");
    drop(out);
    let file = home.path().join("bot/toolforge.yaml");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, text.replace("command: bot", "command: robot")).expect("written");
    commit(&home.path().join("bot"));
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn what_is_no_config_repository_is_wrong_use_and_a_home_that_is_no_place_is_not_written_to() {
    let home = folder(&[]);
    for arguments in [["run", "nowhere"], ["run", "."], ["apply", "--config=nowhere"]] {
        let ran = toolforge(home.path(), &arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:#?}");
        assert!(ran.err.contains("hint: "), "{arguments:?}: {ran:#?}");
    }
    let state = folder(&[]);
    let mut status = command(home.path(), &["status", "--sandbox"]);
    let output = status.env("HOME", "here").env("TMPDIR", state.path()).output().expect("the binary runs");
    assert_eq!(crate::harness::ran(output).exit, 0);
    assert_eq!(std::fs::read_dir(home.path()).expect("the folder").count(), 0);
}
