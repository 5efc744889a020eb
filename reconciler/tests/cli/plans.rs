//! A plan as a file: written by `diff --out`, carried out by `apply`, refused in words; and plans against saved objects.
//! All on a sandbox in a folder, which processes take in turns.

use crate::harness::{BOT, Home, PLATFORM, Ran, TOOL, toolforge};
use kube::Client;
use planner::kinds::KINDS;
use reconciler::cluster::Cluster;
use reconciler::cluster::address;
use reconciler::cluster::call;
use reconciler::cluster::door::Requests;
use reconciler::lease::{self, Claim};
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A config repository, a tool's repository, and a sandbox in which the tool is Ready.
struct Stage {
    home: Home,
}

impl Stage {
    fn new() -> Self {
        let files = [("config/platform.yaml", PLATFORM), ("config/tools/bot.yaml", TOOL), ("bot/toolforge.yaml", BOT)];
        let stage = Self { home: Home::new(&files) };
        let ready = stage.run(&["apply", "bot", "--wait", "--timeout", "60"]);
        assert_eq!(ready.exit, 0, "{ready:#?}");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    fn commit(&self, repository: &str) {
        self.home.commit(repository, "x");
    }

    /// Commits a `toolforge.yaml` in which something reads otherwise.
    fn says(&self, from: &str, to: &str) {
        assert!(BOT.contains(from));
        std::fs::write(self.path("bot/toolforge.yaml"), BOT.replace(from, to)).expect("written");
        self.commit("bot");
    }

    /// A command with the config repository and the sandbox.
    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_on("sandbox", arguments)
    }

    fn run_on(&self, sandbox: &str, arguments: &[&str]) -> Ran {
        self.home.run(".", sandbox, arguments)
    }

    fn run_alone(&self, arguments: &[&str]) -> Ran {
        toolforge(&self.path("."), arguments)
    }

    /// A plan of what is committed.
    fn plan(&self) -> String {
        let planned = self.run(&["diff", "bot", "--out", "plan.json"]);
        assert_eq!(planned.exit, 1, "{planned:#?}");
        std::fs::read_to_string(self.path("plan.json")).expect("a plan")
    }

    /// Somebody else at work in the sandbox.
    fn by_hand<T>(&self, work: impl AsyncFnOnce(&Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let sandbox = Sandbox::open(&self.path("sandbox")).expect("the sandbox is free");
            let cluster = Cluster::of_service("by hand", sandbox.service(), &Requests::default());
            work(&cluster.client).await
        })
    }

    fn deployment(&self) -> Value {
        self.by_hand(async |client| {
            let path = "/apis/apps/v1/namespaces/tool-bot/deployments/bot";
            call::parse(&call::get(client, path, None).await.expect("it is there")).expect("JSON")
        })
    }

    fn patch(&self, manager: &str, patch: &Value) {
        self.by_hand(async |client| {
            let path = format!("/apis/apps/v1/namespaces/tool-bot/deployments/bot?fieldManager={manager}");
            call::patch(client, &path, "application/merge-patch+json", patch).await.expect("patched");
        });
    }
}

