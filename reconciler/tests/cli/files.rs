//! The commands that work on files alone: what they print where, and how they end.

use crate::harness::{command, examples, folder, ran, toolforge};
use std::fs;
use std::process::Stdio;

const GOOD: &str = "\
config_version: v1beta1
components:
  web:
    image: registry.example/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    run: {command: web, port: 8000, publish: /}
";
const NOTED: &str = "\
components:
  nightly:
    component_type: scheduled
    run: {command: nightly, schedule: '17 3 * * *'}
";
const BAD: &str = "components: {web: {run: {command: web, memroy: 1Gi}}}\n";

#[test]
fn check_tells_findings_on_stderr_and_the_summary_on_stdout() {
    let good = folder(&[("toolforge.yaml", GOOD)]);
    let ran = toolforge(good.path(), &["check", "--tool", "wordcount"]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:#?}");
    assert!(ran.out.contains("web") && ran.out.ends_with("./toolforge.yaml: good\n"), "{ran:#?}");

    let bad = folder(&[("toolforge.yaml", BAD)]);
    let ran = toolforge(bad.path(), &["check"]);
    assert_eq!(ran.exit, 2);
    assert!(ran.err.contains("error[unknown-key]") && ran.err.contains("toolforge.yaml:1:"), "{ran:#?}");
    assert!(ran.err.contains("hint: Did you mean `memory`?"), "{ran:#?}");
    assert!(ran.out.contains("withheld"), "{ran:#?}");
}

#[test]
fn notes_fail_only_where_that_is_asked_for() {
    let noted = folder(&[("toolforge.yaml", NOTED)]);
    let ran = toolforge(noted.path(), &["check"]);
    assert_eq!(ran.exit, 0, "{ran:#?}");
    assert!(ran.err.contains("note[no-timeout]"), "{ran:#?}");
    assert_eq!(toolforge(noted.path(), &["check", "--strict"]).exit, 2);
}

/// What operators write is judged where they write it, and holds tools where maintainers check them.
#[test]
fn check_judges_the_operators_own_rules_and_by_them() {
    let rule = include_str!("../../../policy/tests/own/few.yaml");
    let cases = include_str!("../../../policy/tests/own/few.cases.yaml");
    let many = GOOD.replace("publish: /", "publish: /, replicas: 5");
    let home = |rule: &str, cases: &str| {
        let platform =
            "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {name: p}\nspec: {domain: d.example}\n";
        folder(&[
            ("config/platform.yaml", platform),
            ("config/policies/few.yaml", rule),
            ("config/policies/few.cases.yaml", cases),
            ("many/toolforge.yaml", &many),
        ])
    };
    let good = home(rule, cases);
    assert_eq!(toolforge(good.path(), &["check", "config"]).exit, 0);
    let ran = toolforge(good.path(), &["check", "many", "--platform", "config/platform.yaml"]);
    assert_eq!(ran.exit, 2, "{ran:#?}");
    assert!(
        ran.err.contains("error[denied]: rule few-replicas refuses") && ran.err.contains("toolforge.yaml:5:"),
        "{ran:#?}"
    );
    assert!(ran.err.contains("`policies/few.yaml`") && ran.out.contains("withheld"), "{ran:#?}");
    assert_eq!(toolforge(good.path(), &["check", "many"]).exit, 0, "without the platform nobody knows its rules");

    let broken = home(&rule.replace("object.spec", "objct.spec"), cases);
    for arguments in [&["check", "config"][..], &["check", "many", "--platform", "config/platform.yaml"]] {
        let ran = toolforge(broken.path(), arguments);
        assert_eq!(ran.exit, 2, "{ran:#?}");
        assert!(ran.err.contains("policies/few.yaml:") && ran.err.contains("Did you mean `object`"), "{ran:#?}");
    }
    let wrong = toolforge(home(&rule.replace("<= 3", "<= 9"), cases).path(), &["check", "config"]);
    assert!(wrong.exit == 2 && wrong.err.contains("is allowed, but was expected to be denied"), "{wrong:#?}");
}

#[test]
fn check_understands_a_config_repository_and_each_of_its_files() {
    let ran = toolforge(&examples(), &["check", "platform"]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:#?}");
    assert!(ran.out.contains("tools/wordcount.yaml") && ran.out.ends_with("files, all good\n"), "{ran:#?}");
    for file in ["platform/platform.yaml", "platform/tools/quizzer.yaml"] {
        assert_eq!(toolforge(&examples(), &["check", file]).exit, 0, "{file}");
    }
    let broken = folder(&[
        (
            "platform.yaml",
            "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {name: p}\nspec: {domain: d.example}\n",
        ),
        (
            "tools/a.yaml",
            "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {name: b}\nspec: {repository: 'https://g.example/a'}\n",
        ),
        ("tools/c.yaml", "kind: Pod\n"),
    ]);
    let ran = toolforge(broken.path(), &["check"]);
    assert_eq!(ran.exit, 2);
    assert!(ran.err.contains("name-mismatch") && ran.err.contains("tools/a.yaml:3"), "{ran:#?}");
    assert!(ran.out.contains("2 wrong"), "{ran:#?}");
}

#[test]
fn what_is_no_file_of_ours_is_said_with_a_next_step() {
    let empty = folder(&[]);
    let cases: [(&[&str], &str, &str); 3] = [
        (&["check"], "has no toolforge.yaml", "hint: Run `toolforge init`"),
        (&["check", "nowhere.yaml"], "nowhere.yaml does not exist", "hint: Name a toolforge.yaml"),
        (&["render", "nowhere"], "nowhere does not exist", "hint: "),
    ];
    for (arguments, message, hint) in cases {
        let ran = toolforge(empty.path(), arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (2, ""), "{ran:#?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(message) && ran.err.contains(hint), "{ran:#?}");
    }
    let misnamed = folder(&[("toolforge.yml", GOOD)]);
    let ran = toolforge(misnamed.path(), &["check"]);
    assert!(ran.err.contains("hint: Rename toolforge.yml to toolforge.yaml."), "{ran:#?}");
}

#[test]
fn garbage_is_a_finding_and_not_a_crash() {
    let folder = folder(&[]);
    let garbage: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for (bytes, says) in [
        (garbage, "error[not-utf8]"),
        (vec![b'['; 100_000], "error[yaml-too-deep]"),
        (vec![b'a'; 2 << 20], "toolforge.yaml is larger than"),
    ] {
        fs::write(folder.path().join("toolforge.yaml"), bytes).expect("a file");
        for subcommand in ["check", "render"] {
            let ran = toolforge(folder.path(), &[subcommand]);
            assert_eq!(ran.exit, 2, "{says}: {ran:#?}");
            assert!(ran.err.contains(says), "{ran:#?}");
            assert!(ran.err.len() < 4_000, "{says}: a short answer, not the file");
        }
    }
    let ran = toolforge(folder.path(), &["check", "/dev/zero"]);
    assert_eq!(ran.exit, 2, "{ran:#?}");
    assert!(ran.err.contains("/dev/zero is larger than"), "{ran:#?}");
}

#[test]
fn render_prints_objects_and_leaves_no_placeholder_in_them() {
    let good = folder(&[("toolforge.yaml", GOOD)]);
    let ran = toolforge(good.path(), &["render", "--tool", "wordcount"]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:#?}");
    for line in ["kind: Namespace", "kind: Deployment", "namespace: tool-wordcount", "registry.example/x@sha256:"] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    assert!(!ran.out.contains("toolforge.invalid"), "{}", ran.out);
    let again = toolforge(good.path(), &["render", "--tool", "wordcount"]);
    assert_eq!(again.out, ran.out, "the same input gives the same bytes");
    let operators = toolforge(&examples(), &["render", "platform"]);
    assert_eq!(operators.exit, 2, "{operators:#?}");
    assert!(operators.err.contains("hint: Run `toolforge check`"), "{operators:#?}");
}

#[test]
fn init_writes_what_check_accepts_and_never_over_a_file() {
    let cases: [&[(&str, &str)]; 3] = [
        &[],
        &[("Procfile", "web: node server.js\nworker: node worker.js\n")],
        &[("service.template", "type: python3.11\ncpu: 1\nmem: 1Gi\n")],
    ];
    for files in cases {
        let folder = folder(files);
        let ran = toolforge(folder.path(), &["init"]);
        assert_eq!(ran.exit, 0, "{files:?}: {ran:#?}");
        assert!(ran.out.starts_with("wrote ./toolforge.yaml from "), "{ran:#?}");
        assert!(ran.err.contains("hint: Run `toolforge check`"), "{ran:#?}");
        let checked = toolforge(folder.path(), &["check"]);
        assert_eq!(checked.exit, 0, "{files:?}: {checked:#?}");

        fs::write(folder.path().join("toolforge.yaml"), "mine\n").expect("a file");
        let again = toolforge(folder.path(), &["init"]);
        assert_eq!(again.exit, 2, "{again:#?}");
        assert!(again.err.contains("exists already") && again.err.contains("--force"), "{again:#?}");
        assert_eq!(fs::read_to_string(folder.path().join("toolforge.yaml")).expect("the file"), "mine\n");
        assert_eq!(toolforge(folder.path(), &["init", "--force"]).exit, 0);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_a_failure_that_names_it() {
    let folder = folder(&[("toolforge.yaml.new/in-the-way", "")]);
    let ran = toolforge(folder.path(), &["init"]);
    assert_eq!((ran.exit, ran.out.as_str()), (3, ""), "{ran:#?}");
    assert!(ran.err.contains("cannot write ./toolforge.yaml"), "{ran:#?}");
    assert!(!folder.path().join("toolforge.yaml").exists());
    let ran = toolforge(folder.path(), &["init", "nowhere"]);
    assert_eq!(ran.exit, 2, "{ran:#?}");
}

#[test]
fn a_closed_or_full_stdout_ends_quietly_or_with_a_reason() {
    let good = folder(&[("toolforge.yaml", GOOD)]);
    for arguments in [&["render"][..], &["check"], &["schema"], &["completions", "bash"]] {
        let mut child = command(good.path(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take());
        let ran = ran(child.wait_with_output().expect("an end"));
        assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{arguments:?}: {ran:#?}");
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("the device");
    let ran = ran(command(good.path(), &["render"]).stdout(full).output().expect("the binary runs"));
    assert_eq!(ran.exit, 3, "{ran:#?}");
    assert!(ran.err.contains("cannot write to stdout: no space left"), "{ran:#?}");
}

#[test]
fn json_is_json_on_stdout_for_every_command() {
    let good = folder(&[("toolforge.yaml", GOOD)]);
    let cases: [&[&str]; 4] = [&["check"], &["render"], &["schema"], &["completions", "fish"]];
    for arguments in cases {
        let ran = toolforge(good.path(), &[arguments, &["--json"]].concat());
        assert_eq!(ran.exit, 0, "{arguments:?}: {ran:#?}");
        ran.json();
    }
    let fresh = folder(&[]);
    assert_eq!(toolforge(fresh.path(), &["init", "--json"]).json()["from"], "the starter");
    let bad = folder(&[("toolforge.yaml", BAD)]);
    let ran = toolforge(bad.path(), &["--json", "check"]);
    assert_eq!(ran.err, "", "what is wrong stands in the JSON: {ran:#?}");
    let found = ran.json();
    assert_eq!(found["good"], false);
    assert_eq!(found["diagnostics"][0]["code"], "unknown-key");
    let all = toolforge(&examples(), &["check", "platform", "--json"]).json();
    assert!(all.as_array().is_some_and(|files| files.len() >= 7), "{all}");
}

#[test]
fn colour_comes_only_where_it_is_asked_for() {
    let bad = folder(&[("toolforge.yaml", BAD)]);
    let ran = toolforge(bad.path(), &["check"]);
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{ran:#?}");
    let ran = toolforge(bad.path(), &["check", "--color", "always"]);
    assert!(ran.out.contains('\u{1b}') && ran.err.contains('\u{1b}'), "{ran:#?}");
    let ran = toolforge(bad.path(), &["check", "--color", "always", "--json"]);
    assert!(!ran.out.contains('\u{1b}'), "JSON is never coloured: {ran:#?}");
}

#[test]
fn a_file_that_is_too_large_is_named_and_told_in_json_too() {
    let large = folder(&[("toolforge.yaml", &"#".repeat(5 << 20))]);
    for path in ["./", "./toolforge.yaml"] {
        let told = toolforge(large.path(), &["check", "--json", path]);
        assert_eq!((told.exit, told.json()["good"].as_bool()), (2, Some(false)), "{told:#?}");
        assert!(told.err.contains("./toolforge.yaml is larger than") && told.err.contains("hint: "), "{told:#?}");
    }
}

#[test]
fn what_is_installed_is_named_by_its_digest() {
    let folder = folder(&[]);
    for image in ["x", "x:1", "x@sha256:1", "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
    {
        let told = toolforge(folder.path(), &["install", "config", "--print", "--image", image]);
        assert!(told.exit == 2 && told.err.contains("names no digest"), "{told:#?}");
    }
}
