//! What a user would care about, told as passes over a world in memory.

mod world;

use planner::plan::{Action, Cause, Why};
use serde_json::json;
use world::{Says, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000, publish: /, replicas: 2}
";

fn with_bot() -> String {
    format!("{WEB}  bot:\n    image: registry.example/bot@sha256:{}\n    run: {{command: bot}}\n", "b".repeat(64))
}

fn reasons(plan: &planner::plan::Plan) -> Vec<String> {
    plan.held.iter().map(|held| format!("{} {}", held.id, held.why.word())).collect()
}

#[test]
fn a_commit_becomes_objects_in_order_and_a_second_pass_is_empty() {
    let mut world = World::new();
    let plans = world.settle(&commit('a', WEB));
    let firsts: Vec<_> = plans.iter().filter_map(|plan| plan.steps.first()).map(|step| step.id.to_string()).collect();
    assert_eq!(
        firsts,
        [
            "tool/wordcount",
            "limitrange/tool-wordcount/wordcount",
            "networkpolicy/tool-wordcount/web",
            "controllerrevision/toolforge/wordcount-1"
        ],
        "nothing is made before what it stands on is Ready"
    );
    assert!(world.has("Ingress", "web") && world.has("PodDisruptionBudget", "web"));
    let (plan, _) = world.plan(&commit('a', WEB));
    assert!(plan.is_ready(), "{plan:#?}");
}

#[test]
fn killed_between_any_two_steps_the_next_passes_end_equal() {
    let mut whole = World::new();
    whole.settle(&commit('a', &with_bot()));
    let expected = whole.names();
    for passes in 0..4 {
        for steps in 0..12 {
            let mut world = World::new();
            for _ in 0..passes {
                world.pass(&commit('a', &with_bot()));
            }
            world.pass_until(&commit('a', &with_bot()), steps);
            world.settle(&commit('a', &with_bot()));
            assert_eq!(world.names(), expected, "killed in pass {passes} after {steps} steps");
        }
    }
}

#[test]
fn kubectl_scale_is_reverted_but_hpa_is_left_alone() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-scale", |o| o["spec"]["replicas"] = json!(5));
    let plan = world.pass(&commit('a', WEB));
    assert_eq!(plan.steps.len(), 1);
    assert!(matches!(&plan.steps[0].cause, Cause::Drift { manager: Some(m), .. } if m == "kubectl-scale"), "{plan:#?}");
    assert_eq!(world.objects[&web]["spec"]["replicas"], 2);

    let hpa = renderer::ObjectId {
        group: "autoscaling".into(),
        kind: "HorizontalPodAutoscaler".into(),
        name: "web".into(),
        ..web.clone()
    };
    let target = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
    let body = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "tool-wordcount"}, "spec": {"scaleTargetRef": target, "maxReplicas": 9}});
    world.apply(&hpa, &body, "kubectl");
    world.edit(&web, "kube-controller-manager", |o| o["spec"]["replicas"] = json!(7));
    world.settle(&commit('a', WEB));
    assert_eq!(world.objects[&web]["spec"]["replicas"], 7, "an autoscaler is declared");
}

#[test]
fn a_deleted_object_comes_back_and_is_called_drift() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let service = world.id("Service", "web");
    world.objects.remove(&service);
    let plan = world.pass(&commit('a', WEB));
    assert_eq!((plan.steps.len(), plan.steps[0].action), (1, Action::Create));
    assert!(matches!(plan.steps[0].cause, Cause::Drift { .. }));
    assert!(world.has("Service", "web"));
}

#[test]
fn stripped_labels_are_put_back_and_nothing_is_made_twice() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let service = world.id("Service", "web");
    world.edit(&service, "kubectl-label", |o| o["metadata"]["labels"] = json!({}));
    let plan = world.pass(&commit('a', WEB));
    assert_eq!((plan.steps.len(), plan.steps[0].action), (1, Action::Configure), "{plan:#?}");
    assert!(world.plan(&commit('a', WEB)).0.is_ready());
}

#[test]
fn a_removed_component_is_pruned_whole_and_only_after_the_rest_is_ready() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot()));
    world.controllers = false;
    let renamed = WEB.replace("  web:", "  site:");
    let plan = world.pass(&commit('b', &renamed));
    assert!(plan.steps.iter().all(|step| step.action == Action::Create));
    assert!(plan.held.iter().any(|held| held.action == Some(Action::Prune)));
    world.pass(&commit('b', &renamed));
    assert!(world.has("Deployment", "web"), "site is not Ready: web keeps serving");
    world.controllers = true;
    world.settle(&commit('b', &renamed));
    assert!(!world.has("Deployment", "web") && !world.has("Ingress", "web") && !world.has("Deployment", "bot"));
    assert!(world.has("Deployment", "site"));
}

