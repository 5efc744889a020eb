//! Builds, told as passes over a world in memory: asked for once, cancelled when nobody needs them, and a failed one is
//! told with the end of its log.

mod world;

use planner::Moment;
use planner::plan::{Action, Plan, Why};
use renderer::ObjectId;
use serde_json::{Value, json};
use world::{START, Says, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    build: {}
    run: {command: web, port: 8000}
  refresh:
    component_type: scheduled
    build: {}
    run: {command: refresh, schedule: '@daily', timeout: 60}
";

fn building() -> World {
    let mut world = World::building();
    world.controllers = false;
    world
}

/// Both components wait for one image, and the namespace is there.
fn waiting(world: &mut World, says: &Says) -> (String, ObjectId) {
    let image = missing(world, says);
    world.pass(says);
    let build = world.objects.keys().find(|id| id.kind == "Job").expect("a build was asked for").clone();
    (image, build)
}

/// Asks the registry, which has nothing.
fn missing(world: &mut World, says: &Says) -> String {
    world.pass(says);
    world.run_controllers();
    let Says::Commit(id, yaml) = says else { unreachable!("a commit") };
    let rendered = world.render(&World::revision(*id, yaml));
    for build in &rendered.builds {
        world.images.insert(build.image(), planner::observed::ImageSeen::Missing);
    }
    rendered.builds[0].image()
}

fn builds(plan: &Plan) -> usize {
    plan.steps.iter().filter(|step| step.action == Action::Build).count()
}

fn reasons(plan: &Plan) -> Vec<String> {
    plan.held.iter().map(|held| format!("{} {}", held.id, held.why.word())).collect()
}

fn end(world: &mut World, build: &ObjectId, condition: &Value) {
    world.objects.get_mut(build).expect("the build")["status"] = json!({"conditions": [condition]});
}

fn failed() -> Value {
    json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"})
}

#[test]
fn what_two_components_share_is_built_once_and_deployed_when_its_image_is_there() {
    let (mut world, says) = (building(), commit('a', WEB));
    let (image, build) = waiting(&mut world, &says);
    assert_eq!(build.namespace.as_deref(), Some("toolforge-builds"));
    assert_eq!(world.objects.keys().filter(|id| id.kind == "Job").count(), 1, "one image, one build");
    let plan = world.pass(&says);
    assert_eq!(builds(&plan), 0, "it was asked for");
    assert!(plan.held.iter().all(|held| matches!(&held.why, Why::AwaitingBuild { image: waits } if *waits == image)));

    world.push_image(&image, 'd');
    world.controllers = true;
    world.settle(&says);
    assert!(world.has("Deployment", "web") && world.has("CronJob", "refresh"));
    let (plan, _) = world.plan(&says);
    assert!(plan.is_ready(), "{plan:#?}");
}

#[test]
fn a_tool_whose_images_take_more_than_it_may_gets_no_further_build() {
    let (mut world, says) = (building(), commit('a', WEB));
    world.platform.registry.quota = Some("10Mi".to_owned());
    missing(&mut world, &says);
    for (taken, asked) in [((10 << 20) + 1, 0), (10 << 20, 1)] {
        world.circumstances.space_taken_bytes = Some(taken);
        let (plan, _) = world.plan(&says);
        assert_eq!(builds(&plan), asked, "{plan:#?}");
        if asked == 0 {
            let why = plan.held.iter().find(|held| held.why.word() == "OverQuota").expect("it is told").why.to_string();
            assert_eq!(
                why,
                "over quota: wordcount's images take 11Mi of 10Mi in the registry; `toolforge gc wordcount` says what of \
                 it can go"
            );
            assert!(plan.due.is_some(), "nobody tells when there is room");
        }
    }
    world.circumstances.space_taken_bytes = None;
    assert_eq!(builds(&world.plan(&says).0), 1, "nobody looked yet");
}

#[test]
fn a_failed_build_is_told_with_the_end_of_its_log_and_not_tried_again_until_somebody_says_so() {
    let (mut world, says) = (building(), commit('a', WEB));
    let (_, build) = waiting(&mut world, &says);
    world.objects.get_mut(&build).expect("the build")["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    end(&mut world, &build, &failed());
    let pod =
        ObjectId { group: String::new(), kind: "Pod".to_owned(), name: format!("{}-x", build.name), ..build.clone() };
    let terminated =
        json!({"exitCode": 20, "reason": "Error", "message": "ERROR: No buildpack groups passed detection."});
    let status =
        json!({"phase": "Failed", "initContainerStatuses": [{"name": "detect", "state": {"terminated": terminated}}]});
    let labels = json!({"batch.kubernetes.io/job-name": build.name});
    let metadata = json!({"name": pod.name, "namespace": pod.namespace, "labels": labels});
    world.objects.insert(pod, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}));
    let plan = world.pass(&says);
    assert_eq!(builds(&plan), 0);
    let why = plan.held.iter().find(|held| held.why.word() == "BuildFailed").expect("it is told").why.to_string();
    assert!(why.contains("detect: exit code 20 (Error): ERROR: No buildpack groups passed detection."), "{why}");
    assert!(!world.has("Deployment", "web"));
    let tool = &world.objects[&world.id("Tool", "wordcount")];
    let conditions = tool["status"]["conditions"].as_array().expect("conditions");
    let built = conditions.iter().find(|condition| condition["type"] == "Built").expect("it is said");
    assert_eq!((&built["status"], &built["reason"]), (&json!("False"), &json!("BuildFailed")));

    world.circumstances.now = Moment::from_unix_secs(START.unix_secs() + 600);
    let tool = world.id("Tool", "wordcount");
    world.edit(&tool, "toolforge-cli", |o| o["spec"]["pin"] = json!({"retry": "2026-01-01T00:05:00Z"}));
    let plan = world.pass(&says);
    assert!(plan.steps.iter().any(|step| step.action == Action::Prune && step.id == build), "{plan:#?}");
    assert_eq!(builds(&world.pass(&says)), 1, "the same build, once more");
}

