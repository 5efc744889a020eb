//! Quotas, told as passes over a world in memory: what can't fit is held before anything is applied, and nothing else is.

mod world;

use planner::observed::Gap;
use planner::plan::{Action, Plan, Why};
use planner::quota::table;
use proptest::prelude::*;
use renderer::ObjectId;
use serde_json::json;
use world::{Says, World, commit};

/// One component a line: its name, and what is in its `run`.
fn says(id: char, components: &[(&str, &str)]) -> Says {
    let image = format!("registry.example/a@sha256:{}", "a".repeat(64));
    let of = |(name, run): &(&str, &str)| {
        let kind = if run.contains("schedule") {
            "    component_type: scheduled\n"
        } else if run.contains("run_id") {
            "    component_type: one-off\n"
        } else {
            ""
        };
        format!("  {name}:\n{kind}    image: {image}\n    run: {{command: a, {run}}}\n")
    };
    let all: String = components.iter().map(of).collect();
    commit(id, &format!("components:\n{all}"))
}

fn holds(plan: &Plan) -> Vec<String> {
    let no_room = plan.held.iter().filter(|held| matches!(held.why, Why::NoRoom(_)));
    no_room.map(|held| format!("{} {}", held.id, held.why)).collect()
}

/// A world with this much memory for all containers of the tool.
fn with(memory: &str) -> World {
    let mut world = World::new();
    limit(&mut world, memory);
    world
}

fn limit(world: &mut World, memory: &str) {
    world.tool.limits.quota.insert("limits.memory".to_owned(), memory.to_owned());
}

const GRANT: &str = "ask for less, or ask the operators: limits.quota in tools/wordcount.yaml of the config repository \
can grant more";

#[test]
fn what_can_t_fit_is_held_at_its_line_with_its_numbers_while_the_last_good_revision_is_healed() {
    let mut world = with("4Gi");
    world.settle(&says('1', &[("web", "replicas: 2, memory: 1Gi")]));
    let large = says('2', &[("web", "replicas: 2, memory: 3Gi")]);
    let plan = world.pass(&large);
    let told = format!(
        "deployment/tool-wordcount/web no room: toolforge.yaml:4:44 asks for 4Gi more limits.memory, 2Gi of 4Gi are used; {GRANT}"
    );
    assert_eq!(holds(&plan), [told]);
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let id = world.id("Deployment", "web");
    world.edit(&id, "kubectl-scale", |o| o["spec"]["replicas"] = json!(1));
    let plan = world.pass(&large);
    assert_eq!((holds(&plan).len(), plan.steps.len()), (1, 1), "{plan:#?}");
    assert_eq!(world.objects[&id]["spec"]["replicas"], 2);
    let many = world.pass(&says('3', &[("web", "replicas: 9, memory: 1Gi")]));
    assert!(holds(&many)[0].contains("toolforge.yaml:4:33 asks for 7Gi more"), "{:?}", holds(&many));
    limit(&mut world, "9Gi");
    world.settle(&says('3', &[("web", "replicas: 9, memory: 1Gi")]));
    assert_eq!(world.objects[&id]["spec"]["replicas"], 9, "the limit and what needs it come in one go");
}

#[test]
fn a_first_revision_that_does_not_fit_makes_nothing_of_its_component_and_all_of_its_neighbours() {
    let mut world = with("2Gi");
    let yaml = says('1', &[("bot", "memory: 1Gi"), ("web", "memory: 3Gi, port: 8000, publish: /")]);
    let (plan, _) = world.plan(&yaml);
    assert_eq!(holds(&plan).len(), 1, "before even its namespace is there: {plan:#?}");
    world.settle(&yaml);
    assert!(world.has("Deployment", "bot") && !world.has("Deployment", "web") && !world.has("Ingress", "web"));
}

