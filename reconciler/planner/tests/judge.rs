//! The judge finds each broken rule in a plan that somebody got wrong on purpose.

mod world;

use planner::Judge;
use planner::check::Rule;
use planner::kinds::Identity;
use planner::observed::{Observed, Seen};
use planner::plan::{Action, Cause, Held, Plan, Request, Step, Why};
use renderer::ObjectId;
use serde_json::{Value, json};
use world::{MANAGER, World, commit};

/// A change that is made to a good plan and its world.
type Spoil = Box<dyn Fn(&mut Plan, &mut Observed)>;

fn yaml() -> String {
    let digest = "a".repeat(64);
    format!(
        "config_version: v1beta1\ncomponents:\n  web:\n    image: r.example/web@sha256:{digest}\n    run: {{command: web, port: 8000}}\n"
    )
}

/// A good plan with one configure step, and its world.
fn good() -> (World, Plan, Observed) {
    let mut world = World::new();
    world.settle(&commit('a', &yaml()));
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-scale", |o| o["spec"]["replicas"] = json!(7));
    let (plan, observed) = world.plan(&commit('a', &yaml()));
    (world, plan, observed)
}

fn judged(plan: &Plan, observed: &Observed, world: &World) -> Vec<Rule> {
    let judge = Judge { platform: &world.platform, observed, field_manager: MANAGER };
    judge.check(plan).into_iter().map(|violation| violation.rule).collect()
}

fn body(plan: &mut Plan) -> &mut Value {
    let applied = plan.steps[0].requests.last_mut().and_then(|request| match request {
        Request::Create { body } | Request::Apply { body } => Some(body),
        _ => None,
    });
    applied.expect("an apply")
}

fn rename(plan: &mut Plan, change: impl Fn(&mut ObjectId)) {
    let step = &mut plan.steps[0];
    change(&mut step.id);
    let id = step.id.clone();
    let body = body(plan);
    body["metadata"]["name"] = json!(id.name);
    body["metadata"]["namespace"] = json!(id.namespace);
    body["kind"] = json!(id.kind);
}

fn prune(plan: &mut Plan, uid: &str) {
    let id = plan.steps[0].id.clone();
    let requests = vec![Request::Delete { uid: uid.to_owned() }];
    let (action, identity) = (Action::Prune, planner::identity::of(&id));
    plan.steps[0] = Step { id, action, cause: Cause::NewRevision, identity, changes: Vec::new(), requests };
}

