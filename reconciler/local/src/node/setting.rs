//! Where a container runs: its image, its folders, its environment, and the command that starts something in it. The
//! container's own process and what its probes execute are started in the same setting.

use super::env::expand;
use super::images::Held;
use super::unpack::copy_tree;
use crate::cell::{Cell, Door, Group, Limits, Most, give};
use k8s_openapi::api::core::v1::Container;
use renderer::Quantity;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::Command;

/// Folders of the image, as a process finds them.
const LAYERS: &str = "/layers";
const WORKSPACE: &str = "/workspace";
const CNB: &str = "/cnb";

/// A container that can be started.
#[derive(Debug)]
pub(crate) enum Setting {
    /// A stranger's, in a cell.
    Stranger(Box<Stranger>),
    /// Our own program.
    Ourselves {
        /// The program.
        program: PathBuf,
        /// Its whole environment.
        env: BTreeMap<String, String>,
    },
}

/// A stranger's container.
#[derive(Debug)]
pub(crate) struct Stranger {
    held: Held,
    cell: Cell,
    door: Door,
    env: BTreeMap<String, String>,
    workspace: PathBuf,
    group: Option<Arc<Group>>,
}

/// A volume of the pod, at a path.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) folder: PathBuf,
    pub(crate) at: String,
    pub(crate) writable: bool,
}

impl Setting {
    /// The command for a container's words.
    pub(crate) fn command(&self, words: &[String]) -> Result<Command, String> {
        match self {
            Self::Stranger(stranger) => stranger.command(words),
            Self::Ourselves { program, env } => {
                let mut command = Command::new(program);
                command.args(words.iter().skip_while(|word| word.as_str() == "toolforge")).env_clear().envs(env);
                command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
                Ok(command)
            }
        }
    }

    /// Whether the kernel ended it because it wanted more memory than it may have.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        match self {
            Self::Stranger(stranger) => stranger.group.as_ref().is_some_and(|group| group.was_out_of_memory()),
            Self::Ourselves { .. } => false,
        }
    }
}

impl Stranger {
    /// Makes the container's folders: its own copy of the application, which it may change and which goes with it.
    pub(crate) async fn new(
        held: Held,
        door: &Door,
        folder: &Path,
        container: &Container,
        env: BTreeMap<String, String>,
        (mounts, group): (&[Mount], Option<Group>),
    ) -> Result<Self, String> {
        let workspace = folder.join("workspace");
        let (from, to, layers) = (held.image.root.join("workspace"), workspace.clone(), held.image.root.join("layers"));
        let made = tokio::task::spawn_blocking(move || fill(&from, &to, &layers)).await;
        made.map_err(io::Error::other)
            .and_then(|made| made)
            .map_err(|error| format!("the container's folder can't be made: {error}"))?;
        let limits = limits(container, group.is_some());
        let group = group.map(Arc::new);
        let mut cell = Cell::new(&folder.join("own")).with_limits(limits).in_group(group.clone());
        for mount in mounts {
            cell = cell.with_place(&mount.folder, &mount.at, mount.writable);
        }
        cell = cell.with_place(&held.image.root.join("layers"), LAYERS, false);
        cell = cell.with_place(&workspace, WORKSPACE, true);
        if held.image.root.join("cnb").is_dir() {
            cell = cell.with_place(&held.image.root.join("cnb"), CNB, false);
        }
        give(&workspace).and_then(|()| cell.prepare()).map_err(|error| format!("{error}. {}", error.hint()))?;
        Ok(Self { held, cell, door: door.clone(), env, workspace, group })
    }

    fn command(&self, words: &[String]) -> Result<Command, String> {
        let words: Vec<String> = words.iter().map(|word| expand(word, &self.env)).collect();
        let launch = self.held.image.launch(&words, &self.env, &|path| self.exists(path))?;
        let folder = self.cell.seen(&self.door, &launch.folder);
        let mut cell = self.cell.clone().in_folder(&folder);
        for (name, value) in &launch.env {
            cell = cell.with_env(name, self.seen(value));
        }
        let argv = launch.argv.iter().map(|word| self.seen(word));
        cell.command(&self.door, argv).map_err(|error| format!("its control group is gone: {error}"))
    }

    /// Whether a path that the process sees is there. A link is: where it leads can only be said inside.
    fn exists(&self, path: &str) -> bool {
        let below = |folder: &str| Path::new(path).strip_prefix(folder).ok();
        let here = if let Some(rest) = below(WORKSPACE) {
            self.workspace.join(rest)
        } else if below(LAYERS).is_some() || below(CNB).is_some() {
            self.held.image.root.join(path.trim_start_matches('/'))
        } else {
            path.into()
        };
        fs::symlink_metadata(here).is_ok_and(|found| !found.is_dir())
    }

    /// Where paths are not real, those of the image in a list like `PATH` are put in as they are on this machine.
    fn seen(&self, text: &str) -> String {
        let is_inside = |path: &str| [LAYERS, WORKSPACE, CNB].iter().any(|folder| Path::new(path).starts_with(folder));
        if self.door.in_place() || !text.split(':').any(is_inside) {
            return text.to_owned();
        }
        let one = |path: &str| {
            if is_inside(path) { self.cell.seen(&self.door, path).display().to_string() } else { path.to_owned() }
        };
        text.split(':').map(one).collect::<Vec<_>>().join(":")
    }
}

fn fill(from: &Path, to: &Path, layers: &Path) -> io::Result<()> {
    fs::create_dir_all(layers)?;
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
    if from.is_dir() { copy_tree(from, to) } else { fs::create_dir(to) }
}

/// What all processes of a container may take together.
pub(crate) fn most(container: &Container) -> Most {
    let limit = |name: &str| container.resources.as_ref()?.limits.as_ref()?.get(name).map(|quantity| &quantity.0);
    let millis = |text: &String| u64::try_from(text.parse::<Quantity>().ok()?.nanos() / 1_000_000).ok();
    let cpu_millis = limit("cpu").and_then(millis).filter(|millis| *millis > 0);
    Most { memory_bytes: limit("memory").and_then(|text| super::usage::bytes(text)), cpu_millis }
}

/// Of each process by itself: where no group holds them together, memory, too. CPU never is.
fn limits(container: &Container, in_group: bool) -> Limits {
    let usual = Limits::default();
    let memory_bytes = if in_group { None } else { most(container).memory_bytes.or(usual.memory_bytes) };
    Limits { memory_bytes, ..usual }
}
