//! Deployments that succeed or go back, pins, removals and waves, told as passes over a world in memory.

mod world;

use planner::deployments::{State, listed};
use planner::observed::ImageSeen;
use planner::plan::{Action, Cause, Plan, Why};
use planner::{Moment, Wave};
use serde_json::{Value, json};
use world::{START, Says, World, commit};

fn web(command: &str, replicas: u32) -> String {
    format!(
        "config_version: v1beta1\ncomponents:\n  web:\n    image: registry.example/web@sha256:{}\n    run: {{command: {command}, port: 8000, replicas: {replicas}}}\n",
        "a".repeat(64)
    )
}

fn with_bot(web: &str, command: &str) -> String {
    format!("{web}  bot:\n    image: registry.example/bot@sha256:{}\n    run: {{command: {command}}}\n", "b".repeat(64))
}

fn with_migration(web: &str) -> String {
    let image = format!("registry.example/web@sha256:{}", "a".repeat(64));
    format!("{web}  migrate:\n    component_type: one-off\n    image: {image}\n    run: {{command: migrate}}\n")
}

/// A world in which `serve` runs, and `crash` will not.
fn world() -> World {
    let mut world = World::new();
    world.settle(&commit('a', &web("serve", 1)));
    world.crashes = Some("crash".to_owned());
    world
}

fn command_of(world: &World, deployment: &str) -> String {
    let spec = &world.objects[&world.id("Deployment", deployment)]["spec"]["template"]["spec"];
    spec["containers"][0].to_string()
}

fn pin(world: &mut World, pin: Value) {
    let tool = world.id("Tool", "wordcount");
    world.edit(&tool, "toolforge-cli", |tool| tool["spec"]["pin"] = pin);
}

fn history(world: &World) -> Vec<(char, State)> {
    let tool = &world.objects[&world.id("Tool", "wordcount")];
    let digit = |entry: &planner::deployments::Entry| entry.deployment.commit.as_str().chars().next().expect("digits");
    listed(tool.get("status")).iter().map(|entry| (digit(entry), entry.deployment.state)).collect()
}

fn condition(world: &World, name: &str) -> Value {
    let tool = &world.objects[&world.id("Tool", "wordcount")];
    let all = tool["status"]["conditions"].as_array().expect("conditions");
    all.iter().find(|condition| condition["type"] == name).expect("the condition").clone()
}

fn words(plan: &Plan) -> Vec<&'static str> {
    plan.held.iter().map(|held| held.why.word()).collect()
}

#[test]
fn a_revision_that_does_not_become_ready_goes_back_and_is_not_tried_again() {
    let mut world = world();
    world.settle(&commit('b', &web("crash", 1)));
    assert!(command_of(&world, "web").contains("serve"), "{}", command_of(&world, "web"));
    assert_eq!(history(&world), [('b', State::Failed), ('a', State::Ready)]);
    let ready = condition(&world, "Ready");
    assert_eq!((ready["status"].as_str(), ready["reason"].as_str()), (Some("False"), Some("RolledBack")));
    assert!(ready["message"].as_str().is_some_and(|m| m.contains("timed out progressing")), "{ready}");
    assert_eq!(condition(&world, "Stalled")["status"], "True");

    let says = commit('b', &web("crash", 1));
    let (plan, _) = world.plan(&says);
    assert!(plan.steps.is_empty(), "the same commit is not tried again: {plan:#?}");
    let deployment = world.id("Deployment", "web");
    world.edit(&deployment, "kubectl-scale", |o| o["spec"]["replicas"] = json!(5));
    world.settle(&says);
    assert_eq!(world.objects[&deployment]["spec"]["replicas"], 1, "what it went back to is healed");
}

#[test]
fn a_failed_revision_is_written_down_before_anything_is_taken_back() {
    let mut world = world();
    let says = commit('b', &web("crash", 1));
    let failing = (0..6)
        .map(|_| world.pass(&says))
        .find(|plan| plan.deployment.as_ref().is_some_and(|deployment| deployment.state == State::Failed));
    let failing = failing.expect("it fails");
    assert!(failing.steps.is_empty() && failing.due == Some(START), "{failing:#?}");
    assert!(command_of(&world, "web").contains("crash"), "nothing was taken back in that pass");
    let back = world.pass(&says);
    assert_eq!(back.steps.len(), 1, "{back:#?}");
}

