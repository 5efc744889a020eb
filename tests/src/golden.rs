//! The golden cases of the planner: a folder under `examples/` with what a repository and a cluster say, and `plan.txt`,
//! what is made of it.
//!
//! | file | says |
//! |---|---|
//! | `toolforge.yaml` | the newest revision |
//! | `live.yaml` | the objects in the cluster; without it the cluster is empty |
//! | `before.yaml` | where the cluster was when it was last Ready; without it: where the newest revision leads |
//! | `hand.sh` | what was done to it since, by kubectl |
//! | `images.yaml` | what the registry holds, by reference; without it: every image |
//! | `tool.yaml`, `platform.yaml` | in the place of the renderer's own test tool and platform |
//!
//! `live.yaml` is recorded from a real API server by `cargo run -p tests --bin record_examples`: the revision of `before.yaml`
//! is deployed until it is Ready, then `hand.sh` runs. Nobody writes `managedFields` by hand.

#[allow(dead_code, reason = "the renderer's goldens need more of it")]
#[path = "../../renderer/tests/render/world.rs"]
mod world;

use anyhow::{Context as _, Result};
use planner::observed::{ImageSeen, Observed, Seen};
use planner::stored::StoredRevision;
use planner::{Admission, Circumstances, Moment};
use reconciler::pass::{Draft, Subject};
use renderer::{CommitId, Digest, Files, Object, ObjectId, Platform, Revision, Siblings, Tool, ToolName, TreeId};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How headers name the cluster of `live.yaml`.
pub const CLUSTER: &str = "recorded";

/// The folder of `examples/` whose cases have a cluster.
pub const RECORDED: &str = "drift";

/// One folder.
#[derive(Debug, Clone)]
pub struct Case {
    folder: PathBuf,
}

/// `examples/`.
#[must_use]
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Every folder of one folder of `examples/` that describes a tool, by name.
pub fn cases(of: &str) -> Result<Vec<Case>> {
    let entries = std::fs::read_dir(examples().join(of)).with_context(|| of.to_owned())?;
    let folders = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let describes = |folder: &PathBuf| ["toolforge.yaml", "tool.yaml"].iter().any(|name| folder.join(name).exists());
    let mut cases: Vec<_> = folders.into_iter().filter(describes).map(|folder| Case { folder }).collect();
    cases.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(cases)
}

impl Case {
    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// One of its files; none where it is not there.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match std::fs::read(self.folder.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => Ok(Some(read.with_context(|| name.to_owned())?)),
        }
    }

    /// The tool with its newest revision.
    pub fn newest(&self, now: Moment) -> Result<Subject> {
        let config = self.read("toolforge.yaml")?;
        self.subject('2', config, now)
    }

    /// The tool with the revision that its cluster was at.
    pub fn before(&self, now: Moment) -> Result<Subject> {
        match self.read("before.yaml")? {
            Some(config) => self.subject('1', Some(config), now),
            None => self.newest(now),
        }
    }

    fn subject(&self, id: char, config: Option<Vec<u8>>, now: Moment) -> Result<Subject> {
        let id = id.to_string().repeat(40);
        let revision = Revision {
            commit: CommitId::new(&id).ok(),
            branch: "main".to_owned(),
            tree: TreeId::new(&id).ok(),
            files: Files { config, ..Files::default() },
            resolved: BTreeMap::new(),
            facts: Default::default(),
        };
        let (platform, tool) = (self.platform()?, self.tool()?);
        Ok(Subject {
            admission: Admission::shipped(&platform, std::slice::from_ref(&tool)).into(),
            platform,
            tool,
            siblings: Siblings::default(),
            newest: Ok(revision),
            trouble: None,
            forgotten: false,
            circumstances: Circumstances::at(now),
            vault: reconciler::secrets::Vault::default(),
        })
    }

    fn platform(&self) -> Result<Platform> {
        let Some(bytes) = self.read("platform.yaml")? else { return Ok(world::platform()) };
        let (platform, report) = renderer::platform::parse(&bytes, "platform.yaml");
        platform.with_context(|| format!("{report:?}"))
    }

    /// A tool of a recorded cluster is named like its case, so that all of them fit on one.
    fn tool(&self) -> Result<Tool> {
        if let Some(bytes) = self.read("tool.yaml")? {
            let (tool, report) = renderer::tool::parse(&bytes, "tools/wordcount.yaml");
            return tool.with_context(|| format!("{report:?}"));
        }
        let mut tool = world::tool();
        if self.folder.parent().is_some_and(|parent| parent.ends_with(RECORDED)) {
            tool.name = ToolName::new(self.name())?;
        }
        Ok(tool)
    }

    /// What `live.yaml` shows.
    pub fn observed(&self) -> Result<Observed> {
        let Some(bytes) = self.read("live.yaml")? else { return observed("empty", Vec::new()) };
        let mut observed = observed(CLUSTER, read_objects(&bytes).context("live.yaml")?)?;
        // The settings are the same; what they are made of may have grown since they were recorded.
        let platform = planner::platform_digest(&self.platform()?);
        observed.stored.iter_mut().for_each(|stored| stored.platform.clone_from(&platform));
        Ok(observed)
    }

    /// Fills in what the registry says.
    pub fn ask_registry(&self, draft: &Draft<'_>, observed: &mut Observed) -> Result<()> {
        let held: Option<BTreeMap<String, String>> = match self.read("images.yaml")? {
            Some(bytes) => Some(serde_yaml::from_slice(&bytes).context("images.yaml")?),
            None => None,
        };
        let any = format!("sha256:{}", "a".repeat(64));
        for reference in draft.images_needed(observed) {
            let digest = held.as_ref().map_or(Some(&any), |held| held.get(&reference));
            let seen = digest.map(Digest::new).transpose()?.map_or(ImageSeen::Missing, ImageSeen::Found);
            observed.images.insert(reference, seen);
        }
        Ok(())
    }
}