#[test]
fn a_plan_is_carried_out_exactly_and_once() {
    let stage = Stage::new();
    stage.says("replicas: 1", "replicas: 2");
    let planned = stage.run(&["diff", "bot", "--out", "plan.json"]);
    assert_eq!(planned.exit, 1, "{planned:#?}");
    assert!(planned.err.contains(" written to plan.json\n"), "{planned:#?}");
    assert!(
        planned.err.contains("hint: Run `toolforge apply plan.json` to make exactly these changes."),
        "{planned:#?}"
    );
    assert!(planned.out.contains("    spec.replicas: 1 → 2\n"), "stdout is as without: {planned:#?}");
    assert_eq!(stage.deployment()["spec"]["replicas"], 1, "a plan changes nothing");

    let applied = stage.run(&["apply", "plan.json"]);
    assert_eq!((applied.exit, applied.out.contains("spec.replicas: 1 → 2")), (0, true), "{applied:#?}");
    assert_eq!(stage.deployment()["spec"]["replicas"], 2);

    let again = stage.run(&["apply", "plan.json"]);
    assert_eq!((again.exit, again.out.as_str()), (1, ""), "{again:#?}");
    assert!(again.err.contains("deployment/tool-bot/bot: changed by toolforge at "), "{again:#?}");
    let json = stage.run(&["apply", "plan.json", "--json"]).json();
    assert_eq!(json["refused"][0]["what"]["object"]["id"]["name"], "bot", "{json:#}");

    // What was planned and done goes on without the file.
    let rest = stage.run(&["apply", "bot", "--wait", "--timeout", "60"]);
    assert_eq!(rest.exit, 0, "{rest:#?}");
    let nothing = stage.run(&["diff", "bot", "--out", "plan.json"]);
    assert_eq!(nothing.exit, 0, "{nothing:#?}");
    let done = stage.run(&["apply", "plan.json"]);
    assert_eq!((done.exit, done.out.ends_with("bot is Ready\n")), (0, true), "{done:#?}");
}

#[test]
fn a_plan_file_is_its_users_alone_and_holds_no_value_of_an_environment() {
    let stage = Stage::new();
    let patch = json!([{"name": "bot", "env": [{"name": "PASSWORD", "value": "typed-by-hand"}]}]);
    stage.by_hand(async |client| {
        let path = "/apis/apps/v1/namespaces/tool-bot/deployments/bot?fieldManager=kubectl-set";
        let patch = json!({"spec": {"template": {"spec": {"containers": patch}}}});
        call::patch(client, path, "application/strategic-merge-patch+json", &patch).await.expect("patched");
    });
    stage.says("replicas: 1", "replicas: 2");
    let text = stage.plan();
    let mode = std::fs::metadata(stage.path("plan.json")).expect("a plan").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(text.contains("env[PASSWORD]"), "{text}");
    for value in ["typed-by-hand", "hello-from-git"] {
        assert!(!text.contains(value), "{text}");
    }
    let comment = stage.run(&["diff", "bot", "--markdown"]);
    assert_eq!(comment.exit, 1, "{comment:#?}");
    assert!(comment.out.starts_with("### `bot`: 1 configure"), "{comment:#?}");
    assert!(comment.out.contains("env[PASSWORD]: ***") && !comment.out.contains("typed-by-hand"), "{comment:#?}");
}

#[test]
fn a_diff_shows_what_becomes_of_the_quota_where_it_changes_and_json_always() {
    let stage = Stage::new();
    let in_sync = stage.run(&["diff", "bot"]);
    assert_eq!((in_sync.exit, in_sync.out.contains("quota")), (0, false), "{in_sync:#?}");
    let row = |ran: &Ran| {
        let rows = ran.json()["quota"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["resource"] == "pods").expect("a row")
    };
    let now = json!({"resource": "pods", "used": "1", "after": "1", "peak": "1", "limit": "16"});
    assert_eq!(row(&stage.run(&["diff", "bot", "--json"])), now);
    stage.says("replicas: 1", "replicas: 3");
    let more = stage.run(&["diff", "bot"]);
    let lines: Vec<Vec<&str>> = more.out.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [["quota", "used", "after", "peak", "limit"], ["pods", "1", "3", "3", "16"]] {
        assert!(lines.contains(&line.to_vec()), "{more:#?}");
    }
    stage.says("replicas: 1", "replicas: 40");
    let held = stage.run(&["diff", "bot"]);
    assert!(held.out.contains("no room: toolforge.yaml:5:"), "{held:#?}");
    assert_eq!(held.exit, 1);
}

/// What differs from run to run.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        let bare = word.trim_end();
        let is_version = out.ends_with("resourceVersion ") || out.ends_with("resourceVersion N → ");
        if is_version && bare.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push('N');
        } else if bare.len() >= 20 && bare.contains('T') && bare.trim_end_matches(',').ends_with('Z') {
            out.push_str("TIME");
            out.push_str(if bare.ends_with(',') { "," } else { "" });
        } else {
            out.push_str(bare);
        }
        out.push_str(&word[bare.len()..]);
    }
    out
}

