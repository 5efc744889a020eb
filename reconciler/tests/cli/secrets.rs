//! `secrets` and the search for credentials, on files alone.

use crate::harness::{Ran, command, folder, ran, toolforge};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

const TOOL: &str = "components:\n  web: {run: {command: web}, secrets: [API_KEY, ELSEWHERE]}\n";

/// The command with this on its stdin.
fn fed(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut child = command(folder, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    ran(child.wait_with_output().expect("it ends"))
}

/// A tool beside the settings of a platform, and the identity that opens its values.
fn stage() -> tempfile::TempDir {
    let stage = folder(&[("wordcount/toolforge.yaml", TOOL)]);
    let made = toolforge(stage.path(), &["secrets", "keygen"]);
    let public = made.out.split_whitespace().find(|word| word.starts_with("age1")).expect("a public key").to_owned();
    assert!(made.err.contains(&public) && !made.err.contains("AGE-SECRET-KEY-"), "{made:#?}");
    fs::write(stage.path().join("identity"), &made.out).expect("written");
    let platform = format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {{name: tools}}\nspec:\n  domain: tools.example.org\n  secrets: {{recipients: [{public}]}}\n"
    );
    fs::write(stage.path().join("platform.yaml"), platform).expect("written");
    stage
}

fn set(tool: &Path, key: &str, value: &str) -> Ran {
    fed(tool, &["secrets", "set", key, "--platform", "../platform.yaml"], value)
}

fn get(tool: &Path, key: &str) -> Ran {
    toolforge(tool, &["secrets", "get", key, "--identity", "../identity"])
}

#[test]
fn a_value_is_set_without_a_key_and_read_only_with_one() {
    let stage = stage();
    let tool = stage.path().join("wordcount");
    let told = set(&tool, "API_KEY", "canary line one\nline two\n");
    assert_eq!(told.exit, 0, "{told:#?}");
    let text = fs::read_to_string(tool.join("toolforge.secrets.yaml")).expect("it was written");
    assert!(text.contains("  API_KEY: |\n    -----BEGIN AGE ENCRYPTED FILE-----\n"), "{text}");
    assert!(!format!("{text}{told:?}").contains("canary"), "{told:#?}");
    assert_eq!(get(&tool, "API_KEY").out, "canary line one\nline two\n");
    // The file says for whom: the platform need not be named again.
    assert_eq!(fed(&tool, &["secrets", "set", "OTHER"], "two").exit, 0);
    assert_eq!(get(&tool, "OTHER").out, "two\n");

    let keyless = toolforge(&tool, &["secrets", "get", "API_KEY"]);
    assert_eq!(keyless.exit, 2);
    assert!(keyless.err.contains("needs the identity of a recipient"), "{keyless:#?}");
    fs::write(tool.join("stranger"), toolforge(&tool, &["secrets", "keygen"]).out).expect("written");
    let stranger = toolforge(&tool, &["secrets", "get", "API_KEY", "--identity", "stranger"]);
    assert_eq!((stranger.exit, stranger.out.as_str()), (2, ""), "{stranger:#?}");

    let listed = toolforge(&tool, &["secrets", "list", "--json"]).json();
    let row =
        |key: &str, declared: bool, state: &str| serde_json::json!({"key": key, "declared": declared, "state": state});
    let rows =
        [row("API_KEY", true, "encrypted"), row("ELSEWHERE", true, "elsewhere"), row("OTHER", false, "encrypted")];
    assert_eq!(listed, serde_json::Value::from(rows.to_vec()));
}

