//! A child that says in one line on stdout that it is ready, and ends when its stdin does.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

const END_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it and returns the line; its stderr is ours.
    pub(crate) fn start(program: &Path, args: &[&OsStr]) -> anyhow::Result<(Self, String)> {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut process = Self { child };
        let stdout = process.child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "{} ended before it was ready; its stderr says why", program.display());
        Ok((process, line))
    }
}

impl Drop for Process {
    /// Ends it by its stdin, so that it can end its own children, and by force when that takes long.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // An error means that it has ended just now.
                drop(self.child.kill());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