#[test]
fn who_asks_for_no_more_goes_first_and_what_is_left_goes_by_name() {
    let mut world = with("4Gi");
    world.settle(&says('1', &[("a", "memory: 1Gi"), ("b", "memory: 1Gi"), ("c", "memory: 2Gi")]));
    let next = [("a", "memory: 2Gi"), ("b", "memory: 3Gi"), ("c", "memory: 1Gi")];
    let plans = world.settle(&says('2', &next));
    let last = plans.last().expect("a pass");
    assert!(matches!(&holds(last)[..], [one] if one.contains("/b no room")), "c gave a what it needs: {last:#?}");
    assert_eq!(
        world.objects[&world.id("Deployment", "a")]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
            ["memory"],
        "2Gi"
    );
}

#[test]
fn a_renamed_component_gets_the_room_of_the_old_one_but_not_its_place() {
    let mut world = with("2Gi");
    world.settle(&says('1', &[("old", "memory: 2Gi")]));
    let renamed = says('2', &[("new", "memory: 2Gi")]);
    assert_eq!(holds(&world.plan(&renamed).0), [""; 0]);
    world.tool.limits.quota.insert("count/deployments.apps".to_owned(), "1".to_owned());
    let told = &holds(&world.plan(&renamed).0)[0];
    assert!(told.contains("1 more count/deployments.apps, 1 of 1 are used"), "{told}");
}

#[test]
fn what_others_use_is_not_ours_to_take_and_its_end_lets_us_go_on() {
    let mut world = with("4Gi");
    world.settle(&says('1', &[("web", "memory: 1Gi")]));
    let larger = says('2', &[("web", "memory: 3Gi")]);
    world.used = Some(json!({"limits.memory": "3Gi", "pods": "2"}));
    world.run_controllers();
    let plan = world.pass(&larger);
    assert!(holds(&plan)[0].contains("asks for 2Gi more limits.memory, 3Gi of 4Gi are used"), "{plan:#?}");
    world.used = Some(json!({"limits.memory": "1Gi", "pods": "1"}));
    world.run_controllers();
    assert_eq!(holds(&world.pass(&larger)), [""; 0]);
}

#[test]
fn a_run_of_one_s_own_is_not_taken_for_somebody_else_s() {
    let mut world = with("4Gi");
    let of = |id, web: &str| says(id, &[("web", web), ("refresh", "memory: 2Gi, schedule: '@daily'")]);
    world.settle(&of('1', "memory: 1Gi"));
    let id = world.id("CronJob", "refresh");
    world.edit(&id, "kube-controller-manager", |o| o["status"] = json!({"active": [{"name": "refresh-1"}]}));
    world.used = Some(json!({"limits.memory": "3Gi", "pods": "2", "count/jobs.batch": "1"}));
    world.run_controllers();
    assert_eq!(holds(&world.plan(&of('2', "memory: 2Gi")).0), [""; 0]);
    let plan = world.plan(&of('2', "memory: 3Gi")).0;
    assert!(holds(&plan)[0].contains("asks for 2Gi more limits.memory, 3Gi of 4Gi are used"), "{plan:#?}");
}

#[test]
fn while_pods_are_replaced_nothing_is_taken_for_somebody_else_s() {
    let mut world = with("4Gi");
    world.settle(&says('1', &[("web", "memory: 1Gi")]));
    world.used = Some(json!({"limits.memory": "3Gi"}));
    world.run_controllers();
    let id = world.id("Deployment", "web");
    world.edit(&id, "kube-controller-manager", |o| o["status"]["updatedReplicas"] = json!(0));
    assert_eq!(holds(&world.plan(&says('2', &[("web", "memory: 3Gi")])).0), [""; 0]);
}

