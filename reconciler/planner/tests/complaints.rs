//! What users of other GitOps tools complain about most, and that no test of ours was named after: docs/complaints.md
//! lists all of them with the tests that hold them.

mod world;

use planner::observed::MARK;
use planner::plan::{Action, Cause};
use serde_json::{Value, json};
use world::{Says, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000, publish: /, replicas: 2}
";
const ONE_OFF: &str = "  migrate:
    component_type: one-off
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: migrate}
";

/// Kind, part of the name, and what somebody does to it.
type Hand = (&'static str, &'static str, fn(&mut Value));

fn settled() -> (World, Says) {
    let (mut world, says) = (World::new(), commit('a', WEB));
    world.settle(&says);
    (world, says)
}

/// An operator copies labels and annotations of what it watches to what it makes (kustomize-controller#410).
#[test]
fn what_an_operator_makes_with_our_labels_copied_is_never_pruned() {
    let (mut world, says) = settled();
    let (service, deployment) = (world.id("Service", "web"), world.id("Deployment", "web"));
    let labels = world.objects[&service]["metadata"]["labels"].clone();
    assert_eq!(labels[MARK], "wordcount");
    let copy = |name: &str, owners: Value| {
        let id = renderer::ObjectId { name: name.to_owned(), ..service.clone() };
        let metadata =
            json!({"name": name, "namespace": "tool-wordcount", "labels": labels, "ownerReferences": owners});
        (
            id,
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 1, "protocol": "TCP"}]}}),
        )
    };
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true, "uid": world.objects[&deployment]["metadata"]["uid"]}]);
    let (by_an_operator, body) = copy("copied", json!([]));
    world.apply(&by_an_operator, &body, "some-operator");
    // Even our manager's name proves nothing on an object that has a controller.
    let (owned, body) = copy("owned", owner);
    world.apply(&owned, &body, world::MANAGER);
    let before = world.names();
    let plan = world.pass(&says);
    assert_eq!((plan.steps, world.names()), (Vec::new(), before));
}

