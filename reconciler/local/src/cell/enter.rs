//! Into the cell, from inside: what our executable does when it is started with the hidden first argument.
//!
//! Where namespaces are allowed there are two processes before the program. The first makes the namespaces and the file
//! tree, and waits. The second is the first process of the new process namespace: it shows that namespace in `/proc`,
//! drops the last privilege, starts the program and reaps what is orphaned; when it ends, the kernel ends all that is left.
//! Both end when their parent ends. Signals that ask a process to end are for the program, which gets them itself, because
//! it is in the same process group; here they are not heeded.

use super::{Entry, OURSELVES, root};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{getegid, geteuid, getppid};
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use tokio::signal::unix::{SignalKind, signal};

/// The hidden first argument.
pub(super) const WORD: &str = "__cell";
/// That of the second process.
const INIT: &str = "__cell-init";
/// As shells say it: the cell could not be made; the program can't be run; there is no such program.
const NO_CELL: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// A shell's way to tell of a process that a signal ended.
const SIGNALLED: i32 = 128;

/// The call of one of the two processes.
struct Call {
    entry: Entry,
    text: String,
    argv: Vec<OsString>,
}

/// Call this before anything else in `main`, while there is one thread. If the process was started to lead into a cell, it
/// does that, and returns the exit code of the program; else it returns at once with none.
#[must_use]
pub fn enter() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let word = args.next()?;
    let step = match word.to_str()? {
        WORD => outer,
        INIT => init,
        _ => return None,
    };
    let text = args.next().and_then(|text| text.into_string().ok()).unwrap_or_default();
    let entered = serde_json::from_str(&text)
        .map_err(io::Error::other)
        .and_then(|entry: Entry| step(Call { entry, text, argv: args.collect() }));
    Some(entered.unwrap_or_else(|error| {
        say(&format!("cannot make a cell for the process: {error}"));
        ExitCode::from(NO_CELL)
    }))
}

fn outer(call: Call) -> io::Result<ExitCode> {
    if geteuid().is_root() {
        return Err(io::Error::other("a tool's process never runs as root"));
    }
    if call.entry.joins {
        // All that is started from here on is in the group.
        nix::unistd::write(io::stdin(), b"0")?;
    }
    if !call.entry.in_place {
        call.entry.limits.set(false)?;
        last_privileges()?;
        set_pdeathsig(Signal::SIGKILL)?;
        alive(&call.entry)?;
        let mut program = program(&call)?;
        program.stdin(Stdio::null());
        return Ok(not_started(&call, &program.current_dir(&call.entry.folder).exec()));
    }
    unshare_as(0, CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC)?;
    // New credentials forget whose death matters.
    set_pdeathsig(Signal::SIGKILL)?;
    alive(&call.entry)?;
    root::change(&call.entry.places)?;
    let mut next = Command::new(OURSELVES);
    next.arg(INIT).arg(&call.text).args(&call.argv).stdin(Stdio::null());
    waited_for(next)
}

/// Waits for the second process, deaf to what the program is asked to do.
fn waited_for(next: Command) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let wishes = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let _deaf = wishes.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?;
        let status = tokio::process::Command::from(next).kill_on_drop(true).status().await?;
        Ok(code(status.code().unwrap_or(SIGNALLED + Signal::SIGKILL as i32)))
    })
}

fn init(call: Call) -> io::Result<ExitCode> {
    set_pdeathsig(Signal::SIGKILL)?;
    let nothing: Option<&str> = None;
    let flags = nix::mount::MsFlags::MS_NOSUID | nix::mount::MsFlags::MS_NODEV | nix::mount::MsFlags::MS_NOEXEC;
    nix::mount::mount(Some("proc"), "/proc", Some("proc"), flags, nothing)?;
    // Root of the outer user namespace becomes the ordinary user again, in one more.
    unshare_as(call.entry.user, CloneFlags::empty())?;
    set_pdeathsig(Signal::SIGKILL)?;
    call.entry.limits.set(true)?;
    last_privileges()?;
    let mut program = program(&call)?;
    let child = match program.current_dir(&call.entry.folder).spawn() {
        Ok(child) => child.id(),
        Err(error) => return Ok(not_started(&call, &error)),
    };
    loop {
        let (ended, code_of) = match wait()? {
            WaitStatus::Exited(ended, code) => (ended, code),
            WaitStatus::Signaled(ended, signal, _) => (ended, SIGNALLED + signal as i32),
            _ => continue,
        };
        if u32::try_from(ended.as_raw()) == Ok(child) {
            return Ok(code(code_of));
        }
    }
}

/// A new user namespace, with others in it, in which this process has the id `inside` and every privilege.
fn unshare_as(inside: u32, others: CloneFlags) -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | others)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{inside} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{inside} {group} 1"))
}

/// No program gives more rights than this process has, whatever its file says.
fn last_privileges() -> io::Result<()> {
    Ok(set_no_new_privs()?)
}

/// Whether the parent lives: had it died before we asked to be told, we would not be told.
fn alive(entry: &Entry) -> io::Result<()> {
    if u32::try_from(getppid().as_raw()) == Ok(entry.parent) {
        return Ok(());
    }
    Err(io::Error::other("the process that started it has ended"))
}

fn program(call: &Call) -> io::Result<Command> {
    let (program, args) = call.argv.split_first().ok_or_else(|| io::Error::other("no program is named"))?;
    let mut command = Command::new(program);
    command.args(args);
    Ok(command)
}

fn not_started(call: &Call, error: &io::Error) -> ExitCode {
    let program = call.argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    say(&format!("cannot run {program} in {}: {error}", call.entry.folder.display()));
    ExitCode::from(if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE })
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// To whoever reads what the process says; where nobody reads there is nobody to tell.
fn say(text: &str) {
    drop(writeln!(io::stderr(), "toolforge: {text}"));
}
