//! The buildpacks `pip`, `poetry` and `uwsgi`: Python packages in layers.

use crate::lifecycle::{Build, bill, terminate};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

const PIP: &[&str] = &["python", "pip"];
const POETRY: &[&str] = &["python", "poetry"];

/// Writes the wheel of `tiny` into this folder.
fn wheel(folder: &Path, version: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/buildpacks/wheel.py");
    let done = Command::new("/usr/bin/python3").arg(script).arg(folder).arg(version).status().expect("python3 runs");
    assert!(done.success());
}

/// A build whose package index is one folder with two versions of `tiny`.
fn offline(mut build: Build) -> Build {
    let wheels = build.beside("wheels");
    wheel(&wheels, "1.0");
    wheel(&wheels, "2.0");
    let wheels = wheels.to_str().expect("a path of text").to_owned();
    build.set("PIP_NO_INDEX", "1").set("PIP_FIND_LINKS", &wheels);
    build
}

fn python(build: &Build, packs: &[&str], file: &str) -> String {
    build.prints(packs, &["python".to_owned(), file.to_owned()])
}

#[test]
fn requirements_become_a_layer_that_is_made_again_only_when_they_change() {
    let build = offline(Build::sample("pip", "wordcount"));
    let first = build.build(PIP).good();
    assert!(first.out.contains("packages installed: 1"), "{first:?}");
    assert_eq!(python(&build, PIP, "main.py"), "tiny 1.0\n");
    assert_eq!(bill(&build.layers("pip").join("venv.sbom.cdx.json")), ["pkg:pypi/tiny@1.0"]);
    let layers = build.layers_of("pip");
    assert_eq!(layers["venv"]["types"], serde_json::json!({"launch": true, "build": true, "cache": true}));
    // Whoever made the layer again would lose this.
    let mark = build.layers("pip").join("venv/mark");
    std::fs::write(&mark, "").expect("a file");
    build.file("main.py", "import tiny\nprint('other code', tiny.VERSION)\n");
    let second = build.build(PIP).good();
    assert!(second.out.contains("the packages of the last build are used") && mark.exists(), "{second:?}");
    assert_eq!(python(&build, PIP, "main.py"), "other code 1.0\n");
    assert_eq!(build.layers_of("pip"), layers);
    // Not requirements.txt changes, but a file that it names.
    build.file("base.txt", "tiny==2.0\n").build(PIP).good();
    assert!(!mark.exists());
    assert_eq!(python(&build, PIP, "main.py"), "other code 2.0\n");
    assert_eq!(bill(&build.layers("pip").join("venv.sbom.cdx.json")), ["pkg:pypi/tiny@2.0"]);
}

#[test]
fn bytecode_is_not_judged_by_times() {
    let build = offline(Build::sample("pip", "wordcount"));
    build.build(PIP).good();
    let find = "find . -name 'tiny.*.pyc' | xargs -d '\\n' head -qc 8 | od -An -tu4 | awk '{ print $2 }'";
    let out = Command::new("sh").args(["-c", find]).current_dir(build.layers("pip")).output().expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "1\n", "the second word of a .pyc: by hash, unchecked");
}

#[test]
fn requirements_whose_content_is_decided_elsewhere_are_not_reused() {
    for line in ["./tiny-1.0-py3-none-any.whl", "tiny @ file://WHEELS/tiny-1.0-py3-none-any.whl"] {
        let build = offline(Build::empty());
        wheel(&build.app, "1.0");
        let wheels = build.beside("wheels").display().to_string();
        build.file("requirements.txt", format!("{}\n", line.replace("WHEELS", &wheels)));
        build.build(PIP).good();
        let again = build.build(PIP).good();
        assert!(
            again.out.contains("installing requirements.txt") && again.err.contains("nothing is reused"),
            "{again:?}"
        );
    }
}

#[test]
fn what_pip_could_not_install_is_named_with_its_last_lines() {
    let build = offline(Build::empty());
    build.file("requirements.txt", "tinny==9\n").build(PIP).fails_with(&[
        "pip install failed; its last lines:",
        "no release of tinny==9 fits",
        "Check the spelling of tinny==9",
    ]);
    assert!(build.layers_of("pip").is_empty(), "half a layer is none");
    build.file("requirements.txt", "tiny=>1\n").build(PIP).fails_with(&["Invalid requirement"]);
    build.file("requirements.txt", "tiny==1.0\n").build(PIP).good();
}

