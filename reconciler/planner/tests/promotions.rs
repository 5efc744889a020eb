//! Promotion, told as passes over a world in memory: a revision waits until it has proved itself where it comes from, and
//! its images are taken over from there instead of being built.

mod world;

use planner::check::Rule;
use planner::observed::{ImageSeen, Observed};
use planner::plan::{Action, Plan, Request, Why};
use planner::stored::{StoredImage, StoredRevision};
use planner::{Forerunner, Judge, Moment};
use renderer::tool::Promotion;
use renderer::{ComponentName, Digest, ToolName};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use world::{MANAGER, START, Says, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    build: {}
    run: {command: web, port: 8000}
";
const PREBUILT: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000}
";

fn beta_name() -> ToolName {
    ToolName::new("wordcount-beta").expect("a name")
}

/// A tool that is promoted from beta, of which nothing is known yet.
fn promoted(soak_secs: u64) -> World {
    let mut world = World::building();
    world.tool.promotion = Some(Promotion { from: beta_name(), soak_secs });
    world.forerunner = Some(Forerunner {
        name: beta_name(),
        status: None,
        stored: Vec::new(),
        building: BTreeSet::new(),
        built: BTreeSet::new(),
        unseen: None,
    });
    world
}

fn beta(world: &mut World) -> &mut Forerunner {
    world.forerunner.as_mut().expect("a forerunner")
}

/// Beta is Ready with a commit since so many seconds after the start.
fn ready_at(world: &mut World, id: char, secs: u64) {
    let at = START.plus_secs(secs);
    let commit = id.to_string().repeat(40);
    let deployment =
        json!({"id": "x", "commit": commit, "branch": "beta", "state": "ready", "startedAt": at, "endedAt": at});
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": at});
    beta(world).status = Some(json!({"commit": commit, "conditions": [ready], "deployments": [deployment]}));
}

fn later(world: &mut World, secs: u64) {
    world.circumstances.now = START.plus_secs(secs);
}

fn soaking(plan: &Plan) -> Option<&Why> {
    plan.held.iter().map(|held| &held.why).find(|why| why.word() == "Soaking")
}

fn runs(world: &World) -> String {
    let web = world.id("Deployment", "web");
    world.objects[&web]["spec"]["template"]["spec"]["containers"][0].to_string()
}

/// What the platform's registry holds of main's image and of beta's; returned is how they are named.
fn images(world: &mut World, says: &Says, main: Option<char>, beta: Option<char>) -> (String, String) {
    let Says::Commit(id, yaml) = says else { unreachable!("a commit") };
    let own = world.render(&World::revision(*id, yaml)).builds[0].image();
    let other = own.replace("tool-wordcount/", "tool-wordcount-beta/");
    for (reference, digit) in [(&own, main), (&other, beta)] {
        match digit {
            Some(digit) => world.push_image(reference, digit),
            None => drop(world.images.insert(reference.clone(), ImageSeen::Missing)),
        }
    }
    (own, other)
}

fn digest(digit: char) -> Digest {
    Digest::new(format!("sha256:{}", digit.to_string().repeat(64))).expect("a digest")
}

/// Beta was Ready with this image.
fn stored(source: &str, digit: char) -> StoredRevision {
    let image = StoredImage { source: source.to_owned(), digest: digest(digit) };
    StoredRevision {
        number: 1,
        revision: World::revision('z', WEB),
        path: None,
        images: BTreeMap::from([(ComponentName::new("web").expect("a name"), image)]),
        platform: String::new(),
        one_offs: BTreeSet::new(),
        rendered: None,
    }
}

fn actions(plan: &Plan, action: Action) -> usize {
    plan.steps.iter().filter(|step| step.action == action).count()
}

