//! What the API server insists on, and what only it can tell, told as passes over a world in memory.

mod world;

use planner::drift::ChangeKind;
use planner::plan::Plan;
use serde_json::{Value, json};
use world::{Says, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000, publish: /, replicas: 2}
";

/// Never fewer than three.
fn more_replicas(object: &mut Value) {
    if object["kind"] == "Deployment" {
        object["spec"]["replicas"] = json!(3);
    }
}

fn cost_centre(object: &mut Value) {
    if object["kind"] == "Deployment" {
        object["metadata"]["annotations"]["example.org/cost-centre"] = json!("7");
    }
}

fn steps_on(plan: &Plan, kind: &str) -> usize {
    plan.steps.iter().filter(|step| step.id.kind == kind).count()
}

/// So many passes with a write to the Deployment.
fn writes(world: &mut World, says: &Says, passes: usize) -> usize {
    (0..passes).map(|_| steps_on(&world.pass(says), "Deployment")).sum()
}

#[test]
fn what_a_webhook_overrides_is_noted_once_and_asked_for_again_only_with_a_new_wish() {
    let mut world = World::new();
    world.admission = Some(more_replicas);
    let first = commit('a', WEB);
    assert_eq!(writes(&mut world, &first, 8), 1, "the create, and no second try");
    let (plan, observed) = world.plan(&first);
    assert!(plan.is_ready() && observed.answers.is_empty(), "{plan:#?}");
    let note = "deployment/tool-wordcount/web spec.replicas: the API server insists on another value than ours";
    assert_eq!(plan.remarks, [note]);

    let second = commit('b', &WEB.replace("replicas: 2", "replicas: 1"));
    assert_eq!(writes(&mut world, &second, 5), 1, "a new wish is asked for, once");
    assert!(world.plan(&second).0.is_ready());

    world.admission = None;
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-scale", |live| live["spec"]["replicas"] = json!(9));
    assert_eq!(writes(&mut world, &second, 3), 1, "a person's hand is no admission");
    assert_eq!(world.objects[&web]["spec"]["replicas"], 1);
}

#[test]
fn a_lost_note_costs_one_more_write() {
    let mut world = World::new();
    world.admission = Some(more_replicas);
    let says = commit('a', WEB);
    world.settle(&says);
    let tool = world.id("Tool", "wordcount");
    world.objects.get_mut(&tool).expect("the Tool")["status"].as_object_mut().expect("a status").remove("settled");
    assert_eq!(writes(&mut world, &says, 4), 1);
}

#[test]
fn what_a_webhook_adds_stays_and_nobody_is_asked_about_it() {
    let mut world = World::new();
    world.admission = Some(cost_centre);
    let says = commit('a', WEB);
    assert_eq!(writes(&mut world, &says, 8), 1);
    let (plan, observed) = world.plan(&says);
    assert!(plan.is_ready() && observed.answers.is_empty(), "{plan:#?}");
    // A new revision asks nobody either.
    let next = commit('b', &WEB.replace("replicas: 2", "replicas: 1"));
    let (plan, observed) = world.plan(&next);
    assert_eq!((steps_on(&plan, "Deployment"), observed.answers.len()), (1, 0));
    let web = world.id("Deployment", "web");
    world.settle(&next);
    assert_eq!(world.objects[&web]["metadata"]["annotations"]["example.org/cost-centre"], "7");
}

#[test]
fn what_a_webhook_puts_back_is_removed_once() {
    let mut world = World::new();
    let says = commit('a', WEB);
    world.settle(&says);
    world.admission = Some(cost_centre);
    let web = world.id("Deployment", "web");
    // Written by a person before the webhook came: theirs, and so an intruder.
    world.edit(&web, "kubectl-annotate", |live| {
        live["metadata"]["annotations"] = json!({"example.org/cost-centre": "6"})
    });
    world.objects.get_mut(&web).expect("web")["metadata"]["annotations"]["example.org/cost-centre"] = json!("6");
    assert_eq!(writes(&mut world, &says, 5), 1);
}

