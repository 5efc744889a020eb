//! The state on disk: an append-only log of records, each one line `<length> <checksum> <JSON>`.
//!
//! A record is one transaction, so it is there whole or not at all. A write is acknowledged when its record is synced;
//! writers that wait at the same time share one sync. When the log is mostly history, it is rewritten beside itself and
//! renamed into place. A torn tail, which a crash may leave behind, is cut off when the log is opened: nobody was told
//! that it exists. A bad record with good ones after it is no crash but damage, and is refused.

use crate::ids::fnv1a;
use crate::resource::Resource;
use crate::store::{Change, Entry, Key, Store};
use crate::value::Object;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const LOG: &str = "state.log";
const NEXT: &str = "state.log.new";
/// A log is not rewritten before it has this size.
const MIN_REWRITE_BYTES: u64 = 4 << 20;

/// Why the state can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The disk says no.
    #[error("can't read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Damage in the middle.
    #[error("{path} is damaged at byte {at}, and records follow that are whole")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the bad record starts.
        at: u64,
    },
    /// A record that is whole and still means nothing here: written by another version.
    #[error("{path} holds a record at byte {at} that this version does not know")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Where the record starts.
        at: u64,
    },
}

/// An open log.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    file: Arc<Synchronized>,
    bytes: u64,
    /// Size after the last rewrite.
    base_bytes: u64,
    /// A record could not be written: nothing is appended any more.
    is_broken: bool,
}

/// A file, and how much of it is known to be on disk.
#[derive(Debug)]
struct Synchronized {
    file: File,
    synced: Mutex<u64>,
}

/// A promise that a record will be on disk.
#[derive(Debug)]
#[must_use]
pub struct Synced(io::Result<Option<(Arc<Synchronized>, u64)>>);

impl Synced {
    /// There is nothing to wait for: memory only.
    pub fn nothing() -> Self {
        Self(Ok(None))
    }

    /// Waits until the record is on disk.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub async fn wait(self) -> io::Result<()> {
        let Some((file, bytes)) = self.0? else {
            return Ok(());
        };
        let synced = tokio::task::spawn_blocking(move || file.sync_to(bytes));
        synced.await.map_err(io::Error::other)?
    }
}

impl Synchronized {
    fn sync_to(&self, bytes: u64) -> io::Result<()> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= bytes {
            return Ok(());
        }
        let written = self.file.metadata()?.len();
        self.file.sync_data()?;
        *synced = written;
        Ok(())
    }
}

impl Journal {
    /// Opens the log of a directory and reads it into a store. The caller holds the directory's lock.
    ///
    /// # Errors
    /// Where it can't be read, or is damaged in the middle.
    pub fn open(dir: &Path, store: &mut Store) -> Result<Self, Unreadable> {
        let path = dir.join(LOG);
        let io = |source| Unreadable::Io { path: path.clone(), source };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io(error)),
        };
        let good = replay(&bytes, store, &path)?;
        let file = private_log().open(&path).map_err(io)?;
        if good < bytes.len() as u64 {
            tracing::warn!(path = %path.display(), at = good, "cut off a record that was never completed");
            file.set_len(good).map_err(io)?;
        }
        file.sync_all().and_then(|()| sync_dir(dir)).map_err(io)?;
        Ok(Self {
            dir: dir.to_owned(),
            file: Arc::new(Synchronized { file, synced: Mutex::new(good) }),
            bytes: good,
            base_bytes: 0,
            is_broken: false,
        })
    }

    /// Appends one transaction, and rewrites the log if it is mostly history by now.
    pub fn append(&mut self, changes: &[Change], store: &Store) -> Synced {
        Synced(self.try_append(changes, store).map(Some))
    }

    fn try_append(&mut self, changes: &[Change], store: &Store) -> io::Result<(Arc<Synchronized>, u64)> {
        if self.is_broken {
            return Err(io::Error::other("an earlier record could not be written"));
        }
        let line = record(changes.iter().map(change_text));
        if let Err(error) = (&self.file.file).write_all(&line) {
            // Half a record may be there. Nothing may follow it, or it would look like damage in the middle.
            self.is_broken = true;
            return Err(error);
        }
        self.bytes += line.len() as u64;
        if self.bytes > MIN_REWRITE_BYTES.max(4 * self.base_bytes)
            && let Err(error) = self.rewrite(store)
        {
            tracing::warn!(%error, "the sandbox's log could not be rewritten, and grows on");
            self.base_bytes = self.bytes;
        }
        Ok((self.file.clone(), self.bytes))
    }

    /// Writes what is alive beside the log, and puts it in its place.
    ///
    /// # Errors
    /// Where the disk refuses; the old log is then still in place.
    pub fn rewrite(&mut self, store: &Store) -> io::Result<()> {
        let next = self.dir.join(NEXT);
        let mut bytes = record([format!("[\"reached\",{}]", store.revision())].into_iter());
        for entry in store.all() {
            bytes.extend(record([put_text(entry)].into_iter()));
        }
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private_log().open(&next)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        // The rename is the one moment of change; the file that was written is the one that is appended to.
        fs::rename(&next, self.dir.join(LOG))?;
        self.bytes = bytes.len() as u64;
        self.base_bytes = self.bytes;
        self.file = Arc::new(Synchronized { file, synced: Mutex::new(self.bytes) });
        sync_dir(&self.dir)
    }
}

