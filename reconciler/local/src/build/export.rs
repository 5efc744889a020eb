//! What came of a build, as an image that any lifecycle can read and rebase: the layout, labels and configuration of the
//! Cloud Native Buildpacks' platform specification 0.12, in a folder that is an OCI image layout.
//!
//! **No base.** This machine has no run image, so below the application lies one empty layer, which a rebase replaces. Until
//! then the image runs where our buildpacks ran, and nowhere else; it says so (`toolforge.org/local-only`) unless the
//! caller puts a run image under it. Where paths were not real, no run image helps: then it always says so.

use super::layers::Made;
use super::tars::{Archive, Shelf};
use super::trouble::{BuildError, at};
use super::written::Process;
use super::{LAYERS, Pack, Request, launcher};
use crate::cell::Door;
use planner::image::{BUILD_METADATA, Blob, LIFECYCLE_METADATA, LOCAL_ONLY};
use renderer::Digest;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The CNB platform API by which images are made.
const PLATFORM_API: &str = "0.12";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// As buildpacks' images have it.
const CREATED: &str = "1980-01-01T00:00:01Z";
const LAUNCHER: &str = "/cnb/lifecycle/launcher";
const PROCESSES: &str = "/cnb/process";
/// Under which name the missing base is known, where the platform names no run image.
const NO_BASE: &str = "toolforge.local/no-base";

/// What is exported.
pub(super) struct Order<'a> {
    pub(super) request: &'a Request,
    pub(super) door: &'a Door,
    pub(super) group: &'a [Pack],
    pub(super) made: &'a [Made],
}

/// An image in a folder: `blobs/sha256/<digest>`, `index.json`, `oci-layout`.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// The manifest's media type.
    pub media_type: &'static str,
    /// The manifest's digest.
    pub digest: Digest,
    /// The configuration, and the layers, the lowest first.
    pub blobs: Vec<Blob>,
    /// Names of its processes, in order.
    pub processes: Vec<String>,
    /// Whether it is labelled as running on this machine alone.
    pub local_only: bool,
    folder: PathBuf,
}

impl Exported {
    /// Where a blob's bytes stand.
    #[must_use]
    pub fn path(&self, blob: &Blob) -> PathBuf {
        self.folder.join("blobs/sha256").join(blob.digest.as_str().trim_start_matches("sha256:"))
    }
}

/// This machine, as images and buildpacks name it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) os: &'static str,
    pub(super) arch: &'static str,
    pub(super) distro_name: String,
    pub(super) distro_version: String,
}

impl Machine {
    pub(super) fn this() -> &'static Self {
        static THIS: OnceLock<Machine> = OnceLock::new();
        THIS.get_or_init(|| {
            // A system that does not say what it is has no name.
            let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
            let said = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
                line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
            };
            let arch = match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            };
            Self { os: "linux", arch, distro_name: said("ID"), distro_version: said("VERSION_ID") }
        })
    }
}

/// The image's layers in order, and those that the metadata names.
#[derive(Default)]
struct Stack {
    layers: Vec<(Blob, String)>,
    buildpacks: Vec<Value>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    buildpacks: Vec<PackRow<'a>>,
    processes: &'a [Process],
}

#[derive(Serialize)]
struct PackRow<'a> {
    id: &'a str,
    version: &'a str,
    api: &'a str,
}

/// Writes the image into the folder `into`.
pub(super) fn export(order: &Order<'_>, into: &Path) -> Result<Exported, BuildError> {
    let shelf = Shelf::new(into)?;
    let processes = processes(order.made);
    let mut stack = Stack::default();
    let base = shelf.layer("the base", |_| Ok(()))?;
    stack.push(base.clone(), "no base: a run image takes its place");
    for made in order.made {
        stack.buildpack(&shelf, made)?;
    }
    let mut metadata = Map::new();
    let bills = bills(order.made)?;
    if !bills.is_empty() {
        metadata.insert("sbom".to_owned(), stack.add(&shelf, "bills of materials", |tar| put_bills(&bills, tar))?);
    }
    let source = &order.request.source;
    let app = stack.add(&shelf, "the application", |tar| tar.tree(source, inside(super::APP)))?;
    metadata.insert("app".to_owned(), json!([app]));
    let script = launcher::script(order, &processes)?;
    let launcher = stack.add(&shelf, "the launcher", |tar| {
        tar.above(inside(LAUNCHER))?;
        tar.file(inside(LAUNCHER), 0o755, script.as_bytes())
    })?;
    metadata.insert("launcher".to_owned(), launcher);
    let text = toml::to_string(&Metadata { buildpacks: rows(order.group), processes: &processes })
        .map_err(|error| at(Path::new("metadata.toml"))(std::io::Error::other(error)))?;
    let config = stack.add(&shelf, "the processes' description", |tar| {
        let path = inside("/layers/config/metadata.toml");
        tar.above(path)?;
        tar.file(path, 0o644, text.as_bytes())
    })?;
    metadata.insert("config".to_owned(), config);
    metadata.insert("process-types".to_owned(), stack.add(&shelf, "the processes", |tar| links(&processes, tar))?);
    metadata.insert("buildpacks".to_owned(), json!(stack.buildpacks));
    let name = order.request.run_image.as_deref().unwrap_or(NO_BASE);
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let run = json!({"image": name, "reference": "", "topLayer": base.digest});
    metadata.insert("runImage".to_owned(), run);
    metadata.insert("stack".to_owned(), json!({"runImage": {"image": name}}));
    written(order, &shelf, &stack, &processes, &Value::Object(metadata), into)
}

