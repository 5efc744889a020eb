//! Tidiness is a test: which way dependencies point, what a pure crate may use, how long a file may be, and that the
//! invariants of `docs/architecture.md` name tests that exist.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Normal dependencies of each package of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value, key: &str| value[key].as_str().expect("a text").to_owned();
    let normal = |package: &Value| {
        let all = package["dependencies"].as_array().expect("a list").iter();
        all.filter(|d| d["kind"].is_null()).map(|d| text(d, "name")).collect()
    };
    metadata["packages"].as_array().expect("a list").iter().map(|p| (text(p, "name"), normal(p))).collect()
}

#[test]
fn dependencies_point_one_way() {
    let ours = ["renderer", "policy", "planner", "sandbox", "local", "reconciler", "tests"];
    let allowed: BTreeMap<&str, &[&str]> = [
        ("renderer", &[][..]),
        ("policy", &[]),
        ("planner", &["renderer", "policy"]),
        ("sandbox", &["planner", "renderer"]),
        ("local", &["sandbox", "planner", "renderer"]),
        ("reconciler", &["renderer", "policy", "planner", "sandbox", "local"]),
        ("tests", &["renderer", "policy", "planner", "sandbox", "local", "reconciler"]),
    ]
    .into();
    for (package, found) in dependencies() {
        let allowed = allowed.get(package.as_str());
        let allowed = allowed.expect("every package has a place on the map of docs/architecture.md");
        for dependency in found.iter().filter(|name| ours.contains(&name.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{package} must not depend on {dependency}");
        }
    }
}

/// What the pure crates may use. A new name here is a decision: it must bring no clock, environment, file, network,
/// randomness, thread or log into the crate.
#[test]
fn pure_crates_use_pure_crates() {
    let allowed: BTreeMap<&str, &[&str]> = [
        (
            "renderer",
            &[
                "serde",
                "serde_json",
                "serde-saphyr",
                "granit-parser",
                "schemars",
                "sha2",
                "thiserror",
                // Types and comparisons of secrets, and the armour of what is encrypted.
                "base64",
                "secrecy",
                "subtle",
                "croner",
                "jiff",
            ][..],
        ),
        ("policy", &["cel", "regex", "serde", "serde_json", "serde-saphyr", "thiserror"]),
        ("planner", &["renderer", "policy", "serde", "serde_json", "sha2", "base64", "thiserror"]),
    ]
    .into();
    let found = dependencies();
    for (package, allowed) in allowed {
        for dependency in &found[package] {
            assert!(allowed.contains(&dependency.as_str()), "{package} is pure and may not use {dependency}");
        }
    }
}

/// The library code of one folder: no tests, no build output.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() && !["target", "tests", "benches", "node_modules"].contains(&name.as_str()) {
                open.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The lines before the unit tests.
fn without_tests(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a readable file");
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).map(str::to_owned).collect()
}