fn uid(plan: &Plan, observed: &Observed) -> String {
    let live = observed.live(&plan.steps[0].id).expect("it is live");
    live["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

#[test]
fn each_broken_rule_is_found() {
    let cases: Vec<(Rule, Spoil)> = vec![
        (Rule::OutOfScope, Box::new(|plan, _| rename(plan, |id| id.namespace = Some("tool-other".into())))),
        (Rule::OutOfScope, Box::new(|plan, _| rename(plan, |id| id.namespace = Some("kube-system".into())))),
        (Rule::OutOfScope, Box::new(|plan, _| rename(plan, |id| id.kind = "ClusterRole".into()))),
        (Rule::TooMighty, Box::new(|plan, _| plan.steps[0].identity = Identity::Platform)),
        (Rule::OtherObject, Box::new(|plan, _| body(plan)["metadata"]["name"] = json!("other"))),
        (Rule::Unmarked, Box::new(|plan, _| body(plan)["metadata"]["labels"] = json!({}))),
        (Rule::Unmarked, Box::new(|plan, _| body(plan)["metadata"]["labels"]["toolforge.org/tool"] = json!("other"))),
        (Rule::Privileged, Box::new(|plan, _| body(plan)["spec"]["template"]["spec"]["hostNetwork"] = json!(true))),
        (
            Rule::Privileged,
            Box::new(|plan, _| {
                body(plan)["spec"]["template"]["spec"]["volumes"] = json!([{"name": "x", "hostPath": {"path": "/"}}])
            }),
        ),
        (
            Rule::Privileged,
            Box::new(|plan, _| body(plan)["spec"]["template"]["spec"]["containers"][0]["securityContext"] = json!({})),
        ),
        (Rule::NotProvenOurs, Box::new(|plan, _| prune(plan, "another-uid"))),
        (
            Rule::NotProvenOurs,
            Box::new(|plan, observed| {
                let uid = uid(plan, observed);
                let id = plan.steps[0].id.clone();
                observed.inventory.clear();
                if let Some(Seen::Live(live)) = observed.objects.get_mut(&id) {
                    let mut value = Value::clone(live);
                    value["metadata"]["managedFields"] = json!([]);
                    *live = value.into();
                }
                prune(plan, &uid);
            }),
        ),
        (
            Rule::Protected,
            Box::new(|plan, observed| {
                let id = observed.objects.keys().find(|id| id.kind == "Namespace").expect("it").clone();
                plan.steps[0].id = id;
                let uid = uid(plan, observed);
                prune(plan, &uid);
            }),
        ),
        (
            Rule::NotObserved,
            Box::new(|_, observed| {
                observed.gaps.push(planner::observed::Gap {
                    group: "apps".into(),
                    kind: "Deployment".into(),
                    why: "403".into(),
                });
            }),
        ),
        (Rule::NotAbsent, Box::new(|plan, _| plan.steps[0].action = Action::Create)),
        (
            Rule::NotAbsent,
            Box::new(|plan, observed| {
                observed.untrodden = true;
                plan.steps[0].action = Action::Create;
            }),
        ),
        (Rule::Unguarded, Box::new(|plan, _| plan.steps[0].action = Action::Create)),
        (Rule::Twice, Box::new(|plan, _| plan.steps.push(plan.steps[0].clone()))),
        (
            Rule::Twice,
            Box::new(|plan, _| {
                let id = plan.steps[0].id.clone();
                plan.held.push(Held { id, action: Some(Action::Configure), why: Why::Terminating });
            }),
        ),
        (
            Rule::Unguarded,
            Box::new(|plan, _| {
                plan.steps[0].requests.push(Request::Patch { operations: json!([{"op": "remove", "path": "/spec"}]) })
            }),
        ),
        (
            Rule::OverBudget,
            Box::new(|plan, observed| {
                let uid = uid(plan, observed);
                prune(plan, &uid);
                plan.steps = vec![plan.steps[0].clone(); 1000];
            }),
        ),
    ];
    let route = |kind: &'static str, spec: Value| -> (Rule, Spoil) {
        let spoil = move |plan: &mut Plan, _: &mut Observed| {
            rename(plan, |id| id.kind = kind.to_owned());
            body(plan)["spec"] = spec.clone();
        };
        (Rule::ForeignHost, Box::new(spoil))
    };
    let own = "wordcount.toolforge.localhost";
    let cases = cases.into_iter().chain([
        route("Ingress", json!({"rules": [{"host": own}, {"host": "other.toolforge.localhost"}]})),
        route("Ingress", json!({"rules": [{"http": {}}]})),
        route("Ingress", json!({"rules": [{"host": own}], "tls": [{"hosts": ["*.toolforge.localhost"]}]})),
        route("Ingress", json!({"rules": [{"host": own}], "defaultBackend": {}})),
        route("HTTPRoute", json!({"hostnames": [own, "WORDCOUNT.toolforge.localhost"]})),
        route("HTTPRoute", json!({"hostnames": []})),
    ]);
    let (world, plan, observed) = good();
    assert_eq!(judged(&plan, &observed, &world), [], "the plan is good before it is spoilt");
    for (n, (rule, spoil)) in cases.enumerate() {
        let (world, mut plan, mut observed) = good();
        spoil(&mut plan, &mut observed);
        let found = judged(&plan, &observed, &world);
        assert!(found.contains(&rule), "case {n}: {rule:?} was not found, but {found:?}");
    }
}
