//! The environment that layers make, by the Buildpack API: folders that go to the front of a search path, and files named
//! after variables that say how they change.

use super::file;
use super::layers::Layer;
use super::trouble::{BuildError, at};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What a system has.
pub(super) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest value of a variable.
const MAX_VALUE_BYTES: u64 = 128 << 10;
/// Most files in a folder of variables.
const MAX_VARIABLES: usize = 1000;

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Buildpacks that come later.
    Build,
    /// Processes of the image.
    Launch,
}

/// How a value changes the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It takes its place.
    Override,
    /// It is used where there is none.
    Default,
    /// It comes before it.
    Prepend,
    /// It comes after it.
    Append,
}

/// One change of one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) how: How,
    pub(super) value: String,
    /// Between the value and the one that is there.
    pub(super) delimiter: String,
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
            self.change(&change);
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) {
        let old = self.0.get(&change.name).filter(|old| !old.is_empty());
        let Change { value, delimiter, .. } = change;
        let new = match (change.how, old) {
            (How::Default, Some(_)) => return,
            (How::Override | How::Default, _) | (_, None) => value.clone(),
            (How::Prepend, Some(old)) => format!("{value}{delimiter}{old}"),
            (How::Append, Some(old)) => format!("{old}{delimiter}{value}"),
        };
        self.0.insert(change.name.clone(), new);
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
                let (value, delimiter) = (shown(&seen.join(folder)), ":".to_owned());
                all.push(Change { name: variable.to_owned(), how: How::Prepend, value, delimiter });
            }
        }
        let folders = ["env", if whom == For::Build { "env.build" } else { "env.launch" }];
        for folder in folders.map(|folder| layer.join(folder)) {
            all.extend(variables(&folder).map_err(at(&folder))?);
        }
    }
    Ok(all)
}

/// The variables of one folder.
pub(super) fn variables(folder: &Path) -> io::Result<Vec<Change>> {
    let mut all = Vec::new();
    for path in files(folder)? {
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let (name, suffix) = file.split_once('.').unwrap_or((file, ""));
        let how = match suffix {
            "" | "override" => How::Override,
            "default" => How::Default,
            "prepend" => How::Prepend,
            "append" => How::Append,
            _ => continue,
        };
        let value = value(&path)?.unwrap_or_default();
        let delimiter = value_of(folder, name)?;
        all.push(Change { name: name.to_owned(), how, value, delimiter });
    }
    Ok(all)
}

fn value_of(folder: &Path, name: &str) -> io::Result<String> {
    Ok(value(&folder.join(format!("{name}.delim")))?.unwrap_or_default())
}

fn value(path: &Path) -> io::Result<Option<String>> {
    let Some(bytes) = file::read(path, MAX_VALUE_BYTES)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Regular files of a folder in the order of their names; a folder in it is for one process.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if fs::symlink_metadata(folder).is_ok_and(|found| found.is_symlink()) {
        return Err(io::Error::other("it is a link"));
    }
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            all.insert(entry.path());
        }
        if all.len() > MAX_VARIABLES {
            return Err(io::Error::other(format!("it has more than {MAX_VARIABLES} files")));
        }
    }
    Ok(all.into_iter().collect())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_the_place_of_another_or_joins_it_as_its_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, value) in [
            ("A", "new"),
            ("B.default", "new"),
            ("C.default", "new"),
            ("D.prepend", "new"),
            ("D.delim", ";"),
            ("E.append", "new"),
            ("F.unknown", "new"),
        ] {
            fs::write(folder.path().join(name), value).expect("a file");
        }
        let old = ["A", "B", "D", "E"].map(|name| (name.to_owned(), "old".to_owned()));
        let mut env = Environment(BTreeMap::from(old));
        for change in variables(folder.path()).expect("variables") {
            env.change(&change);
        }
        let expected = [("A", "new"), ("B", "old"), ("C", "new"), ("D", "new;old"), ("E", "oldnew")];
        assert_eq!(env.0, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