#[test]
fn nothing_is_pruned_when_the_source_is_gone_or_broken() {
    for says in [
        Says::Nothing("branch main is gone".to_owned()),
        commit('b', "components: ["),
        commit('b', "config_version: v1beta1\ncomponents: {}\n"),
        commit('b', ""),
    ] {
        let mut world = World::new();
        world.settle(&commit('a', &with_bot()));
        let before = world.names();
        let plans = world.settle(&says);
        assert!(plans.iter().all(|plan| plan.steps.is_empty()), "{plans:#?}");
        assert!(!plans[0].held.is_empty(), "it is said");
        assert_eq!(world.names(), before);
        let web = world.id("Deployment", "web");
        world.edit(&web, "kubectl-scale", |o| o["spec"]["replicas"] = json!(9));
        world.pass(&says);
        assert_eq!(world.objects[&web]["spec"]["replicas"], 2, "the last good revision is still healed");
    }
}

#[test]
fn a_bad_component_is_withheld_and_its_neighbours_go_on() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot()));
    let bot = world.id("Deployment", "bot");
    let broken = with_bot().replace("command: bot", "command: bot, port: 70000").replace("replicas: 2", "replicas: 3");
    let plans = world.settle(&commit('b', &broken));
    assert_eq!(reasons(&plans[0]), ["component/tool-wordcount/bot Invalid"]);
    let web = world.id("Deployment", "web");
    assert_eq!(world.objects[&web]["spec"]["replicas"], 3);
    world.edit(&bot, "kubectl-edit", |o| o["spec"]["replicas"] = json!(4));
    world.pass(&commit('b', &broken));
    assert_eq!(
        world.objects[&bot]["spec"]["replicas"].as_i64().unwrap_or(1),
        1,
        "held at the last good revision, and healed there"
    );
}

#[test]
fn a_component_without_its_image_is_held_and_deployed_by_digest_when_it_comes() {
    let yaml = "config_version: v1beta1\ncomponents:\n  web:\n    run: {command: web}\n";
    let mut world = World::new();
    world.settle(&commit('a', yaml));
    assert!(!world.has("Deployment", "web"));
    let rendered = world.render(&World::revision('a', yaml));
    let needed = planner::images_needed(&rendered, None, &world.observe());
    let reference = needed.first().expect("one image is asked for").clone();
    world.images.insert(reference.clone(), planner::observed::ImageSeen::Missing);
    let plans = world.settle(&commit('a', yaml));
    assert_eq!(reasons(&plans[0]), ["deployment/tool-wordcount/web AwaitingBuild"]);
    world.push_image(&reference, 'c');
    world.settle(&commit('a', yaml));
    let web = world.id("Deployment", "web");
    let image = world.objects[&web]["spec"]["template"]["spec"]["containers"][0]["image"].as_str().expect("an image");
    assert!(image.ends_with(&format!("@sha256:{}", "c".repeat(64))), "{image}");

    world.push_image(&reference, 'd');
    let (plan, observed) = world.plan(&commit('a', yaml));
    assert!(plan.is_ready(), "the digest first seen for a build is the one that counts");
    assert!(planner::images_needed(&rendered, None, &observed).is_empty(), "and the registry is not asked again");
    let says = plan.moved_tags.concat();
    assert!(says.contains(&format!("points to sha256:{} by now", "d".repeat(64))), "{says}");
}

#[test]
fn an_image_that_does_not_run_here_is_held_and_the_one_before_serves_on() {
    let by_tag = |tag: &str| {
        format!(
            "config_version: v1beta1\ncomponents:\n  web:\n    image: quay.io/x/web:{tag}\n    run: {{command: web}}\n"
        )
    };
    let mut world = World::new();
    world.push_image("quay.io/x/web:1", 'b');
    world.settle(&commit('a', &by_tag("1")));
    let web = world.id("Deployment", "web");
    let before = world.objects[&web]["spec"].clone();
    let why = planner::image::Misfit::Machines { has: "linux/arm64".to_owned(), wanted: "linux/amd64".to_owned() };
    let digest = renderer::Digest::of_sha256(&[7; 32]);
    world.images.insert("quay.io/x/web:2".to_owned(), planner::observed::ImageSeen::Unfit { digest, why });
    let plans = world.settle(&commit('b', &by_tag("2")));
    let last = plans.last().expect("a plan");
    assert_eq!(reasons(last), ["deployment/tool-wordcount/web Unfit"]);
    assert!(
        last.held[0].why.to_string().starts_with("unfit image quay.io/x/web:2: it is for linux/arm64"),
        "{last:#?}"
    );
    assert_eq!(world.objects[&web]["spec"], before);

    world.push_image("quay.io/x/web:2", 'c');
    world.settle(&commit('b', &by_tag("2")));
    assert_ne!(world.objects[&web]["spec"], before, "the tag means another image now");
}

