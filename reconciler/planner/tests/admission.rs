//! Rules, told as passes over a world in memory: what they refuse is held, and says where it was written.

mod world;

use planner::Admission;
use planner::observed::ImageSeen;
use planner::plan::{Action, Plan, Why};
use renderer::platform::{Backend, Builds, Tekton};
use serde_json::{Value, json};
use world::{Says, World, commit};

/// `web` has `replicas` on line 5.
fn web(replicas: u32) -> Says {
    let digest = "a".repeat(64);
    commit(
        char::from_digit(replicas, 10).expect("a digit"),
        &format!(
            "config_version: v1beta1
components:
  web:
    image: registry.example/web@sha256:{digest}
    run: {{command: web, port: 8000, publish: /, replicas: {replicas}}}
  bot:
    image: registry.example/bot@sha256:{digest}
    run: {{command: bot}}
"
        ),
    )
}

/// Documents of a rule for Deployments.
fn rule(expression: &str, message: &str) -> [Value; 2] {
    let api_version = "admissionregistration.k8s.io/v1";
    let metadata = json!({"name": "few", "annotations": {policy::EXCEPTION: "policies/few.yaml"}});
    let kinds = |group: &str, kind: &str| json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [kind]});
    let spec = json!({
        "matchConstraints": {"resourceRules": [kinds("apps", "deployments"), kinds("batch", "jobs")]},
        "validations": [{"expression": expression, "message": message}],
    });
    let binding = json!({"policyName": "few", "validationActions": ["Deny"]});
    [
        json!({"apiVersion": api_version, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec}),
        json!({"apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": binding}),
    ]
}

/// A platform with this rule beside those that are shipped.
fn with_rule(expression: &str) -> World {
    let mut world = World::new();
    add_rule(&mut world, expression);
    world
}

fn add_rule(world: &mut World, expression: &str) {
    let own = rule(expression, "a component has at most 3 replicas");
    let tools = [world.tool.clone()];
    world.rules = Admission::new(&world.platform, &tools, &own).expect("a rule that can be evaluated").into();
}

fn denials(plan: &Plan) -> Vec<String> {
    let denied = plan.held.iter().filter(|held| matches!(held.why, Why::Denied(_)));
    denied.map(|held| format!("{} {}", held.id, held.why)).collect()
}

const FEW: &str = "object.kind != 'Deployment' || object.spec.replicas <= 3";
const DENIED: &str = "deployment/tool-wordcount/web denied: toolforge.yaml:5:59: rule few refuses \
deployment/tool-wordcount/web: a component has at most 3 replicas; operators can allow more by `policies/few.yaml`";

#[test]
fn what_a_rule_refuses_is_held_whole_at_its_line_while_the_last_good_revision_is_healed() {
    let mut world = with_rule(FEW);
    world.settle(&web(2));
    let plan = world.pass(&web(5));
    assert_eq!(denials(&plan), [DENIED]);
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let id = world.id("Deployment", "web");
    world.edit(&id, "kubectl-scale", |o| o["spec"]["replicas"] = json!(7));
    let plan = world.pass(&web(5));
    assert_eq!(plan.steps.len(), 1, "{plan:#?}");
    assert_eq!(world.objects[&id]["spec"]["replicas"], 2, "neither what was refused, nor what somebody did by hand");
    world.settle(&web(3));
    assert_eq!(world.objects[&id]["spec"]["replicas"], 3);
}

#[test]
fn a_first_revision_that_is_refused_makes_nothing_of_its_component_and_all_of_its_neighbours() {
    let mut world = with_rule(FEW);
    world.settle(&web(4));
    assert!(!world.has("Deployment", "web") && !world.has("Service", "web") && !world.has("Ingress", "web"));
    assert!(world.has("Deployment", "bot"));
}

#[test]
fn a_new_rule_names_who_breaks_it_at_once_and_what_runs_stays_as_it_is() {
    let mut world = World::new();
    world.settle(&web(5));
    let before = world.objects[&world.id("Deployment", "web")].clone();
    add_rule(&mut world, FEW);
    let plan = world.pass(&web(5));
    assert_eq!(denials(&plan), [DENIED]);
    assert!(plan.steps.is_empty() && !plan.is_ready(), "{plan:#?}");
    assert_eq!(world.objects[&world.id("Deployment", "web")], before);
}

#[test]
fn a_rule_sees_what_the_server_s_defaults_make_of_an_object() {
    let mut world = with_rule("object.kind != 'Deployment' || object.spec.template.spec.dnsPolicy == 'ClusterFirst'");
    world.settle(&web(2));
    assert!(world.has("Deployment", "web"));
}

#[test]
fn what_is_refused_is_not_built() {
    let builds = |replicas: u32| {
        let mut world = with_rule(FEW);
        let tekton = Tekton { pipeline: "buildpacks".to_owned(), service_account: None };
        let backend = Backend::Tekton(tekton);
        world.platform.builds = Some(Builds::by(backend));
        let yaml = format!("components:\n  web:\n    build: {{}}\n    run: {{command: web, replicas: {replicas}}}\n");
        for build in world.render(&World::revision('b', &yaml)).builds {
            world.images.insert(build.image(), ImageSeen::Missing);
        }
        let plans = [world.pass(&commit('b', &yaml)), world.pass(&commit('b', &yaml)), world.pass(&commit('b', &yaml))];
        plans.iter().flat_map(|plan| &plan.steps).filter(|step| step.action == Action::Build).count()
    };
    assert_eq!((builds(2), builds(5)), (1, 0));
}

#[test]
fn a_one_off_that_has_run_is_past_being_refused() {
    let digest = "a".repeat(64);
    let says = commit(
        'c',
        &format!(
            "components:\n  migrate:\n    component_type: one-off\n    image: registry.example/web@sha256:{digest}\n    run: {{command: migrate}}\n"
        ),
    );
    let mut world = World::new();
    world.settle(&says);
    add_rule(&mut world, "object.kind != 'Job'");
    let (plan, _) = world.plan(&says);
    assert_eq!(denials(&plan), Vec::<String>::new());
    let mut fresh = with_rule("object.kind != 'Job'");
    let plans = fresh.settle(&says);
    assert!(plans.iter().any(|plan| !denials(plan).is_empty()) && !fresh.has("Job", "migrate"));
}
