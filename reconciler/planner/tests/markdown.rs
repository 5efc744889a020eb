//! The comment on a merge request: as reviewed, out of nobody's control, and of bounded length. `UPDATE_GOLDEN=1` rewrites
//! what was reviewed.

#![expect(clippy::disallowed_methods, reason = "what was reviewed lies beside the test")]

mod world;

use planner::markdown::{MAX_BYTES, markdown};
use planner::plan::Plan;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use world::{World, commit};

const WEB: &str = "config_version: v1beta1
components:
  web:
    image: registry.example/wordcount@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    run: {command: web, port: 8000, publish: /, replicas: 2}
";
const BOT: &str = "  bot:
    image: registry.example/bot:1
    run: {command: bot}
";

fn two_minutes(_: &str) -> Option<String> {
    Some("2 min ago".to_owned())
}

#[track_caller]
fn is_as_reviewed(name: &str, plan: &Plan) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/markdown").join(name);
    let text = markdown(plan, &two_minutes);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("the golden is written");
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, reviewed, "{name}: run with UPDATE_GOLDEN=1 and look at the difference");
}

#[test]
fn a_first_deployment_reads_as_reviewed() {
    let mut world = World::new();
    let says = commit('a', &format!("{WEB}{BOT}"));
    is_as_reviewed("first.md", &world.plan(&says).0);
    world.pass(&says);
    is_as_reviewed("second.md", &world.plan(&says).0);
}

#[test]
fn drift_and_a_new_revision_read_as_reviewed_and_typed_values_are_masked() {
    let mut world = World::new();
    world.settle(&commit('a', WEB));
    is_as_reviewed("in-sync.md", &world.plan(&commit('a', WEB)).0);
    let web = world.id("Deployment", "web");
    world.edit(&web, "kubectl-edit", |web| {
        web["spec"]["replicas"] = json!(5);
        let container = &mut web["spec"]["template"]["spec"]["containers"][0];
        container["env"].as_array_mut().expect("a list").push(json!({"name": "PASSWORD", "value": "typed-by-hand"}));
        for n in 0..30 {
            web["metadata"]["labels"][format!("note-{n:02}")] = json!("x");
        }
    });
    let plan = world.plan(&commit('b', &format!("{}{BOT}", WEB.replace("port: 8000", "port: 9000")))).0;
    assert!(!markdown(&plan, &two_minutes).contains("typed-by-hand"));
    is_as_reviewed("drift.md", &plan);
}

/// A plan in which every word that can be a stranger's is this one.
fn hostile(word: &str, fields: usize) -> Plan {
    let id = json!({"group": "apps", "kind": "Deployment", "namespace": "tool-x", "name": word});
    let change = json!({"path": format!("metadata.labels.{word}"), "kind": "intruder", "from": word, "to": word});
    let step = |action: &str| {
        json!({"id": id, "action": action, "identity": "deployer", "cause": {"drift": {"manager": word, "time": null}},
               "changes": vec![change.clone(); fields], "requests": []})
    };
    let plan = json!({
        "tool": "wordcount", "cluster": word, "target": {"branch": word, "commit": null},
        "steps": [step("configure"), step("create"), step("prune")],
        "held": [{"id": id, "action": "create", "why": {"invalid": word}}],
        "unchanged": 0, "notReady": [], "unconfirmed": [], "remarks": [word, "EVIL"],
    });
    serde_json::from_value(plan).expect("a plan")
}

/// What a renderer of Markdown takes for Markdown: the text without its fenced blocks, spans of code and `<code>`.
fn outside_of_code(text: &str) -> String {
    let mut outside = String::new();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            // A fence is closed by one at least as long, with nothing behind it.
            Some(open) if ticks >= open.len() && ticks == line.trim_end().len() => fence = None,
            Some(_) => {}
            None if ticks >= 3 && !line[ticks..].contains('`') => fence = Some(&line[..ticks]),
            None => outside.push_str(&without_spans(line)),
        }
    }
    assert_eq!(fence, None, "a block stays open: {text}");
    outside
}