#[test]
fn while_a_build_runs_or_fails_the_last_good_revision_serves_on() {
    let mut world = building();
    let good = WEB.replace(
        "build: {}",
        "image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    );
    world.controllers = true;
    world.settle(&commit('a', &good));
    world.controllers = false;
    let says = commit('b', WEB);
    let (_, build) = waiting(&mut world, &says);
    end(&mut world, &build, &failed());
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-scale", |o| o["spec"]["replicas"] = json!(9));
    let plan = world.pass(&says);
    assert!(plan.steps.iter().any(|step| step.id == web), "drift is healed meanwhile: {plan:#?}");
    assert_ne!(world.objects[&web]["spec"]["replicas"], 9);
}

#[test]
fn a_build_that_a_newer_commit_does_not_need_is_cancelled() {
    let (mut world, says) = (building(), commit('a', WEB));
    let (_, build) = waiting(&mut world, &says);
    let newer = commit('b', WEB);
    missing(&mut world, &newer);
    let plan = world.pass(&newer);
    let gone = world.objects.keys().all(|id| *id != build);
    assert!(gone, "{:?}", reasons(&plan));
    world.pass(&newer);
    assert!(world.has("Job", "wordcount-"), "and the newer one is under way");
}

#[test]
fn what_can_not_be_seen_or_read_cancels_no_build() {
    let (mut world, says) = (building(), commit('a', WEB));
    let (_, build) = waiting(&mut world, &says);
    let docs = "  docs:\n    build: {repository: https://git.example/docs, ref: v2}\n    run: {command: docs}\n";
    // Of a newer commit one source is unknown, or one component can't be used: either may need what is being built.
    for unsure in [docs, "  docs:\n    build: {}\n    run: {command: docs, port: many}\n"] {
        let newer = commit('b', &format!("{WEB}{unsure}"));
        missing(&mut world, &newer);
        world.objects.get_mut(&build).expect("the build")["status"] = json!({"active": 1});
        world.pass(&newer);
        assert!(world.objects.contains_key(&build), "{unsure}");
    }
    // And builds that are known from before, but not seen now, are left alone; the plan's judge would refuse it.
    let gap = planner::observed::Gap { group: "batch".into(), kind: "Job".into(), why: "403 not for you".into() };
    world.gaps.push(gap);
    world.remembers = true;
    world.objects.get_mut(&build).expect("the build")["status"] = json!({"active": 1});
    let (plan, _) = world.plan(&commit('b', WEB));
    assert!(plan.steps.iter().all(|step| step.id != build), "{plan:#?}");
}

#[test]
fn nothing_is_asked_for_beyond_the_places_or_without_a_sight_of_what_runs() {
    let (mut world, says) = (building(), commit('a', WEB));
    missing(&mut world, &says);
    world.circumstances.builds_left = 0;
    let plan = world.pass(&says);
    assert_eq!((builds(&plan), plan.queued), (0, 1));
    world.circumstances.builds_left = 5;
    let gap = planner::observed::Gap { group: "batch".into(), kind: "Job".into(), why: "403 not for you".into() };
    world.gaps.push(gap);
    let plan = world.pass(&says);
    assert_eq!((builds(&plan), plan.queued), (0, 0), "{:?}", reasons(&plan));
    world.gaps.clear();
    assert_eq!(builds(&world.pass(&says)), 1);
}

#[test]
fn a_platform_whose_images_come_from_elsewhere_builds_nothing() {
    let (mut world, says) = (building(), commit('a', WEB));
    world.platform.builds = None;
    missing(&mut world, &says);
    let plan = world.pass(&says);
    assert_eq!(builds(&plan), 0);
    assert!(reasons(&plan).iter().any(|line| line.ends_with("AwaitingBuild")), "{:?}", reasons(&plan));
}

#[test]
fn a_component_that_gets_another_name_keeps_its_image() {
    let (mut world, says) = (building(), commit('a', WEB));
    let (image, _) = waiting(&mut world, &says);
    world.push_image(&image, 'd');
    world.controllers = true;
    world.settle(&says);
    // The first of its components in name order stands in an image's path.
    let renamed = commit('a', &WEB.replace("  refresh:", "  a-refresh:"));
    let plans = world.settle(&renamed);
    assert_eq!(plans.iter().map(builds).sum::<usize>(), 0);
    assert!(world.has("CronJob", "a-refresh"));
}

#[test]
fn only_a_few_finished_builds_are_kept() {
    let mut world = building();
    for digit in ['1', '2', '3', '4', '5', '6', '7', '8'] {
        let says = commit(digit, WEB);
        missing(&mut world, &says);
        world.pass(&says);
        world.pass(&says);
        let builds: Vec<_> = world.objects.keys().filter(|id| id.kind == "Job").cloned().collect();
        for build in builds {
            end(&mut world, &build, &failed());
        }
    }
    world.pass(&commit('8', WEB));
    assert_eq!(world.objects.keys().filter(|id| id.kind == "Job").count(), 6, "five, and the one that is wanted");
}