impl Stack {
    fn push(&mut self, blob: Blob, words: &str) {
        self.layers.push((blob, words.to_owned()));
    }

    /// One more layer, and how the metadata names it.
    fn add(
        &mut self,
        shelf: &Shelf,
        what: &str,
        fill: impl FnOnce(&mut Archive) -> std::io::Result<()>,
    ) -> Result<Value, BuildError> {
        let blob = shelf.layer(what, fill)?;
        let said = json!({"sha": blob.digest});
        self.push(blob, what);
        Ok(said)
    }

    fn buildpack(&mut self, shelf: &Shelf, made: &Made) -> Result<(), BuildError> {
        let mut layers = Map::new();
        for (name, layer) in &made.layers {
            let (host, path) = (made.folder.join(name), format!("{LAYERS}/{}/{name}", made.pack.folder()));
            let mut said = json!({
                "launch": layer.types.launch,
                "build": layer.types.build,
                "cache": layer.types.cache,
                "data": layer.metadata,
            });
            if layer.types.launch {
                let words = format!("layer {name} of {} {}", made.pack.id, made.pack.version);
                let blob = shelf.layer(&words, |tar| {
                    tar.above(inside(&path))?;
                    tar.tree(&host, inside(&path))
                })?;
                said["sha"] = json!(blob.digest);
                self.push(blob, &words);
                layers.insert(name.clone(), said);
            }
        }
        let (key, version) = (&made.pack.id, &made.pack.version);
        self.buildpacks.push(json!({"key": key, "version": version, "layers": layers}));
        Ok(())
    }
}

/// Of all buildpacks; of two with one name the later one counts.
fn processes(made: &[Made]) -> Vec<Process> {
    let mut all: BTreeMap<&str, &Process> = BTreeMap::new();
    let mut default = None;
    for process in made.iter().flat_map(|made| &made.launch.processes) {
        all.insert(&process.kind, process);
        if process.default {
            default = Some(&process.kind);
        }
    }
    let one = |process: &Process| Process { default: default == Some(&process.kind), ..process.clone() };
    all.into_values().map(one).collect()
}

fn rows(group: &[Pack]) -> Vec<PackRow<'_>> {
    group.iter().map(|pack| PackRow { id: &pack.id, version: &pack.version, api: &pack.api }).collect()
}

/// `<layer>.sbom.<format>`, and those of launch as a whole.
fn bill_of(file: &str) -> Option<(&str, &str)> {
    file.split_once(".sbom.").filter(|(layer, _)| *layer != "build")
}

/// Every bill of what is in the image: where it is, and its path in the image.
fn bills(all: &[Made]) -> Result<Vec<(PathBuf, String)>, BuildError> {
    let mut found = Vec::new();
    for made in all {
        let of_image = |layer: &str| layer == "launch" || made.layers.get(layer).is_some_and(|one| one.types.launch);
        for file in super::layers::names(&made.folder).map_err(at(&made.folder))? {
            let Some((layer, format)) = bill_of(&file).filter(|(layer, _)| of_image(layer)) else { continue };
            let folder = format!("{LAYERS}/sbom/launch/{}", made.pack.folder());
            let path = if layer == "launch" { folder } else { format!("{folder}/{layer}") };
            found.push((made.folder.join(&file), format!("{path}/sbom.{format}")));
        }
    }
    Ok(found)
}

fn put_bills(bills: &[(PathBuf, String)], tar: &mut Archive) -> std::io::Result<()> {
    for (from, path) in bills {
        let bytes = crate::file::read(from, MAX_BILL_BYTES)?.ok_or_else(|| std::io::Error::other("it is gone"))?;
        tar.above(inside(path))?;
        tar.file(inside(path), 0o644, &bytes)?;
    }
    Ok(())
}

/// A line for each of very many packages.
const MAX_BILL_BYTES: u64 = 64 << 20;

fn links(processes: &[Process], tar: &mut Archive) -> std::io::Result<()> {
    tar.above(&inside(PROCESSES).join("any"))?;
    processes.iter().try_for_each(|process| tar.link(&inside(PROCESSES).join(&process.kind), Path::new(LAUNCHER)))
}