#[test]
fn a_one_off_gates_the_rollout_and_never_runs_twice() {
    let yaml = format!(
        "{WEB}  migrate:\n    component_type: one-off\n    image: registry.example/wordcount@sha256:{}\n    run: {{command: migrate}}\n",
        "a".repeat(64)
    );
    let mut world = World::new();
    world.controllers = false;
    for _ in 0..4 {
        world.pass(&commit('a', &yaml));
        for id in world
            .objects
            .keys()
            .filter(|id| ["Namespace", "ResourceQuota"].contains(&id.kind.as_str()))
            .cloned()
            .collect::<Vec<_>>()
        {
            let object = world.objects.get_mut(&id).expect("it");
            object["status"] = json!({"phase": "Active", "hard": object["spec"]["hard"]});
        }
    }
    assert!(
        world.has("Job", "migrate-") && !world.has("Deployment", "web"),
        "the one-off comes first: {:?}",
        world.names()
    );
    world.controllers = true;
    world.settle(&commit('a', &yaml));
    assert!(world.has("Deployment", "web"));
    let job = world.objects.keys().find(|id| id.kind == "Job").expect("the Job").clone();
    world.objects.remove(&job);
    world.settle(&commit('b', &yaml));
    assert!(!world.has("Job", "migrate-"), "a recorded key never runs again");
}

#[test]
fn a_failed_one_off_holds_the_new_revision_and_the_old_one_keeps_running() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let with_gate = format!(
        "{}  migrate:\n    component_type: one-off\n    image: registry.example/wordcount@sha256:{}\n    run: {{command: migrate}}\n",
        WEB.replace("replicas: 2", "replicas: 4"),
        "a".repeat(64)
    );
    world.controllers = false;
    world.pass(&commit('b', &with_gate));
    let job = world.objects.keys().find(|id| id.kind == "Job").expect("the Job").clone();
    world.objects.get_mut(&job).expect("it")["status"] =
        json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    let plan = world.pass(&commit('b', &with_gate));
    assert!(plan.held.iter().any(|held| matches!(held.why, Why::GateFailed { .. })), "{plan:#?}");
    let web = world.id("Deployment", "web");
    assert_eq!(world.objects[&web]["spec"]["replicas"], 2);
}

#[test]
fn an_object_of_that_name_that_is_not_ours_holds_the_whole_component() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let mut foreign = world.id("Service", "web");
    foreign.name = "bot".into();
    world.apply(
        &foreign,
        &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bot", "namespace": "tool-wordcount"}}),
        "kubectl",
    );
    let with_port = with_bot().replace("command: bot", "command: bot, port: 9000");
    let plans = world.settle(&commit('b', &with_port));
    let last = plans.last().expect("a plan");
    assert!(last.held.iter().any(|held| held.id == foreign && held.why == Why::NotOurs), "{:?}", reasons(last));
    assert!(!world.has("Deployment", "bot"), "held whole");
    assert!(world.objects[&foreign]["metadata"]["labels"].is_null(), "untouched");
}

#[test]
fn where_nobody_has_been_nothing_is_read_before_it_is_made_until_the_first_is_ready() {
    let mut world = World::new();
    world.untrodden = true;
    world.settle(&commit('a', WEB));
    assert!(world.has("ControllerRevision", "wordcount"), "{:?}", world.names());
    assert_eq!(world.reads.get(), 0);
    world.settle(&commit('b', &with_bot()));
    assert!(world.has("Deployment", "bot") && world.reads.get() > 0, "from then on others come and go");
}

#[test]
fn a_kind_that_could_not_be_read_is_neither_created_nor_pruned() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot()));
    world.gaps.push(planner::observed::Gap { group: "apps".into(), kind: "Deployment".into(), why: "403".into() });
    let plan = world.pass(&commit('b', WEB));
    assert!(plan.steps.iter().all(|step| step.id.kind != "Deployment"), "{plan:#?}");
    assert!(world.has("Deployment", "bot"));
}

