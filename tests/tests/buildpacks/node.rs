//! The buildpack `node`.

use crate::lifecycle::{Build, bill};
use std::process::Command;

const PACKS: &[&str] = &["node"];

/// The package `name` as an archive in the application's folder; it exports its own name.
fn package(build: &Build, name: &str) {
    let folder = build.beside(name);
    std::fs::write(folder.join("package.json"), format!("{{\"name\":\"{name}\",\"version\":\"1.0.0\"}}"))
        .expect("a file");
    std::fs::write(folder.join("index.js"), format!("module.exports = '{name}';\n")).expect("a file");
    npm(build, &["pack", "--silent", "--pack-destination", ".", folder.to_str().expect("a path of text")]);
}

fn npm(build: &Build, args: &[&str]) {
    let out = Command::new("npm").args(args).arg("--offline").current_dir(&build.app).output().expect("npm runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// The sample with the archives it names and a lock; no package index answers it.
fn server() -> Build {
    let mut build = Build::sample("node", "server");
    package(&build, "tiny");
    package(&build, "tiny-dev");
    npm(&build, &["install", "--package-lock-only"]);
    build.set("npm_config_offline", "true");
    build
}

#[test]
fn packages_are_a_layer_and_the_build_script_has_more_than_the_image() {
    let build = server();
    build.build(PACKS).good();
    let words = build.process(PACKS, "web");
    assert_eq!(words, ["bash", "-c", "node server.js"], "npm does not stand between the program and its signals");
    assert_eq!(build.prints(PACKS, &words), "tiny tiny tiny-dev\n");
    let modules = build.layers("node").join("modules/node_modules");
    assert!(
        modules.join("tiny").exists() && !modules.join("tiny-dev").exists(),
        "what only the build needs stays there"
    );
    assert_eq!(bill(&build.layers("node").join("modules.sbom.cdx.json")), ["pkg:npm/tiny@1.0.0"]);
    let layers = build.layers_of("node");
    assert_eq!(layers["all"]["types"], serde_json::json!({"cache": true}));
    assert_eq!(layers["modules"]["types"], serde_json::json!({"launch": true, "cache": true}));

    std::fs::write(modules.join("mark"), "").expect("a file");
    std::fs::remove_file(build.app.join("node_modules")).expect("a link");
    build.file("server.js", "console.log('other', require('tiny'), require('./built.json').by);\n");
    let again = build.build(PACKS).good();
    assert!(!again.out.contains("npm ci") && modules.join("mark").exists(), "{again:?}");
    assert!(again.out.contains("npm run build"), "the code may have changed: {again:?}");
    assert_eq!(build.prints(PACKS, &words), "other tiny tiny-dev\n");
    assert_eq!(build.layers_of("node"), layers);
}

/// Reaches the package index: npm looks the added package up before it complains.
#[test]
fn a_lock_that_is_older_than_package_json_is_told() {
    let mut build = server();
    let old = std::fs::read_to_string(build.app.join("package.json")).expect("a file");
    build.set("npm_config_offline", "false");
    build.file("package.json", old.replace("\"tiny\":", "\"is-number\": \"7.0.0\", \"tiny\":"));
    build.build(PACKS).fails_with(&["package-lock.json is older than package.json", "Run `npm install`"]);
}

#[test]
fn what_is_wrong_with_package_json_is_told() {
    for (content, words) in [
        ("{", "package.json is not JSON"),
        ("[]", "package.json is not an object"),
        ("{\"engines\": {\"node\": \"the new one\"}}", "asks for Node.js 'the new one', which is no version"),
        ("{\"scripts\": {\"build\": \"exit 3\"}}", "the build script of package.json failed"),
    ] {
        let build = Build::empty();
        build.file("package.json", content).build(PACKS).fails_with(&[words]);
    }
}

#[test]
fn links_into_the_repository_are_installed_in_place() {
    let build = Build::empty();
    build.file("package.json", "{\"name\": \"x\", \"workspaces\": [\"part\"], \"scripts\": {\"start\": \"node .\"}}");
    build
        .file("part/package.json", "{\"name\": \"part\", \"version\": \"1.0.0\"}")
        .file("part/index.js", "module.exports = 7");
    build.file("index.js", "console.log(require('part'))\n").build(PACKS).good();
    assert_eq!(build.prints(PACKS, &build.process(PACKS, "web")), "7\n");
    assert!(!build.layers_of("node").contains_key("modules"));
}

/// Reaches the package index, for another Node.js than the image's.
#[test]
fn a_version_that_the_image_has_not_comes_from_the_package_index_once() {
    let mut build = Build::empty();
    build.file("package.json", "{\"scripts\": {\"start\": \"node --version\"}}").file(".nvmrc", "v16.20\n");
    let first = build.build(PACKS).good();
    assert!(first.out.contains("as .nvmrc asks; the image has v"), "{first:?}");
    let words = build.process(PACKS, "web");
    assert_eq!(build.prints(PACKS, &words), "v16.20.2\n");
    build.set("npm_config_offline", "true");
    let again = build.build(PACKS).good();
    assert!(again.out.contains("Node.js v16.20.2 as before"), "{again:?}");
    build.file(".nvmrc", "v16.20.2\n").build(PACKS).fails_with(&["the package index does not answer"]);
}
