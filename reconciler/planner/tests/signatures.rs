//! Signed commits, told as passes over a world in memory: what nobody who may sign has signed is not taken, and what ran
//! before runs on.

mod world;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use planner::plan::{Plan, Why};
use renderer::CommitId;
use renderer::revision::{ResolvedSource, Signature, SigningKey};
use renderer::signers::{Commits, SignedCommits, Signers};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use world::{START, World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000}
";

/// A public key as files of signers have it, and its fingerprint.
fn key(digit: u8) -> (String, String) {
    let part = |bytes: &[u8]| [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
    let blob = [part(b"ssh-ed25519"), part(&[digit; 32])].concat();
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
    (format!("ssh-ed25519 {}", STANDARD.encode(&blob)), fingerprint)
}

fn signers(name: &str, text: String) -> Signers {
    Signers([(name.to_owned(), text)].into())
}

fn required(signers: Signers) -> Commits {
    Commits { signed: SignedCommits::Require, signers }
}

/// The commit that is read now is signed with this key.
fn signed_by(digit: u8) -> Signature {
    Signature::Good(SigningKey::Ssh { fingerprint: key(digit).1, algorithm: "ssh-ed25519".to_owned() })
}

/// A platform that wants signatures by key 1, and a tool that runs a commit which has one.
fn running() -> World {
    let mut world = World::new();
    world.platform.commits = required(signers("operators", format!("ada@example.org {}\n", key(1).0)));
    world.facts.signature = signed_by(1);
    world.settle(&commit('a', WEB));
    assert!(world.has("Deployment", "web"));
    world
}

fn newer() -> world::Says {
    commit('b', &WEB.replace("command: web", "command: other"))
}

fn unsigned(plan: &Plan) -> Option<(&Option<String>, &str)> {
    plan.held.iter().find_map(|held| match &held.why {
        Why::Unsigned { key, why, .. } => Some((key, why.as_str())),
        _ => None,
    })
}

fn runs(world: &World) -> String {
    let web = world.id("Deployment", "web");
    world.objects[&web]["spec"]["template"]["spec"]["containers"][0].to_string()
}

#[test]
fn an_unsigned_commit_is_held_with_what_to_do_and_the_last_good_one_is_healed_until_it_is_signed() {
    let mut world = running();
    world.facts.signature = Signature::Absent;
    let plan = world.settle(&newer()).pop().expect("a plan");
    let (key, why) = unsigned(&plan).expect("held");
    assert!(key.is_none() && why.contains("`git commit --amend -S`") && why.contains("signers/operators"), "{why}");
    assert!(runs(&world).contains("\"web\""), "the last good revision goes on");
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-scale", |object| object["spec"]["replicas"] = json!(9));
    world.settle(&newer());
    assert_ne!(world.objects[&web]["spec"]["replicas"], 9, "and is healed");
    let ready = world.objects[&world.id("Tool", "wordcount")]["status"]["conditions"][0].clone();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("Unsigned")));
    assert!(ready["message"].as_str().is_some_and(|said| said.contains("unsigned bbbbbbb: it has no signature")));

    world.facts.signature = signed_by(1);
    let plan = world.settle(&newer()).pop().expect("a plan");
    assert!(plan.is_ready() && runs(&world).contains("\"other\""));
}

#[test]
fn a_first_commit_that_nobody_signed_makes_no_component() {
    let mut world = World::new();
    world.platform.commits = required(signers("operators", format!("ada@example.org {}\n", key(1).0)));
    world.facts.signature = Signature::Absent;
    let plan = world.settle(&commit('a', WEB)).pop().expect("a plan");
    assert!(unsigned(&plan).is_some() && world.has("Namespace", "tool-wordcount"));
    assert!(!world.has("Deployment", "web"));
}

#[test]
fn whoever_signed_is_named_by_key_and_told_what_is_wrong_with_it() {
    let mut world = running();
    let late = "valid-before=\"20251231\"";
    let lines = [
        format!("ada@example.org {}\n", key(1).0),
        format!("bob@example.org {late} {}\n", key(2).0),
        format!("eve@example.org namespaces=\"file,email\" {}\n", key(3).0),
        format!("old@example.org {late} {}\nnew@example.org {}\n", key(4).0, key(4).0),
    ];
    let files = signers("operators", lines.concat());
    let digest = files.digest();
    world.platform.commits = required(files);
    let openpgp = |valid_before: Option<i64>, signers: &str| {
        let (fingerprint, signers) = ("ABCD".to_owned(), signers.to_owned());
        Signature::Good(SigningKey::OpenPgp { fingerprint, valid_before, signers })
    };
    let worthless = |why: &str| Signature::Worthless { key: Some("K".to_owned()), why: why.to_owned() };
    let cases = [
        (signed_by(9), Some((Some(key(9).1), "is not in signers/operators"))),
        (signed_by(2), Some((Some(key(2).1), "was valid until 2025-12-31T00:00:00Z"))),
        (signed_by(3), Some((Some(key(3).1), "only in the namespaces file, email"))),
        (signed_by(4), None),
        (signed_by(1), None),
        (Signature::UnknownKey { key: "FEED".to_owned() }, Some((Some("FEED".to_owned()), "ask the operators to add"))),
        (worthless("it is made with SHA-1"), Some((Some("K".to_owned()), "proves nothing: it is made with SHA-1"))),
        (openpgp(Some(START.unix_secs()), &digest), Some((Some("ABCD".to_owned()), "was valid until"))),
        (openpgp(Some(START.unix_secs() + 1), &digest), None),
        (openpgp(None, &digest), None),
    ];
    for (signature, expected) in cases {
        world.facts.signature = signature.clone();
        let (plan, _) = world.plan(&newer());
        let found = unsigned(&plan).map(|(key, why)| (key.clone(), why.to_owned()));
        match (&found, &expected) {
            (None, None) => {}
            (Some((key, why)), Some((wanted, word))) => assert!(key == wanted && why.contains(word), "{key:?} {why}"),
            other => unreachable!("{signature:?}: {other:?}"),
        }
    }
    // The keys have changed since it was verified, or nobody has looked yet: nothing is decided by what was.
    for signature in [openpgp(None, "other"), Signature::Unread] {
        world.facts.signature = signature;
        let (plan, _) = world.plan(&newer());
        assert!(plan.held.iter().any(|held| matches!(held.why, Why::NotObserved(_))), "{:?}", plan.held);
        assert!(plan.steps.is_empty());
    }
}