/// A span of code ends at the next run of as many backticks.
fn without_spans(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    if let Some(title) = line.strip_prefix("<details><summary><code>") {
        let (title, after) = title.split_once("</code>").expect("it is closed");
        assert!(!title.contains(['<', '>']), "{line}");
        return after.to_owned();
    }
    while let Some(at) = rest.find('`') {
        out.push_str(&rest[..at]);
        let after = rest[at..].trim_start_matches('`');
        let ticks = rest.len() - at - after.len();
        let runs = after.match_indices('`').map(|(at, _)| at).filter(|at| !after[..*at].ends_with('`'));
        let close =
            runs.into_iter().find(|at| after[*at..].len() - after[*at..].trim_start_matches('`').len() == ticks);
        assert!(close.is_some(), "a span stays open: {line}");
        rest = &after[close.expect("just checked") + ticks..];
    }
    out + rest
}

#[track_caller]
fn stays_in_its_code(word: &str, fields: usize) {
    let text = markdown(&hostile(word, fields), &two_minutes);
    let outside = outside_of_code(&text);
    assert!(!outside.contains("EVIL"), "{word:?} got out:\n{outside}\n{text}");
    assert!(text.len() <= MAX_BYTES);
}

#[test]
fn a_hostile_value_does_not_leave_its_block() {
    for word in [
        "```",
        "````````",
        "```\nEVIL",
        "\r\n```\r\n# EVIL",
        "`````````EVIL",
        "`EVIL`",
        " `EVIL",
        "</code></summary></details><script>EVIL",
        "<code>EVIL</code>",
        "![EVIL](https://evil.example/x.png)",
        "@EVIL /merge EVIL",
        "\u{2028}```\u{2028}EVIL\u{202e}",
        "EVIL\u{85}```",
    ] {
        for fields in [0, 3, 50] {
            stays_in_its_code(word, fields);
        }
    }
}

proptest! {
    #[test]
    fn no_value_leaves_its_block(word in "([`~ \n\r<>&/|]{0,6}(EVIL|code|diff)?){0,6}", fields in 0_usize..30) {
        stays_in_its_code(&format!("{word}EVIL"), fields);
    }
}

#[test]
fn a_comment_is_never_too_long_and_counts_what_it_leaves_out() {
    let long = "€".repeat(500);
    let mut plan = hostile(&long, 100);
    let step = plan.steps[0].clone();
    plan.steps = (0..400)
        .map(|n| {
            let mut step = step.clone();
            step.id.name = format!("web-{n:04}");
            step
        })
        .collect();
    let text = markdown(&plan, &two_minutes);
    assert!(text.len() <= MAX_BYTES && text.len() > MAX_BYTES / 2, "{}", text.len());
    let shown = plan.steps.iter().filter(|step| text.contains(&format!("! configure {}", step.id))).count();
    assert!(shown > 0);
    // What is held and worth knowing is long too, and may be among what is left out.
    let left_out: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("**")?.split_once(" more objects are left out"))
        .and_then(|(count, _)| count.parse().ok())
        .expect("a count of what is left out");
    assert!((400..=402).contains(&(shown + left_out)), "{shown} + {left_out}");
    assert_eq!(outside_of_code(&text).matches('€').count(), 0);
}

#[test]
fn values_are_masked_by_type_as_everywhere() {
    let mut plan = hostile("x", 1);
    plan.steps[0].changes = serde_json::from_value::<Vec<_>>(Value::from(vec![
        json!({"path": "spec.template.spec.containers[web].env[A].value", "kind": "reverted", "from": "old", "to": "new"}),
        json!({"path": "spec.template.spec.containers[evil]", "kind": "intruder", "from": r#"{"env":[{"value":"old"}]}"#}),
    ]))
    .expect("changes");
    let text = markdown(&plan, &two_minutes);
    assert!(text.contains("env[A].value: ***\n") && text.contains("env[A].value: new\n"), "{text}");
    assert!(text.contains("containers[evil]: ***\n") && !text.contains("old"), "{text}");
}