/// As it stands in a tar.
fn inside(path: &str) -> &Path {
    Path::new(path.trim_start_matches('/'))
}

fn written(
    order: &Order<'_>,
    shelf: &Shelf,
    stack: &Stack,
    processes: &[Process],
    metadata: &Value,
    into: &Path,
) -> Result<Exported, BuildError> {
    let local_only = !order.door.in_place() || order.request.run_image.is_none();
    let config = configuration(stack, processes, &labels(order, processes, metadata, local_only));
    let config = shelf.put(config.to_string().as_bytes())?;
    let described =
        |blob: &Blob, kind: &str| json!({"mediaType": kind, "digest": blob.digest, "size": blob.size_bytes});
    let layers: Vec<_> = stack.layers.iter().map(|(blob, _)| described(blob, LAYER)).collect();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": described(&config, CONFIG), "layers": layers});
    let manifest = manifest.to_string().into_bytes();
    let blob = shelf.put(&manifest)?;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [described(&blob, MANIFEST)]});
    for (name, content) in [("index.json", index), ("oci-layout", json!({"imageLayoutVersion": "1.0.0"}))] {
        let path = into.join(name);
        fs::write(&path, content.to_string()).map_err(at(&path))?;
    }
    Ok(Exported {
        manifest,
        media_type: MANIFEST,
        digest: blob.digest,
        blobs: std::iter::once(config).chain(stack.layers.iter().map(|(blob, _)| blob.clone())).collect(),
        processes: processes.iter().map(|process| process.kind.clone()).collect(),
        local_only,
        folder: into.to_owned(),
    })
}

fn labels(order: &Order<'_>, processes: &[Process], metadata: &Value, local_only: bool) -> Map<String, Value> {
    let buildpack = |pack: &Pack| json!({"id": pack.id, "version": pack.version});
    let process = |process: &Process| {
        json!({
            "type": process.kind,
            "command": process.command,
            "args": process.args,
            "direct": true,
            "buildpackID": process.pack,
        })
    };
    let build = json!({
        "buildpacks": order.group.iter().map(buildpack).collect::<Vec<_>>(),
        "launcher": {"version": env!("CARGO_PKG_VERSION"), "source": {"git": {"repository": "", "commit": ""}}},
        "processes": processes.iter().map(process).collect::<Vec<_>>(),
    });
    let machine = Machine::this();
    let mut labels = Map::new();
    let mut label = |key: &str, value: String| drop(labels.insert(key.to_owned(), Value::String(value)));
    // What buildpacks wish first: no wish of theirs takes the place of what follows.
    for wish in order.made.iter().flat_map(|made| &made.launch.labels) {
        label(&wish.key, wish.value.clone());
    }
    label(LIFECYCLE_METADATA, metadata.to_string());
    label(BUILD_METADATA, build.to_string());
    label("io.buildpacks.project.metadata", "{}".to_owned());
    label("io.buildpacks.rebasable", (order.door.in_place()).to_string());
    label("io.buildpacks.stack.id", format!("toolforge.{}.{}", machine.distro_name, machine.distro_version));
    label("io.buildpacks.base.distro.name", machine.distro_name.clone());
    label("io.buildpacks.base.distro.version", machine.distro_version.clone());
    if local_only {
        label(LOCAL_ONLY, "true".to_owned());
    } else {
        labels.remove(LOCAL_ONLY);
    }
    labels
}

fn configuration(stack: &Stack, processes: &[Process], labels: &Map<String, Value>) -> Value {
    let machine = Machine::this();
    let default = processes.iter().find(|process| process.default);
    let entrypoint = default.map_or_else(|| LAUNCHER.to_owned(), |process| format!("{PROCESSES}/{}", process.kind));
    let env = [
        format!("PATH={PROCESSES}:/cnb/lifecycle:{}", crate::cell::SYSTEM_PATH),
        format!("CNB_LAYERS_DIR={LAYERS}"),
        format!("CNB_APP_DIR={}", super::APP),
        format!("CNB_PLATFORM_API={PLATFORM_API}"),
        "CNB_DEPRECATION_MODE=quiet".to_owned(),
    ];
    let history = |(_, words): &(Blob, String)| json!({"created": CREATED, "created_by": words, "author": "toolforge"});
    json!({
        "architecture": machine.arch,
        "os": machine.os,
        "created": CREATED,
        "author": "",
        "config": {
            "User": format!("{0}:{0}", super::tars::USER),
            "Env": env,
            "Entrypoint": [entrypoint],
            "WorkingDir": super::APP,
            "Labels": labels,
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": stack.layers.iter().map(|(blob, _)| &blob.digest).collect::<Vec<_>>(),
        },
        "history": stack.layers.iter().map(history).collect::<Vec<_>>(),
    })
}
