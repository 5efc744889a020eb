//! `dev`: a folder becomes a page, a save another one, and Ctrl-C the end of both.

use crate::harness::{command, folder};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Ends what a failing test leaves.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // Already gone where the test came to its end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn page(port: &str) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(format!("127.0.0.1:{port}")) {
        let asked = write!(stream, "GET / HTTP/1.1\r\nhost: site.localhost\r\nconnection: close\r\n\r\n");
        asked.and_then(|()| stream.read_to_string(&mut text)).expect("an answer");
    }
    text
}

fn until(port: &str, words: &str) {
    let begun = Instant::now();
    loop {
        let page = page(port);
        if page.starts_with("HTTP/1.1 200") && page.contains(words) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{words:?} never came: {page}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_save_becomes_a_page_without_a_commit_and_ctrl_c_leaves_nothing() {
    let config = "config_version: v1beta1\ncomponents:\n  web:\n    run: {command: web, port: 8000, publish: /}\n";
    let home = folder(&[("site/index.html", "the first"), ("site/toolforge.yaml", config)]);
    // Where we are root, what runs is not, and has to pass.
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("an open folder");
    let state = home.path().join("state");
    let mut ours = command(home.path(), &["dev", "site", "--port", "0"]);
    ours.env("TMPDIR", home.path()).env("TOOLFORGE_STATE", &state).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut ours = Ends(ours.spawn().expect("the binary runs"));
    let mut said = BufReader::new(ours.0.stderr.take().expect("a pipe")).lines();
    let line = said.find_map(|line| Some(line.expect("text").strip_prefix("http://site.localhost:")?.to_owned()));
    let port = line.expect("it says where").trim_end_matches('/').to_owned();
    let listens = std::thread::spawn(move || said.map_while(Result::ok).collect::<Vec<_>>());
    until(&port, "the first");
    std::fs::write(home.path().join("site/index.html"), "the second").expect("saved");
    until(&port, "the second");
    let pid = ours.0.id().to_string();
    let killed = std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(ours.0.wait().expect("an end").code(), Some(0), "{:#?}", listens.join());
    assert_eq!(page(&port), "", "nobody listens");
    let left = std::fs::read_dir(home.path()).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let mut left: Vec<_> = left.filter(|name| !["no-home", "state"].iter().any(|known| name == known)).collect();
    left.sort();
    assert_eq!(left, ["site"]);
    assert!(!home.path().join("site/.git").exists());
}
