//! Differences in fields that can't be changed, told as passes over a world in memory.

mod world;

use planner::Judge;
use planner::check::Rule;
use planner::plan::{Action, Plan, Request};
use renderer::ObjectId;
use serde_json::json;
use world::{MANAGER, Says, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000, publish: /, replicas: 2}
";

/// A tool whose Deployment was made by a version of ours that selected its pods otherwise.
fn other_selector() -> (World, Says, ObjectId) {
    let mut world = World::new();
    let says = commit('a', WEB);
    world.settle(&says);
    let web = world.id("Deployment", "web");
    world.objects.get_mut(&web).expect("web")["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    (world, says, web)
}

fn held(plan: &Plan) -> Vec<String> {
    plan.held.iter().map(|held| format!("{} {}", held.id, held.why)).collect()
}

fn uid(world: &World, id: &ObjectId) -> String {
    world.objects[id]["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

/// The id in `--allow <id>`.
fn allowed_by(plan: &Plan) -> String {
    let why = plan.held[0].why.to_string();
    let (_, rest) = why.split_once("--allow ").expect("a command");
    rest.split('`').next().expect("an id").to_owned()
}

fn allow(world: &mut World, id: &str) {
    let tool = world.id("Tool", "wordcount");
    world.objects.get_mut(&tool).expect("the Tool")["spec"]["pin"] = json!({"allowPrune": id});
}

#[test]
fn a_workload_is_replaced_only_when_a_person_allows_it_and_the_plan_says_what_it_costs() {
    let (mut world, says, web) = other_selector();
    let before = uid(&world, &web);
    let plan = world.pass(&says);
    assert_eq!(plan.steps, [], "nothing is deleted");
    assert_eq!((plan.held[0].action, plan.held[0].why.word()), (Some(Action::Replace), "PruneGuard"));
    assert!(held(&plan)[0].contains("its pods stop before new ones start"), "{:?}", held(&plan));
    let tool = world.id("Tool", "wordcount");
    assert!(world.objects[&tool]["status"]["heldDeletions"].to_string().contains("toolforge prune wordcount --allow"));

    allow(&mut world, "000000000000");
    assert_eq!(world.pass(&says).steps, [], "another word is not this one");
    let id = allowed_by(&plan);
    allow(&mut world, &id);
    let plan = world.pass(&says);
    let [step] = plan.steps.as_slice() else { unreachable!("{plan:#?}") };
    assert_eq!(
        (step.action, step.requests.as_slice()),
        (Action::Replace, &[Request::Delete { uid: before.clone() }][..])
    );
    let text = planner::explain::explain(&plan, &planner::explain::plain, &|_| None);
    assert!(
        text.contains("! deployment/tool-wordcount/web") && text.contains("its pods stop before new ones start"),
        "{text}"
    );
    assert!(!world.has("Deployment", "web"));

    let plan = world.pass(&says);
    assert_eq!(plan.steps.iter().map(|step| step.action).collect::<Vec<_>>(), [Action::Create]);
    world.settle(&says);
    assert_ne!(uid(&world, &web), before);
    assert!(world.objects[&web]["spec"]["selector"]["matchLabels"].get("app").is_none());
    // The word is spent: it was about that object.
    world.objects.get_mut(&web).expect("web")["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    assert_eq!(world.pass(&says).steps, []);
}

#[test]
fn a_mistake_is_never_taken_for_a_field_that_can_not_be_changed() {
    let (mut world, says, _) = other_selector();
    world.wrong = Some("spec.template.spec.containers[0].image".to_owned());
    let (plan, _) = world.plan(&says);
    let actions: Vec<_> = plan.steps.iter().map(|step| step.action).collect();
    assert_eq!(actions, [Action::Configure], "it fails in the server's words, and the live object stays");
}

#[test]
fn what_the_server_takes_after_all_is_configured() {
    let (mut world, says, _) = other_selector();
    world.lenient = true;
    let (plan, _) = world.plan(&says);
    assert_eq!(plan.steps.iter().map(|step| step.action).collect::<Vec<_>>(), [Action::Configure]);
}

#[test]
fn nothing_is_deleted_that_the_server_would_not_make_again() {
    let (mut world, says, _) = other_selector();
    let id = allowed_by(&world.pass(&says));
    allow(&mut world, &id);
    world.refuses = Some("exceeded quota".to_owned());
    let (plan, _) = world.plan(&says);
    assert_eq!(plan.steps, []);
    assert_eq!(held(&plan), ["deployment/tool-wordcount/web invalid: exceeded quota"]);
}

#[test]
fn the_judge_refuses_a_replace_that_nobody_allowed_or_that_is_another_object() {
    let (mut world, says, _) = other_selector();
    let id = allowed_by(&world.pass(&says));
    allow(&mut world, &id);
    let (plan, mut observed) = world.plan(&says);
    let judged = |plan: &Plan, observed: &_| {
        let judge = Judge { platform: &world.platform, observed, field_manager: MANAGER };
        judge.check(plan).into_iter().map(|violation| violation.rule).collect::<Vec<_>>()
    };
    assert_eq!(judged(&plan, &observed), []);
    let mut other = plan.clone();
    other.steps[0].requests = vec![Request::Delete { uid: "another".to_owned() }];
    assert_eq!(judged(&other, &observed), [Rule::NotProvenOurs, Rule::NotAllowed]);
    let tool = world.id("Tool", "wordcount");
    let mut unpinned = world.objects[&tool].clone();
    unpinned["spec"].as_object_mut().expect("a spec").remove("pin");
    observed.objects.insert(tool, planner::observed::Seen::Live(unpinned.into()));
    assert_eq!(judged(&plan, &observed), [Rule::NotAllowed]);
}

#[test]
fn a_map_that_somebody_sealed_is_replaced_at_once_for_nothing_is_lost_by_it() {
    let mut world = World::new();
    let says = commit('a', WEB);
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {"name": "settings", "namespace": "tool-wordcount", "labels": {"toolforge.org/tool": "wordcount"}},
    });
    world.frame = vec![renderer::Object::new(map).expect("an object")];
    world.settle(&says);
    let settings = world.id("ConfigMap", "settings");
    let before = uid(&world, &settings);
    world.edit(&settings, "kubectl-patch", |live| {
        live["immutable"] = json!(true);
        live["data"]["a"] = json!("c");
    });
    world.wrong = Some("immutable".to_owned());
    let plan = world.pass(&says);
    assert_eq!(plan.steps.iter().map(|step| step.action).collect::<Vec<_>>(), [Action::Replace], "{plan:#?}");
    world.wrong = None;
    world.settle(&says);
    assert_ne!(uid(&world, &settings), before);
    assert_eq!(world.objects[&settings]["data"], json!({"a": "b"}));
}