#[test]
fn a_failure_is_written_down_with_its_words_or_not_yet() {
    let (mut world, says) = (world(), commit('b', &web("crash", 1)));
    world.withholds = true;
    let last = (0..6).map(|_| world.pass(&says)).last().expect("a pass");
    assert_eq!(
        (last.due, last.steps.len()),
        (None, 0),
        "it is looked at again when the secrets can be read: {last:#?}"
    );
    assert_eq!(history(&world), [('b', State::Progressing), ('a', State::Ready)]);
    assert!(condition(&world, "Ready")["message"].as_str().is_some_and(|m| m.contains("withheld")));
    world.withholds = false;
    world.settle(&says);
    assert_eq!(history(&world), [('b', State::Failed), ('a', State::Ready)]);
    let why = |world: &World| {
        let tool = &world.objects[&world.id("Tool", "wordcount")];
        listed(tool.get("status"))[0].deployment.why.clone().expect("the reason of a failure")
    };
    assert!(why(&world).contains("timed out progressing"), "{}", why(&world));
    world.withholds = true;
    world.pass(&says);
    assert!(why(&world).contains("timed out progressing"), "what was written down stays: {}", why(&world));
}

#[test]
fn a_failure_whose_words_can_t_be_told_is_taken_back_all_the_same_in_the_end() {
    let (mut world, says) = (world(), commit('b', &web("crash", 1)));
    world.withholds = true;
    (0..6).for_each(|_| drop(world.pass(&says)));
    assert_eq!(history(&world)[0], ('b', State::Progressing));
    world.circumstances.now = START.plus_secs(1_800);
    world.settle(&says);
    assert_eq!(history(&world), [('b', State::Failed), ('a', State::Ready)]);
    assert!(!command_of(&world, "web").contains("crash"), "the last good one runs again");
}

#[test]
fn a_first_deployment_that_failed_stays_failed_with_its_words() {
    let mut world = World::new();
    world.crashes = Some("crash".to_owned());
    let says = commit('a', &web("crash", 1));
    world.settle(&says);
    let before = world.objects[&world.id("Tool", "wordcount")]["status"]["deployments"].clone();
    assert_eq!(before[0]["state"], "failed");
    world.withholds = true;
    world.pass(&says);
    assert_eq!(world.objects[&world.id("Tool", "wordcount")]["status"]["deployments"], before);
}

#[test]
fn a_commit_that_means_the_same_fails_the_same_and_a_correction_is_tried() {
    let mut world = world();
    world.settle(&commit('b', &web("crash", 1)));
    let (plan, _) = world.plan(&commit('c', &web("crash", 1)));
    assert_eq!((plan.steps.len(), words(&plan)), (0, vec!["RolledBack"]), "only its README changed");
    world.settle(&commit('d', &web("repaired", 1)));
    assert!(command_of(&world, "web").contains("repaired"));
    assert_eq!(history(&world), [('d', State::Ready), ('b', State::Failed), ('a', State::Ready)]);
}

#[test]
fn a_newer_commit_supersedes_one_on_its_way() {
    let mut world = world();
    world.controllers = false;
    world.pass(&commit('b', &web("slow", 1)));
    world.pass(&commit('b', &web("slow", 1)));
    world.controllers = true;
    world.settle(&commit('c', &web("fast", 1)));
    assert!(command_of(&world, "web").contains("fast"));
    assert_eq!(history(&world), [('c', State::Ready), ('b', State::Superseded), ('a', State::Ready)]);
}

/// The next commit, which touches other tools only.
fn elsewhere(id: char, like: &Says) -> Says {
    Says::Elsewhere(id, Box::new(like.clone()))
}

/// A tool that is a folder of a repository, and runs.
fn of_many() -> World {
    let mut world = World::new();
    world.tool.path = "tools/wordcount".to_owned();
    world.settle(&commit('a', &web("serve", 1)));
    world
}

#[test]
fn a_commit_elsewhere_in_the_repository_writes_nothing_and_displaces_no_stored_revision() {
    let mut world = of_many();
    let (said, objects) = (world.said, world.objects.clone());
    for id in "bcdef0123456789".chars() {
        let plans = world.settle(&elsewhere(id, &commit('a', &web("serve", 1))));
        assert!(plans.iter().all(|plan| plan.steps.is_empty() && plan.is_ready()), "{plans:#?}");
    }
    assert_eq!((world.said, &world.objects), (said, &objects));
    assert_eq!(history(&world), [('a', State::Ready)]);
    world.settle(&commit('b', &web("serve", 2)));
    world.settle(&elsewhere('c', &commit('b', &web("serve", 2))));
    pin(&mut world, json!({"commit": "a".repeat(40)}));
    world.settle(&elsewhere('d', &commit('b', &web("serve", 2))));
    assert_eq!(world.objects[&world.id("Deployment", "web")]["spec"]["replicas"], 1, "one can still go back");
}

#[test]
fn a_commit_of_a_tool_with_a_repository_of_its_own_is_its_own() {
    let mut world = world();
    world.settle(&elsewhere('b', &commit('a', &web("serve", 1))));
    assert_eq!(history(&world), [('b', State::Ready), ('a', State::Ready)]);
}