#[test]
fn refusals_read_as_reviewed() {
    let stage = Stage::new();
    stage.says("replicas: 1", "replicas: 2");
    let whole = stage.plan();
    let mut told = String::new();
    let mut tell = |title: &str, refused: Ran| {
        assert_eq!(refused.out, "", "{title}: {refused:#?}");
        told.push_str(&format!("# {title}: exit {}\n{}\n", refused.exit, steady(&refused.err)));
    };
    let put = |text: &str| std::fs::write(stage.path("plan.json"), text).expect("written");

    put(&whole.replace("\"create\"", "\"prune\"").replace("\"configure\"", "\"prune\""));
    tell("a step was edited", stage.run(&["apply", "plan.json"]));
    put(&whole[..whole.len() - 100]);
    tell("the end is missing", stage.run(&["apply", "plan.json"]));
    put("{\"format_version\": \"1.2\", \"resource_changes\": []}");
    tell("another program's plan", stage.run(&["apply", "plan.json"]));
    put(&whole.replace("/v1alpha1", "/v3"));
    tell("a newer format", stage.run(&["apply", "plan.json"]));
    tell("no such file", stage.run(&["apply", "./plan.jsn"]));
    put(&whole);
    tell("with --wait", stage.run(&["apply", "plan.json", "--wait"]));

    let elsewhere = stage.run_on("other", &["apply", "bot", "--wait", "--timeout", "60"]);
    assert_eq!(elsewhere.exit, 0, "{elsewhere:#?}");
    tell("another cluster", stage.run_on("other", &["apply", "plan.json"]));

    stage.patch("kubectl-scale", &json!({"spec": {"replicas": 5}}));
    tell("an object was changed", stage.run(&["apply", "plan.json"]));
    stage.by_hand(async |client| {
        let path = "/apis/apps/v1/namespaces/tool-bot/deployments/bot";
        call::send(client, http::Method::DELETE, path, &json!({})).await.expect("deleted");
    });
    tell("an object was deleted", stage.run(&["apply", "plan.json"]));

    stage.plan();
    stage.says("replicas: 1", "replicas: 3");
    tell("another commit", stage.run(&["apply", "plan.json"]));
    stage.plan();
    let settings = PLATFORM.replace("d.example}", "d.example, env: {REGION: x}}");
    std::fs::write(stage.path("config/platform.yaml"), settings).expect("written");
    stage.commit("config");
    tell("a setting", stage.run(&["apply", "plan.json"]));

    stage.plan();
    let suspended = stage.run_alone(&["suspend", "bot", "--sandbox", "--sandbox-folder", "sandbox"]);
    assert_eq!(suspended.exit, 0, "{suspended:#?}");
    tell("somebody suspended the tool", stage.run(&["apply", "plan.json"]));
    as_reviewed("refusals.txt", &told);
}

fn as_reviewed(name: &str, told: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/plans").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, told).expect("the golden is written");
    }
    let reviewed = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(told, reviewed, "{}: run with UPDATE_GOLDEN=1 and look at the difference", golden.display());
}

/// What is not the sandbox's controllers' to write: each object at its version, or at its generation.
fn written(objects: &Value) -> Vec<String> {
    let items = objects["items"].as_array().expect("items").iter().filter(|item| item["kind"] != "Pod");
    let version = |item: &Value| match item["kind"].as_str() {
        Some("Deployment" | "ResourceQuota") => item["metadata"]["generation"].clone(),
        _ => item["metadata"]["resourceVersion"].clone(),
    };
    items.map(|item| format!("{} {} {}", item["kind"], item["metadata"]["name"], version(item))).collect()
}

