//! A pod's volumes as folders: empty ones, Secrets and ConfigMaps. What a Secret or ConfigMap held when the pod started is
//! what it holds; a change of it is seen by the next pod.

use super::env::{Data, Maps};
use super::setting::Mount;
use crate::cell::give;
use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where they are, below a pod's folder.
pub(crate) const VOLUMES: &str = "volumes";

/// Volumes of one pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volumes {
    folders: BTreeMap<String, PathBuf>,
    /// Those that containers may write to.
    scratch: BTreeSet<String>,
    /// What could not be had here.
    pub(crate) notes: Vec<String>,
}

impl Volumes {
    /// Makes the folders.
    pub(crate) async fn make(spec: &PodSpec, folder: &Path, maps: &Maps) -> Result<Self, String> {
        let mut made = Self::default();
        for volume in spec.volumes.iter().flatten() {
            let at = folder.join(&volume.name);
            // What a container of this pod has seen is the container's, links and all: nothing is written there again.
            if !at.exists() {
                fill(volume, &at, maps, &mut made.notes)
                    .await
                    .map_err(|why| format!("volume {}: {why}", volume.name))?;
            }
            if volume.empty_dir.is_some() {
                made.scratch.insert(volume.name.clone());
            }
            made.folders.insert(volume.name.clone(), at);
        }
        Ok(made)
    }

    /// Where a container wants them.
    pub(crate) fn mounts(&self, container: &Container) -> Result<Vec<Mount>, String> {
        let wanted = container.volume_mounts.iter().flatten();
        wanted
            .map(|mount| {
                let unknown = || format!("volume {} is not one of the pod", mount.name);
                let volume = self.folders.get(&mount.name).ok_or_else(unknown)?;
                let below = inside(volume, mount.sub_path.as_deref().unwrap_or_default());
                let folder = below.ok_or_else(|| format!("volume {}: a bad subPath", mount.name))?;
                let writable = mount.read_only != Some(true) && self.scratch.contains(&mount.name);
                Ok(Mount { folder, at: mount.mount_path.clone(), writable })
            })
            .collect()
    }
}

/// Makes a volume's folder; it is whole or not there.
async fn fill(volume: &Volume, at: &Path, maps: &Maps, notes: &mut Vec<String>) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut new = at.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(failed)?;
    }
    fs::create_dir_all(&new).map_err(failed)?;
    match contents(volume, maps).await? {
        Some(files) => {
            for (name, bytes) in files {
                let path = inside(&new, &name).ok_or("a bad path")?;
                fs::create_dir_all(path.parent().unwrap_or(&new)).map_err(failed)?;
                fs::write(path, bytes).map_err(failed)?;
            }
        }
        None if volume.empty_dir.is_some() => {}
        None => notes.push(format!("volume {} is empty: this machine has none of its kind", volume.name)),
    }
    give(&new).map_err(|error| error.to_string())?;
    fs::rename(&new, at).map_err(failed)
}

/// The files of a Secret or ConfigMap; none for any other kind of volume.
async fn contents(volume: &Volume, maps: &Maps) -> Result<Option<Data>, String> {
    let (kind, name, data, items, optional) = if let Some(secret) = &volume.secret {
        let name = secret.secret_name.clone().unwrap_or_default();
        ("secret", name.clone(), maps.secret(&name).await?, &secret.items, secret.optional)
    } else if let Some(map) = &volume.config_map {
        ("configmap", map.name.clone(), maps.config(&map.name).await?, &map.items, map.optional)
    } else {
        return Ok(None);
    };
    match data {
        Some(data) => Ok(Some(chosen(data, items.as_deref()))),
        None if optional == Some(true) => Ok(Some(Data::new())),
        None => Err(format!("{kind} {name:?} not found")),
    }
}

fn chosen(data: Data, items: Option<&[KeyToPath]>) -> Data {
    let Some(items) = items else { return data };
    items.iter().filter_map(|item| Some((item.path.clone(), data.get(&item.key)?.clone()))).collect()
}

/// A path below a folder, if it is one.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let clean = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    clean.then(|| folder.join(path))
}
