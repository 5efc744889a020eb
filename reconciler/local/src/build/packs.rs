//! Our buildpacks, out of the binary and onto the disk: into a folder whose name is the hash of what is in it, so that a new
//! binary brings new buildpacks and an old folder is never half changed.

use super::trouble::{BuildError, at};
use crate::file;
use renderer::Digest;
use renderer::length_prefixed::LengthPrefixed;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Path, whether it is a program, and content; put in by build.rs.
const FILES: &[(&str, bool, &[u8])] = include!(concat!(env!("OUT_DIR"), "/buildpacks.rs"));
/// Changes when builds on one machine make something else of the same buildpacks.
const FORMAT: &str = "toolforge local builder 1";

/// Our buildpacks on this machine.
#[derive(Debug, Clone)]
pub struct Packs {
    root: PathBuf,
    all: Vec<Pack>,
    order: Vec<Member>,
}

/// One buildpack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// `toolforge/python`.
    pub id: String,
    /// `0.1.0`.
    pub version: String,
    /// The Buildpack API that it is written for, `0.10`.
    pub api: String,
    /// What it does, in a sentence.
    pub description: String,
    name: String,
}

/// A buildpack in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The buildpack.
    pub pack: Pack,
    /// Whether an image may do without it.
    pub optional: bool,
}

#[derive(Deserialize)]
struct PackFile {
    api: String,
    buildpack: PackTable,
}

#[derive(Deserialize)]
struct PackTable {
    id: String,
    version: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct OrderFile {
    order: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    group: Vec<GroupMember>,
}

#[derive(Deserialize)]
struct GroupMember {
    id: String,
    #[serde(default)]
    optional: bool,
}

impl Packs {
    /// The hash of all of them: what a build on one machine has in place of a builder image.
    #[must_use]
    pub fn digest() -> &'static Digest {
        static DIGEST: OnceLock<Digest> = OnceLock::new();
        DIGEST.get_or_init(|| {
            let mut hash = LengthPrefixed::new(FORMAT);
            for (path, runs, bytes) in FILES {
                let content = Digest::of_sha256(&Sha256::digest(bytes).into());
                hash.text(path).text(if *runs { "program" } else { "file" }).text(content.as_str());
            }
            Digest::of_sha256(&hash.sha256())
        })
    }

    /// Writes them into `state`, unless they are there.
    pub(super) fn unpack(state: &Path) -> Result<Self, BuildError> {
        let root = state.join("buildpacks").join(Self::digest().short());
        if !root.is_dir() {
            let new = state.join("buildpacks").join(format!(".new-{:032x}", rand::random::<u128>()));
            write(&new).map_err(at(&new))?;
            if let Err(error) = fs::rename(&new, &root) {
                drop(fs::remove_dir_all(&new));
                // Another process may have been first: then they are there.
                if !root.is_dir() {
                    return Err(at(&root)(error));
                }
            }
        }
        Self::read(root)
    }

    /// Those of a folder that has one folder for each, and an `order.toml`.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn read(root: PathBuf) -> Result<Self, BuildError> {
        let mut all = Vec::new();
        let read = |path: &Path| io::Error::other(format!("{} is missing", path.display()));
        let names = super::layers::names(&root).map_err(at(&root))?;
        for name in names.into_iter().filter(|name| root.join(name).join("buildpack.toml").exists()) {
            let file = root.join(&name).join("buildpack.toml");
            let said: PackFile =
                file::toml(&file).and_then(|said| said.ok_or_else(|| read(&file))).map_err(at(&file))?;
            let PackTable { id, version, description } = said.buildpack;
            all.push(Pack { id, version, api: said.api, description, name });
        }
        let file = root.join("order.toml");
        let said: OrderFile = file::toml(&file).and_then(|said| said.ok_or_else(|| read(&file))).map_err(at(&file))?;
        let mut order = Vec::new();
        for member in said.order.into_iter().next().into_iter().flat_map(|group| group.group) {
            let pack = all.iter().find(|pack| pack.id == member.id).cloned();
            order.extend(pack.map(|pack| Member { pack, optional: member.optional }));
        }
        Ok(Self { root, all, order })
    }

    /// The folder that holds one folder for each.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// In the order in which they are tried: ours, or exactly those that are named.
    pub(super) fn chosen(&self, names: &[String]) -> Result<Vec<Member>, BuildError> {
        if names.is_empty() {
            return Ok(self.order.clone());
        }
        let one = |name: &String| {
            let found = self.all.iter().find(|pack| pack.id == *name || pack.name == *name);
            let known = || self.order.iter().map(|member| member.pack.id.clone()).collect();
            let unknown = || BuildError::UnknownBuildpack { name: name.clone(), known: known() };
            Ok(Member { pack: found.cloned().ok_or_else(unknown)?, optional: false })
        };
        names.iter().map(one).collect()
    }
}

impl Pack {
    /// Its folder among the buildpacks, `python`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its folder among the layers, `toolforge_python`.
    pub(super) fn folder(&self) -> String {
        self.id.replace('/', "_")
    }
}

fn write(root: &Path) -> io::Result<()> {
    for (path, runs, bytes) in FILES {
        let path = root.join(path);
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder)?;
        fs::write(&path, bytes)?;
        let mode = if *runs { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        // Whoever runs a buildpack may be somebody else.
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}