#[test]
fn what_takes_a_change_back_is_a_deployment_and_no_drift() {
    let mut world = of_many();
    world.pass(&commit('b', &web("serve", 2)));
    let back = elsewhere('c', &commit('a', &web("serve", 1)));
    let (plan, _) = world.plan(&back);
    assert!(plan.steps.iter().all(|step| step.cause == Cause::NewRevision), "{plan:#?}");
    world.settle(&back);
    assert_eq!(history(&world), [('c', State::Ready), ('b', State::Superseded), ('a', State::Ready)]);
}

#[test]
fn a_commit_elsewhere_while_one_is_on_its_way_begins_no_rollout_anew() {
    let mut world = of_many();
    world.controllers = false;
    let says = commit('b', &web("slow", 1));
    world.pass(&says);
    world.circumstances.now = Moment::from_unix_secs(START.unix_secs() + 60);
    world.pass(&elsewhere('c', &says));
    assert_eq!(history(&world), [('c', State::Progressing), ('a', State::Ready)]);
    let tool = &world.objects[&world.id("Tool", "wordcount")];
    assert_eq!(listed(tool.get("status"))[0].started_at, Some(START));
}

#[test]
fn another_try_is_a_word_away() {
    let mut world = world();
    let says = commit('b', &web("crash", 1));
    world.settle(&says);
    world.crashes = None;
    pin(&mut world, json!({"retry": "2026-01-01T00:00:00Z"}));
    world.settle(&says);
    assert!(command_of(&world, "web").contains("crash"), "whatever it needed is there now");
    assert_eq!(history(&world)[0], ('b', State::Ready));
}

#[test]
fn a_failed_one_off_stays_to_be_read_and_another_try_makes_it_again() {
    let mut world = world();
    world.controllers = false;
    let says = commit('b', &with_migration(&web("serve", 1)));
    world.pass(&says);
    let (job, name) =
        world.objects.keys().find(|id| id.kind == "Job").map(|id| (id.clone(), id.name.clone())).expect("one");
    let condition = json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"});
    let object = world.objects.get_mut(&job).expect("the Job");
    object["status"] = json!({"conditions": [condition]});
    object["metadata"]["creationTimestamp"] = json!(START.to_string());
    world.settle(&says);
    assert_eq!(condition_reason(&world), "GateFailed");
    assert!(world.has("Job", &name), "its pods' logs can be read");
    pin(&mut world, json!({"retry": START.plus_secs(60).to_string()}));
    let plan = world.pass(&says);
    assert_eq!(plan.steps.iter().map(|s| (s.id.kind.as_str(), s.action)).collect::<Vec<_>>(), [("Job", Action::Prune)]);
    world.controllers = true;
    world.settle(&says);
    assert_eq!(history(&world)[0], ('b', State::Ready));
}

fn condition_reason(world: &World) -> String {
    condition(world, "Ready")["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_first_deployment_that_fails_has_nothing_to_go_back_to_and_stays() {
    let mut world = World::new();
    world.crashes = Some("crash".to_owned());
    let says = commit('a', &web("crash", 1));
    world.settle(&says);
    assert!(command_of(&world, "web").contains("crash"));
    assert_eq!(history(&world), [('a', State::Failed)]);
    assert_eq!(condition(&world, "Ready")["reason"], "NotReady");
    world.crashes = None;
    world.run_controllers();
    world.settle(&says);
    assert_eq!(history(&world), [('a', State::Ready)], "it came after all");
}

#[test]
fn a_component_that_the_new_revision_did_not_touch_takes_nothing_back() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot(&web("serve", 1), "bot")));
    world.crashes = Some("bot".to_owned());
    world.run_controllers();
    world.settle(&commit('b', &with_bot(&web("better", 1), "bot")));
    assert!(command_of(&world, "web").contains("better"), "the bot fails as it did before");
    assert_eq!(history(&world)[0], ('b', State::Progressing));
}

#[test]
fn pods_say_why_and_one_that_gave_up_ends_the_rollout() {
    let mut world = world();
    world.controllers = false;
    let says = commit('b', &web("crash", 1));
    world.pass(&says);
    let old = pod(&world, "old", "2025-12-31T23:00:00Z");
    let young = pod(&world, "young", "2026-01-01T00:00:01Z");
    world.objects.insert(old.0, old.1);
    let plan = world.pass(&says);
    assert!(plan.deployment.is_some_and(|d| d.state == State::Progressing), "a pod from before says nothing of it");
    world.objects.insert(young.0, young.1);
    let plan = world.pass(&says);
    let deployment = plan.deployment.expect("one is under way");
    assert_eq!(deployment.state, State::Failed, "{:#?}", plan.not_ready);
    assert!(deployment.why.as_ref().is_some_and(|why| why.contains("CrashLoopBackOff")), "{deployment:?}");
}

