//! The layers of a tool's builds on this machine: what one build made is what the next one finds.
//!
//! The folder of a buildpack's layers stays from build to build. Before a build it is brought into the state in which a
//! lifecycle restores one: of a cached layer the content and its metadata, without its types, which the buildpack has to
//! say again; of others nothing.

use super::trouble::{BuildError, at};
use super::written::Launch;
use super::{Pack, written};
use crate::file;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Files of a buildpack that describe no layer.
const OTHERS: [&str; 3] = ["launch", "build", "store"];

/// What a layer is for, and what its buildpack wants to know of it next time.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Layer {
    #[serde(default)]
    pub(super) types: Types,
    #[serde(default)]
    pub(super) metadata: toml::Table,
}

/// Whom a layer is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Types {
    /// The image.
    #[serde(default)]
    pub(super) launch: bool,
    /// Later buildpacks.
    #[serde(default)]
    pub(super) build: bool,
    /// The next build.
    #[serde(default)]
    pub(super) cache: bool,
}

#[derive(Serialize)]
struct Restored<'a> {
    metadata: &'a toml::Table,
}

/// What one buildpack made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) pack: Pack,
    /// Where its layers stand on this machine.
    pub(super) folder: PathBuf,
    pub(super) layers: BTreeMap<String, Layer>,
    pub(super) launch: Launch,
}

/// The folder of all layers of one name.
pub(super) struct Layers {
    root: PathBuf,
}

impl Layers {
    /// Brings the folder into the state before a build by these buildpacks.
    pub(super) fn restore(root: &Path, group: &[Pack]) -> Result<Self, BuildError> {
        let takes_part: BTreeSet<_> = group.iter().map(Pack::folder).collect();
        for name in names(root).map_err(at(root))?.into_iter().filter(|name| !takes_part.contains(name)) {
            let path = root.join(name);
            remove(&path).map_err(at(&path))?;
        }
        for name in takes_part {
            let folder = root.join(name);
            fs::create_dir_all(&folder).map_err(at(&folder))?;
            restore_one(&folder).map_err(at(&folder))?;
            // What was written anew is ours as yet.
            crate::cell::give(&folder)?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// What there is after the build.
    pub(super) fn made(&self, group: &[Pack]) -> Result<Vec<Made>, BuildError> {
        let one = |pack: &Pack| {
            let folder = self.root.join(pack.folder());
            let (layers, launch) = (read(&folder, pack)?, written::read(&folder, pack)?);
            Ok(Made { pack: pack.clone(), folder, layers, launch })
        };
        group.iter().map(one).collect()
    }
}

fn restore_one(folder: &Path) -> io::Result<()> {
    let all = names(folder)?;
    let mut kept = BTreeSet::new();
    for name in all.iter().filter_map(|file| layer_of(file)) {
        // What can't be read describes nothing.
        let layer: Option<Layer> = file::toml(&folder.join(format!("{name}.toml"))).ok().flatten();
        let is_there = fs::symlink_metadata(folder.join(name)).is_ok_and(|found| found.is_dir());
        if let Some(layer) = layer.filter(|layer| layer.types.cache && is_there) {
            let text = toml::to_string(&Restored { metadata: &layer.metadata }).map_err(io::Error::other)?;
            let path = folder.join(format!("{name}.toml"));
            fs::remove_file(&path)?;
            File::create_new(&path)?.write_all(text.as_bytes())?;
            kept.insert(name.to_owned());
        }
    }
    for name in &all {
        let layer = name.split_once('.').map_or(name.as_str(), |(layer, _)| layer);
        if !kept.contains(layer) {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// The layer that a file describes.
fn layer_of(file: &str) -> Option<&str> {
    file.strip_suffix(".toml").filter(|name| !OTHERS.contains(name) && !name.is_empty())
}

/// The layers that a buildpack has described.
pub(super) fn read(folder: &Path, pack: &Pack) -> Result<BTreeMap<String, Layer>, BuildError> {
    let mut layers = BTreeMap::new();
    for file in names(folder).map_err(at(folder))? {
        let Some(name) = layer_of(&file) else { continue };
        let bad = |why: String| BuildError::BadResult { pack: pack.id.clone(), what: file.clone(), why };
        let layer: Layer = file::toml(&folder.join(&file)).map_err(|error| bad(error.to_string()))?.unwrap_or_default();
        let is_there = fs::symlink_metadata(folder.join(name)).is_ok_and(|found| found.is_dir());
        if !is_there && layer.types != Types::default() {
            return Err(bad(format!("it describes the layer {name}, which is no folder")));
        }
        layers.insert(name.to_owned(), layer);
    }
    Ok(layers)
}

#[derive(Default, Deserialize)]
struct BuildFile {
    #[serde(default)]
    unmet: Vec<Unmet>,
}

#[derive(Deserialize)]
struct Unmet {
    name: String,
}

/// What a buildpack leaves to others although it was asked for it: `build.toml`.
pub(super) fn unmet(folder: &Path, pack: &Pack) -> Result<Vec<String>, BuildError> {
    let bad = |error: io::Error| BuildError::BadResult {
        pack: pack.id.clone(),
        what: "build.toml".to_owned(),
        why: error.to_string(),
    };
    let said: BuildFile = file::toml(&folder.join("build.toml")).map_err(bad)?.unwrap_or_default();
    Ok(said.unmet.into_iter().map(|one| one.name).collect())
}

/// Names in a folder, in order; those that are no text are nobody's.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// A file, a link or a folder with all that is in it; no link is followed.
fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_layer_comes_back_without_its_types_and_everything_else_is_gone() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path();
        for layer in ["cached", "launched", "undescribed", "broken"] {
            fs::create_dir(folder.join(layer)).expect("a layer");
        }
        for (file, content) in [
            ("cached.toml", "[types]\ncache = true\nlaunch = true\n[metadata]\nkey = \"1\"\n"),
            ("cached.sbom.cdx.json", "{}"),
            ("launched.toml", "[types]\nlaunch = true\n"),
            ("broken.toml", "["),
            ("launch.toml", "processes = []"),
        ] {
            fs::write(folder.join(file), content).expect("a file");
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.join("linked.toml")).expect("a link");
        restore_one(folder).expect("restored");
        assert_eq!(names(folder).expect("names"), ["cached", "cached.sbom.cdx.json", "cached.toml"]);
        let restored = fs::read_to_string(folder.join("cached.toml")).expect("a file");
        assert_eq!(restored, "[metadata]\nkey = \"1\"\n");
    }
}
