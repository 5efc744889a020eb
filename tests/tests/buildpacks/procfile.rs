//! The buildpack `procfile`: lines of a file that people write by hand.

use crate::lifecycle::Build;
use std::os::unix::fs::symlink;

const PACKS: &[&str] = &["procfile"];

/// The processes of this Procfile: name, and the line that bash runs.
fn processes(content: impl AsRef<[u8]>) -> Vec<(String, String)> {
    let build = Build::empty();
    build.file("Procfile", content).build(PACKS).good();
    let launch = build.launch("procfile");
    let all = launch["processes"].as_array().expect("processes").iter();
    all.map(|process| {
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        assert_eq!(process["command"].as_array().expect("a command").len(), 3);
        assert_eq!((text(&process["command"][0]), text(&process["command"][1])), ("bash".to_owned(), "-c".to_owned()));
        assert_eq!(process["default"] == true, process["type"] == "web", "web alone is the default");
        (text(&process["type"]), text(&process["command"][2]))
    })
    .collect()
}

fn pair(name: &str, line: &str) -> (String, String) {
    (name.to_owned(), line.to_owned())
}

#[test]
fn a_line_is_a_process_whatever_ends_it() {
    let plain = vec![pair("web", "python app.py --port $PORT"), pair("worker", "python worker.py")];
    for file in [
        "web: python app.py --port $PORT\nworker: python worker.py\n",
        "web: python app.py --port $PORT\nworker: python worker.py",
        "web: python app.py --port $PORT\r\nworker: python worker.py\r\n",
        "\u{feff}# both\n\n\tweb\t:\tpython app.py --port $PORT \t\n   worker:python worker.py\n\n",
    ] {
        assert_eq!(processes(file), plain, "{file:?}");
    }
}

#[test]
fn a_command_comes_through_as_it_was_written() {
    let command = r#"printf '%s|' "a\"b" 'c\d' "tab	tab" '{}[]=#' "é" $((1+1)); exit 0"#;
    let build = Build::empty();
    build.file("Procfile", format!("web: {command}\n")).build(PACKS).good();
    let words = build.process(PACKS, "web");
    assert_eq!(words, ["bash", "-c", command]);
    assert_eq!(build.prints(PACKS, &words), "a\"b|c\\d|tab\ttab|{}[]=#|é|2|");
    assert_eq!(processes(b"web: a\x01\x7fb\n"), [pair("web", "a\u{1}\u{7f}b")]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let long = format!("web: {}\n", "x".repeat(70_000));
    let many = (0..51).fold(String::new(), |all, n| all + &format!("p{n}: true\n"));
    let cases: &[(&[u8], &str)] = &[
        (b"web: a\nrun this\n", "Procfile line 2: this is not `name: command`"),
        (b"my web: a\n", "Procfile line 1: the name before the colon"),
        (b"../web: a\n", "Procfile line 1: the name before the colon"),
        (b": a\n", "Procfile line 1: the name before the colon"),
        (b"web:  \t\r\n", "Procfile line 1: the process web has no command"),
        (b"web: a\nweb: b\n", "Procfile line 2: the process web stands here again"),
        (b"# nothing\n\n", "the Procfile names no process"),
        (b"", "the Procfile names no process"),
        (b"web: a\0b\n", "Procfile is not text in UTF-8"),
        (b"web: \xff\n", "Procfile is not text in UTF-8"),
        (long.as_bytes(), "Procfile has 70006 bytes; at most 65536 are read"),
        (many.as_bytes(), "Procfile line 51: there are more than 50 processes"),
    ];
    for (content, words) in cases {
        let build = Build::empty();
        build.file("Procfile", content).build(PACKS).fails_with(&[words]);
    }
}

#[test]
fn a_process_that_somebody_names_and_nothing_has_ends_the_build() {
    let mut build = Build::empty();
    build.file("Procfile", "web: a\nworker: b\n");
    build.set("BP_PROCESSES", "web worker").build(PACKS).good();
    build.set("BP_PROCESSES", "web refresh");
    let ran = build.build(PACKS);
    ran.fails_with(&[]);
    assert_eq!(
        ran.err,
        "[procfile] error: the Procfile has no process refresh, and there is no program refresh; it has: web worker\n\
         [procfile] hint: Add a line `refresh: ...` to the Procfile, or name one of these in toolforge.yaml.\n"
    );
    for bad in ["web *", "../web"] {
        build.set("BP_PROCESSES", bad).build(PACKS).fails_with(&["is no name of a process"]);
    }
}

#[test]
fn a_program_or_another_buildpack_s_process_is_no_missing_process() {
    let mut build = Build::empty();
    build.file("Procfile", "web: a\n").file("../layers/toolforge_other/venv/bin/refresh", "");
    build.file("../layers/toolforge_other/launch.toml", "[[processes]]\ntype = \"serve.v2\"\ncommand = [\"x\"]\n");
    for known in ["refresh", "serve.v2", "env"] {
        build.set("BP_PROCESSES", known).build(PACKS).good();
    }
    build.set("BP_PROCESSES", "serve-v2").build(PACKS).fails_with(&["there is no program serve-v2"]);
}

#[test]
fn a_link_out_of_the_tree_is_not_read() {
    let build = Build::empty();
    std::fs::write(build.beside("other").join("Procfile"), "web: cat /etc/passwd\n").expect("a file");
    symlink("../other/Procfile", build.app.join("Procfile")).expect("a link");
    build.build(PACKS).fails_with(&["Procfile is a link out of the repository"]);
    std::fs::remove_file(build.app.join("Procfile")).expect("removed");
    symlink("nowhere", build.app.join("Procfile")).expect("a link");
    build.build(PACKS).fails_with(&["Procfile is a link that leads nowhere"]);
    std::fs::remove_file(build.app.join("Procfile")).expect("removed");
    build.file("deploy/Procfile", "web: a\n");
    symlink("deploy/Procfile", build.app.join("Procfile")).expect("a link");
    build.build(PACKS).good();
}

#[test]
fn a_second_build_knows_nothing_of_the_first_ones_processes() {
    let build = Build::empty();
    build.file("Procfile", "web: a\nold: b\n").build(PACKS).good();
    build.file("Procfile", "web: a\n").build(PACKS).good();
    assert_eq!(build.launch("procfile")["processes"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_misspelt_procfile_is_pointed_out() {
    let build = Build::empty();
    let (ran, _) = build.file("procfile", "web: a\n").detect("procfile");
    assert_eq!(ran.code, 100);
    assert!(ran.out.contains("procfile would have to be named Procfile"), "{ran:?}");
}