/// What is told in between is for people: no pass decides by what went unsaid.
#[test]
fn told_in_few_words_every_story_ends_the_same() {
    let mut stories: Vec<(&str, Vec<Says>)> = vec![
        ("first", vec![commit('a', &web("serve", 1))]),
        ("first that fails", vec![commit('a', &web("crash", 1))]),
        ("next", vec![commit('a', &web("serve", 1)), commit('b', &web("serve", 2))]),
        ("back", vec![commit('a', &web("serve", 1)), commit('b', &web("crash", 1))]),
    ];
    let gated = with_migration(&with_bot(&web("serve", 1), "bot"));
    stories
        .push(("more and less", vec![commit('a', &web("serve", 1)), commit('b', &gated), commit('c', &web("new", 1))]));
    for (name, says) in stories {
        let end = |terse: bool| {
            let mut world = World::new();
            (world.terse, world.crashes) = (terse, Some("crash".to_owned()));
            says.iter().for_each(|says| drop(world.settle(says)));
            let status = world.objects[&world.id("Tool", "wordcount")]["status"].clone();
            (world.names(), history(&world), status["conditions"].clone(), world.said)
        };
        let (full, terse) = (end(false), end(true));
        assert_eq!((&full.0, &full.1, &full.2), (&terse.0, &terse.1, &terse.2), "{name}");
        assert!(terse.3 < full.3, "{name}: {} of {}", terse.3, full.3);
        if name == "first" {
            assert_eq!(terse.3, 1, "it is Ready, and that is all there is to say");
        }
    }
}

#[test]
fn what_a_later_pass_needs_to_know_is_said_at_once() {
    let mut world = World::new();
    world.terse = true;
    world.settle(&commit('a', &web("serve", 1)));
    let before = world.said;
    world.pass(&commit('b', &web("serve", 2)));
    assert_eq!(history(&world)[0], ('b', State::Progressing), "when it began tells its pods from those before");
    assert_eq!(world.said, before + 1);
    world.settle(&commit('b', &web("serve", 2)));
    let (deployment, before) = (world.id("Deployment", "web"), world.said);
    world.edit(&deployment, "kubectl-scale", |o| o["spec"]["replicas"] = json!(7));
    world.pass(&commit('b', &web("serve", 2)));
    assert_eq!((condition(&world, "Drifted")["status"].as_str(), world.said), (Some("True"), before + 1));
    world.settle(&commit('b', &with_bot(&web("serve", 2), "bot")));
    let bot = world.id("Deployment", "bot");
    while world.objects.contains_key(&bot) {
        world.pass(&commit('c', &web("serve", 2)));
    }
    let inventory = world.objects[&world.id("Tool", "wordcount")]["status"]["inventory"].to_string();
    assert!(inventory.contains("Deployment") && !inventory.contains("bot"), "what is gone leaves it: {inventory}");
}

#[test]
fn the_pass_that_stores_a_revision_says_that_it_is_ready_and_the_next_has_nothing_to_say() {
    for terse in [false, true] {
        let mut world = World::new();
        world.terse = terse;
        let says = commit('a', &web("serve", 1));
        let stores = |plan: &Plan| plan.steps.iter().any(|step| step.id.kind == "ControllerRevision");
        assert!((0..12).any(|_| stores(&world.pass(&says))), "it becomes Ready");
        assert_eq!(
            (history(&world), condition(&world, "Ready")["status"].as_str()),
            (vec![('a', State::Ready)], Some("True"))
        );
        let said = world.said;
        assert!(!terse || said == 1, "a rollout that goes on by itself is told once: {said}");
        world.settle(&says);
        assert_eq!(world.said, said);
    }
}

#[test]
fn the_first_deployment_has_no_pods_from_before_however_late_its_beginning_is_said() {
    let mut world = World::new();
    world.crashes = Some("crash".to_owned());
    world.terse = true;
    let says = commit('a', &web("crash", 1));
    while !world.has("Deployment", "web") {
        world.pass(&says);
    }
    let (id, pod) = pod(&world, "web-1", "2020-01-01T00:00:00Z");
    world.objects.insert(id, pod);
    let plan = world.settle(&says).pop().expect("a plan");
    assert!(plan.not_ready.iter().any(|row| row.why.contains("CrashLoopBackOff")), "{:?}", plan.not_ready);
}

