//! The buildpack `python`: which interpreter is meant, and which ones there are.

use crate::lifecycle::{Build, program};

const PACKS: &[&str] = &["python"];

/// A build on an image with these versions of Python, the first of them its `python3`.
fn image(versions: &[&str]) -> Build {
    let mut build = Build::empty();
    let bin = build.beside("bin");
    for version in versions {
        program(&bin.join(format!("python{version}")), &format!("#!/bin/sh\necho {version}\n"));
    }
    if let Some(first) = versions.first() {
        std::os::unix::fs::symlink(format!("python{first}"), bin.join("python3")).expect("a link");
    }
    let bin = bin.to_str().expect("a path of text").to_owned();
    build.set("BP_PYTHON_DIRS", &bin).file("main.py", "");
    build
}

/// The version chosen on an image with 3.11 (its python3), 3.9, 3.12 and 3.13; else the error.
fn chosen(file: &str, content: &str) -> String {
    let build = image(&["3.11", "3.9", "3.12", "3.13"]);
    let ran = build.file(file, content).build(PACKS);
    if ran.code != 0 {
        return ran.err;
    }
    let target = std::fs::read_link(build.layers("python").join("python/bin/python")).expect("a link");
    target.to_string_lossy().rsplit("python").next().expect("a version").to_owned()
}

#[test]
fn the_version_that_is_asked_for_is_chosen_and_the_images_own_where_it_fits() {
    let pyproject = |table: &str, key: &str, value: &str| format!("[{table}]\n{key} = {value}\n");
    let requires = |value: &str| ("pyproject.toml", pyproject("project", "requires-python", value));
    let poetry = |value: &str| ("pyproject.toml", pyproject("tool.poetry.dependencies", "python", value));
    for ((file, content), version) in [
        (("service.template", "type: python3.9\n".to_owned()), "3.9"),
        (("service.template", "type: 'python3.13' # new\r\n".to_owned()), "3.13"),
        (("service.template", "type: buildservice\n".to_owned()), "3.11"),
        ((".python-version", "3.12\n".to_owned()), "3.12"),
        ((".python-version", "# ours\n\npython-3.12.1\r\n".to_owned()), "3.12"),
        ((".python-version", "3".to_owned()), "3.11"),
        (requires("\">=3.9\""), "3.11"),
        (requires("'>= 3.12, <4'"), "3.13"),
        (requires("\"~=3.12.1\""), "3.12"),
        (requires("\"~=3.10\""), "3.11"),
        (requires("\"==3.9.*\""), "3.9"),
        (requires("\">3.11\" # not this"), "3.13"),
        (requires("\"!=3.11.*\""), "3.13"),
        (requires("\"<3.11\""), "3.9"),
        (poetry("\"^3.12\""), "3.13"),
        (poetry("\"~3.9\""), "3.9"),
        (poetry("\"3.9 || 3.12\""), "3.12"),
        (poetry("\"*\""), "3.11"),
        (("pyproject.toml", "[tool.other]\nrequires-python = \"3.9\"\n".to_owned()), "3.11"),
    ] {
        assert_eq!(chosen(file, &content), version, "{file}: {content}");
    }
}

#[test]
fn a_version_that_is_not_there_is_told_with_those_that_are_and_the_nearest() {
    let said = chosen(".python-version", "3.7\n");
    assert!(said.contains(".python-version asks for Python 3.7; this image has 3.11, 3.13, 3.12, 3.9"), "{said}");
    assert!(said.contains("Change it to 3.9, the nearest one"), "{said}");
    let said = chosen("service.template", "type: python3.14\n");
    assert!(said.contains("Change it to 3.13, the nearest one"), "{said}");
    let said = chosen(".python-version", "$(reboot)\n");
    assert!(said.contains("asks for Python '$(reboot)', which is no version"), "{said}");
    let said = chosen(".python-version", "3.99999999999999999999\n");
    assert!(said.contains("which is no version"), "{said}");
    let ran = image(&[]).build(PACKS);
    ran.fails_with(&["this image has no python3"]);
}

#[test]
fn service_template_goes_before_python_version_and_that_before_pyproject() {
    let build = image(&["3.11", "3.9", "3.12"]);
    build.file("pyproject.toml", "[project]\nrequires-python = '==3.11.*'\n").file(".python-version", "3.12");
    let (ran, plan) = build.detect("python");
    assert_eq!(plan["requires"][0]["metadata"]["version"], "3.12");
    assert_eq!(plan["requires"][0]["metadata"]["version-source"], ".python-version");
    assert!(ran.out.contains(".python-version asks for Python 3.12"), "{ran:?}");
    build.file("service.template", "type: python3.9\n");
    assert_eq!(build.detect("python").1["requires"][0]["metadata"]["version"], "3.9");
}

#[test]
fn the_layer_is_links_and_is_made_once() {
    let build = Build::sample("python", "script");
    build.build(PACKS).good();
    let words = ["python".to_owned(), "main.py".to_owned()];
    assert_eq!(build.prints(PACKS, &words), "ran\n");
    let first = build.layers_of("python");
    assert_eq!(first["python"]["types"], serde_json::json!({"launch": true, "build": true, "cache": true}));
    let again = build.build(PACKS).good();
    assert!(again.out.contains("as before"), "{again:?}");
    assert_eq!(build.layers_of("python"), first);
    build.file(".python-version", ">=3.0\n").build(PACKS).good();
    assert_eq!(build.layers_of("python"), first, "what is asked for changed, what is chosen did not");
}