#[test]
fn a_refused_plan_writes_nothing_and_one_that_fits_waits_for_no_other_writer() {
    let stage = Stage::new();
    stage.says("replicas: 1", "replicas: 2");
    stage.plan();
    let everything = || written(&stage.by_hand(saved));
    stage.patch("kubectl-scale", &json!({"spec": {"replicas": 5}}));
    let before = everything();
    assert_eq!(stage.run(&["apply", "plan.json"]).exit, 1);
    assert_eq!(everything(), before, "not even the lease");

    stage.plan();
    stage.by_hand(async |client| {
        let claim = Claim {
            namespace: "toolforge".into(),
            name: lease::name("p"),
            identity: "rival".into(),
            term: lease::TERM,
        };
        // Dropped without being freed: it lives on for a while.
        drop(lease::acquire(client, claim, &|_| {}).await);
    });
    let before = everything();
    let refused = stage.run(&["apply", "plan.json"]);
    assert_eq!(refused.exit, 2, "{refused:#?}");
    assert!(refused.err.contains("rival looks after platform p"), "{refused:#?}");
    assert_eq!(everything(), before);
    let forced = stage.run(&["apply", "plan.json", "--force"]);
    assert_eq!(forced.exit, 0, "{forced:#?}");
    assert_eq!(stage.deployment()["spec"]["replicas"], 2);
}

#[test]
fn a_plan_is_of_a_commit() {
    let stage = Stage::new();
    std::fs::write(stage.path("bot/toolforge.yaml"), BOT.replace("replicas: 1", "replicas: 2")).expect("written");
    let config = stage.path("config").to_string_lossy().into_owned();
    let sandbox = stage.path("sandbox").to_string_lossy().into_owned();
    let arguments = ["diff", "--out", "plan.json", "--config", &config, "--sandbox", "--sandbox-folder", &sandbox];
    let dirty = toolforge(&stage.path("bot"), &arguments);
    assert_eq!((dirty.exit, dirty.out.as_str()), (2, ""), "{dirty:#?}");
    assert!(dirty.err.contains("a plan is of a commit"), "{dirty:#?}");
    assert!(!stage.path("bot/plan.json").exists());
    let clash = stage.run(&["diff", "bot", "--out", "plan.json", "--against", "main"]);
    assert_eq!(clash.exit, 2, "{clash:#?}");
}

