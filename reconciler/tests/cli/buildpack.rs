//! `buildpack new`: what it makes works, and its test can fail.

use crate::harness::{folder, toolforge};
use std::path::Path;
use std::process::Command;

/// Runs a buildpack's own test: its exit code, and what it says.
fn tested(folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(folder.join("test.sh")).output().expect("bash runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_new_buildpack_works_as_it_stands_and_its_test_finds_what_is_broken() {
    let home = folder(&[]);
    let made = toolforge(home.path(), &["buildpack", "new", "rust"]);
    assert_eq!(made.exit, 0, "{made:#?}");
    assert!(made.out.starts_with("made ./rust\n") && made.out.contains("  bin/detect\n"), "{made:#?}");
    let pack = home.path().join("rust");
    let (code, said) = tested(&pack);
    assert_eq!((code, said.lines().filter(|line| line.starts_with("ok ")).count()), (Some(0), 11), "{said}");

    let build = std::fs::read_to_string(pack.join("bin/build")).expect("a file");
    for (from, to, claim) in [
        ("key_of <rust.txt", "date +%N", "a second build reuses the layer"),
        ("process web", "process worker", "web is a process"),
        ("|| fail", "|| pass", "an empty file is an error"),
    ] {
        assert!(build.contains(from), "{from}");
        std::fs::write(pack.join("bin/build"), build.replace(from, to)).expect("written");
        let (code, said) = tested(&pack);
        assert_eq!(code, Some(1), "{from} → {to}: {said}");
        assert!(said.contains(&format!("FAIL  {claim}")), "{said}");
    }
    let again = toolforge(home.path(), &["buildpack", "new", "rust"]);
    assert_eq!((again.exit, again.out.as_str()), (2, ""), "{again:#?}");
    assert!(again.err.contains("exists already"), "{again:#?}");
}

#[test]
fn beside_others_it_shares_what_they_share_and_enters_their_order() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../buildpacks");
    let read = |name: &str| std::fs::read_to_string(ours.join(name)).expect("a file");
    let home = folder(&[("packs/lib.sh", &read("lib.sh")), ("packs/order.toml", &read("order.toml"))]);
    let made = toolforge(home.path(), &["buildpack", "new", "rust", "--into", "packs", "--json"]);
    assert_eq!((made.exit, made.json()["ordered"].clone()), (0, true.into()), "{made:#?}");
    let link = std::fs::read_link(home.path().join("packs/rust/lib.sh")).expect("a link");
    assert_eq!(link, Path::new("../lib.sh"));
    let order = std::fs::read_to_string(home.path().join("packs/order.toml")).expect("a file");
    let at = |name: &str| order.find(&format!("id = \"toolforge/{name}\"")).expect(name);
    assert!(at("uwsgi") < at("rust") && at("rust") < at("procfile"), "{order}");
    assert_eq!(order.matches("[[order.group]]").count(), read("order.toml").matches("[[order.group]]").count() + 1);
    assert_eq!(tested(&home.path().join("packs/rust")).0, Some(0));
}