fn pod(world: &World, name: &str, created: &str) -> (renderer::ObjectId, Value) {
    let web = world.id("Deployment", "web");
    let id = renderer::ObjectId { group: String::new(), kind: "Pod".into(), name: name.into(), ..web };
    let waiting = json!({"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"});
    let container = json!({"name": "web", "restartCount": 6, "ready": false, "state": {"waiting": waiting},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}});
    let labels = json!({"app.kubernetes.io/name": "web", "app.kubernetes.io/component": "continuous"});
    let metadata = json!({"name": name, "namespace": id.namespace, "labels": labels, "creationTimestamp": created});
    (id, json!({"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [container]}}))
}

#[test]
fn a_one_off_of_a_revision_that_failed_does_not_run_again_with_the_next() {
    let mut world = world();
    world.settle(&commit('b', &with_migration(&web("crash", 1))));
    assert!(command_of(&world, "web").contains("serve"), "it went back");
    let ran = |plans: &[Plan]| {
        let mut steps = plans.iter().flat_map(|plan| &plan.steps);
        steps.any(|step| step.id.kind == "Job" && step.action == Action::Create)
    };
    assert!(!world.has("Job", "migrate"), "it is recorded with what it went back to, so its Job may go");
    let plans = world.settle(&commit('c', &with_migration(&web("repaired", 1))));
    assert!(command_of(&world, "web").contains("repaired") && !ran(&plans), "{plans:#?}");
    // Nor when it leaves the file and comes again.
    world.settle(&commit('d', &web("repaired", 1)));
    assert!(!ran(&world.settle(&commit('e', &with_migration(&web("repaired", 1))))));
}

#[test]
fn a_one_off_of_an_abandoned_revision_is_recorded_by_the_next_and_its_job_goes() {
    let mut world = world();
    let abandoned = commit('b', &with_migration(&web("crash", 1)));
    world.settle(&abandoned);
    world.settle(&commit('c', &web("repaired", 1)));
    assert!(!world.has("Job", "migrate"), "{:?}", world.names());
    let plans = world.settle(&commit('d', &with_migration(&web("repaired", 1))));
    assert!(plans.iter().flat_map(|plan| &plan.steps).all(|step| step.id.kind != "Job"), "{plans:#?}");
}

#[test]
fn a_pin_beats_the_newest_commit_until_it_ends_and_drift_is_healed_meanwhile() {
    let mut world = world();
    world.settle(&commit('b', &web("newer", 1)));
    let newest = commit('c', &web("newest", 1));
    pin(&mut world, json!({"commit": "aaaaaaa", "until": "2026-01-01T01:00:00Z", "by": "operator"}));
    let plans = world.settle(&newest);
    assert!(command_of(&world, "web").contains("serve"));
    let last = plans.last().expect("a plan");
    assert_eq!((words(last), last.due), (vec!["Pinned"], Moment::parse("2026-01-01T01:00:00Z")));
    assert_eq!(condition(&world, "Ready")["status"], "True", "it is as somebody wants it");
    assert_eq!(condition(&world, "Stalled")["status"], "False");
    assert_eq!(history(&world), [('a', State::Ready), ('b', State::Ready), ('a', State::Ready)]);

    let deployment = world.id("Deployment", "web");
    world.edit(&deployment, "kubectl-scale", |o| o["spec"]["replicas"] = json!(5));
    world.settle(&newest);
    assert_eq!(world.objects[&deployment]["spec"]["replicas"], 1);

    world.circumstances.now = START.plus_secs(3600);
    world.settle(&newest);
    assert!(command_of(&world, "web").contains("newest"), "it ended by itself");
}

#[test]
fn hold_keeps_what_is_and_an_unknown_commit_moves_nothing() {
    for pinned in [json!({"hold": true}), json!({"commit": "0123456789"})] {
        let mut world = world();
        pin(&mut world, pinned.clone());
        let plans = world.settle(&commit('b', &web("newer", 1)));
        assert!(plans.iter().all(|plan| plan.steps.iter().all(|step| step.id.kind != "Deployment")), "{plans:#?}");
        assert_eq!(words(&plans[0]), ["Pinned"]);
        let stalled = condition(&world, "Stalled");
        assert_eq!(stalled["status"] == "True", pinned["hold"].is_null(), "who asks for what is not there is told");
    }
}

#[test]
fn what_frees_room_goes_before_what_needs_it() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot(&web("serve", 3), "bot")));
    let grown = with_bot(&web("serve", 1), "bot").replace("{command: bot}", "{command: bot, replicas: 3}");
    let plan = world.pass(&commit('b', &grown));
    let workloads: Vec<_> = plan.steps.iter().filter(|step| step.id.kind == "Deployment").collect();
    assert_eq!(workloads.iter().map(|step| step.id.name.as_str()).collect::<Vec<_>>(), ["web", "bot"]);
    assert!(workloads[0].is_scale_down() && !workloads[1].is_scale_down());
}