#[test]
fn a_run_that_can_never_start_is_held_and_runs_that_take_turns_are_not() {
    let mut world = with("4Gi");
    let web = ("web", "memory: 2Gi");
    world.settle(&says('1', &[web]));
    for run in ["memory: 3Gi, schedule: '@daily'", "memory: 3Gi, run_id: a"] {
        let plan = world.plan(&says('2', &[web, ("other", run)])).0;
        assert!(holds(&plan)[0].contains("asks for 3Gi more limits.memory, 2Gi of 4Gi are used"), "{plan:#?}");
    }
    let both = [web, ("one", "memory: 2Gi, schedule: '@daily'"), ("two", "memory: 2Gi, schedule: '@daily'")];
    let plan = world.pass(&says('3', &both));
    assert_eq!((holds(&plan).len(), plan.steps.len()), (0, 2), "{plan:#?}");
    assert_eq!(plan.remarks, ["at its peak this takes 6Gi of 4Gi limits.memory: pods wait until others have ended"]);
}

/// What its file says of replicas is never applied.
#[test]
fn what_an_autoscaler_decides_is_counted_as_it_decided() {
    let mut world = with("12Gi");
    world.settle(&says('1', &[("web", "replicas: 3, memory: 2Gi")]));
    let web = world.id("Deployment", "web");
    let name = "web".to_owned();
    let scaler = ObjectId { group: "autoscaling".into(), kind: "HorizontalPodAutoscaler".into(), name, ..web.clone() };
    let target = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
    let metadata = json!({"name": "web", "namespace": "tool-wordcount"});
    let spec = json!({"scaleTargetRef": target, "maxReplicas": 9});
    let body =
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec});
    world.apply(&scaler, &body, "kubectl");
    let scaled = |world: &mut World, replicas: u32| {
        world.edit(&web, "kube-controller-manager", |o| o["spec"]["replicas"] = json!(replicas));
    };
    scaled(&mut world, 1);
    let larger = says('2', &[("web", "replicas: 3, memory: 5Gi")]);
    assert_eq!(holds(&world.pass(&larger)), Vec::<String>::new(), "one replica of 5Gi fits");
    scaled(&mut world, 5);
    let largest = says('3', &[("web", "replicas: 1, memory: 6Gi")]);
    assert_eq!(holds(&world.pass(&largest)).len(), 1, "five of 6Gi do not, whatever the file says");
}

#[test]
fn a_surge_that_does_not_fit_is_said_and_holds_nothing() {
    let mut world = with("5Gi");
    world.settle(&says('1', &[("a", "memory: 2Gi"), ("b", "memory: 2Gi")]));
    let plan = world.pass(&says('2', &[("a", "memory: 1Gi"), ("b", "memory: 1Gi")]));
    assert_eq!((holds(&plan).len(), plan.steps.len()), (0, 2), "{plan:#?}");
    assert_eq!(plan.remarks, ["at its peak this takes 6Gi of 5Gi limits.memory: pods wait until others have ended"]);
}

fn strategy(world: &World) -> String {
    let strategy = &world.objects[&world.id("Deployment", "web")]["spec"]["strategy"];
    let of = |key: &str| strategy["rollingUpdate"][key].to_string();
    format!("{} {} {}", strategy["type"].as_str().expect("a type"), of("maxSurge"), of("maxUnavailable"))
}

/// The first pass of a change, and how pods are replaced then, while they are, and afterwards.
fn replaced(limit: &str, before: &str, after: &str) -> (Vec<String>, [String; 3]) {
    let mut world = with(limit);
    world.settle(&says('1', &[("web", before)]));
    world.controllers = false;
    let changed = says('2', &[("web", after)]);
    let first = world.pass(&changed);
    let then = strategy(&world);
    let again = world.pass(&changed);
    assert!(again.steps.is_empty(), "while they are replaced it stays so: {again:#?}");
    let meanwhile = strategy(&world);
    world.controllers = true;
    world.run_controllers();
    world.settle(&changed);
    (first.remarks, [then, meanwhile, strategy(&world)])
}

