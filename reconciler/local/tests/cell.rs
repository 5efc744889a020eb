//! What a process in a cell is, sees and may take; each test says so by starting one.

use local::cell::{Cell, Door, Limits, end};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

struct Scratch {
    folder: TempDir,
    door: Door,
}

/// What came of a process.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn scratch() -> Scratch {
    let folder = tempfile::tempdir().expect("a folder");
    // Where we are root the process is not, and a temporary folder is closed to others.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("an open folder");
    Scratch { door: Door::through(Path::new(env!("CARGO_BIN_EXE_cell-door"))).await, folder }
}

impl Scratch {
    fn cell(&self) -> Cell {
        Cell::new(&self.folder.path().join("cell"))
    }

    /// In both ways where the kernel allows both.
    fn doors(&self) -> Vec<Door> {
        let plain = self.door.without_places();
        if self.door.in_place() { vec![self.door.clone(), plain] } else { vec![plain] }
    }

    fn place(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        local::cell::give(&path).expect("given away");
        path
    }
}

async fn ran(door: &Door, cell: &Cell, argv: &[&str]) -> Ran {
    cell.prepare().expect("a cell");
    let mut command = cell.command(door, argv).expect("a command");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let out = command.spawn().expect("it starts").wait_with_output().await.expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: out.status.code(), out: text(out.stdout), err: text(out.stderr) }
}

#[tokio::test]
async fn a_process_is_not_root_and_can_not_become_it() {
    let scratch = scratch().await;
    for door in scratch.doors() {
        let ran =
            ran(&door, &scratch.cell(), &["sh", "-c", "id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status"]).await;
        let lines: Vec<_> = ran.out.lines().collect();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_ne!(lines[0], "0", "{ran:?}");
        assert_eq!(lines[1..], ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"], "{ran:?}");
    }
}

#[tokio::test]
async fn a_process_sees_its_own_environment_and_home_and_nothing_of_ours() {
    let scratch = scratch().await;
    for door in scratch.doors() {
        let cell = scratch.cell().with_env("GREETING", "hello world");
        let ran = ran(&door, &cell, &["sh", "-c", "env; touch $HOME/mine $TMPDIR/mine; pwd"]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let mut names: Vec<_> = ran.out.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["GREETING", "HOME", "LANG", "PATH", "PWD", "TMPDIR"], "{ran:?}");
        assert!(ran.out.contains("GREETING=hello world\n"), "{ran:?}");
        for folder in ["home", "tmp"] {
            let mine = scratch.folder.path().join("cell").join(folder).join("mine");
            std::fs::remove_file(&mine).expect("what it wrote is in the cell's folder");
        }
    }
}

#[tokio::test]
async fn places_are_at_their_paths_and_what_is_hidden_is_not_there() {
    let scratch = scratch().await;
    let (layers, app) = (scratch.place("l"), scratch.place("a"));
    std::fs::write(app.join("file"), "content").expect("a file");
    let cell = scratch.cell().with_place(&layers, "/layers", true).with_place(&app, "/workspace", false);
    for door in scratch.doors() {
        let seen = |path: &str| cell.seen(&door, path).display().to_string();
        let script = format!("cat {}/file && echo made >{}/made", seen("/workspace"), seen("/layers"));
        let ran = ran(&door, &cell, &["sh", "-c", &script]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "content"), "{ran:?}");
        std::fs::remove_file(layers.join("made")).expect("it was written through the place");
    }
    if scratch.door.in_place() {
        let script =
            "! touch /workspace/new && ! touch /new && ls /home /root | grep -v '^$'; ls /proc | grep -c '^[0-9]'";
        let ran = ran(&scratch.door, &cell, &["sh", "-c", script]).await;
        assert!(ran.err.contains("Read-only file system"), "{ran:?}");
        let last = ran.out.lines().last().expect("a count");
        assert!(last.parse::<u32>().expect("a number") < 8, "it sees its own processes alone: {ran:?}");
    }
}

#[tokio::test]
async fn the_kernel_of_this_machine_is_asked_and_not_believed() {
    let scratch = scratch().await;
    let ran = ran(&scratch.door, &scratch.cell(), &["sh", "-c", "test -d /home/tool && echo real"]).await;
    assert_eq!(ran.out.trim() == "real", scratch.door.in_place(), "{ran:?}");
}

#[tokio::test]
async fn a_process_can_fill_neither_memory_nor_a_file_nor_the_process_table() {
    let scratch = scratch().await;
    let limits = Limits { memory_bytes: Some(64 << 20), file_bytes: 1 << 20, processes: 20, files: 64 };
    let cell = scratch.cell().with_limits(limits);
    for door in scratch.doors() {
        let memory = ran(&door, &cell, &["/usr/bin/python3", "-I", "-c", "x = bytearray(1 << 28)"]).await;
        assert!(memory.err.contains("MemoryError"), "{memory:?}");
        let file = ran(&door, &cell, &["sh", "-c", "trap '' XFSZ; head -c 3000000 /dev/zero >$TMPDIR/big"]).await;
        assert!(file.code != Some(0), "{file:?}");
        let written = std::fs::metadata(scratch.folder.path().join("cell/tmp/big")).expect("a part of it");
        assert_eq!(written.len(), 1 << 20);
    }
    if scratch.door.in_place() {
        let script = "for i in $(seq 40); do sleep 5 & done; wait";
        let processes = ran(&scratch.door, &cell, &["bash", "-c", script]).await;
        assert!(processes.err.contains("Resource temporarily unavailable"), "{processes:?}");
    }
}