#[test]
fn main_stays_where_it_is_until_beta_was_ready_with_it_for_long_enough_and_is_woken_then() {
    let mut world = promoted(3600);
    ready_at(&mut world, 'a', 0);
    later(&mut world, 3600);
    world.settle(&commit('a', PREBUILT));
    let newer = commit('b', &PREBUILT.replace("command: web", "command: other"));

    let plan = world.settle(&newer).pop().expect("a plan");
    assert!(runs(&world).contains("\"web\""), "the last good revision goes on");
    assert!(matches!(soaking(&plan), Some(Why::Soaking { since: None, until: None, .. })), "{:?}", plan.held);
    assert_eq!(plan.due, None, "beta's own change wakes it");
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-scale", |object| object["spec"]["replicas"] = json!(9));
    world.settle(&newer);
    assert_ne!(world.objects[&web]["spec"]["replicas"], 9, "and is healed");

    ready_at(&mut world, 'b', 4000);
    later(&mut world, 5000);
    let plan = world.settle(&newer).pop().expect("a plan");
    let end = START.plus_secs(7600);
    assert!(matches!(soaking(&plan), Some(Why::Soaking { until: Some(until), .. }) if *until == end));
    assert_eq!(plan.due, Some(end));
    let ready = world.objects[&world.id("Tool", "wordcount")]["status"]["conditions"][0].clone();
    let says = "aaaaaaa runs as it should; soaking bbbbbbb: wordcount-beta is Ready with it since 2026-01-01T01:06:40Z, \
                and has to be until 2026-01-01T02:06:40Z";
    assert_eq!((&ready["status"], &ready["message"]), (&json!("True"), &json!(says)), "nothing is wrong");

    later(&mut world, 7600);
    let plan = world.settle(&newer).pop().expect("a plan");
    assert!(plan.is_ready() && runs(&world).contains("other"), "{plan:#?}");
}

/// What `Ready` says of a tool of which nothing runs: status, reason and message.
fn says_nothing_runs(world: &World) -> String {
    assert!(!world.has("Deployment", "web"));
    let ready = &world.objects[&world.id("Tool", "wordcount")]["status"]["conditions"][0];
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("Soaking")), "{ready}");
    ready["message"].as_str().expect("a message").to_owned()
}

#[test]
fn a_first_revision_soaks_too_is_not_called_ready_and_says_when_it_will_run() {
    let mut world = promoted(3600);
    let says = commit('a', PREBUILT);
    world.settle(&says);
    let first = "tool/wordcount: soaking aaaaaaa: wordcount-beta has to be Ready with it first; it is the first one, \
                 so nothing runs until then";
    assert_eq!(says_nothing_runs(&world), first);
    ready_at(&mut world, 'a', 0);
    let plan = world.settle(&says).pop().expect("a plan");
    assert_eq!(plan.due, Some(START.plus_secs(3600)), "it is woken then");
    let then = "tool/wordcount: soaking aaaaaaa: wordcount-beta is Ready with it since 2026-01-01T00:00:00Z, and has \
                to be until 2026-01-01T01:00:00Z; it is the first one, so nothing runs until then";
    assert_eq!(says_nothing_runs(&world), then);
    later(&mut world, 3600);
    let plan = world.settle(&says).pop().expect("a plan");
    assert!(plan.is_ready() && world.has("Deployment", "web"), "{plan:#?}");
}

#[test]
fn a_beta_that_cannot_be_read_is_not_taken_for_one_that_is_not_ready_nor_for_one_that_is() {
    let mut world = promoted(3600);
    ready_at(&mut world, 'a', 0);
    later(&mut world, 9999);
    beta(&mut world).unseen = Some("Tool: 403 not for you".to_owned());
    let (plan, _) = world.plan(&commit('a', PREBUILT));
    let why = plan.held.iter().map(|held| held.why.to_string()).find(|why| why.contains("wordcount-beta"));
    let says = "not observed: tool wordcount-beta, which it is promoted from: Tool: 403 not for you";
    assert_eq!(why.as_deref(), Some(says));
    assert_eq!(soaking(&plan), None);
    world.settle(&commit('a', PREBUILT));
    assert!(!world.has("Deployment", "web"));
    world.forerunner = None;
    let (plan, _) = world.plan(&commit('a', PREBUILT));
    assert!(plan.held.iter().any(|held| matches!(held.why, Why::NotObserved(_))), "nor is one that nobody looked at");
}

#[test]
fn an_image_that_beta_has_is_taken_over_with_its_digest_and_not_built() {
    let (mut world, says) = (promoted(0), commit('a', WEB));
    let (own, other) = images(&mut world, &says, None, Some('d'));
    let plans = world.settle(&says);
    let promotes: Vec<_> = plans.iter().flat_map(|plan| &plan.steps).filter(|s| s.action == Action::Promote).collect();
    assert_eq!(promotes.len(), 1, "once");
    assert_eq!(promotes[0].id.to_string(), "image/tool-wordcount/web");
    assert_eq!(promotes[0].requests, [Request::Promote { from: other, digest: digest('d'), to: own }]);
    assert_eq!(plans.iter().map(|plan| actions(plan, Action::Build)).sum::<usize>(), 0);
    assert!(runs(&world).contains(digest('d').as_str()));
}

#[test]
fn what_beta_was_ready_with_counts_and_not_where_its_tag_points_now() {
    let (mut world, says) = (promoted(0), commit('a', WEB));
    let (_, other) = images(&mut world, &says, None, Some('e'));
    beta(&mut world).stored = vec![stored(&other, 'd')];
    let (plan, _) = world.plan(&says);
    assert!(plan.moved_tags.iter().any(|said| said.contains("points to sha256:eeee")), "{:?}", plan.moved_tags);
    world.settle(&says);
    assert!(runs(&world).contains(digest('d').as_str()));
}

