//! Several buildpacks in one image.

use crate::lifecycle::{Build, buildpacks, toml};
use serde_json::Value;
use std::collections::BTreeSet;

/// What the order chooses for a repository: who says yes, and finds what it requires at itself or before. No buildpack
/// here provides something that it does not require itself, so nobody is left out for being useless.
fn chosen(build: &Build) -> Vec<String> {
    let order = toml(&buildpacks().join("order.toml"));
    let mut provided = BTreeSet::new();
    let mut found = Vec::new();
    for entry in order["order"][0]["group"].as_array().expect("a group") {
        let name = entry["id"].as_str().and_then(|id| id.strip_prefix("toolforge/")).expect("one of ours");
        let (ran, plan) = build.detect(name);
        if ran.code != 0 {
            assert_eq!(ran.code, 100, "{name}: {ran:?}");
            continue;
        }
        let names = |key: &str| -> Vec<Value> {
            let entries = plan[key].as_array().cloned().unwrap_or_default();
            entries.iter().map(|entry| entry["name"].clone()).collect()
        };
        provided.extend(names("provides").iter().map(Value::to_string));
        if names("requires").iter().all(|required| provided.contains(&required.to_string())) {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn each_kind_of_tool_gets_its_buildpacks() {
    for (files, packs) in [
        (&["requirements.txt", "main.py", "Procfile"][..], &["python", "pip", "procfile"][..]),
        (&["requirements.txt", "poetry.lock", "pyproject.toml"], &["python", "poetry"]),
        (
            &["requirements.txt", "package.json", "Aptfile", "Procfile"],
            &["deb-packages", "python", "pip", "node", "procfile"],
        ),
        (&["index.html"], &["static"]),
        (&["index.html", "main.py"], &["python", "static"]),
        (&["www/python/src/app.py", "www/python/src/requirements.txt"], &["python", "pip", "uwsgi"]),
        (&["www/python/src/app.py", "index.html"], &["python", "static", "uwsgi"]),
        (&["package.json", "Staticfile"], &["node", "static"]),
        (&["uwsgi.ini"], &[]),
        (&["README.md", "go.mod"], &[]),
    ] {
        let build = Build::empty();
        for file in files {
            build.file(file, "");
        }
        assert_eq!(chosen(&build), packs, "{files:?}");
    }
}

#[test]
fn python_and_node_come_together_and_the_procfile_has_the_last_word() {
    let build = Build::empty();
    build.file(
        "main.py",
        "import subprocess\nprint('python,', subprocess.check_output(['node', '-p', '6 * 7'], text=True))\n",
    );
    build.file("package.json", "{\"scripts\": {\"start\": \"node\"}}").file("Procfile", "web: python main.py\n");
    let packs = chosen(&build);
    assert_eq!(packs, ["python", "node", "procfile"]);
    let packs: Vec<_> = packs.iter().map(String::as_str).collect();
    build.build(&packs).good();
    let words = build.process(&packs, "web");
    assert_eq!(words, ["bash", "-c", "python main.py"]);
    assert_eq!(build.prints(&packs, &words), "python, 42\n\n");
}