#[test]
fn pure_crates_name_no_effect() {
    let effects = [
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant::",
        "tokio",
        "tracing::",
        "println!",
        "rand::",
    ];
    for folder in ["renderer/src", "policy/src", "reconciler/planner/src"] {
        for path in sources(folder) {
            for line in without_tests(&path) {
                let code = line.split("//").next().unwrap_or("");
                let found = effects.iter().find(|effect| code.contains(**effect));
                assert!(found.is_none(), "{}: an effect in a pure crate: {line}", path.display());
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_400_lines_without_its_tests() {
    let long: Vec<_> = [
        "renderer/src",
        "policy/src",
        "reconciler/src",
        "reconciler/planner/src",
        "reconciler/sandbox/src",
        "reconciler/local/src",
        "tests/src",
    ]
    .into_iter()
    .flat_map(sources)
    .filter_map(|path| Some(without_tests(&path).len()).filter(|lines| *lines > 400).map(|lines| (path, lines)))
    .collect();
    assert!(long.is_empty(), "too long: {long:#?}");
}

#[test]
fn every_claim_in_docs_names_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md");
    assert!(text.lines().count() <= 250, "docs/architecture.md is a picture, not a book: at most 250 lines");
    let code: String = ["renderer", "policy", "reconciler", "tests"]
        .into_iter()
        .flat_map(every_rust_file)
        .map(|path| std::fs::read_to_string(path).expect("a readable file"))
        .collect();
    for (file, least) in [("architecture.md", 11), ("complaints.md", 30), ("security.md", 25)] {
        let text = std::fs::read_to_string(root().join("docs").join(file)).expect("a page of docs");
        let held = text.lines().filter_map(|line| line.split_once("Held by:")).map(|(_, names)| names);
        let names: Vec<_> = held.flat_map(|names| names.split('`').skip(1).step_by(2)).collect();
        assert!(names.len() >= least, "docs/{file} names a test for each of its claims: found {names:?}");
        for name in names {
            assert!(code.contains(&format!("fn {name}(")), "docs/{file} names a test that does not exist: {name}");
        }
    }
}

/// A whole number as code or a table writes it: `1 << 20`, `16 * 1024`, `100_000`, `Duration::from_secs(5)`, `16 KiB`.
fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix("Duration::from_secs(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(text);
    let units = [(" B", 0), (" KiB", 10), (" MiB", 20), (" GiB", 30), (" s", 0)];
    if let Some((number, shift)) = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift))) {
        return Some(whole(number)? << shift);
    }
    if let Some((left, right)) = text.split_once("<<") {
        return Some(whole(left)? << whole(right)?);
    }
    if let Some((left, right)) = text.split_once('*') {
        return Some(whole(left)? * whole(right)?);
    }
    text.replace('_', "").parse().ok()
}

/// The value of a constant, or of a field of defaults.
fn value_of(code: &str, name: &str) -> Option<u64> {
    code.lines().find_map(|line| {
        let constant = line.split_once(&format!("const {name}: ")).and_then(|(_, rest)| rest.split_once(" = "));
        let field = line.trim().strip_prefix(&format!("{name}: ")).and_then(|rest| rest.strip_suffix(','));
        whole(constant.map(|(_, value)| value.trim_end_matches(';')).or(field)?)
    })
}

#[test]
fn every_limit_is_in_the_table_with_the_value_that_the_code_has() {
    let table = std::fs::read_to_string(root().join("docs/limits.md")).expect("docs/limits.md");
    let mut listed = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`")) {
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        let (limit, beyond) = (columns[2], columns[4]);
        let names: Vec<_> = columns[3].split('`').skip(1).step_by(2).collect();
        let (file, name) = (names[0], names[1]);
        let code = std::fs::read_to_string(root().join(file)).expect(file);
        let value = value_of(&code, name);
        assert!(value.is_some() && value == whole(limit), "{file} has {name} = {value:?}: {row}");
        assert!(!beyond.is_empty(), "{row}");
        listed.insert((root().join(file), name.to_owned()));
    }
    // What strangers write is read here.
    for file in
        ["renderer/src", "policy/src", "reconciler/src/source", "reconciler/src/registry"].into_iter().flat_map(sources)
    {
        for line in without_tests(&file) {
            let Some((_, rest)) = line.split_once("const MAX_").filter(|(before, _)| !before.contains("//")) else {
                continue;
            };
            let Some((name, value)) = rest.split_once(": ") else { continue };
            // What is made of another constant is told there.
            let known = listed.contains(&(file.clone(), format!("MAX_{name}")));
            let own = value.split_once(" = ").is_some_and(|(_, value)| whole(value.trim_end_matches(';')).is_some());
            assert!(known || !own, "docs/limits.md has no row for MAX_{name} of {}", file.display());
        }
    }
}

fn every_rust_file(folder: &str) -> Vec<PathBuf> {
    let mut found = sources(folder);
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}