#[test]
fn a_new_recipient_reads_what_was_encrypted_anew_and_a_removed_one_nothing_new() {
    let stage = stage();
    let tool = stage.path().join("wordcount");
    set(&tool, "API_KEY", "canary");
    let mine = toolforge(&tool, &["secrets", "keygen"]).out;
    fs::write(stage.path().join("mine"), &mine).expect("written");
    let public = mine.split_whitespace().find(|word| word.starts_with("age1")).expect("a public key");
    let with = |identity: &str, arguments: &[&str]| {
        let all: Vec<&str> = arguments.iter().copied().chain(["--identity", identity]).collect();
        toolforge(&tool, &all)
    };
    assert_eq!(toolforge(&tool, &["secrets", "recipients", "add", public]).exit, 0);
    assert_eq!(with("../mine", &["secrets", "get", "API_KEY"]).exit, 2, "it was encrypted before");
    assert_eq!(with("../identity", &["secrets", "rotate"]).exit, 0);
    assert_eq!(with("../mine", &["secrets", "get", "API_KEY"]).out, "canary\n");
    assert_eq!(toolforge(&tool, &["secrets", "recipients", "remove", public]).exit, 0);
    assert_eq!(with("../mine", &["secrets", "rotate"]).exit, 0);
    assert_eq!(with("../mine", &["secrets", "get", "API_KEY"]).exit, 2);
    assert_eq!(get(&tool, "API_KEY").out, "canary\n");
    let wrong = toolforge(&tool, &["secrets", "recipients", "add", "age1x"]);
    assert_eq!(wrong.exit, 2, "{wrong:#?}");
}

#[test]
fn an_editor_changes_a_value_and_leaves_nothing_behind() {
    let stage = stage();
    let tool = stage.path().join("wordcount");
    set(&tool, "API_KEY", "before");
    let edit = |editor: &str| {
        let output = command(&tool, &["secrets", "edit", "API_KEY", "--identity", "../identity"])
            .env("VISUAL", editor)
            .output()
            .expect("it runs");
        ran(output)
    };
    let told = edit("sh -c 'echo \"$1\" > seen; stat -c %a \"$1\" >> seen; echo after > \"$1\"' sh");
    assert_eq!(told.exit, 0, "{told:#?}");
    assert_eq!(get(&tool, "API_KEY").out, "after\n");
    let seen = fs::read_to_string(tool.join("seen")).expect("what the editor saw");
    let (path, mode) = seen.trim().split_once('\n').expect("two lines");
    assert!(mode == "600" && !Path::new(path).exists(), "{seen}");
    assert_eq!(edit("false").exit, 3);
    assert_eq!(get(&tool, "API_KEY").out, "after\n");
}

#[test]
fn what_can_be_no_value_is_refused_and_the_file_stays() {
    let stage = stage();
    let tool = stage.path().join("wordcount");
    set(&tool, "API_KEY", "canary");
    let before = fs::read(tool.join("toolforge.secrets.yaml")).expect("the file");
    for (key, value, why) in [
        ("API_KEY", "", "no value was given"),
        ("API_KEY", &"x".repeat(20_000), "at most 16384"),
        ("API_KEY", "a\0b", "NUL"),
        ("hunter2 canary", "x", "the place of the variable's name"),
    ] {
        let told = set(&tool, key, value);
        assert!(told.exit == 2 && told.err.contains(why), "{told:#?}");
    }
    // A broken value is told, and nothing is written over it.
    let broken = String::from_utf8(before.clone()).expect("text").replace("    -----END", "    canary-----END");
    fs::write(tool.join("toolforge.secrets.yaml"), &broken).expect("written");
    let told = set(&tool, "OTHER", "x");
    assert!(told.exit == 2 && told.err.contains("`API_KEY`") && !told.err.contains("canary"), "{told:#?}");
    assert_eq!(fs::read_to_string(tool.join("toolforge.secrets.yaml")).expect("the file"), broken);
    assert_eq!(set(&tool, "API_KEY", "again").exit, 0);
}

