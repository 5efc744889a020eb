//! Which licences a repository carries: texts at its root and in `LICENSES/`, and what its manifest declares.
//!
//! A text is compared with those of the SPDX list, which takes time and memory: what a blob says is remembered by its id,
//! and the list goes again when nobody has asked for a while.

use super::fetch::Filter;
use super::git::{Git, object_id};
use super::tree::{self, NotAFile, ReadError};
use super::url::RepositoryUrl;
use super::{SourceError, worktree};
use gix::ObjectId;
use gix::objs::FindObjectOrHeader as Objects;
use gix::objs::tree::EntryKind;
use renderer::CommitId;
use renderer::licence::{Licence, Licences, Says, is_licence_file};
use spdx::detection::{Store, TextData};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest licence has 60 KiB; what is larger is a list of other people's.
const MAX_BYTES: u64 = 128 << 10;
/// Files that are looked at.
const MAX_FILES: usize = 20;
/// Blobs of which it is remembered what they say.
const KEPT: usize = 20_000;
/// How sure it has to be.
const CONFIDENCE: f32 = 0.9;
/// So long the texts of all licences stay at hand.
const LINGER: Duration = Duration::from_secs(30);
/// Where a repository declares its licence besides.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "package.json", "pyproject.toml"];

/// What is known of blobs.
#[derive(Default)]
pub(super) struct Known {
    blobs: Mutex<BTreeMap<ObjectId, Says>>,
    store: Mutex<Option<Arc<Store>>>,
}

/// One file, read.
struct Text {
    file: String,
    id: Option<ObjectId>,
    bytes: Result<Vec<u8>, String>,
}

impl Git {
    /// The licences that `commit` carries.
    ///
    /// # Errors
    /// Where it could not be read.
    pub async fn licences(&self, url: &RepositoryUrl, commit: &CommitId) -> Result<Licences, SourceError> {
        let id = object_id(commit)?;
        let texts = self.read_in_turn(url, id, Filter::Blobs, move |objects| texts(objects, id)).await?;
        let known = self.known_licences();
        let asked = Arc::clone(&known);
        let judged = tokio::task::spawn_blocking(move || asked.judged(texts)).await;
        if known.has_texts() {
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                known.forget_texts();
            });
        }
        judged.map_err(|_| SourceError::Corrupt { why: "its licence could not be looked at".to_owned() })
    }
}

/// The licences of a folder as it is now.
#[must_use]
pub fn of_folder(folder: &Path) -> Licences {
    let mut texts = Vec::new();
    for (name, below) in [("", false), ("LICENSES", true)] {
        let Ok(entries) = std::fs::read_dir(folder.join(name)) else { continue };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for file in names.filter(|file| below || is_licence_file(file) || MANIFESTS.contains(&file.as_str())) {
            let path = if below { format!("{name}/{file}") } else { file };
            let bytes = match worktree::file(&folder.join(&path)) {
                Ok(Some(bytes)) if bytes.len() as u64 > MAX_BYTES => Err(format!("is larger than {MAX_BYTES} bytes")),
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) | Err(SourceError::NotAFile { is: NotAFile::Folder, .. }) => continue,
                Err(error) => Err(format!("cannot be read: {error}")),
            };
            texts.push(Text { file: path, id: None, bytes });
        }
    }
    texts.sort_by(|a, b| a.file.cmp(&b.file));
    texts.truncate(MAX_FILES);
    Known::default().judged(texts)
}

