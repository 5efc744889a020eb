//! Licences, told as passes over a world in memory: where a platform wants one, what carries none is told so, or held.

mod world;

use planner::plan::{Plan, Why};
use renderer::licence::{Licence, Licences, Says, Wanted};
use serde_json::{Value, json};
use world::{World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000}
";

fn newer() -> world::Says {
    commit('b', &WEB.replace("command: web", "command: other"))
}

fn licences(says: Says) -> Option<Licences> {
    Some(Licences(vec![Licence { file: "LICENSE".to_owned(), says }]))
}

/// A tool that runs a commit under the MIT licence, on a platform that wants this.
fn running(wanted: Wanted) -> World {
    let mut world = World::new();
    world.platform.licence = wanted;
    world.facts.licences = licences(Says::Approved("MIT".to_owned()));
    world.settle(&commit('a', WEB));
    assert_eq!(condition(&world), Value::Null, "nothing is missing");
    world
}

fn condition(world: &World) -> Value {
    let status = &world.objects[&world.id("Tool", "wordcount")]["status"];
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|condition| condition["type"] == "Licensed").unwrap_or_default()
}

fn held(plan: &Plan) -> bool {
    plan.held.iter().any(|held| matches!(held.why, Why::Unlicensed { .. }))
}

#[test]
fn without_a_licence_a_new_revision_is_held_or_told_of_as_the_platform_wants() {
    for (wanted, is_held, is_told) in
        [(Wanted::Ignore, false, false), (Wanted::Warn, false, true), (Wanted::Hold, true, true)]
    {
        let mut world = running(wanted);
        world.facts.licences = Some(Licences::default());
        let plan = world.settle(&newer()).pop().expect("a plan");
        let web = world.objects[&world.id("Deployment", "web")].to_string();
        assert_eq!((held(&plan), web.contains("\"other\"")), (is_held, !is_held), "{wanted:?}");
        assert_eq!(condition(&world)["status"] == "False", is_told, "{wanted:?}");
        let says = condition(&world)["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(says.contains("commit a file LICENSE"), is_told, "{says}");
        let ready = world.objects[&world.id("Tool", "wordcount")]["status"]["conditions"][0].clone();
        assert_eq!(ready["status"], if is_held { json!("False") } else { json!("True") }, "{wanted:?}");
        world.facts.licences = licences(Says::Approved("Apache-2.0".to_owned()));
        assert!(world.settle(&commit('c', WEB)).pop().expect("a plan").is_ready() && condition(&world).is_null());
    }
}

#[test]
fn what_nobody_has_looked_at_is_held_and_what_ran_before_is_not() {
    let mut world = running(Wanted::Warn);
    world.facts.licences = licences(Says::Unknown);
    world.settle(&newer());
    world.platform.licence = Wanted::Hold;
    let plan = world.settle(&newer()).pop().expect("a plan");
    assert!(plan.is_ready() && !held(&plan), "it was taken once: {:?}", plan.held);
    assert_eq!(condition(&world)["reason"], "Unlicensed", "and it is told");
    world.facts.licences = None;
    let (plan, _) = world.plan(&commit('c', WEB));
    assert!(plan.held.iter().any(|held| matches!(held.why, Why::NotObserved(_))) && plan.steps.is_empty());
}