#[tokio::test]
async fn exit_codes_signals_and_what_could_not_be_started_are_told_apart() {
    let scratch = scratch().await;
    for door in scratch.doors() {
        let cell = scratch.cell();
        let exit = async |argv: &[&str]| ran(&door, &cell, argv).await;
        assert_eq!(exit(&["sh", "-c", "exit 7"]).await.code, Some(7));
        let none = exit(&["no-such-program"]).await;
        assert_eq!(none.code, Some(127), "{none:?}");
        assert!(none.err.contains("cannot run no-such-program"), "{none:?}");
        assert_eq!(exit(&["/etc/passwd"]).await.code, Some(126));
    }
    if scratch.door.in_place() {
        assert_eq!(ran(&scratch.door, &scratch.cell(), &["sh", "-c", "kill -9 $$"]).await.code, Some(137));
    }
}

/// A process that starts another one, and says so; the other one waits, holding our pipe open until it is gone.
const PARENT: &str = "sleep 600 & echo started; wait";

#[tokio::test]
async fn a_process_ends_with_all_that_it_started() {
    use tokio::io::AsyncReadExt as _;
    let scratch = scratch().await;
    for door in scratch.doors() {
        let leaves_its_group = if door.in_place() { format!("setsid {PARENT}") } else { PARENT.to_owned() };
        let cell = scratch.cell();
        cell.prepare().expect("a cell");
        let mut command = cell.command(&door, ["sh", "-c", &leaves_its_group]).expect("a command");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut out = child.stdout.take().expect("a pipe");
        let mut said = [0; 8];
        out.read_exact(&mut said).await.expect("it says that it has started");
        end(child.id().expect("it runs"));
        child.wait().await.expect("it ends");
        // The end of the pipe comes when the last one that holds it is gone.
        let mut rest = String::new();
        out.read_to_string(&mut rest).await.expect("the end");
    }
}

#[tokio::test]
async fn a_process_is_asked_to_end_through_its_group_and_may_end_in_its_own_way() {
    use tokio::io::AsyncReadExt as _;
    let scratch = scratch().await;
    for door in scratch.doors() {
        let cell = scratch.cell();
        cell.prepare().expect("a cell");
        let script = "trap 'echo bye; exit 3' TERM; echo started; while :; do sleep 0.05; done";
        let mut command = cell.command(&door, ["bash", "-c", script]).expect("a command");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut out = child.stdout.take().expect("a pipe");
        let mut said = [0; 8];
        out.read_exact(&mut said).await.expect("it says that it has started");
        let group = format!("-{}", child.id().expect("it runs"));
        let sent = std::process::Command::new("kill").args(["-TERM", "--", &group]).status().expect("kill runs");
        assert!(sent.success());
        let mut rest = String::new();
        out.read_to_string(&mut rest).await.expect("the end");
        assert_eq!(child.wait().await.expect("it ends").code(), Some(3), "{rest:?}");
        assert_eq!(rest, "bye\n");
    }
}

/// Says to this very test, started once more, in which folder it is to be the parent.
const PARENT_IN: &str = "CELL_TEST_PARENT_IN";

#[tokio::test]
async fn a_process_goes_when_whoever_started_it_is_killed() {
    use tokio::io::AsyncReadExt as _;
    if let Some(folder) = std::env::var_os(PARENT_IN) {
        let cell = Cell::new(Path::new(&folder));
        let door = Door::through(Path::new(env!("CARGO_BIN_EXE_cell-door"))).await;
        let script = if door.in_place() { PARENT.to_owned() } else { "echo started; exec sleep 600".to_owned() };
        let mut child = cell.command(&door, ["sh", "-c", &script]).expect("a command").spawn().expect("it starts");
        child.wait().await.expect("it ends");
        return;
    }
    let scratch = scratch().await;
    scratch.cell().prepare().expect("a cell");
    let test = "a_process_goes_when_whoever_started_it_is_killed";
    let mut parent = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(PARENT_IN, scratch.folder.path().join("cell"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut out = parent.stdout.take().expect("a pipe");
    let mut said = String::new();
    while !said.contains("started") {
        let mut more = [0; 100];
        let read = out.read(&mut more).await.expect("it says that it has started");
        assert_ne!(read, 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&more[..read]));
    }
    parent.kill().await.expect("it is killed");
    // The end of the pipe comes when the last one that holds it is gone.
    out.read_to_string(&mut said).await.expect("the end");
}