#[test]
fn what_beta_was_ready_with_on_another_run_image_is_taken_over_as_it_is() {
    let (mut world, says) = (promoted(0), commit('a', WEB));
    let (own, other) = images(&mut world, &says, None, Some('d'));
    let rebased = format!("{other}-r0123456789ab");
    world.push_image(&rebased, 'f');
    beta(&mut world).stored = vec![stored(&rebased, 'f')];
    let (plan, observed) = world.plan(&says);
    let step = plan.steps.iter().find(|step| step.action == Action::Promote).expect("a promotion");
    assert_eq!(step.requests, [Request::Promote { from: rebased, digest: digest('f'), to: own }]);
    let judge = Judge { platform: &world.platform, observed: &observed, field_manager: MANAGER };
    assert_eq!(judge.check(&plan), []);
}

#[test]
fn what_beta_has_not_is_built_and_while_beta_builds_it_nobody_else_does() {
    let (mut world, says) = (promoted(0), commit('a', WEB));
    let (own, _) = images(&mut world, &says, None, None);
    let id = own.rsplit_once(':').expect("a tag").1.get(..12).expect("digits").to_owned();
    beta(&mut world).building.insert(id);
    let (plan, _) = world.plan(&says);
    assert_eq!(actions(&plan, Action::Build), 0);
    assert!(plan.remarks.iter().any(|remark| remark.contains("is being built for wordcount-beta")), "{plan:#?}");
    beta(&mut world).building.clear();
    let (plan, _) = world.plan(&says);
    assert_eq!(actions(&plan, Action::Build), 1, "{plan:#?}");
}

#[test]
fn while_the_registry_does_not_say_what_beta_has_nothing_is_built() {
    let (mut world, says) = (promoted(0), commit('a', WEB));
    let (_, other) = images(&mut world, &says, None, None);
    world.images.insert(other.clone(), ImageSeen::Unknown("503".to_owned()));
    let plans = world.settle(&says);
    assert!(plans.iter().all(|plan| actions(plan, Action::Build) + actions(plan, Action::Promote) == 0));
    assert!(plans.last().expect("a plan").held.iter().any(|held| matches!(held.why, Why::NotObserved(_))));
    let Says::Commit(id, yaml) = &says else { unreachable!("a commit") };
    let needed = planner::images_needed(
        &world.render(&World::revision(*id, yaml)),
        None,
        &Observed { forerunner: world.forerunner.clone(), ..Observed::default() },
    );
    assert!(needed.contains(&other) && needed.len() == 2, "both places are asked: {needed:?}");
}

#[test]
fn an_image_that_the_promotion_does_not_have_is_refused() {
    let (mut world, says) = (promoted(0), commit('a', WEB));
    let (own, other) = images(&mut world, &says, None, Some('d'));
    let (plan, observed) = world.plan(&says);
    let at = plan.steps.iter().position(|step| step.action == Action::Promote).expect("a promotion");
    let judged = |request: Request| {
        let mut forged = plan.clone();
        forged.steps[at].requests = vec![request];
        let judge = Judge { platform: &world.platform, observed: &observed, field_manager: MANAGER };
        judge.check(&forged).iter().any(|found| found.rule == Rule::OtherImage)
    };
    let request = |from: &str, digit: char, to: &str| Request::Promote {
        from: from.to_owned(),
        digest: digest(digit),
        to: to.to_owned(),
    };
    assert!(!judged(request(&other, 'd', &own)));
    assert!(judged(request(&other, 'e', &own)), "another digest");
    assert!(judged(request(&own.replace("tool-wordcount/", "tool-stranger/"), 'd', &own)), "another tool's");
    assert!(judged(request(&other, 'd', &own.replace("tool-wordcount/", "tool-stranger/"))), "into another tool's");
    assert!(judged(request(&other, 'd', &own.replace("/web:", "/a/web:"))), "a path below");
    assert!(judged(request(&other, 'd', &format!("{}:latest", own.rsplit_once(':').expect("a tag").0))), "another tag");
}

#[test]
fn without_a_soak_time_main_goes_its_own_way() {
    let mut world = promoted(0);
    let plan = world.settle(&commit('a', PREBUILT)).pop().expect("a plan");
    assert!(plan.is_ready(), "{plan:#?}");
    assert_eq!(plan.due, None::<Moment>);
    assert!(runs(&world).contains("web"));
}