#[test]
fn check_refuses_credentials_that_git_would_take_in_and_prints_none() {
    let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let python = format!("import os\nTOKEN = \"{token}\"\n");
    let stage = folder(&[
        ("toolforge.yaml", "components:\n  web: {run: {command: web}}\n"),
        ("src/app.py", &python),
        (".env", &format!("TOKEN={token}\n")),
        (".gitignore", ".env\n"),
    ]);
    let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(stage.path()).status();
    assert!(git.expect("git runs").success());
    let told = toolforge(stage.path(), &["check"]);
    assert_eq!(told.exit, 2, "{told:#?}");
    assert!(
        told.err.contains("src/app.py:2:10") && told.err.contains("a GitHub token stands in the clear"),
        "{told:#?}"
    );
    assert!(!told.err.contains(".env"), "what git ignores is where it belongs: {told:#?}");
    assert!(!format!("{told:?}").contains(&token[8..20]), "{told:#?}");
    let json = command(stage.path(), &["check", "--json"]).output().expect("it runs");
    assert!(!String::from_utf8_lossy(&json.stdout).contains(&token[8..20]));
    fs::write(stage.path().join("src/app.py"), python.replace("\"\n", "\"  # not a secret\n")).expect("written");
    assert_eq!(toolforge(stage.path(), &["check"]).exit, 0);
}

#[test]
fn a_secret_in_the_wrong_place_of_the_command_line_is_known_for_one_and_not_repeated() {
    let stage = stage();
    let tool = stage.path().join("wordcount");
    set(&tool, "API_KEY", "canary");
    let whole = fs::read_to_string(stage.path().join("identity")).expect("the identity");
    let key = whole.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).expect("its secret half");
    let public = whole.split_whitespace().find(|word| word.starts_with("age1")).expect("its public half");
    let refused = |told: Ran, says: &[&str], hidden: &str| {
        assert_eq!((told.exit, told.out.as_str()), (2, ""), "{told:#?}");
        assert!(says.iter().all(|words| told.err.contains(words)), "{says:?}: {told:#?}");
        assert!(!told.err.to_uppercase().contains(&hidden.to_uppercase()), "{told:#?}");
    };
    let get = ["secrets", "get", "API_KEY"];
    let named = [&get[..], &["-i", key]].concat();
    refused(toolforge(&tool, &named), &["not the file of one", "`--identity FILE`"], &key[15..25]);
    for held in [key, &whole, &key.to_lowercase()] {
        let told = command(&tool, &get).env("TOOLFORGE_IDENTITY", held).output().expect("it runs");
        refused(ran(told), &["not the file of one", "`export TOOLFORGE_IDENTITY=FILE`"], &key[15..25]);
    }
    for change in ["add", "remove"] {
        let next = format!("`toolforge secrets recipients {change} {public}`");
        refused(
            toolforge(&tool, &["secrets", "recipients", change, key]),
            &["not its public half", &next],
            &key[15..25],
        );
    }
    let piped = "`printf %s \"$VALUE\" | toolforge secrets set API_KEY`";
    for value in [&["API_KEY=hunter2"][..], &["API_KEY", "hunter2"], &["API_KEY", "--", "-hunter2", "x"]] {
        refused(
            toolforge(&tool, &[&["secrets", "set"], value].concat()),
            &["stands on the command line", piped],
            "unter2",
        );
    }
    for command in ["get", "rm", "edit", "set"] {
        refused(
            toolforge(&tool, &["secrets", command, "API_KEY=hunter2"]),
            &["toolforge secrets set API_KEY"],
            "unter2",
        );
        refused(toolforge(&tool, &["secrets", command, "hunter2!"]), &["`API_KEY`"], "unter2");
        refused(toolforge(&tool, &["secrets", command, "api-key"]), &["Write `API_KEY`"], "canary");
    }
}

#[test]
fn a_token_in_the_place_of_a_name_is_shown_in_no_part_of_a_report() {
    let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let text =
        format!("components:\n  {token}: {{run: {{command: web, cpu: {token}}}}}\n  web: {{run: {{command: web}}}}\n");
    let stage = folder(&[("toolforge.yaml", &text)]);
    for arguments in [&["check"][..], &["check", "--json"], &["render"], &["check", &token], &["status", &token]] {
        let told = toolforge(stage.path(), arguments);
        assert_eq!(told.exit, 2, "{told:#?}");
        assert!(format!("{told:?}").contains("***"), "{told:#?}");
        assert!(!format!("{told:?}").to_lowercase().contains("c3d4e5"), "{told:#?}");
    }
}