#[test]
fn what_could_never_surge_is_replaced_in_turn_and_surges_again_when_that_is_done() {
    let (told, ways) = replaced("4Gi", "replicas: 4, memory: 1Gi", "replicas: 4, memory: 512Mi");
    assert_eq!(ways, ["RollingUpdate 0 1", "RollingUpdate 0 1", "RollingUpdate 1 0"]);
    let words = "deployment/tool-wordcount/web: the tool's quota has no room for one more pod beside those that run, so \
                 they are replaced one at a time, with one fewer meanwhile";
    assert_eq!(told, [words]);
    let (told, ways) = replaced("4Gi", "replicas: 2, memory: 2Gi", "replicas: 4, memory: 1Gi");
    assert_eq!(ways, ["RollingUpdate 0 3", "RollingUpdate 0 3", "RollingUpdate 0 1"], "four fill the quota");
    assert!(told[0].ends_with("so they are replaced in turn, with 3 fewer meanwhile"), "{told:?}");
    let (_, ways) = replaced("2Gi", "replicas: 1, memory: 2Gi", "replicas: 1, memory: 512Mi");
    assert_eq!(ways, ["Recreate null null", "Recreate null null", "RollingUpdate 1 0"]);
    let (told, ways) = replaced("4Gi", "replicas: 2, memory: 1Gi", "replicas: 2, memory: 512Mi");
    assert_eq!((told.len(), ways), (0, ["RollingUpdate 1 0"; 3].map(str::to_owned)), "there is room");
}

#[test]
fn what_others_use_stops_no_pod() {
    let mut world = with("2Gi");
    world.settle(&says('1', &[("web", "memory: 1Gi")]));
    world.used = Some(json!({"limits.memory": "2Gi"}));
    world.run_controllers();
    world.pass(&says('2', &[("web", "memory: 600Mi")]));
    assert_eq!(strategy(&world), "RollingUpdate 1 0", "it may be the last pod of the revision before");
}

#[test]
fn somebody_s_strategy_is_taken_back_while_pods_are_replaced() {
    let mut world = with("4Gi");
    world.settle(&says('1', &[("web", "replicas: 2, memory: 1Gi")]));
    world.controllers = false;
    world.pass(&says('2', &[("web", "replicas: 2, memory: 512Mi")]));
    let id = world.id("Deployment", "web");
    let theirs = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
    world.edit(&id, "kubectl-edit", |o| o["spec"]["strategy"] = theirs);
    world.pass(&says('2', &[("web", "replicas: 2, memory: 512Mi")]));
    assert_eq!(strategy(&world), "RollingUpdate 1 0");
}

#[test]
fn a_quota_that_can_t_be_read_is_not_an_empty_one() {
    let mut world = with("4Gi");
    world.settle(&says('1', &[("web", "memory: 1Gi")]));
    let larger = says('2', &[("web", "memory: 2Gi")]);
    assert!(world.quota(&larger).is_some());
    for (group, kind) in [("", "ResourceQuota"), ("apps", "Deployment"), ("batch", "CronJob"), ("", "Service")] {
        world.gaps = vec![Gap { group: group.into(), kind: kind.into(), why: "403".into() }];
        assert_eq!(world.quota(&larger), None, "{kind}");
    }
    world.gaps = vec![Gap { group: String::new(), kind: "ResourceQuota".into(), why: "403".into() }];
    let plan = world.pass(&larger);
    assert!(plan.steps.is_empty() && holds(&plan).is_empty(), "{plan:#?}");
    assert!(plan.held.iter().any(|held| held.id.kind == "ResourceQuota" && held.why.word() == "NotObserved"));
}

