//! Somebody insists: what is fought over is left alone for a while and named; everything else goes on.

mod world;

use planner::conditions::Pass;
use planner::fight::Matter;
use planner::outcome::Outcome;
use planner::plan::{Action, Plan};
use planner::{Fight, Moment};
use renderer::ObjectId;
use serde_json::json;
use world::{MANAGER, START, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000, publish: /, replicas: 2}
";

/// A world in which somebody scales `web` again and again, for a minute more.
fn fought() -> (World, ObjectId) {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let web = world.id("Deployment", "web");
    world.edit(&web, "greedy", |o| o["spec"]["replicas"] = json!(9));
    let fields = [Matter::Field("spec.replicas".to_owned())].into();
    let until = START.plus_secs(60);
    let fight = Fight { fields, manager: Some("greedy".to_owned()), times: 7, secs: 30, until };
    world.circumstances.fights.insert(web.clone(), fight);
    (world, web)
}

fn said(plan: &Plan) -> Vec<String> {
    plan.held.iter().map(|held| format!("{}: {}", held.id, held.why)).collect()
}

fn condition(world: &World, plan: &Plan, name: &str) -> String {
    let (outcome, observed) = (Outcome::default(), world.observe());
    let (previous, generation, now) = (None, 1, START);
    let pass = Pass {
        plan,
        outcome: &outcome,
        observed: &observed,
        field_manager: MANAGER,
        previous,
        generation,
        now,
        since: now,
    };
    let status = pass.status();
    let all = status["conditions"].as_array().expect("conditions");
    let found = all.iter().find(|one| one["type"] == name).expect("that one");
    format!("{} {}", found["status"], found["reason"])
}

#[test]
fn what_is_fought_over_is_held_with_its_hand_and_field_and_how_often() {
    let (world, web) = fought();
    let (plan, _) = world.plan(&commit('a', WEB));
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let expected =
        format!("{web}: fighting: greedy sets spec.replicas each time, and it was corrected 7 times in 30 s");
    assert_eq!(said(&plan), [expected]);
    assert_eq!(plan.due, Some(START.plus_secs(60)), "and then it is tried again");
    assert_eq!(condition(&world, &plan, "Ready"), "\"False\" \"Fighting\"");
    assert_eq!(condition(&world, &plan, "Drifted"), "\"True\" \"Fighting\"");
    assert_eq!(condition(&world, &plan, "Stalled"), "\"True\" \"Fighting\"");
}

#[test]
fn everything_else_of_the_tool_goes_on_also_of_that_component() {
    let (mut world, web) = fought();
    let service = world.id("Service", "web");
    world.objects.remove(&service);
    let plan = world.pass(&commit('a', WEB));
    let steps: Vec<_> = plan.steps.iter().map(|step| (&step.id, step.action)).collect();
    assert_eq!(steps, [(&service, Action::Create)]);
    assert_eq!(world.objects[&web]["spec"]["replicas"], 9);
}

#[test]
fn what_is_new_has_nothing_to_do_with_the_fight() {
    let (mut world, web) = fought();
    world.pass(&commit('b', &WEB.replace("command: web", "command: other")));
    assert!(world.objects[&web].to_string().contains("other"));
    assert_eq!(world.objects[&web]["spec"]["replicas"], 2, "an apply is of the whole object");
}

#[test]
fn when_the_time_is_over_it_is_corrected_again() {
    let (mut world, web) = fought();
    world.circumstances.now = START.plus_secs(60);
    world.pass(&commit('a', WEB));
    assert_eq!(world.objects[&web]["spec"]["replicas"], 2);
}

#[test]
fn who_deletes_an_object_again_and_again_is_left_alone_too() {
    let (mut world, _) = fought();
    let service = world.id("Service", "web");
    world.objects.remove(&service);
    let until: Moment = START.plus_secs(60);
    let fight = Fight { fields: [Matter::Existence].into(), manager: None, times: 5, secs: 4, until };
    world.circumstances.fights = [(service.clone(), fight)].into();
    let (plan, _) = world.plan(&commit('a', WEB));
    let expected = format!("{service}: fighting: somebody deletes it each time, and it was corrected 5 times in 4 s");
    assert!(said(&plan).contains(&expected), "{plan:#?}");
}