/// Everything a person could save: all kinds we speak, leases too.
async fn saved(client: &Client) -> Value {
    let mut items = Vec::new();
    let lists = KINDS.iter().map(|row| address::collection(row, None));
    for path in lists.chain(["/apis/coordination.k8s.io/v1/leases".to_owned()]) {
        let Ok(bytes) = call::get(client, &path, None).await else { continue };
        let list: Value = call::parse(&bytes).expect("JSON");
        let text = |key: &str| list[key].as_str().expect("a text").to_owned();
        let kind = text("kind").trim_end_matches("List").to_owned();
        for item in list["items"].as_array().expect("items") {
            let mut item = item.clone();
            item["apiVersion"] = text("apiVersion").into();
            item["kind"] = kind.clone().into();
            items.push(item);
        }
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[test]
fn saved_objects_are_planned_against_as_the_cluster_they_came_from() {
    let stage = Stage::new();
    let objects = stage.by_hand(saved);
    std::fs::write(stage.path("live.json"), objects.to_string()).expect("written");
    let yaml = serde_yaml::to_string(&objects).expect("YAML");
    std::fs::write(stage.path("live.yaml"), yaml).expect("written");
    let offline = |arguments: &[&str]| stage.run_alone(&[&["diff", "bot", "--live"], arguments].concat());

    // The platform and the tool are in the file too.
    for same in [offline(&["live.json"]), offline(&["live.yaml"]), offline(&["live.yaml", "--config", "config"])] {
        assert_eq!((same.exit, same.err.as_str()), (0, ""), "{same:#?}");
        assert!(same.out.contains("  cluster: live."), "{same:#?}");
    }

    stage.patch("kubectl-scale", &json!({"spec": {"replicas": 5}}));
    std::fs::write(stage.path("live.json"), stage.by_hand(saved).to_string()).expect("written");
    stage.says("GREETING: hello-from-git", "GREETING: hi");
    let mut there = stage.run(&["diff", "bot", "--json"]).json();
    let mut here = offline(&["live.json", "--config", "config", "--json"]).json();
    for told in [&mut there, &mut here] {
        told["cluster"] = Value::Null;
        // What is used of it changes while the controllers act on the five.
        told["quota"] = Value::Null;
    }
    assert!(here["steps"].as_array().is_some_and(|steps| steps.len() == 1), "{here:#}");
    assert_eq!(here, there, "the same plan, request for request");

    // And it can be carried out there.
    let planned = offline(&["live.json", "--config", "config", "--out", "plan.json"]);
    assert_eq!(planned.exit, 1, "{planned:#?}");
    let applied = stage.run(&["apply", "plan.json"]);
    assert_eq!(applied.exit, 0, "{applied:#?}");
    assert_eq!(stage.deployment()["spec"]["replicas"], 1);
}

#[test]
fn a_plan_made_without_asking_the_server_is_carried_out_without_asking_it() {
    let stage = Stage::new();
    // Nobody's name stands on the label: only a dry run tells that it is no default.
    stage.patch("kubectl-label", &json!({"metadata": {"labels": {"hello": "world"}}}));
    stage.patch("kubectl-edit", &json!({"metadata": {"managedFields": [{}]}}));
    std::fs::write(stage.path("live.json"), stage.by_hand(saved).to_string()).expect("written");
    stage.says("replicas: 1", "replicas: 2");
    let there = stage.run(&["diff", "bot"]);
    assert!(there.out.contains("metadata.labels.hello: world → (removed)"), "{there:#?}");
    let planned = stage.run_alone(&["diff", "bot", "--live", "live.json", "--config", "config", "--out", "plan.json"]);
    assert_eq!(planned.exit, 1, "{planned:#?}");
    assert!(!planned.out.contains("→ (removed)") && planned.out.contains("spec.replicas: 1 → 2"), "{planned:#?}");

    let applied = stage.run(&["apply", "plan.json"]);
    assert_eq!(applied.exit, 0, "{applied:#?}");
    let deployment = stage.deployment();
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployment["metadata"]["labels"]["hello"], "world", "nobody approved that it goes");
}

#[test]
fn what_a_saved_cluster_lacks_is_absent_and_said() {
    let stage = Stage::new();
    let mut objects = stage.by_hand(saved);
    let items = objects["items"].as_array_mut().expect("items");
    items.retain(|item| item["kind"] != "Deployment");
    std::fs::write(stage.path("live.json"), objects.to_string()).expect("written");
    let offline = |more: &[&str]| {
        stage.run_alone(&[&["diff", "bot", "--live", "live.json", "--config", "config"], more].concat())
    };
    let gone = offline(&[]);
    assert_eq!(gone.exit, 1, "{gone:#?}");
    assert!(gone.out.contains("+ deployment/tool-bot/bot") && gone.out.contains("drift: it was deleted"), "{gone:#?}");

    let without_owners = objects["items"].as_array_mut().expect("items");
    without_owners.retain(|item| item["kind"] != "Tool" && item["kind"] != "Namespace");
    for item in without_owners {
        item["metadata"].as_object_mut().expect("metadata").remove("managedFields");
    }
    std::fs::write(stage.path("live.json"), objects.to_string()).expect("written");
    let bare = offline(&[]);
    assert_eq!(bare.exit, 1, "{bare:#?}");
    for said in
        ["live.json does not say who wrote what", "live.json holds no tool/bot", "live.json holds no namespace/"]
    {
        assert!(bare.err.contains(said), "{said}: {bare:#?}");
    }

    for (text, said) in [("components: {}\n", "is no Kubernetes object"), ("", "it holds no objects")] {
        std::fs::write(stage.path("live.json"), text).expect("written");
        let refused = offline(&[]);
        assert_eq!((refused.exit, refused.out.as_str()), (2, ""), "{refused:#?}");
        assert!(refused.err.contains(said) && refused.err.contains("--show-managed-fields"), "{refused:#?}");
    }
    assert_eq!(offline(&["--sandbox"]).exit, 2, "one cluster is enough");
}
