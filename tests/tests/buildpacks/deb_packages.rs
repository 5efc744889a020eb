//! The buildpack `deb-packages`, with a package archive of one folder.

use crate::lifecycle::{Build, bill, copy, program};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKS: &[&str] = &["deb-packages"];

/// One package: its control fields, and its files by path.
fn package(archive: &Path, work: &Path, name: &str, fields: &str, files: &[(&str, &str)]) {
    let root = work.join(name);
    std::fs::create_dir_all(root.join("DEBIAN")).expect("a folder");
    let control = format!(
        "Package: {name}\nVersion: 1:2.0+x\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n{fields}Description: {name}\n"
    );
    std::fs::write(root.join("DEBIAN/control"), control).expect("a file");
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        program(&path, content);
    }
    let out = Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&root).arg(archive).output();
    let out = out.expect("dpkg-deb runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// `greeting`, which needs `greeting-data`, and `base`, which the image has already.
fn archive(build: &Build) -> PathBuf {
    let (archive, work) = (build.beside("archive"), build.beside("work"));
    let greeting = "#!/bin/sh\ncat \"$(dirname \"$0\")/../share/greeting/text\"\n";
    let postinst = "#!/bin/sh\nupdate-alternatives --install /usr/bin/hi hi \\\n  /usr/bin/greeting 10\nexit 1\n";
    package(
        &archive,
        &work,
        "greeting",
        "Depends: greeting-data, base\nRecommends: too-much\n",
        &[("usr/bin/greeting", greeting), ("DEBIAN/postinst", postinst)],
    );
    let link = "ln -s /usr/share/greeting/text work/greeting-data/usr/share/greeting/link";
    package(&archive, &work, "greeting-data", "", &[("usr/share/greeting/text", "hello\n")]);
    let root = archive.parent().expect("a folder");
    assert!(Command::new("sh").args(["-c", link]).current_dir(root).status().expect("sh runs").success());
    package(&archive, &work, "greeting-data", "", &[]);
    package(&archive, &work, "too-much", "", &[("usr/share/too-much", "")]);
    package(&archive, &work, "base", "", &[("usr/share/base", "")]);
    let index = "for deb in *.deb; do dpkg-deb -f \"$deb\"; echo \"Filename: ./$deb\"; \
        echo \"Size: $(stat -c %s \"$deb\")\"; echo \"SHA256: $(sha256sum <\"$deb\" | cut -d' ' -f1)\"; echo; done >Packages";
    assert!(Command::new("sh").args(["-c", index]).current_dir(&archive).status().expect("sh runs").success());
    archive
}

/// A build on an image that has `base`, with that archive under a path without blanks.
fn build() -> (Build, tempfile::TempDir) {
    let mut build = Build::sample("deb-packages", "greeting");
    let place = tempfile::Builder::new().prefix("archive-").tempdir().expect("a folder");
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("readable");
    copy(&archive(&build), place.path());
    let list = place.path().join("sources.list");
    std::fs::write(&list, format!("deb [trusted=yes] copy:{} ./\n", place.path().display())).expect("a file");
    let status = place.path().join("status");
    let base =
        "Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 9\nMaintainer: x\nDescription: x\n";
    std::fs::write(&status, base).expect("a file");
    build.set("BP_DEB_SOURCES", &list.display().to_string()).set("BP_DEB_STATUS", &status.display().to_string());
    (build, place)
}

#[test]
fn packages_are_unpacked_with_what_they_need_and_the_image_lacks() {
    let (mut build, _place) = build();
    let first = build.build(PACKS).good();
    assert!(first.out.contains("2 packages added"), "{first:?}");
    assert_eq!(build.prints(PACKS, &["greeting".to_owned()]), "hello\n");
    assert_eq!(build.prints(PACKS, &["hi".to_owned()]), "hello\n", "an alternative, which no script made");
    let layer = build.layers("deb-packages").join("packages");
    assert!(!layer.join("usr/share/base").exists() && !layer.join("usr/share/too-much").exists());
    let link = std::fs::read_to_string(layer.join("usr/share/greeting/link")).expect("a link within the layer");
    assert_eq!(link, "hello\n");
    let listed = bill(&build.layers("deb-packages").join("packages.sbom.cdx.json"));
    assert!(listed.len() == 2 && listed[1].ends_with("/greeting-data@1%3A2.0%2Bx"), "{listed:?}");

    let mark = layer.join("mark");
    std::fs::write(&mark, "").expect("a file");
    let again = build.file("Aptfile", "greeting # the same\r\n\r\n").build(PACKS).good();
    assert!(again.out.contains("the list is unchanged") && mark.exists(), "{again:?}");
    build.set("BP_DEB_PACKAGES", "too-much").build(PACKS).good();
    assert!(!mark.exists() && layer.join("usr/share/too-much").exists() && layer.join("usr/bin/greeting").exists());
}

#[test]
fn a_package_that_does_not_exist_is_named() {
    let (build, _place) = build();
    build
        .file("Aptfile", "greeting\nnothing-like-it\n")
        .build(PACKS)
        .fails_with(&["this distribution has no package nothing-like-it"]);
    assert!(build.layers_of("deb-packages").is_empty(), "half a layer is none");
}

#[test]
fn names_are_names_and_never_words_of_a_command() {
    for (file, content, place) in [
        ("Aptfile", "-oDir::Etc=/tmp\n", "Aptfile line 1"),
        ("Aptfile", "greeting\n$(touch x)\n", "Aptfile line 2"),
        ("Aptfile", "greeting=1.0\n", "Aptfile line 1"),
        ("Aptfile", ":repo:deb https://example.org x main\n", "Aptfile line 1"),
        ("Aptfile", "../../x.deb\n", "Aptfile line 1"),
        ("Aptfile", "two words\n", "Aptfile line 1"),
        ("project.toml", "[com.heroku.buildpacks.deb-packages]\ninstall = [\n  \"a b\",\n]\n", "project.toml line 3"),
        ("project.toml", "[com.heroku.buildpacks.deb-packages]\ninstall = [{name = \"x\"}]\n", "project.toml line 2"),
    ] {
        let build = Build::empty();
        let ran = build.file(file, content).build(PACKS);
        ran.fails_with(&[place, "is no name of a Debian package"]);
    }
}

#[test]
fn the_list_of_project_toml_is_read_whole() {
    let (build, _place) = build();
    std::fs::remove_file(build.app.join("Aptfile")).expect("removed");
    let other = "[_]\nschema-version = \"0.2\"\n[other]\ninstall = [\"nothing\"]\n";
    build.file("project.toml", other);
    assert_eq!(build.detect("deb-packages").0.code, 100, "somebody else's table");
    let ours = "[com.heroku.buildpacks.deb-packages]\ninstall = [ # ours\n  'too-much', # \"nothing\"\n  \"greeting\"\n]\n[x]\ninstall = ['y']\n";
    build.file("project.toml", format!("{other}{ours}")).build(PACKS).good();
    assert_eq!(bill(&build.layers("deb-packages").join("packages.sbom.cdx.json")).len(), 3);
}
