//! What a container leaves as its last words: a file that it finds at `terminationMessagePath`, new for each run.

use super::setting::Mount;
use crate::cell::give;
use crate::file;
use k8s_openapi::api::core::v1::Container;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path};

/// Where it is where the container says nothing.
const DEFAULT: &str = "/dev/termination-log";
/// Its name in the container's folder.
const FILE: &str = "last-words";
/// So much of its end is read, as a kubelet does it.
const MAX_BYTES: u64 = 4096;

/// An empty file in the container's folder, and where the container wants it.
pub(crate) fn prepare(container: &Container, folder: &Path) -> Result<Mount, String> {
    let at = container.termination_message_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(DEFAULT);
    let is_clean = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !at.starts_with('/') || !Path::new(at).components().all(is_clean) {
        return Err(format!("terminationMessagePath {at:?} is no absolute path"));
    }
    let file = folder.join(FILE);
    let made = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        // Not written anew: what is there may be anything by now.
        if fs::symlink_metadata(&file).is_ok() {
            fs::remove_file(&file)?;
        }
        File::create_new(&file).map(drop)
    };
    made().map_err(|error| format!("{}: {error}", file.display()))?;
    give(&file).map_err(|error| error.to_string())?;
    Ok(Mount { folder: file, at: at.to_owned(), writable: true })
}

/// What the container has left there; nothing where it can't be read.
pub(crate) fn left(folder: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = file::open(&folder.join(FILE))?;
        let start = file.metadata()?.len().saturating_sub(MAX_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prepared(path: &str, folder: &Path) -> Result<Mount, String> {
        let container = json!({"name": "web", "terminationMessagePath": path});
        prepare(&serde_json::from_value(container).expect("a container"), folder)
    }

    #[test]
    fn the_end_of_the_file_is_read_it_is_new_each_time_and_no_link_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("web");
        assert_eq!(prepared("", &own).expect("a file").at, DEFAULT);
        fs::write(own.join(FILE), format!("{}the end", "x".repeat(5000))).expect("written");
        assert_eq!((left(&own).len(), left(&own).ends_with("the end")), (4096, true));
        prepared("/tmp/words", &own).expect("a file");
        assert_eq!(left(&own), "");

        let secret = folder.path().join("secret");
        fs::write(&secret, "hunter2").expect("a file");
        fs::remove_file(own.join(FILE)).expect("removed");
        std::os::unix::fs::symlink(&secret, own.join(FILE)).expect("a link");
        assert_eq!(left(&own), "");
        prepared("", &own).expect("a file");
        assert_eq!(fs::read_to_string(&secret).expect("a file"), "hunter2");
        for bad in ["words", "/dev/../etc/words"] {
            prepared(bad, &own).expect_err(bad);
        }
    }
}