/// The state holds Secrets: nobody else reads it.
fn private_log() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn record(changes: impl Iterator<Item = String>) -> Vec<u8> {
    let changes: Vec<String> = changes.collect();
    let body = format!("[{}]", changes.join(","));
    let head = format!("{:08x} {:016x} ", body.len(), fnv1a(body.as_bytes()));
    let mut line = head.into_bytes();
    line.extend_from_slice(body.as_bytes());
    line.push(b'\n');
    line
}

fn change_text(change: &Change) -> String {
    match change {
        Change::Put(entry) => put_text(entry),
        Change::Removed(gone) => {
            let Entry { key, revision, .. } = gone.as_ref();
            json!(["removed", key.kind, key.namespace, key.name, revision]).to_string()
        }
    }
}

fn put_text(entry: &Entry) -> String {
    let object = String::from_utf8_lossy(&entry.json);
    format!("[\"put\",\"{}\",{object}]", entry.key.kind)
}

/// Reads records until the first bad one, and returns how far the good ones reach.
fn replay(bytes: &[u8], store: &mut Store, path: &Path) -> Result<u64, Unreadable> {
    let mut at = 0;
    while at < bytes.len() {
        let Some((changes, end)) = whole_record(&bytes[at..]) else {
            break;
        };
        for change in &changes {
            restore(change, store).ok_or_else(|| Unreadable::Foreign { path: path.to_owned(), at: at as u64 })?;
        }
        at += end;
    }
    if followed_by_whole_record(&bytes[at..]) {
        return Err(Unreadable::Damaged { path: path.to_owned(), at: at as u64 });
    }
    Ok(at as u64)
}

fn followed_by_whole_record(rest: &[u8]) -> bool {
    let line_ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let mut starts = line_ends.map(|(at, _)| at + 1);
    starts.any(|start| whole_record(&rest[start..]).is_some())
}

/// The changes of the record at the front, and its length; none if it is torn.
fn whole_record(bytes: &[u8]) -> Option<(Vec<Value>, usize)> {
    let head = std::str::from_utf8(bytes.get(..26)?).ok()?;
    let len = usize::from_str_radix(head.get(..8)?, 16).ok()?;
    let sum = u64::from_str_radix(head.get(9..25)?, 16).ok()?;
    let body = bytes.get(26..26_usize.checked_add(len)?)?;
    let ends = bytes.get(26 + len) == Some(&b'\n');
    if !ends || fnv1a(body) != sum {
        return None;
    }
    Some((serde_json::from_slice(body).ok()?, 26 + len + 1))
}

fn restore(change: &Value, store: &mut Store) -> Option<()> {
    let text = |at: usize| change.get(at).and_then(Value::as_str);
    match text(0)? {
        "put" => {
            let object: &Object = change.get(2)?.as_object()?;
            let meta = |field| crate::value::meta(object, field);
            let key = Key::new(Resource::by_kind(text(1)?)?.kind, meta("namespace"), meta("name"));
            store.restore(key, object, meta("resourceVersion").parse().ok()?);
        }
        "removed" => {
            let key = Key::new(Resource::by_kind(text(1)?)?.kind, text(2)?, text(3)?);
            store.restore_removal(&key, change.get(4)?.as_u64()?);
        }
        "reached" => store.reached(change.get(1)?.as_u64()?),
        _ => return None,
    }
    Some(())
}