#[test]
fn requirements_out_of_the_tree_are_not_read() {
    let build = offline(Build::empty());
    std::fs::write(build.beside("other").join("requirements.txt"), "tiny\n").expect("a file");
    symlink("../other/requirements.txt", build.app.join("requirements.txt")).expect("a link");
    build.build(PIP).fails_with(&["requirements.txt is a link out of the repository"]);
    std::fs::remove_file(build.app.join("requirements.txt")).expect("removed");
    build.file("requirements.txt", "-r ../other/requirements.txt\n");
    build.build(PIP).fails_with(&["../other/requirements.txt is a link out of the repository"]);
    build.file("requirements.txt", "-r requirements.txt\n-r base.txt\n").file("base.txt", "--constraint=x\n");
    build.build(PIP).fails_with(&["./x is a link that leads nowhere"]);
}

#[test]
fn a_lock_of_poetry_says_more_than_requirements() {
    let build = Build::sample("poetry", "counter");
    let (ran, _) = build.file("requirements.txt", "tiny\n").detect("pip");
    assert_eq!(ran.code, 100, "{ran:?}");
    std::fs::remove_file(build.app.join("poetry.lock")).expect("removed");
    build.build(POETRY).fails_with(&["poetry.lock is missing", "Run `poetry lock`"]);
}

/// Reaches the package index, for poetry itself.
#[test]
fn a_lock_of_poetry_becomes_a_layer_that_is_made_again_only_when_it_changes() {
    let build = Build::sample("poetry", "counter");
    let wheels = build.app.join("wheels");
    std::fs::create_dir(&wheels).expect("a folder");
    wheel(&wheels, "1.0");
    build.file("main.py", "import sys, tiny\nprint(tiny.VERSION, 'poetry' in sys.path)\n");
    build.build(POETRY).good();
    assert_eq!(python(&build, POETRY, "main.py"), "1.0 False\n");
    assert_eq!(bill(&build.layers("poetry").join("venv.sbom.cdx.json")), ["pkg:pypi/tiny@1.0"]);
    let layers = build.layers_of("poetry");
    assert_eq!(layers["poetry"]["types"], serde_json::json!({"cache": true}), "poetry is not in the image");
    let again = build.build(POETRY).good();
    assert!(again.out.contains("the packages of the last build are used"), "{again:?}");
    assert_eq!(build.layers_of("poetry"), layers);
    let project = std::fs::read_to_string(build.app.join("pyproject.toml")).expect("a file");
    build.file("pyproject.toml", project.replace("^3.9", "^3.10"));
    build.build(POETRY).fails_with(&["poetry.lock is older than pyproject.toml"]);
}

/// Reaches the package index, for uWSGI.
#[test]
fn a_webservice_of_today_is_served_by_uwsgi() {
    let packs = &["python", "uwsgi"];
    let build = Build::sample("uwsgi", "webservice");
    build.build(packs).good();
    assert_eq!(bill(&build.layers("uwsgi").join("uwsgi.sbom.cdx.json")).len(), 1);
    let again = build.build(packs).good();
    assert!(again.out.contains("as before"), "{again:?}");
    let words = build.process(packs, "web");
    let mut web = build.launched(packs, &words);
    let mut web = web.env("PORT", "0").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let said = BufReader::new(web.stderr.take().expect("its words")).lines();
    let mut said = said.map(|line| line.expect("text"));
    // It is told a port of the system's choice, and says which.
    let bound = said.find(|line| line.contains("bound to TCP address")).expect("it says its port");
    let port = bound.split("address :").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port").to_owned();
    let answer = crate::static_site::get(&port, "/x", "");
    terminate(web);
    assert!(answer.ends_with("served by uwsgi: /x"), "{answer}");
}

#[test]
fn uwsgi_is_for_who_asks_for_it_and_says_what_it_misses() {
    let build = Build::empty();
    build.file("app.py", "app = None\n");
    assert_eq!(build.detect("uwsgi").0.code, 100, "an app.py may be anything");
    build.file("service.template", "type: python3.11\n");
    assert_eq!(build.detect("uwsgi").0.code, 0);
    build.file("Procfile", "web: python app.py\n");
    assert_eq!(build.detect("uwsgi").0.code, 100);
    let build = Build::empty();
    build.file("service.template", "type: python3.11\n").file("main.py", "");
    build.build(&["python", "uwsgi"]).fails_with(&["there is no app.py"]);
}
