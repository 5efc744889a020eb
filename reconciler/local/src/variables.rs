//! How a folder of files changes variables, by the Buildpack API: a file is named after a variable, its suffix says how,
//! and its content is the value. The same for a build, where the layers are being made, and for the image that came of it.

use crate::file;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Longest value of a variable.
const MAX_VALUE_BYTES: u64 = 128 << 10;
/// Most files in a folder of variables.
const MAX_VARIABLES: usize = 1000;

/// How a value changes the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
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
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) how: How,
    pub(crate) value: String,
    /// Between the value and the one that is there.
    pub(crate) delimiter: String,
}

impl Change {
    /// Changes it. What is set to nothing counts as not set.
    pub(crate) fn apply(&self, env: &mut BTreeMap<String, String>) {
        let old = env.get(&self.name).filter(|old| !old.is_empty());
        let Self { value, delimiter, .. } = self;
        let new = match (self.how, old) {
            (How::Default, Some(_)) => return,
            (How::Override | How::Default, _) | (_, None) => value.clone(),
            (How::Prepend, Some(old)) => format!("{value}{delimiter}{old}"),
            (How::Append, Some(old)) => format!("{old}{delimiter}{value}"),
        };
        env.insert(self.name.clone(), new);
    }

    /// A folder that goes to the front of a search path.
    pub(crate) fn search(variable: &str, folder: String) -> Self {
        Self { name: variable.to_owned(), how: How::Prepend, value: folder, delimiter: ":".to_owned() }
    }
}

/// The variables of one folder.
pub(crate) fn variables(folder: &Path) -> io::Result<Vec<Change>> {
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
        let mut env = BTreeMap::from(old);
        for change in variables(folder.path()).expect("variables") {
            change.apply(&mut env);
        }
        let expected = [("A", "new"), ("B", "old"), ("C", "new"), ("D", "new;old"), ("E", "oldnew")];
        assert_eq!(env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