#[test]
fn what_the_platform_asks_for_waits_for_room_and_what_somebody_did_by_hand_does_not() {
    let mut world = with("4Gi");
    let web = says('1', &[("web", "replicas: 3")]);
    world.settle(&web);
    world.platform.limits.default.insert("memory".to_owned(), "2Gi".to_owned());
    let plan = world.pass(&web);
    let held = plan.held.iter().find(|held| matches!(held.why, Why::NoRoom(_))).expect("a hold");
    assert_eq!((held.action, held.id.kind.as_str()), (Some(Action::Configure), "Deployment"), "{plan:#?}");
    let id = world.id("Deployment", "web");
    let memory = |world: &World| {
        world.objects[&id]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"].clone()
    };
    assert_eq!(memory(&world), "512Mi");
    world.platform.limits.default.insert("memory".to_owned(), "512Mi".to_owned());
    world.settle(&web);
    limit(&mut world, "1Gi");
    world.settle(&web);
    world.edit(&id, "kubectl-scale", |o| o["spec"]["replicas"] = json!(1));
    world.settle(&web);
    assert_eq!(world.objects[&id]["spec"]["replicas"], 3, "it is what was good, whoever lowered the limit since");
}

#[test]
fn the_table_has_what_changes_and_nothing_else() {
    let mut world = with("4Gi");
    world.settle(&says('1', &[("web", "memory: 1Gi"), ("bot", "memory: 512Mi")]));
    let rows = |says: &Says| table(&world.quota(says).expect("rows"));
    assert_eq!(rows(&says('1', &[("web", "memory: 1Gi"), ("bot", "memory: 512Mi")])), "");
    let larger = rows(&says('2', &[("web", "memory: 1.5Gi"), ("bot", "memory: 512Mi")]));
    let told =
        "  quota             used    after     peak    limit\n  limits.memory   1536Mi      2Gi      3Gi      4Gi\n";
    assert_eq!(larger, told);
}

/// One component: whether it runs all the time, its replicas, and its memory in Mi.
type Shape = (bool, u32, u32);

fn run(&(always, replicas, memory): &Shape) -> String {
    if always {
        format!("replicas: {replicas}, memory: {memory}Mi")
    } else {
        format!("memory: {memory}Mi, schedule: '@daily'")
    }
}

fn tool(id: char, shapes: &[Shape]) -> Says {
    let runs: Vec<_> = shapes.iter().map(run).collect();
    let names = ["a", "b", "c"];
    says(id, &names.into_iter().zip(runs.iter().map(String::as_str)).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_peak_is_no_less_than_what_comes_of_it_and_asking_for_less_is_never_held(
        before in prop::collection::vec((any::<bool>(), 0u32..4, 200u32..2000), 1..4),
        after in prop::collection::vec((0u32..4, 100u32..2000), 3),
        limit_mib in 100u32..8000,
        foreign_mib in 0u32..4000,
    ) {
        let mut world = with("1Ti");
        world.settle(&tool('1', &before));
        limit(&mut world, &format!("{limit_mib}Mi"));
        let ours: u32 = before.iter().map(|(always, replicas, memory)| if *always { replicas * memory } else { 0 }).sum();
        world.used = Some(json!({"limits.memory": format!("{}Mi", ours + foreign_mib)}));
        world.run_controllers();
        let changed = |(one, (replicas, memory)): (&Shape, &(u32, u32))| (one.0, *replicas, *memory);
        let any: Vec<_> = before.iter().zip(&after).map(changed).collect();
        for row in world.quota(&tool('2', &any)).expect("rows") {
            prop_assert!(row.peak >= row.after && row.after.nanos() >= 0, "{row:?}");
        }
        let less = |(one, other): (&Shape, &Shape)| (one.0, one.1.min(other.1), one.2.min(other.2).max(100));
        let less: Vec<_> = before.iter().zip(&any).map(less).collect();
        prop_assert_eq!(holds(&world.plan(&tool('3', &less)).0), Vec::<String>::new());
        let plan = world.plan(&tool('2', &any)).0;
        for row in world.quota(&tool('2', &any)).expect("rows") {
            prop_assert!(row.after <= row.limit || row.after <= row.before, "what is not held fits: {row:?} {plan:#?}");
        }
    }
}