#[test]
fn a_folder_that_is_no_git_work_tree_is_searched_too_and_login_files_are_known() {
    let stage = folder(&[
        ("toolforge.yaml", "components:\n  web: {run: {command: web}}\n"),
        ("keys/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n"),
        ("replica.my.cnf", "[client]\nuser = s51234\npassword = canarycanary\n"),
        (".netrc", "machine h login me password canary\n"),
        (".docker/config.json", "{\"auths\": {\"r.example\": {\n\"auth\": \"bWU6Y2FuYXJ5MQ==\"}}}\n"),
        ("node_modules/x/id_rsa", "-----BEGIN RSA PRIVATE KEY-----\n"),
    ]);
    let told = toolforge(stage.path(), &["check"]);
    assert_eq!(told.exit, 2, "{told:#?}");
    for place in ["./keys/id_ed25519:1:1", "./replica.my.cnf:3:12", "./.netrc:1:29", "./.docker/config.json:2:10"] {
        assert!(told.err.contains(place), "{place}: {told:#?}");
    }
    assert!(told.out.ends_with(": 4 errors\n") && !format!("{told:?}").contains("canary"), "{told:#?}");
    let broken = folder(&[("toolforge.yaml", "components:\n  web: {run: {command: web}}\n")]);
    let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(broken.path()).status();
    assert!(git.expect("git runs").success());
    let told = ran(command(broken.path(), &["check"]).env("PATH", "/nowhere").output().expect("it runs"));
    assert!(told.exit == 0 && told.err.contains("nothing was searched for credentials"), "{told:#?}");
}

#[test]
fn a_name_that_somebody_else_sets_is_refused_before_a_value_is_asked_for() {
    let stage = stage();
    let (tool, settings) = (stage.path().join("wordcount"), stage.path().join("platform.yaml"));
    let with = fs::read_to_string(&settings).expect("the settings").replace(
        "  secrets: {",
        "  credentials:\n    TOOL_DB_USER: {secret: toolsdb.<tool>, key: user}\n  secrets: {keys: k, ",
    );
    fs::write(&settings, with).expect("written");
    for (key, hint) in [("PORT", "`port:` under `run:`"), ("HOME", "another name"), ("TOOL_DB_USER", "another name")] {
        let told = set(&tool, key, "canary");
        assert_eq!((told.exit, told.out.as_str()), (2, ""), "{told:#?}");
        assert!(told.err.contains(&format!("`{key}` is reserved")) && told.err.contains(hint), "{told:#?}");
        assert!(!tool.join("toolforge.secrets.yaml").exists());
    }
    assert_eq!(set(&tool, "API_KEY", "canary").exit, 0);
}

#[test]
fn a_value_says_for_which_tool_it_is_and_none_is_set_for_a_tool_without_a_name() {
    let stage = stage();
    let named = stage.path().join("src");
    let nameless = stage.path().join("My Tool");
    for folder in [&named, &nameless] {
        fs::create_dir(folder).expect("a folder");
        fs::write(folder.join("toolforge.yaml"), TOOL).expect("written");
    }
    let told = set(&named, "API_KEY", "canary");
    assert!(told.out.contains("for tool src of platform tools, encrypted to 1 recipient\n"), "{told:#?}");
    let told = set(&nameless, "API_KEY", "canary");
    assert_eq!((told.exit, told.out.as_str()), (2, ""), "{told:#?}");
    assert!(told.err.contains("`--tool NAME`") && !nameless.join("toolforge.secrets.yaml").exists(), "{told:#?}");
    let arguments = ["secrets", "set", "API_KEY", "--platform", "../platform.yaml", "--tool", "wordcount"];
    let told = fed(&nameless, &arguments, "canary");
    assert!(told.out.contains("for tool wordcount of platform tools"), "{told:#?}");
    // What is changed stays whose it was, and reading it needs no name.
    assert_eq!(get(&nameless, "API_KEY").out, "canary\n");
    let editor = "sh -c 'echo after > \"$1\"' sh";
    let edit = command(&nameless, &["secrets", "edit", "API_KEY", "-i", "../identity"]).env("EDITOR", editor).output();
    let edited = ran(edit.expect("it runs"));
    assert!(edited.exit == 0 && edited.out.contains("for tool wordcount of platform tools"), "{edited:#?}");
    let json = fed(&named, &["secrets", "set", "OTHER", "--json"], "x").json();
    assert_eq!((&json["platform"], &json["tools"]), (&"tools".into(), &serde_json::json!(["src"])));
}

