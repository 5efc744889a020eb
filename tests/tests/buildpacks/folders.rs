//! What is true of every buildpack's folder.

use crate::lifecycle::{Build, buildpacks, toml};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

fn all() -> BTreeSet<String> {
    let entries = std::fs::read_dir(buildpacks()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let packs = entries.filter(|path| path.join("buildpack.toml").exists());
    packs.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn each_buildpack_is_one_folder_in_the_order() {
    let order = toml(&buildpacks().join("order.toml"));
    let group = order["order"][0]["group"].as_array().expect("a group");
    let mut listed = BTreeSet::new();
    for entry in group {
        let id = entry["id"].as_str().expect("an id");
        let name = id.strip_prefix("toolforge/").expect("one of ours").to_owned();
        let declared = toml(&buildpacks().join(&name).join("buildpack.toml"));
        assert_eq!(declared["api"], "0.10", "{name}");
        assert_eq!(declared["buildpack"]["id"], id);
        assert_eq!(declared["buildpack"]["version"], entry["version"], "{name}");
        listed.insert(name);
    }
    assert_eq!(listed, all(), "order.toml names each folder once");
    for name in listed {
        let folder = buildpacks().join(&name);
        for program in ["bin/detect", "bin/build"] {
            let mode = std::fs::metadata(folder.join(program)).expect("a program").permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{name}/{program} can be run");
        }
        let readme = std::fs::read_to_string(folder.join("README.md")).expect("a README");
        assert!(
            readme.lines().count() <= 70 && readme.contains("| looked for |"),
            "{name}: a page with a detect table"
        );
        let own = std::fs::read_to_string(folder.join("lib.sh")).expect("lib.sh");
        assert_eq!(own, std::fs::read_to_string(buildpacks().join("lib.sh")).expect("lib.sh"), "{name}");
    }
}

#[test]
fn an_empty_repository_is_nobodys_and_each_says_what_it_misses() {
    for name in all() {
        let (ran, plan) = Build::empty().detect(&name);
        assert_eq!(ran.code, 100, "{name}: {ran:?}");
        assert!(ran.out.starts_with(&format!("[{name}] no ")) && ran.out.lines().count() == 1, "{ran:?}");
        assert_eq!(plan, serde_json::json!({}), "{name}");
    }
}

#[test]
fn a_sample_is_detected_with_a_reason_and_a_plan_that_provides_what_it_requires() {
    for name in all() {
        let samples = std::fs::read_dir(buildpacks().join(&name).join("samples")).expect("samples");
        for sample in samples {
            let sample = sample.expect("an entry").file_name().to_string_lossy().into_owned();
            let (ran, plan) = Build::sample(&name, &sample).detect(&name);
            assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{name}: {ran:?}");
            let names = |key: &str| -> BTreeSet<String> {
                let entries = plan[key].as_array().cloned().unwrap_or_default();
                entries.iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
            };
            let (provides, requires) = (names("provides"), names("requires"));
            assert!(provides.is_subset(&requires), "{name} is left out unless somebody requires it: {plan}");
            let foreign: Vec<_> = requires.difference(&provides).collect();
            assert!(foreign.iter().all(|entry| *entry == "python"), "{name}: {plan}");
        }
    }
}

#[test]
fn scripts_pass_shellcheck() {
    let files = "shellcheck -x *.sh */*.sh */bin/*";
    let out = Command::new("sh").args(["-c", files]).current_dir(buildpacks()).output().expect("sh runs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "is Debian's package shellcheck installed?\n{said}");
}