/// The documents of a file of objects.
pub fn read_objects(bytes: &[u8]) -> Result<Vec<Object>> {
    let values: Vec<Value> = serde_yaml::from_multiple(std::str::from_utf8(bytes)?)?;
    values.into_iter().map(|value| Ok(Object::new(value)?)).collect()
}

/// Objects as YAML, one line for what each manager owns: it is there to be compared, not to be read.
#[must_use]
pub fn write_objects(mut objects: Vec<Object>) -> String {
    let mut owned = Vec::new();
    for entry in objects.iter_mut().flat_map(|object| entries(&mut object.value)) {
        let fields = std::mem::replace(&mut entry["fieldsV1"], Value::from(format!("FIELDS-{}-", owned.len())));
        // A YAML reader wants the blank after the colon; every value is an object, and no key holds one.
        owned.push(fields.to_string().replace("\":{", "\": {"));
    }
    let text = renderer::to_yaml(&objects);
    owned.iter().enumerate().fold(text, |text, (at, fields)| text.replace(&format!("FIELDS-{at}-"), fields))
}

fn entries(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut).into_iter().flatten()
}

/// The world that these objects are.
fn observed(cluster: &str, objects: Vec<Object>) -> Result<Observed> {
    let mut observed = Observed { cluster: cluster.to_owned(), secrets: Some([].into()), ..Observed::default() };
    for object in objects {
        match object.id.kind.as_str() {
            "Secret" => drop(observed.secrets.get_or_insert_default().insert(object.id.name)),
            "Tool" => {
                observed.inventory = inventory(&object.value)?;
                observed.objects.insert(object.id, Seen::Live(object.value.into()));
            }
            "ControllerRevision" => {
                observed.stored.push(StoredRevision::from_value(&object.value)?);
                observed.objects.insert(object.id, Seen::Live(object.value.into()));
            }
            _ => drop(observed.objects.insert(object.id, Seen::Live(object.value.into()))),
        }
    }
    observed.stored.sort_by_key(|stored| Reverse(stored.number));
    Ok(observed)
}

fn inventory(tool: &Value) -> Result<BTreeMap<ObjectId, String>> {
    let listed = tool.pointer("/status/inventory").and_then(Value::as_array).into_iter().flatten();
    let text = |entry: &Value, key: &str| entry[key].as_str().map(str::to_owned);
    let row = |entry: &Value| {
        let id = ObjectId {
            group: text(entry, "group").unwrap_or_default(),
            kind: text(entry, "kind").context("kind")?,
            namespace: text(entry, "namespace"),
            name: text(entry, "name").context("name")?,
        };
        Ok((id, text(entry, "uid").context("uid")?))
    };
    listed.map(row).collect()
}
