//! The buildpack `static`: what the small server gives away, and what it keeps.

use crate::lifecycle::{Build, terminate};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};

const PACKS: &[&str] = &["static"];

/// One GET; the whole answer.
pub fn get(port: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The process `web` of this build, and the port it chose.
fn serve(build: &Build) -> (Child, String) {
    build.build(PACKS).good();
    let mut web = build.launched(PACKS, &build.process(PACKS, "web"));
    let mut web = web.env("PORT", "0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(web.stdout.take().expect("its words")).read_line(&mut line).expect("a line");
    let port = line.trim().rsplit(' ').next().expect("a port").to_owned();
    (web, port)
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[test]
fn files_are_served_and_nothing_else() {
    let build = Build::sample("static", "site");
    build.file("docs/index.html", "docs").file("a b.css", "x").file(".env", "secret").file(".git/config", "secret");
    build.file(".well-known/security.txt", "mail us").file("404.html", "not here");
    build.file("server.json", "{}").file("empty/x", "");
    std::fs::write(build.beside("other").join("secret"), "secret").expect("a file");
    symlink("../other/secret", build.app.join("out")).expect("a link");
    symlink("../other", build.app.join("folder")).expect("a link");
    let (web, port) = serve(&build);
    let ask = |path: &str| get(&port, path, "");
    assert!(ask("/").ends_with("<p>A site\n") && ask("/").contains("Content-Type: text/html; charset=utf-8"));
    assert_eq!((status(&ask("/docs/")), status(&ask("/a%20b.css?v=1"))), ("200", "200"));
    assert!(ask("/docs?q=1").contains("Location: /docs/?q=1\r\n"));
    assert!(ask("//docs").contains("Location: /docs/\r\n"), "never another host");
    assert_eq!(status(&ask("/.well-known/security.txt")), "200");
    for path in [
        "/.env",
        "/.git/config",
        "/%2egit/config",
        "/../other/secret",
        "/%2e%2e/other/secret",
        "/..%2fother%2fsecret",
        "/out",
        "/folder/secret",
        "/nothing",
        "/index.html/",
        "/empty/",
        "/a%00b",
        "/folder/",
    ] {
        let answer = ask(path);
        assert_eq!(status(&answer), "404", "{path}: {answer}");
        assert!(!answer.contains("secret") && answer.ends_with("not here"), "{path}: {answer}");
    }
    terminate(web);
}

#[test]
fn a_file_is_sent_again_only_when_its_content_changed() {
    let build = Build::sample("static", "site");
    let (web, port) = serve(&build);
    let first = get(&port, "/", "");
    let tag = first.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("a version").to_owned();
    assert!(!first.contains("Last-Modified"), "the files of an image have no time of their own");
    assert_eq!(status(&get(&port, "/", &format!("If-None-Match: {tag}\r\n"))), "304");
    build.file("index.html", "<p>Another site\n");
    let second = get(&port, "/", &format!("If-None-Match: {tag}\r\n"));
    assert!(status(&second) == "200" && second.ends_with("Another site\n"), "{second}");
    terminate(web);
}

#[test]
fn the_folder_is_found_or_named() {
    let root = |build: &Build| build.process(PACKS, "web").last().expect("a folder").clone();
    for folder in ["public", "public_html", "www/static"] {
        let build = Build::empty();
        build.file(&format!("{folder}/index.html"), "").build(PACKS).good();
        assert!(root(&build).ends_with(&format!("the app/{folder}")), "{}", root(&build));
    }
    let build = Build::empty();
    build
        .file("Staticfile", "root: 'my site' # built\r\n")
        .build(PACKS)
        .fails_with(&["the folder my site does not exist"]);
    build.file("my site/page.html", "").build(PACKS).good();
    assert!(root(&build).ends_with("the app/my site"));
    build.file("Staticfile", "root: ..\n").build(PACKS).fails_with(&["the folder .. is outside of the repository"]);
    symlink("/etc", build.app.join("link")).expect("a link");
    build.file("Staticfile", "root: link\n").build(PACKS).fails_with(&["the folder link is outside"]);
}

#[test]
fn whoever_says_how_web_runs_is_not_served_as_files() {
    for (file, content) in [("Procfile", "web: run\n"), ("package.json", "{\"scripts\": {\"start\": \"node x\"}}")] {
        let build = Build::sample("static", "site");
        assert_eq!(build.file(file, content).detect("static").0.code, 100, "{file}");
    }
    let build = Build::sample("static", "site");
    assert_eq!(build.file("Procfile", "refresh: run\n").detect("static").0.code, 0);
}
