//! Buildpacks that hang, and some that do not know when to stop talking; sources that lead elsewhere.

use super::{Built, World, npm_build, world};
use local::build::{BuildError, Packs, Request};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// A gigabyte of lines, and one more.
const GIGABYTE: &str = "yes | head -c 1000000000; echo 'the end'";

/// The same world with these buildpacks in place of ours: name, `bin/detect` and `bin/build`.
fn with_packs(world: World, packs: &[(&str, &str, &str)]) -> World {
    let root = world.folder.path().join("packs");
    let mut order = "[[order]]\n".to_owned();
    for (name, detect, build) in packs {
        let bin = root.join(name).join("bin");
        fs::create_dir_all(&bin).expect("a folder");
        let toml = format!("api = \"0.10\"\n[buildpack]\nid = \"test/{name}\"\nversion = \"1\"\n");
        fs::write(root.join(name).join("buildpack.toml"), toml).expect("a file");
        for (phase, script) in [("detect", detect), ("build", build)] {
            fs::write(bin.join(phase), format!("#!/bin/sh\n{script}\n")).expect("a file");
            fs::set_permissions(bin.join(phase), fs::Permissions::from_mode(0o755)).expect("a program");
        }
        order += &format!("[[order.group]]\nid = \"test/{name}\"\noptional = true\n");
    }
    fs::write(root.join("order.toml"), order).expect("a file");
    let builder = world.builder.clone().with_packs(Packs::read(root).expect("buildpacks"));
    World { builder, ..world }
}

/// Whether a process of this machine has these words on its command line.
fn runs(words: &str) -> bool {
    let all = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let mut lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(words))
}

/// The most memory that this process ever had.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[tokio::test]
async fn a_detect_that_hangs_is_ended_and_named_and_the_next_one_is_not() {
    let marks = (0..2).map(|_| format!("{}", rand::random::<u32>())).collect::<Vec<_>>();
    let world = world().await;
    for (door, mark) in [world.door.clone(), world.door.without_places()].into_iter().zip(marks) {
        let builder = local::build::Builder::new(door, &world.folder.path().join(&mark)).expect("a builder");
        let hangs = format!("echo looking; sleep 600.{mark}");
        let folder = tempfile::tempdir_in(world.folder.path()).expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("an open folder");
        let world = World { folder, door: world.door.clone(), builder };
        let world = with_packs(world, &[("hangs", &hangs, "true"), ("next", "exit 0", "true")]);
        let request = Request { detect_secs: 3, ..world.request(world.source(&[])) };
        let error = world.builder.detect(&request).await.expect_err("no answer");
        assert!(
            matches!(&error, BuildError::TimedOut { pack, phase: "detect", .. } if pack == "test/hangs"),
            "{error}"
        );
        assert!(error.to_string().starts_with("detect of test/hangs did not end within 3 s"), "{error}");
        assert!(error.hint().contains("`toolforge detect`"), "{}", error.hint());
        for _ in 0..600 {
            if !runs(&format!("sleep 600.{mark}")) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(!runs(&format!("sleep 600.{mark}")), "it is gone with all that it started");
    }
}

#[tokio::test]
async fn a_gigabyte_of_words_is_no_fault_and_of_it_the_beginning_and_the_end_are_kept() {
    let build = format!("{GIGABYTE}; exit 7");
    let world = with_packs(world().await, &[("loud", GIGABYTE, &build)]);
    let detected = world.detect(&[]).await.expect("an answer");
    assert_eq!(detected.tried[0].reason, "the end");
    let (error, said) = world.build(&world.request(world.source(&[]))).await.err().expect("no image");
    assert!(matches!(&error, BuildError::BuildFailed { code: 7, .. }), "{error}");
    assert!(said.len() < 10 << 20, "{} bytes of log", said.len());
    assert!(said.contains("\ny\n") && said.ends_with("\ny\nthe end\n") && said.contains(" are left out]\n"));
    assert!(peak_bytes() < 500 << 20, "{} bytes of memory", peak_bytes());
}

#[tokio::test]
async fn a_build_script_that_prints_a_gigabyte_makes_its_image_and_one_that_never_ends_is_ended() {
    let world = world().await;
    let built = npm_build(&world, GIGABYTE, 300).await.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"));
    assert!(built.said.len() < 10 << 20, "{} bytes of log", built.said.len());
    assert!(built.said.contains("    the end\n"));
    let (error, _) = npm_build(&world, "sleep 600", 5).await.err().expect("no image");
    assert!(matches!(error, BuildError::TimedOut { phase: "build", limit_secs: 5, .. }), "{error}");
}

/// Whether a blob of the image has these bytes in it.
fn holds(built: &Built, bytes: &[u8]) -> bool {
    let blob = |blob| fs::read(built.image.path(blob)).expect("a blob");
    built.image.blobs.iter().any(|one| blob(one).windows(bytes.len()).any(|window| window == bytes))
}

#[tokio::test]
async fn what_a_link_out_of_the_tree_leads_to_is_in_no_image() {
    let world = world().await;
    let secret = world.folder.path().join("secret");
    fs::create_dir(&secret).expect("a folder");
    fs::write(secret.join("token"), "hunter2-of-another").expect("a file");
    let source = world.source(&[("public/index.html", "<h1>hello</h1>")]);
    symlink(&secret, source.join("public/folder")).expect("a link");
    symlink(secret.join("token"), source.join("public/token")).expect("a link");
    symlink("/", source.join("root")).expect("a link");
    let built = world.build(&world.request(source)).await;
    let built = built.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"));
    assert!(!holds(&built, b"hunter2-of-another"));
    assert!(holds(&built, b"<h1>hello</h1>"), "what is in the tree is");

    let source = world.source(&[("Procfile", "web: true\n")]);
    fs::remove_file(source.join("Procfile")).expect("removed");
    symlink(secret.join("token"), source.join("Procfile")).expect("a link");
    let (error, said) = world.build(&world.request(source)).await.err().expect("no image");
    assert!(said.contains("error: Procfile is a link") && said.contains("hint: "), "{error}\n{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_place_of_a_layer_that_leads_elsewhere_is_not_read() {
    let world = world().await;
    let victim = world.folder.path().join("victim");
    fs::create_dir_all(victim.join("web")).expect("a folder");
    for path in ["TOKEN", "web/TOKEN"] {
        fs::write(victim.join(path), "hunter2-of-another").expect("a file");
    }
    let victim = victim.display();
    for links in ["env", "env.launch", "bin"] {
        let build = format!(
            "mkdir \"$CNB_LAYERS_DIR/evil\" && ln -s {victim} \"$CNB_LAYERS_DIR/evil/{links}\" && \
             printf '[types]\\nlaunch = true\\n' >\"$CNB_LAYERS_DIR/evil.toml\" && \
             printf '[[processes]]\\ntype = \"web\"\\ncommand = [\"true\"]\\n' >\"$CNB_LAYERS_DIR/launch.toml\""
        );
        let folder = tempfile::tempdir_in(world.folder.path()).expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("an open folder");
        let world = World { folder, door: world.door.clone(), builder: world.builder.clone() };
        let world = with_packs(world, &[("evil", "exit 0", &build)]);
        match world.build(&Request { fresh: true, ..world.request(world.source(&[])) }).await {
            Ok(built) => assert!(!holds(&built, b"hunter2-of-another"), "{links}"),
            Err((error, said)) => assert!(error.to_string().contains("link"), "{links}: {error}\n{said}"),
        }
    }
}
