//! What a pod's scratch space takes, looked at now and then as a kubelet does it: who has more than it may is evicted.

use k8s_openapi::api::core::v1::PodSpec;
use renderer::Quantity;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A block, as the size of a file is counted.
const BLOCK_BYTES: u64 = 512;
/// More files than this are not looked at: who has so many is out of proportion, too.
const MAX_FILES: u64 = 1_000_000;

/// An `emptyDir` with a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scratch {
    name: String,
    folder: PathBuf,
    limit: String,
    limit_bytes: u64,
}

/// Those of a pod, whose volumes are below a folder.
pub(crate) fn limited(spec: &PodSpec, volumes: &Path) -> Vec<Scratch> {
    let one = |volume: &k8s_openapi::api::core::v1::Volume| {
        let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?.0.clone();
        let limit_bytes = bytes(&limit)?;
        Some(Scratch { name: volume.name.clone(), folder: volumes.join(&volume.name), limit, limit_bytes })
    };
    spec.volumes.iter().flatten().filter_map(one).collect()
}

/// A quantity in bytes; none where it is none, or of no size.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let nanos = text.parse::<Quantity>().ok()?.nanos();
    u64::try_from(nanos / 1_000_000_000).ok().filter(|bytes| *bytes > 0)
}

/// Why a pod can't stay, in a kubelet's words; none where all is within its limits.
pub(crate) fn exceeded(all: &[Scratch]) -> Option<String> {
    let over = all.iter().find(|one| taken_bytes(&one.folder, one.limit_bytes) > one.limit_bytes)?;
    Some(format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}.", over.name, over.limit))
}

/// What is in a folder, up to something above `enough_bytes`. Files come and go meanwhile, and no link is followed.
fn taken_bytes(folder: &Path, enough_bytes: u64) -> u64 {
    let (mut taken, mut files) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let Ok(found) = entry.metadata() else { continue };
            taken += found.blocks() * BLOCK_BYTES;
            files += 1;
            if taken > enough_bytes || files > MAX_FILES {
                return u64::MAX;
            }
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_has_more_than_it_may_is_named_and_what_a_link_leads_to_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let (small, big) = (folder.path().join("small"), folder.path().join("big"));
        fs::create_dir_all(small.join("below")).expect("a folder");
        fs::create_dir_all(&big).expect("a folder");
        fs::write(big.join("file"), vec![1; 3 << 20]).expect("a file");
        std::os::unix::fs::symlink(&big, small.join("link")).expect("a link");
        let volume = |name: &str, limit: &str| json!({"name": name, "emptyDir": {"sizeLimit": limit}});
        let said = |limit: &str| {
            let volumes = [volume("small", "1Mi"), volume("big", limit), json!({"name": "any", "emptyDir": {}})];
            let spec = serde_json::from_value(json!({"containers": [], "volumes": volumes})).expect("a pod");
            exceeded(&limited(&spec, folder.path()))
        };
        assert_eq!(said("4Mi"), None);
        assert_eq!(said("2Mi").as_deref(), Some("Usage of EmptyDir volume \"big\" exceeds the limit \"2Mi\"."));
        fs::write(small.join("below/file"), vec![1; 2 << 20]).expect("a file");
        assert!(said("4Mi").is_some_and(|why| why.contains("\"small\"")), "what is further below counts");
    }
}
