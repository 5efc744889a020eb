//! A plan as a contract: what makes it void and what does not, and that no file but the one written is taken for it.

mod world;

use planner::contract::{Contract, Difference, NotAPlan, Terms};
use planner::observed::Observed;
use planner::plan::{Action, Cause, Plan};
use proptest::prelude::*;
use renderer::Revision;
use serde_json::json;
use std::sync::LazyLock;
use world::{Says, World, commit};

const WEB: &str = "config_version: v1beta1
env: {TOKEN: hunter2}
components:
  web:
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000, publish: /, replicas: 2}
";

fn three() -> String {
    WEB.replace("replicas: 2", "replicas: 3")
}

/// A world in which `WEB` runs.
fn running() -> World {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    world
}

fn contract_of(world: &World, plan: &Plan, observed: &Observed, revision: &Revision) -> Contract {
    let rendered = world.render(revision);
    Contract::of(&Terms {
        plan,
        observed,
        violations: &[],
        platform: &world.platform,
        tool: &world.tool,
        newest: Some((revision, &rendered)),
        made_by: "toolforge 0",
    })
}

fn planned(world: &World, says: &Says) -> (Contract, Observed) {
    let Says::Commit(id, yaml) = says else { unreachable!("a revision is always there") };
    let (plan, observed) = world.plan(says);
    (contract_of(world, &plan, &observed, &World::revision(*id, yaml)), observed)
}

/// What keeps a contract from being carried out in this world.
#[track_caller]
fn told(contract: &Contract, world: &World, says: &Says) -> Vec<String> {
    let (now, observed) = planned(world, says);
    contract.differences(&now, &observed).iter().map(ToString::to_string).collect()
}

#[test]
fn a_plan_that_is_made_again_in_the_same_world_is_the_same_plan() {
    let world = running();
    let (contract, _) = planned(&world, &commit('b', &three()));
    assert_eq!(contract.steps.len(), 1, "{contract:#?}");
    assert_eq!(told(&contract, &world, &commit('b', &three())), [""; 0]);
    let read = Contract::read(contract.to_text().as_bytes());
    assert_eq!(read, Ok(contract));
}

#[test]
fn a_controllers_status_makes_no_plan_stale() {
    let mut world = running();
    let says = commit('b', &three());
    let (contract, _) = planned(&world, &says);
    let web = world.id("Deployment", "web");
    world.edit(&web, "kube-controller-manager", |web| {
        web["status"]["observedGeneration"] = json!(99);
        web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("7");
    });
    assert_eq!(told(&contract, &world, &says), [""; 0]);
}

#[test]
fn a_controllers_status_changes_no_id_either_and_neither_does_the_time() {
    let mut world = running();
    let says = commit('b', &three());
    // An intruder, so that there is a patch that tests the resourceVersion.
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-label", |web| web["metadata"]["labels"]["hello"] = json!("world"));
    let (before, _) = world.plan(&says);
    assert_eq!(before.steps[0].requests.len(), 2, "{before:#?}");
    world.edit(&web, "kube-controller-manager", |web| web["status"]["observedGeneration"] = json!(99));
    world.circumstances.now = world::START.plus_secs(3600);
    let (after, _) = world.plan(&says);
    assert_ne!(before, after, "the patch tests another resourceVersion");
    assert_eq!(before.id(), after.id());
    let later = Plan { due: Some(world::START), cluster: "elsewhere".into(), deployment: None, ..before.clone() };
    assert_eq!(before.id(), later.id());
    let fewer = Plan { steps: Vec::new(), ..before.clone() };
    assert_ne!(before.id(), fewer.id());
}

