//! The platform's keys, and what they made of each file: tried once for each file and tool, remembered as tags.

use super::keys::Keys;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use planner::kinds::Kind;
use renderer::length_prefixed::LengthPrefixed;
use renderer::secrets::{self, FILE, Opened, Refusal, Sealed, Terms};
use renderer::{ObjectId, Secret, ToolName};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files whose tags are remembered: of each of 3,000 tools the newest, the last good and a pinned one, and some more.
const REMEMBERED: usize = 20_000;

/// The keys of one platform. Cheap to clone: clones remember together.
#[derive(Clone, Default)]
pub struct Vault(Arc<Inner>);

#[derive(Default)]
struct Inner {
    platform: String,
    /// None where nobody has looked for keys; else what was found.
    keys: Option<Result<Keys, String>>,
    known: Mutex<Known>,
    decrypted: AtomicU64,
}

#[derive(Default)]
struct Known {
    /// By tool, its terms and the file's bytes, hashed.
    files: HashMap<String, Arc<Opened>>,
    /// By tool, whose records count for it, as its last file was opened.
    tools: BTreeMap<ToolName, BTreeSet<ToolName>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

/// Why a Secret could not be filled in. Then it is not sent.
#[derive(Debug, thiserror::Error)]
pub enum Unfilled {
    /// There are no keys.
    #[error("the platform's key is not at hand")]
    NoKeys,
    /// It is no value of a plan of ours.
    #[error("`{0}` holds no ciphertext")]
    NoCiphertext(String),
    /// It does not count here.
    #[error("`{key}` is refused: {why}")]
    Refused {
        /// The variable.
        key: String,
        /// Why.
        why: Refusal,
    },
}

impl Vault {
    /// With keys, or why there are none, as a fragment.
    #[must_use]
    pub fn new(platform: &str, keys: Result<Keys, String>) -> Self {
        Self(Arc::new(Inner { platform: platform.to_owned(), keys: Some(keys), ..Inner::default() }))
    }

    /// What a file's values are worth to a tool. Keys are tried where file, tool or `joined` are new; else this is a look
    /// into a table.
    #[must_use]
    pub fn opened(&self, tool: &ToolName, joined: &BTreeSet<ToolName>, file: Option<&[u8]>) -> Arc<Opened> {
        let (Some(file), Some(keys)) = (file, &self.0.keys) else { return Arc::default() };
        let keys = match keys {
            Ok(keys) => keys,
            Err(why) => return Arc::new(Opened::NoKeys(why.clone())),
        };
        let tools: BTreeSet<ToolName> = joined.iter().chain([tool]).cloned().collect();
        let name = memo_name(tool, &tools, file);
        if let Some(known) = self.known().files.get(&name) {
            return Arc::clone(known);
        }
        let opened = Arc::new(self.try_keys(keys, tool, &tools, file));
        let mut known = self.known();
        if known.files.len() >= REMEMBERED {
            known.files.clear();
        }
        known.files.insert(name, Arc::clone(&opened));
        known.tools.insert(tool.clone(), tools);
        opened
    }

    fn try_keys(&self, keys: &Keys, tool: &ToolName, tools: &BTreeSet<ToolName>, file: &[u8]) -> Opened {
        let Some(file) = secrets::parse(file, FILE).0 else { return Opened::Read(BTreeMap::new()) };
        let good = file.values.iter().filter_map(|(key, standing)| Some((key, standing.sealed.as_ref().ok()?)));
        let read = good.map(|(key, sealed)| {
            let value = self.open(keys, sealed, tools, key);
            (key.clone(), value.map(|value| keys.tag(tool.as_str(), key, &value)))
        });
        Opened::Read(read.collect())
    }

    fn open(&self, keys: &Keys, sealed: &Sealed, tools: &BTreeSet<ToolName>, key: &str) -> Result<Secret, Refusal> {
        self.0.decrypted.fetch_add(1, Ordering::Relaxed);
        let terms = Terms { platform: &self.0.platform, tools, key };
        keys.identities().open(sealed)?.value_for(terms)
    }

    /// The values of a file that count for a tool; for what has to know them to hide them.
    #[must_use]
    pub fn values(&self, tool: &ToolName, joined: &BTreeSet<ToolName>, file: Option<&[u8]>) -> Vec<Secret> {
        let (Some(file), Some(Ok(keys))) = (file, &self.0.keys) else { return Vec::new() };
        let tools: BTreeSet<ToolName> = joined.iter().chain([tool]).cloned().collect();
        let values = secrets::parse(file, FILE).0.map(|file| file.values).unwrap_or_default();
        let good = values.iter().filter_map(|(key, standing)| Some((key, standing.sealed.as_ref().ok()?)));
        good.filter_map(|(key, sealed)| self.open(keys, sealed, &tools, key).ok()).collect()
    }

    /// How often a key was tried on a value.
    #[must_use]
    pub fn decrypted(&self) -> u64 {
        self.0.decrypted.load(Ordering::Relaxed)
    }

    /// The same request with values where the plan has ciphertexts; none where it has none. Whoever changes this sends
    /// either what the platform's keys opened under this tool's terms, or nothing.
    ///
    /// # Errors
    /// Where one of them can't be opened, or counts for another place.
    pub fn fill(&self, id: &ObjectId, body: &Value) -> Result<Option<Value>, Unfilled> {
        if !Kind::of_id(id).is_some_and(|row| !row.secret_paths.is_empty()) {
            return Ok(None);
        }
        let tool = id.namespace.as_deref().and_then(|name| name.strip_prefix("tool-")).map(ToolName::new);
        let (Some(Ok(tool)), Some(Ok(keys))) = (tool, &self.0.keys) else { return Err(Unfilled::NoKeys) };
        let tools = self.known().tools.get(&tool).cloned().unwrap_or_else(|| [tool].into());
        let value = |key: &str, text: &Value| self.value(keys, &tools, key, text);
        let mut filled = body.clone();
        if let Some(data) = filled.get_mut("data").and_then(Value::as_object_mut) {
            for (key, text) in data {
                *text = value(key, text)?;
            }
        }
        // A patch: each operation that sets a key of `data`.
        for operation in filled.as_array_mut().into_iter().flatten() {
            let path = operation.get("path").and_then(Value::as_str).and_then(|path| path.strip_prefix("/data/"));
            let (Some(key), Some(text)) = (path.map(str::to_owned), operation.get_mut("value")) else { continue };
            *text = value(&key, text)?;
        }
        Ok(Some(filled))
    }

    fn value(&self, keys: &Keys, tools: &BTreeSet<ToolName>, key: &str, text: &Value) -> Result<Value, Unfilled> {
        let none = || Unfilled::NoCiphertext(key.to_owned());
        let armored = text.as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or_else(none)?;
        let sealed = std::str::from_utf8(&armored).ok().and_then(|text| Sealed::read(text).ok()).ok_or_else(none)?;
        let opened = self.open(keys, &sealed, tools, key);
        let value = opened.map_err(|why| Unfilled::Refused { key: key.to_owned(), why })?;
        Ok(STANDARD.encode(value.reveal()).into())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memo_name(tool: &ToolName, tools: &BTreeSet<ToolName>, file: &[u8]) -> String {
    use sha2::Digest as _;
    let mut name = LengthPrefixed::new("opened");
    name.text(tool.as_str()).list(tools.iter().map(ToolName::as_str));
    name.text(&renderer::length_prefixed::hex(&sha2::Sha256::digest(file)));
    name.hex()
}
