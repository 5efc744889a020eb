//! What a container says, into a file: each line with its time and stream, as a container runtime writes it. The file has
//! an end; then it is put aside, and what was put aside before is gone.

use jiff::Timestamp;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A line that is longer comes in pieces.
const LINE_BYTES: usize = 16 << 10;
/// Last words are no longer than this, as a kubelet's.
const WORDS_BYTES: usize = 2048;
const WORDS_LINES: usize = 80;

/// A container's log. Clones write to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    written_bytes: u64,
    most_bytes: u64,
    last: VecDeque<Vec<u8>>,
    last_bytes: usize,
}

impl Log {
    /// A new log, of at most twice `most_bytes`.
    pub(crate) fn create(path: &Path, most_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let file = create(path)?;
        let path = path.to_owned();
        Ok(Self(Arc::new(Mutex::new(Inner {
            path,
            file,
            written_bytes: 0,
            most_bytes,
            last: VecDeque::new(),
            last_bytes: 0,
        }))))
    }

    /// Reads a stream to its end. A container that can't be heard goes on all the same.
    pub(crate) async fn capture(self, stream: &'static str, mut from: impl AsyncRead + Unpin) {
        let (mut buffer, mut line) = (vec![0; LINE_BYTES], Vec::new());
        loop {
            let read = match from.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
                while line.len() > LINE_BYTES {
                    let part: Vec<u8> = line.drain(..LINE_BYTES).collect();
                    self.write(stream, &part, false);
                }
                if piece.ends_with(b"\n") {
                    self.write(stream, &line, true);
                    line.clear();
                }
            }
        }
        if !line.is_empty() {
            self.write(stream, &line, true);
        }
    }

    /// The last lines, within bounds: what a container that failed leaves as its message.
    pub(crate) fn last_words(&self) -> String {
        let inner = self.lock();
        let lines: Vec<_> = inner.last.iter().map(|line| String::from_utf8_lossy(line)).collect();
        let text = lines.join("\n");
        let mut start = text.len().saturating_sub(WORDS_BYTES);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text[start..].to_owned()
    }

    fn write(&self, stream: &str, line: &[u8], is_whole: bool) {
        let mut inner = self.lock();
        if let Err(error) = inner.write(stream, line, is_whole) {
            tracing::warn!(%error, path = %inner.path.display(), "a container's log can't be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, stream: &str, line: &[u8], is_whole: bool) -> io::Result<()> {
        self.last_bytes += line.len();
        self.last.push_back(line.to_vec());
        while self.last.len() > WORDS_LINES || self.last_bytes > WORDS_BYTES && self.last.len() > 1 {
            self.last_bytes -= self.last.pop_front().map_or(0, |line| line.len());
        }
        let tag = if is_whole { "F" } else { "P" };
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.9fZ");
        let mut whole = format!("{time} {stream} {tag} ").into_bytes();
        whole.extend_from_slice(line);
        whole.push(b'\n');
        if self.written_bytes + whole.len() as u64 > self.most_bytes && self.written_bytes > 0 {
            self.rotate()?;
        }
        self.written_bytes += whole.len() as u64;
        self.file.write_all(&whole)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        fs::rename(&self.path, aside)?;
        self.file = create(&self.path)?;
        self.written_bytes = 0;
        Ok(())
    }
}

/// Secrets are printed more often than one would think.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn captured(said: &[u8], most_bytes: u64) -> (tempfile::TempDir, Log) {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::create(&folder.path().join("web/0.log"), most_bytes).expect("a log");
        log.clone().capture("stdout", said).await;
        (folder, log)
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> Vec<String> {
        let text = fs::read_to_string(folder.path().join("web").join(name)).expect("a file");
        text.lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect()
    }

    #[tokio::test]
    async fn lines_are_whole_or_marked_as_pieces() {
        let long = "x".repeat(LINE_BYTES + 1);
        let (folder, log) = captured(format!("one\n\n{long}\nend").as_bytes(), 1 << 20).await;
        let lines = read(&folder, "0.log");
        assert_eq!(lines[..2], ["stdout F one", "stdout F "]);
        assert!(lines[2].starts_with("stdout P xxx") && lines[3].starts_with("stdout F x"), "{}", lines[3].len());
        assert_eq!(lines[4], "stdout F end");
        assert!(log.last_words().ends_with("\nend"));
    }

    #[tokio::test]
    async fn a_log_has_an_end_and_keeps_the_newest() {
        let said: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let (folder, log) = captured(said.as_bytes(), 1000).await;
        let size = |name: &str| fs::metadata(folder.path().join("web").join(name)).expect("a file").len();
        assert!(size("0.log") <= 1000 && size("0.log.1") <= 1000);
        assert_eq!(read(&folder, "0.log").last().map(String::as_str), Some("stdout F line 99"));
        assert!(log.last_words().lines().count() <= WORDS_LINES && log.last_words().ends_with("line 99"));
    }
}