#[test]
fn a_key_that_is_valid_from_tomorrow_lets_the_commit_through_tomorrow() {
    let mut world = running();
    let line = format!("ada@example.org valid-after=\"20260102Z\" {}\n", key(1).0);
    world.platform.commits = required(signers("operators", line));
    let plan = world.settle(&newer()).pop().expect("a plan");
    let tomorrow = START.plus_secs(86_400);
    assert_eq!(plan.due, Some(tomorrow), "it is woken then");
    assert!(unsigned(&plan).is_some_and(|(_, why)| why.contains("valid from 2026-01-02T00:00:00Z")));
    world.circumstances.now = tomorrow;
    assert!(world.settle(&newer()).pop().expect("a plan").is_ready() && runs(&world).contains("\"other\""));
}

#[test]
fn what_was_taken_once_needs_no_signature_again() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    world.settle(&newer());
    world.platform.commits = required(Signers::default());
    world.facts.signature = Signature::Absent;
    let plan = world.settle(&newer()).pop().expect("a plan");
    assert!(plan.is_ready(), "what runs goes on: {:?}", plan.held);
    let pin = json!({"commit": "a".repeat(40), "by": "ada"});
    let tool = world.id("Tool", "wordcount");
    world.edit(&tool, "toolforge-cli", |object| object["spec"]["pin"] = pin.clone());
    world.settle(&newer());
    assert!(runs(&world).contains("\"web\""), "back to a stored one");
    world.edit(&tool, "toolforge-cli", |object| object["spec"]["pin"] = json!({}));
    let plan = world.settle(&commit('c', WEB)).pop().expect("a plan");
    assert!(unsigned(&plan).is_some_and(|(_, why)| why.contains("nobody may sign")), "{:?}", plan.held);
}

#[test]
fn a_tool_asks_for_more_than_its_platform_and_by_its_own_signers() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    world.facts.signature = Signature::Absent;
    assert!(unsigned(&world.plan(&newer()).0).is_none(), "nobody asks");
    world.tool.commits = required(signers("wordcount", format!("ada@example.org {}\n", key(2).0)));
    assert!(unsigned(&world.plan(&newer()).0).is_some_and(|(_, why)| why.contains("signers/wordcount")));
    world.facts.signature = signed_by(2);
    assert!(unsigned(&world.plan(&newer()).0).is_none());
    // The platform's signers are not the tool's, where it has some.
    world.platform.commits = required(signers("operators", format!("op@example.org {}\n", key(1).0)));
    assert!(unsigned(&world.plan(&newer()).0).is_none());
    world.facts.signature = signed_by(1);
    assert!(unsigned(&world.plan(&newer()).0).is_some());
    world.tool.commits = Commits::default();
    assert!(unsigned(&world.plan(&newer()).0).is_none(), "and the platform's hold where it has none");
}

#[test]
fn a_source_elsewhere_is_vouched_for_by_its_whole_commit_alone() {
    let mut world = running();
    let revision = World::revision('e', "");
    let found =
        ResolvedSource::Found { commit: revision.commit.expect("a commit"), tree: revision.tree.expect("a tree") };
    let whole = CommitId::new("e".repeat(40)).expect("a commit");
    for (reference, held) in [("main", true), ("v1", true), ("eeeeeee", true), (whole.as_str(), false)] {
        world.resolved = [(format!("https://git.example/other#{reference}"), found.clone())].into();
        let (plan, _) = world.plan(&newer());
        let told = unsigned(&plan).is_some_and(|(_, why)| why.contains("the commit's whole id as its `ref`"));
        assert_eq!(told, held, "{reference}: {:?}", plan.held);
        // Of a commit that was taken before, too: what it names has moved since.
        let (again, _) = world.plan(&commit('a', WEB));
        assert_eq!(unsigned(&again).is_some(), held, "{reference}");
    }
}
