//! The environment that layers make, by the Buildpack API: folders that go to the front of a search path, and files named
//! after variables that say how they change.

use super::layers::Layer;
use super::trouble::{BuildError, at};
use crate::cell::SYSTEM_PATH;
use crate::variables::{Change, variables};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Buildpacks that come later.
    Build,
    /// Processes of the image.
    Launch,
}

/// Variables and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Environment(BTreeMap<String, String>);

/// Search paths of a layer: variable, folder, and whether processes of the image want it, too.
const PATHS: [(&str, &str, bool); 5] = [
    ("PATH", "bin", true),
    ("LD_LIBRARY_PATH", "lib", true),
    ("LIBRARY_PATH", "lib", false),
    ("CPATH", "include", false),
    ("PKG_CONFIG_PATH", "pkgconfig", false),
];

impl Environment {
    pub(super) fn system() -> Self {
        Self(BTreeMap::from([("PATH".to_owned(), SYSTEM_PATH.to_owned())]))
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// What the layers of one buildpack do to it: they stand in `own` on this machine, and their processes find them in
    /// `seen`.
    pub(super) fn modify(
        &mut self,
        layers: &BTreeMap<String, Layer>,
        own: &Path,
        seen: &Path,
        whom: For,
    ) -> Result<(), BuildError> {
        for change in changes(layers, own, seen, whom)? {
            change.apply(&mut self.0);
        }
        Ok(())
    }
}

/// A map as variables.
pub(super) fn text(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    map.iter()
}

/// What the layers of one buildpack change, in order.
pub(super) fn changes(
    layers: &BTreeMap<String, Layer>,
    own: &Path,
    seen: &Path,
    whom: For,
) -> Result<Vec<Change>, BuildError> {
    let mut all = Vec::new();
    for (name, layer) in layers {
        let takes_part = if whom == For::Build { layer.types.build } else { layer.types.launch };
        if !takes_part {
            continue;
        }
        let (layer, seen) = (own.join(name), seen.join(name));
        for (variable, folder, launch) in PATHS {
            let is_folder = fs::symlink_metadata(layer.join(folder)).is_ok_and(|found| found.is_dir());
            if is_folder && (launch || whom == For::Build) {
                all.push(Change::search(variable, shown(&seen.join(folder))));
            }
        }
        let folders = ["env", if whom == For::Build { "env.build" } else { "env.launch" }];
        for folder in folders.map(|folder| layer.join(folder)) {
            all.extend(variables(&folder).map_err(at(&folder))?);
        }
    }
    Ok(all)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
