//! The platform's keys, and what they made of each file: tried once for each file and tool, remembered as tags.

mod given;

use super::keys::{Keys, NoKeys};
use super::sources::Sources;
use crate::cluster::call::CallError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use planner::kinds::Kind;
use renderer::length_prefixed::LengthPrefixed;
use renderer::secrets::{self, FILE, Given, Opened, Refusal, Sealed, Terms};
use renderer::{ObjectId, Platform, Secret, ToolName};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// Files whose tags are remembered: of each of 3,000 tools the newest, the last good and a pinned one, and some more.
const REMEMBERED: usize = 20_000;

/// The keys of one platform. Cheap to clone: clones remember together.
#[derive(Clone, Default)]
pub struct Vault(Arc<Inner>);

#[derive(Default)]
struct Inner {
    platform: String,
    sources: Sources,
    keys: RwLock<Held>,
    known: Mutex<Known>,
    /// What may not be read is taken for unchanged: nothing is written by what comes of it.
    looks_only: AtomicBool,
    /// A value was met that no key opens: others may be there by now.
    wanting: AtomicBool,
    decrypted: AtomicU64,
    /// Passwords of the process itself.
    own: OnceLock<Vec<Secret>>,
}

/// Keys, or why there are none.
struct Held(Result<Arc<Keys>, NoKeys>);

impl Default for Held {
    fn default() -> Self {
        Self(Err(NoKeys::because("nobody has looked for the platform's keys")))
    }
}

#[derive(Default)]
struct Known {
    /// By tool, its terms and the file's bytes, hashed.
    files: HashMap<String, Arc<Opened>>,
    /// By tool, whose records count for it, as its last file was opened.
    tools: BTreeMap<ToolName, BTreeSet<ToolName>>,
    /// By Secret of a tool in the platform's namespace: its version, and what it is worth.
    sources: HashMap<String, (String, Given)>,
    /// By tool, what the platform gives it.
    given: BTreeMap<ToolName, Arc<Given>>,
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
    /// What the platform gives the tool is not there.
    #[error("{0} is not there")]
    NoCredential(String),
    /// Nor is it known whether it is.
    #[error("{what} can't be read")]
    Unread {
        /// The Secret.
        what: String,
        /// Why.
        error: CallError,
    },
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
    /// With keys, or why there are none.
    #[must_use]
    pub fn new(platform: &str, keys: Result<Keys, NoKeys>) -> Self {
        let keys = RwLock::new(Held(keys.map(Arc::new)));
        Self(Arc::new(Inner { platform: platform.to_owned(), keys, ..Inner::default() }))
    }

    /// Of a platform, with the keys that stand in its cluster.
    pub async fn of_platform(client: &Client, platform: &Platform) -> Self {
        let keys = RwLock::new(Held(Keys::of_platform(client, platform).await.map(Arc::new)));
        let (platform, sources) = (platform.name.clone(), Sources::of(platform));
        Self(Arc::new(Inner { platform, sources, keys, ..Inner::default() }))
    }

    /// Looks for keys again where a value was met that none opens, or where there are none. True where there are others
    /// now: then everything is opened anew.
    pub async fn renew(&self, client: &Client, platform: &Platform) -> bool {
        let none = self.keys().is_err() && platform.secrets.as_ref().is_some_and(|secrets| secrets.keys.is_some());
        if !self.0.wanting.swap(false, Ordering::Relaxed) && !none {
            return false;
        }
        let found = Keys::of_platform(client, platform).await;
        let same = match (&found, &self.keys()) {
            (Ok(new), Ok(old)) => new.is_same(old),
            (Err(_), Ok(_)) => true,
            (Err(new), Err(old)) => new == old,
            (Ok(_), Err(_)) => false,
        };
        if !same {
            self.0.keys.write().unwrap_or_else(PoisonError::into_inner).0 = found.map(Arc::new);
            let mut known = self.known();
            known.files.clear();
            known.sources.clear();
        }
        !same
    }