fn texts(objects: &dyn Objects, commit: ObjectId) -> Result<Vec<Text>, ReadError> {
    let mut found = Vec::new();
    for (folder, below) in [("", false), ("LICENSES", true)] {
        let listed = match tree::list(objects, commit, folder) {
            // A link in its place holds nothing.
            Err(ReadError::Source(SourceError::NotAFile { .. })) => None,
            listed => listed?,
        };
        let wanted = |name: &str| below || is_licence_file(name) || MANIFESTS.contains(&name);
        let files = listed.unwrap_or_default().into_iter().filter(|(name, ..)| wanted(name));
        found.extend(files.map(|(name, kind, id)| (if below { format!("{folder}/{name}") } else { name }, kind, id)));
    }
    found.retain(|(_, kind, _)| *kind != EntryKind::Tree);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.truncate(MAX_FILES);
    let is_blob = |kind: EntryKind| matches!(kind, EntryKind::Blob | EntryKind::BlobExecutable);
    let blobs: Vec<_> = found.iter().map(|(file, kind, id)| is_blob(*kind).then(|| (file.clone(), *id))).collect();
    tree::present(objects, &blobs)?;
    let read = |(file, kind, id): (String, EntryKind, ObjectId)| {
        let bytes = match kind {
            kind if is_blob(kind) => match tree::bounded_file(objects, &file, id, MAX_BYTES) {
                Err(ReadError::Source(SourceError::TooLarge { limit_bytes, .. })) => {
                    Err(format!("is larger than {limit_bytes} bytes"))
                }
                Err(ReadError::Source(error)) => Err(format!("cannot be read: {error}")),
                bytes => Ok(bytes?),
            },
            _ => Err("is no file".to_owned()),
        };
        Ok(Text { file, id: Some(id), bytes })
    };
    found.into_iter().map(read).collect()
}

impl Known {
    fn judged(&self, texts: Vec<Text>) -> Licences {
        let says = texts.into_iter().filter_map(|text| Some(Licence { says: self.says(&text)?, file: text.file }));
        Licences(says.collect())
    }

    /// None where it says nothing of a licence.
    fn says(&self, text: &Text) -> Option<Says> {
        let bytes = match &text.bytes {
            Ok(bytes) => bytes,
            Err(_) if MANIFESTS.contains(&text.file.as_str()) => return None,
            Err(why) => return Some(Says::Unreadable(why.clone())),
        };
        if MANIFESTS.contains(&text.file.as_str()) {
            return declared(&text.file, bytes);
        }
        let known = text.id.and_then(|id| lock(&self.blobs).get(&id).cloned());
        Some(known.unwrap_or_else(|| {
            let says = self.detected(&String::from_utf8_lossy(bytes));
            if let Some(id) = text.id {
                let mut blobs = lock(&self.blobs);
                if blobs.len() >= KEPT {
                    blobs.clear();
                }
                blobs.insert(id, says.clone());
            }
            says
        }))
    }

    /// One at a time: what it takes is taken once.
    fn detected(&self, text: &str) -> Says {
        let mut kept = lock(&self.store);
        if kept.is_none() {
            // The list is part of the program.
            *kept = Store::load_inline().ok().map(Arc::new);
        }
        let Some(store) = kept.as_ref() else { return Says::Unknown };
        let found = store.analyze(&TextData::from(text));
        if found.score < CONFIDENCE { Says::Unknown } else { named(found.name) }
    }

    fn has_texts(&self) -> bool {
        lock(&self.store).is_some()
    }

    /// The texts of all licences go again.
    fn forget_texts(&self) {
        *lock(&self.store) = None;
    }
}

fn named(name: &str) -> Says {
    let approved = spdx::license_id(name).is_some_and(spdx::LicenseId::is_osi_approved);
    if approved { Says::Approved(name.to_owned()) } else { Says::Other(name.to_owned()) }
}

/// What a manifest declares, where it is an expression of SPDX; another text is told by the licence's own file.
fn declared(file: &str, bytes: &[u8]) -> Option<Says> {
    let text = std::str::from_utf8(bytes).ok()?;
    let written = match file {
        "package.json" => {
            let manifest: serde_json::Value = serde_json::from_str(text).ok()?;
            manifest.get("license")?.as_str()?.to_owned()
        }
        _ => {
            let manifest: toml::Table = text.parse().ok()?;
            let table = if file == "Cargo.toml" { "package" } else { "project" };
            manifest.get(table)?.get("license")?.as_str()?.to_owned()
        }
    };
    let expression = spdx::Expression::parse(&written).ok()?;
    let approved = expression.evaluate(|wanted| wanted.license.id().is_some_and(spdx::LicenseId::is_osi_approved));
    Some(if approved { Says::Approved(written) } else { Says::Other(written) })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