#[test]
fn an_intruder_whose_hand_was_wiped_out_goes_after_one_dry_run_and_a_webhooks_value_stays() {
    let mut world = World::new();
    let says = commit('a', WEB);
    world.settle(&says);
    let web = world.id("Deployment", "web");
    let live = world.objects.get_mut(&web).expect("web");
    live["spec"]["minReadySeconds"] = json!(7);
    live["metadata"]["annotations"] = json!({"example.org/cost-centre": "7"});
    world.admission = Some(cost_centre);
    let (plan, observed) = world.plan(&says);
    assert_eq!(observed.answers.len(), 1);
    let [step] = plan.steps.as_slice() else { unreachable!("{plan:#?}") };
    let changes: Vec<_> = step.changes.iter().map(|change| (change.path.as_str(), change.kind)).collect();
    assert_eq!(changes, [("spec.minReadySeconds", ChangeKind::Intruder)]);
    world.pass(&says);
    let (plan, observed) = world.plan(&says);
    assert!(plan.is_ready() && observed.answers.is_empty(), "what was told is remembered: {plan:#?}");
    assert!(world.objects[&web]["spec"].get("minReadySeconds").is_none());
}

#[test]
fn what_a_refused_dry_run_does_not_tell_stays_and_is_said() {
    let mut world = World::new();
    let says = commit('a', WEB);
    world.settle(&says);
    let web = world.id("Deployment", "web");
    world.objects.get_mut(&web).expect("web")["spec"]["minReadySeconds"] = json!(7);
    world.refuses = Some("no names that end so".to_owned());
    let (plan, _) = world.plan(&says);
    assert!(plan.is_ready(), "{plan:#?}");
    assert_eq!(
        plan.remarks,
        [
            "deployment/tool-wordcount/web spec.minReadySeconds: left alone, because a dry run did not tell whose it is: no names that end so"
        ]
    );
}

#[test]
fn cleared_owners_come_back_in_one_pass_and_stay() {
    let mut world = World::new();
    let says = commit('a', WEB);
    world.settle(&says);
    let web = world.id("Deployment", "web");
    let live = world.objects.get_mut(&web).expect("web");
    live["metadata"].as_object_mut().expect("metadata").remove("managedFields");
    live["spec"]["minReadySeconds"] = json!(7);
    assert_eq!(writes(&mut world, &says, 4), 1);
    assert!(world.objects[&web]["spec"].get("minReadySeconds").is_none());
}

#[test]
fn nothing_is_remembered_of_what_is_gone() {
    let mut world = World::new();
    world.admission = Some(more_replicas);
    world.settle(&commit('a', WEB));
    world.admission = None;
    let empty =
        format!("{WEB}  bot:\n    image: registry.example/bot@sha256:{}\n    run: {{command: bot}}\n", "b".repeat(64));
    let bot_only =
        empty.replace("  web:", "  old:").replace("command: web, port: 8000, publish: /, ", "command: old, ");
    world.settle(&commit('b', &bot_only));
    let tool = world.id("Tool", "wordcount");
    assert!(!world.has("Deployment", "web"));
    assert_eq!(world.objects[&tool]["status"].get("settled"), None);
}

#[test]
fn every_object_of_a_tool_is_told_field_by_field() {
    let mut world = World::new();
    world.admission = Some(more_replicas);
    let says = commit('a', WEB);
    world.settle(&says);
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-label", |live| live["metadata"]["labels"]["team"] = json!("x"));
    let told = planner::told(&world.verdicts(&says), &|_| Some("2 min ago".to_owned()));
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    let has = |words: &str| assert!(lines.iter().any(|line| line.join(" ").starts_with(words)), "{words} in\n{told}");
    has("namespace/tool-wordcount");
    has("deployment/tool-wordcount/web");
    has("intruder metadata.labels.team kubectl-label, 2 min ago: somebody else put it there");
    has("controller's spec.replicas toolforge, 2 min ago: the server insists on it");
    has("desired spec.template.spec.containers[web].command toolforge, 2 min ago: as we want it");
}
