//! One phase of one buildpack, as a process in a cell: with an end in time, and in what it prints.

use super::Pack;
use super::trouble::{BuildError, at};
use crate::build::Log;
use crate::cell::{Cell, Door, end};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most that a phase may print. A log is for people.
pub(super) const MAX_OUTPUT_BYTES: u64 = 8 << 20;
/// A longer line comes in pieces.
const MAX_LINE_BYTES: usize = 4096;
/// Last lines that are kept.
const LAST_LINES: usize = 5;

/// What is run, and how.
pub(super) struct Phase<'a> {
    pub(super) pack: &'a Pack,
    pub(super) name: &'static str,
    pub(super) limit: Duration,
    /// Who hears each line; else only the last ones are kept.
    pub(super) log: Option<&'a Log<'a>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    /// The last line.
    pub(super) last: String,
}

/// Why reading stopped.
enum Stop {
    TooLoud,
    Broken(io::Error),
}

/// Both outputs of a process.
struct Ear<'a> {
    log: Option<&'a Log<'a>>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    bytes: u64,
    last: VecDeque<String>,
}

impl Phase<'_> {
    pub(super) async fn run(&self, door: &Door, cell: &Cell, argv: [&PathBuf; 4]) -> Result<Said, BuildError> {
        cell.prepare()?;
        let program = argv[0].clone();
        let mut command = cell.command(door, argv);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(at(&program))?;
        let leader = child.id();
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(at(&program)(io::Error::other("it has no output")));
        };
        let ear = Ear { log: self.log, heard: Mutex::default() };
        let work = async {
            let ended = async {
                let status = child.wait().await;
                // What it left behind holds its output open, and has no business any more.
                leader.into_iter().for_each(end);
                status.map_err(Stop::Broken)
            };
            tokio::try_join!(ended, ear.listen(out), ear.listen(err))
        };
        let done = tokio::time::timeout(self.limit, work).await;
        if !matches!(done, Ok(Ok(_))) {
            leader.into_iter().for_each(end);
            // Its end is waited for, or its files could change while they are removed.
            drop(child.wait().await);
        }
        match done {
            Ok(Ok((status, (), ()))) => Ok(Said { code: status.code().unwrap_or(-1), last: ear.last() }),
            Ok(Err(Stop::TooLoud)) => {
                let pack = self.pack.id.clone();
                Err(BuildError::TooLoud { pack, phase: self.name, limit_bytes: MAX_OUTPUT_BYTES })
            }
            Ok(Err(Stop::Broken(error))) => Err(at(Path::new(&program))(error)),
            Err(_) => {
                let pack = self.pack.id.clone();
                Err(BuildError::TimedOut { pack, phase: self.name, limit_secs: self.limit.as_secs() })
            }
        }
    }
}

impl Ear<'_> {
    async fn listen(&self, mut from: impl AsyncRead + Unpin) -> Result<(), Stop> {
        let (mut buffer, mut line) = (vec![0; 1 << 16], Vec::new());
        loop {
            let read = from.read(&mut buffer).await.map_err(Stop::Broken)?;
            if read == 0 {
                if !line.is_empty() {
                    self.hear(&line);
                }
                return Ok(());
            }
            if self.count(read) > MAX_OUTPUT_BYTES {
                return Err(Stop::TooLoud);
            }
            for byte in &buffer[..read] {
                if *byte != b'\n' {
                    line.push(*byte);
                }
                if *byte == b'\n' || line.len() >= MAX_LINE_BYTES {
                    self.hear(&line);
                    line.clear();
                }
            }
        }
    }

    fn count(&self, bytes: usize) -> u64 {
        let mut heard = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.bytes += bytes as u64;
        heard.bytes
    }

    fn hear(&self, line: &[u8]) {
        let line = plain(line);
        if let Some(log) = self.log {
            log(&line);
        }
        let mut heard = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !line.trim().is_empty() {
            heard.last.push_back(line);
        }
        while heard.last.len() > LAST_LINES {
            heard.last.pop_front();
        }
    }

    fn last(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        heard.last.back().cloned().unwrap_or_default()
    }
}

/// A stranger's words: what steers a terminal is left out.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}