#[test]
fn whoever_changed_an_object_meanwhile_is_named() {
    let mut world = running();
    let says = commit('b', &three());
    let (contract, _) = planned(&world, &says);
    let web = world.id("Deployment", "web");
    let version = world.objects[&web]["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
    world.edit(&web, "kubectl-scale", |web| web["spec"]["replicas"] = json!(9));
    let now = world.objects[&web]["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
    let expected = format!(
        "deployment/tool-wordcount/web: changed by kubectl-scale at 2026-01-01T00:00:00Z, resourceVersion {version} → {now}"
    );
    assert_eq!(told(&contract, &world, &says), [expected]);
}

#[test]
fn of_two_hands_in_one_second_the_one_that_is_news_is_named() {
    let mut world = running();
    let says = commit('b', &three());
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-set", |web| web["metadata"]["labels"]["first"] = json!("x"));
    let (contract, _) = planned(&world, &says);
    // Before the other by name, as the server sorts those of one second.
    world.edit(&web, "kubectl-annotate", |web| web["metadata"]["annotations"]["second"] = json!("x"));
    world.objects.get_mut(&web).expect("web")["metadata"]["managedFields"]
        .as_array_mut()
        .expect("a list")
        .sort_by_key(|entry| entry["manager"].to_string());
    let said = told(&contract, &world, &says);
    assert!(said[0].contains("web: changed by kubectl-annotate at "), "{said:?}");
}

#[test]
fn objects_that_came_went_or_were_made_anew_are_told_apart() {
    let mut world = running();
    let web = world.id("Deployment", "web");
    let gone = world.objects[&web].clone();
    let says = commit('b', &three());
    let (configure, _) = planned(&world, &says);
    world.objects.remove(&web);
    let said = told(&configure, &world, &says);
    assert!(said[0].starts_with("deployment/tool-wordcount/web: gone, was at resourceVersion "), "{said:?}");
    let (create, _) = planned(&world, &says);
    assert_eq!(create.steps[0].action, Action::Create);
    let mut again = gone;
    again["metadata"]["uid"] = json!("another");
    world.objects.insert(web, again);
    let said = told(&configure, &world, &says);
    assert!(said[0].contains("deleted and made again by toolforge"), "{said:?}");
    let said = told(&create, &world, &says);
    assert!(said[0].contains("was absent, and is there now by toolforge"), "{said:?}");
}

#[test]
fn another_commit_voids_it_unless_it_left_the_tree_alone() {
    let world = running();
    let (contract, _) = planned(&world, &commit('b', &three()));
    let other = commit('c', &WEB.replace("replicas: 2", "replicas: 4"));
    assert_eq!(told(&contract, &world, &other), ["commit: bbbbbbb → ccccccc on main"]);
    // As a merge without a change of its own makes one.
    let merge = Revision { commit: World::revision('d', "").commit, ..World::revision('b', &three()) };
    let (plan, observed) = world.plan(&commit('b', &three()));
    let now = contract_of(&world, &plan, &observed, &merge);
    assert_eq!(contract.differences(&now, &observed), []);
}

#[test]
fn a_setting_that_renders_otherwise_is_named_and_one_that_does_not_is_nobodys_concern() {
    let mut world = running();
    let says = commit('b', &three());
    let (contract, _) = planned(&world, &says);
    world.platform.poll_interval_secs += 1;
    assert_eq!(told(&contract, &world, &says), [""; 0]);
    world.platform.domain = "elsewhere.example".into();
    let said = told(&contract, &world, &says);
    assert_eq!(said, ["setting: platform.domain has changed", "setting: platform.poll_interval_secs has changed"]);
}

#[test]
fn what_a_person_asked_of_the_tool_meanwhile_voids_it() {
    let mut world = running();
    let says = commit('b', &three());
    let (contract, _) = planned(&world, &says);
    let tool = world.id("Tool", "wordcount");
    world.edit(&tool, "toolforge-cli", |tool| tool["spec"]["pin"] = json!({"suspend": true}));
    assert_eq!(
        told(&contract, &world, &says),
        ["deployment/tool-wordcount/web: configure is no longer planned, held: suspended"]
    );
}

#[test]
fn it_is_carried_out_once() {
    let mut world = running();
    let says = commit('b', &three());
    let (contract, _) = planned(&world, &says);
    world.pass(&says);
    let said = told(&contract, &world, &says);
    assert!(said[0].starts_with("deployment/tool-wordcount/web: changed by toolforge"), "{said:?}");
}

#[test]
fn another_cluster_is_told_before_anything_else() {
    let world = running();
    let says = commit('b', &three());
    let (contract, _) = planned(&world, &says);
    let (now, observed) = planned(&World::new(), &says);
    let found = contract.differences(&now, &observed);
    assert!(matches!(found.as_slice(), [Difference::Cluster { .. }]), "{found:?}");
}

/// Whoever writes a file with a hash of its own gains nothing: it is compared with what is planned anew.
#[test]
fn a_forged_contract_is_refused_whatever_its_hash() {
    let world = running();
    let says = commit('b', &three());
    let (contract, _) = planned(&world, &says);
    let forged = |forge: &dyn Fn(&mut Contract)| {
        let mut forged = contract.clone();
        forge(&mut forged);
        let read = Contract::read(forged.to_text().as_bytes()).expect("its hash is right");
        told(&read, &world, &says)
    };
    assert_eq!(forged(&|_| {}), [""; 0]);
    let web = "deployment/tool-wordcount/web";
    assert_eq!(forged(&|c| c.steps.clear()), [format!("{web}: configure was not planned, and would be done")]);
    assert_eq!(forged(&|c| c.steps[0].requests.clear()), [format!("{web}: configure would send something else")]);
    assert_eq!(forged(&|c| c.steps[0].action = Action::Prune), [format!("{web}: configure would send something else")]);
    let twice = forged(&|c| c.steps.push(c.steps[0].clone()));
    assert_eq!(twice, ["steps: the same in another order"]);
    let other = forged(&|c| {
        let mut more = c.steps[0].clone();
        more.id.name = "other".into();
        c.steps.push(more);
    });
    assert_eq!(other, ["deployment/tool-wordcount/other: configure is no longer needed"]);
}

#[test]
fn no_value_of_an_environment_or_a_secret_is_in_the_file() {
    let mut world = running();
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-set", |web| {
        let env = web["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().expect("a list");
        env.push(json!({"name": "PASSWORD", "value": "typed-by-hand"}));
    });
    let (contract, _) = planned(&world, &commit('b', &three()));
    let text = contract.to_text();
    assert!(matches!(contract.steps[0].cause, Cause::Drift { .. }), "{text}");
    assert!(text.contains("env[PASSWORD]"), "that it goes is told: {text}");
    for secret in ["hunter2", "typed-by-hand"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// With a value typed by hand where no environment is.
fn edited() -> World {
    let mut world = running();
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-edit", |web| {
        web["metadata"]["annotations"]["note"] = json!("the password is typed-by-hand");
        web["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["--password", "typed-by-hand"]);
        web["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example/typed-by-hand");
        web["spec"]["replicas"] = json!(9);
    });
    world
}

/// As whoever may read the tool's secrets is shown it.
fn hidden(mut plan: Plan) -> Plan {
    plan.said().into_iter().for_each(|text| *text = text.replace("typed-by-hand", "***"));
    plan
}

#[test]
fn what_somebody_typed_into_an_object_is_searched_wherever_a_plan_shows_it() {
    let world = edited();
    let (plan, _) = world.plan(&commit('a', WEB));
    let shown = |plan: &Plan| planner::explain::explain(plan, &|_, text| text.to_owned(), &|_| None);
    assert_eq!(shown(&plan).matches("typed-by-hand").count(), 3, "{}", shown(&plan));
    let plan = hidden(plan);
    let json = serde_json::to_string(&plan).expect("serialises");
    assert!(!json.contains("typed-by-hand"), "{json}");
    assert_eq!(shown(&plan).matches("***").count(), 3, "{}", shown(&plan));
}

#[test]
fn a_plan_in_which_nobody_else_has_a_say_needs_no_search() {
    let mut world = running();
    world.facts.author = Some("Ada Lovelace".to_owned());
    let (mut idle, _) = world.plan(&commit('a', WEB));
    assert!(idle.is_in_sync() && idle.said().is_empty(), "{:?}", idle.said());
    assert_eq!(world.plan(&commit('b', &three())).0.said(), ["Ada Lovelace"]);
    world.facts.author = None;
    let (mut ours, _) = world.plan(&commit('b', &three()));
    assert!(ours.steps.iter().any(|step| !step.changes.is_empty()) && ours.said().is_empty(), "{:?}", ours.said());
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-scale", |web| web["spec"]["replicas"] = json!(9));
    assert_eq!(world.plan(&commit('a', WEB)).0.said(), ["9"]);
}

#[test]
fn a_plan_fits_whoever_may_read_the_secrets_that_it_shows_and_whoever_may_not() {
    let (world, says) = (edited(), commit('b', &three()));
    let Says::Commit(id, yaml) = &says else { unreachable!("a commit") };
    let (shown, observed) = world.plan(&says);
    let hidden = hidden(shown.clone());
    assert_ne!(shown, hidden);
    assert_eq!(shown.id(), hidden.id());
    let contracts = [shown, hidden].map(|plan| contract_of(&world, &plan, &observed, &World::revision(*id, yaml)));
    let [shown, hidden] = &contracts;
    assert_eq!((shown.differences(hidden, &observed), hidden.differences(shown, &observed)), (Vec::new(), Vec::new()));
    let mut forged = hidden.clone();
    forged.steps[0].changes.retain(|change| !change.path.contains("args"));
    assert_eq!(forged.differences(shown, &observed).len(), 1, "a change that is not named is none that was approved");
}

#[test]
fn what_is_no_plan_of_ours_is_told_in_words() {
    let world = running();
    let text = planned(&world, &commit('b', &three())).0.to_text();
    let newer = text.replace("toolforge.org/v1alpha1", "toolforge.org/v9");
    let cases = [
        (String::new(), NotAPlan::Foreign),
        ("components: {}\n".to_owned(), NotAPlan::Foreign),
        ("{\"kind\": \"List\", \"apiVersion\": \"v1\"}".to_owned(), NotAPlan::Foreign),
        ("{\"format_version\": \"1.2\", \"terraform_version\": \"1.9\"}".to_owned(), NotAPlan::Foreign),
        (newer, NotAPlan::OtherFormat { found: "toolforge.org/v9".into() }),
        (text[..text.len() / 2].to_owned(), NotAPlan::Altered),
        (text[..20].to_owned(), NotAPlan::Altered),
        (text.replace("\"steps\"", "\"stops\""), NotAPlan::Altered),
        (text.replace('\n', "\r\n"), NotAPlan::Altered),
        (format!("{text}\n"), NotAPlan::Altered),
    ];
    for (bytes, expected) in cases {
        assert_eq!(Contract::read(bytes.as_bytes()), Err(expected), "{bytes:.60}");
    }
}

static FILE: LazyLock<String> = LazyLock::new(|| planned(&running(), &commit('b', &three())).0.to_text());

proptest! {
    #[test]
    fn a_file_of_which_any_byte_was_edited_is_refused(at in any::<prop::sample::Index>(), to: u8) {
        let mut bytes = FILE.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        prop_assert!(Contract::read(&bytes).is_err());
    }

    #[test]
    fn a_file_that_was_cut_or_grew_is_refused(at in any::<prop::sample::Index>(), more in any::<Option<u8>>()) {
        let mut bytes = FILE.clone().into_bytes();
        let at = at.index(bytes.len());
        match more {
            Some(byte) => bytes.insert(at, byte),
            None => bytes.truncate(at),
        }
        prop_assert!(Contract::read(&bytes).is_err());
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Contract::read(&bytes).is_err());
    }
}