#[test]
fn a_renamed_component_under_a_full_quota_gets_the_room_of_the_old_one() {
    let mut world = world();
    let renamed = commit('b', &web("serve", 1).replace("  web:", "  site:"));
    world.controllers = false;
    world.pass(&renamed);
    let site = world.id("Deployment", "site");
    let words = "pods \"site-1\" is forbidden: exceeded quota: wordcount";
    let refused = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words});
    let generation = world.objects[&site]["metadata"]["generation"].clone();
    world.objects.get_mut(&site).expect("made")["status"] =
        json!({"observedGeneration": generation, "conditions": [refused]});
    let plan = world.pass(&renamed);
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.id.name.as_str(), step.action)).collect();
    assert_eq!(steps, [("web", Action::ScaleDown)], "{plan:#?}");
    assert_eq!(world.objects[&world.id("Deployment", "web")]["spec"]["replicas"], 0);
    assert!(world.plan(&renamed).0.steps.is_empty(), "once");
    world.controllers = true;
    world.settle(&renamed);
    assert!(!world.has("Deployment", "web"));
}

#[test]
fn a_platform_change_waits_for_its_wave_and_a_tools_own_change_does_not() {
    let mut world = world();
    world.platform.env.insert("NEW".to_owned(), "variable".to_owned());
    world.circumstances.wave = Wave::Later;
    let (plan, _) = world.plan(&commit('a', &web("serve", 1)));
    assert_eq!((plan.steps.len(), words(&plan)), (0, vec!["AwaitingWave"]), "{plan:#?}");
    let deployment = world.id("Deployment", "web");
    world.edit(&deployment, "kubectl-scale", |o| o["spec"]["replicas"] = json!(5));
    let plan = world.pass(&commit('a', &web("serve", 1)));
    assert!(plan.steps.iter().all(|step| matches!(step.cause, Cause::Drift { .. })), "drift is healed at once");
    let plan = world.pass(&commit('b', &web("mine", 1)));
    assert_eq!(plan.steps.len(), 1, "and so is what the tool asks for: {plan:#?}");
}

#[test]
fn a_removed_tool_is_stopped_first_and_comes_back_whole_within_the_grace_period() {
    let mut world = World::new();
    let says = commit('a', &with_bot(&web("serve", 2), "bot"));
    world.settle(&says);
    let before = world.names();
    world.forgotten = true;
    let gone = Says::Nothing("its file is gone".to_owned());
    let first = world.pass(&gone);
    assert!(first.steps.is_empty() && first.removed, "marked before anything is done: {first:#?}");
    let second = world.pass(&gone);
    assert!(
        !second.steps.is_empty() && second.steps.iter().all(|step| step.action == Action::ScaleDown),
        "{second:#?}"
    );
    assert_eq!(second.due, Some(START.plus_secs(7 * 86_400)));
    assert_eq!(world.names(), before, "nothing is deleted");
    assert!(world.plan(&gone).0.steps.is_empty());
    let web_id = world.id("Deployment", "web");
    assert_eq!(world.objects[&web_id]["spec"]["replicas"], 0);

    world.forgotten = false;
    let back = world.pass(&says);
    assert!(!back.steps.is_empty() && back.steps.iter().all(|step| step.action == Action::Restore), "{back:#?}");
    world.settle(&says);
    assert_eq!((world.names(), world.objects[&web_id]["spec"]["replicas"].as_i64()), (before, Some(2)));
    assert!(world.objects[&world.id("Tool", "wordcount")]["status"]["removedAt"].is_null());
}

#[test]
fn a_removed_tool_that_was_never_ready_is_stopped_too_and_so_is_what_lost_its_mark() {
    let mut world = World::new();
    world.crashes = Some("crash".to_owned());
    let cron = with_bot("", "tick")
        .replace("    run: {", "    component_type: scheduled\n    run: {schedule: \"7 * * * *\", ");
    let says = commit('a', &(web("crash", 2) + &cron));
    world.settle(&says);
    let (web, tick) = (world.id("Deployment", "web"), world.id("CronJob", "bot"));
    world.edit(&web, "kubectl-label", |o| o["metadata"]["labels"] = json!({}));
    world.forgotten = true;
    let gone = Says::Nothing("its file is gone".to_owned());
    world.pass(&gone);
    let stopped = world.pass(&gone);
    assert!(stopped.steps.iter().all(|step| step.action == Action::ScaleDown), "{stopped:#?}");
    assert_eq!(
        (&world.objects[&web]["spec"]["replicas"], &world.objects[&tick]["spec"]["suspend"]),
        (&json!(0), &json!(true))
    );
    assert!(world.plan(&gone).0.steps.is_empty(), "once");
    world.forgotten = false;
    world.settle(&says);
    assert_eq!(world.objects[&web]["spec"]["replicas"], 2);
    assert_ne!(world.objects[&tick]["spec"]["suspend"], true, "and it comes back");
}