#[test]
fn more_prunes_than_the_budget_are_held_and_counted() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot()));
    world.platform.deletion_budget.per_pass = 0;
    world.platform.deletion_budget.per_pass_percent = 0;
    let plans = world.settle(&commit('b', WEB));
    let last = plans.last().expect("a plan");
    assert!(
        last.held.iter().any(|held| matches!(&held.why, Why::PruneGuard(why) if why.contains("budget"))),
        "{:?}",
        reasons(last)
    );
    assert!(world.has("Deployment", "bot"));
}

#[test]
fn a_suspended_tool_is_left_alone() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let web = world.id("Deployment", "web");
    let tool = world.id("Tool", "wordcount");
    world.edit(&tool, "toolforge-cli", |o| o["spec"]["pin"] = json!({"suspend": true}));
    world.edit(&web, "kubectl-scale", |o| o["spec"]["replicas"] = json!(5));
    let plan = world.pass(&commit('a', WEB));
    assert_eq!(reasons(&plan), ["tool/wordcount Suspended"]);
    world.edit(&tool, "toolforge-cli", |o| drop(o["spec"].as_object_mut().expect("spec").remove("pin")));
    world.settle(&commit('a', WEB));
    assert_eq!(world.objects[&web]["spec"]["replicas"], 2);
}

#[test]
fn a_readme_only_commit_restarts_nothing_and_is_stored() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let plans = world.settle(&commit('b', WEB));
    let ids: Vec<_> = plans.iter().flat_map(|plan| &plan.steps).map(|step| step.id.to_string()).collect();
    assert_eq!(ids, ["controllerrevision/toolforge/wordcount-2"]);
}

#[test]
fn ten_revisions_are_kept() {
    let mut world = World::new();
    for id in "0123456789abcdef".chars() {
        world.settle(&commit(id, WEB));
    }
    let stored = world.observe().stored;
    assert_eq!(stored.len(), 10);
    assert_eq!(stored[0].number, 16);
}

#[test]
fn a_one_off_that_cannot_be_read_keeps_its_gate_closed() {
    let gate = format!(
        "{}  migrate:\n    component_type: one-off\n    image: registry.example/wordcount@sha256:{}\n    run: {{command: migrate}}\n",
        WEB.replace("replicas: 2", "replicas: 4"),
        "a".repeat(64)
    );
    for broken in [gate.replace("command: migrate", "comand: migrate"), gate.replace("one-off", "one_of")] {
        let mut world = World::new();
        world.settle(&commit('a', WEB));
        world.settle(&commit('b', &broken));
        let web = world.id("Deployment", "web");
        assert_eq!(world.objects[&web]["spec"]["replicas"], 2, "nothing goes past it: {broken}");
    }
}

#[test]
fn unread_stored_revisions_are_no_reason_to_run_a_one_off_twice() {
    let yaml = format!(
        "{WEB}  migrate:\n    component_type: one-off\n    image: registry.example/wordcount@sha256:{}\n    run: {{command: migrate}}\n",
        "a".repeat(64)
    );
    let mut world = World::new();
    world.settle(&commit('a', &yaml));
    let job = world.objects.keys().find(|id| id.kind == "Job").expect("the Job").clone();
    world.objects.remove(&job);
    for (group, kind) in [("apps", "ControllerRevision"), ("toolforge.org", "Tool")] {
        world.gaps = vec![planner::observed::Gap { group: group.into(), kind: kind.into(), why: "503".into() }];
        let (plan, _) = world.plan(&commit('a', &yaml));
        assert!(plan.steps.is_empty() && reasons(&plan) == ["tool/wordcount NotObserved"], "{plan:#?}");
    }
}

#[test]
fn autoscalers_that_cannot_be_seen_are_not_overruled() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    let web = world.id("Deployment", "web");
    world.edit(&web, "kube-controller-manager", |o| o["spec"]["replicas"] = json!(20));
    let gap = planner::observed::Gap {
        group: "autoscaling".into(),
        kind: "HorizontalPodAutoscaler".into(),
        why: "403".into(),
    };
    world.gaps.push(gap);
    world.settle(&commit('a', WEB));
    assert_eq!(world.objects[&web]["spec"]["replicas"], 20);
}

#[test]
fn another_platforms_tool_is_not_ours() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot()));
    world.platform.name = "another".to_owned();
    let (plan, _) = world.plan(&commit('b', WEB));
    assert!(plan.steps.is_empty() && reasons(&plan) == ["tool/wordcount NotOurs"], "{plan:#?}");
}