    /// For whoever shows what would be done and does nothing.
    pub fn only_look(&self) {
        self.0.looks_only.store(true, Ordering::Relaxed);
    }

    /// Whether the values are somewhere else: whoever only looks may not read the keys.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.0.looks_only.load(Ordering::Relaxed) && self.keys().is_err_and(|none| none.denied)
    }

    fn keys(&self) -> Result<Arc<Keys>, NoKeys> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// What a file's values are worth to a tool. Keys are tried where file, tool or `joined` are new; else this is a look
    /// into a table.
    #[must_use]
    pub fn opened(&self, tool: &ToolName, joined: &BTreeSet<ToolName>, file: Option<&[u8]>) -> Arc<Opened> {
        if self.is_elsewhere() {
            return Arc::new(Opened::Elsewhere);
        }
        let Some(file) = file else { return Arc::default() };
        let keys = match self.keys() {
            Ok(keys) => keys,
            Err(none) => return Arc::new(Opened::NoKeys(none.why)),
        };
        let tools: BTreeSet<ToolName> = joined.iter().chain([tool]).cloned().collect();
        let name = memo_name(tool, &tools, file);
        if let Some(known) = self.known().files.get(&name) {
            return Arc::clone(known);
        }
        let opened = Arc::new(self.try_keys(&keys, tool, &tools, file));
        if let Opened::Read(values) = &*opened
            && values.values().any(|value| *value == Err(Refusal::NoIdentity))
        {
            self.0.wanting.store(true, Ordering::Relaxed);
        }
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
        let (Some(file), Ok(keys)) = (file, self.keys()) else { return Vec::new() };
        let tools: BTreeSet<ToolName> = joined.iter().chain([tool]).cloned().collect();
        let values = secrets::parse(file, FILE).0.map(|file| file.values).unwrap_or_default();
        let good = values.iter().filter_map(|(key, standing)| Some((key, standing.sealed.as_ref().ok()?)));
        good.filter_map(|(key, sealed)| self.open(&keys, sealed, &tools, key).ok()).collect()
    }

    /// Remembers passwords of the process itself, which nobody may repeat either. What was said first counts.
    pub fn keep(&self, own: Vec<Secret>) {
        self.0.own.get_or_init(|| own);
    }

    /// Those passwords.
    #[must_use]
    pub fn own(&self) -> &[Secret] {
        self.0.own.get().map_or(&[], Vec::as_slice)
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
    pub fn fill(
        &self,
        id: &ObjectId,
        body: &Value,
        credentials: &BTreeMap<String, Secret>,
    ) -> Result<Option<Value>, Unfilled> {
        if Kind::of_id(id).is_none_or(|row| row.secret_paths.is_empty()) {
            return Ok(None);
        }
        if body.get("stringData").is_some() {
            return Err(Unfilled::NoCiphertext("stringData".to_owned()));
        }
        if !holds_values(body) {
            return Ok(None);
        }
        let (Some(tool), Ok(keys)) = (tool_of(id), self.keys()) else { return Err(Unfilled::NoKeys) };
        let tools = self.known().tools.get(&tool).cloned().unwrap_or_else(|| [tool].into());
        // What the platform gives can't be anything else, whatever a plan says of it.
        let value = |key: &str, text: &Value| match self.0.sources.credentials.contains_key(key) {
            true => credentials.get(key).map(sent).ok_or_else(|| Unfilled::NoCredential(format!("`{key}`"))),
            false => self.value(&keys, &tools, key, text),
        };
        let mut filled = body.clone();
        if let Some(data) = filled.get_mut("data").and_then(Value::as_object_mut) {
            for (key, text) in data {
                *text = value(key, text)?;
            }
        }
        // A patch: each operation that sets a key of `data`.
        for operation in filled.as_array_mut().into_iter().flatten() {
            let path = operation.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
            let (true, Some(text)) = (path.starts_with("/data"), operation.get_mut("value")) else { continue };
            match (path.strip_prefix("/data/"), text.as_object_mut()) {
                (Some(key), _) => *text = value(key, text)?,
                (None, Some(all)) => {
                    all.iter_mut().try_for_each(|(key, text)| value(key, text).map(|new| *text = new))?
                }
                (None, None) => return Err(Unfilled::NoCiphertext(path)),
            }
        }
        Ok(Some(filled))
    }

    fn value(&self, keys: &Keys, tools: &BTreeSet<ToolName>, key: &str, text: &Value) -> Result<Value, Unfilled> {
        let none = || Unfilled::NoCiphertext(key.to_owned());
        let armored = text.as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or_else(none)?;
        let sealed = std::str::from_utf8(&armored).ok().and_then(|text| Sealed::read(text).ok()).ok_or_else(none)?;
        let opened = self.open(keys, &sealed, tools, key);
        let value = opened.map_err(|why| Unfilled::Refused { key: key.to_owned(), why })?;
        Ok(sent(&value))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value as a Secret has it.
fn sent(value: &Secret) -> Value {
    STANDARD.encode(value.reveal()).into()
}

/// Whose namespace it is.
fn tool_of(id: &ObjectId) -> Option<ToolName> {
    ToolName::new(id.namespace.as_deref()?.strip_prefix("tool-")?).ok()
}

/// Whether an object or a patch of one sets a key of `data`.
fn holds_values(body: &Value) -> bool {
    let sets = |operation: &Value| {
        let path = operation.get("path").and_then(Value::as_str);
        path.is_some_and(|path| path.starts_with("/data")) && operation.get("value").is_some()
    };
    let data = body.get("data").and_then(Value::as_object);
    data.is_some_and(|data| !data.is_empty()) || body.as_array().is_some_and(|all| all.iter().any(sets))
}

fn memo_name(tool: &ToolName, tools: &BTreeSet<ToolName>, file: &[u8]) -> String {
    use sha2::Digest as _;
    let mut name = LengthPrefixed::new("opened");
    name.text(tool.as_str()).list(tools.iter().map(ToolName::as_str));
    name.text(&renderer::length_prefixed::hex(&sha2::Sha256::digest(file)));
    name.hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{Identities, Recipients};
    use renderer::platform::SecretKey;
    use renderer::secrets::{Record, SecretsFile, Standing};
    use serde_json::json;

    fn name(tool: &str) -> ToolName {
        ToolName::new(tool).expect("a name")
    }

    struct World {
        identities: Identities,
        vault: Vault,
    }

    impl World {
        fn new() -> Self {
            let identities = Identities::generate();
            let keys = Keys::new(identities.clone(), Secret::new("k".repeat(32)));
            Self { identities, vault: Vault::new("tools", Ok(keys)) }
        }

        fn sealed(&self, platform: &str, tool: &str, key: &str, value: &str) -> Sealed {
            let public = self.identities.public();
            let recipients = Recipients::read(public.iter().map(String::as_str)).expect("recipients");
            let (platform, tools, key) = (platform.to_owned(), vec![tool.to_owned()], key.to_owned());
            recipients.seal(&Record { platform, tools, key, value: Secret::new(value) }).expect("it is sealed")
        }

        fn file(values: &[(&str, Sealed)]) -> Vec<u8> {
            let place = renderer::diagnostic::Place { line: 1, column: 1, width: 1 };
            let standing = |sealed: &Sealed| Standing { place, sealed: Ok(sealed.clone()) };
            let values = values.iter().map(|(key, sealed)| ((*key).to_owned(), standing(sealed))).collect();
            SecretsFile { platform: "tools".into(), values, ..SecretsFile::default() }.to_yaml().into_bytes()
        }

        fn tags(&self, tool: &str, joined: &[&str], file: &[u8]) -> BTreeMap<String, Result<String, Refusal>> {
            let joined = joined.iter().map(|one| name(one)).collect();
            match &*self.vault.opened(&name(tool), &joined, Some(file)) {
                Opened::Read(all) => {
                    let text = |tag: &secrets::Tag| tag.as_str().to_owned();
                    all.iter().map(|(key, tag)| (key.clone(), tag.as_ref().map(text).map_err(Clone::clone))).collect()
                }
                other => BTreeMap::from([(format!("{other:?}"), Ok(String::new()))]),
            }
        }
    }

    #[test]
    fn a_ciphertext_counts_where_it_was_made_for_and_a_copy_of_it_nowhere() {
        let world = World::new();
        let own = world.sealed("tools", "wordcount", "API_KEY", "canary");
        let file = World::file(&[("API_KEY", own.clone()), ("COPY", own.clone())]);
        let of_own = world.tags("wordcount", &[], &file);
        assert!(of_own["API_KEY"].is_ok());
        assert_eq!(of_own["COPY"], Err(Refusal::OtherKey("API_KEY".into())));
        assert!(world.tags("wordcount-beta", &["wordcount"], &file)["API_KEY"].is_ok(), "one file serves both");
        let of_stranger = world.tags("stranger", &["stranger-beta"], &file);
        assert_eq!(of_stranger["API_KEY"], Err(Refusal::OtherTools(vec!["wordcount".into()])));
        let elsewhere = World::file(&[("API_KEY", world.sealed("toolsbeta", "wordcount", "API_KEY", "canary"))]);
        let refused = Refusal::OtherPlatform("toolsbeta".into());
        assert_eq!(world.tags("wordcount", &[], &elsewhere)["API_KEY"], Err(refused));
        let foreign = World::file(&[("API_KEY", World::new().sealed("tools", "wordcount", "API_KEY", "canary"))]);
        assert_eq!(world.tags("wordcount", &[], &foreign)["API_KEY"], Err(Refusal::NoIdentity));
    }

    #[test]
    fn a_tag_follows_the_value_alone_and_is_no_hash_that_could_be_guessed() {
        let world = World::new();
        let file = |value: &str| World::file(&[("K", world.sealed("tools", "a", "K", value))]);
        let tag = |file: &[u8]| world.tags("a", &[], file)["K"].clone().expect("it counts");
        assert_eq!(tag(&file("one")), tag(&file("one")), "encrypted anew");
        assert_ne!(tag(&file("one")), tag(&file("two")));
        let of_other_platform = World { identities: world.identities.clone(), ..World::new() };
        let keys = Keys::new(world.identities.clone(), Secret::new("o".repeat(32)));
        let other = World { vault: Vault::new("tools", Ok(keys)), ..of_other_platform };
        assert_ne!(other.tags("a", &[], &file("one"))["K"].clone().expect("it counts"), tag(&file("one")));
    }

    #[test]
    fn keys_are_tried_once_for_a_file_and_never_again_while_it_stays() {
        let world = World::new();
        let sealed = |key: &str| world.sealed("tools", "a", key, "canary");
        let file = World::file(&[("A", sealed("A")), ("B", sealed("B"))]);
        for _ in 0..100 {
            assert_eq!(world.tags("a", &[], &file).len(), 2);
        }
        assert_eq!(world.vault.decrypted(), 2);
        world.tags("a", &["b"], &file);
        assert_eq!(world.vault.decrypted(), 4, "whom it is joined with decides what counts");
        assert_eq!(world.vault.opened(&name("a"), &BTreeSet::new(), None), Arc::default());
    }

    #[test]
    fn a_credential_is_filled_in_from_the_platform_alone() {
        let world = World::new();
        let at = SecretKey { secret: "toolsdb.<tool>".into(), key: "user".into() };
        let platform = Platform {
            credentials: BTreeMap::from([("DB_USER".to_owned(), at)]),
            name: "tools".into(),
            ..Platform::builtin()
        };
        let keys = Keys::new(world.identities.clone(), Secret::new("k".repeat(32)));
        let keys = RwLock::new(Held(Ok(Arc::new(keys))));
        let inner = Inner { platform: "tools".into(), sources: Sources::of(&platform), keys, ..Inner::default() };
        let vault = Vault(Arc::new(inner));
        let id = ObjectId {
            group: String::new(),
            kind: "Secret".into(),
            namespace: Some("tool-wordcount".into()),
            name: "toolforge-secrets.web".into(),
        };
        // A ciphertext of the tool's own under that name, were it to come so far, is not opened.
        let own = STANDARD.encode(world.sealed("tools", "wordcount", "DB_USER", "canary").armored());
        let body = json!({"kind": "Secret", "data": {"DB_USER": own}});
        let given = BTreeMap::from([("DB_USER".to_owned(), Secret::new("u1"))]);
        let filled = vault.fill(&id, &body, &given).ok().flatten().expect("it is filled in");
        assert_eq!(filled["data"]["DB_USER"], STANDARD.encode("u1"));
        let none = vault.fill(&id, &body, &BTreeMap::new());
        assert!(matches!(none, Err(Unfilled::NoCredential(_))));
    }

    #[test]
    fn a_secret_is_filled_in_at_the_last_door_or_not_sent() {
        let world = World::new();
        let own = world.sealed("tools", "wordcount", "K", "canary");
        let file = World::file(&[("K", own.clone())]);
        let id = |kind: &str, tool: &str| ObjectId {
            group: String::new(),
            kind: kind.into(),
            namespace: Some(format!("tool-{tool}")),
            name: "toolforge-secrets.web".into(),
        };
        let sealed = STANDARD.encode(own.armored());
        let body = json!({"kind": "Secret", "data": {"K": sealed}});
        let filled = |tool: &str, body: &Value| {
            world.vault.fill(&id("Secret", tool), body, &BTreeMap::new()).map_err(|e| e.to_string())
        };
        world.tags("wordcount", &[], &file);
        let value = json!(STANDARD.encode("canary"));
        assert_eq!(filled("wordcount", &body), Ok(Some(json!({"kind": "Secret", "data": {"K": value}}))));
        let patch = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
            {"op": "replace", "path": "/data/K", "value": sealed}, {"op": "remove", "path": "/data/X"}]);
        let patched = filled("wordcount", &patch).expect("it is filled in").expect("it is a Secret's");
        assert_eq!((&patched[1]["value"], &patched[0], &patched[2]), (&value, &patch[0], &patch[2]));
        for (tool, body, why) in [
            ("stranger", &body, "`K` is refused: it was encrypted for the tool `wordcount`"),
            ("wordcount", &json!({"data": {"K": "Y2FuYXJ5"}}), "`K` holds no ciphertext"),
            ("wordcount", &json!({"stringData": {"K": "canary"}}), "`stringData` holds no ciphertext"),
            ("wordcount", &json!({"data": {"OTHER": sealed}}), "`OTHER` is refused: it was encrypted as `K`"),
        ] {
            assert_eq!(filled(tool, body), Err(why.to_owned()));
        }
        let whole = json!([{"op": "add", "path": "/data", "value": {"K": sealed}}]);
        let whole = filled("wordcount", &whole).expect("it is filled in").expect("it is a Secret's");
        assert_eq!(whole[0]["value"]["K"], value);
        for nothing in [json!({"metadata": {}}), json!([{"op": "remove", "path": "/data/X"}])] {
            assert_eq!(filled("wordcount", &nothing), Ok(None), "there is nothing to open");
        }
        assert_eq!(world.vault.fill(&id("ConfigMap", "wordcount"), &body, &BTreeMap::new()).ok(), Some(None));
        assert!(matches!(
            Vault::default().fill(&id("Secret", "wordcount"), &body, &BTreeMap::new()),
            Err(Unfilled::NoKeys)
        ));
    }
}