/// OutOfSync, and an empty diff (argo-cd#15898, #14666).
#[test]
fn whatever_is_out_of_sync_has_a_difference_to_show() {
    let hands: [Hand; 7] = [
        ("Deployment", "web", |o| o["spec"]["replicas"] = json!(9)),
        ("Deployment", "web", |o| o["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["--debug"])),
        ("Service", "web", |o| o["spec"]["ports"][0]["port"] = json!(1)),
        ("Service", "web", |o| o["metadata"]["labels"] = json!({})),
        ("Service", "web", |o| o["metadata"]["annotations"] = json!({"stray": "1"})),
        ("Ingress", "web", |o| o["metadata"]["managedFields"] = json!([])),
        ("NetworkPolicy", "", |o| o["spec"]["policyTypes"] = json!(["Egress"])),
    ];
    for (kind, name, hand) in hands {
        let (mut world, says) = settled();
        let id = world.objects.keys().find(|id| id.kind == kind && id.name.contains(name)).expect("there").clone();
        world.edit(&id, "somebody", hand);
        let (plan, _) = world.plan(&says);
        let silent: Vec<_> = plan.steps.iter().filter(|step| step.changes.is_empty()).collect();
        assert_eq!(silent, Vec::<&planner::plan::Step>::new(), "{kind} {name}");
        world.settle(&says);
        assert!(world.plan(&says).0.is_ready(), "{kind} {name}");
    }
}

/// Status fields counted as drift (fleet#2521), and status noise in a server-side diff (argo-cd#17394).
#[test]
fn a_status_is_no_drift_whoever_wrote_it() {
    let (mut world, says) = settled();
    for id in world.objects.keys().cloned().collect::<Vec<_>>() {
        if !["Tool", "ResourceQuota", "Namespace", "Deployment", "PodDisruptionBudget"].contains(&id.kind.as_str()) {
            world.edit(&id, "some-controller", |o| o["status"] = json!({"anything": [1, {"goes": null}]}));
        }
    }
    assert_eq!(world.plan(&says).0.steps, []);
}

/// `kubectl rollout restart` is undone, and every pod restarts twice (argo-cd#28769).
#[test]
fn a_rollout_restart_is_not_undone() {
    let (mut world, says) = settled();
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-rollout", |o| {
        o["spec"]["template"]["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
    });
    assert_eq!(world.plan(&says).0.steps, []);
}

/// A Job that its time-to-live took away hangs the sync, or runs again (argo-cd#21055, #6880).
#[test]
fn a_job_that_its_time_to_live_took_away_holds_nothing_up_and_does_not_run_again() {
    let (mut world, says) = (World::new(), commit('a', &format!("{WEB}{ONE_OFF}")));
    world.settle(&says);
    world.objects.retain(|id, _| id.kind != "Job");
    let plan = world.pass(&says);
    assert!(plan.is_ready() && plan.steps.is_empty(), "{plan:#?}");
    assert!(!world.has("Job", ""), "it has run");
}

/// Fields of a client-side apply survive the move to server-side apply (kustomize-controller#486, flux2#2099).
#[test]
fn what_a_client_side_apply_left_behind_goes() {
    let (mut world, says) = settled();
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-client-side-apply", |o| {
        o["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!("{}\n");
        o["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "LEFT", "value": "behind"}]);
        o["spec"]["minReadySeconds"] = json!(7);
    });
    world.settle(&says);
    let spec = &world.objects[&web]["spec"];
    let env = spec["template"]["spec"]["containers"][0]["env"].to_string();
    assert!(spec["minReadySeconds"].is_null() && !env.contains("LEFT"), "{spec:#}");
}

/// Ownership under another version of the API needs a migration by hand (kustomize-controller#1639, argo-cd#17358).
#[test]
fn what_was_written_under_another_api_version_converges_and_stays() {
    let (mut world, says) = settled();
    let web = world.id("Deployment", "web");
    let object = world.objects.get_mut(&web).expect("there");
    for entry in object["metadata"]["managedFields"].as_array_mut().expect("owners") {
        entry["apiVersion"] = json!("apps/v1beta2");
    }
    object["spec"]["minReadySeconds"] = json!(3);
    let passes = world.settle(&says);
    assert!(passes.iter().filter(|plan| !plan.steps.is_empty()).count() <= 2, "{passes:#?}");
    assert_eq!(world.plan(&says).0.steps, [], "{:#}", world.objects[&web]);
    assert_eq!(world.objects[&web]["spec"]["replicas"], 2);
}

/// A delete that failed leaves an orphan behind that nobody remembers (kustomize-controller#1664).
#[test]
fn what_could_not_be_deleted_is_deleted_by_a_later_pass() {
    let bot =
        format!("{WEB}  bot:\n    image: registry.example/bot@sha256:{}\n    run: {{command: bot}}\n", "b".repeat(64));
    let mut world = World::new();
    world.settle(&commit('a', &bot));
    let says = commit('b', WEB);
    for _ in 0..6 {
        // Every pass is cut off before its first prune.
        let (plan, _) = world.plan(&says);
        let kept = plan.steps.iter().take_while(|step| step.action != Action::Prune).count();
        world.pass_until(&says, kept);
    }
    assert!(world.has("Deployment", "bot"));
    world.settle(&says);
    assert!(!world.has("Deployment", "bot"), "{:?}", world.names());
}

/// A folder and what pointed to it go in one commit, and the removal is stuck for ever (flux2#2627).
#[test]
fn a_tool_whose_file_and_repository_went_together_is_removed_all_the_same() {
    let (mut world, _) = settled();
    let gone = Says::Nothing("the repository does not exist".to_owned());
    world.forgotten = true;
    world.pass(&gone);
    world.circumstances.now = planner::Moment::from_unix_secs(world::START.unix_secs() + 365 * 86_400);
    world.settle(&gone);
    assert!(!world.has("Deployment", "web") && !world.has("Service", "web"), "{:?}", world.names());
    assert!(world.has("Namespace", "tool-wordcount"), "what holds data stays");
}

/// Fields with null break server-side apply (nelm#477).
#[test]
fn nothing_that_is_sent_holds_a_null() {
    fn nulls(value: &Value) -> usize {
        match value {
            Value::Null => 1,
            Value::Array(items) => items.iter().map(nulls).sum(),
            Value::Object(fields) => fields.values().map(nulls).sum(),
            _ => 0,
        }
    }
    let (mut world, says) = (World::new(), commit('a', &format!("{WEB}{ONE_OFF}")));
    let plans = world.settle(&says);
    let requests = plans.iter().flat_map(|plan| &plan.steps).flat_map(|step| &step.requests);
    let bodies: Vec<_> = requests
        .filter_map(|request| match request {
            planner::plan::Request::Create { body } | planner::plan::Request::Apply { body } => Some(body),
            _ => None,
        })
        .collect();
    assert!(bodies.len() > 8);
    let with_nulls: Vec<_> = bodies.into_iter().filter(|body| nulls(body) > 0).collect();
    assert_eq!(with_nulls, Vec::<&Value>::new());
}

/// A label that is added to every object gets into selectors, which can't be changed (kapp#138).
#[test]
fn a_new_label_of_the_platform_s_touches_no_selector() {
    let (mut world, says) = settled();
    let before = world.objects[&world.id("Deployment", "web")]["spec"]["selector"].clone();
    assert!(before["matchLabels"].get(MARK).is_none(), "the mark stands on an object's own metadata: {before}");
    world.platform.domain = "another.example".to_owned();
    let plans = world.settle(&says);
    assert!(
        plans
            .iter()
            .flat_map(|plan| &plan.steps)
            .all(|step| step.action == Action::Configure || step.id.kind == "ControllerRevision")
    );
    assert!(plans.iter().flat_map(|plan| &plan.steps).any(|step| step.cause == Cause::PlatformChange));
    assert_eq!(world.objects[&world.id("Deployment", "web")]["spec"]["selector"], before);
}