#[test]
fn a_revision_whose_prunes_are_held_is_stored_all_the_same() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot()));
    world.platform.deletion_budget.per_pass = 0;
    world.platform.deletion_budget.per_pass_percent = 0;
    world.settle(&commit('b', WEB));
    let stored = world.observe().stored;
    assert_eq!(stored[0].revision.commit.as_ref().map(|c| c.short().to_owned()), Some("bbbbbbb".to_owned()));
}

#[test]
fn a_one_off_that_ran_keeps_its_job_when_its_limits_change() {
    let gate = |memory: &str| {
        let digest = "a".repeat(64);
        format!(
            "{WEB}  migrate:\n    component_type: one-off\n    image: registry.example/wordcount@sha256:{digest}\n    run: {{command: migrate, memory: {memory}}}\n"
        )
    };
    let mut world = World::new();
    world.settle(&commit('a', &gate("256Mi")));
    let plans = world.settle(&commit('b', &gate("512Mi")));
    let jobs = plans.iter().flat_map(|plan| &plan.steps).filter(|step| step.id.kind == "Job").count();
    assert_eq!(jobs, 0, "a Job can't be changed");
}

#[test]
fn a_prebuilt_tag_is_asked_about_again_for_each_commit_and_never_in_between() {
    let yaml = "config_version: v1beta1\ncomponents:\n  web:\n    image: registry.example/web:latest\n    run: {command: web}\n";
    let mut world = World::new();
    let image = |world: &World| {
        let web = world.id("Deployment", "web");
        world.objects[&web]["spec"]["template"]["spec"]["containers"][0]["image"].as_str().expect("an image").to_owned()
    };
    world.push_image("registry.example/web:latest", 'c');
    world.settle(&commit('a', yaml));
    let first = image(&world);
    world.push_image("registry.example/web:latest", 'd');
    world.settle(&commit('a', yaml));
    assert_eq!(image(&world), first, "a tag that moves changes nothing that runs");
    world.settle(&commit('b', yaml));
    assert!(image(&world).ends_with(&"d".repeat(64)), "{}", image(&world));
}

/// As if the version of ours that stored the revision had rendered something else.
fn rendered_by_an_older_version(world: &mut World) {
    let record = world.id("ControllerRevision", "wordcount-1");
    world.objects.get_mut(&record).expect("the record")["data"]["rendered"] = json!("0123");
}

#[test]
fn what_a_new_version_of_ours_adds_is_a_platform_change_and_what_somebody_removed_is_drift() {
    let remove = |world: &mut World| {
        let web = world.id("Deployment", "web");
        world.edit(&web, "kubectl-edit", |live| {
            live["spec"].as_object_mut().expect("a spec").remove("revisionHistoryLimit");
            live["spec"].as_object_mut().expect("a spec").remove("strategy");
        });
    };
    for upgraded in [false, true] {
        let mut world = World::new();
        let says = commit('a', WEB);
        world.settle(&says);
        remove(&mut world);
        if upgraded {
            rendered_by_an_older_version(&mut world);
        }
        let plan = world.pass(&says);
        let [step] = plan.steps.as_slice() else { unreachable!("{plan:#?}") };
        let expected = if upgraded { Cause::PlatformChange } else { Cause::Drift { manager: None, time: None } };
        assert_eq!(step.cause, expected);
        world.settle(&says);
        // Ready again, the new rendering is stored: the next removal is somebody's.
        remove(&mut world);
        assert_eq!(world.pass(&says).steps[0].cause, Cause::Drift { manager: None, time: None });
    }
}

#[test]
fn an_object_that_a_new_version_of_ours_adds_is_a_platform_change() {
    let mut world = World::new();
    let says = commit('a', WEB);
    world.settle(&says);
    rendered_by_an_older_version(&mut world);
    let budget = world.id("PodDisruptionBudget", "web");
    world.objects.remove(&budget);
    let tool = world.id("Tool", "wordcount");
    let inventory =
        world.objects.get_mut(&tool).expect("the Tool")["status"]["inventory"].as_array_mut().expect("a list");
    inventory.retain(|row| row["kind"] != "PodDisruptionBudget");
    let plan = world.pass(&says);
    assert_eq!(
        plan.steps.iter().map(|step| (step.action, step.cause.word())).collect::<Vec<_>>(),
        [(Action::Create, "PlatformChange")]
    );
}
