//! One phase of one buildpack, as a process in a cell: with an end in time, and of what it prints the beginning and the
//! end. Printing is no fault: a build that works in a cluster works here.

use super::Pack;
use super::trouble::{BuildError, at};
use crate::build::Log;
use crate::cell::{Cell, Door, end};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most of what a phase prints that is passed on as it is said. A log is for people.
const SAID_BYTES: u64 = 8 << 20;
/// Of what comes after, so much of the end is kept.
const LAST_BYTES: usize = 64 << 10;
/// A longer line comes in pieces.
const MAX_LINE_BYTES: usize = 4096;

/// What is run, and how.
pub(super) struct Phase<'a> {
    pub(super) pack: &'a Pack,
    pub(super) name: &'static str,
    pub(super) limit: Duration,
    /// Who hears each line; else only the last one is kept.
    pub(super) log: Option<&'a Log<'a>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    /// The last line.
    pub(super) last: String,
}

/// A process group that ends when nobody waits for it any more, and at the latest with its leader: what a process left
/// behind holds its output open, and has no business any more.
struct Leader(Option<u32>);

impl Leader {
    fn end(&mut self) {
        self.0.take().into_iter().for_each(end);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.end();
    }
}

/// Both outputs of a process.
struct Ear<'a> {
    log: Option<&'a Log<'a>>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    bytes: u64,
    /// The last line with words in it.
    last: String,
    tail: Tail,
}

/// The end of something that may be very long.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    left_out: u64,
}

impl Phase<'_> {
    pub(super) async fn run(&self, door: &Door, cell: &Cell, argv: [&PathBuf; 4]) -> Result<Said, BuildError> {
        cell.prepare()?;
        let program = argv[0].clone();
        let mut command = cell.command(door, argv).map_err(at(&program))?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(at(&program))?;
        let mut leader = Leader(child.id());
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(at(&program)(io::Error::other("it has no output")));
        };
        let ear = Ear { log: self.log, heard: Mutex::default() };
        let work = async {
            let ended = async {
                let status = child.wait().await;
                leader.end();
                status
            };
            tokio::try_join!(ended, ear.listen(out), ear.listen(err))
        };
        let done = tokio::time::timeout(self.limit, work).await;
        if !matches!(done, Ok(Ok(_))) {
            leader.end();
            // Its end is waited for, or its files could change while they are removed.
            drop(child.wait().await);
        }
        let last = ear.finish();
        match done {
            Ok(Ok((status, (), ()))) => Ok(Said { code: status.code().unwrap_or(-1), last }),
            Ok(Err(error)) => Err(at(&program)(error)),
            Err(_) => {
                let (pack, limit_secs) = (self.pack.id.clone(), self.limit.as_secs());
                Err(BuildError::TimedOut { pack, phase: self.name, limit_secs, last })
            }
        }
    }
}

impl Ear<'_> {
    async fn listen(&self, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        let (mut buffer, mut line) = (vec![0; 1 << 16], Vec::new());
        loop {
            let read = from.read(&mut buffer).await?;
            let is_within = self.take_in(&buffer[..read]);
            if (read == 0 || !is_within) && !line.is_empty() {
                self.hear(&line);
                line.clear();
            }
            if read == 0 {
                return Ok(());
            }
            if is_within {
                self.hear_lines(&buffer[..read], &mut line);
            }
        }
    }

    /// Whether these bytes are said as they come; else only the end is kept.
    fn take_in(&self, bytes: &[u8]) -> bool {
        let mut heard = self.heard();
        heard.bytes += bytes.len() as u64;
        let is_within = heard.bytes <= SAID_BYTES;
        if !is_within {
            heard.tail.push(bytes);
        }
        is_within
    }

    fn hear_lines(&self, bytes: &[u8], line: &mut Vec<u8>) {
        for byte in bytes {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= MAX_LINE_BYTES {
                self.hear(line);
                line.clear();
            }
        }
    }

    fn hear(&self, line: &[u8]) {
        let line = plain(line);
        if let Some(log) = self.log {
            log(&line);
        }
        if !line.trim().is_empty() {
            self.heard().last = line;
        }
    }

    /// Says the end of what was too much, and gives the last line.
    fn finish(&self) -> String {
        let tail = std::mem::take(&mut self.heard().tail);
        if !tail.bytes.is_empty() {
            self.hear(format!("[{} bytes that were said here are left out]", tail.left_out).as_bytes());
            let mut line = Vec::new();
            self.hear_lines(&tail.bytes, &mut line);
            if !line.is_empty() {
                self.hear(&line);
            }
        }
        self.heard().last.clone()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * LAST_BYTES {
            let extra = self.bytes.len() - LAST_BYTES;
            self.bytes.drain(..extra);
            self.left_out += extra as u64;
        }
    }
}

/// A stranger's words: what steers a terminal is left out.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log of this many lines holds, and the last one.
    async fn said(lines: u64) -> (String, String) {
        let log = Mutex::new(String::new());
        let to = |line: &str| log.lock().expect("a lock").push_str(&format!("{line}\n"));
        let ear = Ear { log: Some(&to), heard: Mutex::default() };
        let text: String = (0..lines).map(|line| format!("line {line:10}\n")).collect();
        ear.listen(text.as_bytes()).await.expect("it is heard");
        let last = ear.finish();
        (log.into_inner().expect("a lock"), last)
    }

    #[tokio::test]
    async fn of_too_much_the_beginning_and_the_end_are_kept_and_the_rest_is_counted() {
        let (all, last) = said(1000).await;
        assert_eq!((all.len(), last.as_str()), (16_000, "line        999"));

        let (bounded, last) = said(1_000_000).await;
        assert_eq!(last, "line     999999");
        assert!(bounded.starts_with("line          0\n") && bounded.ends_with("line     999999\n"));
        let (left_out, kept): (Vec<_>, Vec<_>) = bounded.lines().partition(|line| line.contains("are left out"));
        let left_out = left_out.concat().split_once(' ').and_then(|(count, _)| count.strip_prefix('[')?.parse().ok());
        let kept = kept.iter().filter(|line| line.len() == 15).count();
        assert!(bounded.len() < SAID_BYTES as usize + 3 * LAST_BYTES, "{} bytes", bounded.len());
        let missing = 16_000_000 - 16 * kept as u64;
        let left_out: u64 = left_out.expect("a count");
        assert!(missing - left_out < 32, "{left_out} of {missing}");
    }
}