#[test]
fn a_pin_that_cannot_be_read_holds_the_tool_and_says_so() {
    let mut world = world();
    pin(&mut world, json!({"suspend": "yes"}));
    let plan = world.pass(&commit('b', &web("mine", 1)));
    assert!(plan.steps.is_empty(), "somebody may have suspended it: {plan:#?}");
    let ready = condition(&world, "Ready");
    assert_eq!(ready["reason"], "Invalid");
    assert!(ready["message"].as_str().is_some_and(|m| m.contains("spec.pin can't be read")), "{ready}");
}

#[test]
fn a_failed_revision_is_not_tried_again_while_a_registry_is_silent_or_its_record_cannot_be_read() {
    let by_tag = |command: &str| {
        web(command, 1)
            .replace("components:", "components:\n  bot:\n    image: quay.io/x/bot:1\n    run: {command: bot}")
    };
    let failed = || {
        let mut world = World::new();
        world.crashes = Some("crash".to_owned());
        world.push_image("quay.io/x/bot:1", 'b');
        world.settle(&commit('a', &by_tag("serve")));
        world.settle(&commit('b', &by_tag("crash")));
        assert_eq!(history(&world), [('b', State::Failed), ('a', State::Ready)]);
        world
    };
    let says = commit('b', &by_tag("crash"));
    let stays = |mut world: World| {
        let plan = world.pass(&says);
        assert!(plan.steps.is_empty() && words(&plan).contains(&"RolledBack"), "{plan:#?}");
        world
    };
    let mut silent = failed();
    silent.images.insert("quay.io/x/bot:1".to_owned(), ImageSeen::Unknown("no answer".to_owned()));
    stays(silent);
    let mut unread = failed();
    let tool = unread.id("Tool", "wordcount");
    unread.objects.get_mut(&tool).expect("the Tool")["status"]["deployments"][0]["state"] = json!("of a later version");
    let unread = stays(unread);
    assert_eq!(unread.objects[&tool]["status"]["deployments"].as_array().map(Vec::len), Some(2), "it is kept");
    stays(unread);
}

#[test]
fn after_the_grace_period_a_removed_tools_objects_go_and_its_namespace_stays() {
    for early in [false, true] {
        let mut world = World::new();
        world.settle(&commit('a', &with_bot(&web("serve", 1), "bot")));
        world.forgotten = true;
        let gone = Says::Nothing("its file is gone".to_owned());
        world.pass(&gone);
        world.pass(&gone);
        if early {
            pin(&mut world, json!({"delete": true}));
        } else {
            world.circumstances.now = START.plus_secs(7 * 86_400);
        }
        for _ in 0..4 {
            world.pass(&gone);
        }
        let left: Vec<_> = world.names().into_iter().filter(|name| !name.starts_with("controllerrevision")).collect();
        assert_eq!(left, ["namespace/tool-wordcount", "tool/wordcount"], "early: {early}");
    }
}

#[test]
fn many_tools_that_vanish_at_once_are_an_accident() {
    let mut world = world();
    world.forgotten = true;
    world.circumstances.removals_held = Some("120 of 300 tools are gone from the config repository".to_owned());
    let plan = world.pass(&Says::Nothing("its file is gone".to_owned()));
    assert_eq!((plan.steps.len(), words(&plan), plan.removed), (0, vec!["PruneGuard"], false));
}

#[test]
fn a_held_deletion_is_listed_with_the_command_that_allows_exactly_it_once() {
    let mut world = World::new();
    world.settle(&commit('a', &with_bot(&web("serve", 1), "bot")));
    world.circumstances.deletions_left = 0;
    let says = commit('b', &web("serve", 1));
    let plans = world.settle(&says);
    let Some(Why::PruneGuard(why)) = plans.last().and_then(|plan| plan.held.first()).map(|held| &held.why) else {
        unreachable!("{plans:#?}")
    };
    let allow = why.split("--allow ").nth(1).and_then(|rest| rest.split('`').next()).expect("a command").to_owned();
    let listed = world.objects[&world.id("Tool", "wordcount")]["status"]["heldDeletions"].clone();
    assert!(listed.to_string().contains("deployment/tool-wordcount/bot"), "{listed}");
    pin(&mut world, json!({"allowPrune": "another"}));
    assert!(world.plan(&says).0.steps.is_empty());
    pin(&mut world, json!({"allowPrune": allow}));
    world.settle(&says);
    assert!(!world.has("Deployment", "bot"));
}