#[test]
fn the_platforms_own_key_is_not_removed_by_mistake_and_check_says_where_it_is_missing() {
    let stage = stage();
    let tool = stage.path().join("wordcount");
    set(&tool, "API_KEY", "canary");
    let run = |arguments: &[&str]| toolforge(&tool, arguments);
    let own = run(&["secrets", "recipients"]).out.trim().to_owned();
    let mine = run(&["secrets", "keygen", "--json"]).json()["recipient"].as_str().expect("a key").to_owned();
    let added = run(&["secrets", "recipients", "add", &mine]);
    assert_eq!((added.exit, added.out.as_str()), (0, "./toolforge.secrets.yaml has 2 recipients\n"), "{added:#?}");
    let check = ["check", "--platform", "../platform.yaml"];
    assert!(!run(&check).err.contains("recipients"), "{:#?}", run(&check));
    let refused = run(&["secrets", "recipients", "remove", &own]);
    assert!(
        refused.exit == 2 && refused.err.contains("platform tools") && refused.err.contains("`--force`"),
        "{refused:#?}"
    );
    let forced = run(&["secrets", "recipients", "remove", &own, "--force"]);
    assert_eq!((forced.exit, forced.out.as_str()), (0, "./toolforge.secrets.yaml has 1 recipient\n"), "{forced:#?}");
    let told = run(&check);
    let next = format!("`toolforge secrets recipients add {own}`");
    assert!(told.err.contains("no public key of platform tools is among its recipients"), "{told:#?}");
    assert!(told.exit == 0 && told.err.contains(&next), "{told:#?}");
    let settings = fs::read_to_string(stage.path().join("platform.yaml")).expect("the settings");
    fs::write(stage.path().join("other.yaml"), settings.replace("name: tools", "name: other")).expect("written");
    let told = run(&["check", "--platform", "../other.yaml"]);
    assert!(told.exit == 2 && told.err.contains("for platform tools, not for other"), "{told:#?}");
}

#[test]
fn what_is_misspelt_missing_or_broken_is_told_with_a_next_step() {
    let stage = stage();
    let tool = stage.path().join("wordcount");
    let run = |arguments: &[&str]| toolforge(&tool, &[&["secrets"], arguments].concat());
    let nobody = run(&["set", "API_KEY", "--sandbox-folder", "../sandbox"]);
    assert!(
        nobody.exit == 2 && nobody.err.contains("`--platform FILE`") && !nobody.err.contains("--config"),
        "{nobody:#?}"
    );
    set(&tool, "API_KEY", "canary");
    for (arguments, says) in [
        (&["get", "API_KYE", "-i", "../identity"][..], "Did you mean `API_KEY`?"),
        (&["rm", "API_KYE"], "Did you mean `API_KEY`?"),
        (&["get", "API_KEY", "-i", "../nope"], "`toolforge secrets keygen`"),
        (&["rotate", "-i", "../identity", "--platform", "../nope"], "`platform.yaml`"),
    ] {
        let told = run(arguments);
        assert!(told.exit == 2 && told.err.contains(says), "{says}: {told:#?}");
    }
    assert_eq!(run(&["list"]).exit, 0);
    let file = tool.join("toolforge.secrets.yaml");
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(&file, text.replace("    -----END", "    x-----END")).expect("written");
    for arguments in [&["list"][..], &["list", "--json"]] {
        let told = run(arguments);
        assert!(told.exit == 2 && told.out.contains("flawed"), "{told:#?}");
    }
    fs::write(&file, text.replace("recipients:\n", &format!("recipients:\n{}", "  - age1x\n".repeat(50_000))))
        .expect("written");
    let told = run(&["list"]);
    assert!(told.exit == 2 && told.err.contains("20 recipients"), "{told:#?}");
}