const BUILT: &str = "config_version: v1beta1
components:
  web:
    build: {}
    run: {command: serve, port: 8000}
  migrate:
    component_type: one-off
    build: {}
    run: {command: migrate}
";

/// A tool whose image was built, and runs; and the image.
fn built() -> (World, String) {
    let mut world = World::new();
    let image = built_image(&world, 'a');
    world.push_image(&image, 'c');
    world.settle(&commit('a', BUILT));
    (world, image)
}

fn built_image(world: &World, id: char) -> String {
    let rendered = world.render(&World::revision(id, BUILT));
    let web = rendered.components.iter().find(|component| component.name.as_str() == "web").expect("web");
    let renderer::Image::Built { repository, build } = &web.image else { unreachable!("it is built") };
    format!("{repository}:{build}")
}

/// The same application on another run image is chosen for this build.
fn choose(world: &mut World, image: &str, digit: char, more: Value) {
    let build = image.rsplit_once(':').expect("a tag").1.to_owned();
    let digest = format!("sha256:{}", digit.to_string().repeat(64));
    let mut said = json!({"images": {(build): {"source": format!("{image}-r0123456789ab"), "digest": digest}}});
    said.as_object_mut().expect("a map").extend(more.as_object().cloned().unwrap_or_default());
    pin(world, said);
}

fn runs(world: &World, digit: char) -> bool {
    command_of(world, "web").contains(&format!("@sha256:{}", digit.to_string().repeat(64)))
}

#[test]
fn another_run_image_comes_in_its_wave_and_is_stored_when_it_is_ready() {
    let (mut world, image) = built();
    let says = commit('a', BUILT);
    choose(&mut world, &image, 'd', json!({}));
    world.circumstances.rebase = Wave::Later;
    let (plan, _) = world.plan(&says);
    assert_eq!((plan.steps.len(), words(&plan)), (0, vec!["AwaitingWave"]), "{plan:#?}");
    world.circumstances.rebase = Wave::Now;
    world.circumstances.wave = Wave::Stopped;
    let (plan, _) = world.plan(&says);
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.id.kind.as_str(), step.cause.word())).collect();
    assert_eq!(steps, [("Deployment", "NewRunImage")], "and no one-off runs again");
    world.settle(&says);
    assert!(runs(&world, 'd'));
    let stored = world.observe().stored;
    assert_eq!(stored.len(), 2);
    assert!(stored[0].images.values().any(|image| image.digest.as_str().ends_with("dddd")), "{:?}", stored[0]);
    assert_eq!(history(&world), [('a', State::Ready), ('a', State::Ready)]);
    pin(&mut world, json!({}));
    assert!(world.settle(&says).iter().all(|plan| plan.steps.is_empty()), "what became Ready stays");

    let image = built_image(&world, 'b');
    world.push_image(&image, 'e');
    world.settle(&commit('b', BUILT));
    assert!(runs(&world, 'e'), "a new build is its own");
}

#[test]
fn another_run_image_on_which_it_fails_goes_back_to_the_one_before_and_is_not_tried_again() {
    let (mut world, image) = built();
    let says = commit('a', BUILT);
    world.crashes = Some("d".repeat(64));
    choose(&mut world, &image, 'd', json!({}));
    world.settle(&says);
    assert!(runs(&world, 'c'), "{}", command_of(&world, "web"));
    assert_eq!(condition(&world, "Ready")["reason"], "RolledBack");
    assert!(history(&world).contains(&('a', State::Failed)), "{:?}", history(&world));
    let deployment = world.id("Deployment", "web");
    world.edit(&deployment, "kubectl-scale", |o| o["spec"]["replicas"] = json!(5));
    world.settle(&says);
    assert_eq!((&world.objects[&deployment]["spec"]["replicas"], runs(&world, 'c')), (&json!(1), true));
    assert_eq!(world.observe().stored.len(), 1, "what failed is not stored");
    choose(&mut world, &image, 'e', json!({}));
    world.settle(&says);
    assert!(runs(&world, 'e'), "another one is another try");
    assert_eq!(condition(&world, "Ready")["status"], "True");
}

#[test]
fn who_was_told_to_stay_gets_no_other_run_image() {
    let (mut world, image) = built();
    choose(&mut world, &image, 'd', json!({"hold": true}));
    world.settle(&commit('a', BUILT));
    assert!(runs(&world, 'c'));
    for foreign in ["registry.example/tool-another/web:1", "not a reference"] {
        let build = image.rsplit_once(':').expect("a tag").1.to_owned();
        let digest = format!("sha256:{}", "d".repeat(64));
        pin(&mut world, json!({"images": {(build): {"source": foreign, "digest": digest}}}));
        world.settle(&commit('a', BUILT));
        assert!(runs(&world, 'c'), "only an image of that very build counts: {foreign}");
    }
}
